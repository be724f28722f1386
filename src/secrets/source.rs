//! The port through which a job's secrets come: references in, values out. It says nothing of where
//! they are kept, and decides nothing about who may have them.

use super::{Secret, SecretError};
use crate::plan::SecretRef;

/// One secret that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedSecret {
    /// [`SecretRef::name`].
    pub name: String,
    /// The value: the bytes of a string field, or the JSON text of another one.
    pub value: Secret,
}

/// What a fetch brought.
#[derive(Debug, Default)]
pub struct Fetched {
    /// One per reference, in their order.
    pub secrets: Vec<FetchedSecret>,
    /// What else must not be seen in any log: the credentials and the token that were used.
    pub mask_too: Vec<Secret>,
    /// Sentences for the job log. They fail nothing.
    pub warnings: Vec<String>,
}

/// A place that secrets come from.
#[expect(async_fn_in_trait, reason = "the driver runs on one thread, so futures need not be Send")]
pub trait SecretSource {
    /// Fetches all of `wanted`, or nothing. No access to the source is left open when it returns, but what
    /// leased secrets need; that needs the future to be driven to its end. An empty `wanted` makes no
    /// contact at all.
    async fn fetch(&self, wanted: &[SecretRef]) -> Result<Fetched, SecretError>;

    /// Ends all access that is open for the job, though another process opened it. Answers sentences about
    /// what could not be ended. Bounded in time; makes no contact where nothing is open.
    async fn release(&self) -> Vec<String> {
        Vec::new()
    }
}
