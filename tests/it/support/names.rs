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

/// An image of its own content, made with the Docker command line: an empty file system and a label
/// that no other image has. It is gone with this value, where the test has not removed it already.
pub(crate) struct OwnImage {
    pub(crate) tag: String,
}

impl OwnImage {
    pub(crate) fn make() -> Self {
        let tag = format!("{}:1", unique());
        let label = format!("LABEL longshore-test={tag}");
        let mut import = Command::new("docker")
            .args(["import", "--change", &label, "-", &tag])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // An archive without a file: two blocks of zeros.
        import.stdin.take().unwrap().write_all(&[0; 1024]).unwrap();
        assert!(import.wait().unwrap().success(), "docker import {tag}");
        Self { tag }
    }
}

impl Drop for OwnImage {
    fn drop(&mut self) {
        // That it is gone already is what a test that went well leaves.
        let _removed = Command::new("docker")
            .args(["image", "rm", "--force", &self.tag])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
