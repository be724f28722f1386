//! Renewing of a job's kept tokens and their leases while its stages run. Decides when; ends nothing.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::VaultSettings;
use super::client::{Failed, Session};
use super::failure::Failure;
use super::kept::{self, Kept, Term};
use super::lifetime::{Keeping, of_job, resume};

/// Where nothing can be renewed now, or the server did not answer: when it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Renews the job's tokens and leases, each when a third of its term is over; never returns. A job that
/// keeps none costs one look into a directory. `tell` hears what cannot be renewed.
pub(super) async fn renew(
    settings: &VaultSettings,
    keeping: &Keeping,
    mut tell: impl FnMut(String),
) -> Infallible {
    let mut last_told = String::new();
    loop {
        let mine = of_job(&keeping.run_dir, &keeping.holder.job);
        let due = mine.iter().flat_map(|(_, kept)| terms(kept)).filter_map(Term::due_unix).min();
        let Some(due) = due else { std::future::pending().await };
        let wait = Duration::from_secs(due.saturating_sub(keeping.now_unix()));
        if !wait.is_zero() {
            // In small steps: the wall clock may be set meanwhile.
            sleep(wait.min(LOOK_AGAIN)).await;
            continue;
        }
        for (path, kept) in mine {
            if let Err(problem) = renew_one(settings, keeping, &path, kept).await {
                if problem != last_told {
                    tell(problem.clone());
                }
                last_told = problem;
                sleep(LOOK_AGAIN).await;
            }
        }
    }
}

fn terms(kept: &Kept) -> Vec<Term> {
    kept.leases.iter().map(|lease| lease.term).chain([kept.term]).collect()
}

/// Renews what is due of one token, and writes down what came of it.
async fn renew_one(
    settings: &VaultSettings,
    keeping: &Keeping,
    path: &Path,
    mut kept: Kept,
) -> Result<(), String> {
    let now = keeping.now_unix();
    let (session, _) = resume(settings, &kept, now)?;
    let is_due = |term: Term| term.due_unix().is_some_and(|due| due <= now);
    let mut problems = Vec::new();
    if is_due(kept.term) {
        let answer = session.post("auth/token/renew-self", &json!({})).await;
        let answer = answer.map(|mut answer| answer["auth"].take());
        let what = "the Vault token, which ends with all that is leased";
        let extended = extend(&mut kept.term, now, answer, &session);
        problems.extend(extended.err().map(|why| unrenewed(what, &why)));
    }
    for lease in kept.leases.iter_mut().filter(|lease| is_due(lease.term)) {
        let body = json!({"lease_id": lease.id});
        let answer = session.post("sys/leases/renew", &body).await;
        let what = format!("the secret {}", lease.name);
        let extended = extend(&mut lease.term, now, answer, &session);
        problems.extend(extended.err().map(|why| unrenewed(&what, &why)));
    }
    kept::rewrite(path, &kept)
        .map_err(|error| format!("{} cannot be written ({error})", path.display()))?;
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn unrenewed(what: &str, why: &str) -> String {
    format!("cannot renew {what}: {why}")
}

/// Takes over the new term. One that the server refuses, or does not make longer, is not asked for again.
fn extend(
    term: &mut Term,
    now: u64,
    answer: Result<Value, Failed>,
    session: &Session<'_>,
) -> Result<(), String> {
    match answer {
        Ok(answer) => {
            let seconds = answer["lease_duration"].as_u64().unwrap_or_default();
            let ends = term.ends_unix();
            let renewable = answer["renewable"].as_bool().unwrap_or_default();
            let longer = now.saturating_add(seconds) > ends;
            *term = Term { since_unix: now, seconds, renewable: renewable && longer };
            if longer { Ok(()) } else { Err(format!("it ends in {seconds} s for good")) }
        }
        Err(failed) => {
            let refused = matches!(failed.failure, Failure::Status { code: 400 | 403 | 404, .. });
            term.renewable &= !refused;
            let left = term.ends_unix().saturating_sub(now);
            Err(format!("{}; it ends in {left} s", session.words(&failed.failure)))
        }
    }
}
