//! What git knows of the repository that a pipeline runs for. It only reads: nothing is checked out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stage::error::CallError;
use crate::world::World;

use super::args::LocalArgs;

/// The commit that is built, and where it is.
#[derive(Debug, Clone)]
pub struct Source {
    /// The repository's directory, absolute.
    pub directory: PathBuf,
    /// Branch.
    pub reference: String,
    /// Full SHA.
    pub sha: String,
    /// SHA of the commit before it; zeros for the first.
    pub before_sha: String,
    /// Author as `Name <address>`.
    pub author: String,
    /// The commit's time, ISO 8601.
    pub timestamp: String,
    /// The commit's whole message.
    pub message: String,
    /// Whether the branch counts as protected.
    pub protected: bool,
    /// The default branch.
    pub default_branch: String,
}

impl Source {
    /// Asks git.
    ///
    /// # Errors
    /// When there is no git, no repository, or no such branch or commit.
    pub fn read(args: &LocalArgs, world: &World) -> Result<Self, CallError> {
        let directory = world.directory.join(&args.repository);
        let directory = directory.canonicalize().map_err(|error| {
            CallError::system(format!(
                "failed to open the repository {}: {error}",
                directory.display()
            ))
        })?;
        let git = Git { directory: &directory, world };
        let reference = match &args.reference {
            Some(reference) => reference.clone(),
            None => git.branch()?,
        };
        let wanted = args.commit.as_deref().unwrap_or(&reference);
        let sha = git.one(&[
            "rev-parse",
            "--verify",
            "--end-of-options",
            &format!("{wanted}^{{commit}}"),
        ])?;
        let show = |format: &str| git.one(&["log", "-1", &format!("--format={format}"), &sha]);
        let before = git.one(&["rev-parse", "--verify", "--quiet", &format!("{sha}^")]);
        Ok(Self {
            before_sha: before.unwrap_or_else(|_| "0".repeat(sha.len())),
            author: show("%an <%ae>")?,
            timestamp: show("%cI")?,
            message: show("%B")?,
            protected: args.protected || reference == args.default_branch,
            default_branch: args.default_branch.clone(),
            reference,
            sha,
            directory,
        })
    }

    /// The CI file: of the commit where one was named or nothing is checked out, else as it lies there.
    ///
    /// # Errors
    /// When there is none.
    pub fn ci_file(&self, args: &LocalArgs, world: &World) -> Result<String, CallError> {
        let git = Git { directory: &self.directory, world };
        let bare = git.one(&["rev-parse", "--is-bare-repository"])? == "true";
        if !bare && args.commit.is_none() && args.reference.is_none() {
            let path = self.directory.join(&args.file);
            return std::fs::read_to_string(&path).map_err(|error| {
                CallError::system(format!(
                    "failed to read the CI file {}: {error}\n  name another with --file or --repository",
                    path.display()
                ))
            });
        }
        git.run(&["show", &format!("{}:{}", self.sha, args.file.display())])
    }

    /// Whether files differ from the commit, so that a job would not see them.
    pub fn is_dirty(&self, world: &World) -> bool {
        let git = Git { directory: &self.directory, world };
        git.one(&["status", "--porcelain"]).is_ok_and(|text| !text.is_empty())
    }

    /// The first line of the message.
    pub fn title(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

/// The variables of a hook's environment would lead git to another repository.
pub(super) fn is_git_variable(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"GIT_")
}

/// The environment for a git of ours, which may read a repository that belongs to another user: a
/// person named it.
pub(super) fn environment(
    world: &World,
    directory: &Path,
) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let inherited = world.environment.iter().filter(|(name, _)| !is_git_variable(name));
    let mut all: Vec<_> = inherited.map(|(name, value)| (name.clone(), value.clone())).collect();
    let settings = [
        ("uploadpack.allowAnySHA1InWant", "true".into()),
        ("safe.directory", directory.as_os_str().to_owned()),
    ];
    all.push(("GIT_CONFIG_COUNT".into(), settings.len().to_string().into()));
    for (index, (key, value)) in settings.into_iter().enumerate() {
        all.push((format!("GIT_CONFIG_KEY_{index}").into(), key.into()));
        all.push((format!("GIT_CONFIG_VALUE_{index}").into(), value));
    }
    all
}

struct Git<'a> {
    directory: &'a Path,
    world: &'a World,
}

impl Git<'_> {
    fn branch(&self) -> Result<String, CallError> {
        self.one(&["symbolic-ref", "--short", "HEAD"]).map_err(|_| {
            CallError::system("no branch is checked out; name the one to run for with --ref")
        })
    }

    fn one(&self, words: &[&str]) -> Result<String, CallError> {
        self.run(words).map(|text| text.trim_end().to_owned())
    }

    fn run(&self, words: &[&str]) -> Result<String, CallError> {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.directory)
            .args(words)
            .env_clear()
            .envs(environment(self.world, self.directory))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| {
                CallError::system(format!("failed to start git: {error}\n  install git"))
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let what = words.first().copied().unwrap_or_default();
        Err(CallError::system(format!(
            "git {what} failed in {}: {}",
            self.directory.display(),
            said.trim()
        )))
    }
}
