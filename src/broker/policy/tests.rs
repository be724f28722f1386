//! Tests of the policy: what must never pass, what must work, and what becomes of it.

mod allowed;
mod attacks;
mod fuzz;
mod mutants;
mod recorded;
mod too_much;
