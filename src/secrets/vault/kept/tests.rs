//! What is kept comes back, and what is not ours is passed over.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A directory in memory, as every Linux has one.
fn run_dir() -> tempfile::TempDir {
    tempfile::TempDir::with_prefix_in("longshore-test-", "/dev/shm").unwrap()
}

fn kept(job: &str) -> Kept {
    let owner = Owner { boot_id: "b".into(), pid_namespace: "n".into(), pid: 1, start_time: 2 };
    let term = Term { since_unix: 100, seconds: 90, renewable: true };
    Kept {
        holder: Holder { job: job.into(), owner, deadline: Moment { unix: 1000, uptime: 1000 } },
        address: "https://vault".into(),
        namespace: None,
        accessor: "accessor".into(),
        token: Secret::new("s3cr3t-token"),
        term,
        leases: vec![Lease { name: "A".into(), id: "pki/1".into(), term }],
    }
}

#[test]
fn a_third_of_a_term() {
    let term = |seconds, renewable| Term { since_unix: 100, seconds, renewable };
    assert_eq!(term(90, true).due_unix(), Some(130));
    assert_eq!(term(1, true).due_unix(), Some(101));
    assert_eq!(term(90, false).due_unix(), None);
    assert_eq!(term(90, false).ends_unix(), 190);
    assert_eq!(term(u64::MAX, true).ends_unix(), u64::MAX);
}

#[test]
fn what_is_kept_comes_back_and_is_ours_alone() {
    let run_dir = run_dir();
    let directory = Directory::open(run_dir.path()).unwrap();
    let first = directory.keep(&kept("7-ab")).unwrap();
    let second = directory.keep(&kept("7-ab")).unwrap();
    assert_ne!(first, second);
    assert_eq!(fs::metadata(&first).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(first.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);
    let mut changed = kept("7-ab");
    changed.leases.clear();
    rewrite(&first, &changed).unwrap();
    fs::remove_file(&second).unwrap();
    rewrite(&second, &changed).unwrap();
    let all = all(run_dir.path());
    assert_eq!(all.len(), 1);
    assert_eq!((&all[0].0, all[0].1.leases.len()), (&first, 0));
    assert_eq!(all[0].1.token.expose(), b"s3cr3t-token");
    assert!(!format!("{:?}", all[0].1).contains("s3cr3t"));
}

#[test]
fn what_is_not_ours_is_passed_over() {
    let run_dir = run_dir();
    assert!(all(run_dir.path()).is_empty());
    let directory = Directory::open(run_dir.path()).unwrap();
    let path = directory.keep(&kept("7-ab")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    symlink("/etc/passwd", path.with_extension("link")).unwrap();
    fs::create_dir(path.with_extension("dir")).unwrap();
    write_new(&path.with_extension("text"), &kept("x")).unwrap();
    fs::write(path.with_extension("text"), "{").unwrap();
    let fifo = path.with_extension("fifo");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, rustix::fs::Mode::RUSR, 0).unwrap();
    assert!(all(run_dir.path()).is_empty());
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let run_dir = run_dir();
    let directory = Directory::open(run_dir.path()).unwrap();
    let target = run_dir.path().join("target");
    symlink(&target, run_dir.path().join("tokens/7-ab.0")).unwrap();
    let path = directory.keep(&kept("7-ab")).unwrap();
    assert!(path.ends_with("7-ab.1") && !target.exists());
}

#[test]
fn a_directory_that_will_not_do() {
    let on_disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let problem = Directory::open(on_disk.path()).unwrap_err();
    assert!(problem.contains("is on a disk"), "{problem}");
    let run_dir = run_dir();
    fs::create_dir(run_dir.path().join("tokens")).unwrap();
    let tokens = run_dir.path().join("tokens");
    fs::set_permissions(&tokens, fs::Permissions::from_mode(0o755)).unwrap();
    let problem = Directory::open(run_dir.path()).unwrap_err();
    assert!(problem.ends_with(&format!("chmod 0700 {}", tokens.display())), "{problem}");
}

#[test]
fn who_is_killed_while_it_writes_leaves_a_token_to_be_ended_or_a_torn_file() {
    let run_dir = run_dir();
    let directory = Directory::open(run_dir.path()).unwrap();
    let kept_at = directory.keep(&kept("7-ab")).unwrap();
    let beside = |name: &str| kept_at.with_file_name(name);
    let us = std::process::id();
    write_new(&beside(".7-ab.99999999"), &kept("7-ab")).unwrap();
    fs::write(beside(".7-ab.0.99999998"), "{").unwrap();
    fs::write(beside(".7-ab.99999997"), "").unwrap();
    fs::write(beside(&format!(".7-ab.{us}")), "").unwrap();
    fs::write(beside("7-ab.99999996"), "").unwrap();
    let paths: Vec<PathBuf> = all(run_dir.path()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [beside(".7-ab.99999999"), kept_at.clone()]);
    let mut torn = torn(run_dir.path(), |pid| pid == us);
    torn.sort();
    assert_eq!(torn, [beside(".7-ab.0.99999998"), beside(".7-ab.99999997")]);
}
