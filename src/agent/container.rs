//! What Init makes of a container: the user, directories, secret files, and what later stages get. It
//! starts no process.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;

use tokio::sync::watch;

use super::identity::Account;
use super::protocol::{
    Exec, Init, InitReport, Refusal, ScriptShell, SecretFile, SecretVariable, WireSecret,
};
use super::sys;
use crate::secrets::{MaskSet, Secret, Unmaskable};
use files::{create_directory, give, write_secret};
use home::{home, resolve};

mod files;
mod home;

/// Where GitLab's own detection looks, in its order.
const SHELLS: [&str; 7] = [
    "/usr/local/bin/bash",
    "/usr/bin/bash",
    "/bin/bash",
    "/usr/local/bin/sh",
    "/usr/bin/sh",
    "/bin/sh",
    "/busybox/sh",
];

/// How PowerShell reads a script from its standard input, without profiles and questions.
const PWSH_OPTIONS: [&str; 8] = [
    "-NoProfile",
    "-NoLogo",
    "-NonInteractive",
    "-ExecutionPolicy",
    "Bypass",
    "-OutputFormat",
    "text",
    "-Command",
];

/// Docker's `PATH` where the image has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container after Init.
pub(super) struct Container {
    pub(super) account: Account,
    masks: watch::Sender<MaskSet>,
    environment: Vec<(OsString, OsString)>,
    home: String,
    init: Init,
}

impl Container {
    /// Does what Init asks. `environment` is what the container itself was given.
    pub(super) fn initialise(
        init: Init,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self, Refusal> {
        check_values(&init)?;
        let account = resolve(&init.identity)?;
        let home = home(&account, &init.identity, &environment);
        for directory in &init.directories {
            create_directory(directory, 0o755)?;
            give(directory, &account)?;
        }
        for file in &init.files {
            write_secret(file, &account)?;
        }
        let masks = MaskSet::with_options(mask_values(&init), init.mask_options);
        masks.values().iter().for_each(|value| sys::lock_memory(value.expose()));
        init.secrets.iter().for_each(|secret| sys::lock_memory(secret.value.0.expose()));
        Ok(Self { account, masks: watch::Sender::new(masks), environment, home, init })
    }

    /// What the driver is told.
    pub(super) fn report(&self) -> InitReport {
        InitReport {
            uid: self.account.uid,
            gid: self.account.gid,
            groups: self.account.groups.clone(),
            user: self.account.user.clone(),
            home: self.home.clone(),
            shell: self.shell().ok().map(resolved),
        }
    }

    /// The values of the mask set, for the driver's own messages.
    pub(super) fn mask_values(&self) -> Vec<WireSecret> {
        self.masks.borrow().values().iter().cloned().map(WireSecret).collect()
    }

    /// The secrets by the names of their variables, or the paths of their files.
    pub(super) fn secrets(&self) -> Vec<SecretVariable> {
        let file = |file: &SecretFile| SecretVariable {
            name: file.path.clone(),
            value: file.content.clone(),
        };
        self.init.secrets.iter().cloned().chain(self.init.files.iter().map(file)).collect()
    }

    /// What is to be masked, now and as it grows.
    pub(super) fn masks(&self) -> watch::Receiver<MaskSet> {
        self.masks.subscribe()
    }

    /// Masks one more value: in all bytes that are read from now on.
    pub(super) fn mask(&self, value: Secret) -> Result<(), Unmaskable> {
        let grown = self.masks.borrow().with(value)?;
        if let Some(last) = grown.values().last() {
            sys::lock_memory(last.expose());
        }
        self.masks.send_replace(grown);
        Ok(())
    }

    /// Where scripts add values to be masked.
    pub(super) fn mask_socket(&self) -> Option<&str> {
        self.init.mask_socket.as_deref()
    }

    /// Program and arguments of a stage: the entrypoint, where it is the user's stage, and the shell.
    pub(super) fn command_line(&self, user_stage: bool) -> Result<Vec<String>, Refusal> {
        let mut words = if user_stage { self.init.entrypoint.clone() } else { Vec::new() };
        words.push(self.shell()?);
        if self.init.shell == ScriptShell::Pwsh {
            words.extend(PWSH_OPTIONS.map(str::to_owned));
            words.push("-".to_owned());
        }
        Ok(words)
    }

    /// The first shell there is.
    fn shell(&self) -> Result<String, Refusal> {
        let (candidates, looked_for) = match self.init.shell {
            ScriptShell::Posix => (SHELLS.map(str::to_owned).to_vec(), SHELLS.join(" ")),
            ScriptShell::Pwsh => (self.in_path("pwsh"), "pwsh in PATH".to_owned()),
        };
        let found = candidates.into_iter().find(is_executable);
        found.ok_or(Refusal::NoShell { looked_for })
    }

    /// Where a program may be.
    fn in_path(&self, program: &str) -> Vec<String> {
        let path = self.path(&self.environment);
        path.to_string_lossy().split(':').map(|one| format!("{one}/{program}")).collect()
    }

    /// The whole environment of a stage; later entries override earlier ones.
    pub(super) fn stage_environment(&self, exec: &Exec) -> Vec<(OsString, OsString)> {
        let mut all = self.environment.clone();
        all.push(("HOME".into(), self.home.clone().into()));
        all.extend(plain(&self.init.env));
        if exec.user_stage {
            all.extend(plain(&self.init.user_env));
        }
        all.extend(plain(&exec.env));
        if exec.user_stage {
            all.extend(self.init.secrets.iter().map(|secret| {
                let value = OsString::from_vec(secret.value.0.expose().to_vec());
                (OsString::from(&secret.name), value)
            }));
        }
        let path = self.path(&all);
        all.push(("PATH".into(), path));
        all
    }

    fn path(&self, environment: &[(OsString, OsString)]) -> OsString {
        let inherited = environment.iter().rev().find(|(name, _)| name == "PATH");
        let inherited = inherited.map_or(OsStr::new(DEFAULT_PATH), |(_, path)| path.as_os_str());
        let mut path = OsString::new();
        for directory in &self.init.path_prefix {
            path.push(directory);
            path.push(":");
        }
        path.push(inherited);
        path
    }
}

fn plain(pairs: &[(String, String)]) -> impl Iterator<Item = (OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into()))
}

fn is_executable(path: &String) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What a link such as `/bin/sh` stands for tells which shell it is.
fn resolved(path: String) -> String {
    std::fs::canonicalize(&path).map_or(path, |real| real.display().to_string())
}

fn check_values(init: &Init) -> Result<(), Refusal> {
    let bad = init.secrets.iter().find(|secret| secret.value.0.expose().contains(&0));
    bad.map_or(Ok(()), |secret| Err(Refusal::NulByte { name: secret.name.clone() }))
}

fn mask_values(init: &Init) -> Vec<Secret> {
    let variables = init.secrets.iter().map(|secret| &secret.value);
    let files = init.files.iter().map(|file| &file.content);
    let mut values: Vec<Secret> = Vec::new();
    for WireSecret(value) in variables.chain(files).chain(&init.masks) {
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    values
}
