//! The options of `longshore local`: clap types and the readers of single values, nothing else.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

/// Options of `local`.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct LocalArgs {
    /// Jobs to run; without any, the whole pipeline.
    #[arg(value_name = "JOB")]
    pub jobs: Vec<String>,
    /// The CI file, below the repository.
    #[arg(long, value_name = "FILE", default_value = ".gitlab-ci.yml")]
    pub file: PathBuf,
    /// The repository, bare or not.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub repository: PathBuf,
    /// The branch [default: the one that is checked out]
    #[arg(long = "ref", value_name = "BRANCH")]
    pub reference: Option<String>,
    /// The commit [default: the branch's]
    #[arg(long, value_name = "SHA")]
    pub commit: Option<String>,
    /// The default branch.
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    pub default_branch: String,
    /// The branch counts as protected; the default branch always does, as on a new GitLab project.
    #[arg(long)]
    pub protected: bool,
    /// The project's path, `group/name` [default: local/NAME of the directory]
    #[arg(long, value_name = "PATH")]
    pub project: Option<String>,
    /// A variable as if set in GitLab's project settings, `$OTHER` in it is expanded; repeatable.
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = pair)]
    pub variables: Vec<(String, String)>,
    /// A file of NAME=VALUE lines, mode 0600; values of 8 bytes and more are masked in the log.
    #[arg(long, value_name = "FILE")]
    pub variables_file: Option<PathBuf>,
    /// The registry's host.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub registry: Option<String>,
    /// The registry's user.
    #[arg(long, value_name = "NAME", requires = "registry")]
    pub registry_user: Option<String>,
    /// A file with the registry's password, mode 0600.
    #[arg(long, value_name = "FILE", requires = "registry_user")]
    pub registry_password_file: Option<PathBuf>,
    /// How many jobs of a stage run side by side.
    #[arg(long = "jobs", value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    pub side_by_side: usize,
    /// List the jobs, run nothing.
    #[arg(long)]
    pub list: bool,
    /// Print each job's plan, run nothing; needs no daemon.
    #[arg(long)]
    pub dry_run: bool,
    /// Where sources and artifacts are served [default: the gateway of Docker's default bridge]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<IpAddr>,
    /// The pipeline's number [default: seconds since 1970]
    #[arg(long, value_name = "N")]
    pub pipeline_iid: Option<u64>,
    /// Print the summary as JSON on standard output; the log goes to standard error.
    #[arg(long)]
    pub json: bool,
}

/// `NAME=VALUE`; the name as a shell takes it.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("expected NAME=VALUE".to_owned());
    };
    if !is_name(name) {
        return Err(format!("{name:?} is no variable's name: letters, digits and _ only"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Whether a shell takes this as a variable's name.
pub(super) fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one job runs at a time".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a number".to_owned()),
    }
}
