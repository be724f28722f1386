//! `longshore mask add` against the real agent: what a script names is masked from then on.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use longshore::agent::client::ClientError;
use longshore::agent::protocol::{Init, Refusal};
use longshore::secrets::Secret;
use tempfile::TempDir;

use crate::agent_support::{Container, TestClient, plain_init, run, secret, stage};

/// A container whose scripts can add values, and how they do it.
struct Masking {
    container: Container,
    directory: TempDir,
}

impl Masking {
    fn start() -> Self {
        Self { container: Container::start(), directory: tempfile::tempdir().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("mask.sock")
    }

    fn init(&self) -> Init {
        let masks = vec![secret("known-from-the-start")];
        let mask_socket = Some(self.socket().to_str().unwrap().to_owned());
        Init { mask_socket, masks, ..plain_init() }
    }

    async fn ready(&self) -> TestClient {
        self.container.ready(self.init()).await
    }

    /// A function `add` for a script.
    fn script(&self, text: &str) -> String {
        let (binary, socket) = (env!("CARGO_BIN_EXE_longshore"), self.socket());
        format!("add() {{ {binary} mask add --socket {} \"$@\"; }}\n{text}", socket.display())
    }
}

#[tokio::test]
async fn what_is_written_after_mask_add_is_masked_for_sure() {
    let masking = Masking::start();
    let mut client = masking.ready().await;
    let script = masking.script(
        "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do\n\
         printf %s \"late-value-$n.\" | add && echo \"$n=late-value-$n.\"; done\n\
         printf 'bGF0ZS12YWx1ZS0yLg== late-val'; echo 'ue-7. known-from-the-start'\n\
         echo late-value-9. >&2",
    );
    let (exit, kept) = run(&mut client, stage("build_script", script)).await;
    let lines: Vec<_> = (1..=20).map(|number| format!("{number}=[MASKED]\n")).collect();
    assert_eq!(kept.text(), lines.concat() + "[MASKED]g== [MASKED] [MASKED]\n");
    assert_eq!(kept.stderr, b"[MASKED]\n");
    let added = exit.unwrap().added_masks;
    assert_eq!(added.len(), 20);
    assert_eq!(added[6].0, Secret::new("late-value-7."));
}

#[tokio::test]
async fn a_value_that_comes_in_pieces_while_it_is_added_is_masked() {
    let masking = Masking::start();
    let mut client = masking.ready().await;
    // The beginning of another value is held back when the set grows; the two overlap in what follows.
    let script = masking.script("printf 'a known-from-the-'; add start-of-it; echo 'start-of-it'");
    let (_, kept) = run(&mut client, stage("build_script", script)).await;
    assert_eq!(kept.text(), "a [MASKED]\n");
}

#[tokio::test]
async fn later_stages_and_drivers_know_what_was_added() {
    let masking = Masking::start();
    let mut client = masking.ready().await;
    let script = masking.script("add as-an-argument; echo late-token | add");
    let (exit, _) = run(&mut client, stage("step_one", script)).await;
    assert_eq!(exit.unwrap().added_masks.len(), 2);
    let (exit, kept) =
        run(&mut client, stage("after_script", "echo late-token as-an-argument")).await;
    assert_eq!(kept.text(), "[MASKED] [MASKED]\n");
    assert_eq!(exit.unwrap().added_masks, []);
    let (mut other, hello) = masking.container.connect().await;
    let known = ["known-from-the-start", "as-an-argument", "late-token\n"];
    assert_eq!(hello.masks, known.map(secret));
    other.mask(vec![secret("from the driver")]).await.unwrap();
    let (_, kept) = run(&mut client, stage("upload", "echo from the driver")).await;
    assert_eq!(kept.text(), "[MASKED]\n");
}

#[tokio::test]
async fn a_value_that_cannot_be_masked_is_refused_in_words() {
    let masking = Masking::start();
    let mut client = masking.ready().await;
    let script = masking.script(
        "{ add abc; echo $?; echo | add; echo $?; head -c 70000 /dev/zero | tr '\\0' x | add; echo $?; \
         add 12345; echo $?; } 2>&1",
    );
    let (exit, kept) = run(&mut client, stage("build_script", script)).await;
    let text = kept.text();
    for (part, words) in text.split_inclusive(['1', '0']).zip([
        "at least 4 bytes are masked",
        "there is no value on standard input",
        "longer than 64 KiB",
        "WARNING: longshore: the value has less than 8 bytes",
    ]) {
        assert!(part.contains(words), "{words:?} in {part:?} of {text}");
    }
    assert_eq!(exit.unwrap().added_masks, [secret("12345")]);
    let refused = client.mask(vec![secret("x")]).await;
    assert!(
        matches!(refused, Err(ClientError::Refused(Refusal::Unmaskable { .. }))),
        "{refused:?}"
    );
}

fn add(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command.args(["mask", "add"]).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn where_no_agent_listens_it_says_so_and_shows_no_value() {
    let output = add(&["--socket", "/nonexistent/mask.sock", "the-value-itself"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("failed to reach the agent at /nonexistent/mask.sock"), "{told}");
    assert!(told.contains("scripts of a job"), "{told}");
    assert!(!told.contains("the-value-itself"), "{told}");
}

/// A client that says nothing must not keep the others from being served.
#[tokio::test]
async fn silent_clients_hold_nobody_up() {
    let masking = Masking::start();
    let mut client = masking.ready().await;
    let silent: Vec<_> = (0..7)
        .map(|_| std::os::unix::net::UnixStream::connect(masking.socket()).unwrap())
        .collect();
    let script = masking.script("add served-all-the-same && echo served-all-the-same");
    let (_, kept) = run(&mut client, stage("build_script", script)).await;
    assert_eq!(kept.text(), "[MASKED]\n");
    drop(silent);
}
