//! The words of `longshore broker`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What `broker` does.
#[derive(Debug, Subcommand)]
pub enum BrokerCommand {
    /// Show what jobs of a project may do with a brokered Docker socket.
    #[command(
        after_help = "Examples:\n  longshore broker policy --project web/shop --stage build\n  \
        longshore broker policy --project web/shop --stage delivery --protected --json"
    )]
    Policy(PolicyArgs),
    /// Show what would become of one request: allowed, and what goes to the daemon instead, or refused and
    /// why. Ends with 1 where it is refused.
    #[command(after_help = EXPLAIN)]
    Explain(ExplainArgs),
}

/// What the file of a request is.
const EXPLAIN: &str = "The file holds method, target and, where there is one, body; what the job has already \
    stands in own:\n  {\"method\": \"POST\", \"target\": \"/v1.41/containers/create?name=web\",\n   \
    \"body\": {\"Image\": \"busybox:1\"}, \"own\": {\"containers\": [\"db\"], \"networks\": [], \
    \"volumes\": [], \"images\": [\"busybox:1\"]}}\n\n\
    Example:\n  longshore broker explain request.json --project web/shop --stage build";

/// Whose policy.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// Of the jobs of this project.
    #[arg(long, value_name = "GROUP/PROJECT")]
    pub project: String,
    /// Of this stage of the CI file.
    #[arg(long, value_name = "NAME", default_value = "test")]
    pub stage: String,
    /// For a protected ref.
    #[arg(long)]
    pub protected: bool,
    /// The project's `CI_REGISTRY_IMAGE`, as GitLab would tell it.
    #[arg(long, value_name = "HOST/PATH")]
    pub registry_image: Option<String>,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which request, and whose.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The request.
    pub request: PathBuf,
    /// Whose it is.
    #[command(flatten)]
    pub policy: PolicyArgs,
}
