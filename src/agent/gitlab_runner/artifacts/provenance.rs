//! The provenance file that `RUNNER_GENERATE_ARTIFACTS_METADATA` asks for: an in-toto statement with a SLSA v1
//! predicate, as GitLab's binary writes it. It says what was built by whom; nobody signs it here.

use super::super::archive::Packing;
use super::super::error::TransferError;
use super::super::given::Given;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes hashed at once.
const CHUNK: usize = 256 * 1024;

/// What the runner says of the job.
#[derive(Debug)]
pub(crate) struct Provenance {
    runner_id: String,
    runner_name: String,
    runner_version: String,
    executor: String,
    job: u64,
    job_name: String,
    repo_url: String,
    commit: String,
    /// Names of variables; their values stay out of it.
    parameters: Vec<String>,
    started: String,
    ended: String,
}

impl Provenance {
    /// Reads its options, where the statement was asked for.
    pub(crate) fn of(given: &Given, job: u64) -> Option<Self> {
        let text = |name: &str| given.owned(name).unwrap_or_default();
        given.flag("--generate-artifacts-metadata").then(|| Self {
            runner_id: text("--runner-id"),
            runner_name: text("--runner-name"),
            runner_version: given.variable("CI_RUNNER_VERSION").unwrap_or("unknown").to_owned(),
            executor: text("--executor-name"),
            job,
            job_name: text("--job-name"),
            repo_url: text("--repo-url"),
            commit: text("--repo-digest"),
            parameters: given.all("--metadata-parameter"),
            started: text("--started-at"),
            ended: text("--ended-at"),
        })
    }

    /// Writes the statement on all files of a packing beside them; answers its path in the project.
    ///
    /// # Errors
    /// When a file cannot be read or the statement not be written.
    pub(crate) fn write(&self, packing: &Packing, name: &str) -> Result<PathBuf, TransferError> {
        let mut subjects = Vec::new();
        for path in &packing.paths {
            let full = packing.project.join(path);
            if fs::symlink_metadata(&full).is_ok_and(|about| about.is_file()) {
                let digest = sha256(&full)?;
                subjects
                    .push(json!({"name": path.to_string_lossy(), "digest": {"sha256": digest}}));
            }
        }
        let path = PathBuf::from(format!("{name}-metadata.json"));
        let full = packing.project.join(&path);
        let text = format!("{:#}", self.statement(&subjects));
        fs::write(&full, text).map_err(|source| TransferError::File {
            verb: "write",
            path: full,
            source,
        })?;
        Ok(path)
    }

    fn statement(&self, subjects: &[Value]) -> Value {
        let version = format!("v{}", self.runner_version.trim_start_matches('v'));
        let mut external: Map<String, Value> =
            self.parameters.iter().map(|name| (name.clone(), "".into())).collect();
        external.insert("entryPoint".into(), self.job_name.as_str().into());
        external.insert("source".into(), self.repo_url.as_str().into());
        json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "subject": subjects,
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": format!(
                        "https://gitlab.com/gitlab-org/gitlab-runner/-/blob/{version}/PROVENANCE.md"
                    ),
                    "externalParameters": external,
                    "internalParameters": {
                        "name": self.runner_name,
                        "executor": self.executor,
                        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
                        "job": self.job.to_string(),
                    },
                    "resolvedDependencies": [
                        {"uri": self.repo_url, "digest": {"sha256": self.commit}}
                    ],
                },
                "runDetails": {
                    "builder": {
                        "id": format!("{}/-/runners/{}", self.repo_url, self.runner_id),
                        "version": {
                            "gitlab-runner": version,
                            "longshore": env!("CARGO_PKG_VERSION"),
                        },
                    },
                    "metadata": {
                        "invocationId": self.job.to_string(),
                        "startedOn": self.started,
                        "finishedOn": self.ended,
                    },
                },
            },
        })
    }
}

fn sha256(path: &Path) -> Result<String, TransferError> {
    let failed =
        |source: io::Error| TransferError::File { verb: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
