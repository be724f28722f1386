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
//! Each tunnel has a window of its own for each direction, and ends with the attach.

use std::time::Duration;

use serde::{Deserialize, Serialize};

mod ending;
mod init;
mod probe;
mod refusal;
mod tunnel;
mod usage;

pub use ending::{EndedBy, ExitStatus, MemoryFacts, StageExit};
pub use init::{Identity, Init, InitReport, ScriptShell, SecretFile, SecretVariable, WireSecret};
pub use probe::{Probe, ProbeKind, ProbeTarget};
pub use refusal::Refusal;
pub use tunnel::{FIRST_TUNNEL, TUNNEL_CREDIT, TUNNEL_WINDOW, TUNNELS, ToAgent, ToDriver};
pub use usage::{DiskFacts, PidFacts, Usage};

/// Version of this protocol; driver and agent come from one binary, so they must be equal.
pub const VERSION: u16 = 3;

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
    /// Something for a connection to the job's Docker socket; not answered.
    Tunnel {
        /// The tunnel's channel.
        channel: u32,
        /// What the connection is told.
        message: ToAgent,
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
    /// Where the agent listens for Docker clients while this stage runs; `None` for nowhere. Where that
    /// cannot be, it listens elsewhere and sets `DOCKER_HOST`.
    pub docker_socket: Option<String>,
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
    /// News of a tunnel, asked for by nobody: its request is 0.
    Tunnel {
        /// The tunnel's channel.
        channel: u32,
        /// What the driver is told.
        message: ToDriver,
    },
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
    /// The secrets of Init by the names of their variables, or the paths of their files.
    pub secrets: Vec<SecretVariable>,
}

/// One stage that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// GitLab's name of the stage.
    pub stage: String,
    /// Exit code, 128 + signal number where a signal ended it.
    pub code: i32,
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
