//! Waits until a job's services are ready, all at the same time, from inside the job's own network. What
//! is said about it is `service_report`'s business.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};

use crate::agent::protocol::{Probe, ProbeKind, ProbeTarget};
use crate::engine::{ContainerState, Engine, Fault, ImageFacts};
use crate::plan::{Check, Role};

use super::attach::{self, Agent};
use super::call::Call;
use super::error::CallError;
use super::pull::Ready;

/// How long is tried before it is looked whether the service still runs at all.
const ROUND: Duration = Duration::from_secs(1);

/// Time between two runs of a health check: each costs the daemon some 50 ms.
const CHECK_AGAIN: Duration = Duration::from_millis(200);

/// Ports of an image that are tried at most. Source: GitLab's executor.
const MOST_PORTS: usize = 20;

/// How a service stands when the waiting is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It answered after this time.
    Ready(Duration),
    /// It runs, and there is nothing to ask it.
    Unchecked,
    /// It ended.
    Died {
        /// With this code.
        code: i64,
        /// The kernel killed it for its memory.
        out_of_memory: bool,
    },
    /// It did not answer in time.
    NotReady {
        /// What the last try came to.
        problem: String,
    },
}

/// What a service is asked, once its image is known.
enum Question {
    Nothing,
    Command(Vec<String>),
    Network(ProbeKind),
}

fn question(check: &Check, image: &ImageFacts) -> Question {
    match check {
        Check::Tcp(port) => Question::Network(ProbeKind::Tcp(vec![*port])),
        Check::Http { port, path } => {
            Question::Network(ProbeKind::Http { port: *port, path: path.clone() })
        }
        Check::Image if !image.health_command.is_empty() => {
            Question::Command(image.health_command.clone())
        }
        Check::Image if image.ports.is_empty() => Question::Nothing,
        Check::Image => {
            let ports = image.ports.iter().take(MOST_PORTS).copied().collect();
            Question::Network(ProbeKind::Tcp(ports))
        }
    }
}

/// One service that is waited for.
struct Waiting {
    name: String,
    question: Question,
    problem: String,
    outcome: Option<Readiness>,
}

/// Waits for all services of a job whose images are these, in the plan's order.
///
/// # Errors
/// Ours: the engine or the agent does not answer.
pub async fn wait<E: Engine>(
    call: &Call<'_>,
    engine: &E,
    images: &[Ready],
) -> Result<Vec<Readiness>, CallError> {
    let services = call.plan.services.iter().zip(images).enumerate();
    let mut all: Vec<Waiting> = services
        .map(|(index, (service, image))| Waiting {
            name: call.plan.service_name(index),
            question: question(&service.check, &image.facts),
            problem: "it was not asked in time".to_owned(),
            outcome: None,
        })
        .collect();
    let asks = |one: &Waiting| matches!(one.question, Question::Network(_));
    let mut agent = None;
    if all.iter().any(asks) {
        agent = Some(attach::open(engine, &call.plan.container_name(Role::Job)).await?.0);
    }
    let began = Instant::now();
    let deadline = began + Duration::from_secs(call.plan.services_timeout_seconds);
    while all.iter().any(|one| one.outcome.is_none()) {
        round(engine, agent.as_mut(), &mut all, Span { began, deadline }).await?;
    }
    Ok(all.into_iter().filter_map(|one| one.outcome).collect())
}

/// When the waiting began, and when it ends.
#[derive(Clone, Copy)]
struct Span {
    began: Instant,
    deadline: Instant,
}

impl Span {
    /// When it is looked again who still runs; a last round is no shorter than half a usual one.
    fn next_look(self) -> Instant {
        let next = Instant::now() + ROUND;
        if next + ROUND / 2 < self.deadline { next } else { self.deadline }
    }
}

