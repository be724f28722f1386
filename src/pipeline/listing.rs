//! `local --list`: which jobs there are and when they would run. Pure.

use std::fmt::Write;

use super::model::{Decision, When};
use super::schedule::Planned;

/// A line for each job, stage by stage.
pub fn table(stages: &[String], planned: &[Planned]) -> String {
    let width = planned.iter().map(|one| one.job.name.chars().count()).max().unwrap_or_default();
    let stage_width = stages.iter().map(|stage| stage.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for stage in stages {
        for one in planned.iter().filter(|one| one.job.stage == *stage) {
            let image = one.job.image.as_ref().map_or("", |image| image.name.as_str());
            let line = format!(
                "{stage:stage_width$}  {:width$}  {:10}  {image}",
                one.job.name,
                when(&one.decision)
            );
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

fn when(decision: &Decision) -> &'static str {
    let Decision::Run { when, .. } = decision else { return "left out" };
    match when {
        When::OnSuccess => "on_success",
        When::OnFailure => "on_failure",
        When::Always => "always",
        When::Manual => "manual",
        When::Never => "never",
    }
}

/// Whether a job was asked for and may run at all.
pub fn runs(one: &Planned) -> bool {
    one.wanted && !matches!(one.decision, Decision::Skip | Decision::Run { when: When::Never, .. })
}
