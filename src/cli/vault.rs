//! The words of `longshore vault`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What a person may want of the Vault server.
#[derive(Debug, Subcommand)]
pub enum VaultCommand {
    /// Log in as a job does and tell what was found: seal, secret id, readable secrets, too broad a policy.
    #[command(
        after_help = "Ends with 0 if jobs get their secrets and the policy allows no more than that, \
        1 if something is to be mended, 2 if jobs would fail or the policy is as good as root's.\n\n\
        Examples:\n  longshore vault check\n  longshore vault check --json | jq .findings\n\n\
        The expiry of the secret id is told where [vault.approle] has `role`, and the role's policy is the one \
        that `longshore vault policy --rotate` prints. It takes one login, so one use of the secret id."
    )]
    Check(CheckArgs),
    /// Print the policy that the role needs for the secrets of the settings, and nothing beside.
    #[command(after_help = "Examples:\n  \
        longshore vault policy | vault policy write longshore -\n  \
        longshore vault policy --rotate --detect\n\n\
        Makes no contact unless told to --detect.")]
    Policy(PolicyArgs),
}

/// Options of `vault check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `vault policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// With what `vault rotate` needs, and `vault check` to tell when the secret id expires.
    #[arg(long)]
    pub rotate: bool,
    /// Log in and ask which version a KV mount has, where the settings do not say it. Otherwise the policy
    /// names the paths of both.
    #[arg(long)]
    pub detect: bool,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where the wrapping token is.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// File with the wrapping token alone, 0600; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub wrapping_token_file: PathBuf,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}
