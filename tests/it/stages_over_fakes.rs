//! The conductors over the stand-in engine: each call of it fails once, before and after its effect, in
//! each stage of a job's life, and nothing of the job is left afterwards.

use std::collections::BTreeSet;

use longshore::engine::{Engine as _, Fault};
use longshore::outcome::Outcome;
use longshore::stage::error::CallError;

use crate::support::fake_engine::script::{Call, Trouble, Verb};
use crate::support::stages::{Life, OF_A_JOB, SECRET};

/// A whole life: what each part came to, as far as it got.
async fn live(life: &Life) -> Vec<(&'static str, Result<(), CallError>)> {
    let mut parts = vec![("prepare", life.prepare().await)];
    if parts[0].1.is_ok() {
        let stages = [("get_sources", "echo sources"), ("build_script", "echo \"key=$KEY\"")];
        for (stage, script) in stages.into_iter().chain([("cleanup_file_variables", "true")]) {
            parts.push((stage, life.run(stage, script).await.map(drop)));
        }
    } else {
        // A prepare that fails leaves nothing for a cleanup that may never come, but for a filler whose
        // very removal failed.
        let left = life.engine.left(OF_A_JOB);
        assert!(left.iter().all(|name| name.ends_with("-filler")), "{left:?}: {parts:?}");
    }
    parts.push(("cleanup", life.cleanup().await.map(drop)));
    parts
}

#[tokio::test]
async fn a_life_without_trouble() {
    let life = Life::new();
    for (part, outcome) in live(&life).await {
        assert!(outcome.is_ok(), "{part}: {outcome:?}");
    }
    let told = life.log.text();
    for line in ["sources\n", "key=[MASKED]\n", "prunes registry.example/group/project:test"] {
        assert!(told.contains(line), "no {line:?} in:\n{told}");
    }
    assert!(!told.contains(SECRET));
    assert_eq!(life.engine.left(OF_A_JOB), Vec::<String>::new());
    // What belongs to the host stays for the next job; of idle slots no more than jobs run at once.
    life.spare_slot().await;
    assert_eq!(life.engine.left("longshore.kind=slot"), ["longshore-slot-0", "longshore-slot-1"]);
    life.reap().await.unwrap();
    assert_eq!(life.engine.left("longshore.kind=slot"), ["longshore-slot-0"]);
    assert_eq!(life.engine.left("longshore.kind=agent").len(), 1);
}

#[tokio::test]
async fn no_secret_is_in_what_the_engine_is_told() {
    let life = Life::new();
    live(&life).await;
    let plans = format!("{:?}", life.engine.plans());
    assert!(plans.contains(OF_A_JOB));
    assert!(!plans.contains(SECRET));
}

/// Calls of a life without trouble, each with its number among those of its verb.
async fn calls_of_a_life() -> Vec<(Verb, usize, String)> {
    let life = Life::new();
    live(&life).await;
    let calls: Vec<Call> = life.engine.calls();
    let number = |at: usize| calls[..=at].iter().filter(|one| one.verb == calls[at].verb).count();
    (0..calls.len()).map(|at| (calls[at].verb, number(at), calls[at].object.clone())).collect()
}

#[tokio::test]
async fn each_call_fails_once_and_nothing_is_left() {
    let mut swept = BTreeSet::new();
    for (verb, nth, object) in Box::pin(calls_of_a_life()).await {
        for trouble in [Trouble::Fail(Fault::Daemon), Trouble::FailAfter(Fault::Daemon)] {
            let context = format!("{verb:?} number {nth} ({object}): {trouble:?}");
            let life = Life::new();
            life.engine.trouble(verb, nth, trouble);
            for (part, outcome) in live(&life).await {
                let tolerated =
                    outcome.as_ref().map_or_else(CallError::outcome, |()| Outcome::Success);
                let fault = matches!(tolerated, Outcome::Success | Outcome::SystemFault);
                assert!(fault, "{context}: {part}: {outcome:?}");
            }
            assert_eq!(life.engine.unmet(), [], "{context}");
            // What a cleanup could not remove is the next one's, or reap's.
            life.cleanup().await.unwrap_or_else(|error| panic!("{context}: {error}"));
            life.reap().await.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(life.engine.left(OF_A_JOB), Vec::<String>::new(), "{context}");
            assert_eq!(life.engine.containers(None).await.unwrap(), [], "{context}");
            swept.insert(verb);
        }
    }
    let used = [
        Verb::Containers,
        Verb::Image,
        Verb::Pull,
        Verb::Images,
        Verb::RemoveImage,
        Verb::Create,
        Verb::Start,
        Verb::Attach,
        Verb::RemoveContainer,
        Verb::Networks,
        Verb::CreateNetwork,
        Verb::RemoveNetwork,
        Verb::RemoveVolume,
        Verb::Upload,
    ];
    assert_eq!(swept, used.into());
}

