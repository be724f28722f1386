//! What may be left of a job in a drill, and why it may.

use std::ops::RangeInclusive;

use super::{LOGIN_LINE, is_of_file};
use crate::support::kill_points::{Point, Side};

/// What may be left.
pub(super) struct Allowed {
    /// Tokens of the server's.
    pub(super) tokens: RangeInclusive<usize>,
    /// The runner's.
    pub(super) directories: usize,
    /// Those of the runner's directories that have gone: a worker that is done before its runner leaves them to
    /// the next reap.
    pub(super) notes: bool,
}

impl Allowed {
    /// By a job without trouble, and no reap after it.
    pub(super) fn undisturbed() -> Self {
        Self { tokens: 0..=0, directories: 0, notes: true }
    }

    /// By who was killed at this point, after one reap.
    pub(super) fn by(point: &Point, side: Side) -> Self {
        Self { tokens: unheard(point, side), directories: unnoted(point), notes: false }
    }
}

/// How many tokens may be left that nobody but the server knows of, as their answer never came: their time to
/// live ends them. The login is made while images are got ready.
fn unheard(point: &Point, side: Side) -> RangeInclusive<usize> {
    match point.request.as_str() {
        LOGIN_LINE if side == Side::After => 1..=1,
        request if point.call == "prepare" && request.contains("/images/") => 0..=1,
        // Of the files, only its own tells whether it came.
        "write run/tokens" | "delete run/tokens" => 0..=0,
        request if point.call == "prepare" && is_of_file(request) => 0..=1,
        _ => 0..=0,
    }
}

/// How many directories of the runner are left that nobody has noted down: as many as when it is killed before
/// it calls anybody.
fn unnoted(point: &Point) -> usize {
    let begins = point.request.starts_with("make ") || point.request.starts_with("open ");
    usize::from(point.call == "config" && begins)
}
