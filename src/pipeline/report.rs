//! What is told at the end of a pipeline: a table for people, JSON for programs. Pure.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::job_run::{Ending, JobReport};
use super::model::AllowFailure;

/// What became of one job of the pipeline.
#[derive(Debug, Clone)]
pub struct Row {
    /// The job's name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// What became of it.
    pub result: Verdict,
    /// How it ended; `None` where it never began.
    pub report: Option<JobReport>,
}

/// What a job means for the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed, and the pipeline with it.
    Failed,
    /// It failed and may.
    AllowedToFail,
    /// It was stopped.
    Cancelled,
    /// It waits for a person, and later stages with it.
    Blocking,
    /// It did not run, and why.
    Skipped(&'static str),
}

impl Verdict {
    /// What a job's end means for the pipeline.
    pub fn of(ending: &Ending, allow_failure: &AllowFailure) -> Self {
        let code = if let Ending::ScriptFailed(code) = ending { Some(*code) } else { None };
        let allowed = allow_failure.allows(code);
        match ending {
            Ending::Passed => Self::Passed,
            Ending::Cancelled => Self::Cancelled,
            _ if allowed => Self::AllowedToFail,
            _ => Self::Failed,
        }
    }

    /// In words.
    pub fn text(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::AllowedToFail => "allowed to fail",
            Self::Cancelled => "cancelled",
            Self::Blocking => "manual",
            Self::Skipped(_) => "skipped",
        }
    }

    fn colour(&self) -> u8 {
        match self {
            Self::Passed => 32,
            Self::Failed => 31,
            Self::AllowedToFail | Self::Cancelled => 33,
            Self::Blocking | Self::Skipped(_) => 90,
        }
    }
}

/// Why a job did not pass, in words; empty for one that did.
pub fn reason(row: &Row) -> String {
    let ending = row.report.as_ref().map(|report| &report.ending);
    match (&row.result, ending) {
        (Verdict::Skipped(why), _) => (*why).to_owned(),
        (Verdict::Blocking, _) => "later stages wait for it; name it to run it".to_owned(),
        (_, Some(Ending::ScriptFailed(code))) => format!("exit code {code}"),
        (_, Some(Ending::SystemFailed(why))) => why.clone(),
        (_, Some(Ending::TimedOut)) => "took longer than its timeout".to_owned(),
        _ => String::new(),
    }
}

/// The table: a line for each job, below it the seconds of each call.
pub fn table(rows: &[Row], colour: bool) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for row in rows {
        let mut result = format!("{:15}", row.result.text());
        if colour {
            result = format!("\x1b[{}m{result}\x1b[0m", row.result.colour());
        }
        let times = row.report.as_ref().map(|report| report.times.as_slice()).unwrap_or_default();
        let total: Duration = times.iter().map(|(_, time)| *time).sum();
        let total =
            if times.is_empty() { " ".repeat(9) } else { format!("{:7.2} s", total.as_secs_f64()) };
        let each: Vec<_> = times
            .iter()
            .map(|(name, time)| format!("{} {:.2}", short(name), time.as_secs_f64()))
            .collect();
        let reason = reason(row);
        let reason = if reason.is_empty() { reason } else { format!("{reason}  ") };
        let line = format!("{:width$}  {result}  {total}  {reason}{}", row.name, each.join(", "));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn short(name: &str) -> &str {
    match name {
        "upload_artifacts_on_success" | "upload_artifacts_on_failure" => "upload_artifacts",
        "archive_cache_on_failure" => "archive_cache",
        other => other,
    }
}

/// The same for programs.
pub fn json(rows: &[Row], pipeline_iid: u64, sha: &str) -> Value {
    let jobs: Vec<Value> = rows
        .iter()
        .map(|row| {
            let times =
                row.report.as_ref().map(|report| report.times.as_slice()).unwrap_or_default();
            let total: Duration = times.iter().map(|(_, time)| *time).sum();
            let calls: serde_json::Map<String, Value> = times
                .iter()
                .map(|(name, time)| (name.clone(), json!(time.as_secs_f64())))
                .collect();
            let exit_code = match row.report.as_ref().map(|report| &report.ending) {
                Some(Ending::ScriptFailed(code)) => Some(*code),
                _ => None,
            };
            json!({"name": row.name, "stage": row.stage, "result": row.result.text(),
                   "reason": reason(row), "exit_code": exit_code, "seconds": total.as_secs_f64(),
                   "calls": calls})
        })
        .collect();
    json!({"pipeline_iid": pipeline_iid, "sha": sha, "result": result(rows), "jobs": jobs})
}

/// The pipeline's own result.
pub fn result(rows: &[Row]) -> &'static str {
    let any = |wanted: &Verdict| rows.iter().any(|row| row.result == *wanted);
    if any(&Verdict::Cancelled) {
        "cancelled"
    } else if any(&Verdict::Failed) {
        "failed"
    } else if any(&Verdict::Blocking) {
        "blocked"
    } else {
        "passed"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_codes_are_allowed() {
        let codes = AllowFailure::ExitCodes(vec![3]);
        for (ending, allow, expected) in [
            (Ending::ScriptFailed(3), &codes, Verdict::AllowedToFail),
            (Ending::ScriptFailed(1), &codes, Verdict::Failed),
            (Ending::TimedOut, &codes, Verdict::Failed),
            (Ending::TimedOut, &AllowFailure::Yes, Verdict::AllowedToFail),
            (Ending::Cancelled, &AllowFailure::Yes, Verdict::Cancelled),
            (Ending::Passed, &AllowFailure::No, Verdict::Passed),
        ] {
            assert_eq!(Verdict::of(&ending, allow), expected, "{ending:?} {allow:?}");
        }
    }
}
