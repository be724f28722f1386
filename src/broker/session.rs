//! What the requests of one stage share: the view of the job, the way to the daemon, and whom refusals are
//! told. It decides nothing itself.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderValue;
use tokio::sync::mpsc;

use crate::plan::BrokerPlan;

use super::forward::Address;
use super::outgoing::{Kind, LoginFor, Note, Outgoing};
use super::pace::Pace;
use super::policy::{self, Decision};
use super::record::{self, Heard, ImageRecord};
use super::refusal::Refusal;
use super::registry;
use super::request::Request;
use super::view::JobView;

/// Most texts that the job log is told.
const TOLD: usize = 50;

/// A login that names nobody: `{}`.
const NOBODY: &str = "e30=";

/// What comes after them.
const MORE: &str = "the Docker broker has more to say, and stops here for this stage";

/// What the job log is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Something was refused.
    Refused(Refusal),
    /// Something is unusual, though it is allowed.
    Line(String),
    /// Something was done to images.
    Image(ImageRecord),
}

/// What was found for an image.
#[derive(Default)]
pub struct Login {
    /// The value of `X-Registry-Auth`; `None` asks as nobody.
    pub header: Option<HeaderValue>,
    /// What was wrong with a place that should have had one.
    pub warnings: Vec<String>,
}

/// Finds the login for an image; fails with what keeps the one that it should have from being had.
pub type LoginFinder = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<Login, String>> + Send>> + Send + Sync,
>;

/// What a broker is made of.
pub struct Parts {
    /// The job.
    pub view: JobView,
    /// What is allowed.
    pub rules: BrokerPlan,
    /// Where the daemon is.
    pub daemon: Address,
    /// The job's logins.
    pub logins: LoginFinder,
    /// Gives a text that nobody can guess, another each time.
    pub fresh: fn() -> String,
    /// Who writes the job log.
    pub told: mpsc::UnboundedSender<Word>,
}

/// The broker of one stage.
pub struct Broker {
    view: Mutex<JobView>,
    rules: BrokerPlan,
    pub(super) daemon: Address,
    logins: LoginFinder,
    fresh: fn() -> String,
    told: mpsc::UnboundedSender<Word>,
    known: Mutex<BTreeSet<String>>,
    pub(super) pace: Pace,
}

impl Broker {
    /// Begins.
    pub fn new(parts: Parts) -> Self {
        let Parts { view, rules, daemon, logins, fresh, told } = parts;
        Self {
            view: Mutex::new(view),
            rules,
            daemon,
            logins,
            fresh,
            told,
            known: Mutex::default(),
            pace: Pace::new(),
        }
    }

    /// Decides on a request, and counts what it is going to make: of many at once each sees the others.
    pub(super) fn decide(self: &Arc<Self>, request: &Request) -> (Decision, Coming) {
        let mut view = lock(&self.view);
        view.fresh = (self.fresh)();
        let decision = policy::decide(request, &view, &self.rules);
        let mut coming = Coming { broker: Arc::clone(self), kinds: Vec::new() };
        if let Decision::Allow(outgoing) = &decision {
            let kinds = outgoing.notes.iter().filter_map(|note| match note {
                Note::Created { kind, .. } => Some(*kind),
                _ => None,
            });
            coming.kinds = kinds.collect();
        }
        for kind in &coming.kinds {
            *view.own.coming.entry(*kind).or_default() += 1;
        }
        (decision, coming)
    }

    /// Judges something by the view and the rules.
    pub(super) fn judged<T>(&self, judge: impl FnOnce((&JobView, &BrokerPlan)) -> T) -> T {
        judge((&lock(&self.view), &self.rules))
    }

    /// A text that nobody can guess.
    pub(super) fn fresh(&self) -> String {
        (self.fresh)()
    }

    /// Something with the view.
    pub(super) fn with_view<T>(&self, work: impl FnOnce(&mut JobView) -> T) -> T {
        work(&mut lock(&self.view))
    }

    /// Writes down what has become of a request.
    pub(super) fn record(&self, note: &Note, id: Option<&str>) {
        lock(&self.view).record(note, id);
    }

    /// The login that goes with a request.
    ///
    /// # Errors
    /// There should be one, and it cannot be had: asking as nobody would blame the registry.
    pub(super) async fn login(&self, outgoing: &Outgoing) -> Result<Option<HeaderValue>, Refusal> {
        let LoginFor::Image(image) = &outgoing.login else { return Ok(None) };
        let found = (self.logins)(image.clone()).await.map_err(|message| Refusal {
            rule: "login",
            status: 503,
            message,
            told: true,
        })?;
        for warning in &found.warnings {
            self.tell_line(&format!("warning: {warning}"));
        }
        // A push without the header is no request to the daemon, whatever the registry would say to it.
        Ok(Some(found.header.unwrap_or(HeaderValue::from_static(NOBODY))))
    }

    /// Writes down for the ledger what was done to images.
    pub(super) fn write_down(&self, outgoing: &Outgoing, heard: &Heard) {
        let records = record::of(&lock(&self.view), outgoing, heard);
        for one in records {
            let _ = self.told.send(Word::Image(one)); // the stage is ending
        }
    }

    /// Tells the job log what can be done where a registry did not do its part.
    pub(super) fn tell_failure(&self, outgoing: &Outgoing, message: &str) {
        if let LoginFor::Image(image) = &outgoing.login
            && let Some(line) = registry::line(outgoing, image, message)
        {
            self.tell_line(&line);
        }
    }

    /// Most bytes of one archive.
    pub(super) fn upload_limit(&self) -> u64 {
        self.rules.quota.upload_bytes
    }

    /// Tells the job log of a refusal.
    pub(super) fn tell(&self, refusal: &Refusal) {
        if refusal.told {
            self.say(refusal.line(), Word::Refused(refusal.clone()));
        }
    }

    /// Tells the job log of what is unusual.
    pub(super) fn tell_line(&self, line: &str) {
        self.say(line.to_owned(), Word::Line(line.to_owned()));
    }

    /// Each text once, and in the end that there were more.
    fn say(&self, text: String, word: Word) {
        let mut known = lock(&self.known);
        if known.len() > TOLD || !known.insert(text) {
            return;
        }
        let word = if known.len() > TOLD { Word::Line(MORE.to_owned()) } else { word };
        let _ = self.told.send(word); // the stage is ending
    }
}

/// What a request is making: counted until its answer has been written down, or there is none.
pub(super) struct Coming {
    broker: Arc<Broker>,
    kinds: Vec<Kind>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut view = lock(&self.broker.view);
        for kind in &self.kinds {
            if let Some(count) = view.own.coming.get_mut(kind) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
