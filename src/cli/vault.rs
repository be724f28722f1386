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
    /// Turn a wrapping token into this host's secret id: looks what it wraps, unwraps it once, logs in with
    /// it, and puts it into the secret id's file.
    #[command(
        after_help = "Ends with 0 if it is in place, 1 if it is and something is to be mended, 2 if the old one \
        stays.\n\nExamples:\n  \
        vault write -wrap-ttl=10m -field=wrapping_token -f auth/approle/role/ROLE/secret-id > token\n  \
        longshore vault enroll --wrapping-token-file token\n  \
        ssh vault-admin wrap-for ci-host-1 | longshore vault enroll --wrapping-token-file -"
    )]
    Enroll(EnrollArgs),
    /// Replace this host's secret id by a new one of the same role, and destroy the old one.
    #[command(
        after_help = "Ends with 0 if all is done, 1 if the new one is in place and something is to be mended, \
        2 if the old one stays. Needs `role` in [vault.approle], and the policy that `longshore vault policy \
        --rotate` prints.\n\nExamples:\n  longshore vault rotate\n  longshore vault rotate --json   # from a timer"
    )]
    Rotate(RotateArgs),
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

/// Options of `vault rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
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

/// Options of `vault enroll`.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// File with the wrapping token alone, 0600; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub wrapping_token_file: PathBuf,
    /// Answer as JSON.
    #[arg(long)]
    pub json: bool,
}
