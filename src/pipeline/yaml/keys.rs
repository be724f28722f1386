//! GitLab's keys: those `longshore local` runs and those it only knows. Reads no values.

use super::{
    fault::{Fault, Read},
    node::{Entry, Node, Value},
};

/// The keys of one kind of mapping.
pub(super) struct Keys {
    /// What stands before the key in messages: `artifacts:`, or nothing.
    pub(super) prefix: &'static str,
    pub(super) known: &'static [&'static str],
    /// GitLab's, but not ours.
    pub(super) unsupported: &'static [&'static str],
}

pub(super) const TOP: Keys = Keys {
    prefix: "",
    known: &[
        "stages",
        "variables",
        "default",
        "image",
        "services",
        "before_script",
        "after_script",
        "cache",
    ],
    unsupported: &["include", "workflow", "spec", "types"],
};

pub(super) const DEFAULT: Keys = Keys {
    prefix: "default:",
    known: &["image", "services", "before_script", "after_script", "timeout", "artifacts", "cache"],
    unsupported: &["tags", "retry", "interruptible", "hooks", "id_tokens", "identity"],
};

pub(super) const JOB: Keys = Keys {
    prefix: "",
    known: &[
        "stage",
        "image",
        "services",
        "variables",
        "before_script",
        "script",
        "after_script",
        "artifacts",
        "cache",
        "dependencies",
        "rules",
        "when",
        "allow_failure",
        "timeout",
    ],
    unsupported: &[
        "needs",
        "extends",
        "include",
        "only",
        "except",
        "trigger",
        "parallel",
        "tags",
        "retry",
        "interruptible",
        "environment",
        "coverage",
        "release",
        "resource_group",
        "secrets",
        "id_tokens",
        "identity",
        "inherit",
        "hooks",
        "pages",
        "publish",
        "start_in",
        "dast_configuration",
        "manual_confirmation",
        "run",
        "inputs",
    ],
};

pub(super) const IMAGE: Keys = Keys {
    prefix: "image:",
    known: &["name", "entrypoint", "pull_policy"],
    unsupported: &["docker", "kubernetes", "ports"],
};

pub(super) const SERVICE: Keys = Keys {
    prefix: "services:",
    known: &["name", "alias", "entrypoint", "command", "variables", "pull_policy", "docker"],
    unsupported: &["kubernetes", "ports"],
};

pub(super) const SERVICE_DOCKER: Keys =
    Keys { prefix: "services:docker:", known: &["platform", "user"], unsupported: &[] };

pub(super) const ARTIFACTS: Keys = Keys {
    prefix: "artifacts:",
    known: &["paths", "exclude", "name", "expire_in", "when", "untracked", "reports"],
    unsupported: &["expose_as", "public", "access"],
};

pub(super) const REPORTS: Keys = Keys {
    prefix: "artifacts:reports:",
    known: &[
        "junit",
        "dotenv",
        "codequality",
        "sast",
        "dast",
        "secret_detection",
        "dependency_scanning",
        "container_scanning",
        "cluster_image_scanning",
        "license_scanning",
        "api_fuzzing",
        "coverage_fuzzing",
        "browser_performance",
        "load_performance",
        "terraform",
        "metrics",
        "requirements",
        "cyclonedx",
        "accessibility",
        "annotations",
        "repository_xray",
        "lsif",
    ],
    unsupported: &["coverage_report"],
};

pub(super) const CACHE: Keys = Keys {
    prefix: "cache:",
    known: &["key", "paths", "untracked", "when", "policy", "fallback_keys"],
    unsupported: &["unprotect"],
};

/// A key made from files needs GitLab's own history of them.
pub(super) const CACHE_KEY: Keys =
    Keys { prefix: "cache:key:", known: &[], unsupported: &["files", "files_commits", "prefix"] };

pub(super) const RULE: Keys = Keys {
    prefix: "rules:",
    known: &["if", "when", "allow_failure", "variables"],
    unsupported: &["changes", "exists", "needs", "start_in", "interruptible"],
};

pub(super) const PIPELINE_VARIABLE: Keys = Keys {
    prefix: "variables:",
    known: &["value", "description", "expand"],
    unsupported: &["options"],
};

pub(super) const JOB_VARIABLE: Keys =
    Keys { prefix: "variables:", known: &["value"], unsupported: &["expand", "description"] };

pub(super) const ALLOW_FAILURE: Keys =
    Keys { prefix: "allow_failure:", known: &["exit_codes"], unsupported: &[] };

impl Keys {
    /// The entries of a mapping that has these keys alone.
    pub(super) fn entries<'a>(&self, node: &'a Node, name: &str) -> Read<&'a [Entry]> {
        let Value::Map(entries) = &node.value else {
            return Err(Fault::Shape { key: name.to_owned(), wanted: "a mapping" }.at(node.line));
        };
        for entry in entries {
            self.check(entry)?;
        }
        Ok(entries)
    }

    fn check(&self, entry: &Entry) -> Read<()> {
        let key = entry.key.as_str();
        if self.known.contains(&key) {
            return Ok(());
        }
        let full = format!("{}{key}", self.prefix);
        let fault = if self.unsupported.contains(&key) {
            Fault::Unsupported { key: full }
        } else {
            let hint = self
                .nearest(key)
                .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            Fault::Unknown { key: full, hint }
        };
        Err(fault.at(entry.line))
    }

    /// The key of GitLab's nearest to a word, if any is near.
    pub(super) fn nearest(&self, word: &str) -> Option<&'static str> {
        let word = word.to_lowercase().replace('-', "_");
        self.known
            .iter()
            .chain(self.unsupported)
            .map(|known| (strsim::damerau_levenshtein(&word, known), *known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 5)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, known)| known)
    }
}

/// The entry of a key.
pub(super) fn entry<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
    // `key:` with nothing behind it is GitLab's way to say nothing.
    entries.iter().find(|entry| entry.key == key && !matches!(entry.node.value, Value::Null))
}
