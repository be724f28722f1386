//! Which failures are worth another try, and how long to wait before it. Pure.

use std::time::Duration;

use super::failure::Failure;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a request does when it is sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeating {
    /// The same as once.
    Harmless,
    /// It is not to happen twice: only where nothing was sent.
    Never,
    /// It may use up a secret id: if it is not known whether the first one arrived, once more at most.
    Costs,
}

/// Whether to try again after the `tries`-th try (counted from 1) failed so.
pub(super) fn again(failure: &Failure, repeating: Repeating, tries: u32) -> bool {
    match failure {
        Failure::Status { code, .. } => {
            repeating != Repeating::Never
                && matches!(code, 412 | 429 | 472 | 473 | 500 | 502 | 503 | 504)
        }
        // Nothing was sent.
        Failure::Connect { .. } => true,
        Failure::Timeout | Failure::Broken { .. } => match repeating {
            Repeating::Harmless => true,
            Repeating::Never => false,
            Repeating::Costs => tries < 2,
        },
        Failure::Tls { .. } | Failure::TlsRefused { .. } | Failure::Malformed { .. } => false,
    }
}

/// Full jitter: anything from nothing to a pause that doubles with each try. `random` is any number.
pub(super) fn pause(tries: u32, random: u32) -> Duration {
    let most = FIRST_PAUSE.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_PAUSE);
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> Failure {
        Failure::Status { code, errors: Vec::new(), body: serde_json::Value::Null }
    }

    #[test]
    fn statuses() {
        for code in [412, 429, 472, 473, 500, 502, 503, 504] {
            assert!(again(&status(code), Repeating::Costs, 9), "{code}");
        }
        for code in [301, 307, 400, 401, 403, 404, 405, 413, 501] {
            assert!(!again(&status(code), Repeating::Harmless, 1), "{code}");
        }
    }

    #[test]
    fn transport() {
        let certificate = Failure::Tls { words: String::new() };
        assert!(!again(&certificate, Repeating::Harmless, 1));
        assert!(!again(&Failure::Malformed { words: "" }, Repeating::Harmless, 1));
        assert!(again(&Failure::Connect { words: String::new() }, Repeating::Costs, 9));
        for lost in [Failure::Timeout, Failure::Broken { words: String::new() }] {
            assert!(again(&lost, Repeating::Harmless, 9));
            assert!(again(&lost, Repeating::Costs, 1));
            assert!(!again(&lost, Repeating::Costs, 2));
        }
    }

    #[test]
    fn what_must_not_happen_twice() {
        let never = |failure: &Failure| !again(failure, Repeating::Never, 1);
        for code in [412, 429, 472, 473, 500, 502, 503, 504] {
            assert!(never(&status(code)), "{code}");
        }
        assert!(never(&Failure::Timeout) && never(&Failure::Broken { words: String::new() }));
        assert!(!never(&Failure::Connect { words: String::new() }));
    }

    #[test]
    fn pauses_double_to_a_limit() {
        let most = |tries| pause(tries, u32::MAX);
        assert_eq!(
            [1, 2, 3, 4, 5].map(most).map(|pause| pause.as_millis()),
            [250, 500, 1000, 2000, 4000]
        );
        assert_eq!(most(6), LONGEST_PAUSE);
        assert_eq!(most(1000), LONGEST_PAUSE);
        assert_eq!(pause(5, 0), Duration::ZERO);
    }
}
