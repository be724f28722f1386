//! Where a call's time went, as one line of the job log for jobs with `CI_DEBUG_TRACE`: its parts one after
//! the other, and on whom they were spent. It decides nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::meter::{Meter, Share};
use crate::job::JobContext;

/// The parts of one call, in their order.
#[derive(Debug)]
pub struct Timings {
    wanted: bool,
    begun: Instant,
    last: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Timings {
    /// Begins now.
    pub fn of(context: &JobContext) -> Self {
        let wanted = matches!(context.variable("CI_DEBUG_TRACE"), Some("true" | "1"));
        let now = Instant::now();
        Self { wanted, begun: now, last: now, parts: Vec::new() }
    }

    /// All since the part before was this.
    pub fn mark(&mut self, part: &'static str) {
        let now = Instant::now();
        self.parts.push((part, now - self.last));
        self.last = now;
    }

    /// The line, where the job wants one; with a meter it also says on whom the time was spent.
    pub fn line(&self, meter: Option<&Meter>) -> Option<String> {
        if !self.wanted {
            return None;
        }
        let shown =
            |name: &str, time: Duration| format!("{name} {:.1} ms", time.as_secs_f64() * 1e3);
        let parts = self.parts.iter().map(|(name, time)| shown(name, *time));
        let whole = self.last - self.begun;
        let all: Vec<String> = parts.chain([shown("all", whole)]).collect();
        let shares = meter.map(|meter| format!("; {}", shares(meter, whole)));
        Some(format!("longshore: timings: {}{}", all.join(", "), shares.unwrap_or_default()))
    }
}

/// On whom the whole was spent; what nothing was spent on is left out.
fn shares(meter: &Meter, whole: Duration) -> String {
    let shares = [
        (Share::Engine, format!("the Docker daemon ({} requests)", meter.requests())),
        (Share::Services, "waiting for services".to_owned()),
        (Share::Agent, "the agent".to_owned()),
        (Share::Secrets, "Vault".to_owned()),
    ];
    let spent = shares.map(|(share, name)| (meter.spent(share), name));
    let ours = whole.saturating_sub(spent.iter().map(|(spent, _)| *spent).sum());
    let percent = |part: Duration| 100.0 * part.as_secs_f64() / whole.as_secs_f64().max(1e-9);
    let parts = spent
        .into_iter()
        .filter(|(spent, _)| !spent.is_zero())
        .chain([(ours, "longshore itself".to_owned())])
        .map(|(spent, name)| format!("{:.0} % {name}", percent(spent)));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const JOB: &str = r#"{"id": 7, "job_info": {"name": "unit", "stage": "test", "project_id": 3,
        "project_full_path": "g/p"}, "git_info": {"repo_url": "https://h/g/p.git", "ref": "main", "sha": "abc"}}"#;

    fn line(trace: &str) -> Option<String> {
        let variables = BTreeMap::from([("CI_DEBUG_TRACE".to_owned(), trace.to_owned())]);
        let mut timings = Timings::of(&JobContext::new(variables, JOB.as_bytes()).unwrap());
        timings.mark("images");
        timings.mark("containers");
        timings.line(Some(&Meter::default()))
    }

    #[test]
    fn only_a_traced_job_is_told_where_its_time_went() {
        let told = line("true").unwrap();
        let words: Vec<&str> = told.split(' ').collect();
        assert_eq!(words[..3], ["longshore:", "timings:", "images"]);
        assert!(told.contains(" ms, containers ") && told.contains(" ms, all "), "{told}");
        assert!(told.ends_with(" ms; 100 % longshore itself"), "{told}");
        assert_eq!((line("false"), line("")), (None, None));
    }
}
