//! On what the wall time of `prepare` was spent, in one line, for jobs that trace themselves
//! (`CI_DEBUG_TRACE`). Pure.

use std::time::Duration;

use crate::engine::meter::{Meter, Share};

use super::call::Call;

/// GitLab's variable by which a job traces itself.
const ASK: &str = "CI_DEBUG_TRACE";

/// Whether the job wants to know.
pub fn is_asked(call: &Call<'_>) -> bool {
    call.context.variable(ASK).is_some_and(|said| matches!(said, "true" | "1"))
}

/// The line.
pub fn line(meter: &Meter, whole: Duration) -> String {
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
    let parts: Vec<String> = parts.collect();
    format!(
        "longshore: timings of prepare: {:.1} ms, {}",
        whole.as_secs_f64() * 1e3,
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_was_spent_on_is_left_out() {
        let said = line(&Meter::default(), Duration::from_millis(250));
        assert_eq!(said, "longshore: timings of prepare: 250.0 ms, 100 % longshore itself");
    }
}
