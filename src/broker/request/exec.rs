//! Reads requests for exec instances, updates and commits. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::refusal::Refusal;

use super::container::{Process, env, words};
use super::fields::Fields;
use super::limits::Limits;

/// `POST /containers/ID/exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the shape of Docker's JSON")]
pub struct ExecCreate {
    /// `Cmd`
    pub cmd: Vec<String>,
    /// `Env`
    pub env: Vec<String>,
    /// `User`
    pub user: Option<String>,
    /// `WorkingDir`
    pub working_dir: Option<String>,
    /// `Tty`
    pub tty: bool,
    /// `AttachStdin`
    pub attach_stdin: bool,
    /// `AttachStdout`
    pub attach_stdout: bool,
    /// `AttachStderr`
    pub attach_stderr: bool,
    /// `Detach`
    pub detach: bool,
}

impl ExecCreate {
    pub(super) fn read(body: Value) -> Result<Self, Refusal> {
        let mut body = Fields::of("", body)?;
        body.nothing(&[("Privileged", "privileged", "it is root on the host")])?;
        let exec = Self {
            cmd: words(&mut body, "Cmd")?.unwrap_or_default(),
            env: env(&mut body)?,
            user: body.text("User")?,
            working_dir: body.text("WorkingDir")?,
            tty: body.or_zero("Tty")?,
            attach_stdin: body.or_zero("AttachStdin")?,
            attach_stdout: body.or_zero("AttachStdout")?,
            attach_stderr: body.or_zero("AttachStderr")?,
            detach: body.or_zero("Detach")?,
        };
        // Keys to leave by, and the size of the client's screen; the second is set by `resize`.
        body.take::<String>("DetachKeys")?;
        body.take::<Vec<u32>>("ConsoleSize")?;
        // Written by Docker's Python SDK; the container is told by the path.
        body.take::<String>("Container")?;
        body.end()?;
        Ok(exec)
    }
}

/// `POST /exec/ID/start`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecStart {
    /// Whether nobody attaches.
    pub detach: bool,
    /// As at its creation.
    pub tty: bool,
}

impl ExecStart {
    pub(super) fn read(body: Value) -> Result<Self, Refusal> {
        let mut body = Fields::of("", body)?;
        let start = Self { detach: body.or_zero("Detach")?, tty: body.or_zero("Tty")? };
        body.take::<Vec<u32>>("ConsoleSize")?;
        body.end()?;
        Ok(start)
    }
}

/// `POST /containers/ID/update`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// The new limits.
    pub limits: Limits,
}

impl Update {
    pub(super) fn read(body: Value) -> Result<Self, Refusal> {
        let mut body = Fields::of("", body)?;
        let limits = Limits::read(&mut body)?;
        let mut restart = body.object("RestartPolicy")?;
        restart.nothing(&[
            ("Name", "restart", "containers end with their job"),
            ("MaximumRetryCount", "restart", "containers end with their job"),
        ])?;
        restart.end()?;
        let hint = "only --memory, --cpus and --pids-limit can be changed";
        let zeroes = [
            "BlkioWeight",
            "BlkioWeightDevice",
            "BlkioDeviceReadBps",
            "BlkioDeviceWriteBps",
            "BlkioDeviceReadIOps",
            "BlkioDeviceWriteIOps",
            "CgroupParent",
            "CpuRealtimePeriod",
            "CpuRealtimeRuntime",
            "CpusetCpus",
            "CpusetMems",
            "Devices",
            "DeviceCgroupRules",
            "DeviceRequests",
            "KernelMemory",
            "KernelMemoryTCP",
            "MemorySwappiness",
            "OomKillDisable",
            "CpuCount",
            "CpuPercent",
            "IOMaximumIOps",
            "IOMaximumBandwidth",
        ];
        body.nothing(&zeroes.map(|key| (key, "update", hint)))?;
        body.end()?;
        Ok(Self { limits })
    }
}

/// `POST /commit`.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// The container.
    pub container: String,
    /// Repository of the new image.
    pub repository: Option<String>,
    /// Its tag.
    pub tag: Option<String>,
    /// `comment`
    pub comment: Option<String>,
    /// `author`
    pub author: Option<String>,
    /// Whether it is paused meanwhile.
    pub pause: bool,
    /// What the image's containers run.
    pub process: Process,
}

impl Commit {
    /// The configuration that goes with a commit; there may be none, for which old clients write `null`.
    pub(super) fn process(body: Option<Value>) -> Result<Process, Refusal> {
        let Some(body) = body.filter(|body| !body.is_null()) else { return Ok(Process::default()) };
        let mut body = Fields::of("", body)?;
        let process = Process::read(&mut body)?;
        body.nothing(&[
            ("OnBuild", "field", "what runs in later builds stands in a Dockerfile"),
            ("MacAddress", "network", "addresses are given by the network"),
            ("ArgsEscaped", "field", "it is for Windows"),
        ])?;
        body.take::<String>("Image")?;
        body.end()?;
        Ok(process)
    }
}

/// `POST /auth`: only what the answer depends on. Nothing of a login is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// `serveraddress`
    pub server: String,
}

impl Login {
    pub(super) fn read(body: Value) -> Result<Self, Refusal> {
        let mut body = Fields::of("", body)?;
        let server = body.text("serveraddress")?.unwrap_or_default();
        for key in ["username", "password", "auth", "email", "identitytoken", "registrytoken"] {
            body.take::<String>(key)?;
        }
        body.end()?;
        Ok(Self { server })
    }
}

/// Labels in a query, as JSON.
pub(super) fn label_map(value: Option<Value>) -> Result<BTreeMap<String, String>, Refusal> {
    let Some(value) = value else { return Ok(BTreeMap::new()) };
    let mut wrapped = serde_json::Map::new();
    wrapped.insert("labels".to_owned(), value);
    super::container::labels(&mut Fields::of("", Value::Object(wrapped))?, "labels")
}
