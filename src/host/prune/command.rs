//! `longshore prune`: what pipelines left on this host after their delivery, by the ledger or by what the
//! operator tells. Observe, plan, act.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use crate::cli::PruneArgs;
use crate::engine::{Engine, Repository};
use crate::outcome::Outcome;
use crate::plan::ImageSource;
use crate::plan::login::LoginPlan;
use crate::plan::prune::{self, Facts, PrunePlan, PrunePolicy, RemotePlan, Rivals, Spared};
use crate::secrets::Fetched;
use crate::settings::Settings;
use crate::stage::credentials::Credentials;
use crate::stage::error::CallError;
use crate::world::{Stdio, World};

use super::super::ledger::Ledger;
use super::{Done, Pending, remote, wait_for_lock};

/// What stands for a job's key, with the pipeline where that is told, where no job is known.
const BY_HAND: &str = "by-hand";

/// One delivery, and what goes of it.
#[derive(Debug, Serialize)]
struct Planned {
    job: String,
    policy: PrunePolicy,
    host: PrunePlan,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<RemotePlan>,
}

/// The command: plans, removes unless only the plan is wanted, tells.
///
/// # Errors
/// When nothing is known of what was asked for, the engine or the registry does not answer, or something
/// cannot be removed.
pub async fn command<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
    args: &PruneArgs,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    let all = plans(engine, settings, world, args).await?;
    tell(&all, args, &mut stdio.stdout).map_err(CallError::system)?;
    if args.plan {
        return Ok(Outcome::Success);
    }
    let _lock = wait_for_lock(&settings.run_dir).map_err(CallError::system)?;
    let mut failed = Vec::new();
    for one in &all {
        let (left, bad) = carry_out(engine, settings, world, one).await?;
        if bad {
            failed.extend(left);
        } else if !args.json {
            let told = left.iter().try_for_each(|left| writeln!(stdio.stdout, "kept {left}"));
            told.map_err(CallError::system)?;
        }
    }
    if failed.is_empty() { Ok(Outcome::Success) } else { Err(CallError::system(failed.join("\n"))) }
}

async fn plans<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
    args: &PruneArgs,
) -> Result<Vec<Planned>, CallError> {
    let mut seen = super::observe(engine, (world.clock)()).await?;
    super::record::add(&mut seen, &Ledger::at(&settings.state_dir));
    let mut all = Vec::new();
    for (job, policy) in policies(settings, world, args)? {
        super::age::learn(engine, settings, (&policy, &mut seen)).await?;
        let host = prune::plan(&policy, &seen);
        let mut registry = None;
        if settings.prune.registry {
            let login = login(settings, world, &policy).await?;
            let repository = Repository::new(&policy.repository, login.as_ref())?;
            let rivals = Rivals::of(&policy, &seen);
            registry = Some(remote::plan(&repository, &policy, &rivals).await?);
        }
        all.push(Planned { job, policy, host, registry });
    }
    Ok(all)
}

/// The deliveries that are meant, each with its job's key.
fn policies(
    settings: &Settings,
    world: &World,
    args: &PruneArgs,
) -> Result<Vec<(String, PrunePolicy)>, CallError> {
    if let Some(repository) = &args.repository {
        return Ok(vec![by_hand(repository, settings, args)]);
    }
    let entries = Ledger::at(&settings.state_dir).of_kinds(&["pruning"]).map_err(|error| {
        CallError::system(format!(
            "{error}\n  what it would tell can be told by hand: longshore prune --repository HOST/PATH --commit SHA"
        ))
    })?;
    let mut known: Vec<(String, PrunePolicy)> = Vec::new();
    for pending in entries.iter().filter_map(super::read) {
        let policy = &pending.policy;
        let meant = args.pipeline.is_none_or(|pipeline| pipeline == policy.pipeline)
            && args.project.as_ref().is_none_or(|project| *project == policy.project);
        if meant {
            known.retain(|(_, other)| {
                other.pipeline != policy.pipeline || other.project != policy.project
            });
            known.push((pending.job, with_todays(settings, pending.policy)));
        }
    }
    if !known.is_empty() || (args.pipeline, &args.project) == (None, &None) {
        return Ok(known);
    }
    match world.variable("CI_REGISTRY_IMAGE") {
        Some(repository) => Ok(vec![by_hand(repository, settings, args)]),
        None => Err(CallError::job(
            "the ledger knows no such delivery; tell its repository and commit: longshore prune \
             --repository registry.example.com/group/project --commit SHA [--pipeline ID]",
        )),
    }
}

