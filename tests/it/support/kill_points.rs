//! Places on the wire between the driver's processes and their servers, at each of which a test can have
//! the process killed: before the server has heard of a request, or after it has done what was asked and
//! before anybody hears of that. Nothing of it is in the driver: a proxy in front of the daemon's socket,
//! and what a stand-in Vault or registry asks before and after each of its answers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::own_slots::OWN_SLOTS;
use super::real;

/// How lines begin that the daemon tells of every pull; others come or not, as it is fast or slow.
const OF_EACH_PULL: &[&str] = &["Pulling from", "Digest:", "Status:"];

/// One request of a job's course: by the n-th of its kind within its call, because the order of what goes
/// side by side is not always the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// `prepare`, `run build_script`, `worker`, ...
    pub call: String,
    /// Method and path, without what differs from job to job.
    pub request: String,
    /// From 1.
    pub nth: usize,
}

/// When, as the server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

/// A process that has come to where it is to be killed. Dropping this hangs up on it, or lets its end be seen.
#[derive(Debug)]
pub struct Hit {
    pub pid: i32,
    release: Sender<()>,
}

impl Hit {
    /// Lets it go on as if nothing had been.
    pub fn go_on(self) {
        let _ = self.release.send(());
    }
}

/// What is counted, and where somebody is waited for.
#[derive(Debug)]
pub struct KillPoints {
    job: u64,
    seen: Mutex<BTreeMap<(String, String), usize>>,
    armed: Mutex<Option<(Point, Side)>>,
    hits: Mutex<Sender<Hit>>,
    /// Requests that the daemon is at, whether their sender lives or not.
    under_way: AtomicUsize,
}

impl KillPoints {
    /// Those of one job; what is hit arrives at the receiver.
    pub fn of_job(job: u64) -> (Arc<Self>, Receiver<Hit>) {
        let (hits, received) = channel();
        let (seen, armed, hits) = (Mutex::default(), Mutex::default(), Mutex::new(hits));
        let under_way = AtomicUsize::new(0);
        (Arc::new(Self { job, seen, armed, hits, under_way }), received)
    }

    /// Whether the daemon has answered all that it was asked.
    pub fn is_quiet(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) == 0
    }

    pub fn arm(&self, point: &Point, side: Side) {
        *self.armed.lock().unwrap() = Some((point.clone(), side));
    }

    /// Whether the test waits for this one.
    pub fn is_armed(&self, point: &Point, side: Side) -> bool {
        self.armed.lock().unwrap().as_ref().is_some_and(|(armed, at)| armed == point && *at == side)
    }

    /// All points that anybody has passed so far.
    pub fn passed(&self) -> Vec<Point> {
        let seen = self.seen.lock().unwrap();
        let point = |((call, request), count): (&(String, String), &usize)| {
            let (call, request) = (call.clone(), request.clone());
            (1..=*count).map(move |nth| Point { call: call.clone(), request: request.clone(), nth })
        };
        seen.iter().flat_map(point).collect()
    }

    /// Notes a request of this process, `GET /path`.
    pub fn note(&self, pid: i32, line: &str) -> Point {
        let (call, request) = (call_of(pid), self.without_numbers(line));
        let mut seen = self.seen.lock().unwrap();
        let count = seen.entry((call.clone(), request.clone())).or_default();
        *count += 1;
        Point { call, request, nth: *count }
    }

    /// Waits for the test where this is what it is armed for; `false` once the process is dead, or to be hung
    /// up on.
    pub fn pass(&self, point: &Point, side: Side, pid: i32) -> bool {
        let armed = self.armed.lock().unwrap().take_if(|armed| *armed == (point.clone(), side));
        if armed.is_none() {
            return true;
        }
        let (release, released) = channel::<()>();
        let _ = self.hits.lock().unwrap().send(Hit { pid, release });
        released.recv().is_ok()
    }

    /// A request of the one process that is at work with these settings, at a server that cannot tell who
    /// asks; `work` is what the server does. `None` where there is nobody to be answered any more.
    pub fn around<T>(&self, settings: &Path, line: &str, work: impl FnOnce() -> T) -> Option<T> {
        // One that was killed at the daemon meanwhile had not been heard of.
        let pid = at_work(settings)?;
        let point = self.note(pid, line);
        if !self.pass(&point, Side::Before, pid) {
            return None;
        }
        let done = work();
        self.pass(&point, Side::After, pid).then_some(done)
    }

    /// The job's own name is put as `JOB`, other numbers and the query go.
    fn without_numbers(&self, line: &str) -> String {
        let mut text = line.split('?').next().unwrap_or_default().to_owned();
        for beginning in ["longshore-", "longshore.invalid/"] {
            let name = format!("{beginning}{}-", self.job);
            let mut parts = text.split(&name);
            let mut without = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                without.push_str("JOB");
                without.push_str(part.get("0123abcd".len()..).unwrap_or_default());
            }
            text = without;
        }
        text.split('/').map(plain).collect::<Vec<_>>().join("/")
    }
}

