//! What a reap found and says of it, for people and as JSON. It decides nothing.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::ReapArgs;
use crate::plan::sweep::{Doomed, Kind};
use crate::secrets::vault::Holder;

/// How many containers of others are told by name to people.
const NAMED: usize = 10;

/// All that was found, in the order in which it goes.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Objects of the engine.
    pub(super) remove: Vec<Doomed>,
    /// Vault tokens.
    pub(super) revoke: Vec<Token>,
    /// Directories of runners.
    pub(super) directories: Vec<Directory>,
    /// Jobs whose cleanup was cut short.
    pub(super) unfinished: Vec<String>,
    /// Names of containers that are not ours, what jobs with the raw socket left among them: never removed.
    pub(super) others: Vec<String>,
    /// What could not be looked at.
    pub(super) unknown: Vec<String>,
}

/// One kept token.
#[derive(Debug, Serialize)]
pub(super) struct Token {
    /// Names the token without being one.
    pub(super) accessor: String,
    /// The job's key.
    pub(super) job: String,
    /// Why it goes.
    pub(super) reason: &'static str,
}

/// One directory of a runner.
#[derive(Debug, Serialize)]
pub(super) struct Directory {
    /// The job's key.
    pub(super) job: String,
    /// Where.
    pub(super) path: String,
    /// Why it goes.
    pub(super) reason: &'static str,
}

impl Token {
    /// The token of this holder.
    pub(super) fn of(holder: &Holder, accessor: &str, reason: &'static str) -> Self {
        Self { job: holder.job.clone(), accessor: accessor.to_owned(), reason }
    }
}

impl Report {
    /// Writes it as the command line asks for.
    ///
    /// # Errors
    /// When nobody takes it.
    pub(super) fn write(&self, args: &ReapArgs, out: &mut dyn Write) -> io::Result<()> {
        if args.json {
            serde_json::to_writer(&mut *out, self)?;
            return writeln!(out);
        }
        let would = if args.plan { "would " } else { "" };
        for Doomed { kind, name, reason, .. } in &self.remove {
            writeln!(out, "{would}remove {} {name}: {reason}", word(*kind))?;
        }
        for Token { accessor, job, reason } in &self.revoke {
            writeln!(out, "{would}revoke Vault token {accessor} of job {job}: {reason}")?;
        }
        for Directory { path, reason, .. } in &self.directories {
            writeln!(out, "{would}remove directory {path}: {reason}")?;
        }
        if self.is_empty() && self.unknown.is_empty() {
            writeln!(out, "nothing to reap")?;
        }
        self.write_others(out)
    }

    /// Whether there is nothing to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.revoke.is_empty() && self.directories.is_empty()
    }

    fn write_others(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.others.is_empty() {
            return Ok(());
        }
        let named = self.others.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>();
        let more = self.others.len() - named.len();
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        writeln!(
            out,
            "not longshore's, and left alone: {} containers ({}{more}); what a job with the raw socket \
             left cannot be told from the host's own (`longshore reap --force-orphans` shows what runs since the \
             first such job)",
            self.others.len(),
            named.join(", ")
        )
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Container => "container",
        Kind::Network => "network",
        Kind::Volume => "volume",
        Kind::Image => "image",
    }
}
