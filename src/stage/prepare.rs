//! `prepare`: images, secrets and containers side by side, until the agent in each has what it needs.

use std::io::Write;

use crate::agent::client::ClientError;
use crate::agent::protocol::{Identity, Init, InitReport, Refusal, WireSecret};
use crate::engine::meter::Share;
use crate::engine::{Engine, ImageFacts};
use crate::host::lease::Leases;
use crate::host::ledger::Event;
use crate::joblog::JobLog;
use crate::plan::{AGENT_BIN, MASK_SOCKET, Role};
use crate::secrets::{Fetched, SecretSource};

use super::call::Call;
use super::containers::{self, Images, Started};
use super::credentials::Credentials;
use super::ending::Ending;
use super::error::CallError;
use super::pull::Puller;
use super::timings::Timings;
use super::{attach, delivery, masking, removal, secrets, service_report, shells};

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
    let mut puller = Puller { engine, leases, credentials: &credentials, log };
    let fetched = secrets::or_fetch(early, call, source);
    let (fetched, images) = tokio::join!(fetched, ending.or(images(call, &mut puller)));
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
            if let Some(line) = timings.line() {
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

/// Both images by their pull policies; the job's tells user and entrypoint.
async fn images<E: Engine, W: Write>(
    call: &Call<'_>,
    puller: &mut Puller<'_, E, W>,
) -> Result<Images, CallError> {
    let job = puller.ensure(&call.plan.image).await?;
    check_platform(call, &job.facts)?;
    let helper = match &call.plan.helper_image {
        None => None,
        Some(helper) => Some(puller.ensure(helper).await.map_err(|error| match error {
            // The operator chose the helper image, not the job.
            CallError::Job { message } | CallError::System { message } => CallError::system(
                format!("the helper image: {message}\n  settings: [docker] helper_image"),
            ),
        })?),
    };
    let mut services = Vec::new();
    for service in &call.plan.services {
        services.push(puller.ensure(&service.image).await?);
    }
    Ok(Images { job, helper, services })
}

/// An image of another architecture would fail with "exec format error" somewhere in the job.
fn check_platform(call: &Call<'_>, image: &ImageFacts) -> Result<(), CallError> {
    let host = call.world.platform;
    let asked = call.plan.image.platform.is_some();
    if asked || image.platform.is_empty() || image.platform.starts_with(host) {
        return Ok(());
    }
    Err(CallError::job(format!(
        "the image {} is for {}, and this host runs {host}\n  choose an image for {host}, or set \
         image:docker:platform where the host emulates it",
        call.plan.image.reference, image.platform
    )))
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
    let report = init_job(call, engine, image, secrets, network).await?;
    let helper = init_helper(call, engine, &report).await?;
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

async fn init_job<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    image: &ImageFacts,
    secrets: Fetched,
    network: String,
) -> Result<InitReport, CallError> {
    let delivery = delivery::of(&call.plan.secrets, secrets.secrets);
    let init = Init {
        secrets: delivery.variables,
        files: delivery.files,
        masks: wire_masks(call),
        mask_options: call.masks.options(),
        user_env: call.plan.user_env(&network),
        env: Vec::new(),
        identity: Identity::Image(call.plan.user(&image.user)),
        directories: call.plan.directories(),
        shell: shells::wire(call.plan.shell),
        entrypoint: call.plan.entrypoint(&image.entrypoint),
        path_prefix: vec![AGENT_BIN.to_owned()],
        mask_socket: Some(MASK_SOCKET.to_owned()),
    };
    initialise(call, engine, Role::Job, init).await
}

/// What both containers mask.
fn wire_masks(call: &Call<'_>) -> Vec<WireSecret> {
    call.masks.set().values().iter().cloned().map(WireSecret).collect()
}

/// The helper works as the job container's user, so that a checkout belongs to it. It gets the masks
/// (its scripts carry all variables, and show what the job left) but no secrets.
async fn init_helper<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    job: &InitReport,
) -> Result<Option<InitReport>, CallError> {
    if call.plan.helper_image.is_none() {
        return Ok(None);
    }
    let init = Init {
        secrets: Vec::new(),
        files: Vec::new(),
        masks: wire_masks(call),
        mask_options: call.masks.options(),
        user_env: Vec::new(),
        env: Vec::new(),
        identity: Identity::Numeric { uid: job.uid, gid: job.gid },
        directories: Vec::new(),
        shell: shells::wire(call.plan.shell),
        entrypoint: Vec::new(),
        path_prefix: vec![AGENT_BIN.to_owned()],
        mask_socket: Some(MASK_SOCKET.to_owned()),
    };
    initialise(call, engine, Role::Helper, init).await.map(Some)
}

async fn initialise<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    role: Role,
    init: Init,
) -> Result<InitReport, CallError> {
    let container = &call.plan.container_name(role);
    let _at_work = call.meter.begin(Share::Agent);
    let (mut agent, _) = attach::open(engine, container).await?;
    agent.init(init).await.map_err(|error| match error {
        // The image has no such user, or a secret cannot be put into an environment.
        ClientError::Refused(
            refusal @ (Refusal::UnknownUser { .. }
            | Refusal::UnknownGroup { .. }
            | Refusal::NulByte { .. }),
        ) => CallError::job(refusal),
        error => attach::failure(container, &error),
    })
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
