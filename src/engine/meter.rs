//! Tells what a call's wall time was spent on. Of things that go on side by side the first in
//! [`Share`]'s order counts, so that the shares add up to the whole.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// At least one request to the engine is under way.
    Engine,
    /// Services are waited for.
    Services,
    /// A container's agent is at work for us.
    Agent,
    /// Secrets are fetched.
    Secrets,
}

const SHARES: usize = 4;

/// A running account, shared by those who spend.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Account>>);

#[derive(Debug, Default)]
struct Account {
    under_way: [usize; SHARES],
    spent: [Duration; SHARES],
    requests: usize,
    /// When the account was brought up to date.
    since: Option<Instant>,
}

impl Account {
    /// Books the time until now on the first share that is under way.
    fn settle(&mut self) {
        let now = Instant::now();
        let first = self.under_way.iter().position(|count| *count > 0);
        if let (Some(first), Some(since)) = (first, self.since) {
            self.spent[first] += now.duration_since(since);
        }
        self.since = Some(now);
    }
}

/// Counts until it is dropped.
#[derive(Debug)]
pub struct UnderWay {
    meter: Meter,
    share: Share,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.meter.change(|account| {
            let count = &mut account.under_way[self.share as usize];
            *count = count.saturating_sub(1);
        });
    }
}

impl Meter {
    /// From now on something of this share is under way.
    pub fn begin(&self, share: Share) -> UnderWay {
        self.change(|account| {
            account.under_way[share as usize] += 1;
            account.requests += usize::from(share == Share::Engine);
        });
        UnderWay { meter: self.clone(), share }
    }

    /// The time spent on a share so far.
    pub fn spent(&self, share: Share) -> Duration {
        let mut spent = Duration::ZERO;
        self.change(|account| spent = account.spent[share as usize]);
        spent
    }

    /// Requests to the engine so far.
    pub fn requests(&self) -> usize {
        let mut requests = 0;
        self.change(|account| requests = account.requests);
        requests
    }

    fn change(&self, change: impl FnOnce(&mut Account)) {
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        account.settle();
        change(&mut account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time that passes, seen by the meter's own clock.
    fn pass(time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn time_side_by_side_counts_once() {
        let (meter, step) = (Meter::default(), Duration::from_millis(2));
        let began = Instant::now();
        let secrets = meter.begin(Share::Secrets);
        let engine = (meter.begin(Share::Engine), meter.begin(Share::Engine));
        pass(step);
        drop(engine);
        pass(step);
        drop(secrets);
        pass(step);
        let whole = began.elapsed();
        let spent = [Share::Engine, Share::Secrets].map(|share| meter.spent(share));
        assert!(spent.iter().all(|spent| *spent >= step), "{spent:?}");
        assert!(spent[0] + spent[1] + step <= whole, "{spent:?} of {whole:?}");
        assert_eq!(meter.requests(), 2);
        assert_eq!(meter.spent(Share::Agent), Duration::ZERO);
    }
}
