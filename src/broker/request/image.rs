//! Reads requests for images (note 3.6). Pure.

use crate::broker::refusal::Refusal;

use super::Request;
use super::query::{Filters, Query};

/// What can be done to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageAction {
    /// `GET json`
    Inspect,
    /// `GET history`
    History,
    /// `GET /distribution/NAME/json`: what the registry says of it.
    Distribution,
    /// `POST tag`
    Tag {
        /// The new name's repository.
        repository: String,
        /// The new name's tag.
        tag: Option<String>,
    },
    /// `POST push`
    Push {
        /// `latest` or all where none is named.
        tag: Option<String>,
    },
    /// `DELETE`
    Remove {
        /// Ignored: what is used stays.
        force: bool,
        /// Whether what is below it stays.
        no_prune: bool,
    },
}

pub(super) fn list(query: &mut Query) -> Result<Request, Refusal> {
    // How much each has alone or shares: it would tell of the images of others.
    query.skip(&["shared-size", "manifests", "digests", "only_ids"])?;
    let all = query.flag("all")?;
    let mut filters = query.filters()?;
    // As clients before 1.41 wrote it.
    if let Some(reference) = query.text("filter")? {
        filters.0.insert("reference".to_owned(), vec![reference]);
    }
    Ok(Request::Images { all, filters: Filters(filters.0) })
}

/// What `docker import` is told.
pub(super) fn import() -> Refusal {
    let message = "archives are not imported; build the image instead: a Dockerfile with FROM scratch and \
                   ADD ARCHIVE.tar / (where it lies at an address, fetch it in the script before)";
    Refusal::forbidden("import", message)
}

pub(super) fn pull(query: &mut Query) -> Result<Request, Refusal> {
    query.nothing(&[
        ("repo", "import", "it belongs to an import; pull by fromImage and tag"),
        ("message", "import", "it belongs to an import; pull by fromImage and tag"),
        ("changes", "import", "it belongs to an import; write a Dockerfile"),
    ])?;
    let image = query.text("fromImage")?.ok_or_else(import)?;
    Ok(Request::ImagePull { image, tag: query.text("tag")?, platform: query.text("platform")? })
}
