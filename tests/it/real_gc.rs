//! `longshore gc` on daemons of the tests' own: what was not used for longest goes, and nothing that
//! somebody uses; a disk that runs short of bytes or inodes gets room; nobody is harmed when things go wrong.

use std::fs;
use std::process::Output;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::private_engine::Daemon;
use crate::support::real::{BUSYBOX, Host, assert_says, await_gone_from, busybox, stderr};

/// Settings for this daemon, with a directory for locks of the test's own.
fn host(daemon: &Daemon, gc: &str) -> Host {
    let host = Host::new().docker("host", &format!("{:?}", daemon.host()));
    let run = host.path("run").display().to_string();
    host.top("run_dir", &format!("{run:?}")).table(&format!("[gc]\nmin_age = \"0s\"\n{gc}\n"))
}

fn gc(host: &Host, words: &[&str]) -> Output {
    host.bare(&[&["gc"], words].concat()).output().unwrap()
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&told(output)).unwrap()
}

/// An image with a shell and a layer of random bytes, which compress to nothing less.
fn image(daemon: &Daemon, name: &str, on: &str, kibibytes: usize) -> String {
    let count = format!("count={kibibytes}");
    let random = format!("dd if=/dev/urandom of=/{name} bs=1024 {count} 2>/dev/null");
    let file = format!("FROM {on}\nRUN {random}\n");
    daemon.docker_with(&["build", "-q", "-t", &format!("{name}:1"), "-"], file.as_bytes())
}

fn tags(daemon: &Daemon) -> Vec<String> {
    let all = daemon.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    let mut tags: Vec<String> = all.lines().map(str::to_owned).collect();
    tags.sort();
    tags
}

/// Lets the record say that this was last used so long ago.
fn used(host: &Host, kind: &str, name: &str, ago: Duration) {
    let path = host.path("state/last-use").join(kind).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    file.set_modified(SystemTime::now() - ago).unwrap();
}

const DAY: Duration = Duration::from_hours(24);

fn bytes(daemon: &Daemon, image: &str) -> u64 {
    daemon.docker(&["image", "inspect", "-f", "{{.Size}}", image]).parse().unwrap()
}

