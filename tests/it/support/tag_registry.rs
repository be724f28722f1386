//! A registry on loopback that keeps tags and manifests in memory, and deletes as registries of different
//! ages do. A test may have it fail from some request on.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;
use sha2::{Digest, Sha256};

/// What a registry does with `DELETE manifests/<tag>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletes {
    /// Removes that tag: OCI 1.1.
    ByName,
    /// Answers 400, and deletes by digest only, with all tags: distribution 2.8.
    ByDigest,
    /// Deletes the manifest that the tag points to, with all its tags, which none should.
    Everything,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    /// It hangs up.
    Down,
    /// It answers 500.
    WithError,
    /// It takes the request, and is silent.
    Hangs,
}

struct State {
    deletes: Deletes,
    tags: BTreeMap<String, String>,
    manifests: BTreeMap<String, Vec<u8>>,
    /// By the digits of their digests.
    blobs: BTreeMap<String, Vec<u8>>,
    requests: Vec<String>,
    up_to: usize,
    fails: Fails,
    lost: usize,
    on_request: Option<(usize, String)>,
    gate: Option<Gate>,
}

/// Stands around each answer: gets the request's line, lets the registry do its work, and says whether
/// anybody is to be answered.
pub(crate) type Gate = Arc<dyn Fn(&str, &mut dyn FnMut()) -> bool + Send + Sync>;

/// It ends with the test process.
#[derive(Clone)]
pub(crate) struct TagRegistry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

impl TagRegistry {
    pub(crate) fn start(deletes: Deletes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tags, manifests) = (BTreeMap::new(), BTreeMap::new());
        let (requests, up_to, lost, on_request) = (Vec::new(), usize::MAX, 0, None);
        let (blobs, fails, gate) = (BTreeMap::new(), Fails::Down, None);
        let state = State {
            deletes,
            tags,
            manifests,
            blobs,
            requests,
            up_to,
            fails,
            lost,
            on_request,
            gate,
        };
        let registry = Self { address, state: Arc::new(Mutex::new(state)) };
        let served = registry.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                std::thread::spawn(move || drop(served.serve(&stream)));
            }
        });
        registry
    }

    pub(crate) fn repository(&self) -> String {
        format!("{}/team/app", self.address)
    }

    /// Points these tags to a manifest of this content; answers its digest.
    pub(crate) fn has(&self, content: &str, tags: &[&str]) -> String {
        let mut state = self.state();
        let digest = state.keep(content.as_bytes().to_vec());
        state.tags.extend(tags.iter().map(|tag| ((*tag).to_owned(), digest.clone())));
        digest
    }

    /// From its request of this number on it answers none.
    pub(crate) fn fails_after(&self, requests: usize) -> &Self {
        self.state().up_to = requests;
        self
    }

    /// The same, in this way.
    pub(crate) fn fails_by(&self, fails: Fails, requests: usize) -> &Self {
        self.state().fails = fails;
        self.fails_after(requests)
    }

    /// Does what its request of this number asks, but the answer is lost.
    pub(crate) fn loses(&self, request: usize) -> &Self {
        self.state().lost = request;
        self
    }

    /// At its request of this number somebody else pushes to this tag.
    pub(crate) fn pushed_at(&self, request: usize, tag: &str) -> &Self {
        self.state().on_request = Some((request, tag.to_owned()));
        self
    }

    /// Has this stand around each of its answers.
    pub(crate) fn gated(&self, gate: Gate) -> &Self {
        self.state().gate = Some(gate);
        self
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// Tag and digest of each that is there.
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        self.state().tags.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn serve(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let request = read(&mut BufReader::new(stream.try_clone()?))?;
        let line = format!("{} {}", request.method, request.path);
        let gate = self.state().gate.clone();
        let mut said = Said::Trouble(Fails::Down);
        let mut work = || said = self.answer(&request);
        let goes_on = if let Some(gate) = gate {
            gate(&line, &mut work)
        } else {
            work();
            true
        };
        let (status, headers, body) = match said {
            Said::Answer(answer) if goes_on => answer,
            Said::Trouble(how) if goes_on => return fail(how, stream),
            _ => return Ok(()),
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        )?;
        if request.method == "HEAD" { Ok(()) } else { stream.write_all(&body) }
    }

    fn answer(&self, request: &Request) -> Said {
        let mut state = self.state();
        state.requests.push(format!("{} {}", request.method, request.path));
        if state.requests.len() > state.up_to {
            let how = state.fails;
            drop(state);
            return Said::Trouble(how);
        }
        if let Some((_, tag)) =
            state.on_request.clone().filter(|(at, _)| *at == state.requests.len())
        {
            let digest = state.keep(b"pushed by another".to_vec());
            state.tags.insert(tag, digest);
        }
        let answer = state.answer(request);
        if state.requests.len() == state.lost {
            Said::Trouble(Fails::Down)
        } else {
            Said::Answer(answer)
        }
    }
}

