//! What `prepare` does with Vault, measured against a bare client that makes the same calls, and printed as
//! JSON for `script/bench`, which names the server and its files in the environment. Medians over
//! interleaved rounds; both begin each round with a client of their own, as a process does.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on must fail"
)]

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use longshore::plan::SecretRef;
use longshore::plan::owner::{Moment, Owner};
use longshore::secrets::SecretSource;
use longshore::secrets::vault::{AppRole, Holder, Keeping, RoleId, SecretId, Vault, VaultSettings};
use longshore::settings::SecretForm;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

const ROUNDS: usize = 60;
const SECRETS: usize = 5;

/// Where `script/bench` put things.
struct Server {
    address: String,
    ca: PathBuf,
    role_id: PathBuf,
    secret_id: PathBuf,
    run_dir: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let path = |name: &str| PathBuf::from(env::var_os(name).unwrap());
    let server = Server {
        address: env::var("LONGSHORE_BENCH_VAULT").unwrap(),
        ca: path("LONGSHORE_BENCH_VAULT_CA"),
        role_id: path("LONGSHORE_BENCH_ROLE_ID_FILE"),
        secret_id: path("LONGSHORE_BENCH_SECRET_ID_FILE"),
        run_dir: path("LONGSHORE_BENCH_RUN_DIR"),
    };
    let wanted: Vec<SecretRef> = (1..=SECRETS).map(wanted).collect();
    let (mut ratios, mut ours, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        prepared(&server, &wanted).await;
        ours.push(began.elapsed().as_secs_f64() * 1e3);
        let began = Instant::now();
        asked_bare(&server).await;
        bare.push(began.elapsed().as_secs_f64() * 1e3);
        ratios.push(ours.last().unwrap() / bare.last().unwrap());
    }
    let told = json!({
        "ratio": median(ratios), "rounds": ROUNDS,
        "medians_ms": {"prepare's part": median(ours), "a bare client": median(bare)},
    });
    println!("{told}");
}

fn place(number: usize) -> String {
    format!("longshore/bench{number}")
}

fn wanted(number: usize) -> SecretRef {
    SecretRef {
        name: format!("SECRET_{number}"),
        path: format!("kv/{}", place(number)),
        field: Some("value".to_owned()),
        version: None,
        kv: None,
        parameters: BTreeMap::new(),
        form: SecretForm::Variable,
    }
}

/// As `prepare` does it, a token file for the case of leases among it.
async fn prepared(server: &Server, wanted: &[SecretRef]) {
    let approle = AppRole {
        mount: "approle".to_owned(),
        role_id: RoleId::File(server.role_id.clone()),
        secret_id: SecretId::File(server.secret_id.clone()),
    };
    let settings = VaultSettings {
        ca_file: Some(server.ca.clone()),
        ..VaultSettings::new(&server.address, approle)
    };
    let owner = Owner {
        boot_id: "bench".to_owned(),
        pid_namespace: "bench".to_owned(),
        pid: std::process::id(),
        start_time: 1,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let holder = Holder {
        job: "1-bench".to_owned(),
        owner,
        deadline: Moment { unix: now + 600, uptime: u64::MAX },
    };
    let keeping = Keeping { holder, run_dir: server.run_dir.clone(), clock: SystemTime::now };
    let fetched = Vault::new(settings).keeping(keeping).fetch(wanted).await.unwrap();
    assert_eq!((fetched.secrets.len(), fetched.warnings.len()), (SECRETS, 0));
}

/// The same calls, and nothing else: login, which engine, five reads, revocation.
async fn asked_bare(server: &Server) {
    let read = |path: &PathBuf| std::fs::read(path).unwrap();
    let text = |path: &PathBuf| String::from_utf8(read(path)).unwrap().trim().to_owned();
    let authorities = Certificate::from_pem_bundle(&read(&server.ca)).unwrap();
    let client = Client::builder().tls_certs_only(authorities).no_proxy().build().unwrap();
    let at = |path: &str| format!("{}/v1/{path}", server.address);
    let login = json!({"role_id": text(&server.role_id), "secret_id": text(&server.secret_id)});
    let login = client.post(at("auth/approle/login")).body(login.to_string());
    let token = parsed(login).await["auth"]["client_token"].as_str().unwrap().to_owned();
    let get = |path: String| client.get(at(&path)).header("X-Vault-Token", &token);
    parsed(get(format!("sys/internal/ui/mounts/kv/{}", place(1)))).await;
    for number in 1..=SECRETS {
        let answer = parsed(get(format!("kv/data/{}", place(number)))).await;
        assert!(answer["data"]["data"]["value"].is_string());
    }
    let revoke = client.post(at("auth/token/revoke-self")).header("X-Vault-Token", &token);
    assert!(revoke.send().await.unwrap().status().is_success());
}

async fn parsed(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2] * 1e3).round() / 1e3
}
