//! Secrets from a server that misbehaves: redirects, hangs, proxies' pages, cut answers, odd tokens.

use std::time::{Duration, Instant};

use longshore::secrets::vault::{Vault, VaultSettings};
use longshore::secrets::{Fetched, SecretError, SecretSource as _};

use crate::support::fake_vault::{self, FakeVault, LOGIN, MOUNT, REVOKED, Reply, SECRET};
use crate::support::vault::wanted;

const LOGIN_LINE: &str = "POST /v1/auth/approle/login";
const MOUNT_LINE: &str = "GET /v1/sys/internal/ui/mounts/kv/app";
const READ_LINE: &str = "GET /v1/kv/app";
const REVOKE_LINE: &str = "POST /v1/auth/token/revoke-self";

/// A server on which all goes well.
fn well(line: &str) -> Reply {
    match line {
        LOGIN_LINE => LOGIN,
        MOUNT_LINE => MOUNT,
        READ_LINE => SECRET,
        REVOKE_LINE => REVOKED,
        other => panic!("unexpected request {other}"),
    }
}

async fn fetch(settings: VaultSettings) -> Result<Fetched, SecretError> {
    Vault::new(settings).fetch(&[wanted("kv/app", "value")]).await
}

/// The error's text, in which nothing secret may stand.
async fn refusal(settings: VaultSettings) -> String {
    let error = fetch(settings).await.unwrap_err();
    assert!(!error.is_job_fault());
    for text in [error.to_string(), format!("{error:?}")] {
        for secret in ["fake-token", "fake-secret-id", "fake-role-id", "s3cr3t-value"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    error.to_string()
}

#[tokio::test]
async fn all_well() {
    let dir = tempfile::tempdir().unwrap();
    let server = FakeVault::start(|line, _| well(line)).await;
    let fetched = fetch(server.settings(dir.path())).await.unwrap();
    assert_eq!(fetched.secrets[0].value.expose(), b"s3cr3t-value");
    assert_eq!(server.lines(), [LOGIN_LINE, MOUNT_LINE, READ_LINE, REVOKE_LINE]);
    let texts = server.texts();
    assert!(texts[0].contains("fake-secret-id") && !texts[0].contains("X-Vault-Token"));
    assert!(texts[3].to_lowercase().contains("x-vault-token: fake-token"));
    assert!(texts.iter().all(|text| text.to_lowercase().contains("user-agent: longshore/")));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let thief = FakeVault::start(|_, _| SECRET).await;
    let answer = format!(
        "HTTP/1.1 307 Moved\r\nLocation: {}/v1/kv/app\r\nContent-Length: 0\r\n\r\n",
        thief.address()
    );
    let answer: &'static str = answer.leak();
    for moved in [LOGIN_LINE, READ_LINE] {
        let script = move |line: &str, _| {
            if line == moved { Reply::Raw(answer) } else { well(line) }
        };
        let server = FakeVault::start(script).await;
        let text = refusal(server.settings(dir.path())).await;
        assert!(
            text.contains("status 307") && text.contains("redirects are not followed"),
            "{text}"
        );
        assert_eq!(server.lines().contains(&REVOKE_LINE.to_owned()), moved == READ_LINE);
    }
    assert_eq!(thief.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hanging_server_ends_with_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    for hanging in [LOGIN_LINE, MOUNT_LINE, READ_LINE] {
        let script = move |line: &str, _| {
            if line == hanging { Reply::Hang } else { well(line) }
        };
        let server = FakeVault::start(script).await;
        let mut settings = server.settings(dir.path());
        settings.timeout = Duration::from_mins(1);
        settings.deadline = Duration::from_millis(300);
        let begin = Instant::now();
        let text = refusal(settings).await;
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(2), "{took:?}");
        assert!(text.contains("no answer in time") && text.contains("vault.deadline"), "{text}");
        let expected = usize::from(hanging != LOGIN_LINE);
        assert_eq!(server.lines().iter().filter(|line| *line == REVOKE_LINE).count(), expected);
    }
}

#[tokio::test]
async fn one_slow_answer_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let script = |line: &str, before| {
        if before == 0 && line == READ_LINE { Reply::Hang } else { well(line) }
    };
    let server = FakeVault::start(script).await;
    let mut settings = server.settings(dir.path());
    settings.timeout = Duration::from_millis(200);
    fetch(settings).await.unwrap();
    assert_eq!(server.lines().iter().filter(|line| *line == READ_LINE).count(), 2);
}

#[tokio::test]
async fn a_proxys_error_page() {
    const PAGE: Reply = Reply::Answer(502, "<html><body>Bad Gateway</body></html>");
    let dir = tempfile::tempdir().unwrap();
    let server = FakeVault::start(|line, before| if before < 2 { PAGE } else { well(line) }).await;
    let fetched = fetch(server.settings(dir.path())).await.unwrap();
    // Login, search, read and revocation, each at the third try.
    assert_eq!(server.lines().len(), 12);
    assert_eq!(fetched.warnings, Vec::<String>::new());

    let server = FakeVault::start(|_, _| PAGE).await;
    let mut settings = server.settings(dir.path());
    settings.deadline = Duration::from_millis(400);
    let text = refusal(settings).await;
    assert!(
        text.contains("status 502") && text.contains("proxy") && !text.contains("html"),
        "{text}"
    );
}

#[tokio::test]
async fn a_cut_answer() {
    const CUT: Reply = Reply::Raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":{\"value\":\"s3cr3t-va",
    );
    let dir = tempfile::tempdir().unwrap();
    let script = |line: &str, before| {
        if before == 0 && line == READ_LINE { CUT } else { well(line) }
    };
    let server = FakeVault::start(script).await;
    fetch(server.settings(dir.path())).await.unwrap();

    // A login may have used the secret id up, so it is sent again only once.
    let server = FakeVault::start(|_, _| CUT).await;
    let text = refusal(server.settings(dir.path())).await;
    assert_eq!(server.lines(), [LOGIN_LINE, LOGIN_LINE]);
    assert!(text.contains("connection broke") && text.contains("2 tries"), "{text}");
}

