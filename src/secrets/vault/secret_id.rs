//! Where the secret id comes from: a file, a systemd credential, or what a command prints. It is read
//! anew for each login, and kept nowhere.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::credential::{self, Readers};
use super::{AppRole, RoleId, VaultError};
use crate::secrets::{MaskSet, Secret};

/// The one setting that says where the secret id is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretId {
    /// A regular file, ours or root's, mode 0600 or less, one line.
    File(PathBuf),
    /// A name in the directory that systemd made for the runner's service.
    Credential {
        /// As in `LoadCredential=NAME:…`.
        name: String,
        /// `$CREDENTIALS_DIRECTORY`; nothing where we do not run below such a service.
        directory: Option<PathBuf>,
    },
    /// A program and its arguments, whose output is the secret id.
    Command(Vec<String>),
}

/// All that a command finds in its environment: where programs are.
const COMMAND_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More of a command's complaint than this is not shown.
const MOST_STDERR: u64 = 2048;

impl SecretId {
    /// Where a person would put a new one, as a fragment.
    pub fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Credential { name, .. } => format!("the systemd credential {name}"),
            Self::Command(argv) => {
                format!("what {} prints", argv.first().map_or("", String::as_str))
            }
        }
    }

    /// The file that it is in.
    pub(super) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Credential { name, directory } => directory.as_ref().map(|dir| dir.join(name)),
            Self::Command(_) => None,
        }
    }
}

/// Role id and secret id.
pub(super) struct Credentials {
    pub(super) role_id: Secret,
    pub(super) secret_id: Secret,
}

/// The role's id.
pub(super) fn role_id(approle: &AppRole) -> Result<Secret, VaultError> {
    match &approle.role_id {
        RoleId::Value(value) => credential::one_line(value.expose())
            .map_err(|reason| VaultError::Setting { key: "vault.approle.role_id", reason }),
        RoleId::File(path) => credential::read("vault.approle.role_id_file", path, Readers::Owner),
    }
}

/// Both ids; a command gets `limit` to answer.
pub(super) async fn read(approle: &AppRole, limit: Duration) -> Result<Credentials, VaultError> {
    let role_id = role_id(approle)?;
    let secret_id = match &approle.secret_id {
        SecretId::File(path) => {
            credential::read("vault.approle.secret_id_file", path, Readers::Owner)?
        }
        SecretId::Credential { name, directory } => from_systemd(name, directory.as_deref())?,
        SecretId::Command(argv) => from_command(argv, limit, &role_id).await?,
    };
    Ok(Credentials { role_id, secret_id })
}

fn from_systemd(name: &str, directory: Option<&Path>) -> Result<Secret, VaultError> {
    const KEY: &str = "vault.approle.secret_id_credential";
    let Some(directory) = directory else {
        let reason = format!(
            "CREDENTIALS_DIRECTORY is not set, so this does not run below a service with \
             LoadCredential={name}:FILE; add it to the runner's unit (by hand: systemd-run --pipe -p \
             LoadCredential={name}:FILE longshore ...)"
        );
        return Err(VaultError::Setting { key: KEY, reason });
    };
    // systemd lets the service's user in by an access list, which looks like the group's right to read.
    credential::read(KEY, &directory.join(name), Readers::Group)
}

async fn from_command(
    argv: &[String],
    limit: Duration,
    role_id: &Secret,
) -> Result<Secret, VaultError> {
    let program = argv.first().map_or("", String::as_str);
    let failed = |reason| VaultError::Command { program: program.to_owned(), reason };
    let mut command = Command::new(program);
    command.args(argv.iter().skip(1)).env_clear().env("PATH", COMMAND_PATH).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut child =
        command.spawn().map_err(|error| failed(format!("cannot be started ({error})")))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let ended = timeout(limit, finish(&mut child)).await;
    let Ok(ended) = ended else {
        // Its children too: they hold the pipes.
        let _ = group.map(|group| rustix::process::kill_process_group(group, Signal::KILL));
        return Err(failed(format!("did not end within {limit:?} (vault.timeout); it was killed")));
    };
    let (status, stdout, stderr) =
        ended.map_err(|error| failed(format!("cannot be listened to ({error})")))?;
    if !status.success() {
        let said = complaint(&stderr, &stdout, role_id);
        return Err(failed(format!("failed ({status}){said}")));
    }
    credential::one_line(&stdout).map_err(|reason| {
        failed(format!("its output {reason}{}", complaint(&stderr, &stdout, role_id)))
    })
}

type Ended = (std::process::ExitStatus, Zeroizing<Vec<u8>>, Vec<u8>);

/// Reads both streams to their ends, side by side: a full pipe would stop the command.
async fn finish(child: &mut Child) -> std::io::Result<Ended> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = tokio::try_join!(
        first_bytes(stdout, credential::MOST_BYTES + 1),
        first_bytes(stderr, MOST_STDERR)
    )?;
    Ok((child.wait().await?, Zeroizing::new(stdout), stderr))
}

/// The first `most` bytes; what follows is read and dropped.
async fn first_bytes(
    stream: Option<impl AsyncRead + Unpin>,
    most: u64,
) -> std::io::Result<Vec<u8>> {
    let Some(mut stream) = stream else { return Ok(Vec::new()) };
    // Never grown, as the old bytes would stay in memory.
    let mut bytes = Vec::with_capacity(usize::try_from(most).unwrap_or_default());
    (&mut stream).take(most).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(bytes)
}

/// What a command wrote to stderr, on one line, without what it wrote to stdout and the role's id.
fn complaint(stderr: &[u8], stdout: &[u8], role_id: &Secret) -> String {
    let mut hidden: Vec<Secret> = stdout
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(Secret::new)
        .collect();
    hidden.push(role_id.clone());
    let masked = MaskSet::new(hidden).mask(stderr.trim_ascii());
    let text = String::from_utf8_lossy(&masked);
    let line = text.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    let line: String = line.chars().filter(|character| !character.is_control()).collect();
    if line.is_empty() { String::new() } else { format!("; it says: {line}") }
}
