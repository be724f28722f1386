//! The prune over the stand-in engine: whatever fails while it is carried out, the next reap or cleanup
//! finishes it, and `latest` is what it was.

use longshore::engine::{Engine as _, Fault};

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
        assert!(again.iter().all(|one| one.verb != Verb::Images), "{again:?}");
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
