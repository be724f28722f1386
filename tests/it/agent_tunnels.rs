//! The job's Docker socket inside the container: connections are carried to the driver and back, one
//! that stalls holds up nothing else, and nothing listens between stages.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore::agent::client::{ClientError, Tunnel};
use longshore::agent::protocol::{Exec, ExitStatus, StageSignal, TUNNEL_WINDOW, TUNNELS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::agent_support::{Container, Kept, PATIENCE, TestClient, plain_init, stage, wait_for};

/// A container with a driver, and a place for its socket.
struct Job {
    container: Container,
    client: TestClient,
    directory: tempfile::TempDir,
}

/// What happens beside a running stage.
struct Beside {
    socket: PathBuf,
    tunnels: mpsc::UnboundedReceiver<Tunnel>,
    told: mpsc::UnboundedReceiver<String>,
    controls: mpsc::Sender<StageSignal>,
    fifo: PathBuf,
}

impl Job {
    async fn start() -> Self {
        let container = Container::start();
        let client = container.ready(plain_init()).await;
        Self { container, client, directory: tempfile::tempdir().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("run/docker.sock")
    }

    /// Runs a stage with a socket while `work` goes on; the stage ends when that says so.
    async fn with<T>(&mut self, script: &str, work: impl AsyncFnOnce(Beside) -> T) -> (T, Ended) {
        let fifo = self.directory.path().join("fifo");
        if !fifo.exists() {
            let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
            assert!(made.success());
        }
        let script = format!("{script}\necho up\nread -r word < {}\n", fifo.display());
        let socket = self.socket();
        let exec = Exec {
            docker_socket: Some(socket.to_str().unwrap().to_owned()),
            ..stage("build_script", script)
        };
        let (acceptor, tunnels) = mpsc::unbounded_channel();
        self.client.accept_tunnels(acceptor);
        let (mut kept, mut told) = Kept::telling();
        let (controls, mut orders) = mpsc::channel(2);
        let work = async {
            wait_for(&mut told, "up").await;
            work(Beside { socket, tunnels, told, controls, fifo }).await
        };
        let both = async { tokio::join!(self.client.exec(exec, &mut kept, &mut orders), work) };
        let (exit, done) = tokio::time::timeout(PATIENCE, both).await.expect("all in time");
        (done, exit.map(|exit| (exit.status, kept.text())))
    }
}

type Ended = Result<(ExitStatus, String), ClientError>;

impl Beside {
    async fn connect(&mut self) -> (UnixStream, Tunnel) {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        (stream, self.tunnels.recv().await.unwrap())
    }

    async fn end_stage(&self) {
        tokio::fs::write(&self.fifo, "on\n").await.unwrap();
    }
}

async fn until_end(reader: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    reader.read_to_end(&mut all).await.map(|_| all)
}

#[tokio::test]
async fn a_connection_carries_bytes_both_ways_and_each_way_ends_on_its_own() {
    let mut job = Job::start().await;
    let ((), ended) = job
        .with("", async |mut beside| {
            let (mut client, mut tunnel) = beside.connect().await;
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(until_end(&mut tunnel).await.unwrap(), b"question");
            tunnel.write_all(b"answer").await.unwrap();
            tunnel.shutdown().await.unwrap();
            assert_eq!(until_end(&mut client).await.unwrap(), b"answer");

            let (mut client, mut tunnel) = beside.connect().await;
            tunnel.write_all(b"first").await.unwrap();
            tunnel.shutdown().await.unwrap();
            assert_eq!(until_end(&mut client).await.unwrap(), b"first");
            client.write_all(b"second").await.unwrap();
            drop(client);
            assert_eq!(until_end(&mut tunnel).await.unwrap(), b"second");
            beside.end_stage().await;
        })
        .await;
    assert_eq!(ended.unwrap().0, ExitStatus::Code(0));
}

#[tokio::test]
async fn much_goes_both_ways_at_once_whole_and_in_order() {
    let mut job = Job::start().await;
    let ((), ended) = job
        .with("", async |mut beside| {
            let (client, tunnel) = beside.connect().await;
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_tunnel, mut to_tunnel) = tokio::io::split(tunnel);
            let numbers: Vec<u8> = (0..8_000_000u32).flat_map(u32::to_le_bytes).collect();
            let (up, down) = (numbers.clone(), numbers.clone());
            let writing = tokio::spawn(async move {
                to_client.write_all(&up).await.unwrap();
                to_client.shutdown().await.unwrap();
            });
            let reading = tokio::spawn(async move { until_end(&mut from_client).await.unwrap() });
            let answering = tokio::spawn(async move {
                to_tunnel.write_all(&down).await.unwrap();
                to_tunnel.shutdown().await.unwrap();
            });
            let uploaded = until_end(&mut from_tunnel).await.unwrap();
            assert!(uploaded == numbers, "{} bytes", uploaded.len());
            let downloaded = reading.await.unwrap();
            assert!(downloaded == numbers, "{} bytes", downloaded.len());
            writing.await.unwrap();
            answering.await.unwrap();
            beside.end_stage().await;
        })
        .await;
    assert_eq!(ended.unwrap().0, ExitStatus::Code(0));
    let peak = job.container.peak_memory();
    assert!(peak < 64 << 20, "the agent had {peak} bytes");
}

/// Writes until nothing more is taken for a while; answers how much was.
async fn fill(writer: &mut (impl tokio::io::AsyncWrite + Unpin)) -> usize {
    let block = vec![0; 16 * 1024];
    let mut written = 0;
    while let Ok(more) =
        tokio::time::timeout(Duration::from_millis(500), writer.write(&block)).await
    {
        written += more.unwrap();
    }
    written
}

#[tokio::test]
async fn connections_that_stall_hold_up_neither_the_log_nor_others_nor_a_cancel() {
    let mut job = Job::start().await;
    let script = "trap 'echo told to end; exit 7' TERM; (sleep 3; seq 1 300000; echo all of it) &";
    let ((), ended) = job
        .with(script, async |mut beside| {
            let (mut uploading, unread) = beside.connect().await;
            let taken = fill(&mut uploading).await;
            assert!((TUNNEL_WINDOW..4 * TUNNEL_WINDOW).contains(&taken), "{taken} bytes");
            let (deaf, mut downloading) = beside.connect().await;
            let taken = fill(&mut downloading).await;
            assert!((TUNNEL_WINDOW..4 * TUNNEL_WINDOW).contains(&taken), "{taken} bytes");
            let (mut client, mut tunnel) = beside.connect().await;
            client.write_all(b"ping").await.unwrap();
            let mut asked = [0; 4];
            tunnel.read_exact(&mut asked).await.unwrap();
            tunnel.write_all(b"pong").await.unwrap();
            client.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked, b"pong");
            wait_for(&mut beside.told, "all of it").await;
            beside.controls.send(StageSignal::Terminate).await.unwrap();
            wait_for(&mut beside.told, "told to end").await;
            drop((unread, deaf));
        })
        .await;
    let (status, _) = ended.unwrap();
    assert_eq!(status, ExitStatus::Code(7));
}

