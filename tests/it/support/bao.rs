//! A real server: `OpenBao` in dev mode, one for each test, on a port of its own, gone with the test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use longshore::secrets::Secret;
use longshore::secrets::vault::{AppRole, RoleId, VaultSettings};
use serde_json::{Value, json};
use tempfile::TempDir;

const ROOT: &str = "root-of-a-test";

/// The server's binary. There is no test without it.
fn binary() -> PathBuf {
    let named = std::env::var_os("LONGSHORE_TEST_BAO").map(PathBuf::from);
    let cached = || {
        PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/longshore/openbao-2.7.2/bao")
    };
    let path = named.unwrap_or_else(cached);
    assert!(
        path.is_file(),
        "no OpenBao at {}: run script/test, or set LONGSHORE_TEST_BAO",
        path.display()
    );
    path
}

/// Installs the process's TLS provider once, as main does.
pub fn provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A running server. Its audit log tells what it was asked.
pub struct Bao {
    child: Child,
    dir: TempDir,
    address: String,
    client: reqwest::Client,
    unseal_key: String,
}

impl Bao {
    /// Starts a server that speaks plain HTTP.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server that speaks TLS, with a certificate of its own authority.
    pub fn start_tls() -> Self {
        Self::start_with(&["-dev-tls"])
    }

    /// Starts a server whose mount `secret/` leases what is read from it, for the time in its field `ttl`.
    pub fn start_leasing() -> Self {
        Self::start_with(&["-dev-leased-kv"])
    }

    fn start_with(options: &[&str]) -> Self {
        provider();
        // Between our look and the server's bind somebody may take a port: then it ends, and we look again.
        (0..5).find_map(|_| Self::try_start(options)).expect("OpenBao does not start")
    }

    fn try_start(options: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = two_free_ports();
        let config = dir.path().join("config.hcl");
        let audit = dir.path().join("audit.log");
        let stanza = "audit \"file\" \"test\" {\n  options {\n    file_path = \"PATH\"\n  }\n}\n";
        fs::write(&config, stanza.replace("PATH", audit.to_str().unwrap())).unwrap();
        let mut command = Command::new(binary());
        command.args(["server", "-dev", "-dev-no-store-token"]).args(options);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        command.arg("-config").arg(&config);
        let is_tls = options.contains(&"-dev-tls");
        if is_tls {
            command.arg("-dev-tls-cert-dir").arg(dir.path());
        }
        command.env_clear().env("HOME", dir.path()).env("BAO_DEV_ROOT_TOKEN_ID", ROOT);
        let log = fs::File::create(dir.path().join("stderr.log")).unwrap();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let Some(unseal_key) = wait_for_banner(&mut child) else {
            child.wait().unwrap();
            return None;
        };
        let scheme = if is_tls { "https" } else { "http" };
        let address = format!("{scheme}://127.0.0.1:{port}");
        let client = admin_client(&dir.path().join("vault-ca.pem"));
        Some(Self { child, dir, address, client, unseal_key })
    }