/// Images and containers by id, slots by number, the daemon's API by its version.
fn plain(segment: &str) -> String {
    if segment == "v1" {
        return segment.to_owned();
    }
    if segment.starts_with(OWN_SLOTS) {
        return OWN_SLOTS.to_owned();
    }
    let bare = segment.strip_prefix("sha256:").unwrap_or(segment);
    let is_id = bare.len() >= 12 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id {
        "ID".to_owned()
    } else {
        segment.trim_end_matches(|c: char| c.is_ascii_digit()).into()
    }
}

/// What a process of the driver was called for: the words after `--settings FILE`.
pub fn call_of(pid: i32) -> String {
    let words = words_of(pid);
    let mut words = words.iter().map(String::as_str).skip(3);
    match (words.next(), words.nth(1)) {
        (Some("run"), Some(stage)) => format!("run {stage}"),
        (Some(call), _) => call.to_owned(),
        (None, _) => String::new(),
    }
}

fn words_of(pid: i32) -> Vec<String> {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = words.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The one process of the driver that is at work with these settings, but a `cleanup` that is just leaving.
pub fn at_work(settings: &Path) -> Option<i32> {
    let mut all = processes(settings);
    all.retain(|(_, word)| word != "cleanup");
    all.first().map(|(pid, _)| *pid)
}

/// The same; a `cleanup` too, as long as the worker that it starts is not there.
pub fn doing(settings: &Path) -> Option<i32> {
    at_work(settings).or_else(|| processes(settings).first().map(|(pid, _)| *pid))
}

/// Whether all have ended that were at work with these settings. A process that is about to end has its locks and
/// no words any more, one that has just begun no words yet: whose they are nobody can tell.
pub fn is_over(settings: &Path) -> bool {
    let settings = settings.display().to_string();
    let may_be_at_work = |pid: i32| {
        let words = words_of(pid);
        words.get(2) == Some(&settings) || (words.is_empty() && !has_ended(pid))
    };
    !all_of_driver().any(may_be_at_work)
}

/// The driver's processes with these settings, each with what it was called for.
fn processes(settings: &Path) -> Vec<(i32, String)> {
    let settings = settings.display().to_string();
    let word = |pid: i32| {
        let words = words_of(pid);
        let is_mine = words.get(2) == Some(&settings);
        words.get(3).filter(|_| is_mine).map(|word| (pid, word.clone()))
    };
    all_of_driver().filter_map(word).collect()
}

/// By their name: the words of others cannot be read without waiting where they are busy with their memory.
fn all_of_driver() -> impl Iterator<Item = i32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let name = |pid: i32| fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    pids.filter(move |pid| name(*pid).starts_with(b"longshore"))
}

/// Whether a process has ended, all its threads with it; nobody may have collected it yet. As long as one of
/// them is about to go, so are its locks.
pub fn has_ended(pid: i32) -> bool {
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    state_of(pid).is_none_or(|state| matches!(state, 'Z' | 'X') && threads() <= 1)
}

/// Stops a process and waits until it stands; `false` where it was about to end, which nothing can stop.
pub fn stops(pid: i32) -> bool {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP);
    while !has_ended(pid) {
        if state_of(pid) == Some('T') {
            return true;
        }
        // It needs the core to get there.
        thread::sleep(Duration::from_millis(1));
    }
    false
}

fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The daemon's socket with the points before it.
#[derive(Debug)]
pub struct Proxy {
    directory: TempDir,
}

impl Proxy {
    pub fn start(points: &Arc<KillPoints>) -> Self {
        Self::before(points, &real::socket())
    }

