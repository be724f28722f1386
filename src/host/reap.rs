//! `longshore reap`: removes what jobs left behind whose runner is gone, and ends their access to Vault.
//! Observe, plan, act.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::json;

use crate::cli::ReapArgs;
use crate::engine::{Engine, EngineError, Fault, Removed};
use crate::outcome::Outcome;
use crate::plan::sweep::{self, Doomed, Host, Kind, Object};
use crate::secrets::vault::Kept;
use crate::settings::Settings;
use crate::stage::error::CallError;
use crate::stage::{agent_volume, leases, vault};
use crate::world::{Stdio, World};

use super::ledger::{Event, Ledger};
use super::{owner, prune};

/// The label that every object of ours carries.
const OURS: &str = "longshore.kind";

/// The command: plans, removes unless only the plan is wanted, tells.
///
/// Access to Vault is ended whether the engine answers or not.
///
/// # Errors
/// When the engine does not answer, or something cannot be removed.
pub async fn command<E: Engine>(
    engine: Result<&E, CallError>,
    settings: &Settings,
    world: &World,
    args: &ReapArgs,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    let seen = look(engine, settings, world).await;
    let tokens = orphans(settings, world);
    let doomed = seen.as_ref().map_or(&[][..], |(_, doomed)| doomed.as_slice());
    if seen.is_ok() || !tokens.is_empty() {
        tell(doomed, &tokens, args, &mut stdio.stdout).map_err(CallError::system)?;
    }
    let mut failed = Vec::new();
    match seen {
        Err(error) => failed.push(error.to_string()),
        Ok(_) if args.plan => {}
        Ok((engine, doomed)) => {
            let errors = act(engine, settings, world, &doomed).await;
            failed.extend(errors.iter().map(ToString::to_string));
            failed.extend(prune::finish_interrupted(engine, settings, (world.clock)()).await);
        }
    }
    if !args.plan {
        let tokens = tokens.into_iter().map(|(token, _)| token).collect();
        failed.extend(leases::end(settings, world, tokens).await);
    }
    if failed.is_empty() {
        return Ok(Outcome::Success);
    }
    Err(CallError::system(failed.join("\n")))
}

/// An engine that answers, with what has to go there.
async fn look<'a, E: Engine>(
    engine: Result<&'a E, CallError>,
    settings: &Settings,
    world: &World,
) -> Result<(&'a E, Vec<Doomed>), CallError> {
    let engine = engine?;
    Ok((engine, plan(engine, settings, world).await?))
}

/// A kept token with its file, and why it is nobody's any more.
type Orphan = ((PathBuf, Kept), &'static str);

/// Vault tokens whose job died before it could end them.
fn orphans(settings: &Settings, world: &World) -> Vec<Orphan> {
    let now = now_unix(world);
    let alive = |owner: &_| owner::is_alive(owner).ok().flatten();
    let why =
        |kept: &Kept| sweep::orphaned(&kept.holder.owner, kept.holder.deadline_unix, alive, now);
    let all = vault::kept(settings).into_iter();
    all.filter_map(|one| why(&one.1).map(|reason| (one, reason))).collect()
}

fn now_unix(world: &World) -> u64 {
    (world.clock)().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What is to be removed now.
///
/// # Errors
/// When the engine or `/proc` does not answer.
pub async fn plan<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
) -> Result<Vec<Doomed>, CallError> {
    let objects = observe(engine).await?;
    let now = now_unix(world);
    let agent = agent_volume::name(&world.executable)?;
    // An owner that cannot be looked at is left to its deadline.
    let alive = |owner: &_| owner::is_alive(owner).ok().flatten();
    let slot_prefix = &settings.docker.slot_prefix;
    let host = Host { agent_volume: &agent, slot_prefix, now_unix: now };
    Ok(sweep::plan(&objects, alive, &host))
}

async fn observe<E: Engine>(engine: &E) -> Result<Vec<Object>, CallError> {
    let containers = engine.containers(None).await?;
    let (networks, volumes) = tokio::join!(engine.networks(Some(OURS)), engine.volumes(OURS));
    let used_networks: HashSet<&String> = containers.iter().flat_map(|one| &one.networks).collect();
    let mut objects = Vec::new();
    for network in networks? {
        let used = used_networks.contains(&network.name);
        let (name, labels) = (network.name, network.labels);
        objects.push(Object { kind: Kind::Network, name, labels, used });
    }
    let used_volumes = containers.iter().flat_map(|one| &one.volumes).collect::<HashSet<_>>();
    for volume in volumes? {
        let used = used_volumes.contains(&volume.name);
        let (name, labels) = (volume.name, volume.labels);
        objects.push(Object { kind: Kind::Volume, name, labels, used });
    }
    let ours = containers.iter().filter(|one| one.labels.contains_key(OURS));
    objects.extend(ours.map(|one| Object {
        kind: Kind::Container,
        name: one.name.clone(),
        labels: one.labels.clone(),
        used: true,
    }));
    Ok(objects)
}

/// Removes in the plan's order and collects what cannot be removed.
async fn act<E: Engine>(
    engine: &E,
    settings: &Settings,
    world: &World,
    doomed: &[Doomed],
) -> Vec<EngineError> {
    let (mut gone, mut failed) = (Vec::new(), Vec::new());
    for one in doomed {
        let removed = match one.kind {
            Kind::Container => engine.remove_container(&one.name).await,
            Kind::Network => engine.remove_network(&one.name).await,
            Kind::Volume => engine.remove_volume(&one.name).await,
        };
        match removed {
            Ok(Removed::Gone) => gone.push(one.name.clone()),
            Ok(Removed::Absent) => {}
            // A job took the idle slot after we had looked: it is that job's now.
            Err(error) if one.kind == Kind::Network && error.fault == Fault::Conflict => {}
            Err(error) => failed.push(error),
        }
    }
    if !gone.is_empty() {
        let event = Event::Reaped { objects: &gone };
        // History, not state: what is gone is gone whether it is written down or not.
        drop(Ledger::at(&settings.state_dir).append(&event, (world.clock)()));
    }
    failed
}

fn tell(
    doomed: &[Doomed],
    tokens: &[Orphan],
    args: &ReapArgs,
    out: &mut impl Write,
) -> std::io::Result<()> {
    if args.json {
        let revoke = tokens.iter().map(|((_, kept), reason)| {
            json!({"job": kept.holder.job, "accessor": kept.accessor, "reason": reason})
        });
        let revoke: Vec<_> = revoke.collect();
        serde_json::to_writer(&mut *out, &json!({ "remove": doomed, "revoke": revoke }))?;
        return writeln!(out);
    }
    if doomed.is_empty() && tokens.is_empty() {
        return writeln!(out, "nothing to reap");
    }
    let would = if args.plan { "would " } else { "" };
    for one in doomed {
        let kind = match one.kind {
            Kind::Container => "container",
            Kind::Network => "network",
            Kind::Volume => "volume",
        };
        writeln!(out, "{would}remove {kind} {}: {}", one.name, one.reason)?;
    }
    for ((_, kept), reason) in tokens {
        let (accessor, job) = (&kept.accessor, &kept.holder.job);
        writeln!(out, "{would}revoke Vault token {accessor} of job {job}: {reason}")?;
    }
    Ok(())
}
