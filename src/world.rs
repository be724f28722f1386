//! What a process knows of its surroundings, collected by main once and passed down: nobody else reads
//! the environment, the arguments or the clock.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The surroundings of one call.
#[derive(Clone)]
pub struct World {
    /// The environment as it was at the start.
    pub environment: BTreeMap<OsString, OsString>,
    /// The path of this very binary.
    pub executable: PathBuf,
    /// The working directory.
    pub directory: PathBuf,
    /// This host's platform as Docker writes it, `linux/amd64`.
    pub platform: &'static str,
    /// The clock.
    pub clock: fn() -> SystemTime,
}

/// The prefix under which the runner hands down the job's variables.
const JOB_VARIABLE: &str = "CUSTOM_ENV_";

/// The settings file where neither option nor environment names one.
const DEFAULT_SETTINGS: &str = "/etc/longshore/longshore.toml";

impl World {
    /// One environment variable, where it is there and UTF-8.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(OsStr::new(name)).and_then(|value| value.to_str())
    }

    /// The job's own variables: `CUSTOM_ENV_*` with the prefix taken off. Bytes that are no UTF-8 are
    /// replaced: names and values that we act upon are text, and scripts carry their own copy.
    pub fn job_variables(&self) -> BTreeMap<String, String> {
        self.environment
            .iter()
            .filter_map(|(name, value)| {
                let name = name.to_str()?.strip_prefix(JOB_VARIABLE)?;
                Some((name.to_owned(), value.to_string_lossy().into_owned()))
            })
            .collect()
    }

    /// The settings file: the option, else `LONGSHORE_SETTINGS`, else the default place.
    pub fn settings_path(&self, option: Option<&Path>) -> PathBuf {
        let written = option.unwrap_or_else(|| {
            Path::new(self.variable("LONGSHORE_SETTINGS").unwrap_or(DEFAULT_SETTINGS))
        });
        // Absolute, because a worker runs in another directory.
        self.directory.join(written)
    }
}

impl std::fmt::Debug for World {
    /// The environment holds the job's secrets; only names are told.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("World")
            .field("environment", &self.environment.keys())
            .field("executable", &self.executable)
            .finish_non_exhaustive()
    }
}

/// Unix seconds; 0 for what is before them.
pub fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The three streams of a process, as plain files.
#[derive(Debug)]
pub struct Stdio {
    /// Standard input.
    pub stdin: File,
    /// Standard output.
    pub stdout: File,
    /// Standard error.
    pub stderr: File,
}

impl Stdio {
    /// A second handle on standard error, for what is said when all else is over.
    pub fn errors(&self) -> Box<dyn Write> {
        match self.stderr.try_clone() {
            Ok(file) => Box::new(file),
            Err(_) => Box::new(std::io::sink()),
        }
    }
}
