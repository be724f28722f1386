//! Carries out the registry's part of a prune: a tag at a time, looking after each that no other went with
//! it, and putting back what did. It plans nothing itself.

use crate::engine::{EngineError, Fault, Repository};
use crate::host::ledger::Event;
use crate::plan::prune::{self, PrunePolicy, RemotePlan, RemoteTag, Rivals, Why};

/// What came of it.
#[derive(Debug, Default)]
pub struct Untagged {
    /// References that are gone.
    pub removed: Vec<String>,
    /// What stayed, and why; and what is wrong.
    pub left: Vec<String>,
    /// Something of it is not as it should be.
    pub failed: bool,
}

impl Untagged {
    /// As an event.
    pub fn event<'a>(&'a self, job: &'a str) -> Event<'a> {
        Event::Untagged { job, references: &self.removed, left: &self.left }
    }
}

/// What goes from the registry beside these other pipelines.
///
/// # Errors
/// When the registry does not answer.
pub async fn plan(
    repository: &Repository<'_>,
    policy: &PrunePolicy,
    rivals: &Rivals<'_>,
) -> Result<RemotePlan, EngineError> {
    let names = repository.tags().await?;
    let mut tags = Vec::new();
    for tag in prune::asked_remote(policy, &names, rivals) {
        let digest = repository.digest(tag).await?;
        let tag = |digest| RemoteTag { tag: tag.clone(), digest, emptied: false };
        tags.extend(digest.map(tag));
    }
    let plan = prune::plan_remote(policy, &tags, rivals);
    // What would stay for another's may be nobody's.
    let others = plan.spared.iter().filter(|one| one.why == Why::NotDelivered);
    for other in others {
        for tag in tags.iter_mut().filter(|one| policy.reference(&one.tag) == other.reference) {
            tag.emptied = repository.is_throw_away(&tag.tag).await?;
        }
    }
    Ok(prune::plan_remote(policy, &tags, rivals))
}

/// Takes the plan's tags away. `nonce` has to differ from all others.
pub async fn act(
    repository: &Repository<'_>,
    policy: &PrunePolicy,
    (plan, nonce): (&RemotePlan, &str),
) -> Untagged {
    let mut done = Untagged::default();
    let mut tags = plan.remove.iter();
    for one in tags.by_ref() {
        let reference = policy.reference(&one.tag);
        match untag(repository, one, &format!("{nonce}-{}", one.tag)).await {
            Ok(Untag::Gone) => done.removed.push(reference),
            Ok(Untag::Stays(why)) => done.left.push(format!("{reference}: {why}")),
            Ok(Untag::TookOthers(told)) => {
                done.removed.push(reference);
                done.left.push(told);
                done.failed = true;
                break;
            }
            Err(error) => {
                let down = error.fault == Fault::Transient;
                done.left.push(error.to_string());
                done.failed = true;
                if down {
                    break;
                }
            }
        }
    }
    let rest = tags.map(|one| format!("{}: not tried any more", policy.reference(&one.tag)));
    done.left.extend(rest);
    let told = moved(repository, policy, plan).await;
    done.failed |= told.is_some();
    done.left.extend(told);
    done
}

/// How one tag fared.
enum Untag {
    Gone,
    Stays(&'static str),
    /// The registry has deleted the manifest: what was lost, and what became of it.
    TookOthers(String),
}

async fn untag(
    repository: &Repository<'_>,
    wanted: &RemoteTag,
    nonce: &str,
) -> Result<Untag, EngineError> {
    let before = repository.tags().await?;
    let Some(manifest) = repository.get_manifest(&wanted.tag).await? else {
        return Ok(Untag::Stays("it was gone already"));
    };
    if manifest.digest != wanted.digest {
        return Ok(Untag::Stays("it is another image by now"));
    }
    repository.untag(&wanted.tag, nonce).await?;
    let after = repository.tags().await?;
    let lost: Vec<&String> =
        before.iter().filter(|tag| **tag != wanted.tag && !after.contains(tag)).collect();
    if lost.is_empty() {
        return Ok(Untag::Gone);
    }
    let mut told = Vec::new();
    for tag in lost {
        let back = repository.put(tag, &manifest).await;
        told.push(back.map_or_else(|error| error.to_string(), |()| format!("{tag} was put back")));
    }
    Ok(Untag::TookOthers(format!(
        "WARNING: the registry took other tags along with {}: {}; set registry = false in [prune]",
        wanted.tag,
        told.join(", ")
    )))
}

/// `latest` is what this is all about.
async fn moved(
    repository: &Repository<'_>,
    policy: &PrunePolicy,
    plan: &RemotePlan,
) -> Option<String> {
    let before = plan.latest.as_ref().filter(|_| !plan.remove.is_empty())?;
    let latest = policy.latest();
    match repository.digest("latest").await {
        Ok(Some(now)) if now == *before => None,
        Ok(now) => Some(format!(
            "WARNING: the registry's {latest} was {before} before the prune, and is {} after it",
            now.as_deref().unwrap_or("gone")
        )),
        Err(error) => {
            Some(format!("the registry's {latest} could not be looked at again: {error}"))
        }
    }
}
