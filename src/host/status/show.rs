//! The status as people read it.

use std::fmt::Write;

use super::super::gc::bytes;
use super::{Job, Settings, Space, Status, ago};
use crate::settings::Watermark;

/// One paragraph after the other, each line beginning with what it is about.
pub(super) fn text(status: &Status, settings: &Settings) -> String {
    let mut lines = Lines(String::new());
    lines.add("longshore", &format!("{} with {}", status.version, status.engine));
    if let Some(error) = &status.engine_error {
        lines.add("engine", error.lines().next().unwrap_or_default());
    }
    if let Some(error) = &status.ledger_error {
        lines.add("ledger", error);
    }
    lines.add("jobs", &jobs(status));
    for job in &status.jobs {
        lines.add("", &of_job(job, status.time));
    }
    if let Some(ended) = ended(status) {
        lines.add("", &ended);
    }
    space(status, settings, &mut lines);
    lines.add("gc", &last_gc(status, settings));
    let reap = status.last_reap.map(|then| format!("{} ago", ago(then, status.time)));
    lines.add("reap", reap.as_deref().unwrap_or("not since this host's boot"));
    for image in &status.leases {
        lines.add("leased", &format!("{image} is held for a job that begins"));
    }
    for name in &status.left_running {
        lines.add("running", &format!("{name} was left by a job with the raw socket"));
    }
    for left in &status.leftovers {
        lines.add("left over", &format!("{}: {}", left.name, left.reason));
    }
    lines.0
}

/// A column of names and one of text.
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{}", format!("{name:<10} {text}").trim_end());
    }
}

fn jobs(status: &Status) -> String {
    let count = match status.jobs.len() {
        0 => "none".to_owned(),
        count => count.to_string(),
    };
    let waiting = match status.waiting {
        0 => String::new(),
        count => format!(", {count} waiting"),
    };
    let slots = status.slots;
    let most = status.max_jobs.map(|most| format!(" of {most}")).unwrap_or_default();
    format!("{count}{most}{waiting}; slots: {} used, {} idle", slots.used, slots.idle)
}

fn of_job(job: &Job, now: u64) -> String {
    let state = if job.state == "running" { "" } else { &job.state };
    let Job { key, project, name, .. } = job;
    format!("{key:<18} {:>8}  {project}  {name}  {state}", ago(job.since, now))
        .trim_end()
        .to_owned()
}

/// All jobs that ended on this host, by outcome.
fn ended(status: &Status) -> Option<String> {
    let counts = &status.totals.jobs;
    if counts.is_empty() {
        return None;
    }
    let told: Vec<String> = ["success", "failed", "canceled", "system_failure"]
        .iter()
        .filter_map(|outcome| {
            Some(format!("{} {}", counts.get(*outcome)?, outcome.replace('_', " ")))
        })
        .collect();
    Some(format!("so far: {}", told.join(", ")))
}

fn space(status: &Status, settings: &Settings, lines: &mut Lines) {
    let Some(space) = &status.space else {
        let why = status.space_unseen.as_deref().unwrap_or("not known");
        return lines.add("space", why);
    };
    let Space { bytes: all, free_bytes: free, .. } = *space;
    let path = space.path.display();
    let marks = of_marks(settings.gc.free, all, bytes);
    lines.add("space", &format!("{path}: {} of {} free {marks}", bytes(free), bytes(all)));
    if space.inodes > 0 {
        let marks = of_marks(settings.gc.free_inodes, space.inodes, |count| count.to_string());
        lines.add("inodes", &format!("{} of {} free {marks}", space.free_inodes, space.inodes));
    }
    if let Some(shortage) = &status.shortage {
        lines.add("SHORT", shortage);
    }
}

/// When something is removed, and until when.
fn of_marks(mark: Watermark, whole: u64, shown: impl Fn(u64) -> String) -> String {
    let (low, high) = (mark.low.of(whole), mark.high.of(whole));
    if low == 0 {
        String::new()
    } else {
        format!("(gc below {}, up to {})", shown(low), shown(high))
    }
}

fn last_gc(status: &Status, settings: &Settings) -> String {
    let last = match status.last_gc {
        Some(last) => format!("{} ago, freed {}", ago(last.time, status.time), bytes(last.bytes)),
        None => "not yet".to_owned(),
    };
    if settings.gc.enabled { last } else { format!("off; {last}") }
}