#[tokio::test]
async fn answers_that_are_not_vaults() {
    let dir = tempfile::tempdir().unwrap();
    let token_with_a_line_feed = r#"{"request_id":"1","lease_id":"","renewable":false,"lease_duration":0,"data":null,
        "wrap_info":null,"warnings":null,"auth":{"client_token":"fake-token\n","accessor":"a","policies":[],
        "token_policies":[],"metadata":null,"lease_duration":1,"renewable":true,"entity_id":"","token_type":"service",
        "orphan":true}}"#;
    for body in [
        "",
        "{}",
        "null",
        "[1]",
        "<html>fake-token",
        r#"{"auth":"fake-token"}"#,
        token_with_a_line_feed,
    ] {
        let server = FakeVault::start(move |_, _| Reply::Answer(200, body)).await;
        let text = refusal(server.settings(dir.path())).await;
        assert!(
            text.contains("log in by") && text.contains("check that vault.address"),
            "{body}: {text}"
        );
        assert_eq!(server.lines(), [LOGIN_LINE], "{body}");
    }
    for body in ["s3cr3t-value", r#"{"data":{"path":"other/","type":"kv"}}"#, "[]"] {
        let script = move |line: &str, _| {
            if line == MOUNT_LINE { Reply::Answer(200, body) } else { well(line) }
        };
        let server = FakeVault::start(script).await;
        refusal(server.settings(dir.path())).await;
        assert_eq!(server.lines(), [LOGIN_LINE, MOUNT_LINE, REVOKE_LINE], "{body}");
    }
}

#[tokio::test]
async fn leased_secrets_are_refused_and_the_token_goes() {
    const LEASED: Reply =
        Reply::Answer(200, r#"{"lease_id":"database/creds/x/1","data":{"value":"s3cr3t-value"}}"#);
    let dir = tempfile::tempdir().unwrap();
    let server =
        FakeVault::start(|line, _| if line == READ_LINE { LEASED } else { well(line) }).await;
    let error = fetch(server.settings(dir.path())).await.unwrap_err();
    assert!(error.to_string().contains("leased secrets"), "{error}");
    assert_eq!(server.lines().last().unwrap(), REVOKE_LINE);
}

#[tokio::test]
async fn nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = FakeVault::start(|line, _| well(line)).await;
    server.stop().await;
    let mut settings = server.settings(dir.path());
    settings.deadline = Duration::from_millis(400);
    let text = refusal(settings).await;
    assert!(text.contains("no connection") && text.contains(&server.address()), "{text}");
}

