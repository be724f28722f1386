//! A small registry on loopback, which the daemon takes without TLS: it hands out one image under every
//! name, asks for a login where a test says so, and gives the answers that a test puts in its way first.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::image::{Image, MANIFEST};
use super::loopback::listeners;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// User and password of the `Authorization` header, joined by a colon.
    pub login: Option<String>,
    /// Whether a daemon asks.
    pub daemon: bool,
}

/// An answer that stands in the way of the next pull: a daemon asks by HEAD first, and where that fails by
/// GET. Who asks that is no daemon hears the last one again.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// A registry's error: `code` and `message` as in its JSON.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

#[derive(Debug)]
struct State {
    image: Image,
    answers: VecDeque<Answer>,
    last: Option<Answer>,
    always: Option<Answer>,
    seen: Vec<Seen>,
    logins: BTreeMap<String, String>,
    slow: Option<(usize, Duration)>,
    /// Where tokens are had, for a registry that wants one instead of a password.
    tokens: Option<String>,
}

/// A registry on a port of its own; it ends with the test process.
#[derive(Debug, Clone)]
pub struct FakeRegistry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl FakeRegistry {
    /// Hands out this image to everybody.
    pub fn start(image: Image) -> Self {
        let (address, listeners) = listeners();
        Self::serving(address, listeners, image)
    }

    /// The same, at another address of this host.
    pub fn start_at(address: &str, image: Image) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        Self::serving(address, vec![listener], image)
    }

    fn serving(address: SocketAddr, listeners: Vec<TcpListener>, image: Image) -> Self {
        let state = State {
            image,
            answers: VecDeque::new(),
            last: None,
            always: None,
            seen: Vec::new(),
            logins: BTreeMap::new(),
            slow: None,
            tokens: None,
        };
        let state = Arc::new(Mutex::new(state));
        for listener in listeners {
            let shared = Arc::clone(&state);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = Arc::clone(&shared);
                    std::thread::spawn(move || drop(serve(&stream, &state)));
                }
            });
        }
        Self { address, state }
    }

    /// `127.0.0.1:PORT/name`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The digest of the image's manifest.
    pub fn digest(&self) -> String {
        self.state().image.digest()
    }

    /// Puts an answer in the way of the next pull that has none yet.
    pub fn answer(&self, answer: Answer) -> &Self {
        self.state().answers.push_back(answer);
        self
    }

    /// Answers every pull so.
    pub fn always(&self, answer: Answer) -> &Self {
        self.state().always = Some(answer);
        self
    }

    /// From now on, names that begin with `path` are for who logs in so.
    pub fn private(&self, path: &str, username: &str, password: &str) -> &Self {
        self.state().logins.insert(path.to_owned(), format!("{username}:{password}"));
        self
    }

    /// Takes tokens instead of passwords, and hands them out itself, as GitLab's registry and Docker Hub
    /// have it done.
    pub fn by_token(&self) -> &Self {
        self.state().tokens = Some(format!("http://{}/token", self.address));
        self
    }

    /// Sends layers in pieces of so many bytes, with a rest after each.
    pub fn slowly(&self, bytes: usize, rest: Duration) -> &Self {
        self.state().slow = Some((bytes, rest));
        self
    }

    /// The pulls until now: each asks for a manifest once by GET.
    pub fn pulls(&self) -> Vec<Seen> {
        let state = self.state();
        let pulls = state.seen.iter().filter(|one| one.method == "GET" && one.is_manifest());
        pulls.cloned().collect()
    }

    /// All requests until now.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no request died with the state in hand")
    }
}

impl Seen {
    fn is_manifest(&self) -> bool {
        self.path.contains("/manifests/")
    }
}