#[tokio::test]
async fn a_filler_goes_though_its_creation_seems_to_fail() {
    let life = Life::new();
    life.engine.trouble(Verb::Create, 2, Trouble::FailAfter(Fault::Daemon));
    life.prepare().await.unwrap_err();
    assert_eq!(life.engine.unmet(), []);
    assert_eq!(life.engine.containers(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_filler_that_could_not_be_removed_is_reaped() {
    let life = Life::new();
    life.engine.trouble(Verb::RemoveContainer, 2, Trouble::Fail(Fault::Daemon));
    life.prepare().await.unwrap_err();
    let left = life.engine.left("longshore.kind=filler");
    assert_eq!(left, [life.container().replace("-job", "-filler")]);
    life.reap().await.unwrap();
    assert_eq!(life.engine.containers(None).await.unwrap(), []);
}

#[tokio::test]
async fn a_cleanup_says_what_it_could_not_remove() {
    let life = Life::new();
    life.prepare().await.unwrap();
    let nth = 1 + life.engine.calls().iter().filter(|one| one.verb == Verb::RemoveVolume).count();
    life.engine.trouble(Verb::RemoveVolume, nth, Trouble::Fail(Fault::Conflict));
    let error = life.cleanup().await.unwrap_err();
    let left = life.engine.left(OF_A_JOB);
    assert_eq!(left.len(), 1);
    assert!(error.to_string().contains(&left[0]), "{error} {left:?}");
}

#[tokio::test]
async fn reap_meets_trouble_and_the_next_one_finishes() {
    for verb in [
        Verb::Containers,
        Verb::Networks,
        Verb::Volumes,
        Verb::RemoveContainer,
        Verb::RemoveNetwork,
        Verb::RemoveVolume,
    ] {
        for trouble in [Trouble::Fail(Fault::Daemon), Trouble::FailAfter(Fault::Daemon)] {
            let life = Life::new();
            life.prepare().await.unwrap();
            life.spare_slot().await;
            let nth = 1 + life.engine.calls().iter().filter(|call| call.verb == verb).count();
            life.engine.trouble(verb, nth, trouble);
            let first = life.reap().await;
            let second = life.reap().await;
            assert!(first.is_err() || second.is_err(), "{verb:?} {trouble:?}");
            life.reap().await.unwrap();
            assert_eq!(life.engine.unmet(), [], "{verb:?} {trouble:?}");
            assert_eq!(life.engine.left(OF_A_JOB), Vec::<String>::new(), "{verb:?} {trouble:?}");
            assert_eq!(life.engine.left("longshore.kind=slot"), ["longshore-slot-0"]);
        }
    }
}

#[tokio::test]
async fn reap_leaves_a_slot_that_a_job_took_meanwhile() {
    let life = Life::new();
    life.prepare().await.unwrap();
    life.cleanup().await.unwrap();
    life.spare_slot().await;
    let nth = 1 + life.engine.calls().iter().filter(|one| one.verb == Verb::RemoveNetwork).count();
    life.engine.trouble(Verb::RemoveNetwork, nth, Trouble::Fail(Fault::Conflict));
    life.reap().await.unwrap();
    assert_eq!(life.engine.unmet(), []);
    assert_eq!(life.engine.left("longshore.kind=slot").len(), 2);
}

/// Kills the job's container once its script runs.
async fn killed_during_a_stage(life: &Life) -> Result<Outcome, CallError> {
    life.prepare().await.unwrap();
    let kill = async {
        while !life.log.text().contains("begun") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        life.engine.kill(&life.container());
    };
    tokio::join!(life.run("build_script", "echo begun; sleep 300"), kill).0
}

#[tokio::test]
async fn a_container_that_ends_during_a_stage_is_our_fault() {
    let life = Life::new();
    let error = killed_during_a_stage(&life).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::SystemFault);
    assert!(error.to_string().contains("ended during the stage with 137"), "{error}");
    life.cleanup().await.unwrap();
    assert_eq!(life.engine.left(OF_A_JOB), Vec::<String>::new());
}

#[tokio::test]
async fn a_daemon_that_fails_to_tell_of_an_ended_container_is_asked_again() {
    let life = Life::new();
    life.engine.trouble(Verb::Inspect, 1, Trouble::Fail(Fault::Daemon));
    let error = killed_during_a_stage(&life).await.unwrap_err();
    assert_eq!(life.engine.unmet(), []);
    assert!(error.to_string().contains("ended during the stage with 137"), "{error}");
}
