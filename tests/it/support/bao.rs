//! A real server: `OpenBao` in dev mode, one for each test, on a port of its own, gone with the test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use longshore::secrets::Secret;
use longshore::secrets::vault::{AppRole, RoleId, SecretId, VaultSettings};
use serde_json::{Value, json};
use tempfile::TempDir;

mod configured;

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
    second_address: Option<String>,
    client: reqwest::Client,
    unseal_key: String,
    root: String,
}

/// The files of a second listener that speaks TLS.
#[derive(Clone)]
pub struct Tls {
    /// In PEM.
    pub certificate: PathBuf,
    /// In PEM.
    pub key: PathBuf,
    /// Then clients have to show a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

/// How a server is started.
#[derive(Clone, Default)]
struct Setup {
    speaks_tls: bool,
    leases: bool,
    second: Option<Tls>,
}

impl Bao {
    /// Starts a server that speaks plain HTTP.
    pub fn start() -> Self {
        Self::start_with(&Setup::default())
    }

    /// Starts a server that speaks TLS, with a certificate of its own authority.
    pub fn start_tls() -> Self {
        Self::start_with(&Setup { speaks_tls: true, ..Setup::default() })
    }

    /// Starts a server that speaks plain HTTP, and TLS at [`Self::second_address`].
    pub fn start_beside(tls: &Tls) -> Self {
        Self::start_with(&Setup { second: Some(tls.clone()), ..Setup::default() })
    }

    /// Starts a server whose key-value mounts, `secret/` among them, lease what is read from them, for the
    /// time in the field `ttl`.
    pub fn start_leasing() -> Self {
        Self::start_with(&Setup { leases: true, ..Setup::default() })
    }

    fn start_with(options: &Setup) -> Self {
        provider();
        // Between our look and the server's bind somebody may take a port: then it ends, and we look again.
        (0..5).find_map(|_| Self::try_start(options)).expect("OpenBao does not start")
    }

    fn try_start(setup: &Setup) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = two_free_ports();
        let config = dir.path().join("config.hcl");
        let audit = dir.path().join("audit.log");
        let stanza = "audit \"file\" \"test\" {\n  options {\n    file_path = \"PATH\"\n  }\n}\n";
        let second = setup.second.as_ref().map(|tls| (two_free_ports(), tls));
        let listener = second.map(|(port, tls)| listener(port, tls)).unwrap_or_default();
        let stanza = stanza.replace("PATH", audit.to_str().unwrap());
        fs::write(&config, stanza + &listener).unwrap();
        let mut command = Command::new(binary());
        command.args(["server", "-dev", "-dev-no-store-token"]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        command.arg("-config").arg(&config);
        if setup.leases {
            command.arg("-dev-leased-kv");
        }
        if setup.speaks_tls {
            command.arg("-dev-tls").arg("-dev-tls-cert-dir").arg(dir.path());
        }
        command.env_clear().env("HOME", dir.path()).env("BAO_DEV_ROOT_TOKEN_ID", ROOT);
        let log = fs::File::create(dir.path().join("stderr.log")).unwrap();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let Some(unseal_key) = wait_for_banner(&mut child) else {
            child.wait().unwrap();
            return None;
        };
        let scheme = if setup.speaks_tls { "https" } else { "http" };
        let address = format!("{scheme}://127.0.0.1:{port}");
        let client = admin_client(&dir.path().join("vault-ca.pem"));
        let second_address = second.map(|(port, _)| format!("https://127.0.0.1:{port}"));
        let root = ROOT.to_owned();
        Some(Self { child, dir, address, second_address, client, unseal_key, root })
    }

    /// `http(s)://127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where a server of [`Self::start_beside`] speaks TLS.
    pub fn second_address(&self) -> &str {
        self.second_address.as_deref().expect("it has a second listener")
    }

    /// Has the server's own authority sign a certificate for 127.0.0.1, with further options of the PKI
    /// engine. The files are in its directory: `issued.pem`, `issued.key`, and `issuer.pem`.
    pub async fn issue(&self, options: Value) -> Tls {
        self.admin("POST", "sys/mounts/pki", json!({"type": "pki"})).await;
        let root = json!({"common_name": "authority of a test", "ttl": "48h"});
        let root = self.admin("POST", "pki/root/generate/internal", root).await;
        let role = json!({"allow_any_name": true, "not_before_duration": "1h"});
        self.admin("POST", "pki/roles/host", role).await;
        let mut wanted = json!({"common_name": "localhost", "ip_sans": "127.0.0.1"});
        wanted.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let issued = self.admin("POST", "pki/issue/host", wanted).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        write_private(&self.path("issuer.pem"), &text(&root["data"]["certificate"]));
        write_private(&self.path("issued.pem"), &text(&issued["data"]["certificate"]));
        write_private(&self.path("issued.key"), &text(&issued["data"]["private_key"]));
        Tls { certificate: self.path("issued.pem"), key: self.path("issued.key"), client_ca: None }
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
        loop {
            let request = self.client.request(method.parse().unwrap(), &url);
            let request = request.header("X-Vault-Token", &self.root);
            let request = request.header("X-Vault-Namespace", namespace).body(body.to_string());
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap();
            // A new KV v2 mount says so until it is made; there is nothing else to wait for.
            if text.contains("Upgrading from non-versioned") {
                continue;
            }
            assert!(status.is_success(), "{method} {path}: {status} {text}");
            return serde_json::from_str(&text).unwrap_or_default();
        }
    }

    /// The same with a body that is sent as it is written.
    pub async fn admin_text(&self, path: &str, body: &'static str) {
        let request = self.client.post(format!("{}/v1/{path}", self.address));
        let answer = request.header("X-Vault-Token", &self.root).body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }

    /// The names in a list; none where there is no such list.
    pub async fn listed(&self, path: &str) -> Vec<String> {
        let url = format!("{}/v1/{path}?list=true", self.address);
        let answer = self.client.get(url).header("X-Vault-Token", &self.root).send().await.unwrap();
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
            secret_id: SecretId::File(secret_id_file),
        };
        VaultSettings::new(&self.address, approle)
    }

    /// Has the answer to a POST wrapped, and returns the wrapping token.
    pub async fn wrapped(&self, namespace: &str, path: &str) -> String {
        let request = self.client.post(format!("{}/v1/{path}", self.address));
        let request = request.header("X-Vault-Token", &self.root).header("X-Vault-Wrap-TTL", "5m");
        let answer = request.header("X-Vault-Namespace", namespace).body("{}").send();
        let text = answer.await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["wrap_info"]["token"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned()
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

fn listener(port: u16, tls: &Tls) -> String {
    let path = |path: &Path| path.display().to_string();
    let clients = tls.client_ca.as_deref().map(|ca| {
        format!(
            "  tls_client_ca_file = \"{}\"\n  tls_require_and_verify_client_cert = true\n",
            path(ca)
        )
    });
    format!(
        "listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n{}}}\n",
        path(&tls.certificate),
        path(&tls.key),
        clients.unwrap_or_default()
    )
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
