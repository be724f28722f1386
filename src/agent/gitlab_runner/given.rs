//! Options as a script gave them: names, values and flags, without what they mean. Pure.

use super::error::TransferError;
use crate::job::expand::expand;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// What one command knows, in lists that commands share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Options with a value.
    pub(super) values: &'static [&'static [&'static str]],
    /// Options that are there or not.
    pub(super) flags: &'static [&'static str],
    /// Environment variables that stand in for options, as in GitLab's binary.
    pub(super) environment: &'static [&'static [(&'static str, &'static str)]],
}

/// Options with a value that all transfers share.
pub(super) const TRANSFER: &[&str] =
    &["--url", "--timeout", "--retry", "--retry-time", "--transfer-meter-frequency"];

/// Options as they were given, values by name.
#[derive(Debug)]
pub(super) struct Given<'e> {
    values: BTreeMap<String, Vec<String>>,
    environment: &'e BTreeMap<OsString, OsString>,
}

impl<'e> Given<'e> {
    /// Sorts words into options; the error names the first that the command does not know.
    pub(super) fn read(
        words: &[&str],
        known: Known,
        environment: &'e BTreeMap<OsString, OsString>,
    ) -> Result<Self, String> {
        let mut given = Self { values: BTreeMap::new(), environment };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (*word, None),
            };
            let value = if known.flags.contains(&name) {
                value.unwrap_or("true")
            } else if known.values.iter().any(|names| names.contains(&name)) {
                let next = || words.next().copied();
                value.or_else(next).ok_or_else(|| format!("option {name} without a value"))?
            } else {
                return Err(format!("option {name}"));
            };
            given.values.entry(name.into()).or_default().push(value.into());
        }
        for (option, variable) in known.environment.iter().copied().flatten() {
            if let Some(value) = given.variable(variable).filter(|value| !value.is_empty()) {
                given.values.entry((*option).into()).or_insert_with(|| vec![value.into()]);
            }
        }
        Ok(given)
    }

    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.values.get(name).cloned().unwrap_or_default()
    }

    /// All values of an option with the variables in them: paths and names come from the scripts as the CI
    /// file has them; GitLab's binary expands them from its environment, and so do we.
    pub(super) fn all_expanded(&self, name: &str) -> Vec<String> {
        self.all(name).iter().map(|text| self.expanded(text)).collect()
    }

    /// A text with the environment's variables in it.
    pub(super) fn expanded(&self, text: &str) -> String {
        expand(text, |name| self.variable(name).map(str::to_owned))
    }

    /// A variable of the environment, where it is text.
    pub(super) fn variable(&self, name: &str) -> Option<&'e str> {
        self.environment.get(OsStr::new(name))?.to_str()
    }

    pub(super) fn last(&self, name: &str) -> Option<&str> {
        let values = self.values.get(name)?;
        values.last().map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.last(name).map(str::to_owned)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.last(name).is_some_and(|value| !matches!(value, "false" | "0"))
    }

    pub(super) fn needed(&self, name: &str) -> Result<&str, TransferError> {
        self.last(name).ok_or_else(|| wrong(name, "is missing"))
    }

    pub(super) fn number<N: std::str::FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<N>, TransferError> {
        let Some(text) = self.last(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| wrong(name, &format!("is not a number: {text:?}")))
    }

    /// A duration as Go prints it (`10m0s`) or plain seconds; zero is no limit and so the default.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, TransferError> {
        let Some(text) = self.last(name) else {
            return Ok(None);
        };
        let seconds = text.parse().map(Duration::from_secs).ok();
        let duration = seconds.or_else(|| humantime::parse_duration(text).ok());
        let duration = duration.ok_or_else(|| wrong(name, &format!("is no duration: {text:?}")))?;
        Ok((!duration.is_zero()).then_some(duration))
    }
}

pub(super) fn wrong(option: &str, problem: &str) -> TransferError {
    TransferError::Option { option: option.into(), problem: problem.into() }
}
