//! The drill: a job's course with its driver and runner killed at one request, and one `reap` afterwards. It
//! says nothing of which jobs are run and which requests there are.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use super::bao::write_private;
use super::fake_runner::FakeRunner;
use super::fake_vault::{FakeVault, LOGIN, MOUNT, REVOKED, Reply};
use super::file_points::{FileWatch, Pinned};
use super::job_json::FakeJob;
use super::kill_points::{Hit, KillPoints, Point, Proxy, Side, has_ended, is_over, stops};
use super::own_slots::on_own_slots;
use super::real::{Host, busybox, left_on, no_other_reap, socket, stderr};
use super::running::{JobStatus, RunningJob};
use super::waiting::await_that;

mod allowed;

use allowed::Allowed;

const SOON: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(100);

/// Directories that are there from a host's first job on.
const RUN_DIRS: &[&str] = &["creating", "leases", "queue", "removing", "tokens"];
const STATE_DIRS: &[&str] = &["directories", "last-use/images", "last-use/cache-volumes"];

/// The requests that begin and end a token.
pub(crate) const LOGIN_LINE: &str = "POST /v1/auth/approle/login";
pub(crate) const REVOKE_LINE: &str = "POST /v1/auth/token/revoke-self";

const LOOKUP_LINE: &str = "GET /v1/auth/token/lookup-self";

/// What a job with leases gets.
pub(crate) const LEASED: Reply = Reply::Answer(
    200,
    r#"{"lease_id":"kv/app/1","lease_duration":3600,"renewable":true,"data":{"value":"s3cr3t-value"}}"#,
);

