//! What of Vault a job needs, got with one login: the passwords of its registries and its own secrets. It
//! gives them to nobody.

use std::io::Write;

use crate::engine::meter::Share;
use crate::joblog::JobLog;
use crate::plan::SecretRef;
use crate::secrets::{Fetched, SecretError, SecretSource};

use super::call::Call;
use super::error::CallError;
use super::{delivery, masking};

/// What was got.
#[derive(Default)]
pub struct Got {
    /// Passwords of registries, which no job sees.
    pub passwords: Fetched,
    /// The job's secrets; what is to be masked besides, the passwords among it; and warnings.
    pub secrets: Fetched,
}

/// All of it, where a pull needs a password; nothing where it can come beside the pulls.
///
/// The source is seen through: what is dropped there leaves a token behind.
///
/// # Errors
/// The job's where a secret of its own is not there; else ours.
pub async fn before_pulls<S: SecretSource, W: Write>(
    call: &Call<'_>,
    source: &S,
    log: &mut JobLog<W>,
) -> Result<Option<Got>, CallError> {
    if call.plan.vault_logins().is_empty() {
        return Ok(None);
    }
    let got = fetch(call, source).await?;
    call.masks.add(masking::values(&got.secrets));
    log.mask(call.masks.set());
    Ok(Some(got))
}

/// What came before the pulls, or all of it now.
///
/// # Errors
/// The job's where a secret of its own is not there; else ours.
pub async fn or_fetch<S: SecretSource>(
    early: Option<Got>,
    call: &Call<'_>,
    source: &S,
) -> Result<Got, CallError> {
    match early {
        Some(got) => Ok(got),
        None => fetch(call, source).await,
    }
}

/// All that the job needs; the token is revoked when this returns, but where leases need it.
///
/// # Errors
/// The job's where it is about a secret of its own that is not there; else ours: what is wrong with a
/// registry's password is the operator's.
async fn fetch<S: SecretSource>(call: &Call<'_>, source: &S) -> Result<Got, CallError> {
    let logins = call.plan.vault_logins();
    let mut wanted: Vec<SecretRef> = logins.iter().map(|login| login.password.clone()).collect();
    let passwords = wanted.len();
    wanted.extend(call.plan.secrets.iter().cloned());
    if wanted.is_empty() {
        return Ok(Got::default());
    }
    let _fetching = call.meter.begin(Share::Secrets);
    let fetched = source.fetch(&wanted).await;
    let mut secrets = fetched.map_err(|error| blame(&error, wanted.split_at(passwords)))?;
    let own = secrets.secrets.split_off(passwords);
    let passwords = std::mem::replace(&mut secrets.secrets, own);
    secrets.mask_too.extend(passwords.iter().map(|one| one.value.clone()));
    delivery::check(&call.plan.secrets, &secrets.secrets)?;
    let passwords = Fetched { secrets: passwords, ..Fetched::default() };
    Ok(Got { passwords, secrets })
}

fn blame(error: &SecretError, (passwords, own): (&[SecretRef], &[SecretRef])) -> CallError {
    let is_password = |name: &str| passwords.iter().any(|one| one.name == name);
    if own.is_empty() || error.about().is_some_and(is_password) {
        CallError::system(format!("{error}\n  settings: [[docker.login]] password"))
    } else if error.is_job_fault() {
        CallError::job(error)
    } else {
        CallError::system(error)
    }
}

/// Says which secrets the job has, and what there is to be known of them.
pub fn tell<W: Write>(secrets: &Fetched, warnings: &[String], log: &mut JobLog<W>) {
    let mut warnings = secrets.warnings.iter().chain(warnings).peekable();
    if secrets.secrets.is_empty() && warnings.peek().is_none() {
        return;
    }
    log.section("secrets", "Secrets from Vault, for the job's own scripts only");
    for one in &secrets.secrets {
        log.line(&one.name);
    }
    for warning in warnings {
        log.line(format!("warning: {warning}"));
    }
    log.end();
}