fn serve(mut stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(request) = read(&mut reader)? else {
        // The daemon tries TLS first.
        return stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
    };
    let slow = {
        let mut state = state.lock().expect("no request died with the state in hand");
        state.seen.push(request.clone());
        state.slow
    };
    let (head, body) = state.lock().expect("as above").reply(&request);
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let (piece, rest) = slow
        .filter(|_| request.path.contains("/blobs/"))
        .unwrap_or((body.len().max(1), Duration::ZERO));
    for piece in body.chunks(piece) {
        stream.write_all(piece)?;
        std::thread::sleep(rest);
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Seen>> {
    let mut first = Vec::new();
    reader.read_until(b'\n', &mut first)?;
    let Ok(first) = String::from_utf8(first) else { return Ok(None) };
    let mut words = first.split_whitespace();
    let (Some(method @ ("GET" | "HEAD")), Some(path)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut seen =
        Seen { method: method.to_owned(), path: path.to_owned(), login: None, daemon: false };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(seen));
        }
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        seen.daemon |= name.eq_ignore_ascii_case("user-agent") && value.starts_with("docker/");
        if !name.eq_ignore_ascii_case("authorization") {
            continue;
        }
        // Our tokens are a login, coded in the same way.
        if let Some((_, coded)) = value.split_once(' ') {
            let bytes = BASE64_STANDARD.decode(coded).unwrap_or_default();
            seen.login = Some(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

impl State {
    fn reply(&mut self, request: &Seen) -> (String, Vec<u8>) {
        if request.path.starts_with("/token") {
            return self.token(request);
        }
        if let Some(refusal) = self.refusal(request) {
            return rendered(refusal.status, &refusal.headers, refusal.body.into_bytes());
        }
        if let Some(answer) = self.scripted(request) {
            return rendered(answer.status, &answer.headers, answer.body.into_bytes());
        }
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let last = request.path.rsplit('/').next().unwrap_or_default();
        if request.path == "/v2/" {
            return rendered(200, &[], b"{}".to_vec());
        }
        if request.is_manifest() {
            let digest = header("Docker-Content-Digest", &self.image.digest());
            return rendered(
                200,
                &[header("Content-Type", MANIFEST), digest],
                self.image.manifest(),
            );
        }
        match self.image.blob(last) {
            Some(blob) => {
                rendered(200, &[header("Content-Type", "application/octet-stream")], blob)
            }
            None => rendered(404, &[], Vec::new()),
        }
    }

    fn scripted(&mut self, request: &Seen) -> Option<Answer> {
        if !request.is_manifest() {
            return None;
        }
        if !request.daemon {
            return self.last.clone();
        }
        let answer = self.answers.front().cloned().or_else(|| self.always.clone())?;
        self.last = Some(answer.clone());
        if request.method == "GET" {
            self.answers.pop_front();
        }
        Some(answer)
    }

    /// Whoever does not log in as a private path asks is sent away. The ping asks everybody, once
    /// something is private: from its answer the daemon learns that it has to log in.
    fn refusal(&self, request: &Seen) -> Option<Answer> {
        let name = request.path.strip_prefix("/v2/").unwrap_or_default();
        let wanted = self.logins.iter().find(|(path, _)| name.starts_with(path.as_str()));
        let refused = match wanted {
            Some((_, login)) => request.login.as_ref() != Some(login),
            None => name.is_empty() && !self.logins.is_empty() && request.login.is_none(),
        };
        let challenge = || match &self.tokens {
            None => "Basic realm=\"test\"".to_owned(),
            Some(realm) => {
                let name = name.split("/manifests/").next().unwrap_or_default();
                format!(
                    "Bearer realm=\"{realm}\",service=\"test\",scope=\"repository:{name}:pull\""
                )
            }
        };
        refused.then(|| {
            Answer::error(401, "UNAUTHORIZED", "authentication required")
                .header("WWW-Authenticate", &challenge())
        })
    }

    /// A token for who logs in, and one that opens nothing for who does not.
    fn token(&self, request: &Seen) -> (String, Vec<u8>) {
        let login = request.login.as_deref().unwrap_or("nobody:");
        if request.login.is_some() && !self.logins.values().any(|known| known == login) {
            return rendered(401, &[], Vec::new());
        }
        let token = BASE64_STANDARD.encode(login);
        rendered(200, &[], serde_json::json!({"token": token}).to_string().into_bytes())
    }
}

fn rendered(status: u16, headers: &[(String, String)], body: Vec<u8>) -> (String, Vec<u8>) {
    let own = [
        ("Connection", "close".to_owned()),
        ("Content-Length", body.len().to_string()),
        ("Docker-Distribution-Api-Version", "registry/2.0".to_owned()),
    ];
    let given = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let own = own.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let typed = headers.iter().any(|(name, _)| name == "Content-Type");
    let json = (!typed).then(|| "Content-Type: application/json\r\n".to_owned());
    let lines: Vec<String> = own.chain(given).chain(json).collect();
    (format!("HTTP/1.1 {status} Status\r\n{}\r\n", lines.concat()), body)
}
