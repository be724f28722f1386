//! Where a call's time went, as one line of the job log for jobs with `CI_DEBUG_TRACE`. It measures and
//! decides nothing.

use std::time::Duration;

use tokio::time::Instant;

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

    /// The line, where the job wants one.
    pub fn line(&self) -> Option<String> {
        let shown =
            |name: &str, time: Duration| format!("{name} {:.1} ms", time.as_secs_f64() * 1e3);
        let parts = self.parts.iter().map(|(name, time)| shown(name, *time));
        let all: Vec<String> = parts.chain([shown("all", self.last - self.begun)]).collect();
        self.wanted.then(|| format!("longshore: timings: {}", all.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Timings;
    use crate::job::JobContext;

    const JOB: &str = r#"{"id": 7, "job_info": {"name": "unit", "stage": "test", "project_id": 3,
        "project_full_path": "g/p"}, "git_info": {"repo_url": "https://h/g/p.git", "ref": "main", "sha": "abc"}}"#;

    fn line(trace: &str) -> Option<String> {
        let variables = BTreeMap::from([("CI_DEBUG_TRACE".to_owned(), trace.to_owned())]);
        let mut timings = Timings::of(&JobContext::new(variables, JOB.as_bytes()).unwrap());
        timings.mark("images");
        timings.mark("containers");
        timings.line()
    }

    #[test]
    fn only_a_traced_job_is_told_where_its_time_went() {
        let told = line("true").unwrap();
        let words: Vec<&str> = told.split(' ').collect();
        assert_eq!(words[..3], ["longshore:", "timings:", "images"]);
        assert!(told.contains(" ms, containers ") && told.contains(" ms, all "), "{told}");
        assert_eq!((line("false"), line("")), (None, None));
    }
}
