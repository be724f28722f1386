//! `prepare`: images, secrets and containers side by side, until the agent in each has what it needs.

use std::io::Write;

use crate::engine::{Engine, ImageFacts};
use crate::host::lease::Leases;
use crate::host::ledger::Event;
use crate::joblog::JobLog;
use crate::secrets::{Fetched, SecretSource};

use super::call::Call;
use super::containers::{self, Started};
use super::credentials::Credentials;
use super::ending::Ending;
use super::error::CallError;
use super::images::{self, Images};
use super::timings::Timings;
use super::{init, masking, removal, secrets, service_report, shells};

/// Makes everything ready for the job's first stage.
///
/// # Errors
/// The job's own fault where it asks for what does not exist or is not its to have; else ours. Nothing
/// it made is left behind then.
pub async fn prepare<E: Engine, S: SecretSource, W: Write>(
    call: &Call<'_>,
    engine: &E,
    source: &S,
    log: &mut JobLog<W>,
) -> Result<(), CallError> {
    let job = &call.context.response.job_info;
    call.record(&Event::Started {
        job: call.plan.key.as_str(),
        id: call.context.response.id,
        name: &job.name,
        project: &call.plan.project,
        pipeline: job.pipeline_id,
        commit: &call.context.response.git_info.sha,
    });
    let ready = make_ready(call, engine, source, log).await;
    if ready.is_err() {
        for left in source.release().await {
            log.line(format!("longshore: {left}"));
        }
    }
    ready
}

async fn make_ready<E: Engine, S: SecretSource, W: Write>(
    call: &Call<'_>,
    engine: &E,
    source: &S,
    log: &mut JobLog<W>,
) -> Result<(), CallError> {
    for notice in &call.plan.notices {
        log.line(format!("longshore: {notice}"));
    }
    let mut timings = Timings::of(&call.context);
    let mut ending = Ending::watch()?;
    let mut early = secrets::before_pulls(call, source, log).await?;
    let passwords = early.as_mut().map(|got| std::mem::take(&mut got.passwords));
    let credentials = Credentials::new(call.world, passwords.unwrap_or_default());
    let leases = &Leases::at(&call.settings.run_dir);
    let pulls = images::ready(call, engine, (leases, &credentials), log);
    let fetched = secrets::or_fetch(early, call, source);
    let (fetched, images) = tokio::join!(fetched, ending.or(pulls));
    let (secrets, images) = (fetched?.secrets, images?);
    call.masks.add(masking::values(&secrets));
    let set = call.masks.set();
    let warnings = masking::check(&set, &secrets, call.settings.masking.strict)?;
    log.mask(set);
    secrets::tell(&secrets, &warnings, log);
    ending.check()?;
    timings.mark("images and secrets");
    let started = start(call, engine, &images, secrets).await;
    timings.mark("containers");
    let started = match started {
        Ok(shell) => {
            warn(call, &shell, log);
            ending.or(service_report::wait(call, engine, &images.services, log)).await
        }
        Err(error) => Err(error),
    };
    timings.mark("services");
    match started.and_then(|()| ending.check()) {
        Ok(()) => {
            if let Some(line) = timings.line(Some(&call.meter)) {
                log.line(line);
            }
            Ok(())
        }
        Err(error) => {
            for left in removal::remove(engine, &call.plan.removal()).await {
                log.line(format!("longshore: {left}"));
            }
            Err(error)
        }
    }
}

/// Starts the containers and hands their agents what they need; answers the job's shell.
async fn start<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    images: &Images,
    secrets: Fetched,
) -> Result<String, CallError> {
    let image = &images.job.facts;
    let Started { network } = containers::start(call, engine, images).await?;
    let names: Vec<String> = secrets.secrets.iter().map(|one| one.name.clone()).collect();
    let report = init::job(call, engine, image, secrets, network).await?;
    let helper = init::helper(call, engine, &report).await?;
    shells::check(&call.plan, report.shell.as_deref(), helper.as_ref())?;
    remember(call, image, &names);
    Ok(report.shell.unwrap_or_default())
}

/// What the job's author should know about the shell that reads the scripts.
fn warn<W: Write>(call: &Call<'_>, shell: &str, log: &mut JobLog<W>) {
    let posix = call.context.variable("FF_POSIXLY_CORRECT_ESCAPES") == Some("true");
    if let Some(line) = shells::warning(shell, posix) {
        log.line(format!("longshore: {line}"));
    }
}

/// The ledger is history, not state: a job does not fail for it.
fn remember(call: &Call<'_>, image: &ImageFacts, secrets: &[String]) {
    call.record(&Event::Prepared {
        job: call.plan.key.as_str(),
        project: &call.plan.project,
        image: &call.plan.image.reference,
        image_id: &image.id,
        secrets,
        seconds: call.seconds(),
    });
}
