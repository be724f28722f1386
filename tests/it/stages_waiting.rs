//! A job that waits for its place, over the stand-in engine and by a clock of the test's own: how often it
//! says so, how long it waits in all, and that no clock that is set changes either.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use longshore::engine::{Engine as _, Fault, ImageFacts};
use longshore::plan::container::{ContainerPlan, Labels};
use longshore::stage::admission::Pace;
use longshore::stage::error::CallError;

use crate::support::container::plain;
use crate::support::fake_engine::script::{Trouble, Verb};
use crate::support::real::assert_says;
use crate::support::stages::Life;

const RUNNING: &str = "longshore-9-00000000-job";

/// A clock that stands still but for this much each time that somebody looks at it.
const TICK: u64 = 100;

/// A job that waits behind one that runs, by this clock.
struct Waiting {
    life: Life,
    clock: &'static AtomicU64,
    pace: Pace,
}

/// A clock for one test alone: what reads it can be no closure.
macro_rules! pace {
    () => {{
        static CLOCK: AtomicU64 = AtomicU64::new(1_000_000);
        let since_boot: fn() -> io::Result<Duration> =
            || Ok(Duration::from_millis(CLOCK.fetch_add(TICK, Ordering::Relaxed)));
        (&CLOCK, Pace { since_boot, look_again: Duration::from_micros(100) })
    }};
}

