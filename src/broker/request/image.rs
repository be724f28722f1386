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

pub(super) fn pull(query: &mut Query) -> Result<Request, Refusal> {
    query.nothing(&[
        ("fromSrc", "import", "images come from registries and builds"),
        ("repo", "import", "images come from registries and builds"),
        ("message", "import", "images come from registries and builds"),
        ("changes", "import", "images come from registries and builds"),
    ])?;
    let image = query.text("fromImage")?.ok_or_else(|| {
        Refusal::forbidden("import", "fromImage is missing: images come from registries and builds")
    })?;
    Ok(Request::ImagePull { image, tag: query.text("tag")?, platform: query.text("platform")? })
}
