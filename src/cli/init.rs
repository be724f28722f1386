//! Options of `longshore init`.

use std::path::PathBuf;

use clap::Args;

/// What `init` writes, and where.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Only show what would be written.
    #[arg(long)]
    pub dry_run: bool,
    /// Replace files that say something else.
    #[arg(long)]
    pub force: bool,
    /// Write below this directory instead of /, as packages do.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// The user that GitLab Runner runs as, who needs the Docker socket.
    #[arg(long, value_name = "NAME", default_value = "root")]
    pub user: String,
    /// What goes into the settings.
    #[command(flatten)]
    pub settings: InitSettings,
    /// What goes into GitLab Runner's configuration.
    #[command(flatten)]
    pub runner: InitRunner,
    /// Where units and timers of systemd go.
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system")]
    pub units: PathBuf,
    /// Have figures for Prometheus written here every minute, for the textfile collector of its node exporter
    #[arg(long, value_name = "FILE.prom")]
    pub metrics: Option<PathBuf>,
}

/// Settings as options; each is explained in longshore.toml.example.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct InitSettings {
    /// Image with git, for sources, caches and artifacts
    #[arg(long, value_name = "IMAGE")]
    pub helper_image: Option<String>,
    /// Image of jobs that name none
    #[arg(long, value_name = "IMAGE")]
    pub default_image: Option<String>,
    /// Images that jobs may use, as globs [repeat it]
    #[arg(long = "allowed-image", value_name = "GLOB")]
    pub allowed_images: Vec<String>,
    /// The Docker daemon's address, as for `docker --host`
    #[arg(long, value_name = "ADDRESS")]
    pub docker_host: Option<String>,
    /// Directory of ca.pem, cert.pem and key.pem for a daemon behind TLS
    #[arg(long, value_name = "DIRECTORY", requires = "docker_host")]
    pub docker_tls_cert_path: Option<String>,
    /// Projects whose jobs are root on this host by its Docker socket, on protected refs [repeat it]
    #[arg(long = "raw-socket-project", value_name = "GLOB")]
    pub raw_socket_projects: Vec<String>,
    /// Jobs at once; the others wait
    #[arg(long, value_name = "NUMBER")]
    pub max_jobs: Option<u32>,
    /// The Vault server, or `OpenBao`
    #[arg(long, value_name = "URL", requires = "role_id")]
    pub vault_address: Option<String>,
    /// The authority that Vault's certificate is checked against
    #[arg(long, value_name = "FILE", requires = "vault_address")]
    pub vault_ca: Option<PathBuf>,
    /// The `AppRole`'s role id
    #[arg(long, value_name = "ID", requires = "vault_address")]
    pub role_id: Option<String>,
    /// Where its secret id will be; `longshore vault enroll` puts it there
    #[arg(long, value_name = "FILE", default_value = "/etc/longshore/secret_id")]
    pub secret_id_file: PathBuf,
    /// A registry whose password lies in Vault
    #[arg(long, value_name = "HOST", requires_all = ["registry_username", "registry_password"])]
    pub registry: Option<String>,
    /// Whom to log in there
    #[arg(long, value_name = "NAME", requires = "registry")]
    pub registry_username: Option<String>,
    /// Where the password lies in Vault
    #[arg(long, value_name = "MOUNT/PATH#FIELD", requires_all = ["registry", "vault_address"])]
    pub registry_password: Option<String>,
}

/// The runner's side as options.
#[derive(Debug, Args)]
#[command(next_help_heading = "GitLab Runner")]
pub struct InitRunner {
    /// Add the [[runners]] block to this config.toml; without it the block is printed
    #[arg(long, value_name = "FILE", requires_all = ["url", "token_file"])]
    pub runner_config: Option<PathBuf>,
    /// The runner's name
    #[arg(long, value_name = "NAME", default_value = "longshore")]
    pub runner_name: String,
    /// GitLab's address
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A file with the runner's token, glrt-...
    #[arg(long, value_name = "FILE", requires = "runner_config")]
    pub token_file: Option<PathBuf>,
}
