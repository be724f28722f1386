//! Secrets: types that cannot be printed, the masker, the port that fetches them, and Vault behind it.
//! Nothing here knows of containers or of GitLab; vaultrs stays in [`vault`].

pub mod error;
pub mod masker;
pub mod source;
pub mod value;
pub mod vault;

pub use error::{SecretError, SecretMissing};
pub use masker::{MaskOptions, MaskSet, Masker, Unmaskable};
pub use source::{Fetched, FetchedSecret, SecretSource};
pub use value::Secret;
