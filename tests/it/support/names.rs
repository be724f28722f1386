//! Names of test objects: each run and each test has its own, so that tests side by side, and a run
//! beside another, never meet.

use std::collections::BTreeMap;
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
