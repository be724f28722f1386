//! What can be done to a container or an exec instance. Types, and how they are read from a query. Pure.

use crate::broker::refusal::Refusal;

use super::exec::{ExecCreate, ExecStart, Update};
use super::query::Query;

/// What can be done to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerAction {
    /// `GET json`
    Inspect {
        /// With the sizes of its files.
        size: bool,
    },
    /// `GET logs`
    Logs(Logs),
    /// `GET top`
    Top {
        /// Arguments of `ps`, which runs on the host.
        arguments: Option<String>,
    },
    /// `GET stats`
    Stats {
        /// Again and again.
        stream: bool,
        /// Without a sample before.
        one_shot: bool,
    },
    /// `GET changes`
    Changes,
    /// `GET export`
    Export,
    /// `HEAD archive`
    ArchiveStat {
        /// Path in the container.
        path: String,
    },
    /// `GET archive`
    ArchiveGet {
        /// Path in the container.
        path: String,
    },
    /// `PUT archive`
    ArchivePut(ArchivePut),
    /// `POST start`
    Start,
    /// `POST stop`
    Stop {
        /// Instead of its own.
        signal: Option<String>,
        /// Until it is killed.
        seconds: Option<i64>,
    },
    /// `POST restart`
    Restart {
        /// Instead of its own.
        signal: Option<String>,
        /// Until it is killed.
        seconds: Option<i64>,
    },
    /// `POST kill`
    Kill {
        /// KILL where none is named.
        signal: Option<String>,
    },
    /// `POST pause`
    Pause,
    /// `POST unpause`
    Unpause,
    /// `POST resize`
    Resize {
        /// Lines.
        height: Option<u16>,
        /// Columns.
        width: Option<u16>,
    },
    /// `POST wait`
    Wait {
        /// `not-running`, `next-exit` or `removed`.
        condition: Option<String>,
    },
    /// `POST rename`
    Rename {
        /// The job's new name for it.
        name: String,
    },
    /// `POST update`
    Update(Update),
    /// `POST attach`
    Attach(Attach),
    /// `POST exec`
    Exec(ExecCreate),
    /// `DELETE`
    Remove {
        /// With the volumes that have no name.
        volumes: bool,
        /// Though it runs.
        force: bool,
    },
}

/// What can be done to an exec instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecAction {
    /// `POST start`
    Start(ExecStart),
    /// `POST resize`
    Resize {
        /// Lines.
        height: Option<u16>,
        /// Columns.
        width: Option<u16>,
    },
    /// `GET json`
    Inspect,
}

/// `GET /containers/ID/logs`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the shape of Docker's query")]
pub struct Logs {
    /// Whether to wait for more.
    pub follow: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Each line with its time.
    pub timestamps: bool,
    /// Not older.
    pub since: Option<String>,
    /// Not newer.
    pub until: Option<String>,
    /// Number of lines, or `all`.
    pub tail: Option<String>,
}

impl Logs {
    pub(super) fn read(query: &mut Query) -> Result<Self, Refusal> {
        query.flag("details")?;
        Ok(Self {
            follow: query.flag("follow")?,
            stdout: query.flag("stdout")?,
            stderr: query.flag("stderr")?,
            timestamps: query.flag("timestamps")?,
            since: query.text("since")?,
            until: query.text("until")?,
            tail: query.text("tail")?,
        })
    }
}

/// `PUT /containers/ID/archive`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivePut {
    /// Directory in the container.
    pub path: String,
    /// `noOverwriteDirNonDir`
    pub no_overwrite: bool,
    /// `copyUIDGID`
    pub copy_owner: bool,
}

/// `POST /containers/ID/attach`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the shape of Docker's query")]
pub struct Attach {
    /// What was written before.
    pub logs: bool,
    /// What is written from now on.
    pub stream: bool,
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

impl Attach {
    pub(super) fn read(query: &mut Query) -> Result<Self, Refusal> {
        query.text("detachKeys")?;
        Ok(Self {
            logs: query.flag("logs")?,
            stream: query.flag("stream")?,
            stdin: query.flag("stdin")?,
            stdout: query.flag("stdout")?,
            stderr: query.flag("stderr")?,
        })
    }
}
