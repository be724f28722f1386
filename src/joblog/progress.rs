//! How far a pull is, in lines that are few: bytes, rate and time left, at most one line in five seconds.
//! It is told of each step and decides only whether a line is due.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Least time between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Adds the layers' bytes up and says when a line is due.
#[derive(Debug)]
pub struct PullMeter {
    layers: HashMap<String, (u64, u64)>,
    began: Instant,
    told: Instant,
}

impl PullMeter {
    /// Begins now.
    pub fn new(now: Instant) -> Self {
        Self { layers: HashMap::new(), began: now, told: now }
    }

    /// A layer's bytes so far and in all, where the step tells them; answers a line where one is due.
    pub fn step(
        &mut self,
        now: Instant,
        layer: String,
        bytes: Option<(u64, u64)>,
    ) -> Option<String> {
        if let Some(bytes) = bytes {
            self.layers.insert(layer, bytes);
        }
        if now.duration_since(self.told) < EVERY || self.layers.is_empty() {
            return None;
        }
        self.told = now;
        let sum = |pick: fn(&(u64, u64)) -> u64| self.layers.values().map(pick).sum();
        Some(line(sum(|layer| layer.0), sum(|layer| layer.1), now.duration_since(self.began)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people, to one decimal")]
fn line(done: u64, all: u64, elapsed: Duration) -> String {
    let mega = |bytes: u64| bytes as f64 / 1e6;
    let rate = mega(done) / elapsed.as_secs_f64().max(0.001);
    let left = if rate > 0.0 { mega(all.saturating_sub(done)) / rate } else { 0.0 };
    format!("{:.1} of {:.1} MB, {rate:.1} MB/s, about {left:.0} s left", mega(done), mega(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_bytes_rate_and_time_left() {
        assert_eq!(
            line(30_000_000, 90_000_000, Duration::from_secs(10)),
            "30.0 of 90.0 MB, 3.0 MB/s, about 20 s left"
        );
        assert_eq!(line(0, 0, Duration::ZERO), "0.0 of 0.0 MB, 0.0 MB/s, about 0 s left");
    }

    #[test]
    fn there_is_at_most_one_line_in_five_seconds() {
        let began = Instant::now();
        let mut meter = PullMeter::new(began);
        let mut lines = 0;
        for second in 0..=20 {
            let now = began + Duration::from_secs(second);
            let layer = (second % 3).to_string();
            lines += usize::from(meter.step(now, layer, Some((second, 20))).is_some());
        }
        assert_eq!(lines, 4);
    }
}
