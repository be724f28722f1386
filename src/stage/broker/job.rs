//! What the broker is told of a job: from its plan, and from the daemon what only that knows.

use serde_json::Value;
use tokio::sync::mpsc;

use crate::agent::protocol::SecretVariable;
use crate::broker::forward::Address;
use crate::broker::session::{Broker, Parts, Word};
use crate::broker::view::{Daemon, JobView, Own, SecretFinder, Workspace};
use crate::engine::{Engine, Tls};
use crate::host::ledger::Ledger;
use crate::plan::container::ContainerPlan;
use crate::plan::sweep;
use crate::stage::call::Call;
use crate::stage::error::CallError;
use crate::stage::seccomp;

use super::{job_container, logins, named_secrets, own};

/// The broker of this job for one stage.
///
/// # Errors
/// The daemon does not say what the broker has to know.
pub(super) async fn broker<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    secrets: Vec<SecretVariable>,
    told: mpsc::UnboundedSender<Word>,
) -> Result<Broker, CallError> {
    let settings = &call.settings.docker;
    let (host, certificates) = (&settings.host, settings.tls_cert_path.as_deref());
    let tls = certificates.map(|directory| Tls::read(host, directory)).transpose()?;
    let daemon = Address::read(host, tls)
        .ok_or_else(|| CallError::system(format!("no broker can reach the daemon at {host}")))?;
    let rules = call.plan.broker.clone();
    let rules = rules.ok_or_else(|| CallError::system("this job's plan has no broker"))?;
    let job = job_container(call, engine).await?;
    let network = job.networks.first().cloned().unwrap_or_default();
    let shape = shape(call)?;
    let told_of_network = look(&daemon, &format!("/networks/{network}")).await?;
    let mut view = JobView {
        key: call.plan.key.to_string(),
        labels: call.plan.labelled(sweep::BROKERED),
        limits: call.plan.limits.clone(),
        resolver: call.plan.network.resolver.clone(),
        security: shape.security,
        runtime: shape.isolation.runtime,
        gateway: engine.gateway(&network).await?,
        network,
        network_id: told_of_network.get("Id").and_then(Value::as_str).map(str::to_owned),
        job_container: Some((job.id, shape.hostname.unwrap_or_default())),
        workspace: Workspace {
            volume: call.plan.key.name("builds"),
            mounted_at: call.plan.builds_dir.clone(),
            project_dir: call.plan.project_dir.clone(),
        },
        daemon: version(&daemon).await?,
        secrets: finder(call, secrets),
        own: Own::default(),
        fresh: String::new(),
    };
    own::adopt(&mut view, &daemon, &Ledger::at(&call.settings.state_dir)).await?;
    let logins = logins::finder(call);
    Ok(Broker::new(Parts { view, rules, daemon, logins, fresh, told }))
}

/// The job container as it was planned, for what its siblings inherit. The operator's own confinement
/// holds for them; what the operator took away from it for this job does not.
fn shape(call: &Call<'_>) -> Result<ContainerPlan, CallError> {
    let mut shape = call.plan.job_container("");
    seccomp::inline(&mut shape)?;
    shape.security.retain(|line| {
        let confines = line.starts_with("seccomp=") || line.starts_with("apparmor=");
        confines && !line.ends_with("unconfined")
    });
    Ok(shape)
}

async fn look(daemon: &Address, path: &str) -> Result<Value, CallError> {
    daemon.look(path, &[]).await.map_err(CallError::system)
}

async fn version(daemon: &Address) -> Result<Daemon, CallError> {
    let told = look(daemon, "/version").await?;
    let text = |key: &str| told.get(key).and_then(Value::as_str).unwrap_or_default();
    let minor = text("ApiVersion").strip_prefix("1.").and_then(|minor| minor.parse().ok());
    Ok(Daemon {
        api_minor: minor.ok_or_else(|| CallError::system("the daemon tells no API version"))?,
        os: text("Os").to_owned(),
        architecture: text("Arch").to_owned(),
    })
}

/// Tells the job's secrets by their names, files by that of their secret.
fn finder(call: &Call<'_>, secrets: Vec<SecretVariable>) -> SecretFinder {
    let files: Vec<(String, String)> = call
        .plan
        .secrets
        .iter()
        .filter_map(|secret| Some((secret.file()?, secret.name.clone())))
        .collect();
    let name = move |known: &str| {
        let file = files.iter().find(|(path, _)| path == known);
        file.map_or(known, |(_, name)| name).to_owned()
    };
    let named = secrets.into_iter().map(|secret| (name(&secret.name), secret.value.0)).collect();
    named_secrets::finder(named, call.masks.options())
}

/// 16 hex digits from the kernel.
fn fresh() -> String {
    let mut bytes = [0; 8];
    // It cannot fail for so few bytes; all zeros would be a name that is taken.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    format!("{:016x}", u64::from_le_bytes(bytes))
}
