//! Looks through an archive while it passes: finds the Dockerfile, and holds back the archive's end.

use tar::Header;

use super::archive::{self, BLOCK, IGNORED};
use crate::broker::refusal::Refusal;

/// Longest Dockerfile.
const DOCKERFILE: u64 = 1 << 20;

/// Largest entry; more than any context may have.
const LARGEST: u64 = 1 << 50;

/// Longest name in a header of its own.
const NAME: u64 = 64 << 10;

/// What the bytes of an entry are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    Dockerfile,
    Ignored,
    Name,
    Records,
}

#[derive(Debug)]
enum State {
    /// Collecting a header.
    Header,
    /// So many bytes of an entry are to come; its padding is ours.
    Entry { left: u64, padding: usize, keep: Keep },
    /// So many bytes of the client's padding, which an archive's last entry may lack: the command line ends it
    /// without, where its Dockerfile comes from standard input (`-f -`), and daemons read it.
    Padding(usize),
    /// The end has come: nothing more is passed on.
    Ended,
}

/// An archive on its way.
#[derive(Debug)]
pub struct Context {
    wanted: String,
    state: State,
    header: Vec<u8>,
    kept: Vec<u8>,
    /// Name and size of the next entry, from headers before it.
    name: Option<String>,
    size: Option<u64>,
    /// Kinds of those headers.
    before: Vec<u8>,
    begun: bool,
    found: Option<Vec<u8>>,
    ignored: Vec<u8>,
}

/// What an archive held that matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The Dockerfile.
    pub dockerfile: Vec<u8>,
    /// What `.dockerignore` says; empty where there is none.
    pub ignored: Vec<u8>,
}

impl Context {
    /// Looks for the Dockerfile at this path.
    pub fn new(dockerfile: &str) -> Self {
        Self {
            wanted: dockerfile.to_owned(),
            state: State::Header,
            header: Vec::with_capacity(BLOCK),
            kept: Vec::new(),
            name: None,
            size: None,
            before: Vec::new(),
            begun: false,
            found: None,
            ignored: Vec::new(),
        }
    }

