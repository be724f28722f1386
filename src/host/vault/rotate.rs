//! `longshore vault rotate`: the host gets itself a new secret id and ends the old one. Until the new one
//! has proved itself, the old one is left as it is.

use std::path::Path;

use super::store::{self, Fresh, Leftover};
use super::stored::{Stored, life};
use super::{Host, fault};
use crate::secrets::vault::{NewSecretId, Visit};
use crate::stage::error::CallError;

/// The command.
pub(super) async fn rotate(host: &Host<'_>) -> Result<Stored, CallError> {
    let role = host.role()?;
    let target = host.secret_id_file("rotate")?;
    let _lock = host.lock()?;
    let fresh = Fresh::create(target, Leftover::Goes)
        .map_err(|error| fault(&store::beside(target), "cannot be made", &error))?;
    let mut old = Visit::new(&host.vault, host.vault.deadline).map_err(CallError::system)?;
    let rotated = exchange(host, &mut old, role, (fresh, target)).await;
    let left = old.leave().await;
    let mut stored = rotated.map_err(|error| match &left {
        Some(warning) => CallError::system(format!("{error}; besides, {warning}")),
        None => error,
    })?;
    stored.warnings.extend(left);
    Ok(stored)
}

async fn exchange(
    host: &Host<'_>,
    old: &mut Visit<'_>,
    role: &str,
    (mut fresh, target): (Fresh, &Path),
) -> Result<Stored, CallError> {
    old.login().await.map_err(CallError::system)?;
    let new = old.new_secret_id(role).await.map_err(CallError::system)?;
    let written = fresh.write(&new.secret_id);
    let proved = match written {
        Ok(()) => prove(host, &new).await,
        Err(error) => Err(fault(&store::beside(target), "cannot be written", &error)),
    };
    let turn = old.turn().await;
    let placed = proved.and_then(|mut warnings| {
        let placed = fresh.place().map_err(|error| fault(target, "cannot be replaced", &error));
        warnings.extend(placed?);
        Ok(warnings)
    });
    let mut warnings = match placed {
        Ok(warnings) => warnings,
        Err(error) => return Err(undone(old, role, &new, &error).await),
    };
    // No job is between reading the old one and its login while we have the turn.
    if let Err(error) = old.destroy_used(role).await {
        warnings.push(format!("the old secret_id still works: {error}"));
    }
    drop(turn);
    Ok(Stored {
        file: target.to_owned(),
        role: role.to_owned(),
        accessor: new.accessor.clone(),
        life: life(&new),
        warnings,
    })
}

/// Logs in with the new secret id, and ends that token. Answers what is left behind.
async fn prove(host: &Host<'_>, new: &NewSecretId) -> Result<Vec<String>, CallError> {
    if new.uses == Some(1) {
        let text = "the role's secret_ids serve one login each, so a new one cannot be tried and then kept: set secret_id_num_uses=0 on the role";
        return Err(CallError::system(text));
    }
    let mut visit = Visit::new(&host.vault, host.vault.deadline).map_err(CallError::system)?;
    let login = visit.login_with(&new.secret_id).await;
    let left = visit.leave().await;
    login.map_err(CallError::system)?;
    Ok(left.into_iter().collect())
}

/// The new one goes again.
async fn undone(old: &Visit<'_>, role: &str, new: &NewSecretId, error: &CallError) -> CallError {
    let text = format!("the old secret_id stays, as the new one is not in place: {error}");
    match old.destroy(role, &new.secret_id).await {
        Ok(()) => CallError::system(text),
        Err(left) => CallError::system(format!(
            "{text}; besides, the new one (accessor {}) could not be destroyed: {left}",
            new.accessor
        )),
    }
}
