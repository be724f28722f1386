//! `longshore vault`: what people do about the server by hand. It conducts and prints; the calls are the
//! secrets room's.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::cli::vault::VaultCommand;
use crate::host::shared_file::Locked;
use crate::outcome::Outcome;
use crate::secrets::vault::{SecretId, VaultSettings};
use crate::settings::Settings;
use crate::stage::error::CallError;
use crate::stage::vault;
use crate::world::{Stdio, World};

mod check;
mod enroll;
mod findings;
mod policy;
mod report;
mod rotate;
mod store;
mod stored;

/// What a command found, printed in one of two ways.
trait Answer: Serialize {
    /// For people.
    fn write(&self, out: &mut dyn Write) -> std::io::Result<()>;

    /// How the command ends.
    fn outcome(&self) -> Outcome;
}

/// An answer as JSON: one object, which begins with how it went.
#[derive(Serialize)]
struct Told<'a, A> {
    ok: bool,
    #[serde(flatten)]
    answer: &'a A,
}

/// The settings and what they say of Vault.
struct Host<'a> {
    settings: &'a Settings,
    vault: VaultSettings,
    world: &'a World,
}

impl Host<'_> {
    /// The role's name, where the settings have it.
    fn role_name(&self) -> Option<&str> {
        self.settings.vault.as_ref().and_then(|vault| vault.approle.role.as_deref())
    }

    /// The role's name, for what cannot be done without.
    fn role(&self) -> Result<&str, CallError> {
        self.role_name().ok_or_else(|| {
            CallError::system(
                "the name of the role is missing; write it into vault.approle.role: the API knows roles by it",
            )
        })
    }

    /// The file that a new secret id goes into.
    fn secret_id_file(&self, command: &str) -> Result<&Path, CallError> {
        match &self.vault.approle.secret_id {
            SecretId::File(path) => Ok(path),
            other => Err(CallError::system(format!(
                "the secret_id comes from {}, where longshore cannot put a new one; vault {command} needs \
                 vault.approle.secret_id_file",
                other.place()
            ))),
        }
    }

    /// Keeps another `enroll` or `rotate` out, until it is dropped.
    fn lock(&self) -> Result<Locked, CallError> {
        let run_dir = &self.settings.run_dir;
        store::lock(run_dir).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => CallError::system(
                "another vault enroll or rotate is at work on this host; wait for its end",
            ),
            _ => fault(run_dir, "cannot be used (setting run_dir)", &error),
        })
    }

    /// Where the roles are kept.
    fn roles(&self) -> String {
        format!("auth/{}/role", self.vault.approle.mount.trim_matches('/'))
    }
}

/// Runs one of the commands.
///
/// # Errors
/// Settings without a Vault, and all that fails between us and the server. With `--json` the answer on
/// stdout says it as well.
pub async fn command(
    command: VaultCommand,
    settings: &Settings,
    world: &World,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    let vault = vault::reached(settings, world).ok_or_else(|| {
        CallError::system("the settings have no [vault]; see longshore.toml.example")
    })?;
    // The first client of a process needs it; the second time it is there already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let host = Host { settings, vault, world };
    match command {
        VaultCommand::Check(args) => {
            let answer = check::check(&host).await;
            print(answer, args.json, &mut stdio.stdout)
        }
        VaultCommand::Enroll(args) => {
            let answer = enroll::enroll(&host, &args, &mut stdio).await;
            print(answer, args.json, &mut stdio.stdout)
        }
        VaultCommand::Rotate(args) => {
            let answer = rotate::rotate(&host).await;
            print(answer, args.json, &mut stdio.stdout)
        }
        VaultCommand::Policy(args) => {
            let answer = policy::policy(&host, &args).await;
            print(answer, args.json, &mut stdio.stdout)
        }
    }
}

fn print(
    answer: Result<impl Answer, CallError>,
    is_json: bool,
    out: &mut dyn Write,
) -> Result<Outcome, CallError> {
    let written = match (&answer, is_json) {
        (Ok(answer), true) => {
            write_json(&Told { ok: answer.outcome() == Outcome::Success, answer }, out)
        }
        (Ok(answer), false) => answer.write(out),
        (Err(error), true) => write_json(&json!({"ok": false, "error": error.to_string()}), out),
        (Err(_), false) => Ok(()),
    };
    let answer = answer?;
    written.map_err(CallError::system)?;
    Ok(answer.outcome())
}

fn write_json(answer: &impl Serialize, out: &mut dyn Write) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, answer)?;
    writeln!(out)
}

fn fault(path: &Path, what: &str, error: &io::Error) -> CallError {
    CallError::system(format!("{} {what}: {error}", path.display()))
}
