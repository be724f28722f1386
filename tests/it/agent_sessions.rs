//! Several drivers at one agent: who may do what, and what survives a driver's death.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use longshore::agent::client::{Client, ClientError, StageSink};
use longshore::agent::frame::Channel;
use longshore::agent::protocol::{EndedBy, ExitStatus, Refusal, StageRecord, StageSignal};
use tokio::sync::{Notify, mpsc};

use crate::agent_support::{
    Container, Kept, PATIENCE, TestClient, plain_init, run, secret, session, stage, wait_for,
};

/// A stage that says when it is up and goes on until told.
const WAITS: &str = "echo up; read -r word < \"$FIFO\"; echo \"heard $word\"";

fn fifo() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    (directory, path.to_str().unwrap().to_owned())
}

/// Polls the agent until no stage runs.
async fn until_idle(client: &mut TestClient, patience: Duration) {
    let idle = async {
        while client.stat().await.unwrap().running.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(patience, idle).await.expect("the stage ends in time");
}

#[tokio::test]
async fn init_is_done_once_and_comes_before_any_stage() {
    let container = Container::start();
    let (mut client, hello) = container.connect().await;
    assert!(!hello.initialised);
    let (exit, _) = run(&mut client, stage("build_script", "true")).await;
    assert!(matches!(exit, Err(ClientError::Refused(Refusal::NotInitialised))), "{exit:?}");
    let mut init = plain_init();
    init.masks.push(secret("hush"));
    client.init(init).await.unwrap();
    let again = client.init(plain_init()).await;
    assert!(matches!(again, Err(ClientError::AlreadyInitialised)), "{again:?}");
    let (mut other, hello) = container.connect().await;
    assert!(hello.initialised);
    assert_eq!(hello.masks, [secret("hush")]);
    let again = other.init(plain_init()).await;
    assert!(matches!(again, Err(ClientError::AlreadyInitialised)), "{again:?}");
}

#[tokio::test]
async fn a_hello_with_more_than_one_frame_of_masks_arrives_whole() {
    let container = Container::start();
    let mut init = plain_init();
    init.masks = (0..20u8).map(|n| secret(vec![n + 1; 10_000])).collect();
    let masks = init.masks.clone();
    container.ready(init).await;
    let (_, hello) = container.connect().await;
    assert_eq!(hello.masks, masks);
}

#[tokio::test]
async fn a_second_attach_neither_steals_nor_stops_a_stage() {
    let container = Container::start();
    let mut first = container.ready(plain_init()).await;
    let (_directory, fifo) = fifo();
    let mut exec = stage("build_script", WAITS);
    exec.env.push(("FIFO".into(), fifo.clone()));
    let (mut kept, mut told) = Kept::telling();
    let (_controls, mut orders) = mpsc::channel(1);
    let following = async {
        let exit = first.exec(exec, &mut kept, &mut orders).await.unwrap();
        (exit, kept.text())
    };
    let meddling = async {
        wait_for(&mut told, "up").await;
        let (mut second, hello) = container.connect().await;
        assert_eq!(hello.running.as_deref(), Some("build_script"));
        let (exit, output) = run(&mut second, stage("after_script", "echo stolen")).await;
        let busy = Refusal::Busy { stage: "build_script".into() };
        assert!(matches!(exit, Err(ClientError::Refused(refusal)) if refusal == busy));
        assert_eq!(output.text(), "");
        let signalled = second.signal(StageSignal::Kill).await;
        let not_yours = Refusal::NotYours { stage: "build_script".into() };
        assert!(matches!(signalled, Err(ClientError::Refused(refusal)) if refusal == not_yours));
        drop(second);
        tokio::fs::write(&fifo, "hello\n").await.unwrap();
    };
    let ((exit, text), ()) = tokio::join!(following, meddling);
    assert_eq!((exit.status, exit.ended_by), (ExitStatus::Code(0), None));
    assert_eq!(text, "up\nheard hello\n");
}

#[tokio::test]
async fn a_takeover_ends_the_stage_and_leaves_the_container_usable() {
    let container = Container::start();
    let mut first = container.ready(plain_init()).await;
    let (mut kept, mut told) = Kept::telling();
    let (_controls, mut orders) = mpsc::channel(1);
    let exec = stage("build_script", "echo up; sleep 1000");
    let following = async { first.exec(exec, &mut kept, &mut orders).await.unwrap() };
    let taking = async {
        wait_for(&mut told, "up").await;
        let (mut second, _) = container.connect().await;
        second.takeover().await.unwrap();
        let stat = second.stat().await.unwrap();
        assert_eq!(stat.running, None);
        let record = StageRecord { stage: "build_script".into(), code: 128 + 15 };
        assert_eq!(stat.stages, [record]);
        let (exit, kept) = run(&mut second, stage("after_script", "echo after")).await;
        assert_eq!(exit.unwrap().status, ExitStatus::Code(0));
        assert_eq!(kept.text(), "after\n");
        second.takeover().await.unwrap(); // nothing runs: nothing to do
    };
    let (exit, ()) = tokio::join!(following, taking);
    assert_eq!(exit.ended_by, Some(EndedBy::Takeover));
}

#[tokio::test]
async fn a_new_driver_sees_nothing_of_a_dead_ones_output() {
    let container = Container::start();
    let mut first = container.ready(plain_init()).await;
    let (mut kept, mut told) = Kept::telling();
    let (_controls, mut orders) = mpsc::channel(1);
    let exec = stage("build_script", "while :; do echo OLDOLDOLD; done");
    tokio::select! {
        exit = first.exec(exec, &mut kept, &mut orders) => panic!("ended: {exit:?}"),
        () = wait_for(&mut told, "OLD") => {}
    }
    drop(first); // killed in the middle of a frame
    let (mut second, hello) = container.connect().await;
    assert_eq!(hello.running.as_deref(), Some("build_script"));
    second.takeover().await.unwrap();
    let (exit, kept) = run(&mut second, stage("after_script", "echo new")).await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0));
    assert_eq!((kept.text().as_str(), kept.stderr.as_slice()), ("new\n", b"".as_slice()));
}