    /// Takes the next piece; what is to be passed on of it is put into `out`.
    ///
    /// # Errors
    /// Where it is no plain archive.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Ended => return Ok(()),
                State::Header => {
                    let taken = bytes.len().min(BLOCK - self.header.len());
                    self.header.extend_from_slice(&bytes[..taken]);
                    if self.header.len() == BLOCK {
                        self.begin(out)?;
                    }
                    taken
                }
                State::Entry { left, padding, keep } => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    if *keep != Keep::Nothing {
                        self.kept.extend_from_slice(&bytes[..taken]);
                    }
                    out.extend_from_slice(&bytes[..taken]);
                    *left -= taken as u64;
                    if *left == 0 {
                        out.resize(out.len() + *padding, 0);
                        self.finish_entry()?;
                    }
                    taken
                }
                State::Padding(left) => {
                    let taken = bytes.len().min(*left);
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::Header;
                    }
                    taken
                }
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// What was looked for, once all of the archive has passed.
    ///
    /// # Errors
    /// Where there is no Dockerfile, or the archive is cut off.
    pub fn finish(self) -> Result<Found, Refusal> {
        let whole = match self.state {
            State::Ended | State::Padding(_) => true,
            State::Header => self.header.is_empty(),
            State::Entry { .. } => false,
        };
        // What is said of an entry that is not there would hold for the one that is put behind it.
        if !whole || !self.before.is_empty() {
            return Err(malformed("the build's context is cut off"));
        }
        let dockerfile = self.found.ok_or_else(|| {
            Refusal::malformed(
                "dockerfile",
                "the Dockerfile is not in the build's context, or is a link; name the file itself",
            )
        })?;
        Ok(Found { dockerfile, ignored: self.ignored })
    }

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if self.header.iter().all(|byte| *byte == 0) {
            self.state = State::Ended;
            return Ok(());
        }
        if !std::mem::replace(&mut self.begun, true) {
            archive::check_beginning(&self.header)?;
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&self.header);
        archive::check_sum(&header)?;
        let written = header.entry_size().map_err(|_| malformed("an entry has no size"))?;
        let kind = header.as_bytes()[156];
        // These have no bytes, whatever their size says.
        let bare = matches!(kind, b'1'..=b'6');
        let regular = matches!(kind, b'0' | 0 | b'7');
        let meta = matches!(kind, b'x' | b'L' | b'K' | b'g');
        if !bare && !regular && !meta {
            return Err(malformed("the build's context has entries of a strange kind"));
        }
        self.check_order(kind, meta)?;
        let size = if meta { written } else { self.size.take().unwrap_or(written) };
        let size = if bare { 0 } else { size };
        if size > LARGEST {
            return Err(malformed("an entry of the build's context is too large"));
        }
        let keep = match kind {
            b'L' => Keep::Name,
            b'x' => Keep::Records,
            _ if meta => Keep::Nothing,
            _ => self.keep_of(&header, regular),
        };
        let kept = matches!(keep, Keep::Dockerfile | Keep::Ignored);
        let most = if kept { DOCKERFILE } else { NAME };
        if keep != Keep::Nothing && size > most {
            return Err(malformed("the Dockerfile, or a name in the context, is too long"));
        }
        out.append(&mut self.header);
        self.kept.clear();
        let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        let padding = (BLOCK - over) % BLOCK;
        self.state = State::Entry { left: size, padding, keep };
        if size == 0 { self.finish_entry() } else { Ok(()) }
    }

    /// Headers about the next entry stand right before it, each kind once: readers differ on all else.
    fn check_order(&mut self, kind: u8, meta: bool) -> Result<(), Refusal> {
        if !meta {
            self.before.clear();
            return Ok(());
        }
        if self.before.contains(&kind) || (kind == b'g' && !self.before.is_empty()) {
            return Err(malformed("the build's context has headers that can be read in two ways"));
        }
        if kind != b'g' {
            self.before.push(kind);
        }
        Ok(())
    }

    /// Whether an entry is the Dockerfile. What came last under its name counts, as when it is unpacked.
    fn keep_of(&mut self, header: &Header, regular: bool) -> Keep {
        let path = header.path_bytes();
        let written =
            self.name.take().unwrap_or_else(|| String::from_utf8_lossy(&path).into_owned());
        let parts: Vec<&str> =
            written.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let path = parts.join("/");
        let keep = if path == self.wanted {
            self.found = None;
            Keep::Dockerfile
        } else if path == IGNORED {
            self.ignored.clear();
            Keep::Ignored
        } else {
            return Keep::Nothing;
        };
        if regular { keep } else { Keep::Nothing }
    }

    fn finish_entry(&mut self) -> Result<(), Refusal> {
        let State::Entry { keep, padding, .. } = self.state else { return Ok(()) };
        self.state = if padding == 0 { State::Header } else { State::Padding(padding) };
        let kept = std::mem::take(&mut self.kept);
        match keep {
            Keep::Nothing => {}
            Keep::Dockerfile => self.found = Some(kept),
            Keep::Ignored => self.ignored = kept,
            Keep::Name => {
                let text = String::from_utf8_lossy(&kept);
                self.name = Some(text.trim_end_matches('\0').to_owned());
            }
            Keep::Records => self.records(&kept)?,
        }
        Ok(())
    }

    /// `LENGTH KEY=VALUE` lines.
    fn records(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let strange = || malformed("a header of the build's context cannot be read");
        let mut rest = bytes;
        while !rest.is_empty() {
            let blank = rest.iter().position(|byte| *byte == b' ').ok_or_else(strange)?;
            let length =
                std::str::from_utf8(&rest[..blank]).ok().and_then(|text| text.parse().ok());
            let length: usize =
                length.filter(|end| (blank + 1..=rest.len()).contains(end)).ok_or_else(strange)?;
            let record = String::from_utf8_lossy(&rest[blank + 1..length]).into_owned();
            match record.trim_end_matches('\n').split_once('=') {
                Some(("path", path)) => self.name = Some(path.to_owned()),
                Some(("size", size)) => self.size = Some(size.parse().map_err(|_| strange())?),
                Some((key, _)) if key.starts_with("GNU.sparse") => return Err(strange()),
                Some(_) => {}
                None => return Err(strange()),
            }
            rest = &rest[length..];
        }
        Ok(())
    }
}

fn malformed(message: &str) -> Refusal {
    Refusal::malformed("context", message)
}