/// The token of a login is revoked though the server fails every read, and told of though it fails that.
#[tokio::test]
async fn dying_after_the_login() {
    const DOWN: Reply = Reply::Answer(503, r#"{"errors":["Vault is sealed"]}"#);
    let dir = tempfile::tempdir().unwrap();
    let server = FakeVault::start(|line, _| if line == LOGIN_LINE { LOGIN } else { DOWN }).await;
    let mut settings = server.settings(dir.path());
    settings.deadline = Duration::from_millis(300);
    let text = refusal(settings).await;
    assert!(text.contains("find the engine") && text.contains("-accessor fake-accessor"), "{text}");
    assert_eq!(server.lines().iter().filter(|line| *line == REVOKE_LINE).count(), 3);
}

/// The values are there, so the job goes on; the token that is left is named by its accessor.
#[tokio::test]
async fn dying_before_the_revocation() {
    const CUT: Reply = Reply::Raw("HTTP/1.1 204 No");
    const DOWN: Reply = Reply::Answer(503, r#"{"errors":["Vault is sealed"]}"#);
    for is_cut in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let script = move |line: &str, _| match (line, is_cut) {
            (REVOKE_LINE, true) => CUT,
            (REVOKE_LINE, false) => DOWN,
            _ => well(line),
        };
        let server = FakeVault::start(script).await;
        let fetched = fetch(server.settings(dir.path())).await.unwrap();
        assert_eq!(fetched.secrets[0].value.expose(), b"s3cr3t-value");
        let warning = &fetched.warnings[0];
        assert!(warning.contains("token revoke -accessor fake-accessor"), "{warning}");
        assert!(!warning.contains("fake-token"), "{warning}");
        assert_eq!(server.lines().iter().filter(|line| *line == REVOKE_LINE).count(), 3);
    }
}

#[tokio::test]
async fn addresses_that_no_request_goes_to() {
    let dir = tempfile::tempdir().unwrap();
    for address in [
        "",
        "nonsense",
        "vault:8200",
        "http://vault.example:8200",
        "https://vault.example/path",
        "https://a\nb c",
    ] {
        let text = refusal(fake_vault::settings(address, dir.path())).await;
        assert!(text.contains("setting vault.address"), "{text}");
    }
}

/// A proxy, or a server in a debug mode, that quotes what it was sent.
#[tokio::test]
async fn what_a_server_quotes_of_our_credentials_is_masked() {
    const SENT: Reply = Reply::Answer(400, r#"{"errors":["bad: fake-role-id, fake-secret-id"]}"#);
    const ALL: Reply = Reply::Answer(
        400,
        r#"{"errors":["bad: fake-role-id, fake-secret-id, fake-token, token=ZmFrZS10b2tlbg=="]}"#,
    );
    let dir = tempfile::tempdir().unwrap();
    for failing in [LOGIN_LINE, MOUNT_LINE, READ_LINE] {
        let quotes = if failing == LOGIN_LINE { SENT } else { ALL };
        let quotes = std::sync::Mutex::new(Some(quotes));
        let script = move |line: &str, _| {
            if line == failing { quotes.lock().unwrap().take().unwrap() } else { well(line) }
        };
        let server = FakeVault::start(script).await;
        let text = refusal(server.settings(dir.path())).await;
        assert!(text.contains("bad: [MASKED], [MASKED]"), "{text}");
    }
    let script = |line: &str, _| if line == REVOKE_LINE { ALL } else { well(line) };
    let server = FakeVault::start(script).await;
    let warning = fetch(server.settings(dir.path())).await.unwrap().warnings.remove(0);
    assert!(warning.contains("bad: [MASKED], [MASKED], [MASKED], token=[MASKED]"), "{warning}");
}

#[tokio::test]
async fn a_policy_that_may_do_everything_is_warned_of() {
    for (policy, warnings) in [("admin", 1), ("hcp-root", 1), ("administration-of-apps", 0)] {
        let login = format!(
            r#"{{"auth":{{"client_token":"fake-token","accessor":"a","policies":["default","{policy}"],
            "lease_duration":1200,"renewable":true,"token_type":"service"}}}}"#
        );
        let login: &'static str = login.leak();
        let script = move |line: &str, _| {
            if line == LOGIN_LINE { Reply::Answer(200, login) } else { well(line) }
        };
        let server = FakeVault::start(script).await;
        let dir = tempfile::tempdir().unwrap();
        let fetched = fetch(server.settings(dir.path())).await.unwrap();
        let told = |one: &&String| one.contains(policy) && one.contains("longshore vault policy");
        assert_eq!(fetched.warnings.iter().filter(told).count(), warnings, "{policy}");
        assert_eq!(server.lines().len(), 4, "no request more");
    }
}
