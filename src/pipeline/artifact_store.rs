//! What jobs upload, in a directory of the pipeline's own, and who may read it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The largest dotenv report that is read, as GitLab has it by default times ten.
const DOTENV_LIMIT: u64 = 50 * 1024;

/// Archives and reports of a pipeline's jobs, and the tokens that open them.
#[derive(Debug)]
pub struct ArtifactStore {
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Token of a running job, and its id.
    tokens: BTreeMap<String, u64>,
    /// Bytes of what was stored, by job and type.
    stored: BTreeMap<(u64, String), u64>,
}

impl ArtifactStore {
    /// Keeps everything below a directory that exists.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job's token counts from now on.
    pub fn admit(&self, token: &str, job: u64) {
        self.state().tokens.insert(token.to_owned(), job);
    }

    /// A job's token counts no longer.
    pub fn dismiss(&self, token: &str) {
        self.state().tokens.remove(token);
    }

    /// The running job that a token belongs to.
    pub fn holder(&self, token: &str) -> Option<u64> {
        self.state().tokens.get(token).copied()
    }

    /// Keeps one artifact of a job; a later one of the same type takes its place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, job: u64, kind: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(job, kind);
        std::fs::write(path, bytes)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.state().stored.insert((job, kind.to_owned()), size);
        Ok(())
    }

    /// Forgets one artifact of a job.
    pub fn discard(&self, job: u64, kind: &str) {
        self.state().stored.remove(&(job, kind.to_owned()));
    }

    /// Where a job's artifact lies, and its size; `None` where it left none.
    pub fn find(&self, job: u64, kind: &str) -> Option<(PathBuf, u64)> {
        let size = self.state().stored.get(&(job, kind.to_owned())).copied()?;
        Some((self.path(job, kind), size))
    }

    /// The variables of a job's dotenv report; none where it left none.
    ///
    /// # Errors
    /// When the report is none, in words for the job's log.
    pub fn dotenv(&self, job: u64) -> Result<Vec<(String, String)>, String> {
        let Some((path, _)) = self.find(job, "dotenv") else { return Ok(Vec::new()) };
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        let mut text = String::new();
        // The uploader may put one gzip member per file.
        flate2::read::MultiGzDecoder::new(file)
            .take(DOTENV_LIMIT + 1)
            .read_to_string(&mut text)
            .map_err(|error| format!("the dotenv report is no gzipped text: {error}"))?;
        if text.len() as u64 > DOTENV_LIMIT {
            return Err(format!("the dotenv report is larger than {DOTENV_LIMIT} bytes"));
        }
        parse_dotenv(&text)
    }

    /// Types become file names, so only what looks like one does.
    fn path(&self, job: u64, kind: &str) -> PathBuf {
        let safe: String =
            kind.chars().filter(|one| one.is_ascii_alphanumeric() || *one == '_').collect();
        self.directory.join(format!("{job}-{safe}"))
    }
}

/// `NAME=value` lines as GitLab reads them: no comments, no line breaks, quotes around a value go.
///
/// # Errors
/// When a line is something else.
pub fn parse_dotenv(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let (name, value) = super::args::pair(line.trim())
            .map_err(|error| format!("line {} of the dotenv report: {error}", index + 1))?;
        let unquoted = ['"', '\''].iter().find_map(|quote| {
            value.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote)).map(str::to_owned)
        });
        all.push((name, unquoted.unwrap_or(value)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::parse_dotenv;

    #[test]
    fn lines_become_variables() {
        let read = parse_dotenv("A=1\n\nB=\"x y\"\nC='z'\nD=a=b\r\n").unwrap();
        let expected = [("A", "1"), ("B", "x y"), ("C", "z"), ("D", "a=b")];
        assert_eq!(read, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert!(parse_dotenv("A=1\n# no\n").unwrap_err().starts_with("line 2"));
    }
}
