//! A container stand-in for the agent's tests: the real binary over pipes, and a hub that treats its
//! streams as the Docker daemon does (output copied to everyone attached, dropped when nobody is).

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use longshore::agent::client::{Client, ClientError, StageSink};
use longshore::agent::frame::Channel;
use longshore::agent::protocol::{
    Exec, Hello, Identity, Init, ScriptShell, SecretVariable, Session, StageExit, StageSignal,
    WireSecret,
};
use longshore::secrets::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

pub(crate) type Output = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;
pub(crate) type TestClient = Client<Output, DuplexStream>;
type Audience = Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>;

/// How long anything in a test may take before the test is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One agent.
pub(crate) struct Container {
    child: Child,
    stdin: Arc<tokio::sync::Mutex<ChildStdin>>,
    attached: Audience,
}

impl Container {
    /// The agent as an ordinary process.
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.arg("agent");
        Self::spawn(command)
    }

    /// The agent as PID 1 of its own pid namespace.
    pub(crate) fn start_as_pid1() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
        command.args([env!("CARGO_BIN_EXE_longshore"), "agent"]);
        Self::spawn(command)
    }

    /// The agent as PID 1 with the four capabilities it has in a container, `passwd` and `group` from
    /// this directory, and a tmpfs at `/home`.
    pub(crate) fn start_with_etc(etc: &Path) -> Self {
        let script = "mount --bind \"$1/passwd\" /etc/passwd && mount --bind \"$1/group\" /etc/group \
                      && mount -t tmpfs tmpfs /home && exec setpriv --inh-caps -all \
                      --bounding-set -all,+setuid,+setgid,+kill,+chown \"$2\" agent";
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, "sh"]);
        command.arg(etc).arg(env!("CARGO_BIN_EXE_longshore"));
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.arg("agent").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let stdin = Arc::new(tokio::sync::Mutex::new(child.stdin.take().unwrap()));
        let attached = Audience::default();
        tokio::spawn(copy_to_all(child.stdout.take().unwrap(), Arc::clone(&attached)));
        Self { child, stdin, attached }
    }

    /// Names of all processes below the one that was started.
    pub(crate) fn descendants(&self) -> Vec<String> {
        let root = self.child.id().unwrap().to_string();
        let (mut level, mut names) = (vec![root], Vec::new());
        while !level.is_empty() {
            let output = std::process::Command::new("ps")
                .args(["-o", "pid=,comm=", "--ppid", &level.join(",")])
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let found: Vec<(&str, &str)> =
                text.lines().filter_map(|line| line.trim().split_once(' ')).collect();
            level = found.iter().map(|(pid, _)| (*pid).to_owned()).collect();
            names.extend(found.iter().map(|(_, name)| name.trim().to_owned()));
        }
        names
    }

    /// Signals the agent.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed());
        rustix::process::kill_process(pid.unwrap(), signal).unwrap();
    }

    /// The most memory the agent had resident, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Ends all attaches, as a daemon that restarts.
    pub(crate) fn hang_up(&self) {
        self.attached.lock().unwrap().clear();
    }

    /// Waits for the agent's own end.
    pub(crate) async fn ended(&mut self) -> std::process::ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }

    /// What `POST /containers/ID/attach` gives.
    pub(crate) fn attach(&self) -> (Output, DuplexStream) {
        // As much as a socket's buffers hold: a driver that is attached and idle blocks nobody yet.
        let (sender, mut receiver) = mpsc::channel::<Bytes>(16);
        self.attached.lock().unwrap().push(sender);
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let stdin = Arc::clone(&self.stdin);
        tokio::spawn(async move {
            let mut buffer = vec![0; 32 * 1024];
            loop {
                let length = far.read(&mut buffer).await.unwrap();
                if length == 0 {
                    return;
                }
                // The agent may have ended, as the container of a real attach.
                let _ = stdin.lock().await.write_all(&buffer[..length]).await;
            }
        });
        let output = futures_util::stream::poll_fn(move |context| {
            receiver.poll_recv(context).map(|bytes| bytes.map(Ok))
        });
        (Box::pin(output), near)
    }

    /// Writes raw bytes into the agent's input, as a driver killed half-way leaves them.
    pub(crate) async fn write_raw(&self, bytes: &[u8]) {
        let mut stdin = self.stdin.lock().await;
        stdin.write_all(bytes).await.unwrap();
        stdin.flush().await.unwrap();
    }

    /// A new session.
    pub(crate) async fn connect(&self) -> (TestClient, Hello) {
        let (output, input) = self.attach();
        Client::connect(output, input, session(), PATIENCE).await.unwrap()
    }

    /// A new session in a container initialised like this.
    pub(crate) async fn ready(&self, init: Init) -> TestClient {
        let (mut client, hello) = self.connect().await;
        assert!(!hello.initialised);
        client.init(init).await.unwrap();
        client
    }
}

