//! A job between its first event and its last: what of it failed so far. It counts nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::Stage;

/// GitLab's stage whose end does not count.
const AFTER_SCRIPT: &str = "after_script";

/// A job that did not end yet, as far as the ledger tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    /// Stages that failed when they last ran, and that the job's outcome depends on; whether by the host.
    #[serde(default)]
    pub(super) failing: BTreeMap<String, bool>,
    /// Whether the job's own scripts ran.
    #[serde(default)]
    pub(super) ran: bool,
    /// When it was cleaned up without a final word, Unix seconds.
    pub(super) cleaned: Option<u64>,
    /// Its last event, Unix seconds.
    pub(super) last: u64,
}

impl Open {
    /// A stage of the job ended so.
    pub(super) fn stage_ended(&mut self, stage: &str, outcome: &str) {
        let stage_of_it = Stage::new(stage);
        self.ran |= stage_of_it.is_user() && stage != AFTER_SCRIPT;
        // One that failed may have been tried again.
        self.failing.remove(stage);
        if outcome != "success" && stage != AFTER_SCRIPT && !stage_of_it.is_last() {
            self.failing.insert(stage.to_owned(), outcome == "system_failure");
        }
    }

    /// How it failed, if any of it did.
    pub(super) fn outcome(&self) -> Option<&'static str> {
        let by_host = self.failing.values().any(|by_host| *by_host);
        (!self.failing.is_empty()).then_some(if by_host { "system_failure" } else { "failed" })
    }
}
