//! What the name of a file in the queue says: all there is to say of a place. It touches no file.

use std::time::Duration;

use crate::plan::admission::Weight;

/// What the name of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order of coming.
    pub number: u64,
    /// When its job's first `prepare` came, since the boot.
    pub first: Duration,
    /// Whether it was let in; its container may not be there yet.
    pub admitted: bool,
    /// What its job may use.
    pub weight: Weight,
    /// The job.
    pub key: String,
}

impl Entry {
    pub(super) fn name(&self) -> String {
        let (first, Weight { memory_bytes, nano_cpus }) = (self.first.as_millis(), self.weight);
        let state = if self.admitted { "in" } else { "waits" };
        let (number, key) = (self.number, &self.key);
        format!("{number}.{first}.{state}.{memory_bytes}.{nano_cpus}.{key}")
    }

    /// `None` for a file that is none of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.splitn(6, '.');
        let mut part = || parts.next();
        let number = part()?.parse().ok()?;
        let first = Duration::from_millis(part()?.parse().ok()?);
        let admitted = match part()? {
            "in" => true,
            "waits" => false,
            _ => return None,
        };
        let (memory_bytes, nano_cpus) = (part()?.parse().ok()?, part()?.parse().ok()?);
        let weight = Weight { memory_bytes, nano_cpus };
        let key = part().filter(|key| !key.is_empty())?.to_owned();
        Some(Self { number, first, admitted, weight, key })
    }
}