/// Runs a stage, loses the attach at the first output, and takes it up over a new one.
async fn resumed(script: &str, wait_for_end: bool) -> (ExitStatus, Vec<u8>) {
    let container = Container::start();
    let mut first = container.ready(plain_init()).await;
    let (mut kept, mut told) = Kept::telling();
    let (_controls, mut orders) = mpsc::channel(1);
    let (lost, ()) =
        tokio::join!(first.exec(stage("build_script", script), &mut kept, &mut orders), async {
            wait_for(&mut told, "1").await;
            container.hang_up();
        });
    assert!(matches!(lost, Err(ClientError::Gone)), "{lost:?}");
    let (mut second, _) = container.connect().await;
    if wait_for_end {
        until_idle(&mut second, PATIENCE).await;
    }
    let resumed = second.resume(first.position(), &mut kept, &mut orders);
    let exit = tokio::time::timeout(PATIENCE, resumed).await.unwrap().unwrap();
    (exit.status, kept.stdout)
}

#[tokio::test]
async fn a_lost_attach_is_taken_up_without_a_gap_or_a_double_byte() {
    let (status, output) = resumed("seq 1 700000; exit 4", false).await;
    let numbers: Vec<String> = (1..=700_000).map(|n| n.to_string()).collect();
    let expected = numbers.join("\n") + "\n";
    assert_eq!(status, ExitStatus::Code(4));
    assert!(output == expected.as_bytes(), "{} of {} bytes", output.len(), expected.len());
}

#[tokio::test]
async fn a_stage_that_ended_while_nobody_was_attached_is_told_late() {
    let (status, output) = resumed("echo 1; sleep 1; echo 2; exit 5", true).await;
    assert_eq!((status, output.as_slice()), (ExitStatus::Code(5), b"1\n2\n".as_slice()));
}

