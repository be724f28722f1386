//! Names of test objects: each run and each test has its own, so that tests side by side, and a run
//! beside another, never meet.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// `longshore-test-<process>-<number>`, never twice in a run.
pub(crate) fn unique() -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("longshore-test-{}-{number}", std::process::id())
}

/// The one label of the objects of a test, and the filter that finds them.
pub(crate) fn label(test: &str) -> (BTreeMap<String, String>, String) {
    let labels = BTreeMap::from([("longshore-test".to_owned(), test.to_owned())]);
    (labels, format!("longshore-test={test}"))
}

/// Makes an image of its own content under this tag with the Docker command line: an empty file system
/// and a label that no other image has.
pub(crate) fn image(tag: &str) {
    let mut import = Command::new("docker")
        .args([
            "import",
            "--change",
            &format!("LABEL longshore-test={tag}"),
            "-",
            tag,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // An archive without a file: two blocks of zeros.
    import.stdin.take().unwrap().write_all(&[0; 1024]).unwrap();
    assert!(import.wait().unwrap().success(), "docker import {tag}");
}