/// Looks who still runs, and asks those.
async fn round<E: Engine>(
    engine: &E,
    agent: Option<&mut Agent>,
    all: &mut [Waiting],
    span: Span,
) -> Result<(), CallError> {
    let mut pending: Vec<&mut Waiting> =
        all.iter_mut().filter(|one| one.outcome.is_none()).collect();
    let states = join_all(pending.iter().map(|one| engine.inspect(&one.name))).await;
    let late = Instant::now() >= span.deadline;
    let until = span.next_look();
    let (mut commands, mut targets) = (Vec::new(), Vec::new());
    for (one, state) in pending.iter_mut().zip(states) {
        let state = state?;
        one.outcome = standing(state.as_ref(), one, late);
        let address = state.and_then(|state| state.address);
        match (&one.question, address) {
            _ if one.outcome.is_some() => {}
            (Question::Network(kind), Some(address)) => {
                targets.push((ProbeTarget { address, kind: kind.clone() }, &mut **one));
            }
            (Question::Network(_), None) => "it has no address".clone_into(&mut one.problem),
            _ => commands.push(&mut **one),
        }
    }
    let probed = probe(agent, targets, until, span.began);
    let checked = join_all(commands.into_iter().map(|one| check(engine, one, until, span.began)));
    tokio::join!(probed, checked).0
}

/// What can be said without asking.
fn standing(state: Option<&ContainerState>, one: &Waiting, late: bool) -> Option<Readiness> {
    match state {
        Some(state) if state.running => match one.question {
            Question::Nothing => Some(Readiness::Unchecked),
            _ => late.then(|| Readiness::NotReady { problem: one.problem.clone() }),
        },
        Some(state) => {
            Some(Readiness::Died { code: state.exit_code, out_of_memory: state.oom_killed })
        }
        None => Some(Readiness::NotReady { problem: "somebody removed it".to_owned() }),
    }
}

async fn probe(
    agent: Option<&mut Agent>,
    targets: Vec<(ProbeTarget, &mut Waiting)>,
    until: Instant,
    began: Instant,
) -> Result<(), CallError> {
    let Some(agent) = agent.filter(|_| !targets.is_empty()) else { return Ok(()) };
    let (targets, asked): (Vec<_>, Vec<_>) = targets.into_iter().unzip();
    let within = until.saturating_duration_since(Instant::now());
    let answers = agent.probe(Probe { targets, within }).await?;
    for (one, answer) in asked.into_iter().zip(answers) {
        match answer {
            None => one.outcome = Some(Readiness::Ready(began.elapsed())),
            Some(problem) => one.problem = problem,
        }
    }
    Ok(())
}

/// Runs the image's own health check until it is content; Docker itself would run it first after its
/// interval, which is 30 s where the image says nothing.
async fn check<E: Engine>(engine: &E, one: &mut Waiting, until: Instant, began: Instant) {
    let Question::Command(command) = &one.question else { return };
    loop {
        match timeout_at(until.max(Instant::now() + ROUND), engine.exec(&one.name, command)).await {
            Ok(Ok(0)) => return one.outcome = Some(Readiness::Ready(began.elapsed())),
            Ok(Ok(code)) => one.problem = format!("its health check ends with {code}"),
            // It has ended; the next look at it says so.
            Ok(Err(error)) if error.fault == Fault::Conflict => return,
            Ok(Err(error)) => one.problem = format!("its health check: {}", error.cause),
            Err(_elapsed) => "its health check does not end".clone_into(&mut one.problem),
        }
        if Instant::now() + CHECK_AGAIN >= until {
            return;
        }
        sleep(CHECK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(check: &Check, ports: &[u16], command: &[&str]) -> Question {
        let health_command = command.iter().map(ToString::to_string).collect();
        question(
            check,
            &ImageFacts { ports: ports.to_vec(), health_command, ..ImageFacts::default() },
        )
    }

    #[test]
    fn the_jobs_word_comes_before_the_health_check_and_that_before_ports() {
        let tcp = asked(&Check::Tcp(80), &[5432], &["true"]);
        assert!(matches!(tcp, Question::Network(ProbeKind::Tcp(ports)) if ports == [80]));
        let command = asked(&Check::Image, &[5432], &["pg_isready"]);
        assert!(matches!(command, Question::Command(command) if command == ["pg_isready"]));
        let ports = asked(&Check::Image, &[1, 2], &[]);
        assert!(matches!(ports, Question::Network(ProbeKind::Tcp(ports)) if ports == [1, 2]));
        assert!(matches!(asked(&Check::Image, &[], &[]), Question::Nothing));
    }
}
