//! The stand-in engine's own promises to the tests that use it: calls are recorded, troubles strike the
//! call they were ordered for, and what runs in a container is the test's choice.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use longshore::engine::{CachePrune, Engine, Fault, ImageFacts, Output};
use longshore::plan::container::{ContainerNetwork, ContainerPlan, Labels};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::container::plain;
use crate::support::fake_engine::FakeEngine;
use crate::support::fake_engine::process::ends;
use crate::support::fake_engine::script::{Call, Trouble, Verb};

fn engine() -> FakeEngine {
    let facts = ImageFacts { id: "sha256:1".to_owned(), ..ImageFacts::default() };
    FakeEngine::new().with_image("image:1", facts, Labels::new())
}

fn plan() -> ContainerPlan {
    ContainerPlan {
        name: "job".to_owned(),
        image: "image:1".to_owned(),
        network: ContainerNetwork::Named { name: "bridge".to_owned(), aliases: Vec::new() },
        labels: [("longshore.job".to_owned(), "1".to_owned())].into(),
        ..plain()
    }
}

/// Calls each method of the port once, and says which of them failed with which fault.
async fn each_once(engine: &FakeEngine) -> Vec<Option<Fault>> {
    fn fault<T>(answer: Result<T, longshore::engine::EngineError>) -> Option<Fault> {
        answer.err().map(|error| error.fault)
    }
    let labels = Labels::new();
    let prune = CachePrune { keep_bytes: 0, unused_for: Duration::ZERO };
    vec![
        fault(engine.ping().await),
        fault(engine.containers(None).await),
        fault(engine.image("image:1").await),
        fault(engine.pull("offered:1", None, None, &mut |_progress| ()).await),
        fault(engine.may_pull("image:1", None).await),
        fault(engine.images().await),
        fault(engine.create(&plan()).await),
        fault(engine.upload("job", "/", bytes::Bytes::new()).await),
        fault(engine.attach("job").await),
        fault(engine.start("job").await),
        fault(engine.inspect("job").await),
        fault(engine.exec("job", &[]).await),
        fault(engine.logs("job", None, false).await),
        fault(engine.remove_container("job").await),
        fault(engine.remove_image("image:1").await),
        fault(engine.create_network("slot", None, &labels).await),
        fault(engine.networks(Some("longshore")).await),
        fault(engine.gateway("slot").await),
        fault(engine.remove_network("slot").await),
        fault(engine.volumes("longshore").await),
        fault(engine.remove_volume("volume").await),
        fault(engine.data_root().await),
        fault(engine.disk_usage().await),
        fault(engine.prune_build_cache(&prune).await),
    ]
}

#[tokio::test]
async fn every_method_can_be_told_to_lose_its_answer() {
    let offered = ImageFacts { id: "sha256:2".to_owned(), ..ImageFacts::default() };
    let engine = engine().offering("offered:1", offered);
    for verb in Verb::ALL {
        engine.trouble(verb, 1, Trouble::FailAfter(Fault::Deadline));
    }
    assert_eq!(each_once(&engine).await, [Some(Fault::Deadline); 24]);
    assert_eq!(engine.unmet(), []);
    // All of it was done nevertheless: it ends as it began, but for the image pulled and the one removed.
    assert_eq!(engine.left("longshore.job=1"), [""; 0]);
    assert_eq!(engine.image("image:1").await.unwrap(), None);
    assert_eq!(engine.image("offered:1").await.unwrap().unwrap().id, "sha256:2");
}

#[tokio::test]
async fn a_trouble_strikes_the_call_it_was_ordered_for_and_leaves_nothing_done() {
    let engine = engine();
    engine.trouble(Verb::Create, 2, Trouble::Fail(Fault::Daemon));
    engine.trouble(Verb::Inspect, 1, Trouble::Hang);
    engine.create(&plan()).await.unwrap();
    let second = ContainerPlan { name: "helper".to_owned(), ..plan() };
    assert_eq!(engine.create(&second).await.unwrap_err().fault, Fault::Daemon);
    assert_eq!(engine.left("longshore.job"), ["job"]);
    assert_eq!(engine.unmet(), [(Verb::Inspect, 1)]);
    assert!(engine.inspect("job").now_or_never().is_none(), "the call was to hang");
    assert!(engine.inspect("job").now_or_never().is_some());
    let call = |verb, object: &str| Call { verb, object: object.to_owned() };
    let expected = [
        call(Verb::Create, "job"),
        call(Verb::Create, "helper"),
        call(Verb::Inspect, "job"),
        call(Verb::Inspect, "job"),
    ];
    assert_eq!(engine.calls(), expected);
    assert_eq!(engine.plans(), [plan()]);
}

#[tokio::test]
async fn a_launched_process_reads_speaks_on_both_streams_and_ends() {
    let engine = engine().launching(|plan, mut pipes| {
        assert_eq!(plan.name, "job");
        Box::pin(async move {
            let mut asked = [0; 4];
            pipes.stdin.read_exact(&mut asked).await.unwrap();
            pipes.stdout.write_all(&asked).await.unwrap();
            pipes.stderr.write_all(b"last words").await.unwrap();
            7
        })
    });
    engine.create(&plan()).await.unwrap();
    engine.start("job").await.unwrap();
    let mut speaker = engine.attach("job").await.unwrap();
    let listener = engine.attach("job").await.unwrap();
    // Half a word from one who hangs up, the rest from another: the process sees one stream.
    speaker.input.write_all(b"wo").await.unwrap();
    tokio::task::yield_now().await;
    drop(speaker);
    let mut other = engine.attach("job").await.unwrap();
    other.input.write_all(b"rd").await.unwrap();
    let mut heard: Vec<Output> = listener.output.map(Result::unwrap).collect().await;
    heard.sort_by_key(|output| matches!(output, Output::Stderr(_)));
    let expected = [Output::Stdout("word".into()), Output::Stderr("last words".into())];
    assert_eq!(heard, expected);
    let state = engine.inspect("job").await.unwrap().unwrap();
    assert_eq!((state.running, state.exit_code), (false, 7));
}

#[tokio::test]
async fn a_killed_process_hangs_up_on_its_listeners() {
    let engine = engine();
    engine.create(&plan()).await.unwrap();
    engine.start("job").await.unwrap();
    let mut attached = engine.attach("job").await.unwrap();
    engine.kill("job");
    assert!(attached.output.next().await.is_none());
    assert_eq!(engine.inspect("job").await.unwrap().unwrap().exit_code, 137);
}

#[tokio::test]
#[should_panic(expected = "contract: job was started twice")]
async fn a_second_start_is_a_breach() {
    let engine = engine().launching(|_plan, _pipes| ends(0));
    engine.create(&plan()).await.unwrap();
    engine.start("job").await.unwrap();
    drop(engine.start("job").await);
}

#[tokio::test]
async fn uploads_and_pulls_are_kept() {
    let engine = engine();
    engine.create(&plan()).await.unwrap();
    engine.upload("job", "/longshore", bytes::Bytes::from_static(b"tar")).await.unwrap();
    let expected = ("job".to_owned(), "/longshore".to_owned(), bytes::Bytes::from_static(b"tar"));
    assert_eq!(engine.uploads(), [expected]);
    let unknown = engine.pull("unknown:1", None, None, &mut |_progress| ()).await;
    assert_eq!(unknown.unwrap_err().fault, Fault::NoSuchImage);
}
