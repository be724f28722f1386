//! A cancel reaches a running job: TERM, then the stages that clean up, then `cleanup`.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use longshore::pipeline::console::Console;
use longshore::pipeline::job_run::{Caller, Ending, JobRun};
use longshore::pipeline::model::AllowFailure;
use longshore::pipeline::source::Source;
use longshore::pipeline::spec::{JobSpec, PipelineFacts};
use longshore::pipeline::{predefined, yaml};
use tokio::sync::watch;

use super::local_support::{HOST_DRIVER, Place};

/// Cancels once a job has said so.
struct CancelOn {
    word: &'static str,
    cancel: watch::Sender<bool>,
}

impl Write for CancelOn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        if text.lines().any(|line| line.ends_with(&format!("| {}", self.word))) {
            self.cancel.send_replace(true);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn facts(place: &Place) -> PipelineFacts {
    PipelineFacts {
        source: Source::read(&place.args(), &place.world()).unwrap(),
        project: "group/project".to_owned(),
        project_id: 1,
        pipeline_id: 2,
        pipeline_iid: 3,
        server_url: "http://127.0.0.1:1".to_owned(),
        created_at: String::new(),
        given: Vec::new(),
    }
}

#[tokio::test]
async fn a_cancelled_job_still_runs_its_after_script() {
    let file = r#"{"stages": ["test"], "unit": {"stage": "test", "variables": {"GIT_STRATEGY": "none"},
        "script": ["echo ready", "sleep 600"], "after_script": ["echo after"]}}"#;
    let place = Place::new(file, HOST_DRIVER);
    let job = yaml::parse(file, "ci.yml").unwrap().jobs.remove(0);
    let pipeline = yaml::parse(file, "ci.yml").unwrap();
    let facts = facts(&place);
    let naming = predefined::Naming { facts: &facts, job: &job, id: 9, token: "t" };
    let spec = JobSpec {
        variables: predefined::all(&naming, &pipeline, &job.variables, &[]),
        job: job.clone(),
        id: 9,
        token: "t".to_owned(),
        dependencies: Vec::new(),
        timeout: Duration::from_mins(5),
        allow_failure: AllowFailure::No,
    };
    let (cancel, cancelled) = watch::channel(false);
    let console = Console::new(Box::new(CancelOn { word: "ready", cancel }), false, 0);
    let caller = Caller { world: place.world(), settings: place.path("none"), facts, cancelled };
    let run =
        JobRun::new(Arc::new(caller), spec, console.job("unit", 0), &place.path("tmp")).unwrap();
    let report = run.run().await;
    assert_eq!(report.ending, Ending::Cancelled);
    let calls = place.read("calls.unit");
    let last: Vec<_> =
        calls.lines().rev().take(4).map(|line| line.split(' ').next_back().unwrap()).collect();
    assert_eq!(last, ["cleanup", "cleanup_file_variables", "after_script", "build_script"]);
    assert_eq!(place.read("status.after_script"), "canceled\n");
    place.assert_nothing_left();
}
