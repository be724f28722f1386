//! What `vault check` found, for people and for programs. Decides only how bad it is altogether.

use std::io::{self, Write};

use serde::Serialize;

use super::Answer;
use super::findings::{Finding, Severity};
use crate::outcome::Outcome;
use crate::secrets::vault::{LoginFacts, SecretIdFacts};

/// The server.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    /// Address and namespace.
    pub(super) at: String,
    pub(super) version: String,
    /// Positive where its clock is ahead of ours.
    pub(super) clock_offset_seconds: Option<i64>,
}

/// One secret of the settings.
#[derive(Debug, Serialize)]
pub(super) struct SecretState {
    pub(super) name: String,
    pub(super) path: String,
    /// Not known where `None`.
    pub(super) readable: Option<bool>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) server: Server,
    pub(super) login: LoginFacts,
    pub(super) secret_id_from: String,
    pub(super) secret_id: Option<SecretIdFacts>,
    pub(super) secrets: Vec<SecretState>,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    fn worst(&self) -> Severity {
        let worst = self.findings.iter().map(|finding| finding.severity).max();
        worst.unwrap_or(Severity::Remark)
    }
}

impl Answer for Report {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let offset = self.server.clock_offset_seconds;
        let clock = offset.map(|offset| format!(", its clock {offset:+} s from ours"));
        writeln!(
            out,
            "server:    {}, version {}, unsealed{}",
            self.server.at,
            self.server.version,
            clock.unwrap_or_default()
        )?;
        writeln!(
            out,
            "login:     {} token for {} s, policies {}",
            self.login.token_type,
            self.login.lives_seconds,
            self.login.policies.join(", ")
        )?;
        writeln!(
            out,
            "secret_id: {}{}",
            self.secret_id_from,
            self.secret_id.as_ref().map(life).unwrap_or_default()
        )?;
        for secret in &self.secrets {
            let word = match secret.readable {
                Some(true) => "can be read",
                Some(false) => "CANNOT be read",
                None => "perhaps",
            };
            writeln!(out, "secret:    {} ({}): {word}", secret.name, secret.path)?;
        }
        for finding in &self.findings {
            let word = match finding.severity {
                Severity::Remark => "remark:   ",
                Severity::Warning => "WARNING:  ",
                Severity::Refused => "REFUSED:  ",
            };
            writeln!(out, "{word} {}", finding.text)?;
        }
        Ok(())
    }

    fn outcome(&self) -> Outcome {
        match self.worst() {
            Severity::Remark => Outcome::Success,
            Severity::Warning => Outcome::JobFault,
            Severity::Refused => Outcome::SystemFault,
        }
    }
}

fn life(facts: &SecretIdFacts) -> String {
    let uses = facts.uses_left.map_or_else(|| "any number of".to_owned(), |uses| uses.to_string());
    let expires = facts.expires.as_deref().unwrap_or("never");
    let bound = match facts.bound_to.as_slice() {
        [] => String::new(),
        all => format!(", for {} only", all.join(", ")),
    };
    format!(", expires {expires}, {uses} logins left{bound}")
}
