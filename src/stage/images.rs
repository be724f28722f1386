//! All images of a job onto the engine, side by side, and whether this host can run the job's.

use std::io::Write;

use futures_util::future::try_join_all;

use crate::engine::{Engine, ImageFacts};
use crate::host::last_use::{Kind, LastUse};
use crate::host::lease::Leases;
use crate::host::ledger::Event;
use crate::joblog::JobLog;
use crate::plan::ImagePlan;

use super::call::Call;
use super::credentials::Credentials;
use super::error::CallError;
use super::pull::{Puller, Ready};
use super::pull_log::PullLog;

/// The images of a job's containers.
#[derive(Debug)]
pub struct Images {
    /// The user's.
    pub job: Ready,
    /// The one with git, where the job needs it.
    pub helper: Option<Ready>,
    /// Those of the services, in the order of the plan.
    pub services: Vec<Ready>,
}

/// Gets all images by their pull policies at the same time; the first failure ends the others.
///
/// # Errors
/// The job's own fault where an image does not exist or is not its to have; else ours.
pub async fn ready<E: Engine, W: Write>(
    call: &Call<'_>,
    engine: &E,
    (leases, credentials): (&Leases, &Credentials<'_>),
    log: &mut JobLog<W>,
) -> Result<Images, CallError> {
    let log = PullLog::new(log);
    let puller = Puller { engine, leases, credentials, log: &log };
    let mut wanted = Wanted::default();
    let job = wanted.place(&call.plan.image);
    let services = call.plan.services.iter().map(|service| wanted.place(&service.image));
    let services: Vec<usize> = services.collect();
    // What the job names as well is the job's.
    let named = wanted.0.len();
    let helper = call.plan.helper_image.as_ref().map(|helper| wanted.place(helper));
    let pulls = wanted.0.iter().enumerate().map(async |(place, image)| {
        let ready = puller.ensure(image).await;
        let ready = if place < named { ready } else { ready.map_err(of_operator) }?;
        if place == job {
            check_platform(call, &ready.facts)?;
        }
        remember(call, &ready);
        Ok::<_, CallError>(ready)
    });
    let ready = try_join_all(pulls).await?;
    Ok(Images {
        job: ready[job].clone(),
        helper: helper.map(|place| ready[place].clone()),
        services: services.into_iter().map(|place| ready[place].clone()).collect(),
    })
}

/// The images of one job, each once.
#[derive(Default)]
struct Wanted<'p>(Vec<&'p ImagePlan>);

impl<'p> Wanted<'p> {
    fn place(&mut self, image: &'p ImagePlan) -> usize {
        self.0.iter().position(|known| known.is_same(image)).unwrap_or_else(|| {
            self.0.push(image);
            self.0.len() - 1
        })
    }
}

/// Writes down that an image is used, and that it was pulled.
fn remember(call: &Call<'_>, ready: &Ready) {
    let record = LastUse::at(&call.settings.state_dir);
    // It decides what goes first when room runs short, and nothing else.
    drop(record.note(Kind::Image, &ready.facts.id, (call.world.clock)()));
    let Some(pulled) = ready.pulled else { return };
    call.record(&Event::Pulled {
        job: call.plan.key.as_str(),
        image: &ready.reference,
        image_id: &ready.facts.id,
        size: ready.facts.size,
        seconds: pulled.as_secs_f64(),
    });
}

/// The operator chose the helper image, not the job.
fn of_operator(error: CallError) -> CallError {
    let (CallError::Job { message } | CallError::System { message }) = error;
    CallError::system(format!("the helper image: {message}\n  settings: [docker] helper_image"))
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
