//! `longshore ledger`: what happened on this host, for people and for scripts.

use std::io::{self, Write};
use std::time::SystemTime;

use serde_json::Value;

use super::Ledger;
use super::history::{Entry, Filter, History};
use crate::cli::LedgerArgs;
use crate::outcome::Outcome;
use crate::settings::Settings;
use crate::stage::error::CallError;
use crate::world::{Stdio, World};

/// The command.
///
/// # Errors
/// When `--since` is no time, or the ledger cannot be read.
pub fn command(
    settings: &Settings,
    world: &World,
    args: &LedgerArgs,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    let since = args.since.as_deref().map(|text| moment(text, (world.clock)())).transpose()?;
    let filter = Filter {
        job: args.job.clone(),
        pipeline: args.pipeline,
        project: args.project.clone(),
        since,
    };
    let history = Ledger::at(&settings.state_dir).history(&filter).map_err(CallError::system)?;
    match show(&history, args.json, &mut stdio.stdout) {
        // `longshore ledger | head` has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CallError::system(error)),
        _ => Ok(Outcome::Success),
    }
}

/// `2h` ago, or a time.
fn moment(text: &str, now: SystemTime) -> Result<SystemTime, CallError> {
    let ago = || humantime::parse_duration(text).ok().and_then(|ago| now.checked_sub(ago));
    humantime::parse_rfc3339_weak(text).ok().or_else(ago).ok_or_else(|| {
        CallError::job(format!(
            "--since {text}: write how long ago (30m, 2h, 7d) or a UTC time (2026-01-31T08:00:00Z)"
        ))
    })
}

fn show(history: &History, json: bool, out: &mut impl Write) -> io::Result<()> {
    for entry in &history.entries {
        if json {
            serde_json::to_writer(&mut *out, entry)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", line(entry))?;
        }
    }
    if json {
        return Ok(());
    }
    if history.entries.is_empty() {
        writeln!(out, "nothing of that is in the ledger")?;
    }
    if history.unreadable > 0 {
        writeln!(out, "({} lines are torn or of another version)", history.unreadable)?;
    }
    Ok(())
}

fn line(entry: &Entry) -> String {
    let fields = entry.fields.iter().filter(|(name, value)| *name != "job" && !value.is_object());
    let told: Vec<String> =
        fields.map(|(name, value)| format!("{name}={}", in_words(value))).collect();
    let line =
        format!("{}  {:<9}  {:<18}  {}", entry.time, entry.event, entry.job(), told.join("  "));
    line.trim_end().to_owned()
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains(char::is_whitespace) => text.clone(),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::*;
    use crate::plan::prune::PrunePolicy;

    const DAY: &str = "1970-01-02T00:00:00Z";

    fn shown(filter: &Filter, json: bool) -> String {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(directory.path());
        let now = humantime::parse_rfc3339(DAY).unwrap();
        for (job, id, pipeline) in [("7-abc", 7, 70), ("8-def", 8, 80)] {
            let project = "web/shop";
            let started =
                Event::Started { job, id, name: "unit tests", project, pipeline, commit: "0a1b" };
            ledger.append(&started, now).unwrap();
            ledger.append(&Event::Removing { job }, now).unwrap();
        }
        let objects = ["longshore-9-job".to_owned()];
        ledger.append(&Event::Reaped { objects: &objects, left: &[] }, now).unwrap();
        let mut bytes = Vec::new();
        show(&ledger.history(filter).unwrap(), json, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn all_of_it() {
        let time = "1970-01-02T00:00:00.000Z";
        let expected = format!(
            "{time}  started    7-abc               commit=0a1b  id=7  name=\"unit tests\"  pipeline=70  project=web/shop\n\
             {time}  removing   7-abc\n\
             {time}  started    8-def               commit=0a1b  id=8  name=\"unit tests\"  pipeline=80  project=web/shop\n\
             {time}  removing   8-def\n\
             {time}  reaped                         objects=longshore-9-job\n"
        );
        assert_eq!(shown(&Filter::default(), false), expected);
    }

    #[test]
    fn one_pipeline_as_json() {
        let filter = Filter { pipeline: Some(80), ..Filter::default() };
        let head = r#"{"version":1,"time":"1970-01-02T00:00:00.000Z","event":"#;
        let started = r#""started","commit":"0a1b","id":8,"job":"8-def","name":"unit tests","pipeline":80,"project":"web/shop"}"#;
        let removing = r#""removing","job":"8-def"}"#;
        assert_eq!(shown(&filter, true), format!("{head}{started}\n{head}{removing}\n"));
    }

    #[test]
    fn a_prune_by_hand_is_its_pipelines_and_its_projects() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(directory.path());
        for (job, pipeline) in [("by-hand-70", 70), ("by-hand-80", 80)] {
            let (project, references) = ("web/shop".to_owned(), [format!("{job}:test")]);
            let policy = PrunePolicy { project, pipeline, ..PrunePolicy::default() };
            let (policy, references) = (&policy, &references[..]);
            let plan = Event::Pruning { job, policy, references, images: &[], latest: None };
            ledger.append(&plan, SystemTime::UNIX_EPOCH).unwrap();
            let pruned = Event::Pruned { job, references, bytes: 0, left: &[] };
            ledger.append(&pruned, SystemTime::UNIX_EPOCH).unwrap();
        }
        let count = |filter: Filter| ledger.history(&filter).unwrap().entries.len();
        assert_eq!(count(Filter { pipeline: Some(80), ..Filter::default() }), 2);
        assert_eq!(count(Filter { project: Some("web/shop".into()), ..Filter::default() }), 4);
        assert_eq!(count(Filter { project: Some("web/blog".into()), ..Filter::default() }), 0);
    }

    #[test]
    fn by_number_key_project_and_time() {
        let count = |filter: Filter| shown(&filter, true).lines().count();
        let job = |job: &str| Filter { job: Some(job.into()), ..Filter::default() };
        assert_eq!([count(job("7")), count(job("7-abc")), count(job("abc"))], [2, 2, 0]);
        let project = |name: &str| Filter { project: Some(name.into()), ..Filter::default() };
        assert_eq!([count(project("web/shop")), count(project("web"))], [4, 0]);
        let since = |text: &str| {
            let now = humantime::parse_rfc3339(DAY).unwrap() + std::time::Duration::from_mins(1);
            Filter { since: Some(moment(text, now).unwrap()), ..Filter::default() }
        };
        assert_eq!([count(since("2m")), count(since("30s")), count(since(DAY))], [5, 0, 5]);
    }

    #[test]
    fn no_time_at_all() {
        let error = moment("yesterday", SystemTime::UNIX_EPOCH).unwrap_err().to_string();
        assert!(error.contains("--since yesterday: write how long ago"), "{error}");
    }
}
