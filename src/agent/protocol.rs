//! What driver and agent say to each other. Pure: types and their meaning, no bytes, no descriptors;
//! [`super::frame`] puts them on the wire.
//!
//! Towards the agent: each message is postcard, COBS-coded, ended by a zero byte; an attach begins with
//! one of its own, so that half a message left by a killed driver is thrown away. From the agent: the
//! driver skips everything up to its own 16-byte session id (the head of its hello), from there on
//! frames are length-prefixed. The daemon copies output to everyone attached, so each frame names its
//! session.
//!
//! The output of a stage is one numbered row of frames under one credit window. The agent keeps what
//! was not acknowledged, so a driver that lost its attach takes the stage up again without a gap.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secrets::{MaskOptions, Secret};

mod probe;
mod refusal;
mod usage;

pub use probe::{Probe, ProbeKind, ProbeTarget};
pub use refusal::Refusal;
pub use usage::{DiskFacts, PidFacts, Usage};

/// Version of this protocol; driver and agent come from one binary, so they must be equal.
pub const VERSION: u16 = 2;

/// How often a driver pings while it follows a stage.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How long the agent hears nothing from a stage's driver before it stops reading the stage's pipes:
/// two pings lost and a second on top.
pub const SILENCE_PAUSES: Duration = Duration::from_secs(11);

/// How long the agent hears nothing from a stage's driver before it ends the stage.
pub const SILENCE_ENDS: Duration = Duration::from_secs(30);

/// Time between TERM and KILL when a stage is ended.
pub const GRACE: Duration = Duration::from_secs(10);

/// Output that may be under way and not acknowledged, counted by [`frame_cost`].
pub const WINDOW: usize = 2 * 1024 * 1024;

/// What a frame of this many payload bytes costs of the window.
///
/// The constant stands for what each side spends on bookkeeping, so that a million one-byte frames
/// cannot eat a hundred times the window.
pub fn frame_cost(payload: usize) -> usize {
    payload + 128
}

/// A random id of one attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Session(pub [u8; 16]);

/// What a driver asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Verb {
    /// Opens a session; answered by [`Reply::Hello`]. Steals nothing.
    Hello,
    /// Hands over what the container's life needs, exactly once; answered by [`Reply::Ready`].
    Init(Init),
    /// Runs a stage; answered by [`Reply::Exited`] once nothing of it is left.
    Exec(Exec),
    /// Takes up a stage whose attach was lost, from this frame on; answered by [`Reply::Exited`].
    Resume(Resume),
    /// All output frames below this number were consumed. Not answered.
    Acknowledge(u64),
    /// Signals the stage this session runs; answered by [`Reply::Done`].
    Signal(StageSignal),
    /// Says that the driver lives; answered by [`Reply::Pong`].
    Ping,
    /// Asks how the container stands; answered by [`Reply::Stat`].
    Stat,
    /// Ends whatever stage runs, whoever runs it; answered by [`Reply::Done`] once it is gone.
    Takeover,
    /// Masks these too from now on; answered by [`Reply::Done`].
    Mask(Vec<WireSecret>),
    /// Asks whether services answer on the container's network; answered by [`Reply::Probed`]. Needs no
    /// Init and holds nothing else up.
    Probe(Probe),
}

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

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// GitLab's name of the stage.
    pub stage: String,
    /// The script, given to the shell on its standard input.
    pub script: WireSecret,
    /// Whether this is the user's own stage: it gets entrypoint, secrets and the user environment.
    pub user_stage: bool,
    /// Plain environment of this stage alone.
    pub env: Vec<(String, String)>,
}

/// Where a lost attach is taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The session that started the stage or resumed it last.
    pub session: Session,
    /// Number of the first output frame that was not consumed.
    pub frame: u64,
}

/// What a driver may send to its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageSignal {
    /// TERM to everything in the container but PID 1, and KILL after [`GRACE`].
    Terminate,
    /// KILL to everything in the container but PID 1.
    Kill,
}

/// What the agent answers, with the number of the request it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The request's number within its session.
    pub request: u32,
    /// The answer proper.
    pub reply: Reply,
}

/// An answer proper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The session is open.
    Hello(Hello),
    /// Init is done.
    Ready(InitReport),
    /// The stage ended and nothing of it is left.
    Exited(Box<StageExit>),
    /// The agent lives.
    Pong,
    /// How the container stands.
    Stat(Stat),
    /// Done, nothing to tell.
    Done,
    /// Not done, and why.
    Refused(Refusal),
    /// Why each target is not ready, `None` for those that are, in the order asked.
    Probed(Vec<Option<String>>),
}

/// What a driver learns when it attaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Whether Init was done in this container's life.
    pub initialised: bool,
    /// The stage that runs now.
    pub running: Option<String>,
    /// Stages that ended, oldest first.
    pub stages: Vec<StageRecord>,
    /// All values to be masked: secrets, secret files and masks of Init, and what came later.
    pub masks: Vec<WireSecret>,
}

/// One stage that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// GitLab's name of the stage.
    pub stage: String,
    /// Exit code, 128 + signal number where a signal ended it.
    pub code: i32,
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

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageExit {
    /// The number or signal of the stage's own first process.
    pub status: ExitStatus,
    /// Why it was ended from outside, where it was.
    pub ended_by: Option<EndedBy>,
    /// Processes the kernel killed for memory while the stage ran.
    pub oom_kills: u64,
    /// Memory of the container at the end.
    pub memory: MemoryFacts,
    /// The entrypoint ended without reading one byte of the script.
    pub script_unread: bool,
    /// A process could not be killed within the sweep's deadline (it hangs in the kernel).
    pub survivors: bool,
    /// Values that the stage's scripts added to those to be masked.
    pub added_masks: Vec<WireSecret>,
    /// What it used.
    pub usage: Usage,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// By itself, with this number.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl ExitStatus {
    /// The number a shell would show: the code, or 128 + signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// What ended a stage from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndedBy {
    /// The driver that ran it asked so.
    Signal,
    /// Another session took over.
    Takeover,
    /// Its driver fell silent for [`SILENCE_ENDS`].
    Silence,
    /// The engine stopped the container.
    Stop,
}

/// Memory of the container as its cgroup tells; `None` where it tells nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFacts {
    /// Limit in bytes; `None` also where there is no limit.
    pub limit: Option<u64>,
    /// Highest use so far in bytes.
    pub peak: Option<u64>,
    /// Processes the kernel killed for memory in the container's life.
    pub oom_kills: Option<u64>,
}

/// How the container stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// The stage that runs now.
    pub running: Option<String>,
    /// Stages that ended, oldest first.
    pub stages: Vec<StageRecord>,
    /// Memory so far.
    pub memory: MemoryFacts,
}
