//! What pulls that go on side by side write into the job log: one folded section around all of them, and
//! their progress together in few lines. It pulls nothing itself.

use std::cell::RefCell;
use std::io::Write;

use tokio::time::Instant;

use crate::engine::PullProgress;
use crate::joblog::JobLog;
use crate::joblog::progress::PullMeter;

/// The log of all pulls of one call.
pub struct PullLog<'a, W: Write> {
    log: RefCell<&'a mut JobLog<W>>,
    meter: RefCell<PullMeter>,
}

impl<'a, W: Write> PullLog<'a, W> {
    /// Writes to this log.
    pub fn new(log: &'a mut JobLog<W>) -> Self {
        Self { log: RefCell::new(log), meter: RefCell::default() }
    }

    /// Writes one line.
    pub fn line(&self, text: impl AsRef<str>) {
        self.log.borrow_mut().line(text);
    }

    /// A pull begins: the first opens the section, the last to end closes it.
    pub fn begin(&self, image: &str, title: &str) -> UnderWay<'_, 'a, W> {
        if self.meter.borrow_mut().begin(Instant::now(), image) {
            self.log.borrow_mut().section("pull", title);
        } else {
            self.line(title);
        }
        UnderWay { log: self, image: image.to_owned() }
    }

    /// A step of the pull of an image.
    pub fn step(&self, image: &str, step: PullProgress) {
        let bytes = step.bytes.filter(|_| step.status == "Downloading");
        let line = self.meter.borrow_mut().step(Instant::now(), image, (step.layer, bytes));
        if let Some(line) = line {
            self.line(line);
        }
    }
}

/// A pull that has not ended; it has when this is dropped, even if it was broken off.
pub struct UnderWay<'l, 'a, W: Write> {
    log: &'l PullLog<'a, W>,
    image: String,
}

impl<W: Write> Drop for UnderWay<'_, '_, W> {
    fn drop(&mut self) {
        if self.log.meter.borrow_mut().end(&self.image) {
            self.log.log.borrow_mut().end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn pulls_side_by_side_share_one_section() {
        let mut bytes = Vec::new();
        let mut log = JobLog::new(&mut bytes, || SystemTime::UNIX_EPOCH);
        let pulls = PullLog::new(&mut log);
        let first = pulls.begin("a:1", "Pulling a:1");
        let second = pulls.begin("b:1", "Pulling b:1");
        drop(first);
        pulls.line("Pulled b:1");
        drop(second);
        drop(pulls.begin("c:1", "Pulling c:1"));
        drop(log);
        let text = String::from_utf8(bytes).unwrap();
        let text = text.replace("\x1b[0K", "").replace("[collapsed=true]", "");
        assert_eq!(
            text,
            "section_start:0:longshore_pull\rPulling a:1\nPulling b:1\nPulled b:1\n\
             section_end:0:longshore_pull\r\n\
             section_start:0:longshore_pull_2\rPulling c:1\nsection_end:0:longshore_pull_2\r\n"
        );
    }
}