    /// The same, of another daemon.
    pub fn before(points: &Arc<KillPoints>, daemon: &Path) -> Self {
        let directory = TempDir::with_prefix("longshore-test-proxy-").unwrap();
        let listener = UnixListener::bind(directory.path().join("docker.sock")).unwrap();
        let (points, daemon) = (Arc::clone(points), daemon.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (points, daemon) = (Arc::clone(&points), daemon.clone());
                // Whoever hangs up in the middle is what this is for.
                thread::spawn(move || drop(serve(client, &daemon, &points)));
            }
        });
        Self { directory }
    }

    /// As `docker.host` has it.
    pub fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.directory.path().display())
    }
}

/// One connection is one request: the daemon is told to close it.
fn serve(mut client: UnixStream, daemon: &Path, points: &KillPoints) -> io::Result<()> {
    let pid = socket_peercred(&client)?.pid.as_raw_nonzero().get();
    let Some((head, rest)) = read_head(&mut client)? else { return Ok(()) };
    let line = head.split(" HTTP/").next().unwrap_or_default();
    let point = points.note(pid, line);
    if !points.pass(&point, Side::Before, pid) {
        return Ok(());
    }
    points.under_way.fetch_add(1, Ordering::SeqCst);
    let answered = ask(daemon, &head, &rest, &client);
    points.under_way.fetch_sub(1, Ordering::SeqCst);
    let (mut daemon, first) = answered?;
    let path = line.split('?').next().unwrap_or_default();
    let is_pull = path.ends_with("/images/create");
    let goes_on = points.pass(&point, Side::After, pid)
        && (!is_pull || tell(&mut daemon, &mut client, first.clone(), (points, path, pid))?);
    if goes_on {
        if !is_pull {
            client.write_all(&first)?;
        }
        copy(daemon, client);
    } else {
        // The other direction's thread holds both open too.
        daemon.shutdown(Shutdown::Both)?;
        client.shutdown(Shutdown::Both)?;
    }
    Ok(())
}

/// Passes on what the daemon tells of a pull, line by line; each of the lines that come in every pull is a
/// point of its own. `false` where the process was killed at one.
fn tell(
    daemon: &mut UnixStream,
    client: &mut UnixStream,
    mut told: Vec<u8>,
    (points, path, pid): (&KillPoints, &str, i32),
) -> io::Result<bool> {
    while !told.is_empty() {
        for line in told.split_inclusive(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            let word =
                OF_EACH_PULL.iter().find(|word| text.contains(&format!("\"status\":\"{word}")));
            let point = word.map(|word| points.note(pid, &format!("{path} {word}")));
            let passes = |side| point.as_ref().is_none_or(|point| points.pass(point, side, pid));
            if !passes(Side::Before) {
                return Ok(false);
            }
            client.write_all(line)?;
            if !passes(Side::After) {
                return Ok(false);
            }
        }
        told.resize(64 * 1024, 0);
        let length = daemon.read(&mut told)?;
        told.truncate(length);
    }
    Ok(true)
}

/// Passes a request on; answers the connection with the first of what the daemon says.
fn ask(
    daemon: &Path,
    head: &str,
    rest: &[u8],
    client: &UnixStream,
) -> io::Result<(UnixStream, Vec<u8>)> {
    let mut daemon = UnixStream::connect(daemon)?;
    let is_upgrade = head.to_ascii_lowercase().contains("\r\nupgrade:");
    let close = if is_upgrade { "" } else { "\r\nConnection: close" };
    daemon.write_all(format!("{head}{close}\r\n\r\n").as_bytes())?;
    daemon.write_all(rest)?;
    let up = (client.try_clone()?, daemon.try_clone()?);
    thread::spawn(move || copy(up.0, up.1));
    let mut first = vec![0; 64 * 1024];
    let length = daemon.read(&mut first)?;
    first.truncate(length);
    Ok((daemon, first))
}

fn copy(mut from: UnixStream, mut to: UnixStream) {
    // Either end may be gone: then so is the other.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// The head without the empty line at its end, and what came with it.
fn read_head(client: &mut UnixStream) -> io::Result<Option<(String, Vec<u8>)>> {
    client.set_read_timeout(Some(Duration::from_mins(2)))?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            bytes.truncate(at);
            client.set_read_timeout(None)?;
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), rest)));
        }
        match client.read(&mut buffer)? {
            0 => return Ok(None),
            length => bytes.extend_from_slice(&buffer[..length]),
        }
    }
}
