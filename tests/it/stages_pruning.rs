//! The prune over the stand-in engine: whatever fails while it is carried out, the next reap or cleanup
//! finishes it, and `latest` is what it was.

use std::time::{Duration, SystemTime};

use longshore::engine::{Engine as _, Fault, ImageFacts};
use longshore::host::last_use::{Kind, LastUse};
use longshore::host::ledger::{Event, Ledger};
use longshore::plan::container::Labels;
use longshore::world::unix;

use crate::support::fake_engine::script::{Trouble, Verb};
use crate::support::stages::Life;

const TEST: &str = "registry.example/group/project:test";
const LATEST: &str = "registry.example/group/project:latest";

async fn delivered(life: &Life) {
    life.prepare().await.unwrap();
    for (stage, script) in [("build_script", "true"), ("cleanup_file_variables", "true")] {
        life.run(stage, script).await.unwrap();
    }
}

async fn is_there(life: &Life, reference: &str) -> bool {
    life.engine.image(reference).await.unwrap().is_some()
}

fn calls(life: &Life, verb: Verb) -> usize {
    life.engine.calls().iter().filter(|one| one.verb == verb).count()
}

#[tokio::test]
async fn the_job_plans_and_its_cleanup_carries_out() {
    let life = Life::new();
    Box::pin(delivered(&life)).await;
    assert!(is_there(&life, TEST).await);
    assert_eq!(calls(&life, Verb::RemoveImage), 0);
    life.cleanup().await.unwrap();
    assert!(!is_there(&life, TEST).await);
    assert!(is_there(&life, LATEST).await);
}

#[tokio::test]
async fn an_engine_that_fails_during_the_prune_is_asked_again_by_reap() {
    for (verb, trouble) in [
        (Verb::RemoveImage, Trouble::Fail(Fault::Unreachable)),
        (Verb::RemoveImage, Trouble::FailAfter(Fault::Deadline)),
        (Verb::Image, Trouble::Fail(Fault::Daemon)),
    ] {
        let life = Life::new();
        Box::pin(delivered(&life)).await;
        life.engine.trouble(verb, calls(&life, verb) + 1, trouble);
        let error = life.cleanup().await.unwrap_err();
        assert_eq!(life.engine.unmet(), [], "{verb:?} {trouble:?} {error}");
        life.reap().await.unwrap();
        assert!(!is_there(&life, TEST).await, "{verb:?} {trouble:?}");
        assert!(is_there(&life, LATEST).await);
        let asked = life.engine.calls().len();
        life.reap().await.unwrap();
        // It is done: nobody looks for it any more.
        let again = &life.engine.calls()[asked..];
        let looks = again.iter().filter(|one| one.verb == Verb::Images).count();
        assert_eq!(looks, 1, "the reap's own: {again:?}");
    }
}

#[tokio::test]
async fn what_is_in_use_or_gone_by_then_is_no_failure() {
    for gone in [false, true] {
        let life = Life::new();
        Box::pin(delivered(&life)).await;
        if gone {
            life.engine.remove_image(TEST).await.unwrap();
        } else {
            life.engine.trouble(Verb::RemoveImage, 1, Trouble::Fail(Fault::Conflict));
        }
        life.cleanup().await.unwrap();
        assert_eq!(life.engine.unmet(), []);
        assert_eq!(is_there(&life, TEST).await, !gone);
        assert!(is_there(&life, LATEST).await);
    }
}

#[tokio::test]
async fn a_latest_that_is_another_image_afterwards_is_told_loudly() {
    let life = Life::new();
    Box::pin(delivered(&life)).await;
    life.engine.remove_image(LATEST).await.unwrap();
    let error = life.cleanup().await.unwrap_err().to_string();
    let told =
        format!("WARNING: {LATEST} was sha256:latest before the prune, and is gone after it");
    assert!(error.contains(&told), "{error}");
}

/// How an image came to be here, though it was made long ago.
#[derive(Debug, Clone, Copy)]
enum Came {
    Tagged,
    Used,
    Pulled,
    Unseen,
}

const HOUR: Duration = Duration::from_hours(1);

/// A delivery where nothing may go that was touched within an hour; `test` came so long ago.
async fn rested(came: Came, ago: Duration) -> Life {
    rested_for("1h", came, ago).await
}

