//! A job's brokered socket without the job: the broker itself at a socket of the test's own, in front of a
//! real daemon.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use longshore::broker::connection;
use longshore::broker::forward::Address;
use longshore::broker::record::ImageRecord;
use longshore::broker::session::{Broker, Login, Parts, Word};
use longshore::broker::view::{Daemon, JobView, Own, Workspace};
use longshore::plan::{BrokerPlan, Quota};

use longshore::plan::container::{LimitPlan, ResolverPlan};
use longshore::settings::Patterns;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::names::unique;

/// A broker at work; it ends with this value, and what it made goes by [`Brokered::clean`].
pub(crate) struct Brokered {
    directory: TempDir,
    pub(crate) key: String,
    pub(crate) words: Arc<Mutex<Vec<Word>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Brokered {
    /// In front of the daemon at `socket`, for a job on this network of it.
    pub(crate) fn start(socket: &Path, network: &str) -> Self {
        Self::with(socket, network, |_, _| {})
    }

    /// The same with other rules.
    pub(crate) fn with(
        socket: &Path,
        network: &str,
        change: impl FnOnce(&mut JobView, &mut BrokerPlan),
    ) -> Self {
        let minor = api_minor(socket);
        Self::speaking(minor, socket, network, change)
    }

    /// The same in front of a daemon that is not asked which API it speaks.
    pub(crate) fn speaking(
        minor: u32,
        socket: &Path,
        network: &str,
        change: impl FnOnce(&mut JobView, &mut BrokerPlan),
    ) -> Self {
        let directory = TempDir::with_prefix("longshore-test-broker-").unwrap();
        let key = unique();
        let (mut view, mut rules) = (view(&key, network), rules());
        view.daemon.api_minor = minor;
        change(&mut view, &mut rules);
        let path = directory.path().join("docker.sock");
        let words = Arc::default();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let daemon = Address::Unix(socket.to_owned());
        let kept = Arc::clone(&words);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let (told, heard) = mpsc::unbounded_channel();
                let parts = Parts { view, rules, daemon, logins: nobody(), fresh, told };
                let listener = UnixListener::bind(path).unwrap();
                ready.send(()).unwrap();
                tokio::select! {
                    () = serve(listener, Arc::new(Broker::new(parts))) => {}
                    () = keep(heard, kept) => {}
                    _ = stopped => {}
                }
            });
        });
        started.recv().unwrap();
        Self { directory, key, words, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// Removes from the daemon what the job has made.
    pub(crate) fn clean(&self, daemon: &Path) {
        let host = format!("unix://{}", daemon.display());
        let label = format!("label=longshore.job={}", self.key);
        let docker = |words: &[&str]| {
            let output = Command::new("docker").args(["-H", &host]).args(words).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let remove = |list: &[&str], words: &[&str]| {
            for one in docker(&[list, &["--filter", &label]].concat()).split_whitespace() {
                docker(&[words, &[one]].concat());
            }
        };
        remove(&["ps", "-aq"], &["rm", "-fv"]);
        remove(&["network", "ls", "-q"], &["network", "rm"]);
        remove(&["volume", "ls", "-q"], &["volume", "rm"]);
        remove(&["images", "-q"], &["rmi", "-f"]);
    }

    /// The rules by which something was refused so far.
    pub(crate) fn refused(&self) -> Vec<&'static str> {
        let words = self.words.lock().unwrap();
        let refused = words.iter().filter_map(|word| match word {
            Word::Refused(refusal) => Some(refusal.rule),
            Word::Line(_) | Word::Image(_) => None,
        });
        refused.collect()
    }

    /// Lines for the job log so far, refusals aside.
    pub(crate) fn lines(&self) -> Vec<String> {
        let words = self.words.lock().unwrap();
        let lines = words.iter().filter_map(|word| match word {
            Word::Line(line) => Some(line.clone()),
            Word::Refused(_) | Word::Image(_) => None,
        });
        lines.collect()
    }

    /// What the ledger would have been told of images so far.
    pub(crate) fn records(&self) -> Vec<ImageRecord> {
        let words = self.words.lock().unwrap();
        let records = words.iter().filter_map(|word| match word {
            Word::Image(record) => Some(record.clone()),
            Word::Refused(_) | Word::Line(_) => None,
        });
        records.collect()
    }
}

impl Drop for Brokered {
    fn drop(&mut self) {
        let _stopped = self.stop.take().map(|stop| stop.send(()));
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || ended.unwrap().is_ok());
    }
}

/// Which API the daemon speaks, as `prepare` asks it.
fn api_minor(socket: &Path) -> u32 {
    let version = super::real::get_from(socket, "/version");
    version["ApiVersion"].as_str().unwrap().strip_prefix("1.").unwrap().parse().unwrap()
}

async fn serve(listener: UnixListener, broker: Arc<Broker>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(connection::serve(stream, Arc::clone(&broker)));
    }
}

async fn keep(mut heard: mpsc::UnboundedReceiver<Word>, kept: Arc<Mutex<Vec<Word>>>) {
    while let Some(word) = heard.recv().await {
        kept.lock().unwrap().push(word);
    }
    std::future::pending::<()>().await;
}

fn nobody() -> longshore::broker::session::LoginFinder {
    Arc::new(|_| Box::pin(std::future::ready(Ok(Login::default()))))
}

fn fresh() -> String {
    unique().replace('-', "")
}

/// A job as `prepare` would have started it, limits and all.
fn view(key: &str, network: &str) -> JobView {
    let label = |name: &str, value: &str| (format!("longshore.{name}"), value.to_owned());
    JobView {
        key: key.to_owned(),
        labels: BTreeMap::from([label("job", key), label("kind", "brokered")]),
        limits: LimitPlan {
            memory_bytes: Some(256 << 20),
            memory_swap_bytes: Some(256 << 20),
            nano_cpus: Some(1_000_000_000),
            pids: Some(200),
            ..LimitPlan::default()
        },
        resolver: ResolverPlan::default(),
        security: Vec::new(),
        runtime: None,
        network: network.to_owned(),
        network_id: None,
        gateway: None,
        job_container: None,
        workspace: Workspace {
            volume: format!("longshore-{key}-builds"),
            mounted_at: "/builds".to_owned(),
            project_dir: "/builds/team/app".to_owned(),
        },
        daemon: Daemon { api_minor: 41, os: "linux".to_owned(), architecture: "amd64".to_owned() },
        secrets: Arc::new(|text| text.contains("hush-hush").then(|| "TOKEN".to_owned())),
        own: Own::default(),
        fresh: String::new(),
    }
}

fn rules() -> BrokerPlan {
    BrokerPlan {
        repository: Some("registry.longshore.test:5443/team/app".to_owned()),
        allowed_images: Patterns::new(vec!["longshore-test/*".to_owned()]).unwrap(),
        shared_images: Patterns::new(vec!["longshore-test/*".to_owned()]).unwrap(),
        push_tags: Patterns::new(vec!["test".to_owned()]).unwrap(),
        publish: true,
        bake: Vec::new(),
        quota: Quota { containers: 8, networks: 4, volumes: 4, execs: 64, upload_bytes: 1 << 30 },
    }
}
