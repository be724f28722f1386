//! What is noted down, and what is left of it when a `prepare` ends in the middle.

use super::*;

struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(DIRECTORY).join("7-ab")
    }

    async fn begin(&self) -> Creating {
        Creating::at(&self.path(), None).await.unwrap()
    }

    /// Names with a blank between; `None` where there is nothing to be looked at.
    fn left(&self) -> Option<String> {
        let left = of_job(self.directory.path(), "7-ab");
        left.map(|one| one.names.iter().cloned().collect::<Vec<_>>().join(" "))
    }
}

#[tokio::test]
async fn what_was_answered_about_leaves_nothing() {
    let ground = Ground::new();
    assert_eq!(ground.left(), None);
    let creating = ground.begin().await;
    creating.note('+', "job").unwrap();
    creating.note('+', "helper").unwrap();
    assert_eq!(ground.left(), None, "who makes them lives");
    creating.note('-', "job").unwrap();
    creating.note('-', "helper").unwrap();
    creating.end();
    assert!(!ground.path().exists());
}

#[tokio::test]
async fn what_was_not_answered_about_is_the_next_ones_until_it_is() {
    let ground = Ground::new();
    let first = ground.begin().await;
    for (sign, name) in [('+', "job"), ('+', "helper"), ('-', "job")] {
        first.note(sign, name).unwrap();
    }
    first.end();
    assert_eq!(ground.left().unwrap(), "helper");
    let second = ground.begin().await;
    second.note('+', "job").unwrap();
    drop(second);
    assert_eq!(ground.left().unwrap(), "helper job");
    let third = ground.begin().await;
    for name in ["job", "helper"] {
        third.note('+', name).unwrap();
        third.note('-', name).unwrap();
    }
    third.end();
    assert_eq!(ground.left(), None);
}

#[tokio::test]
async fn who_begins_waits_for_who_looks_at_the_last_try() {
    let ground = Ground::new();
    drop(ground.begin().await);
    let looking = of_job(ground.directory.path(), "7-ab").unwrap();
    let path = ground.path();
    let mut waiting = std::pin::pin!(Creating::at(&path, None));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    looking.forget().unwrap();
    drop(looking);
    let begun = waiting.await.unwrap();
    begun.note('+', "job").unwrap();
    drop(begun);
    assert_eq!(ground.left().unwrap(), "job");
}

#[test]
fn what_is_no_file_of_ours_is_passed_over_or_says_nothing() {
    let ground = Ground::new();
    let directory = ground.directory.path().join(DIRECTORY);
    fs::create_dir_all(directory.join("8-ab")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", directory.join("9-ab")).unwrap();
    fs::write(directory.join("10-ab"), b"\xff\n+\xff").unwrap();
    fs::write(directory.join("11-ab"), "torn").unwrap();
    let mut found: Vec<(String, usize)> =
        all(ground.directory.path()).into_iter().map(|one| (one.job, one.names.len())).collect();
    found.sort();
    assert_eq!(found, [("10-ab".to_owned(), 1), ("11-ab".to_owned(), 0)]);
}
