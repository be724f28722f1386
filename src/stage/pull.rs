//! Brings an image onto the engine as its pull policies say, and tells how it goes.

use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::credentials::Credentials;
use super::error::CallError;
use super::hint;
use super::pull_log::PullLog;
use crate::engine::{Engine, EngineError, Fault, ImageFacts, PullProgress};
use crate::host::lease::{Held, Leases};
use crate::plan::{ImagePlan, ImageSource, login};
use crate::settings::PullPolicy;

/// Waits between tries where a registry fails for now.
///
/// Few: the runner itself tries a failed `prepare` three times.
const BACK_OFF: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Longest wait that a registry may ask for by `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// An image that is on the engine.
#[derive(Debug, Clone)]
pub struct Ready {
    /// What it says of itself.
    pub facts: ImageFacts,
    /// The name under which it is there: a mirror's, where it came from one.
    pub reference: String,
    /// Nobody removes it while this is held: to be kept until a container of it is created.
    pub leases: Vec<Held>,
    /// How long it was pulled, where it was.
    pub pulled: Option<Duration>,
}

impl Ready {
    fn of(facts: ImageFacts, reference: String) -> Self {
        Self { facts, reference, leases: Vec::new(), pulled: None }
    }
}

/// What getting images needs.
pub struct Puller<'a, E: Engine, W: Write> {
    /// Where they are to be.
    pub engine: &'a E,
    /// Where it is held against removal.
    pub leases: &'a Leases,
    /// Who knows the logins.
    pub credentials: &'a Credentials<'a>,
    /// Where it is told.
    pub log: &'a PullLog<'a, W>,
}

impl<E: Engine, W: Write> Puller<'_, E, W> {
    /// Tries the policies in their order until one gives the image.
    ///
    /// # Errors
    /// The job's own fault where the image does not exist or is not its to have; else ours.
    pub async fn ensure(&self, wanted: &ImagePlan) -> Result<Ready, CallError> {
        let deadline = Duration::from_secs(wanted.deadline_seconds);
        let outcome = tokio::time::timeout(deadline, self.leased(wanted)).await;
        outcome.unwrap_or_else(|_elapsed| {
            Err(CallError::system(format!(
                "failed to pull {}: not done within {}{}",
                wanted.reference,
                humantime::format_duration(deadline),
                hint::of_pull(Fault::Deadline)
            )))
        })
    }

    /// Holds every name under which the image may come before looking for it, and then its id.
    async fn leased(&self, wanted: &ImagePlan) -> Result<Ready, CallError> {
        let mut leases = Vec::new();
        let _pulling = self.leases.hold_pulls().await.map_err(no_lease)?;
        for source in &wanted.sources {
            leases.push(self.leases.hold(&source.reference).await.map_err(no_lease)?);
        }
        let mut ready = self.by_policies(wanted).await?;
        leases.push(self.leases.hold(&ready.facts.id).await.map_err(no_lease)?);
        ready.leases = leases;
        Ok(ready)
    }

    async fn by_policies(&self, wanted: &ImagePlan) -> Result<Ready, CallError> {
        let mut policies = wanted.policies.iter().peekable();
        while let Some(policy) = policies.next() {
            match (self.by_policy(wanted, *policy).await, policies.peek()) {
                (Ok(ready), _) => return Ok(ready),
                (Err(error), None) => return Err(error),
                (Err(error), Some(next)) => {
                    self.log.line(format!("warning: {error}; going on with pull policy {next}"));
                }
            }
        }
        Err(CallError::job(format!("no pull policy is left for {}", wanted.reference)))
    }

    async fn by_policy(&self, wanted: &ImagePlan, policy: PullPolicy) -> Result<Ready, CallError> {
        if policy != PullPolicy::Always {
            let cached = self.cached(wanted).await?;
            let message = match &cached {
                Cached::Usable(ready) => return Ok(ready.clone()),
                Cached::Absent => format!("the image {} is not on this host", wanted.reference),
                Cached::Private(error) => format!(
                    "the image {} is on this host, but there is no telling that this project may have \
                     it ({}){}",
                    wanted.reference,
                    error.cause,
                    hint::SHARED_IMAGES
                ),
            };
            if policy == PullPolicy::Never {
                return Err(CallError::job(format!(
                    "{message}\n  pull policy `never` forbids to pull it"
                )));
            }
            if matches!(cached, Cached::Private(_)) {
                self.log.line(message);
            }
        }
        self.pull(wanted, policy).await
    }

    /// The image where it is on the engine already, under its own name or a mirror's.
    async fn cached(&self, wanted: &ImagePlan) -> Result<Cached, CallError> {
        let mut refused = None;
        for source in wanted.sources.iter().rev() {
            let reference = source.reference.clone();
            let Some(facts) = self.engine.image(&reference).await? else { continue };
            if !fits(&facts, wanted.platform.as_deref()) {
                continue;
            }
            match self.may_use(wanted, source, &facts).await {
                Ok(()) => {
                    return Ok(Cached::Usable(Ready::of(facts, reference)));
                }
                Err(error) => refused = Some(error),
            }
        }
        Ok(refused.map_or(Cached::Absent, Cached::Private))
    }

    /// Whether this project could pull what is on the host. What never came from a registry (it has no
    /// digest there) was made or loaded here, and is for all.
    async fn may_use(
        &self,
        wanted: &ImagePlan,
        source: &ImageSource,
        facts: &ImageFacts,
    ) -> Result<(), EngineError> {
        let name = login::full_name(&source.reference);
        let pulled = facts.digests.iter().any(|digest| login::full_name(digest) == name);
        if !wanted.check_cached || !pulled {
            return Ok(());
        }
        let login = self.credentials.login(source).await.login;
        self.engine.may_pull(&source.reference, login.as_ref()).await
    }

    /// Asks the mirrors once each, then the registry itself with some patience.
    async fn pull(&self, wanted: &ImagePlan, policy: PullPolicy) -> Result<Ready, CallError> {
        let title = format!("Pulling {} (pull policy {policy})", wanted.reference);
        let told = self.log.begin(&wanted.reference, &title);
        let began = Instant::now();
        let mut outcome = Err(CallError::system("there is nowhere to pull it from"));
        for source in &wanted.sources {
            let mirror = source.reference != wanted.reference;
            let waits = if mirror { &[][..] } else { &BACK_OFF[..] };
            let pulled = self.patiently(wanted, source, waits).await;
            if let (true, Err(error)) = (mirror, &pulled) {
                let name = &wanted.reference;
                self.log.line(format!("{name}: the mirror does not give it: {error}"));
                continue;
            }
            outcome = pulled.map(|()| source).map_err(|error| failure(wanted, &error));
            break;
        }
        if outcome.is_ok() {
            let seconds = began.elapsed().as_secs_f32();
            self.log.line(format!("Pulled {} in {seconds:.1} s", wanted.reference));
        }
        drop(told);
        let ready = self.pulled(outcome?).await?;
        Ok(Ready { pulled: Some(began.elapsed()), ..ready })
    }

    async fn pulled(&self, source: &ImageSource) -> Result<Ready, CallError> {
        let reference = source.reference.clone();
        match self.engine.image(&reference).await? {
            Some(facts) => Ok(Ready::of(facts, reference)),
            None => Err(CallError::system(format!(
                "the image {reference} was pulled but is not there; was it just pruned?"
            ))),
        }
    }

    async fn patiently(
        &self,
        wanted: &ImagePlan,
        source: &ImageSource,
        waits: &[Duration],
    ) -> Result<(), EngineError> {
        let mut waits = waits.iter();
        loop {
            let Err(error) = self.once(wanted, source).await else { return Ok(()) };
            let passing = matches!(error.fault, Fault::Transient | Fault::Throttled);
            let Some(wait) = passing.then(|| waits.next()).flatten() else { return Err(error) };
            let wait = error.retry_after.unwrap_or(*wait).min(LONGEST_WAIT);
            self.log.line(format!("{error}; trying again in {} s", wait.as_secs()));
            tokio::time::sleep(wait).await;
        }
    }

    async fn once(&self, wanted: &ImagePlan, source: &ImageSource) -> Result<(), EngineError> {
        let found = self.credentials.login(source).await;
        for warning in found.warnings {
            self.log.line(format!("warning: {warning}"));
        }
        let mut tell = |step: PullProgress| self.log.step(&wanted.reference, step);
        let platform = wanted.platform.as_deref();
        let (reference, login) = (&source.reference, found.login.as_ref());
        self.engine.pull(reference, platform, login, &mut tell).await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "errors are handed over where they end")]
fn no_lease(error: std::io::Error) -> CallError {
    CallError::system(format!(
        "failed to lock an image in {error}; set run_dir to a directory of this user with room"
    ))
}

/// What is on the engine before anything is pulled.
enum Cached {
    Usable(Ready),
    Absent,
    /// It is there, but its registry does not say that this project may have it.
    Private(EngineError),
}

/// Whether an image is for the platform that the job asked for.
fn fits(facts: &ImageFacts, platform: Option<&str>) -> bool {
    platform.is_none_or(|asked| {
        facts.platform == asked || facts.platform.starts_with(&format!("{asked}/"))
    })
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
