//! A small GitLab: it takes and hands out the artifacts of jobs over plain HTTP, and gives the answers that
//! a test puts in its way first. Every request is kept for the test to look at.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    /// The `JOB-TOKEN` header.
    pub token: Option<String>,
    /// The host the client meant.
    pub host: String,
    /// All headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
}

impl Seen {
    /// The uploaded file: its name and bytes, out of the multipart form.
    pub fn file(&self) -> (String, Bytes) {
        let text_end = find(&self.body, b"\r\n\r\n").expect("the part has headers");
        let head = String::from_utf8_lossy(&self.body[..text_end]).into_owned();
        let boundary = head.lines().next().expect("the form begins with its boundary");
        let name = head.split("filename=\"").nth(1).and_then(|rest| rest.split('"').next());
        let end = [b"\r\n", boundary.as_bytes(), b"--"].concat();
        let start = text_end + 4;
        let length = self.body.len() - start;
        let tail = length.saturating_sub(end.len() + 2);
        let at = find(&self.body[start + tail..], &end).expect("the form ends with its boundary");
        (
            name.expect("the part has a file name").to_owned(),
            self.body.slice(start..start + tail + at),
        )
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// An answer that is given once, before the API does its usual work.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Before the request's body is read; the rest is drained meanwhile, as real servers linger.
    pub early: bool,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), early: false }
    }

    pub fn redirect(status: u16, to: &str) -> Self {
        Self { headers: vec![("Location", to.to_owned())], ..Self::status(status) }
    }
}

type Headers = Vec<(&'static str, String)>;

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    seen: Vec<Seen>,
    archives: BTreeMap<String, Bytes>,
    /// A bucket's objects: content and the headers they are handed out with.
    objects: BTreeMap<String, (Bytes, Headers)>,
}

/// A server on a port of its own; it ends with the test process.
#[derive(Debug, Clone)]
pub struct FakeApi {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl FakeApi {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    /// Listens elsewhere than on loopback, for clients in containers.
    pub fn start_at(address: &str) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (sender, receiver) = mpsc::channel();
        let (shared, address) = (Arc::clone(&state), address.to_owned());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
                let _ = sender.send(listener.local_addr().expect("an address"));
                serve(listener, shared).await;
            });
        });
        Self { address: receiver.recv().expect("the server is up"), state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no request died with the state in hand")
    }

    /// Puts an answer in the way of the next request that has none yet.
    pub fn answer(&self, answer: Answer) -> &Self {
        self.state().answers.push_back(answer);
        self
    }

    /// Makes the artifacts of a job available.
    pub fn put(&self, job: u64, archive: impl Into<Bytes>) -> &Self {
        self.state().archives.insert(path_of(job), archive.into());
        self
    }

    /// What a job uploaded as `archive`, or what was put.
    pub fn archive(&self, job: u64) -> Option<Bytes> {
        self.state().archives.get(&path_of(job)).cloned()
    }

    /// Puts an object into the bucket, changed at this time of RFC 9110's form.
    pub fn put_object(&self, path: &str, content: impl Into<Bytes>, modified: &str) -> &Self {
        let headers = vec![
            ("Last-Modified", modified.to_owned()),
            ("X-Amz-Meta-CacheKey", "the key".to_owned()),
        ];
        self.state().objects.insert(path.to_owned(), (content.into(), headers));
        self
    }

    /// What the bucket holds.
    pub fn object(&self, path: &str) -> Option<Bytes> {
        self.state().objects.get(path).map(|(content, _)| content.clone())
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The last upload of a kind (`archive`, `dotenv`).
    pub fn upload(&self, kind: &str) -> Option<Seen> {
        let wanted = format!("artifact_type={kind}");
        let of_kind = |seen: &&Seen| seen.method == "POST" && seen.query.contains(&wanted);
        self.state().seen.iter().rev().find(of_kind).cloned()
    }
}

fn path_of(job: u64) -> String {
    format!("/api/v4/jobs/{job}/artifacts")
}

async fn serve(listener: tokio::net::TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(request, Arc::clone(&state)));
            let http = hyper::server::conn::http1::Builder::new();
            // A client that hangs up is no affair of the server's.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let lock = || state.lock().expect("no request died with the state in hand");
    let planned = lock().answers.pop_front();
    let (head, body) = request.into_parts();
    let header =
        |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let early = planned.as_ref().is_some_and(|answer| answer.early);
    let body = if early {
        tokio::spawn(body.collect());
        Bytes::new()
    } else {
        match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Ok(Response::new(Full::default())), // cut off by the client
        }
    };
    let seen = Seen {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        token: header("job-token"),
        host: header("host").unwrap_or_default(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body,
    };
    let mut state = lock();
    state.seen.push(seen.clone());
    let answer = planned.unwrap_or_else(|| usual(&mut state, &head.method, &seen));
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    Ok(response.body(Full::from(answer.body)).expect("a planned answer is well formed"))
}

fn usual(state: &mut State, method: &Method, seen: &Seen) -> Answer {
    match (method, state.archives.get(&seen.path)) {
        (&Method::POST, _) if seen.token.is_none() => Answer::status(403),
        (&Method::POST, _) => {
            if seen.query.contains("artifact_type=archive") {
                state.archives.insert(seen.path.clone(), seen.file().1);
            }
            Answer { body: br#"{"message":"201 Created"}"#.to_vec(), ..Answer::status(201) }
        }
        (&Method::PUT, _) => {
            let headers = vec![("Last-Modified", seen.headers["last-modified"].clone())];
            state.objects.insert(seen.path.clone(), (seen.body.clone(), headers));
            Answer::status(200)
        }
        (&Method::GET | &Method::HEAD, None) if state.objects.contains_key(&seen.path) => {
            let (content, headers) = &state.objects[&seen.path];
            Answer { body: content.to_vec(), headers: headers.clone(), ..Answer::status(200) }
        }
        (&Method::GET, Some(archive)) => Answer { body: archive.to_vec(), ..Answer::status(200) },
        _ => Answer { body: br#"{"message":"404 Not Found"}"#.to_vec(), ..Answer::status(404) },
    }
}
