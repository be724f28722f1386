//! From bytes to people: what a job's author reads in the job log. Everything of ours that goes there
//! passes the job's masks. It decides nothing and knows no engine.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::SystemTime;

use crate::secrets::MaskSet;

pub mod keepalive;
pub mod masks;
pub mod output;
pub mod phrase;
pub mod progress;

/// The job log of one call: lines and folded sections, masked.
pub struct JobLog<W: Write> {
    out: W,
    masks: MaskSet,
    clock: fn() -> SystemTime,
    open: Vec<String>,
    /// Stands before the names of sections, as other calls have sections of the same names.
    scope: String,
    /// How often each name was used: GitLab folds sections of one name together.
    used: BTreeMap<&'static str, usize>,
}

impl<W: Write> JobLog<W> {
    /// Starts a log without masks; `clock` stamps the sections.
    pub fn new(out: W, clock: fn() -> SystemTime) -> Self {
        Self {
            out,
            masks: MaskSet::new(Vec::new()),
            clock,
            open: Vec::new(),
            scope: String::new(),
            used: BTreeMap::new(),
        }
    }

    /// Names the sections to come after this stage.
    pub fn scope(&mut self, stage: &str) {
        self.scope = format!("{stage}_");
    }

    /// Masks these from now on.
    pub fn mask(&mut self, masks: MaskSet) {
        self.masks = masks;
    }

    /// Writes one line.
    pub fn line(&mut self, text: impl AsRef<str>) {
        let mut masked = self.masks.mask(text.as_ref().as_bytes());
        masked.push(b'\n');
        self.write(&masked);
    }

    /// Opens a folded section; it is closed by [`JobLog::end`] or when the log is dropped.
    ///
    /// Source: GitLab's "custom collapsible sections"; names must be unique in a job, so they carry our
    /// prefix and, from the second on, a number, and the runner's own sections may enclose ours.
    pub fn section(&mut self, name: &'static str, title: &str) {
        let count = self.used.entry(name).or_default();
        *count += 1;
        let number = if *count == 1 { String::new() } else { format!("_{count}") };
        let name = format!("{}{name}{number}", self.scope);
        let title = String::from_utf8_lossy(&self.masks.mask(title.as_bytes())).into_owned();
        let start = format!(
            "\x1b[0Ksection_start:{}:longshore_{name}[collapsed=true]\r\x1b[0K{title}\n",
            self.now()
        );
        self.write(start.as_bytes());
        self.open.push(name);
    }

    /// Closes the section opened last.
    pub fn end(&mut self) {
        if let Some(name) = self.open.pop() {
            let end = format!("\x1b[0Ksection_end:{}:longshore_{name}\r\x1b[0K\n", self.now());
            self.write(end.as_bytes());
        }
    }

    /// Closes all that are open, where work was broken off in the middle of one.
    pub fn end_all(&mut self) {
        while !self.open.is_empty() {
            self.end();
        }
    }

    fn now(&self) -> u64 {
        (self.clock)().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// A job log that nobody reads any more is no reason to stop: the runner has its own way to tell us.
    fn write(&mut self, bytes: &[u8]) {
        let written: io::Result<()> = self.out.write_all(bytes).and_then(|()| self.out.flush());
        drop(written);
    }
}

impl<W: Write> Drop for JobLog<W> {
    fn drop(&mut self) {
        self.end_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(7)
    }

    #[test]
    fn two_sections_of_one_kind_have_two_names() {
        let mut bytes = Vec::new();
        let mut log = JobLog::new(&mut bytes, clock);
        for _ in 0..2 {
            log.section("pull", "Pulling");
            log.end();
        }
        drop(log);
        let text = String::from_utf8(bytes).unwrap();
        for name in
            ["start:7:longshore_pull[", "end:7:longshore_pull\r", "start:7:longshore_pull_2["]
        {
            assert_eq!(text.matches(name).count(), 1, "{name} in {text:?}");
        }
    }

    #[test]
    fn an_open_section_is_closed_when_the_log_goes() {
        let mut bytes = Vec::new();
        {
            let mut log = JobLog::new(&mut bytes, clock);
            log.section("pull", "Pulling");
            log.line("layer");
        }
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "\x1b[0Ksection_start:7:longshore_pull[collapsed=true]\r\x1b[0KPulling\nlayer\n\
             \x1b[0Ksection_end:7:longshore_pull\r\x1b[0K\n"
        );
    }
}
