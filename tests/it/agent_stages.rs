//! What a stage sees and how it ends, over the real agent.

use std::time::Duration;

use longshore::agent::client::ClientError;
use longshore::agent::protocol::{EndedBy, ExitStatus, Refusal, StageExit, StageSignal};
use tokio::sync::mpsc;

use crate::agent_support::{
    Container, Kept, PATIENCE, plain_init, run, secret, secret_variable, stage, wait_for,
};

/// Runs one script in a fresh agent.
async fn run_script(script: &str) -> (StageExit, Kept) {
    let container = Container::start();
    let mut client = container.ready(plain_init()).await;
    let (exit, kept) = run(&mut client, stage("build_script", script)).await;
    (exit.unwrap(), kept)
}

#[tokio::test]
async fn a_stage_gives_its_output_and_its_code() {
    let (exit, kept) = run_script("echo out; echo err >&2; exit 37").await;
    assert_eq!(exit.status, ExitStatus::Code(37));
    assert_eq!((exit.ended_by, exit.script_unread, exit.survivors), (None, false, false));
    assert_eq!(kept.stdout, b"out\n");
    assert_eq!(kept.stderr, b"err\n");
}

#[tokio::test]
async fn codes_and_signals_pass_through() {
    let container = Container::start();
    let mut client = container.ready(plain_init()).await;
    for (script, status) in [
        ("exit 0", ExitStatus::Code(0)),
        ("exit 255", ExitStatus::Code(255)),
        ("kill -KILL $$", ExitStatus::Signal(9)),
        ("set -o pipefail; yes | head -n 1", ExitStatus::Code(128 + 13)),
    ] {
        let (exit, _) = run(&mut client, stage("build_script", script)).await;
        assert_eq!(exit.unwrap().status, status, "{script}");
    }
    let codes: Vec<i32> = client.stat().await.unwrap().stages.iter().map(|one| one.code).collect();
    assert_eq!(codes, [0, 255, 137, 141]);
}

#[tokio::test]
async fn a_stage_starts_as_gitlabs_do() {
    let script = "umask; cat /proc/self/oom_score_adj; ulimit -c; readlink /proc/$$/exe; \
                  ps -o sid= -p $$ | grep -qw $$ && echo own session";
    let (exit, kept) = run_script(script).await;
    assert_eq!(exit.status, ExitStatus::Code(0), "{}", String::from_utf8_lossy(&kept.stderr));
    let shell = std::process::Command::new("bash").args(["-c", "ulimit -c"]).output().unwrap();
    let core = String::from_utf8(shell.stdout).unwrap();
    assert_eq!(kept.text(), format!("0022\n500\n{core}/usr/bin/bash\nown session\n"));
}

#[tokio::test]
async fn a_command_that_reads_stdin_eats_the_script_as_in_gitlab() {
    let (_, kept) = run_script("read -r line\nthis is no command\necho \"read: $line\"\n").await;
    assert_eq!(kept.text(), "read: this is no command\n");
    assert_eq!(kept.stderr, b"");
}

#[tokio::test]
async fn a_script_longer_than_a_pipe_arrives_whole() {
    let script = format!(": {}\necho end", "x".repeat(3_000_000));
    let (exit, kept) = run_script(&script).await;
    assert_eq!((exit.status, kept.text().as_str()), (ExitStatus::Code(0), "end\n"));
}

#[tokio::test]
async fn a_script_that_ends_early_does_not_hang_on_its_unread_rest() {
    let (exit, _) = run_script(&format!("exit 3\n: {}", "x".repeat(3_000_000))).await;
    assert_eq!((exit.status, exit.script_unread), (ExitStatus::Code(3), false));
}

#[tokio::test]
async fn an_entrypoint_that_reads_nothing_is_told_from_one_that_does() {
    for (entrypoint, status, unread) in [("false", 1, true), ("true", 0, true), ("env", 7, false)] {
        let container = Container::start();
        let mut init = plain_init();
        init.entrypoint = vec![entrypoint.into()];
        let mut client = container.ready(init).await;
        let (exit, _) = run(&mut client, stage("build_script", "exit 7")).await;
        let exit = exit.unwrap();
        assert_eq!((exit.status, exit.script_unread), (ExitStatus::Code(status), unread));
    }
}

#[tokio::test]
async fn an_entrypoint_that_cannot_start_is_named() {
    let container = Container::start();
    let mut init = plain_init();
    init.entrypoint = vec!["/no/such/entrypoint".into(), "--now".into()];
    let mut client = container.ready(init).await;
    let (exit, _) = run(&mut client, stage("build_script", "true")).await;
    let refusal = Refusal::Start { program: "/no/such/entrypoint".into(), errno: 2 };
    assert!(matches!(&exit, Err(ClientError::Refused(found)) if *found == refusal), "{exit:?}");
    let mut helper_stage = stage("get_sources", "echo runs without it");
    helper_stage.user_stage = false;
    let (exit, kept) = run(&mut client, helper_stage).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0));
    assert_eq!(kept.text(), "runs without it\n");
}

#[tokio::test]
async fn secrets_and_user_environment_reach_user_stages_only() {
    let container = Container::start();
    let mut init = plain_init();
    init.secrets.push(secret_variable("PASSWORD", "hush\nhush=1"));
    init.user_env.push(("LONGSHORE_NETWORK".into(), "net".into()));
    init.env.push(("ALL".into(), "all".into()));
    init.path_prefix = vec!["/longshore/bin".into()];
    let mut client = container.ready(init).await;
    // Taken apart, for the masker must not see it.
    let script =
        "printf '%s|' \"${#PASSWORD}\" \"$LONGSHORE_NETWORK\" \"$ALL\" \"$ONE\" \"${PATH%%:*}\"";
    let mut user = stage("build_script", script);
    user.env.push(("ONE".into(), "one".into()));
    let mut helper = stage("get_sources", script);
    helper.user_stage = false;
    let (exit, kept) = run(&mut client, user).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0));
    assert_eq!(kept.text(), "11|net|all|one|/longshore/bin|");
    let (exit, kept) = run(&mut client, helper).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0));
    assert_eq!(kept.text(), "0||all||/longshore/bin|");
}

