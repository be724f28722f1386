//! What a container is given once in its life, secrets included, and what the driver learns of it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secrets::{MaskOptions, Secret};

/// Everything a container's life needs from the driver, secrets included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// Secrets for the environment of user stages.
    pub secrets: Vec<SecretVariable>,
    /// Secrets to be written as files; refused where the path is not on a tmpfs.
    pub files: Vec<SecretFile>,
    /// Further values to be masked in every stage's output.
    pub masks: Vec<WireSecret>,
    /// What is looked for besides the usual forms of all that is masked.
    pub mask_options: MaskOptions,
    /// Plain environment of user stages.
    pub user_env: Vec<(String, String)>,
    /// Plain environment of all stages.
    pub env: Vec<(String, String)>,
    /// Whom the stages run as.
    pub identity: Identity,
    /// Absolute paths of directories to create (with parents) and to give to that user.
    pub directories: Vec<String>,
    /// What reads the scripts.
    pub shell: ScriptShell,
    /// The image's entrypoint, put before the shell of user stages; empty for none.
    pub entrypoint: Vec<String>,
    /// Directories put before `PATH` for every stage.
    pub path_prefix: Vec<String>,
    /// Where scripts add values to be masked; `None` for nowhere.
    pub mask_socket: Option<String>,
}

/// What reads the scripts of stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScriptShell {
    /// bash where there is one, else `sh`, as GitLab's own detection looks for them.
    Posix,
    /// PowerShell, by `PATH`.
    Pwsh,
}

/// One secret environment variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretVariable {
    /// Its name.
    pub name: String,
    /// Its value, without a NUL byte.
    pub value: WireSecret,
}

/// One secret file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretFile {
    /// Absolute path on a tmpfs; missing parents are made.
    pub path: String,
    /// Permission bits, e.g. `0o400`; the file belongs to the stages' user.
    pub mode: u32,
    /// Its content.
    pub content: WireSecret,
}

/// A [`Secret`] that may cross the attach stream, and nothing else.
///
/// `Secret` itself has no serde on purpose; this is the one door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireSecret(pub Secret);

impl From<Secret> for WireSecret {
    fn from(secret: Secret) -> Self {
        Self(secret)
    }
}

impl Serialize for WireSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for WireSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: serde_bytes::ByteBuf = Deserialize::deserialize(deserializer)?;
        Ok(Self(Secret::new(bytes.into_vec())))
    }
}

/// Whom stages run as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// The image's `USER`: empty for root, `name`, `uid`, `name:group`, `uid:gid`; looked up in the
    /// container's own `/etc/passwd` and `/etc/group` as Docker does.
    Image(String),
    /// Numbers from elsewhere (the helper takes the job container's); a home directory and a passwd
    /// line are made where they are missing.
    Numeric {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

/// Whom stages run as, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitReport {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// User name, where `/etc/passwd` has one.
    pub user: Option<String>,
    /// Home directory.
    pub home: String,
    /// The shell that will read the scripts, links resolved; `None` where the image has none.
    pub shell: Option<String>,
}