    /// `http(s)://127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A file in the server's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sends a request with the root token; panics unless it is answered with success.
    pub async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        self.admin_in("", (method, path), body).await
    }

    /// The same in a namespace.
    pub async fn admin_in(
        &self,
        namespace: &str,
        (method, path): (&str, &str),
        body: Value,
    ) -> Value {
        let url = format!("{}/v1/{path}", self.address);
        let request =
            self.client.request(method.parse().unwrap(), url).header("X-Vault-Token", ROOT);
        let request = request.header("X-Vault-Namespace", namespace).body(body.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The names in a list; none where there is no such list.
    pub async fn listed(&self, path: &str) -> Vec<String> {
        let url = format!("{}/v1/{path}?list=true", self.address);
        let answer = self.client.get(url).header("X-Vault-Token", ROOT).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let keys = answer["data"]["keys"].as_array().cloned().unwrap_or_default();
        keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    /// A role `demo` that may do what `policy` says, in a namespace or none.
    pub async fn role(&self, namespace: &str, policy: &str, role: Value) -> VaultSettings {
        self.admin_in(namespace, ("POST", "sys/auth/approle"), json!({"type": "approle"})).await;
        self.admin_in(namespace, ("PUT", "sys/policies/acl/demo"), json!({"policy": policy})).await;
        let mut body = json!({"token_policies": ["demo"], "token_ttl": "20m"});
        body.as_object_mut().unwrap().extend(role.as_object().unwrap().clone());
        self.admin_in(namespace, ("POST", "auth/approle/role/demo"), body).await;
        let role_id =
            self.admin_in(namespace, ("GET", "auth/approle/role/demo/role-id"), json!({})).await;
        let secret_id_file = self.path("secret_id");
        self.new_secret_id(namespace, &secret_id_file).await;
        let approle = AppRole {
            mount: "approle".into(),
            role_id: RoleId::Value(Secret::new(role_id["data"]["role_id"].as_str().unwrap())),
            secret_id_file,
        };
        VaultSettings::new(&self.address, approle)
    }

    /// Writes a new secret id of the role into a file, and returns it.
    pub async fn new_secret_id(&self, namespace: &str, file: &Path) -> String {
        let path = "auth/approle/role/demo/secret-id";
        let answer = self.admin_in(namespace, ("POST", path), json!({})).await;
        let secret_id = answer["data"]["secret_id"].as_str().unwrap().to_owned();
        write_private(file, &secret_id);
        secret_id
    }

    /// Logs in, finds the engine, reads `kv/app/demo` and revokes, with a client that does nothing else.
    pub async fn bare_round(&self, login: &Value) {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let url = |path: &str| format!("{}/v1/{path}", self.address);
        let post = client.post(url("auth/approle/login")).body(login.to_string());
        let text = post.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        let token = answer["auth"]["client_token"].as_str().unwrap();
        for path in ["sys/internal/ui/mounts/kv/app/demo", "kv/data/app/demo"] {
            let get = client.get(url(path)).header("X-Vault-Token", token);
            get.send().await.unwrap().text().await.unwrap();
        }
        let revoke = client.post(url("auth/token/revoke-self")).header("X-Vault-Token", token);
        assert!(revoke.send().await.unwrap().status().is_success());
    }

    /// Unseals a server that was sealed, and waits until it serves again.
    pub async fn unseal(&self) {
        self.admin("POST", "sys/unseal", json!({"key": self.unseal_key})).await;
        let health = || async {
            let get = self.client.get(format!("{}/v1/sys/health", self.address));
            get.send().await.unwrap().status().is_success()
        };
        while !health().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The audited answers so far, as JSON, of requests that ended on this path.
    pub fn audited(&self, path: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.path("audit.log")).unwrap();
        let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries
            .filter(|entry| entry["type"] == "response" && entry["request"]["path"] == path)
            .collect()
    }

    /// How many logins and how many revocations of their tokens succeeded. (The server itself revokes a
    /// token when it starts.)
    pub fn logins_and_revokes(&self) -> (usize, usize) {
        let logins = self.audited("auth/approle/login");
        let revokes = self.audited("auth/token/revoke-self");
        let policies = |entry: &Value| entry["auth"]["policies"].as_array().cloned();
        let is_ours =
            |entry: &Value| policies(entry).is_some_and(|all| all.contains(&json!("demo")));
        let ours = |entry: &&Value| entry["error"].is_null() && is_ours(entry);
        let issued = logins.iter().filter(|entry| entry["response"]["auth"].is_object());
        (issued.count(), revokes.iter().filter(ours).count())
    }

    /// The whole audit log.
    pub fn audit_text(&self) -> String {
        fs::read_to_string(self.path("audit.log")).unwrap()
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that a credential may be in.
pub fn write_private(path: &Path, content: &str) {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
}

/// The server binds the port after its own as well.
fn two_free_ports() -> u16 {
    (0..100)
        .find_map(|_| {
            let first = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = first.local_addr().unwrap().port();
            TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok().map(|_| port)
        })
        .expect("no two free ports")
}

/// The key that unseals the server once it tells that it is ready; nothing when it ended before.
fn wait_for_banner(child: &mut Child) -> Option<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut after = |word: &str| lines.find_map(|line| line.strip_prefix(word).map(str::to_owned));
    let unseal_key = after("Unseal Key: ")?;
    after("Root Token:")?;
    // What it says later must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Some(unseal_key)
}

fn admin_client(ca: &Path) -> reqwest::Client {
    let authorities = fs::read(ca).map(|pem| reqwest::Certificate::from_pem_bundle(&pem).unwrap());
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only(authorities.unwrap_or_default())
        .build()
        .unwrap()
}