/// What a job gets whose token ends within `prepare`.
pub(crate) const UNLEASED: Reply =
    Reply::Answer(200, r#"{"lease_id":"","data":{"value":"s3cr3t-value"}}"#);

/// What a token hears that is none any more.
const ENDED: Reply = Reply::Answer(403, r#"{"errors":["permission denied"]}"#);

/// What is run where.
pub(crate) struct Course<'a> {
    pub(crate) job: FakeJob,
    /// The daemon's socket.
    pub(crate) daemon: &'a Path,
    /// What the job's one secret comes as.
    pub(crate) secret: fn() -> Reply,
    /// Further settings.
    pub(crate) settings: fn(Host) -> Host,
}

/// A job between a daemon and a Vault that wait for it at one point.
pub(crate) struct Drill {
    host: Host,
    job: FakeJob,
    daemon: PathBuf,
    points: Arc<KillPoints>,
    hits: Receiver<Hit>,
    /// Tokens given less tokens ended, as the server sees it.
    tokens: Arc<AtomicUsize>,
    _proxy: Proxy,
    _vault: oneshot::Sender<()>,
    files: Option<(FileWatch, Pinned)>,
}

impl Drill {
    pub(crate) fn new(course: Course<'_>) -> Self {
        let Course { job, daemon, secret, settings } = course;
        let daemon = daemon.to_owned();
        let (points, hits) = KillPoints::of_job(job.id);
        let proxy = Proxy::before(&points, &daemon);
        let host = Host::new()
            .in_memory()
            .docker("host", &format!("{:?}", proxy.host()))
            .docker("helper_image", "\"longshore-test/busybox:1\"");
        let tokens = Arc::new(AtomicUsize::new(0));
        let (address, vault) = serve(vault_script(&points, &tokens, (host.settings(), secret)));
        write_private(&host.path("role_id"), "fake-role-id");
        write_private(&host.path("secret_id"), "fake-secret-id");
        let table = format!(
            "[vault]\naddress = \"{address}\"\n[vault.approle]\nrole_id_file = \"{}\"\n\
             secret_id_file = \"{}\"\n[secrets.LEASED]\npath = \"kv/app#value\"\n\
             projects = \"**\"\ndefault = true\n",
            host.path("role_id").display(),
            host.path("secret_id").display(),
        );
        let host = settings(host.table(&table));
        let host = if daemon == socket() { on_own_slots(host) } else { host };
        Self { host, job, daemon, points, hits, tokens, _proxy: proxy, _vault: vault, files: None }
    }

    /// Has what the driver does to its files among the points, on this core.
    pub(crate) fn with_files(mut self, core: usize) -> Self {
        let pinned = Pinned::to(core);
        for (root, names) in [("run", RUN_DIRS), ("state", STATE_DIRS)] {
            let root = if root == "run" { self.host.run_dir() } else { self.host.path(root) };
            for name in names {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(name)).unwrap();
            }
        }
        let roots = [(self.host.run_dir(), "run"), (self.host.path("state"), "state")];
        let watch = FileWatch::start(&self.points, self.host.settings(), roots);
        self.files = Some((watch, pinned));
        self
    }

    /// For a stand-in server that is to be killed at too.
    pub(crate) fn points(&self) -> (Arc<KillPoints>, PathBuf) {
        (Arc::clone(&self.points), self.host.settings())
    }

    /// The job without trouble; answers all points that it passed.
    pub(crate) fn undisturbed(mut self) -> Vec<Point> {
        let runner = self.host.runner();
        runner.run(&self.job).assert_success();
        self.await_worker();
        let points = self.points.passed();
        self.assert_nothing_is_left("undisturbed", &runner, &Allowed::undisturbed());
        points
    }

    /// The job, driver and runner killed at this point, and a reap; answers what is in the ledger then.
    pub(crate) fn killed(self, point: &Point, side: Side) -> String {
        self.killed_if_met(point, side)
            .unwrap_or_else(|passed| panic!("not {side:?} {point:?}: {passed:#?}"))
    }

    /// The same; where the job got by, what it passed.
    pub(crate) fn killed_if_met(self, point: &Point, side: Side) -> Result<String, Vec<Point>> {
        // The worker is killed while its runner lives on.
        if point.call == "worker" {
            return self.driver_killed(point, side);
        }
        let context = format!("killed {side:?} {point:?}");
        self.points.arm(point, side);
        let runner = self.host.runner().own_process();
        let running = runner.start(&self.job);
        let hit = self.hit(&running)?;
        // Another's reap would be at what is this one's to remove.
        let _alone = (self.daemon == socket()).then(no_other_reap);
        running.kill_runner_and_driver(hit.pid);
        self.settle(hit);
        running.join().assert_ended(JobStatus::Lost, &context);
        Ok(self.reaped(Host::reap_alone, &context, &runner, (point, side)))
    }

    /// The same with the driver alone killed: its runner goes on, and calls `cleanup`, but is stopped where it
    /// would try once more.
    pub(crate) fn driver_killed(mut self, point: &Point, side: Side) -> Result<String, Vec<Point>> {
        let context = format!("driver killed {side:?} {point:?}");
        self.points.arm(point, side);
        let runner = self.host.runner().retry_interval(Duration::from_hours(1));
        let running = runner.start(&self.job);
        let hit = self.hit(&running)?;
        kill_process(Pid::from_raw(hit.pid).unwrap(), Signal::KILL).unwrap();
        await_that(&context, || has_ended(hit.pid));
        self.settle(hit);
        let expected = match point.call.as_str() {
            "config" | "prepare" => {
                running.wait_for_output("will be retried", SOON);
                running.cancel();
                JobStatus::Canceled
            }
            // The last stage's end changes nothing any more.
            "run cleanup_file_variables" | "cleanup" | "worker" => JobStatus::Success,
            _ => JobStatus::Failed,
        };
        running.join().assert_ended(expected, &context);
        self.await_worker();
        // Its runner lives, and what is its own is nothing to others.
        Ok(self.reaped(Host::reap, &context, &runner, (point, side)))
    }

    fn hit(&self, running: &RunningJob) -> Result<Hit, Vec<Point>> {
        loop {
            // Looked at first: whatever there was has come by then.
            let is_over = running.has_ended() && is_over(&self.host.settings());
            match self.hits.recv_timeout(LOOK) {
                Ok(hit) => {
                    // No time runs out for it while the test waits for its turn.
                    assert!(stops(hit.pid), "{:?} ends", hit.pid);
                    return Ok(hit);
                }
                Err(_) if is_over => return Err(self.points.passed()),
                Err(_) => {}
            }
        }
    }

    /// Hangs up on the dead, and waits for what the daemon makes of it.
    fn settle(&self, hit: Hit) {
        drop(hit);
        await_that("the daemon's answers", || self.points.is_quiet());
    }

    fn reaped(
        mut self,
        reap: fn(&Host, &[&str]) -> Output,
        context: &str,
        runner: &FakeRunner,
        (point, side): (&Point, Side),
    ) -> String {
        self.unwatched();
        let reaped = reap(&self.host, &[]);
        assert!(!stderr(&reaped).contains(&self.job.id.to_string()), "{context}: {reaped:?}");
        self.assert_nothing_is_left(context, runner, &Allowed::by(point, side));
        // Who is killed early leaves none.
        fs::read_to_string(self.host.path("state/ledger.jsonl")).unwrap_or_default()
    }

    /// By its process: who looked at its files would be among those that open them.
    fn await_worker(&mut self) {
        await_that("the end of the worker", || is_over(&self.host.settings()));
        self.unwatched();
    }

    fn unwatched(&mut self) {
        if let Some((watch, _pinned)) = self.files.take() {
            watch.end();
        }
    }

    fn assert_nothing_is_left(&self, context: &str, runner: &FakeRunner, allowed: &Allowed) {
        assert_eq!(left_on(&self.daemon, &self.job), Vec::<String>::new(), "{context}");
        let notes = self.host.path("state/directories");
        let mut files = self.files_of_the_job();
        files.retain(|path| !(allowed.notes && path.starts_with(&notes)));
        assert_eq!(files, Vec::<PathBuf>::new(), "{context}");
        let directories = fs::read_dir(runner.base_dir()).unwrap().count();
        assert_eq!(directories, allowed.directories, "{context}: the runner's directories");
        assert_eq!(self.host.kept_tokens(), Vec::<PathBuf>::new(), "{context}");
        let left = self.tokens.load(Ordering::SeqCst);
        assert!(allowed.tokens.contains(&left), "{context}: {left} tokens");
    }

    /// Files of ours that bear the job's name.
    fn files_of_the_job(&self) -> Vec<PathBuf> {
        let name = format!("{}-", self.job.id);
        let directories = [self.host.run_dir(), self.host.path("state")];
        let below = directories.into_iter().flat_map(|directory| files_below(&directory));
        let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().contains(&name);
        below.filter(named).collect()
    }
}

