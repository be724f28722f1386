//! Brings an image onto the engine as its pull policies say, and tells how it goes.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::error::CallError;
use super::hint;
use crate::engine::{Engine, EngineError, Fault, ImageFacts, PullProgress, RegistryLogin};
use crate::joblog::JobLog;
use crate::plan::ImagePlan;
use crate::settings::PullPolicy;

/// Waits between tries where a registry fails for now.
///
/// Few: the runner itself tries a failed `prepare` three times.
const BACK_OFF: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Longest wait that a registry may ask for by `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Least time between two progress lines.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Tries the policies in their order until one gives the image.
///
/// # Errors
/// The job's own fault where the image does not exist or is not its to have; else ours.
pub async fn ensure<E: Engine, W: Write>(
    engine: &E,
    wanted: &ImagePlan,
    log: &mut JobLog<W>,
) -> Result<ImageFacts, CallError> {
    let deadline = Duration::from_secs(wanted.deadline_seconds);
    let outcome = tokio::time::timeout(deadline, by_policies(engine, wanted, log)).await;
    outcome.unwrap_or_else(|_elapsed| {
        log.end_all();
        Err(CallError::system(format!(
            "failed to pull {}: not done within {}{}",
            wanted.reference,
            humantime::format_duration(deadline),
            hint::of_pull(Fault::Deadline)
        )))
    })
}

async fn by_policies<E: Engine, W: Write>(
    engine: &E,
    wanted: &ImagePlan,
    log: &mut JobLog<W>,
) -> Result<ImageFacts, CallError> {
    let mut last = None;
    for policy in &wanted.policies {
        match by_policy(engine, wanted, *policy, log).await {
            Ok(facts) => return Ok(facts),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        CallError::job(format!("no pull policy is left for {}", wanted.reference))
    }))
}

async fn by_policy<E: Engine, W: Write>(
    engine: &E,
    wanted: &ImagePlan,
    policy: PullPolicy,
    log: &mut JobLog<W>,
) -> Result<ImageFacts, CallError> {
    let reference = &wanted.reference;
    if policy != PullPolicy::Always {
        if let Some(facts) = engine.image(reference).await? {
            return Ok(facts);
        }
        if policy == PullPolicy::Never {
            return Err(CallError::job(format!(
                "the image {reference} is not on this host, and pull policy `never` forbids to pull it"
            )));
        }
    }
    pull(engine, wanted, policy, log).await?;
    engine.image(reference).await?.ok_or_else(|| {
        CallError::system(format!(
            "the image {reference} was pulled but is not there; was it just pruned?"
        ))
    })
}

async fn pull<E: Engine, W: Write>(
    engine: &E,
    wanted: &ImagePlan,
    policy: PullPolicy,
    log: &mut JobLog<W>,
) -> Result<(), CallError> {
    log.section("pull", &format!("Pulling {} (pull policy {policy})", wanted.reference));
    let began = Instant::now();
    let mut waits = BACK_OFF.into_iter();
    let outcome = loop {
        let error = match once(engine, wanted, log).await {
            Ok(()) => break Ok(()),
            Err(error) => error,
        };
        let passing = matches!(error.fault, Fault::Transient | Fault::Throttled);
        let Some(wait) = passing.then(|| waits.next()).flatten() else {
            break Err(error);
        };
        let wait = error.retry_after.unwrap_or(wait).min(LONGEST_WAIT);
        log.line(format!("{error}; trying again in {} s", wait.as_secs()));
        tokio::time::sleep(wait).await;
    };
    if outcome.is_ok() {
        log.line(format!("Pulled in {:.1} s", began.elapsed().as_secs_f32()));
    }
    log.end();
    outcome.map_err(|error| failure(wanted, &error))
}

async fn once<E: Engine, W: Write>(
    engine: &E,
    wanted: &ImagePlan,
    log: &mut JobLog<W>,
) -> Result<(), EngineError> {
    let mut meter = Meter::new();
    let mut tell = |step: PullProgress| {
        if let Some(line) = meter.step(step) {
            log.line(line);
        }
    };
    let login = wanted.login.as_ref().map(|login| RegistryLogin {
        registry: login.registry.clone(),
        username: login.username.clone(),
        password: login.password.clone(),
    });
    engine.pull(&wanted.reference, wanted.platform.as_deref(), login.as_ref(), &mut tell).await
}

/// Adds the layers' bytes up and says when a line is due.
struct Meter {
    layers: HashMap<String, (u64, u64)>,
    began: Instant,
    told: Instant,
}

impl Meter {
    fn new() -> Self {
        let now = Instant::now();
        Self { layers: HashMap::new(), began: now, told: now }
    }

    fn step(&mut self, step: PullProgress) -> Option<String> {
        if step.status == "Downloading"
            && let Some(bytes) = step.bytes
        {
            self.layers.insert(step.layer, bytes);
        }
        if self.told.elapsed() < PROGRESS_EVERY {
            return None;
        }
        self.told = Instant::now();
        let (done, all) =
            self.layers.values().fold((0, 0), |(done, all), layer| (done + layer.0, all + layer.1));
        Some(progress_line(done, all, self.began.elapsed()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people, to one decimal")]
fn progress_line(done: u64, all: u64, elapsed: Duration) -> String {
    let mega = |bytes: u64| bytes as f64 / 1e6;
    let rate = mega(done) / elapsed.as_secs_f64().max(0.001);
    let left = if rate > 0.0 { mega(all.saturating_sub(done)) / rate } else { 0.0 };
    format!("{:.1} of {:.1} MB, {rate:.1} MB/s, about {left:.0} s left", mega(done), mega(all))
}

/// A registry that says no blames the job: trying three times would not change its mind.
fn failure(wanted: &ImagePlan, error: &EngineError) -> CallError {
    let hint = hint::of_pull(error.fault);
    let message = format!("failed to pull {}: {}{hint}", wanted.reference, error.cause);
    match error.fault {
        Fault::Denied | Fault::NoSuchImage => CallError::job(message),
        _ => CallError::system(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_bytes_rate_and_time_left() {
        assert_eq!(
            progress_line(30_000_000, 90_000_000, Duration::from_secs(10)),
            "30.0 of 90.0 MB, 3.0 MB/s, about 20 s left"
        );
        assert_eq!(progress_line(0, 0, Duration::ZERO), "0.0 of 0.0 MB, 0.0 MB/s, about 0 s left");
    }
}
