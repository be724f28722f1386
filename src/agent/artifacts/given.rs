//! Options as a script gave them: names, values and flags, without what they mean. Pure.

use super::error::ArtifactsError;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

/// Options with a value that both commands know.
const SHARED: &[&str] = &[
    "--url",
    "--token",
    "--id",
    "--retry",
    "--retry-time",
    "--timeout",
    "--response-header-timeout",
    "--tls-ca-file",
    "--tls-cert-file",
    "--tls-key-file",
    "--transfer-meter-frequency",
];
/// Environment variables that stand in for options, as in GitLab's binary.
const FROM_ENVIRONMENT: &[(&str, &str)] = &[
    ("--url", "CI_SERVER_URL"),
    ("--token", "CI_JOB_TOKEN"),
    ("--id", "CI_JOB_ID"),
    ("--tls-ca-file", "CI_SERVER_TLS_CA_FILE"),
    ("--tls-cert-file", "CI_SERVER_TLS_CERT_FILE"),
    ("--tls-key-file", "CI_SERVER_TLS_KEY_FILE"),
    ("--compression-level", "ARTIFACT_COMPRESSION_LEVEL"),
    ("--staging-dir", "ARTIFACT_STAGING_DIR"),
];

/// Options as they were given, values by name.
#[derive(Debug, Default)]
pub(super) struct Given {
    values: BTreeMap<String, Vec<String>>,
}

impl Given {
    /// Sorts words into options; the error names the first that nobody here knows.
    pub(super) fn read(words: &[&str], values: &[&str], flags: &[&str]) -> Result<Self, String> {
        let mut given = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (*word, None),
            };
            let value = if flags.contains(&name) {
                value.unwrap_or("true")
            } else if SHARED.contains(&name) || values.contains(&name) {
                let next = || words.next().copied();
                value.or_else(next).ok_or_else(|| format!("option {name} without a value"))?
            } else {
                return Err(format!("option {name}"));
            };
            given.values.entry(name.into()).or_default().push(value.into());
        }
        Ok(given)
    }

    pub(super) fn with_environment(mut self, environment: &BTreeMap<OsString, OsString>) -> Self {
        for (option, variable) in FROM_ENVIRONMENT {
            let value = environment.get(&OsString::from(variable)).and_then(|v| v.to_str());
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                self.values.entry((*option).into()).or_insert_with(|| vec![value.into()]);
            }
        }
        self
    }

    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.values.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn last(&self, name: &str) -> Option<&str> {
        let values = self.values.get(name)?;
        values.last().map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.last(name).is_some_and(|value| value != "false")
    }

    pub(super) fn needed(&self, name: &str) -> Result<&str, ArtifactsError> {
        self.last(name).ok_or_else(|| wrong(name, "is missing"))
    }

    pub(super) fn number<N: std::str::FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<N>, ArtifactsError> {
        let Some(text) = self.last(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| wrong(name, &format!("is not a number: {text:?}")))
    }

    /// A duration as Go prints it (`10m0s`) or plain seconds; zero is no limit and so the default.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, ArtifactsError> {
        let Some(text) = self.last(name) else {
            return Ok(None);
        };
        let seconds = text.parse().map(Duration::from_secs).ok();
        let duration = seconds.or_else(|| humantime::parse_duration(text).ok());
        let duration = duration.ok_or_else(|| wrong(name, &format!("is no duration: {text:?}")))?;
        Ok((!duration.is_zero()).then_some(duration))
    }
}

pub(super) fn wrong(option: &str, problem: &str) -> ArtifactsError {
    ArtifactsError::Option { option: option.into(), problem: problem.into() }
}
