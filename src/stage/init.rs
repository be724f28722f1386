//! The first word to the agent in each container: who it is, what it sets up and what it masks. Nothing
//! else ever sees the secrets.

use crate::agent::client::ClientError;
use crate::agent::protocol::{Identity, Init, InitReport, Refusal, WireSecret};
use crate::engine::meter::Share;
use crate::engine::{Engine, ImageFacts};
use crate::plan::{AGENT_BIN, MASK_SOCKET, Role};
use crate::secrets::Fetched;

use super::call::Call;
use super::error::CallError;
use super::{attach, delivery, shells};

/// Hands the job container's agent its secrets, its user and its surroundings.
///
/// # Errors
/// The job's own fault where its image has no such user or a secret fits no environment; else ours.
pub(super) async fn job<E: Engine>(
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
///
/// # Errors
/// As those of [`job`].
pub(super) async fn helper<E: Engine>(
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