async fn rested_for(min_age: &str, came: Came, ago: Duration) -> Life {
    let life = Life::with(&format!("[prune]\nmin_age = \"{min_age}\"\n"));
    let then = SystemTime::now() - ago;
    let tagged = matches!(came, Came::Tagged).then(|| unix(then));
    let facts = ImageFacts { id: "sha256:old".into(), tagged, ..ImageFacts::default() };
    life.engine.remove_image(TEST).await.unwrap();
    let _handle = life.engine.clone().with_image(TEST, facts, Labels::new());
    match came {
        Came::Tagged | Came::Unseen => {}
        Came::Used => {
            let record = LastUse::at(&life.settings().state_dir);
            record.note(Kind::Image, "sha256:old", then).unwrap();
        }
        Came::Pulled => {
            let pulled = Event::Pulled {
                job: "1-another",
                image: TEST,
                image_id: "sha256:old",
                size: 1,
                seconds: 1.0,
            };
            Ledger::at(&life.settings().state_dir).append(&pulled, then).unwrap();
        }
    }
    life
}

#[tokio::test]
async fn an_old_image_goes_by_when_it_came_and_not_by_when_it_was_made() {
    for came in [Came::Tagged, Came::Used, Came::Pulled] {
        for (ago, stays) in [(HOUR / 2, true), (HOUR * 2, false)] {
            let life = rested(came, ago).await;
            Box::pin(delivered(&life)).await;
            life.cleanup().await.unwrap();
            assert_eq!(is_there(&life, TEST).await, stays, "{came:?} {ago:?}");
            let told = life.log.text().contains("used within min_age");
            assert_eq!(told, stays, "{came:?} {ago:?} {}", life.log.text());
            assert!(is_there(&life, LATEST).await);
        }
    }
    // By somebody whom nobody saw: it counts from now on.
    let life = rested(Came::Unseen, HOUR * 2).await;
    Box::pin(delivered(&life)).await;
    life.cleanup().await.unwrap();
    assert!(is_there(&life, TEST).await);
    let record = LastUse::at(&life.settings().state_dir);
    assert!(record.of(Kind::Image, "sha256:old").unwrap() > SystemTime::now() - HOUR / 2);
}

/// What asks for no age costs no request more.
#[tokio::test]
async fn without_min_age_no_image_is_asked_for_its_age() {
    let life = Life::new();
    life.prepare().await.unwrap();
    life.run("build_script", "true").await.unwrap();
    let asked = calls(&life, Verb::Image);
    life.run("cleanup_file_variables", "true").await.unwrap();
    assert_eq!(calls(&life, Verb::Image), asked);
}

/// Planned, and then used once more before the worker comes to it.
#[tokio::test]
async fn what_is_used_after_the_plan_stays() {
    let life = rested(Came::Used, HOUR * 2).await;
    Box::pin(delivered(&life)).await;
    assert!(life.log.text().contains(&format!("prunes {TEST}")), "{}", life.log.text());
    let record = LastUse::at(&life.settings().state_dir);
    record.note(Kind::Image, "sha256:old", SystemTime::now()).unwrap();
    life.cleanup().await.unwrap();
    assert!(is_there(&life, TEST).await);
    let ledger = std::fs::read_to_string(life.settings().state_dir.join("ledger.jsonl")).unwrap();
    assert!(ledger.contains("tagged or used meanwhile"), "{ledger}");
}

/// By an hour, both ways: what was just used stays, and what waits for its time has it an hour later at most.
#[tokio::test]
async fn a_clock_that_jumps_takes_nothing_that_was_just_used() {
    let clocks: [fn() -> SystemTime; 2] =
        [|| SystemTime::now() + HOUR, || SystemTime::now() - HOUR];
    for came in [Came::Used, Came::Pulled, Came::Tagged] {
        for (clock, ago, stays) in [
            (clocks[0], Duration::ZERO, true),
            (clocks[1], Duration::ZERO, true),
            (clocks[1], HOUR * 2, true),
            (clocks[1], HOUR * 3, false),
        ] {
            let mut life = rested_for("90m", came, ago).await;
            life.clock(clock);
            Box::pin(delivered(&life)).await;
            life.cleanup().await.unwrap();
            assert_eq!(is_there(&life, TEST).await, stays, "{came:?} {ago:?}");
            assert!(is_there(&life, LATEST).await);
        }
    }
}
