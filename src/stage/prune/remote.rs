//! The registry's part of a prune, where the operator wants it. It is done within the job: the password that
//! GitLab gives a job ends with it, and is never written down.

use crate::engine::{RegistryLogin, Repository};
use crate::host::prune::remote::{self, Untagged};
use crate::plan::ImageSource;
use crate::plan::prune::{PrunePolicy, RemotePlan, Rivals, Why};
use crate::secrets::{Fetched, SecretSource};

use super::super::call::Call;
use super::super::credentials::Credentials;
use super::super::masking;
use super::super::sink::RunnerSink;
use super::say;

/// What is to be pruned, where, and beside whom.
pub(super) struct Target<'a> {
    pub(super) policy: &'a PrunePolicy,
    pub(super) place: &'a ImageSource,
    pub(super) rivals: Rivals<'a>,
}

/// Untags in the registry, and says how it went.
pub(super) async fn untag<S: SecretSource>(
    call: &Call<'_>,
    target: &Target<'_>,
    source: &S,
    sink: &RunnerSink,
) {
    let Target { policy, place, rivals } = target;
    let login = login(call, place, source, sink).await;
    let repository = Repository::new(&policy.repository, login.as_ref());
    let repository = match &repository {
        Ok(repository) => repository,
        Err(error) => return nothing(sink, error).await,
    };
    let plan = match remote::plan(repository, policy, rivals).await {
        Ok(plan) => plan,
        Err(error) => return nothing(sink, &error).await,
    };
    let done = remote::act(repository, policy, (&plan, call.plan.key.as_str())).await;
    tell(&plan, &done, sink).await;
    call.record(&done.event(call.plan.key.as_str()));
}

async fn nothing(sink: &RunnerSink, error: &crate::engine::EngineError) {
    say(sink, &format!("nothing was removed from the registry: {error}")).await;
}

/// A password of Vault's is read with a login of its own, and only where no place before Vault has one: the
/// `prepare` that may have read it for a pull ended long ago, and what has lived on since is the job's agent. A
/// password that may delete from the registry is not to lie in the job's container while its scripts run.
async fn login<S: SecretSource>(
    call: &Call<'_>,
    place: &ImageSource,
    source: &S,
    sink: &RunnerSink,
) -> Option<RegistryLogin> {
    let found = Credentials::new(call.world, Fetched::default()).before_vault(place).await;
    for warning in &found.warnings {
        say(sink, warning).await;
    }
    if found.login.is_some() {
        return found.login;
    }
    let mut fetched = Fetched::default();
    if let Some(login) = &place.login.vault {
        match source.fetch(std::slice::from_ref(&login.password)).await {
            Ok(passwords) => fetched = passwords,
            Err(error) => say(sink, &format!("no login for the registry: {error}")).await,
        }
    }
    call.masks.add(masking::values(&fetched));
    Credentials::new(call.world, fetched).from_vault_on(place, found).login
}

async fn tell(plan: &RemotePlan, done: &Untagged, sink: &RunnerSink) {
    for reference in &done.removed {
        say(sink, &format!("removed from the registry: {reference}")).await;
    }
    for one in plan.spared.iter().filter(|one| one.why != Why::Kept) {
        say(sink, &format!("kept in the registry: {}: {}", one.reference, one.why)).await;
    }
    for left in &done.left {
        say(sink, &format!("kept in the registry: {left}")).await;
    }
}
