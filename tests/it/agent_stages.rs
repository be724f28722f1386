//! What a stage sees and how it ends, over the real agent.

use longshore::agent::protocol::ExitStatus;

use crate::agent_support::{Container, plain_init, run, stage};

#[tokio::test]
async fn a_stage_gives_its_output_and_its_code() {
    let container = Container::start();
    let mut client = container.ready(plain_init()).await;
    let (exit, kept) = run(
        &mut client,
        stage("build_script", "echo out; echo err >&2; exit 37"),
    )
    .await;
    assert_eq!(exit.unwrap().status, ExitStatus::Code(37));
    assert_eq!(kept.stdout, b"out\n");
    assert_eq!(kept.stderr, b"err\n");
}