/// Records tell seconds: waits for the next one.
fn next_second() {
    let second = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let now = second();
    while second() == now {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A job with this image, and its end.
fn use_by_job(host: &Host, daemon: &Daemon, image: &str) {
    next_second();
    let job = busybox(["true"]).image(image);
    host.runner().run(&job).assert_success();
    await_gone_from(&daemon.socket, &job);
}

fn collected(host: &Host) -> Vec<Value> {
    let ledger = host.ledger();
    let all = ledger.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["event"] == "collected").collect()
}

#[test]
fn images_go_by_their_last_use_and_never_what_somebody_uses() {
    let daemon = Daemon::start(&[]);
    for name in ["a", "b", "c"] {
        image(&daemon, name, BUSYBOX, 1024);
    }
    image(&daemon, "child", "a:1", 1024);
    let total: u64 =
        json(&gc(&host(&daemon, ""), &["--plan", "--json"]))["plan"]["bytes"].as_u64().unwrap();
    assert_eq!(total, 0);
    let all = bytes(&daemon, "child:1") + 2 * (1 << 20);
    let with_room = host(&daemon, &format!("images = {}", all - (3 << 19)));
    for name in ["b:1", "a:1", "c:1"] {
        use_by_job(&with_room, &daemon, name);
    }
    next_second();
    // All but the record is gone with a reboot.
    fs::remove_dir_all(with_room.path("run")).unwrap();
    let plan = told(&gc(&with_room, &["--plan"]));
    assert_says(
        &plan,
        &["would remove image child:1", "would remove image b:1 (1.0 MiB, last used 20"],
    );
    assert_eq!(tags(&daemon), ["a:1", "b:1", "c:1", "child:1", BUSYBOX]);
    let done = told(&gc(&with_room, &[]));
    assert_says(&done, &["removed image child:1", "removed image b:1", "freed about 2.0 MiB"]);
    assert_eq!(tags(&daemon), ["a:1", "c:1", BUSYBOX]);
    let event = &collected(&with_room)[0];
    assert_eq!(
        (event["images_bytes"].as_u64(), &event["trigger"]),
        (Some(2 << 20), &"command".into())
    );

    daemon.docker(&["create", "--name", "user", "a:1", "true"]);
    let tight = host(&daemon, "images = 1");
    let report = json(&gc(&tight, &["--json"]));
    assert_eq!(report["removed"].as_array().unwrap().len(), 1);
    assert_eq!(tags(&daemon), ["a:1", BUSYBOX]);
    let plan = told(&gc(&tight, &["--plan"]));
    assert_says(&plan, &["1 in use", "1 with other images built on them", "nothing else may go"]);
    daemon.docker(&["rm", "user"]);
    let keeping = host(&daemon, "images = 1\nkeep = \"a:*\"");
    assert_says(&told(&gc(&keeping, &[])), &["nothing to remove"]);
    let naming = host(&daemon, "images = 1").docker("default_image", "\"docker.io/library/a:1\"");
    assert_says(&told(&gc(&naming, &[])), &["nothing to remove"]);
    let off = host(&daemon, "images = 1\nenabled = false");
    assert_says(&told(&gc(&off, &[])), &["[gc] enabled is off"]);
    assert_says(&told(&gc(&tight, &[])), &["removed image a:1", "removed image longshore-test"]);
    assert_eq!(tags(&daemon), Vec::<String>::new());
}

fn volume(daemon: &Daemon, name: &str, label: &str, kibibytes: usize) {
    daemon.docker(&["volume", "create", "--label", label, name]);
    let fill = format!("dd if=/dev/zero of=/v/data bs=1024 count={kibibytes} 2>/dev/null");
    daemon.docker(&["run", "--rm", "-v", &format!("{name}:/v"), BUSYBOX, "sh", "-c", &fill]);
}

#[test]
fn cache_volumes_go_by_their_last_use_and_no_others() {
    let daemon = Daemon::start(&[]);
    let host = host(&daemon, "cache_volumes = \"1500KiB\"\nkeep = \"longshore-cache-4-*\"");
    for (name, label, days) in [
        ("longshore-cache-1-x-protected", "longshore.kind=cache", 2),
        ("longshore-cache-2-x-protected", "longshore.kind=cache", 9),
        ("longshore-cache-3-x-protected", "longshore.kind=cache", 5),
        ("longshore-cache-4-x-protected", "longshore.kind=cache", 30),
        ("longshore-cache-5-x-protected", "longshore.kind=cache", 40),
        ("longshore-cache-6-somebodys", "other=label", 50),
        ("database", "longshore.kind=other", 50),
    ] {
        volume(&daemon, name, label, 500);
        used(&host, "cache-volumes", name, DAY * days);
    }
    let mount = "longshore-cache-5-x-protected:/v";
    daemon.docker(&["create", "--name", "user", "-v", mount, BUSYBOX, "true"]);
    let report = json(&gc(&host, &["--json"]));
    let gone: Vec<&str> = report["removed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(gone, ["longshore-cache-2-x-protected", "longshore-cache-3-x-protected"]);
    assert!(report["freed"]["cache_volumes"].as_u64().unwrap() >= 2 * 500 * 1024, "{report}");
    let left = daemon.docker(&["volume", "ls", "-q"]);
    assert_says(&left, &["cache-1-x", "cache-4-x", "cache-5-x", "cache-6-somebodys", "database"]);
    assert!(host.path("state/last-use/cache-volumes/longshore-cache-1-x-protected").exists());
    assert!(!host.path("state/last-use/cache-volumes/longshore-cache-2-x-protected").exists());
}

/// Bytes and inodes that are free on the daemon's file system, as its settings' fixed amounts.
fn free(daemon: &Daemon) -> (u64, u64) {
    let about = rustix::fs::statvfs(daemon.data_root()).unwrap();
    (about.f_bavail * about.f_frsize, about.f_favail)
}

#[test]
fn a_disk_below_its_mark_is_emptied_up_to_the_other_and_no_further() {
    let daemon = Daemon::on_tmpfs("size=96m,nr_inodes=20000");
    for name in ["a", "b", "c", "d"] {
        image(&daemon, name, BUSYBOX, 4096);
        next_second();
    }
    let (bytes, inodes) = free(&daemon);
    let marks = |low: u64, high: u64| format!("{{ low = {low}, high = {high} }}");
    let enough = host(
        &daemon,
        &format!(
            "free = {}\nfree_inodes = {}",
            marks(bytes, bytes << 1),
            marks(inodes, inodes << 1)
        ),
    );
    assert_says(&told(&gc(&enough, &[])), &["nothing to remove"]);
    let short = host(&daemon, &format!("free = {}", marks(bytes + 1, bytes + (6 << 20))));
    assert_says(&told(&gc(&short, &["--plan"])), &["a:1", "b:1", "the disk has too little free"]);
    assert_says(&told(&gc(&short, &[])), &["removed image a:1", "removed image b:1", "free,"]);
    assert_eq!(tags(&daemon), ["c:1", "d:1", BUSYBOX]);
    assert!(free(&daemon).0 >= bytes + (6 << 20));

    // A byte in each of many files: inodes are what runs short.
    for name in ["e", "f"] {
        let files = "mkdir /d; for i in $(seq 800); do echo > /d/$i; done";
        let file = format!("FROM {BUSYBOX}\nRUN echo {name}; {files}\n");
        daemon.docker_with(&["build", "-q", "-t", &format!("{name}:1"), "-"], file.as_bytes());
        next_second();
    }
    for name in ["c:1", "d:1"] {
        used(
            &short,
            "images",
            &daemon.docker(&["image", "inspect", "-f", "{{.Id}}", name]),
            Duration::ZERO,
        );
    }
    let (_, inodes) = free(&daemon);
    let short = short.table(&format!("free_inodes = {}\n", marks(inodes + 1, inodes + 500)));
    let report = json(&gc(&short, &["--json"]));
    let removed = report["removed"].as_array().unwrap();
    assert_eq!((removed.len(), &removed[0]["references"][0]), (1, &"e:1".into()), "{report}");
    assert_eq!(tags(&daemon), ["c:1", "d:1", "f:1", BUSYBOX]);
}

/// `docker load` sets no time on a tag, and the image tells when somebody built it, long ago.
#[test]
fn what_came_just_now_is_young_though_it_was_built_long_ago() {
    let daemon = Daemon::start(&[]);
    let host = host(&daemon, "images = 1").table("");
    let text = fs::read_to_string(host.settings()).unwrap();
    fs::write(host.settings(), text.replace("min_age = \"0s\"", "min_age = \"10m\"")).unwrap();
    assert_says(&told(&gc(&host, &[])), &["nothing to remove", "nothing else may go"]);
    assert_eq!(tags(&daemon), [BUSYBOX]);
    let id = daemon.docker(&["image", "inspect", "-f", "{{.Id}}", BUSYBOX]);
    used(&host, "images", &id, DAY);
    assert_says(&told(&gc(&host, &[])), &["removed image longshore-test/busybox:1"]);
}

#[test]
fn two_at_once_go_one_after_the_other() {
    let daemon = Daemon::start(&[]);
    for name in ["a", "b", "c"] {
        image(&daemon, name, BUSYBOX, 64);
    }
    let host = host(&daemon, "images = 1");
    next_second();
    let both: Vec<Value> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| json(&gc(&host, &["--json"])));
        let both = [start(), start()];
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let removed = |report: &Value| report["removed"].as_array().unwrap().len();
    let mut counts: Vec<usize> = both.iter().map(removed).collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 4], "{both:?}");
    assert_eq!(collected(&host).len(), 2);
}