async fn copy_to_all(mut stdout: ChildStdout, attached: Audience) {
    loop {
        let mut chunk = bytes::BytesMut::with_capacity(32 * 1024);
        if stdout.read_buf(&mut chunk).await.unwrap_or(0) == 0 {
            attached.lock().unwrap().clear(); // the container stopped: all attaches end
            return;
        }
        let chunk = chunk.freeze();
        let audience = attached.lock().unwrap().clone();
        for one in audience {
            if one.send(chunk.clone()).await.is_err() {
                attached.lock().unwrap().retain(|other| !other.same_channel(&one));
            }
        }
    }
}

/// A session no other test has.
pub(crate) fn session() -> Session {
    let mut bytes = [0; 16];
    let length = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    assert_eq!(length, Ok(16));
    Session(bytes)
}

/// An Init that asks for nothing but root.
pub(crate) fn plain_init() -> Init {
    Init {
        secrets: Vec::new(),
        files: Vec::new(),
        masks: Vec::new(),
        user_env: Vec::new(),
        env: Vec::new(),
        shell: ScriptShell::Posix,
        identity: Identity::Image(String::new()),
        directories: Vec::new(),
        entrypoint: Vec::new(),
        path_prefix: Vec::new(),
        mask_socket: None,
        mask_options: longshore::secrets::MaskOptions::default(),
    }
}

pub(crate) fn secret(value: impl Into<Vec<u8>>) -> WireSecret {
    WireSecret(Secret::new(value))
}

pub(crate) fn secret_variable(name: &str, value: &str) -> SecretVariable {
    SecretVariable { name: name.into(), value: secret(value) }
}

/// A user stage with this script.
pub(crate) fn stage(name: &str, script: impl Into<Vec<u8>>) -> Exec {
    Exec {
        stage: name.into(),
        script: secret(script),
        user_stage: true,
        env: Vec::new(),
        docker_socket: None,
    }
}

/// Keeps what a stage writes, and tells a listener of it.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) tell: Option<mpsc::UnboundedSender<String>>,
}

impl Kept {
    /// Tells of each piece of output as it comes.
    pub(crate) fn telling() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (tell, told) = mpsc::unbounded_channel();
        (Self { tell: Some(tell), ..Self::default() }, told)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl StageSink for Kept {
    async fn write(&mut self, channel: Channel, bytes: Bytes) -> io::Result<()> {
        let kept = if channel == Channel::STDOUT { &mut self.stdout } else { &mut self.stderr };
        kept.extend_from_slice(&bytes);
        if let Some(tell) = &self.tell {
            let _ = tell.send(String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(())
    }
}

/// Runs a stage nobody interrupts.
pub(crate) async fn run(
    client: &mut TestClient,
    exec: Exec,
) -> (Result<StageExit, ClientError>, Kept) {
    let mut kept = Kept::default();
    let (_controls, mut orders) = mpsc::channel::<StageSignal>(1);
    let exit = tokio::time::timeout(PATIENCE, client.exec(exec, &mut kept, &mut orders)).await;
    (exit.expect("the stage ends in time"), kept)
}

/// Waits for a line of output that holds this text.
pub(crate) async fn wait_for(told: &mut mpsc::UnboundedReceiver<String>, text: &str) {
    let mut all = String::new();
    let found = async {
        while !all.contains(text) {
            all.push_str(&told.recv().await.expect("output before its end"));
        }
    };
    let waited = tokio::time::timeout(PATIENCE, found).await;
    waited.unwrap_or_else(|_| panic!("no {text:?} in the output"));
}
