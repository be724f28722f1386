//! Which images a job may use, and which names it may give (note 3.6): what others have here looks as if it were
//! not there.

use super::Case;
use crate::broker::name::{ImageName, is_hex};
use crate::broker::outgoing::Note;
use crate::broker::refusal::{Absent, Refusal};
use crate::plan::broker;

/// A name as clients write it.
pub(super) fn read(text: &str) -> Result<ImageName, Refusal> {
    ImageName::read(text).map(ImageName::or_latest).ok_or_else(|| {
        Refusal::malformed("image-name", "this is no name of an image, as Docker writes them")
    })
}

/// What names an image at the daemon, for one that the job may use: its id where that is known, so that
/// nobody can put another image under its name meanwhile.
///
/// # Errors
/// As the daemon where there is none; one of others looks the same.
pub(super) fn usable(case: Case<'_>, given: &str) -> Result<String, Refusal> {
    if let Some(id) = by_id(case, given) {
        return Ok(id);
    }
    let name = read(given)?;
    let own = &case.view.own.images;
    let local = case.view.local_image(&name).reference();
    if let Some(id) = own.get(&local).or_else(|| own.get(&name.reference())) {
        return Ok(id.clone());
    }
    if is_own(case, &name) || is_shared(case, &name) {
        return Ok(name.reference());
    }
    Err(Refusal::absent(Absent::Image, &name.familiar()))
}

/// An image that was named for the first time is the job's to know from now on.
pub(super) fn seen(reference: &str) -> Vec<Note> {
    let is_id = reference.starts_with("sha256:");
    let note = || Note::Images { references: vec![reference.to_owned()], deed: None };
    (!is_id).then(note).into_iter().collect()
}

/// The id that a client wrote, whole or its beginning.
pub(super) fn by_id(case: Case<'_>, given: &str) -> Option<String> {
    let bare = given.strip_prefix("sha256:").unwrap_or(given);
    let long_enough = is_hex(bare) && (bare.len() >= 12 || given.len() > bare.len());
    let begins = |id: &&String| id.strip_prefix("sha256:").is_some_and(|hex| hex.starts_with(bare));
    let mut found = case.view.own.image_ids.iter().filter(|id| long_enough && begins(id));
    match (found.next(), found.next()) {
        (Some(id), None) => Some(id.clone()),
        _ => None,
    }
}

/// Whether a name lies in the project's own repository.
pub(super) fn is_own(case: Case<'_>, name: &ImageName) -> bool {
    case.rules.repository.as_deref().is_some_and(|repository| name.is_below(repository))
}

/// Whether an image is one job's alone, whatever the operator's patterns match.
fn is_some_jobs(name: &ImageName) -> bool {
    broker::job_of_local(&name.repository).is_some()
}

/// Whether every job of this host may use it, its registry unasked.
pub(super) fn is_shared(case: Case<'_>, name: &ImageName) -> bool {
    let shared = &case.rules.shared_images;
    if is_some_jobs(name) {
        return false;
    }
    shared.matches(&name.familiar()) || shared.matches(&name.reference())
}

/// Whether an image may be pulled.
pub(super) fn is_allowed(case: Case<'_>, name: &ImageName) -> bool {
    let allowed = &case.rules.allowed_images;
    let names = [name.familiar(), name.reference(), name.repository.clone()];
    let listed = names.iter().any(|written| allowed.matches(written));
    is_own(case, name) || is_shared(case, name) || (listed && !is_some_jobs(name))
}

/// The name under which a new image lies: in the project's own repository as it is written, without a
/// registry for this job alone.
pub(super) fn target(case: Case<'_>, given: &str) -> Result<ImageName, Refusal> {
    let name = read(given)?;
    if name.digest.is_some() {
        return Err(Refusal::malformed("image-name", "a new name of an image has no digest"));
    }
    if is_own(case, &name) {
        return Ok(name);
    }
    // Docker's command line writes docker.io where nobody wrote a registry.
    let local = ["docker.io/", "localhost/"].iter().any(|host| name.repository.starts_with(host));
    if !local {
        let message = match &case.rules.repository {
            Some(repository) => format!(
                "images are named {repository}[/PATH]:TAG, or without a registry for this job alone"
            ),
            None => "nobody told which repository is this project's; images are named without a \
                     registry, for this job alone"
                .to_owned(),
        };
        return Err(Refusal::forbidden("image-name", message));
    }
    Ok(case.view.local_image(&name))
}