fn fail(how: Fails, mut stream: &TcpStream) -> std::io::Result<()> {
    match how {
        Fails::Down => Ok(()),
        Fails::WithError => {
            write!(stream, "HTTP/1.1 500 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        }
        // Until the other side gives up.
        Fails::Hangs => std::io::copy(&mut stream, &mut std::io::sink()).map(drop),
    }
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Request> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { method, path, body })
}

type Answer = (u16, String, Vec<u8>);

/// What becomes of a request.
enum Said {
    Answer(Answer),
    Trouble(Fails),
}

fn bare(status: u16) -> Answer {
    (status, String::new(), Vec::new())
}

impl State {
    fn keep(&mut self, manifest: Vec<u8>) -> String {
        let digest = format!("sha256:{:x}", Sha256::digest(&manifest));
        self.manifests.insert(digest.clone(), manifest);
        digest
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let path = request.path.strip_prefix("/v2/team/app/").unwrap_or_default();
        if path.starts_with("tags/list") {
            let tags: Vec<&String> = self.tags.keys().collect();
            return (200, String::new(), json!({ "tags": tags }).to_string().into_bytes());
        }
        if let Some(digest) = path.strip_prefix("blobs/sha256:") {
            let blob = self.blobs.get(digest);
            return blob.map_or(bare(404), |blob| (200, String::new(), blob.clone()));
        }
        if path.starts_with("blobs/uploads/") {
            let status = if request.method == "POST" { 202 } else { 201 };
            if request.method == "PUT" {
                let digest = format!("{:x}", Sha256::digest(&request.body));
                self.blobs.insert(digest, request.body.clone());
            }
            return (
                status,
                "Location: /v2/team/app/blobs/uploads/1?state=x\r\n".into(),
                Vec::new(),
            );
        }
        let Some(version) = path.strip_prefix("manifests/") else { return bare(404) };
        match request.method.as_str() {
            "PUT" => {
                let digest = self.keep(request.body.clone());
                self.tags.insert(version.to_owned(), digest);
                bare(201)
            }
            "DELETE" => self.delete(version),
            _ => self.manifest(version),
        }
    }

    fn manifest(&self, version: &str) -> Answer {
        let digest = self.tags.get(version).map_or(version, String::as_str);
        let Some(bytes) = self.manifests.get(digest) else { return bare(404) };
        let headers =
            format!("Docker-Content-Digest: {digest}\r\nContent-Type: application/test\r\n");
        (200, headers, bytes.clone())
    }

    fn delete(&mut self, version: &str) -> Answer {
        let digest = match (self.tags.get(version), self.deletes) {
            (None, _) => version.to_owned(),
            (Some(_), Deletes::ByDigest) => return bare(400),
            (Some(_), Deletes::ByName) => {
                self.tags.remove(version);
                return bare(202);
            }
            (Some(digest), Deletes::Everything) => digest.clone(),
        };
        if self.manifests.remove(&digest).is_none() {
            return bare(404);
        }
        self.tags.retain(|_, of| *of != digest);
        bare(202)
    }
}