/// What the operator keeps by now is kept, whatever was so at the delivery.
fn with_todays(settings: &Settings, mut policy: PrunePolicy) -> PrunePolicy {
    policy.keep.extend(settings.prune.keep.iter().cloned());
    policy
}

fn by_hand(repository: &str, settings: &Settings, args: &PruneArgs) -> (String, PrunePolicy) {
    let path = repository.split_once('/').map_or(repository, |(_host, path)| path);
    let facts = Facts {
        project: args.project.clone().unwrap_or_else(|| path.to_owned()),
        repository: repository.to_owned(),
        pipeline: args.pipeline,
        commit: args.commit.clone(),
        reference: None,
    };
    let pipeline = args.pipeline.map(|id| format!("-{id}")).unwrap_or_default();
    (format!("{BY_HAND}{pipeline}"), PrunePolicy::by_hand(&facts, &settings.prune))
}

/// Without a job there are only the operator's own logins.
async fn login(
    settings: &Settings,
    world: &World,
    policy: &PrunePolicy,
) -> Result<Option<crate::engine::RegistryLogin>, CallError> {
    let login = LoginPlan { auth_file: settings.docker.auth_file.clone(), ..LoginPlan::default() };
    let source = ImageSource { reference: policy.repository.clone(), login };
    let found = Credentials::new(world, Fetched::default()).login(&source).await;
    match found.warnings.into_iter().next() {
        Some(warning) => Err(CallError::system(warning)),
        None => Ok(found.login),
    }
}

/// Answers what stayed though it was planned, and whether something is wrong.
async fn carry_out<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
    planned: &Planned,
) -> Result<(Vec<String>, bool), CallError> {
    let now = (world.clock)();
    let ledger = Ledger::at(&settings.state_dir);
    let pending = Pending::new(&planned.job, &planned.policy, &planned.host);
    // By hand it is done though it cannot be written down; whoever is here sees how it ends.
    drop(ledger.append(&pending.event(), now));
    let done: Done = super::act(engine, settings, (now, &pending)).await;
    drop(ledger.append(&done.event(&pending.job), now));
    let (mut left, mut bad) = (done.left, done.unfinished || done.moved);
    if let Some(plan) = &planned.registry {
        let login = login(settings, world, &planned.policy).await?;
        let repository = Repository::new(&planned.policy.repository, login.as_ref())?;
        let done = remote::act(&repository, &planned.policy, (plan, &planned.job)).await;
        drop(ledger.append(&done.event(&planned.job), now));
        left.extend(done.left);
        bad |= done.failed;
    }
    Ok((left, bad))
}

fn tell(all: &[Planned], args: &PruneArgs, out: &mut impl Write) -> io::Result<()> {
    if args.json {
        serde_json::to_writer(&mut *out, &json!(all))?;
        return writeln!(out);
    }
    let remove = if args.plan { "would remove" } else { "remove" };
    let mut any = false;
    for one in all {
        for doomed in &one.host.remove {
            writeln!(out, "{remove} {}: {}", doomed.reference, doomed.why)?;
        }
        for tag in one.registry.iter().flat_map(|plan| &plan.remove) {
            let repository = &one.policy.repository;
            writeln!(out, "{remove} from the registry {repository}:{} ({})", tag.tag, tag.digest)?;
        }
        let spared = one.registry.iter().flat_map(|plan| &plan.spared);
        for Spared { reference, why } in one.host.spared.iter().chain(spared) {
            writeln!(out, "keep {reference}: {why}")?;
        }
        let registry = one.registry.as_ref().is_some_and(|plan| !plan.remove.is_empty());
        any |= registry || !one.host.remove.is_empty();
    }
    if any { Ok(()) } else { writeln!(out, "nothing to prune") }
}