#[tokio::test]
async fn the_33rd_connection_waits_for_a_place() {
    let mut job = Job::start().await;
    let ((), ended) = job
        .with("", async |mut beside| {
            let mut all = Vec::new();
            for _ in 0..TUNNELS {
                all.push(beside.connect().await);
            }
            let mut next = UnixStream::connect(&beside.socket).await.unwrap();
            next.write_all(b"me too").await.unwrap();
            let waits =
                tokio::time::timeout(Duration::from_millis(300), beside.tunnels.recv()).await;
            assert!(waits.is_err());
            all.pop();
            let mut tunnel = beside.tunnels.recv().await.unwrap();
            let mut word = [0; 6];
            tunnel.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"me too");
            beside.end_stage().await;
        })
        .await;
    assert_eq!(ended.unwrap().0, ExitStatus::Code(0));
}

#[tokio::test]
async fn nothing_listens_between_stages() {
    let mut job = Job::start().await;
    let socket = job.socket();
    assert!(!socket.exists());
    let (mut open, ended) = job
        .with("", async |mut beside| {
            let kind = std::fs::symlink_metadata(&beside.socket).unwrap();
            assert!(kind.file_type().is_socket());
            assert_eq!(kind.permissions().mode() & 0o777, 0o666);
            let open = beside.connect().await;
            beside.end_stage().await;
            open
        })
        .await;
    ended.unwrap();
    assert!(!socket.exists());
    assert_eq!(until_end(&mut open.0).await.unwrap(), b"");
    // Its number is not given out again, nor does anything of it reach the next stage's driver.
    let ((), ended) = job
        .with("", async |mut beside| {
            let (mut client, mut tunnel) = beside.connect().await;
            drop(open.1);
            tunnel.write_all(b"new").await.unwrap();
            tunnel.shutdown().await.unwrap();
            assert_eq!(until_end(&mut client).await.unwrap(), b"new");
            beside.end_stage().await;
        })
        .await;
    ended.unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_driver_that_lets_go_closes_the_connection_once_all_was_read() {
    let mut job = Job::start().await;
    let ((), ended) = job
        .with("", async |mut beside| {
            let (mut client, mut tunnel) = beside.connect().await;
            let much = vec![7; 2 * TUNNEL_WINDOW];
            let reading = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                until_end(&mut client).await.unwrap()
            };
            let writing = async {
                tunnel.write_all(&much).await.unwrap();
                tunnel.shutdown().await.unwrap();
                drop(tunnel);
            };
            let (read, ()) = tokio::join!(reading, writing);
            assert_eq!(read.len(), much.len());
            // Let go without a word, it breaks.
            let (mut client, tunnel) = beside.connect().await;
            drop(tunnel);
            assert_eq!(until_end(&mut client).await.unwrap(), b"");
            // And a client that goes away is noticed.
            let (client, mut tunnel) = beside.connect().await;
            drop(client);
            assert_eq!(until_end(&mut tunnel).await.unwrap(), b"");
            let mut failed = tunnel.write_all(b"x").await;
            while failed.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                failed = tunnel.write_all(b"x").await;
            }
            beside.end_stage().await;
        })
        .await;
    ended.unwrap();
}

