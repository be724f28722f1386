//! Where the secret id comes from, whom the login trusts, and how it waits: against a real server, and
//! a scripted one for what a real one will not do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use longshore::secrets::vault::{Lockout, RoleId, SecretId, VaultSettings};
use serde_json::json;

use crate::support::bao::{Bao, Tls, write_private};
use crate::support::fake_vault::{FakeVault, LOGIN, MOUNT, REVOKED, Reply, SECRET};
use crate::support::vault::{assert_says, fetch, furnish, furnished, refusal, values, wanted};

/// A command that a shell reads, which is for tests alone.
fn shell(script: &str) -> SecretId {
    SecretId::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
}

async fn says(settings: &VaultSettings, words: &[&str]) {
    let error = refusal(settings, wanted("kv/app/demo", "api_key")).await;
    assert_says(&error, false, words);
}

async fn works(settings: &VaultSettings) {
    let fetched = fetch(settings, &[wanted("kv/app/demo", "api_key")]).await.unwrap();
    assert_eq!(values(&fetched), ["second-value"]);
}

#[tokio::test]
async fn a_systemd_credential() {
    let (bao, mut settings) = furnished().await;
    let path = bao.path("secret_id");
    let credential = |directory: Option<PathBuf>| SecretId::Credential {
        name: "secret_id".to_owned(),
        directory,
    };
    settings.approle.secret_id = credential(path.parent().map(Path::to_owned));
    // As systemd leaves it for a service with a user.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    works(&settings).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    says(&settings, &["secret_id_credential", "others may use it"]).await;
    settings.approle.secret_id = credential(None);
    says(&settings, &["CREDENTIALS_DIRECTORY is not set", "LoadCredential=secret_id:FILE"]).await;
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn a_command_prints_it_and_sees_nothing_of_ours() {
    let (bao, mut settings) = furnished().await;
    let seen = bao.path("environment");
    let script = format!(
        "cat /proc/$$/environ > {}; pwd >&2; cat {}",
        seen.display(),
        bao.path("secret_id").display()
    );
    settings.approle.secret_id = shell(&script);
    works(&settings).await;
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.starts_with("PATH=/usr/local/sbin:") && seen.matches('\0').count() == 1, "{seen}");
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn commands_that_print_none() {
    let (bao, mut settings) = furnished().await;
    let mut told = async |source: SecretId, words: &[&str]| {
        settings.approle.secret_id = source;
        says(&settings, words).await;
        refusal(&settings, wanted("kv/app/demo", "api_key")).await.to_string()
    };
    let key = "vault.approle.secret_id_command /bin/sh";
    told(shell("exit 3"), &[key, "failed (exit status: 3)"]).await;
    told(shell("kill -9 $$"), &[key, "signal: 9"]).await;
    told(shell(":"), &[key, "its output is empty"]).await;
    told(shell("echo a; echo b"), &[key, "more than one line"]).await;
    told(shell("head -c 300000 /dev/zero"), &[key, "its output has more than 4096 bytes"]).await;
    let text = told(
        shell("echo s3cr3t-id; echo 'no token: s3cr3t-id\n and more' >&2; exit 1"),
        &["it says: no token: [MASKED]; and more"],
    )
    .await;
    assert!(!text.contains("s3cr3t"), "{text}");
    let absent = SecretId::Command(vec!["/nonexistent/program".to_owned()]);
    told(absent, &["/nonexistent/program", "cannot be started"]).await;
    assert_eq!(bao.audited("auth/approle/login").len(), 0);
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_children() {
    let (bao, mut settings) = furnished().await;
    let pid = bao.path("pid");
    // The shell ends at once; what it leaves holds the pipe.
    settings.approle.secret_id =
        shell(&format!("sleep 1000 & echo $! > {}; exit 0", pid.display()));
    settings.timeout = Duration::from_millis(300);
    let begin = Instant::now();
    says(&settings, &["did not end within 300ms", "killed"]).await;
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let pid = fs::read_to_string(pid).unwrap();
    let state = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let gone = || state().is_empty() || state().contains(") Z ");
    while !gone() {
        assert!(begin.elapsed() < Duration::from_secs(10), "{}", state());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn secret_id_files_that_are_refused() {
    let (bao, mut settings) = furnished().await;
    let path = bao.path("secret_id");
    let good = fs::read_to_string(&path).unwrap();
    write_private(&path, &format!("{good}\r\n"));
    works(&settings).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    says(&settings, &["mode 0644", &format!("run: chmod 0600 {}", path.display())]).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    write_private(&path, "\n");
    says(&settings, &["is empty; write the id into it"]).await;
    let link = bao.path("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let fifo = bao.path("fifo");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    for (file, word) in [
        (link, "symbolic link"),
        (fifo, "not a regular file"),
        (bao.path("."), "not a regular file"),
        (bao.path("absent"), "does not exist"),
    ] {
        settings.approle.secret_id = SecretId::File(file);
        says(&settings, &["vault.approle.secret_id_file", word]).await;
    }
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

/// Unix seconds of the clock of the next test.
static NOW: AtomicU64 = AtomicU64::new(1_700_000_000);

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Ordering::Relaxed))
}

#[tokio::test]
async fn what_a_command_prints_is_not_tried_again_until_it_prints_another_or_time_passes() {
    let (bao, mut settings) = furnished().await;
    settings.lockout = Some(Lockout { marker: bao.path("lockout"), clock });
    let print = bao.path("printed");
    settings.approle.secret_id = shell(&format!("cat {}", print.display()));
    fs::write(&print, "not-the-secret-id").unwrap();
    says(&settings, &["invalid role or secret ID", "what /bin/sh prints"]).await;
    // The same again, in a file that is another one.
    fs::remove_file(&print).unwrap();
    fs::write(&print, "not-the-secret-id").unwrap();
    says(&settings, &["no login at auth/approle/login", "what /bin/sh prints", "wait 900 s"]).await;
    NOW.fetch_add(899, Ordering::Relaxed);
    says(&settings, &["wait 1 s"]).await;
    NOW.fetch_add(1, Ordering::Relaxed);
    says(&settings, &["invalid role or secret ID"]).await;
    let marker = fs::read_to_string(bao.path("lockout")).unwrap();
    assert!(!marker.contains("not-the"), "{marker}");

    let role_id = settings.approle.role_id.clone();
    settings.approle.role_id = RoleId::Value(longshore::secrets::Secret::new("another"));
    says(&settings, &["invalid role or secret ID"]).await;
    settings.approle.role_id = role_id;
    fs::copy(bao.path("secret_id"), &print).unwrap();
    works(&settings).await;
    assert!(!bao.path("lockout").exists());
    assert_eq!(bao.audited("auth/approle/login").len(), 4);
}

#[tokio::test]
async fn twenty_jobs_send_a_bad_secret_id_once() {
    let (bao, mut settings) = furnished().await;
    settings.lockout = Some(Lockout { marker: bao.path("lockout"), clock: SystemTime::now });
    write_private(&bao.path("secret_id"), "not-the-secret-id");
    let jobs = (0..20).map(|_| refusal(&settings, wanted("kv/app/demo", "api_key")));
    let errors = futures_util::future::join_all(jobs).await;
    assert_eq!(errors.len(), 20);
    assert_eq!(bao.audited("auth/approle/login").len(), 1);
    bao.new_secret_id("", &bao.path("secret_id")).await;
    let list = [wanted("kv/app/demo", "api_key")];
    let jobs = (0..20).map(|_| fetch(&settings, &list));
    for fetched in futures_util::future::join_all(jobs).await {
        assert_eq!(values(&fetched.unwrap()), ["second-value"]);
    }
    assert_eq!(bao.logins_and_revokes(), (20, 20));
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_waited_for() {
    // By the server's clock and not by ours.
    const UNTIL: Reply = Reply::Raw(
        "HTTP/1.1 503 Busy\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Retry-After: Sun, 06 Nov 1994 08:49:38 GMT\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    const WAIT: Reply = Reply::Raw(
        "HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    let dir = tempfile::tempdir().unwrap();
    let script = |line: &str, before| match line {
        "POST /v1/auth/approle/login" if before == 0 => WAIT,
        "POST /v1/auth/approle/login" => LOGIN,
        "GET /v1/sys/internal/ui/mounts/kv/app" => MOUNT,
        "GET /v1/kv/app" => SECRET,
        _ => REVOKED,
    };
    let server = FakeVault::start(script).await;
    let mut settings = server.settings(dir.path());
    let begin = Instant::now();
    fetch(&settings, &[wanted("kv/app", "value")]).await.unwrap();
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(3), "{took:?}");

    let server = FakeVault::start(move |line, before| {
        if before == 0 && line.ends_with("/login") { UNTIL } else { script(line, 1) }
    })
    .await;
    let begin = Instant::now();
    fetch(&server.settings(dir.path()), &[wanted("kv/app", "value")]).await.unwrap();
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(3), "{took:?}");

    // Longer than there is time: told at once.
    let server = FakeVault::start(|_, _| WAIT).await;
    settings = server.settings(dir.path());
    settings.deadline = Duration::from_millis(900);
    let begin = Instant::now();
    let error = refusal(&settings, wanted("kv/app", "value")).await;
    assert_says(&error, false, &["429", "rate limit", "vault.deadline"]);
    assert!(begin.elapsed() < Duration::from_millis(600), "{:?}", begin.elapsed());
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_client_certificate() {
    let authority = Bao::start_tls();
    let tls = Tls {
        certificate: authority.path("vault-cert.pem"),
        key: authority.path("vault-key.pem"),
        client_ca: Some(authority.path("vault-ca.pem")),
    };
    let bao = Bao::start_beside(&tls);
    let mut settings = furnish(&bao, "", json!({})).await;
    settings.address = bao.second_address().to_owned();
    settings.ca_file = Some(authority.path("vault-ca.pem"));
    says(&settings, &["TLS fails", "CertificateRequired", "vault.client_cert_file"]).await;
    settings.client_certificate = Some((tls.certificate.clone(), tls.key.clone()));
    works(&settings).await;
    settings.client_certificate = Some((tls.certificate, authority.path("vault-ca.pem")));
    says(&settings, &["vault.client_cert_file", "makes no pair with the key"]).await;
    let other = Bao::start_tls();
    settings.client_certificate = Some((other.path("vault-cert.pem"), other.path("vault-key.pem")));
    says(&settings, &["TLS fails", "refuses ours"]).await;
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn certificates_out_of_their_time_name_the_clock() {
    let at = |time| humantime::format_rfc3339_seconds(time).to_string();
    let (now, hour) = (SystemTime::now(), Duration::from_hours(1));
    for (dates, word) in [
        (json!({"not_after": at(now - hour / 2)}), "expired"),
        (json!({"not_before": at(now + hour), "not_after": at(now + 2 * hour)}), "not valid yet"),
    ] {
        let authority = Bao::start();
        let tls = authority.issue(dates).await;
        let bao = Bao::start_beside(&tls);
        let mut settings = furnish(&bao, "", json!({})).await;
        settings.address = bao.second_address().to_owned();
        settings.ca_file = Some(authority.path("issuer.pem"));
        says(&settings, &["TLS fails", word, "this host's clock"]).await;
        assert_eq!(bao.audited("auth/approle/login").len(), 0);
    }
}