#[tokio::test]
async fn a_stage_whose_driver_falls_silent_ends_after_half_a_minute() {
    let container = Container::start();
    let mut first = container.ready(plain_init()).await;
    let (mut kept, mut told) = Kept::telling();
    let (_controls, mut orders) = mpsc::channel(1);
    let exec = stage("build_script", "echo up; sleep 1000");
    tokio::select! {
        exit = first.exec(exec, &mut kept, &mut orders) => panic!("ended: {exit:?}"),
        () = wait_for(&mut told, "up") => {}
    }
    let position = first.position();
    drop(first);
    let silent_since = tokio::time::Instant::now();
    let (mut second, _) = container.connect().await;
    until_idle(&mut second, PATIENCE).await;
    let lasted = silent_since.elapsed();
    assert!(lasted > Duration::from_secs(28) && lasted < Duration::from_secs(36), "{lasted:?}");
    let exit = second.resume(position, &mut kept, &mut orders).await.unwrap();
    assert_eq!(exit.ended_by, Some(EndedBy::Silence));
}

/// Takes one piece, then nothing until the gate opens.
struct Stalled<'a> {
    gate: &'a Notify,
    taken: usize,
}

impl StageSink for Stalled<'_> {
    async fn write(&mut self, _: Channel, bytes: Bytes) -> io::Result<()> {
        if self.taken == 0 {
            self.gate.notified().await;
        }
        self.taken += bytes.len();
        Ok(())
    }
}

#[tokio::test]
async fn a_stalled_consumer_stops_neither_pings_nor_a_cancel() {
    let container = Container::start();
    let mut first = container.ready(plain_init()).await;
    let gate = Notify::new();
    let mut stalled = Stalled { gate: &gate, taken: 0 };
    let (controls, mut orders) = mpsc::channel(1);
    let following =
        first.exec(stage("build_script", "exec cat /dev/zero"), &mut stalled, &mut orders);
    let watching = async {
        let (mut second, _) = container.connect().await;
        // Longer than the agent bears silence.
        tokio::time::sleep(Duration::from_secs(33)).await;
        let running = second.stat().await.unwrap().running;
        assert_eq!(running.as_deref(), Some("build_script"), "its pings went on");
        controls.send(StageSignal::Terminate).await.unwrap();
        // The stage's process is gone though its output is still undelivered.
        let alive = || container.descendants().iter().any(|name| name == "cat");
        while alive() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        gate.notify_one();
    };
    let (exit, ()) =
        tokio::time::timeout(PATIENCE * 2, async { tokio::join!(following, watching) })
            .await
            .unwrap();
    assert_eq!(exit.unwrap().ended_by, Some(EndedBy::Signal));
    assert!(stalled.taken >= 2 * 1024 * 1024, "the window's content arrived: {}", stalled.taken);
}

#[tokio::test]
async fn a_container_that_stops_ends_its_drivers_wait() {
    let mut container = Container::start();
    let mut client = container.ready(plain_init()).await;
    let (mut kept, mut told) = Kept::telling();
    let (_controls, mut orders) = mpsc::channel(1);
    let exec = stage("build_script", "echo up; sleep 1000");
    let (exit, status) = tokio::join!(client.exec(exec, &mut kept, &mut orders), async {
        wait_for(&mut told, "up").await;
        container.signal(rustix::process::Signal::TERM);
        container.ended().await
    });
    assert!(matches!(exit, Err(ClientError::Gone)), "{exit:?}");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn an_agent_that_says_nothing_runs_into_the_deadline() {
    let (input, _kept_open) = tokio::io::duplex(1024);
    let silent = futures_util::stream::pending::<io::Result<Bytes>>();
    let after = Duration::from_millis(50);
    let connected = Client::connect(silent, input, session(), after).await.map(|_| ());
    assert!(matches!(connected, Err(ClientError::Deadline { verb: "hello", .. })), "{connected:?}");
}