#[test]
fn a_daemon_that_hangs_or_dies_costs_nothing_but_the_call() {
    let daemon = Daemon::start(&[]);
    for name in ["a", "b"] {
        image(&daemon, name, BUSYBOX, 64);
    }
    let host = host(&daemon, "images = 1");
    next_second();
    let pid = rustix::process::Pid::from_raw(daemon.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let hung = gc(&host, &[]);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    assert_eq!(hung.status.code(), Some(2), "{hung:?}");
    assert_says(&stderr(&hung), &["no answer from the daemon within 10s"]);
    assert_eq!(tags(&daemon).len(), 3);

    daemon.kill();
    let dead = gc(&host, &[]);
    assert_eq!(dead.status.code(), Some(2), "{dead:?}");
    assert_says(&stderr(&dead), &["is the Docker daemon running?"]);
    daemon.again();
    assert_says(&told(&gc(&host, &[])), &["removed image a:1", "removed image b:1"]);
    assert_eq!(tags(&daemon), Vec::<String>::new());
}

#[test]
fn a_record_that_is_no_directory_is_told_and_nothing_goes() {
    let daemon = Daemon::start(&[]);
    let host = host(&daemon, "images = 1");
    next_second();
    fs::create_dir_all(host.path("state")).unwrap();
    fs::write(host.path("state/last-use"), "").unwrap();
    let failed = gc(&host, &[]);
    assert_eq!(failed.status.code(), Some(2), "{failed:?}");
    assert_says(&stderr(&failed), &["when images were last used", "remove the directory last-use"]);
    assert_eq!(tags(&daemon), [BUSYBOX]);
    fs::remove_file(host.path("state/last-use")).unwrap();
    assert_says(&told(&gc(&host, &[])), &["removed image"]);
}

/// The daemon behind an address is not this host's: its disk cannot be seen, and parts of it are nothing.
#[test]
fn a_daemon_elsewhere_is_told_to_be_out_of_sight() {
    let daemon = Daemon::start(&["-H", "tcp://0.0.0.0:2375", "--tls=false"]);
    let address = daemon.address();
    let host = host(&daemon, "").docker("host", &format!("\"tcp://{address}:2375\""));
    let plan = told(&gc(&host, &["--plan"]));
    assert_says(&plan, &["cannot be seen from here", "on another host", "nothing to remove"]);
    let fixed = host.table("images = \"1KiB\"\n");
    next_second();
    assert_says(&told(&gc(&fixed, &[])), &["removed image longshore-test/busybox:1"]);
}
