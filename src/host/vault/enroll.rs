//! `longshore vault enroll`: a wrapping token becomes the host's secret id. Everything that can be wrong
//! without the token being used up is looked at first.

use std::io::Read as _;
use std::path::Path;

use super::store::{self, Fresh, Leftover};
use super::stored::{Stored, life};
use super::{Host, fault};
use crate::cli::vault::EnrollArgs;
use crate::secrets::Secret;
use crate::secrets::vault::{NewSecretId, Visit, read_token};
use crate::stage::error::CallError;
use crate::world::Stdio;

/// The command.
pub(super) async fn enroll(
    host: &Host<'_>,
    args: &EnrollArgs,
    stdio: &mut Stdio,
) -> Result<Stored, CallError> {
    let target = host.secret_id_file("enroll")?;
    let wrapping_token = wrapping_token(&args.wrapping_token_file, stdio)?;
    let _lock = host.lock()?;
    let mut fresh = Fresh::create(target, Leftover::Stays)
        .map_err(|error| fault(&store::beside(target), "cannot be made", &error))?;
    let mut visit = Visit::new(&host.vault, host.vault.deadline).map_err(CallError::system)?;
    let path = visit.wrapped_path(&wrapping_token).await.map_err(CallError::system)?;
    let role = role_of(host, &path)?;
    let new = visit.unwrap(&wrapping_token).await.map_err(CallError::system)?;
    fresh.write(&new.secret_id).map_err(|error| {
        let text = format!("{} cannot be written ({error}); its secret_id has the accessor {}: destroy it, and have another one wrapped", store::beside(target).display(), new.accessor);
        CallError::system(text)
    })?;
    fresh.keep();
    let proved = prove(&mut visit, &new, fresh, target).await;
    let left = visit.leave().await;
    let mut warnings = proved?;
    warnings.extend(left);
    Ok(Stored {
        file: target.to_owned(),
        role,
        accessor: new.accessor.clone(),
        life: life(&new),
        warnings,
    })
}

/// Logs in with the new secret id and puts it in place. A refused one is of no use and goes; where the
/// server could not be asked it stays beside, as there is no other copy.
async fn prove(
    visit: &mut Visit<'_>,
    new: &NewSecretId,
    fresh: Fresh,
    target: &Path,
) -> Result<Vec<String>, CallError> {
    let placed = |fresh: Fresh| {
        let placed = fresh.place().map_err(|error| {
            fault(target, "cannot be replaced; the new one is beside it, as .new", &error)
        });
        placed.map(|remark| remark.into_iter().collect::<Vec<String>>())
    };
    if new.uses == Some(1) {
        let mut warnings = placed(fresh)?;
        let text = "the secret_id serves one login only, so it was not tried, and one job will use it up: set secret_id_num_uses=0 on the role";
        warnings.push(text.to_owned());
        return Ok(warnings);
    }
    match visit.login_with(&new.secret_id).await {
        Ok(_) => placed(fresh),
        Err(error) if error.is_refusal() => {
            fresh.discard();
            Err(CallError::system(format!(
                "the unwrapped secret_id (accessor {}) does not log in, so it was thrown away, and what was in place \
                 stays: {error}",
                new.accessor
            )))
        }
        Err(error) => {
            let beside = store::beside(target);
            Err(CallError::system(format!(
                "the unwrapped secret_id could not be tried: {error}\n  it is kept; when the server answers, run: mv {} \
                 {} && longshore vault check",
                beside.display(),
                target.display()
            )))
        }
    }
}

fn wrapping_token(path: &Path, stdio: &mut Stdio) -> Result<Secret, CallError> {
    if path != Path::new("-") {
        return read_token(path).map_err(CallError::system);
    }
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(4096));
    let read = (&mut stdio.stdin).take(4096).read_to_end(&mut bytes);
    read.map_err(|error| CallError::system(format!("standard input cannot be read ({error})")))?;
    let token = bytes.trim_ascii();
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err(CallError::system(
            "standard input holds no wrapping token; give it alone, on one line",
        ));
    }
    Ok(Secret::new(token))
}

/// The role whose secret id is wrapped, if it is one at all: a forged token wraps something else.
fn role_of(host: &Host<'_>, path: &str) -> Result<String, CallError> {
    let roles = format!("{}/", host.roles());
    let namespace = host.vault.namespace.as_deref().unwrap_or_default().trim_matches('/');
    let below = path.strip_prefix(namespace).map_or(path, |rest| rest.trim_start_matches('/'));
    let role = below.strip_prefix(&roles).and_then(|rest| rest.strip_suffix("/secret-id"));
    let role = role.filter(|role| !role.is_empty() && !role.contains('/'));
    let wanted = host.role_name();
    match role {
        Some(role) if wanted.is_none_or(|wanted| wanted == role) => Ok(role.to_owned()),
        _ => {
            let wanted = wanted.unwrap_or("ROLE");
            Err(CallError::system(format!(
                "the token wraps what {path} gave, and no secret_id of {roles}{wanted}; it was not unwrapped. If nobody \
                 made it by mistake, somebody put it in the place of yours: treat it as an incident. A right one: \
                 vault write -wrap-ttl=10m -f {roles}{wanted}/secret-id"
            )))
        }
    }
}
