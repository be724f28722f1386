//! The port through which a job's secrets come: references in, values out. It says nothing of where
//! they are kept, and decides nothing about who may have them.

use super::{Secret, SecretError};

/// Where one secret is kept. Plain words from the operator's settings, never from a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRef {
    /// The name by which the job knows it, e.g. `API_KEY`.
    pub name: String,
    /// Mount and path without a leading slash and without `data/`, e.g. `kv/app/demo`.
    pub path: String,
    /// The field of the secret; all fields as one JSON object for `None`.
    pub field: Option<String>,
    /// A version of a KV v2 secret, counted from 1; the newest for `None`.
    pub version: Option<u64>,
    /// The kind of engine; asked of the server for `None`. Where it is given, the first part of `path`
    /// is taken for the mount.
    pub kv: Option<KvVersion>,
}

/// How an engine lays out its paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvVersion {
    /// KV version 1.
    V1,
    /// KV version 2: `data/` in the path, an envelope around the fields.
    V2,
    /// Any other engine: the path as it is, the fields at the top.
    Raw,
}

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
    /// Fetches all of `wanted`, or nothing. No access to the source is left open when it returns, which
    /// needs the future to be driven to its end. An empty `wanted` makes no contact at all.
    async fn fetch(&self, wanted: &[SecretRef]) -> Result<Fetched, SecretError>;
}
