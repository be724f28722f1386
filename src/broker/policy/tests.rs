//! Tests of the policy: what must never pass, what must work, and what becomes of it.

mod allowed;
mod attacks;
mod fuzz;
mod mounts;
mod mutants;
mod others;
mod published;
mod recorded;
mod too_much;

/// Mutants of one test run; `LONGSHORE_BROKER_MUTANTS` says otherwise.
fn cases() -> usize {
    let given = std::env::var("LONGSHORE_BROKER_MUTANTS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(100_000)
}
