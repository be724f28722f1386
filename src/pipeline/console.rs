//! Lines of several jobs on one stream, each with its job's name in front.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use crate::secrets::{MaskSet, Masker, Secret};

/// Foreground colours of job names, one job after another.
const COLOURS: [u8; 6] = [36, 35, 34, 33, 32, 96];

/// The stream that all jobs write to.
#[derive(Clone)]
pub struct Console {
    out: Arc<Mutex<Box<dyn Write + Send>>>,
    colour: bool,
    width: usize,
}

impl Console {
    /// Writes to `out`; `width` is that of the longest name.
    pub fn new(out: Box<dyn Write + Send>, colour: bool, width: usize) -> Self {
        Self { out: Arc::new(Mutex::new(out)), colour, width }
    }

    /// Whether colours may be used.
    pub fn colour(&self) -> bool {
        self.colour
    }

    /// A line of ours, under nobody's name.
    pub fn line(&self, text: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that went away is no reason to leave jobs behind.
        drop(writeln!(out, "{text}").and_then(|()| out.flush()));
    }

    /// Raw bytes, under nobody's name.
    pub fn bytes(&self, bytes: &[u8]) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        drop(out.write_all(bytes).and_then(|()| out.flush()));
    }

    /// The lines of one job; `index` chooses its colour.
    pub fn job(&self, name: &str, index: usize) -> JobLines {
        let name = format!("{name:width$} | ", width = self.width);
        let prefix = if self.colour {
            format!("\x1b[{}m{name}\x1b[0m", COLOURS[index % COLOURS.len()])
        } else {
            name
        };
        JobLines { console: self.clone(), prefix, masks: MaskSet::new(Vec::new()) }
    }
}

/// Lines of one job.
#[derive(Clone)]
pub struct JobLines {
    console: Console,
    prefix: String,
    masks: MaskSet,
}

impl JobLines {
    /// The same lines with these values masked: the runner's part, whatever the driver does.
    #[must_use]
    pub fn masking(self, values: Vec<Secret>) -> Self {
        Self { masks: MaskSet::new(values), ..self }
    }

    /// A masker for one stream of the driver.
    pub fn masker(&self) -> Masker {
        Masker::new(&self.masks)
    }

    /// A line of ours.
    pub fn say(&self, text: &str) {
        let text = self.masks.mask(text.as_bytes());
        self.console.line(&format!("{}{}", self.prefix, String::from_utf8_lossy(&text)));
    }

    /// A line of ours that heads a stage.
    pub fn title(&self, text: &str) {
        let shown =
            if self.console.colour { format!("\x1b[36;1m{text}\x1b[0m") } else { text.to_owned() };
        self.say(&shown);
    }

    /// A line of ours about something that went wrong.
    pub fn error(&self, text: &str) {
        let shown =
            if self.console.colour { format!("\x1b[31;1m{text}\x1b[0m") } else { text.to_owned() };
        self.say(&shown);
    }

    /// One line of the driver's output, masked already, without its end.
    pub fn output(&self, line: &[u8]) {
        if let Some(line) = presentable(line, self.console.colour) {
            let mut all = self.prefix.clone().into_bytes();
            all.extend_from_slice(&line);
            all.push(b'\n');
            self.console.bytes(&all);
        }
    }
}

/// What a terminal that GitLab's log viewer is not would show of a line: section marks become their
/// titles, of a progress bar only the last state stays. `None` where nothing stays.
pub fn presentable(line: &[u8], colour: bool) -> Option<Vec<u8>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut pieces = line.split(|byte| *byte == b'\r').map(|piece| (is_section(piece), piece));
    let marked = line.split(|byte| *byte == b'\r').any(is_section);
    let last = pieces.rfind(|(section, piece)| !section && !piece.is_empty());
    let text = erased(last.map_or(&[], |(_, piece)| piece), colour);
    if marked && text.is_empty() { None } else { Some(text) }
}

/// `section_start:TIME:NAME[options]` or its end.
fn is_section(piece: &[u8]) -> bool {
    let bare = erased(piece, false);
    bare.starts_with(b"section_start:") || bare.starts_with(b"section_end:")
}

/// Without erasing sequences; without colours either where they are not wanted.
fn erased(text: &[u8], colour: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.windows(2).position(|two| two == b"\x1b[") {
        out.extend_from_slice(&rest[..start]);
        let after = &rest[start + 2..];
        let Some(end) = after.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
            return out;
        };
        let keep = colour && after[end] == b'm';
        if keep {
            out.extend_from_slice(&rest[start..=start + 2 + end]);
        }
        rest = &after[end + 1..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::presentable;

    #[test]
    fn marks_go_and_titles_stay() {
        for (line, expected) in [
            (
                &b"\x1b[0Ksection_start:17:prepare[collapsed=true]\r\x1b[0KPulling"[..],
                Some(&b"Pulling"[..]),
            ),
            (b"\x1b[0Ksection_end:17:prepare\r\x1b[0K", None),
            (b"\x1b[32;1m$ make\x1b[0;m", Some(b"$ make")),
            (b"10%\r50%\r100%\r", Some(b"100%")),
            (b"", Some(b"")),
            (b"\xff\x1b[0K!", Some(b"\xff!")),
        ] {
            assert_eq!(presentable(line, false).as_deref(), expected, "{line:?}");
        }
        assert_eq!(
            presentable(b"\x1b[32mx\x1b[0K\x1b[0m", true).as_deref(),
            Some(&b"\x1b[32mx\x1b[0m"[..])
        );
    }
}
