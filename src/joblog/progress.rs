//! How far pulls are, in lines that are few: bytes, rate and time left, at most one line in five seconds
//! for all pulls together. It is told of each step and decides only whether a line is due.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// Least time between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Adds the layers' bytes up and says when a line is due.
#[derive(Debug, Default)]
pub struct PullMeter {
    pulls: BTreeMap<String, Pull>,
    told: Option<Instant>,
}

#[derive(Debug)]
struct Pull {
    /// Bytes so far and in all.
    layers: HashMap<String, (u64, u64)>,
    began: Instant,
    /// How many pull this image: a job's and the operator's by other rules.
    count: usize,
}

impl PullMeter {
    /// The pull of an image begins; whether it is the only one.
    pub fn begin(&mut self, now: Instant, image: &str) -> bool {
        let alone = self.pulls.is_empty();
        let new = || Pull { layers: HashMap::new(), began: now, count: 0 };
        self.pulls.entry(image.to_owned()).or_insert_with(new).count += 1;
        self.told.get_or_insert(now);
        alone
    }

    /// The pull of an image has ended, well or not; whether it was the last.
    pub fn end(&mut self, image: &str) -> bool {
        let Some(pull) = self.pulls.get_mut(image) else { return false };
        pull.count -= 1;
        if pull.count == 0 {
            self.pulls.remove(image);
        }
        self.pulls.is_empty()
    }

    /// A layer of an image, with its bytes so far and in all where the step tells them; answers a line
    /// about all pulls where one is due.
    pub fn step(
        &mut self,
        now: Instant,
        image: &str,
        (layer, bytes): (String, Option<(u64, u64)>),
    ) -> Option<String> {
        if let (Some(pull), Some(bytes)) = (self.pulls.get_mut(image), bytes) {
            pull.layers.insert(layer, bytes);
        }
        let told = *self.told.get_or_insert(now);
        let known = self.pulls.iter().filter(|(_, pull)| !pull.layers.is_empty());
        let lines: Vec<String> = known.map(|(image, pull)| pull.line(now, image)).collect();
        if now.duration_since(told) < EVERY || lines.is_empty() {
            return None;
        }
        self.told = Some(now);
        Some(lines.join("; "))
    }
}

impl Pull {
    fn line(&self, now: Instant, image: &str) -> String {
        let sum = |pick: fn(&(u64, u64)) -> u64| self.layers.values().map(pick).sum();
        let (done, all) = (sum(|layer| layer.0), sum(|layer| layer.1));
        format!("{image}: {}", line(done, all, now.duration_since(self.began)))
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
        let mut meter = PullMeter::default();
        assert!(meter.begin(began, "a") && !meter.begin(began, "b"));
        let mut lines = Vec::new();
        for second in 0..=20 {
            let now = began + Duration::from_secs(second);
            for image in ["a", "b"] {
                let layer = (second % 3).to_string();
                lines.extend(meter.step(
                    now,
                    image,
                    (layer, Some((second * 1_000_000, 60_000_000))),
                ));
            }
        }
        assert_eq!(lines.len(), 4, "{lines:?}");
        let both = "a: 12.0 of 180.0 MB, 2.4 MB/s, about 70 s left; b: 9.0 of 180.0 MB, 1.8 MB/s, ";
        assert!(lines[0].starts_with(both), "{lines:?}");
        assert!(!meter.end("a") && meter.end("b"));
    }
}
