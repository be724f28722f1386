//! How long what a prune would take has been left alone: by the newest of our own record, the ledger's
//! pulls and the engine's word on its tags. It is only asked where the operator wants some age.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::engine::{Engine, EngineError, ImageFacts};
use crate::host::last_use::traces::{self, Traces};
use crate::host::last_use::{Kind, LastUse};
use crate::host::ledger::Ledger;
use crate::plan::prune::{self, LocalImage, PrunePolicy, Seen};
use crate::settings::Settings;
use crate::world::unix;

/// Finds out when the images that may go were last used, pulled or tagged: a request for each of them.
///
/// # Errors
/// When the engine does not answer.
pub async fn learn<E: Engine>(
    engine: &E,
    settings: &Settings,
    (policy, seen): (&PrunePolicy, &mut Seen),
) -> Result<(), EngineError> {
    if policy.min_age_seconds == 0 {
        return Ok(());
    }
    let candidates = prune::candidates(policy, seen);
    let facts = traces::facts(engine, candidates.iter().cloned()).await?;
    let pulled = if candidates.is_empty() { HashMap::new() } else { pulled(settings) };
    let record = LastUse::at(&settings.state_dir);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seen.now);
    for image in seen.images.iter_mut().filter(|one| candidates.contains(&one.id)) {
        let recorded = record.of(Kind::Image, &image.id).map(unix);
        let traces = Traces {
            id: &image.id,
            recorded: recorded.max(pulled.get(&image.id).copied()),
            tagged: facts.get(&image.id).and_then(|facts| facts.tagged),
            built: built(image),
        };
        image.touched = Some(record.of_image(&traces, now));
    }
    Ok(())
}

/// Whether an image was pulled, tagged or used since it was planned to go. What made it old enough then was
/// found out then: only what is newer counts.
pub(super) fn is_young(
    settings: &Settings,
    (policy, now): (&PrunePolicy, SystemTime),
    facts: &ImageFacts,
) -> bool {
    let recorded = LastUse::at(&settings.state_dir).of(Kind::Image, &facts.id).map(unix);
    let newest = recorded.max(traces::believed(facts.tagged, now)).unwrap_or_default();
    let age = policy.min_age_seconds;
    age > 0 && newest.saturating_add(age) > unix(now)
}

/// What lost its last name was built or pulled here, and its tag's time with it; without any it was built.
fn built(image: &LocalImage) -> Option<u64> {
    let nameless = image.tags.is_empty() && image.digests.is_empty();
    nameless.then(|| u64::try_from(image.created).unwrap_or_default())
}

/// When jobs pulled each image, for where our own record is gone.
fn pulled(settings: &Settings) -> HashMap<String, u64> {
    // Where the ledger cannot be read, history is lost and nothing else.
    let entries = Ledger::at(&settings.state_dir).of_kinds(&["pulled"]).unwrap_or_default();
    let pull = |entry: &crate::host::ledger::history::Entry| {
        let time = humantime::parse_rfc3339(&entry.time).ok()?;
        Some((entry.fields.get("image_id")?.as_str()?.to_owned(), unix(time)))
    };
    entries.iter().filter_map(pull).collect()
}
