//! A scripted server for faults that a real one will not make: it answers what the test says, and keeps
//! what it was sent.

use std::path::Path;
use std::sync::{Arc, Mutex};

use longshore::secrets::Secret;
use longshore::secrets::vault::{AppRole, RoleId, SecretId, VaultSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::bao::{provider, write_private};

/// What to do with a request.
pub enum Reply {
    /// An answer with this status and body.
    Answer(u16, &'static str),
    /// These bytes, and the end of the connection.
    Raw(&'static str),
    /// Nothing, until the other side gives up.
    Hang,
}

/// A good login with the token `fake-token`.
pub const LOGIN: Reply = Reply::Answer(
    200,
    r#"{"request_id":"1","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,
    "auth":{"client_token":"fake-token","accessor":"fake-accessor","policies":[],"token_policies":[],"metadata":null,
    "lease_duration":1200,"renewable":true,"entity_id":"","token_type":"service","orphan":true}}"#,
);

/// The mount `kv/`, of version 1.
pub const MOUNT: Reply =
    Reply::Answer(200, r#"{"data":{"path":"kv/","type":"kv","options":{"version":"1"}}}"#);

/// A secret with the field `value`.
pub const SECRET: Reply = Reply::Answer(200, r#"{"lease_id":"","data":{"value":"s3cr3t-value"}}"#);

/// What a revocation answers.
pub const REVOKED: Reply = Reply::Answer(204, "");

/// The server. It ends with the test's runtime.
pub struct FakeVault {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl FakeVault {
    /// Serves; `script` gets each request's method and path, and how often it came before.
    pub async fn start(script: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let kept = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&script)));
            }
        });
        Self { port, requests, task }
    }

    /// `http://127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Settings for it, with a secret id in `dir`.
    pub fn settings(&self, dir: &Path) -> VaultSettings {
        settings(&self.address(), dir)
    }

    /// Method and path of each request so far, `GET /v1/kv/a`.
    pub fn lines(&self) -> Vec<String> {
        self.texts().iter().map(|text| line(text).to_owned()).collect()
    }

    /// The requests so far, headers and bodies and all.
    pub fn texts(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Stops listening.
    pub async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

/// Settings for some server, with a role id and a secret id that no server knows.
pub fn settings(address: &str, dir: &Path) -> VaultSettings {
    let secret_id_file = dir.join("secret_id");
    write_private(&secret_id_file, "fake-secret-id\n");
    let role_id = RoleId::Value(Secret::new("fake-role-id"));
    let secret_id = SecretId::File(secret_id_file);
    VaultSettings::new(address, AppRole { mount: "approle".into(), role_id, secret_id })
}

type Script = dyn Fn(&str, usize) -> Reply + Send + Sync;

async fn serve(mut stream: TcpStream, kept: Arc<Mutex<Vec<String>>>, script: Arc<Script>) {
    let Some(text) = read_request(&mut stream).await else {
        return;
    };
    let reply = {
        let mut kept = kept.lock().unwrap();
        let before = kept.iter().filter(|other: &&String| line(other) == line(&text)).count();
        let reply = script(line(&text), before);
        kept.push(text);
        reply
    };
    match reply {
        Reply::Answer(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + body).as_bytes()).await;
        }
        Reply::Raw(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
        }
        Reply::Hang => {
            let _ = stream.read(&mut [0; 1]).await;
        }
    }
}

fn line(request: &str) -> &str {
    request.split(" HTTP/1.1").next().unwrap()
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length: ")?.parse().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