#[tokio::test]
async fn connections_break_with_a_lost_attach_and_new_ones_go_to_the_next_driver() {
    let mut job = Job::start().await;
    let container = &job.container;
    let fifo = job.directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let socket = job.socket();
    let exec = Exec {
        docker_socket: Some(socket.to_str().unwrap().to_owned()),
        ..stage("build_script", format!("echo up; read -r word < {}", fifo.display()))
    };
    let (acceptor, mut tunnels) = mpsc::unbounded_channel();
    job.client.accept_tunnels(acceptor.clone());
    let (mut kept, mut told) = Kept::telling();
    let (_controls, mut orders) = mpsc::channel(1);
    let (lost, mut before) = tokio::join!(job.client.exec(exec, &mut kept, &mut orders), async {
        wait_for(&mut told, "up").await;
        let client = UnixStream::connect(&socket).await.unwrap();
        let tunnel = tunnels.recv().await.unwrap();
        container.hang_up();
        (client, tunnel)
    });
    assert!(matches!(lost, Err(ClientError::Gone)), "{lost:?}");
    let (mut second, _) = container.connect().await;
    second.accept_tunnels(acceptor);
    let position = job.client.position();
    let (exit, ()) = tokio::join!(second.resume(position, &mut kept, &mut orders), async {
        assert_eq!(until_end(&mut before.0).await.unwrap(), b"");
        let mut client = UnixStream::connect(&socket).await.unwrap();
        let mut tunnel = tunnels.recv().await.unwrap();
        tunnel.write_all(b"here").await.unwrap();
        tunnel.shutdown().await.unwrap();
        assert_eq!(until_end(&mut client).await.unwrap(), b"here");
        tokio::fs::write(&fifo, "on\n").await.unwrap();
    });
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0));
    drop(job.client);
    let gone = before.1.write_all(b"x").await;
    assert!(gone.is_err());
}

/// Makes something where the socket is to be.
async fn listens_over(make: impl FnOnce(&Path)) {
    let mut job = Job::start().await;
    make(&job.socket());
    let ((), ended) = job
        .with("", async |mut beside| {
            let (mut client, mut tunnel) = beside.connect().await;
            tunnel.shutdown().await.unwrap();
            assert_eq!(until_end(&mut client).await.unwrap(), b"");
            beside.end_stage().await;
        })
        .await;
    ended.unwrap();
    assert!(!job.socket().exists());
}

#[tokio::test]
async fn whatever_an_image_has_there_makes_room() {
    listens_over(|_| {}).await;
    let parent = |path: &Path| path.parent().unwrap().to_owned();
    listens_over(|path| {
        std::fs::create_dir(parent(path)).unwrap();
        std::fs::write(path, "stale").unwrap();
    })
    .await;
    listens_over(|path| {
        std::fs::create_dir_all(path).unwrap();
    })
    .await;
    listens_over(|path| {
        std::fs::create_dir(parent(path)).unwrap();
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    })
    .await;
    // `/var/run -> /run`, which a bare image may not have.
    listens_over(|path| {
        std::os::unix::fs::symlink("elsewhere/run", parent(path)).unwrap();
    })
    .await;
}

#[tokio::test]
async fn clients_are_told_where_the_socket_is_when_there_is_no_room_for_it() {
    let mut job = Job::start().await;
    let blocked = job.directory.path().join("run");
    std::fs::write(&blocked, "a file where the directory should be").unwrap();
    let mut exec =
        stage("build_script", "echo \"[$DOCKER_HOST]\"; test -S \"${DOCKER_HOST#unix://}\"");
    exec.docker_socket = Some(job.socket().to_str().unwrap().to_owned());
    let (exit, kept) = crate::agent_support::run(&mut job.client, exec).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0), "{}", kept.text());
    assert_eq!(kept.text(), "[unix:///dev/longshore-docker.sock]\n");
    assert!(!Path::new("/dev/longshore-docker.sock").exists());
}