/// Whether a point is a change of a file, and no request.
pub(crate) fn is_of_file(request: &str) -> bool {
    request.starts_with(|first: char| first.is_ascii_lowercase())
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).map(|all| all.flatten().collect::<Vec<_>>());
    let entries = entries.unwrap_or_default().into_iter();
    entries
        .flat_map(|entry| {
            let path = entry.path();
            if path.is_dir() { files_below(&path) } else { vec![path] }
        })
        .collect()
}

/// The small image twice, as job and as helper.
pub(crate) fn job() -> FakeJob {
    busybox(["echo \"length=${#LEASED}\""])
        .cache("key", &["mine"])
        .stage_script("restore_cache", "true\n")
        .stage_script("archive_cache", "true\n")
}

/// A stand-in Vault on a thread of its own, as its answers may wait: its address, and what ends it.
fn serve(
    script: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
) -> (String, oneshot::Sender<()>) {
    let (end, ended) = oneshot::channel();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let vault = FakeVault::start(script).await;
            tell.send(vault.address()).unwrap();
            // Never sent, only dropped.
            let _ = ended.await;
        });
    });
    (told.recv().unwrap(), end)
}

/// Answers, counts tokens, and waits before and after each answer where the drill is armed for it.
fn vault_script(
    points: &Arc<KillPoints>,
    tokens: &Arc<AtomicUsize>,
    (settings, secret): (PathBuf, fn() -> Reply),
) -> impl Fn(&str, usize) -> Reply + Send + Sync + 'static {
    let (points, tokens) = (Arc::clone(points), Arc::clone(tokens));
    move |line, _| {
        let answer = || match line {
            LOGIN_LINE => {
                tokens.fetch_add(1, Ordering::SeqCst);
                LOGIN
            }
            REVOKE_LINE => match tokens.swap(0, Ordering::SeqCst) {
                0 => ENDED,
                _ => REVOKED,
            },
            LOOKUP_LINE if tokens.load(Ordering::SeqCst) == 0 => ENDED,
            "GET /v1/kv/app" => secret(),
            _ => MOUNT,
        };
        points.around(&settings, line, answer).unwrap_or(Reply::Hang)
    }
}

/// Sweeps these points, each before and after, as many at once as there are to try them; answers those that
/// were hit.
pub(crate) fn sweep(points: &[Point], tries: Vec<impl Fn(&Point, Side) + Send>) -> BTreeSet<Point> {
    sweep_at(points, &[Side::Before, Side::After], tries)
}

/// The same, at these sides alone.
#[expect(clippy::print_stdout, reason = "how much was swept is the drill's figure")]
pub(crate) fn sweep_at(
    points: &[Point],
    sides: &[Side],
    tries: Vec<impl Fn(&Point, Side) + Send>,
) -> BTreeSet<Point> {
    let each = |point: &Point| sides.iter().map(|side| (point.clone(), *side)).collect::<Vec<_>>();
    let todo: Vec<(Point, Side)> = points.iter().flat_map(each).collect();
    let began = Instant::now();
    let (todo, hit) = (&Mutex::new(todo), &Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for once in tries {
            scope.spawn(move || {
                while let Some((point, side)) = { todo.lock().unwrap().pop() } {
                    once(&point, side);
                    hit.lock().unwrap().push(point);
                }
            });
        }
    });
    let hit = std::mem::take(&mut *hit.lock().unwrap());
    assert_eq!(hit.len(), sides.len() * points.len());
    println!("swept {} kill points in {:.1} s", hit.len(), began.elapsed().as_secs_f64());
    hit.into_iter().collect()
}
