//! `prepare`: images, secrets and containers side by side, until the agent in each has what it needs.

use std::io::Write;

use crate::agent::client::ClientError;
use crate::agent::protocol::{Identity, Init, InitReport, Refusal, WireSecret};
use crate::engine::meter::Share;
use crate::engine::{Engine, ImageFacts};
use crate::host::last_use::{Kind, LastUse};
use crate::host::lease::Leases;
use crate::host::ledger::Event;
use crate::joblog::JobLog;
use crate::plan::{AGENT_BIN, ImagePlan, MASK_SOCKET, Role, SecretRef};
use crate::secrets::{Fetched, SecretSource};

use super::call::Call;
use super::containers::{self, Images, Started};
use super::credentials::Credentials;
use super::ending::Ending;
use super::error::CallError;
use super::pull::{Puller, Ready};
use super::timings::Timings;
use super::{attach, delivery, masking, removal, service_report, shells};

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
    // The source is seen through: what is dropped there leaves a token behind.
    let logins = passwords(call, source).await?;
    let mut own_masks = logins.mask_too.clone();
    own_masks.extend(logins.secrets.iter().map(|one| one.value.clone()));
    if !own_masks.is_empty() {
        call.masks.add(own_masks.iter().cloned());
        log.mask(call.masks.set());
    }
    let credentials = Credentials::new(call.world, logins);
    let leases = &Leases::at(&call.settings.run_dir);
    let mut puller = Puller { engine, leases, credentials: &credentials, log };
    let (secrets, images) = tokio::join!(fetch(call, source), ending.or(images(call, &mut puller)));
    let (mut secrets, images) = (secrets?, images?);
    secrets.mask_too.append(&mut own_masks);
    call.masks.add(masking::values(&secrets));
    let set = call.masks.set();
    let warnings = masking::check(&set, &secrets, call.settings.masking.strict)?;
    log.mask(set);
    tell_secrets(&secrets, &warnings, log);
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

/// The registry passwords that lie in Vault. They are the operator's, and so is what is wrong with them.
async fn passwords<S: SecretSource>(call: &Call<'_>, source: &S) -> Result<Fetched, CallError> {
    let logins = call.plan.vault_logins();
    if logins.is_empty() {
        return Ok(Fetched::default());
    }
    let wanted: Vec<SecretRef> = logins.iter().map(|login| login.password.clone()).collect();
    source.fetch(&wanted).await.map_err(|error| {
        CallError::system(format!("{error}\n  settings: [[docker.login]] password"))
    })
}

/// All of the job's secret values; the token is revoked when this returns, but where leases need it.
async fn fetch<S: SecretSource>(call: &Call<'_>, source: &S) -> Result<Fetched, CallError> {
    if call.plan.secrets.is_empty() {
        return Ok(Fetched::default());
    }
    let _fetching = call.meter.begin(Share::Secrets);
    let fetched = source.fetch(&call.plan.secrets).await.map_err(|error| {
        if error.is_job_fault() { CallError::job(error) } else { CallError::system(error) }
    })?;
    delivery::check(&call.plan.secrets, &fetched.secrets)?;
    Ok(fetched)
}

fn tell_secrets<W: Write>(secrets: &Fetched, warnings: &[String], log: &mut JobLog<W>) {
    if secrets.secrets.is_empty() {
        return;
    }
    log.section("secrets", "Secrets from Vault, for the job's own scripts only");
    for one in &secrets.secrets {
        log.line(&one.name);
    }
    for warning in secrets.warnings.iter().chain(warnings) {
        log.line(format!("warning: {warning}"));
    }
    log.end();
}

/// Both images by their pull policies; the job's tells user and entrypoint.
async fn images<E: Engine, W: Write>(
    call: &Call<'_>,
    puller: &mut Puller<'_, E, W>,
) -> Result<Images, CallError> {
    let job = ensure(call, puller, &call.plan.image).await?;
    check_platform(call, &job.facts)?;
    let helper = match &call.plan.helper_image {
        None => None,
        Some(helper) => Some(ensure(call, puller, helper).await.map_err(|error| match error {
            // The operator chose the helper image, not the job.
            CallError::Job { message } | CallError::System { message } => CallError::system(
                format!("the helper image: {message}\n  settings: [docker] helper_image"),
            ),
        })?),
    };
    let mut services = Vec::new();
    for service in &call.plan.services {
        services.push(ensure(call, puller, &service.image).await?);
    }
    Ok(Images { job, helper, services })
}

/// Gets one image and writes down that it is used.
async fn ensure<E: Engine, W: Write>(
    call: &Call<'_>,
    puller: &mut Puller<'_, E, W>,
    wanted: &ImagePlan,
) -> Result<Ready, CallError> {
    let ready = puller.ensure(wanted).await?;
    let record = LastUse::at(&call.settings.state_dir);
    // It decides what goes first when room runs short, and nothing else.
    drop(record.note(Kind::Image, &ready.facts.id, (call.world.clock)()));
    if let Some(pulled) = ready.pulled {
        call.record(&Event::Pulled {
            job: call.plan.key.as_str(),
            image: &ready.reference,
            image_id: &ready.facts.id,
            size: ready.facts.size,
            seconds: pulled.as_secs_f64(),
        });
    }
    Ok(ready)
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
