//! What a job may do: one pure function from a request, the job and the operator's word to a decision.
//! Each rule allows something; what no rule allows is refused.

mod build;
mod container;
mod create;
mod exec;
mod filter;
mod host;
mod hosts;
mod image;
mod limits;
mod list;
mod mounts;
mod nested;
mod network;
mod prune;
mod publish;
mod pull;
mod synthetic;
#[cfg(test)]
mod tests;
mod top;
mod visible;
mod workspace;

use crate::plan::BrokerPlan;

use super::outgoing::{Answer, Note, OutBody, Outgoing, Shape};
use super::refusal::Refusal;
use super::request::{Method, Request};
use super::view::JobView;
pub use build::BuildPlan;
pub use prune::pruned;
pub(super) use pull::needed;
pub(super) use synthetic::NEWEST_API;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// This goes to the daemon instead.
    Allow(Box<Outgoing>),
    /// A build: its context is looked through on its way, see [`super::build`].
    Build(Box<BuildPlan>),
    /// Each of these goes to the daemon, one after the other; what the daemon does not do for one of them
    /// (409: in use) stays. [`pruned`] makes the answer.
    Prune(Prune),
    /// Answered here; the daemon is not asked.
    Reply(Reply),
    /// Nothing goes anywhere.
    Refuse(Refusal),
}

/// What a `prune` comes down to.
#[derive(Debug, Clone, PartialEq)]
pub struct Prune {
    /// What is pruned.
    pub kind: super::outgoing::Kind,
    /// As the job calls it, and how it goes.
    pub each: Vec<(String, Outgoing)>,
}

/// An answer of the broker's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers besides `Content-Type` and `Content-Length`.
    pub headers: Vec<(&'static str, String)>,
    /// JSON; text for `_ping`; empty for a HEAD and for 204.
    pub body: Vec<u8>,
    /// `Content-Type`
    pub content_type: &'static str,
    /// What the view is told.
    pub notes: Vec<Note>,
}

impl Reply {
    fn json(value: &serde_json::Value) -> Self {
        Self {
            status: 200,
            body: value.to_string().into_bytes(),
            content_type: "application/json",
            ..Self::default()
        }
    }
}

/// What a rule needs to know besides the request.
#[derive(Clone, Copy)]
struct Case<'a> {
    view: &'a JobView,
    rules: &'a BrokerPlan,
}

type Judged = Result<Decision, Refusal>;

/// Decides.
pub fn decide(request: &Request, view: &JobView, rules: &BrokerPlan) -> Decision {
    let mut decision = judge(request, Case { view, rules }).unwrap_or_else(Decision::Refuse);
    let api = Some(synthetic::api_minor(view));
    match &mut decision {
        Decision::Allow(outgoing) => outgoing.api = api,
        Decision::Build(plan) => plan.outgoing.api = api,
        Decision::Prune(prune) => prune.each.iter_mut().for_each(|(_, one)| one.api = api),
        Decision::Reply(_) | Decision::Refuse(_) => {}
    }
    decision
}

fn judge(request: &Request, case: Case<'_>) -> Judged {
    match request {
        Request::Ping { head } => Ok(synthetic::ping(case, *head)),
        Request::Version => Ok(allow(get("/version", Shape::Version))),
        Request::Info => Ok(synthetic::info(case)),
        Request::Auth(login) => synthetic::auth(case, login),
        Request::Events { since, until, filters } => {
            list::events(case, (since.as_ref(), until.as_ref()), filters)
        }
        Request::ContainerCreate(create) => create::create(case, create),
        Request::Containers(query) => list::containers(case, query),
        Request::ContainersPrune(filters) => prune::containers(case, filters),
        Request::Container { container, action } => container::act(case, container, action),
        Request::Exec { exec, action } => exec::act(case, exec, *action),
        Request::Commit(commit) => image::commit(case, commit),
        Request::Build(build) => build::build(case, build),
        Request::BuildPrune => Ok(prune::nothing("CachesDeleted")),
        Request::Images { all, filters } => list::images(case, *all, filters),
        Request::ImagePull { image, tag, platform } => {
            pull::pull(case, image, tag.as_deref(), platform.as_deref())
        }
        Request::ImagesPrune(_) => Ok(prune::nothing("ImagesDeleted")),
        Request::ImagesSave { images } => image::save(case, images),
        Request::Image { image, action } => image::act(case, image, action),
        Request::Networks(filters) => list::networks(case, filters),
        Request::NetworksPrune(filters) => prune::networks(case, filters),
        Request::NetworkCreate(create) => network::create(case, create),
        Request::Network { network, action } => network::act(case, network, action),
        Request::Volumes(filters) => list::volumes(case, filters),
        Request::VolumesPrune(filters) => prune::volumes(case, filters),
        Request::VolumeCreate(create) => network::create_volume(case, create),
        Request::Volume { volume, action } => network::act_volume(case, volume, *action),
    }
}

fn allow(outgoing: Outgoing) -> Decision {
    Decision::Allow(Box::new(outgoing))
}

/// A request with nothing but a path, whose answer is one document.
fn plain(method: Method, path: String) -> Outgoing {
    Outgoing { answer: Answer::Document(Shape::Plain), ..Outgoing::plain(method, path) }
}

fn get(path: impl Into<String>, shape: Shape) -> Outgoing {
    Outgoing { answer: Answer::Document(shape), ..plain(Method::Get, path.into()) }
}

fn post(path: impl Into<String>) -> Outgoing {
    plain(Method::Post, path.into())
}

fn delete(path: impl Into<String>) -> Outgoing {
    plain(Method::Delete, path.into())
}

fn json(value: &serde_json::Value) -> OutBody {
    OutBody::Json(value.to_string().into_bytes())
}

/// Pairs of a query whose value is there.
fn pairs<const N: usize>(all: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// A flag as Docker writes it.
fn flag(on: bool) -> Option<String> {
    on.then(|| "1".to_owned())
}

/// What a job gives an object as its name.
fn check_name(name: &str) -> Result<(), Refusal> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric();
    let legal = name.bytes().all(|byte| letter(byte) || b"_.-".contains(&byte))
        && name.bytes().next().is_some_and(letter)
        && (1..=128).contains(&name.len());
    let message =
        "a name is 1 to 128 letters, digits, `_`, `.` and `-`, and begins with one of the first";
    legal.then_some(()).ok_or_else(|| Refusal::malformed("name", message))
}