#[tokio::test]
async fn a_secret_no_environment_can_carry_is_refused_by_name() {
    let container = Container::start();
    let (mut client, _) = container.connect().await;
    let mut init = plain_init();
    init.secrets.push(secret_variable("BAD", "a\0b"));
    let refused = client.init(init).await;
    let refusal = Refusal::NulByte { name: "BAD".into() };
    assert!(matches!(&refused, Err(ClientError::Refused(found)) if *found == refusal));
}

#[tokio::test]
async fn secrets_are_masked_across_writes() {
    let container = Container::start();
    let mut init = plain_init();
    init.secrets.push(secret_variable("PASSWORD", "swordfish-12345"));
    init.masks.push(secret("another-value-678"));
    let mut client = container.ready(init).await;
    let script = "printf 'a swordf'; sleep 0.3; printf 'ish-12345 b another-value-678'";
    let (exit, kept) = run(&mut client, stage("build_script", script)).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0));
    assert_eq!(kept.text(), "a [MASKED] b [MASKED]");
}

/// Scripts that leave something behind which would hold a pipe or outlive the stage.
const LEAVERS: [&str; 4] = [
    "sleep 1000 & echo left",
    "setsid sleep 1000 & echo left",
    "nohup sleep 1000 > /dev/null 2>&1 & echo left",
    "(trap '' TERM HUP; setsid bash -c 'trap \"\" TERM HUP; sleep 1000 & sleep 1000' &) ; echo left",
];

async fn leaves_nothing(container: Container) {
    let mut client = container.ready(plain_init()).await;
    for script in LEAVERS {
        let start = tokio::time::Instant::now();
        let (exit, kept) = run(&mut client, stage("build_script", script)).await;
        let exit = exit.unwrap();
        assert_eq!((exit.status, exit.survivors), (ExitStatus::Code(0), false), "{script}");
        assert_eq!(kept.text(), "left\n", "{script}");
        assert!(start.elapsed() < Duration::from_secs(2), "{script}: {:?}", start.elapsed());
        let left: Vec<String> =
            container.descendants().into_iter().filter(|name| name != "longshore").collect();
        assert_eq!(left, Vec::<String>::new(), "{script}");
    }
}

#[tokio::test]
async fn a_stage_leaves_nothing_behind() {
    leaves_nothing(Container::start()).await;
}

#[tokio::test]
async fn a_stage_leaves_nothing_behind_under_pid_1() {
    leaves_nothing(Container::start_as_pid1()).await;
}

#[tokio::test]
async fn pid_1_sees_an_ordinary_container() {
    let container = Container::start_as_pid1();
    let mut client = container.ready(plain_init()).await;
    let (exit, kept) = run(&mut client, stage("build_script", "cat /proc/1/comm; exit 5")).await;
    assert_eq!((exit.unwrap().status, kept.text().as_str()), (ExitStatus::Code(5), "longshore\n"));
}

/// Cancels a stage once it is up.
async fn cancel(script: &str, signals: &[StageSignal]) -> (StageExit, String, Duration) {
    let container = Container::start();
    let mut client = container.ready(plain_init()).await;
    let (mut kept, mut told) = Kept::telling();
    let (controls, mut orders) = mpsc::channel(4);
    let following = async {
        let exit = client.exec(stage("build_script", script), &mut kept, &mut orders).await;
        (exit.unwrap(), kept.text(), tokio::time::Instant::now())
    };
    let cancelling = async {
        wait_for(&mut told, "up").await;
        for signal in signals {
            controls.send(*signal).await.unwrap();
        }
        tokio::time::Instant::now()
    };
    let both = async { tokio::join!(following, cancelling) };
    let ((exit, text, end), start) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    (exit, text, end - start)
}

#[tokio::test]
async fn a_trap_gets_its_time() {
    let script = "trap 'sleep 2; echo trapped; exit 3' TERM; echo up; while :; do sleep 0.1; done";
    let (exit, text, _) = cancel(script, &[StageSignal::Terminate]).await;
    assert_eq!((exit.status, exit.ended_by), (ExitStatus::Code(3), Some(EndedBy::Signal)));
    assert_eq!(text, "up\ntrapped\n");
}

#[tokio::test]
async fn a_stage_that_ignores_term_is_killed_after_ten_seconds() {
    let script = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    let (exit, _, lasted) = cancel(script, &[StageSignal::Terminate]).await;
    assert_eq!((exit.status, exit.ended_by), (ExitStatus::Signal(9), Some(EndedBy::Signal)));
    assert!(lasted > Duration::from_secs(9) && lasted < Duration::from_secs(13), "{lasted:?}");
}

#[tokio::test]
async fn a_kill_after_term_does_not_wait() {
    let script = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    let (exit, _, lasted) = cancel(script, &[StageSignal::Terminate, StageSignal::Kill]).await;
    assert_eq!(exit.status, ExitStatus::Signal(9));
    assert!(lasted < Duration::from_secs(5), "{lasted:?}");
}

#[tokio::test]
async fn a_stopped_process_gets_its_term_too() {
    let (exit, _, lasted) = cancel("echo up; kill -STOP $$", &[StageSignal::Terminate]).await;
    assert_eq!(exit.status, ExitStatus::Signal(15));
    assert!(lasted < Duration::from_secs(5), "{lasted:?}");
}
