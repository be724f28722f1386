//! How long things took, counted in a few classes. Pure.

use serde::{Deserialize, Serialize};

/// The classes' upper bounds in seconds; what takes longer is in a last one.
pub const BOUNDS: [f64; 12] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// Counts by class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Those of each class alone, the last without a bound.
    counts: Vec<u64>,
    /// Seconds of all.
    pub sum: f64,
}

impl Histogram {
    /// Counts one; a duration that is none counts as 0.
    pub fn add(&mut self, seconds: f64) {
        let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
        self.counts.resize(BOUNDS.len() + 1, 0);
        let class = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[class] += 1;
        self.sum += seconds;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many took at most as long as each bound.
    pub fn upto(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.counts.iter().chain(std::iter::repeat(&0));
        BOUNDS.iter().zip(counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((*bound, *sum))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_class() {
        let mut times = Histogram::default();
        for seconds in [0.05, 0.06, 4000.0, f64::NAN, -1.0] {
            times.add(seconds);
        }
        let upto: Vec<u64> = times.upto().map(|(_, count)| count).collect();
        assert_eq!((upto[0], upto[1], upto[11], times.count()), (3, 4, 4, 5));
        assert!((times.sum - 4000.11).abs() < 1e-9);
        assert_eq!(Histogram::default().upto().map(|(_, count)| count).max(), Some(0));
    }
}
