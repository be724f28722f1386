//! A daemon that misbehaves on order: an HTTP server on a socket of its own that answers each request
//! with the next scripted reply, byte for byte, and keeps what it was asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore::engine::{Deadlines, DockerEngine};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::AbortHandle;

/// Deadlines short enough for a test to wait for.
pub(crate) fn short_deadlines() -> Deadlines {
    let short = Duration::from_millis(500);
    Deadlines {
        control: short,
        work: short,
        pull_idle: short,
        pull_total: Duration::from_millis(1500),
    }
}

/// What one request gets.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A whole answer of this status and JSON.
    Json(u16, &'static str),
    /// These bytes and a hang-up, whatever they are.
    Raw(&'static str),
    /// Status 200 and chunks of JSON lines with a pause before each; then the end of the stream.
    Lines(Duration, Vec<&'static str>),
    /// The same, but the connection breaks where the end should come.
    Cut(Vec<&'static str>),
    /// The same, but then silence.
    Stall(Vec<&'static str>),
    /// No answer at all, the connection open.
    Hang,
}

/// The server; it and its socket go when it is dropped.
pub(crate) struct FakeDocker {
    directory: TempDir,
    requests: Arc<Mutex<Vec<String>>>,
    server: AbortHandle,
}

impl FakeDocker {
    /// Listens at once; each connection gets the next reply, after the last of them none.
    pub(crate) fn answering(replies: Vec<Reply>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("docker.sock")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        let server = tokio::spawn(async move {
            let mut replies = replies.into_iter();
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                let reply = replies.next().unwrap_or(Reply::Raw(""));
                tokio::spawn(serve(stream, reply, Arc::clone(&noted)));
            }
        });
        Self { directory, requests, server: server.abort_handle() }
    }

    /// The address for the engine.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The engine that speaks to this daemon and loses patience soon.
    pub(crate) fn engine(&self) -> DockerEngine {
        DockerEngine::new(&self.host(), short_deadlines()).unwrap()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// The requests so far, head and body, as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Serves one request over TCP, and says where and, once it was asked, what.
pub(crate) async fn over_tcp(reply: Reply) -> (String, impl Future<Output = Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&requests);
    let server = tokio::spawn(async move {
        let (stream, _peer) = listener.accept().await.unwrap();
        serve(stream, reply, noted).await;
    });
    (host, async move {
        server.await.unwrap();
        requests.lock().unwrap().clone()
    })
}

impl Drop for FakeDocker {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    reply: Reply,
    requests: Arc<Mutex<Vec<String>>>,
) {
    let request = read_request(&mut stream).await;
    requests.lock().unwrap().push(request);
    // Who hung up on us is done with us: what cannot be written is not missed.
    let _heard = answer(&mut stream, reply).await;
}

async fn answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    reply: Reply,
) -> std::io::Result<()> {
    match reply {
        Reply::Json(status, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n"
            );
            stream.write_all((head + body).as_bytes()).await
        }
        Reply::Raw(bytes) => stream.write_all(bytes.as_bytes()).await,
        Reply::Lines(pause, lines) => {
            chunks(stream, pause, lines).await?;
            stream.write_all(b"0\r\n\r\n").await
        }
        Reply::Cut(lines) => chunks(stream, Duration::ZERO, lines).await,
        Reply::Stall(lines) => {
            chunks(stream, Duration::ZERO, lines).await?;
            std::future::pending().await
        }
        Reply::Hang => std::future::pending().await,
    }
}

async fn chunks(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    pause: Duration,
    lines: Vec<&'static str>,
) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for line in lines {
        tokio::time::sleep(pause).await;
        let chunk = format!("{:x}\r\n{line}\r\n\r\n", line.len() + 2);
        stream.write_all(chunk.as_bytes()).await?;
    }
    Ok(())
}

/// Head and body, the latter as long as the head says.
async fn read_request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= content_length(head)
        {
            return text;
        }
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
            _ended => return text,
        }
    }
}

fn content_length(head: &str) -> usize {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _value)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_name, value)| value.trim().parse().unwrap())
}
