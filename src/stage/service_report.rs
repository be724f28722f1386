//! Tells the job log how the services stand, with the last words of those that are not as they should be.

use std::io::Write;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;

use crate::engine::{Engine, Output};
use crate::joblog::JobLog;
use crate::plan::ServicePlan;

use super::call::Call;
use super::error::CallError;
use super::ready::Readiness;

/// Lines of a service's output that are shown where it is not as it should be.
pub const LAST_LINES: usize = 50;

/// How long the daemon may take to tell them.
const TELLING: Duration = Duration::from_secs(10);

/// Opens the section that holds the waiting.
pub fn begin<W: Write>(call: &Call<'_>, log: &mut JobLog<W>) {
    let count = call.plan.services.len();
    let services = if count == 1 { "service" } else { "services" };
    let limit = call.plan.services_timeout_seconds;
    log.section("services", &format!("Waiting for {count} {services} (at most {limit} s)"));
}

/// Closes it, and says what each came to.
///
/// # Errors
/// The job's own fault where a critical service is not ready.
pub async fn end<E: Engine, W: Write>(
    call: &Call<'_>,
    engine: &E,
    log: &mut JobLog<W>,
    outcomes: &[Readiness],
) -> Result<(), CallError> {
    let services = || call.plan.services.iter().zip(outcomes);
    for (service, outcome) in services() {
        log.line(format!("{} {}", called(service), sentence(outcome)));
    }
    log.end();
    let mut missed = None;
    for (index, (service, outcome)) in services().enumerate().filter(|(_, one)| is_bad(one.1)) {
        let said = format!("the service {} {}", called(service), sentence(outcome));
        if service.critical {
            missed.get_or_insert(format!(
                "{said}; this job cannot do without it (critical)\n  its last lines stand above"
            ));
        } else {
            log.line(format!("warning: {said}; the job goes on without it"));
        }
        last_lines(engine, &call.plan.service_name(index), &service.image.reference, log).await;
    }
    missed.map_or(Ok(()), |message| Err(CallError::job(message)))
}

fn is_bad(outcome: &Readiness) -> bool {
    matches!(outcome, Readiness::Died { .. } | Readiness::NotReady { .. })
}

/// `postgres:17 (postgres, db)`
fn called(service: &ServicePlan) -> String {
    match service.aliases.as_slice() {
        [] => service.image.reference.clone(),
        aliases => format!("{} ({})", service.image.reference, aliases.join(", ")),
    }
}

fn sentence(outcome: &Readiness) -> String {
    match outcome {
        Readiness::Ready(after) => format!("is ready after {:.1} s", after.as_secs_f32()),
        Readiness::Unchecked => {
            "runs; it exposes no port and has no health check, so it was not waited for".to_owned()
        }
        Readiness::Died { out_of_memory: true, .. } => {
            "was killed for its memory ([service_container] limits)".to_owned()
        }
        Readiness::Died { code, .. } => format!("ended with exit code {code}"),
        Readiness::NotReady { problem } => format!("is not ready in time: {problem}"),
    }
}

/// A folded section with a service's last lines.
pub async fn last_lines<E: Engine, W: Write>(
    engine: &E,
    container: &str,
    image: &str,
    log: &mut JobLog<W>,
) {
    log.section("service", &format!("The last lines of {image}"));
    match timeout(TELLING, tail(engine, container)).await {
        Ok(Ok(text)) if text.is_empty() => log.line("(it wrote nothing)"),
        Ok(Ok(text)) => {
            String::from_utf8_lossy(&text).lines().for_each(|line| log.line(line.trim_end()));
        }
        Ok(Err(problem)) => log.line(format!("({problem})")),
        Err(_elapsed) => log.line("(the daemon does not tell them in time)"),
    }
    log.end();
}

async fn tail<E: Engine>(
    engine: &E,
    container: &str,
) -> Result<Vec<u8>, crate::engine::EngineError> {
    let mut output = engine.logs(container, Some(LAST_LINES), false).await?;
    let mut text = Vec::new();
    while let Some(piece) = output.next().await {
        match piece? {
            Output::Stdout(bytes) | Output::Stderr(bytes) => text.extend_from_slice(&bytes),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_says_what_happened() {
        let died = |out_of_memory| Readiness::Died { code: 137, out_of_memory };
        for (outcome, expected) in [
            (Readiness::Ready(Duration::from_millis(1260)), "is ready after 1.3 s"),
            (died(false), "ended with exit code 137"),
            (died(true), "was killed for its memory ([service_container] limits)"),
            (
                Readiness::NotReady { problem: "port 1: no".into() },
                "is not ready in time: port 1: no",
            ),
        ] {
            assert_eq!(sentence(&outcome), expected);
        }
    }
}