impl Waiting {
    async fn new((clock, pace): (&'static AtomicU64, Pace), wait: &str) -> Self {
        let life = Life::with(&format!("[admission]\nmax_jobs = 1\nwait = \"{wait}\"\n"));
        let facts = ImageFacts { id: "sha256:b".into(), ..ImageFacts::default() };
        let engine = life.engine.clone().with_image("running:1", facts, Labels::new());
        let labels = [("longshore.kind", "job"), ("longshore.job", "9-00000000")];
        let plan = ContainerPlan {
            name: RUNNING.into(),
            image: "running:1".into(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..plain()
        };
        engine.create(&plan).await.unwrap();
        Self { life, clock, pace }
    }

    /// Waits; answers how that ended, and each line with the second it was written in.
    async fn enter(&self) -> (Result<(), CallError>, Vec<(u64, String)>) {
        let lines = Lines { clock: self.clock, written: Arc::default() };
        let began = self.clock.load(Ordering::Relaxed);
        let entered = self.life.enter(self.pace, lines.clone()).await;
        let written = lines.written.lock().unwrap().clone();
        (entered, written.into_iter().map(|(at, line)| ((at - began) / 1000, line)).collect())
    }

    fn passed(&self) -> Duration {
        Duration::from_millis(self.clock.load(Ordering::Relaxed))
    }
}

/// What is written, with the time of the clock.
#[derive(Clone)]
struct Lines {
    clock: &'static AtomicU64,
    written: Arc<Mutex<Vec<(u64, String)>>>,
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes).into_owned();
        self.written.lock().unwrap().push((self.clock.load(Ordering::Relaxed), line));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_place_is_told_every_15_seconds_and_the_wait_ends_when_it_may() {
    let waiting = Waiting::new(pace!(), "70s").await;
    let (entered, lines) = waiting.enter().await;
    let told: Vec<u64> = lines.iter().map(|(at, _)| *at).collect();
    assert_eq!(told, [0, 15, 30, 45, 60], "{lines:?}");
    for (_, line) in &lines {
        assert_says(line, &["longshore: waiting for a place on this host: number 1 of 1 in the"]);
        assert_says(line, &["queue; 1 jobs run, and no more may (admission.max_jobs)\n"]);
    }
    let error = entered.unwrap_err();
    assert!(matches!(error, CallError::System { .. }), "{error}");
    assert_says(
        &error.to_string(),
        &[
            "there was no place for this job on this host for 1m 10s (admission.wait): number 1",
            "set in the job: retry: {max: 2, when: runner_system_failure}",
        ],
    );
}

#[tokio::test]
async fn the_wait_counts_from_the_jobs_first_try() {
    let waiting = Waiting::new(pace!(), "60s").await;
    let began = waiting.passed();
    // Its first try dies 40 seconds on, as by a signal, and the runner takes 15 for its next.
    let first = async {
        while waiting.passed() < began + Duration::from_secs(40) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = waiting.enter() => panic!("{:?}", ended.0),
        () = first => {}
    }
    waiting.clock.fetch_add(15_000, Ordering::Relaxed);
    let again = waiting.passed();
    let (entered, lines) = waiting.enter().await;
    assert_says(&entered.unwrap_err().to_string(), &["for 1m (admission.wait)"]);
    let waited = waiting.passed().saturating_sub(again);
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    // And a third try has no time left, but there may be room.
    assert_says(&waiting.enter().await.0.unwrap_err().to_string(), &["(admission.wait)"]);
    waiting.life.engine.remove_container(RUNNING).await.unwrap();
    waiting.enter().await.0.unwrap();
}

/// By an hour, both ways, while it waits and between two tries.
#[tokio::test]
async fn a_clock_that_jumps_makes_no_wait_longer_or_shorter() {
    let mut waiting = Waiting::new(pace!(), "60s").await;
    let clocks: [fn() -> SystemTime; 2] = [
        || SystemTime::now() + Duration::from_hours(1),
        || SystemTime::now() - Duration::from_hours(1),
    ];
    let began = waiting.passed();
    for (clock, seconds) in clocks.into_iter().zip([20, 40]) {
        waiting.life.clock(clock);
        tokio::select! {
            ended = waiting.enter() => panic!("{:?}", ended.0),
            () = async {
                while waiting.passed() < began + Duration::from_secs(seconds) {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
    }
    waiting.life.clock(SystemTime::now);
    assert_says(&waiting.enter().await.0.unwrap_err().to_string(), &["for 1m (admission.wait)"]);
    let waited = waiting.passed().saturating_sub(began);
    assert!(waited < Duration::from_secs(62), "{waited:?}");
}

/// What waits already goes on waiting while the daemon is restarted.
#[tokio::test]
async fn an_engine_that_is_away_for_a_while_costs_no_place() {
    for fault in [Fault::NoSocket, Fault::Unreachable, Fault::Deadline] {
        let waiting = Waiting::new(pace!(), "60s").await;
        for look in 20..200 {
            waiting.life.engine.trouble(Verb::Containers, look, Trouble::Fail(fault));
        }
        let mut entering = std::pin::pin!(waiting.enter());
        let back = async {
            while waiting.life.engine.calls().len() < 220 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = &mut entering => panic!("{fault:?} {:?}", ended.0),
            () = back => {}
        }
        // Back again, and the job that ran has ended.
        waiting.life.engine.remove_container(RUNNING).await.unwrap();
        let (entered, lines) = entering.await;
        entered.unwrap();
        assert_says(
            &lines[1].1,
            &["number 1 of 1 in the queue; ", "the test ordered this failure"],
        );
        assert_says(&lines.last().unwrap().1, &["longshore: waited "]);
    }
}

/// Nothing is known of it yet, and the job's next step would fail as well.
#[tokio::test]
async fn an_engine_that_is_not_there_at_first_is_told_at_once() {
    let waiting = Waiting::new(pace!(), "60s").await;
    waiting.life.engine.trouble(Verb::Containers, 1, Trouble::Fail(Fault::NoSocket));
    let (entered, lines) = waiting.enter().await;
    assert_says(&entered.unwrap_err().to_string(), &["the test ordered this failure"]);
    assert_eq!(lines, []);
    // What the daemon cannot do does not go by itself.
    waiting.life.engine.trouble(Verb::Containers, 5, Trouble::Fail(Fault::Daemon));
    let (entered, _) = waiting.enter().await;
    assert_says(&entered.unwrap_err().to_string(), &["the test ordered this failure"]);
}
