//! The command line: clap types only. What a command means is the library's business.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::pipeline::args::LocalArgs;
use broker::BrokerCommand;
use init::InitArgs;
use vault::VaultCommand;

pub mod broker;
pub mod init;
pub mod vault;

/// A GitLab Runner custom executor for dedicated Docker hosts.
#[derive(Debug, Parser)]
#[command(
    name = "longshore",
    version,
    about,
    after_help = "Examples:\n  \
        longshore local                     run this repository's .gitlab-ci.yml here\n  \
        longshore local --dry-run unit      show what the job `unit` would do\n  \
        longshore reap --plan               show what dead jobs left behind\n\n\
        GitLab Runner calls config, prepare, run and cleanup; see config.toml.example."
)]
pub struct Cli {
    /// The settings file [default: `$LONGSHORE_SETTINGS`, else /etc/longshore/longshore.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Called by GitLab Runner: check settings and job, answer the driver's configuration as JSON.
    Config,
    /// Called by GitLab Runner: pull images, fetch secrets, start the job's containers.
    Prepare,
    /// Called by GitLab Runner: run one stage's script in the right container.
    Run(RunArgs),
    /// Called by GitLab Runner: remove what the job made.
    Cleanup,
    /// Set this host up: write settings, units and timers, and show what GitLab Runner needs.
    #[command(after_help = "Examples:\n  longshore init --dry-run\n  \
        longshore init --helper-image registry.example.com/git:2 --max-jobs 8\n  \
        longshore init --vault-address https://vault.example.com:8200 --role-id 1d4f...")]
    Init(Box<InitArgs>),
    /// Print the plan of the job that the environment describes, without touching anything.
    Plan,
    /// Run a .gitlab-ci.yml here, without GitLab, through the very calls that GitLab Runner makes.
    #[command(after_help = "Examples:\n  longshore local --list\n  longshore local unit\n  \
        longshore local --protected --variables-file /root/registry.env")]
    Local(Box<LocalArgs>),
    /// Remove what jobs left behind whose runner is gone.
    #[command(after_help = "Examples:\n  longshore reap --plan --json\n  longshore reap\n  \
        longshore reap --force-orphans")]
    Reap(ReapArgs),
    /// Remove the tags that pipelines left on this host, by the rules of [prune] in the settings.
    ///
    /// It is done by itself when a delivery has succeeded; this shows what it would do, and makes up for
    /// what was missed. `latest`, what containers use and other projects' images stay.
    #[command(after_help = "Examples:\n  longshore prune --plan\n  \
        longshore prune --pipeline 4711 --plan --json\n  \
        longshore prune --repository registry.example.com/web/shop --commit 0123abcd...")]
    Prune(PruneArgs),
    /// Make room: remove images, caches and build cache that were not used for longest.
    #[command(after_help = "Examples:\n  longshore gc --plan\n  \
        longshore gc --plan --json | jq -r '.plan.remove[].references[]'\n  longshore gc")]
    Gc(GcArgs),
    /// Show this host at a glance: jobs, room, leases, leftovers; or metrics for Prometheus.
    #[command(
        after_help = "Examples:\n  longshore status\n  longshore status --json | jq '.jobs | length'\n  \
        longshore status --prometheus --output /var/lib/prometheus/node-exporter/longshore.prom"
    )]
    Status(StatusArgs),
    /// In a job's script: hide a value in the log from here on.
    #[command(subcommand)]
    Mask(MaskCommand),
    /// Show what happened on this host: jobs, stages, images, what was pruned and removed.
    #[command(after_help = "Examples:\n  longshore ledger --since 2h\n  \
        longshore ledger --pipeline 4711\n  \
        longshore ledger --project web/shop --json | jq -r 'select(.event == \"pruned\") | .bytes'")]
    Ledger(LedgerArgs),
    /// The brokered Docker socket: show its rules, and what they make of a request.
    #[command(subcommand)]
    Broker(BrokerCommand),
    /// The Vault server: check the login, print the policy it needs, get and replace the secret id.
    #[command(subcommand)]
    Vault(VaultCommand),
    /// PID 1 of a job's containers; not for people.
    #[command(hide = true)]
    Agent,
    /// Finishes a cleanup after the runner has gone on; not for people.
    #[command(hide = true)]
    Worker,
}

/// What `mask` does.
#[derive(Debug, Subcommand)]
pub enum MaskCommand {
    /// Hide one more value: in what this script prints after it, and in all later stages of the job.
    ///
    /// Give the value on standard input: an argument can be read by every process of the container, and
    /// is printed before it is masked where the shell traces commands (set -x).
    #[command(after_help = "Examples:\n  \
        TOKEN=$(./login); printf %s \"$TOKEN\" | longshore mask add\n  \
        longshore mask add <./token.txt")]
    Add(MaskAddArgs),
}

/// Options of `mask add`.
#[derive(Debug, Args)]
pub struct MaskAddArgs {
    /// The value; better give it on standard input [4 bytes to 64 KiB]
    pub value: Option<OsString>,
    /// Where the agent listens
    #[arg(long, hide = true)]
    pub socket: Option<PathBuf>,
}

/// What GitLab Runner passes to `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The stage's script.
    pub script: PathBuf,
    /// GitLab's name of the stage.
    pub stage: String,
}

/// Options of `reap`.
#[derive(Debug, Args)]
pub struct ReapArgs {
    /// Only show what would go, and why.
    #[arg(long)]
    pub plan: bool,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// The manual reset.
    #[command(flatten)]
    pub orphans: OrphanArgs,
}

/// Options of `reap` about containers that cannot be told apart by owner.
#[derive(Debug, Default, Args)]
pub struct OrphanArgs {
    /// Instead: list the containers that jobs with the raw Docker socket left running, ask, and remove them.
    #[arg(long)]
    pub force_orphans: bool,
    /// Do not ask.
    #[arg(long, requires = "force_orphans")]
    pub yes: bool,
}

/// Options of `prune`; each narrows what is meant.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Only show what would go, and why; and what stays, and why.
    #[arg(long)]
    pub plan: bool,
    /// Of one pipeline: GitLab's number of it.
    #[arg(long, value_name = "ID")]
    pub pipeline: Option<u64>,
    /// Of one project.
    #[arg(long, value_name = "GROUP/PROJECT")]
    pub project: Option<String>,
    /// Of this repository, where the ledger is gone [default: `$CI_REGISTRY_IMAGE`]
    #[arg(long, value_name = "HOST/PATH")]
    pub repository: Option<String>,
    /// The full commit that was delivered, where the ledger is gone.
    #[arg(long, value_name = "SHA")]
    pub commit: Option<String>,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Only show what would go, and why.
    #[arg(long)]
    pub plan: bool,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// Answer in Prometheus' text format, for the textfile collector of its node exporter.
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,
    /// Write the answer to this file, as a whole or not at all.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Options of `ledger`; each narrows what is shown.
#[derive(Debug, Args)]
pub struct LedgerArgs {
    /// Of one job: GitLab's number of it.
    #[arg(long, value_name = "ID")]
    pub job: Option<String>,
    /// Of the jobs of one pipeline.
    #[arg(long, value_name = "ID")]
    pub pipeline: Option<u64>,
    /// Of the jobs of one project.
    #[arg(long, value_name = "GROUP/PROJECT")]
    pub project: Option<String>,
    /// Not older: how long ago (30m, 2h, 7d), or a UTC time.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}
