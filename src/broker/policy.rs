//! What a job may do: one pure function from a request, the job and the operator's word to a decision.

use crate::plan::BrokerPlan;

use super::outgoing::Outgoing;
use super::refusal::Refusal;
use super::request::Request;
use super::view::JobView;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// This goes to the daemon instead.
    Allow(Box<Outgoing>),
    /// Answered here; the daemon is not asked.
    Reply(Reply),
    /// Nothing goes anywhere.
    Refuse(Refusal),
}

/// An answer of the broker's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON, or empty.
    pub body: Vec<u8>,
}

/// Decides.
pub fn decide(request: &Request, view: &JobView, rules: &BrokerPlan) -> Decision {
    let _ = (view, rules);
    match request {
        Request::Ping => Decision::Refuse(Refusal::forbidden("endpoint", "nothing is offered yet")),
    }
}
