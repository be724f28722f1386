//! Which tags go from the registry. Pure: it is told the repository's tags with their digests.
//!
//! A registry deletes a manifest with every tag that it has, and what was tested, the commit's tag and
//! `latest` are one manifest: so it is always a tag that goes, never a digest that a kept tag has.

use serde::Serialize;

use super::{LATEST, PrunePolicy, Rivals, Spared, Why};

/// A tag as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemoteTag {
    /// Its name.
    pub tag: String,
    /// The manifest that it points to, `sha256:...`.
    pub digest: String,
    /// It points to an empty manifest of ours: an earlier prune was interrupted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub emptied: bool,
}

/// What goes from the registry, and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RemotePlan {
    /// Tags to be untagged.
    pub remove: Vec<RemoteTag>,
    /// What would have gone, and why it stays.
    pub spared: Vec<Spared>,
    /// What `latest` points to, and must point to afterwards.
    pub latest: Option<String>,
}

/// Plans the registry's part. Without a `latest` nothing goes: then nothing is known to be delivered.
///
/// A tag that other pipelines use as well goes only while it points to what this pipeline delivered, and no other
/// one that is under way has made the same; or where it points to nothing that anybody could pull.
pub fn plan(policy: &PrunePolicy, tags: &[RemoteTag], rivals: &Rivals<'_>) -> RemotePlan {
    let digest_of = |name: &str| tags.iter().find(|one| one.tag == name).map(|one| &one.digest);
    let Some(latest) = digest_of(LATEST) else { return RemotePlan::default() };
    let rules = policy.rules();
    let mut plan = RemotePlan { latest: Some(latest.clone()), ..RemotePlan::default() };
    let mine = |digest: &String| {
        let own = tags.iter().filter(|one| rules.is_own(&one.tag));
        own.map(|one| &one.digest).chain([latest]).any(|one| one == digest)
    };
    for one in tags.iter().filter(|one| rules.names(&one.tag)) {
        let rival = rivals.of_manifest(&one.digest, tags).filter(|_| !rules.is_own(&one.tag));
        let why = if rules.keeps(&one.tag) {
            Why::Kept
        } else if let Some(rival) = rival {
            Why::AtWork(rival)
        } else if rules.is_own(&one.tag) || mine(&one.digest) || one.emptied {
            plan.remove.push(one.clone());
            continue;
        } else {
            Why::NotDelivered
        };
        plan.spared.push(Spared { reference: policy.reference(&one.tag), why });
    }
    plan
}

/// The names of tags whose digests have to be known for a plan.
pub fn asked<'a>(policy: &PrunePolicy, tags: &'a [String], rivals: &Rivals<'_>) -> Vec<&'a String> {
    let rules = policy.rules();
    let asked = |tag: &str| tag == LATEST || rules.names(tag) || rivals.name(tag);
    tags.iter().filter(|tag| asked(tag)).collect()
}
