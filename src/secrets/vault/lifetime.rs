//! The two ends of a kept token: it is written down as soon as it is there, and ended with the job.
//! [`super::kept`] knows where it lies, [`super::renewal`] what happens in between.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::client::{Failed, Session, Token};
use super::failure::Failure;
use super::kept::{self, Directory, Holder, Kept, Lease, Term};
use super::read::Leased;
use super::{VaultError, VaultSettings};

/// Whose tokens are kept, and where.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// The job.
    pub holder: Holder,
    /// The host's directory for what lives no longer than it; tokens lie in a directory below.
    pub run_dir: PathBuf,
    /// The clock.
    pub clock: fn() -> SystemTime,
}

impl Keeping {
    pub(super) fn now_unix(&self) -> u64 {
        unix(self.clock)
    }

    fn term(&self, seconds: u64, renewable: bool) -> Term {
        Term { since_unix: self.now_unix(), seconds, renewable }
    }
}

fn unix(clock: fn() -> SystemTime) -> u64 {
    clock().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A token that lies in its file.
pub(super) struct KeptToken {
    path: PathBuf,
    kept: Kept,
}

impl KeptToken {
    /// Writes the token down, before anything hangs on it: from here on it is ended though we die.
    ///
    /// # Errors
    /// A sentence on why it may not lie there.
    pub(super) fn write(
        keeping: &Keeping,
        settings: &VaultSettings,
        token: &Token,
    ) -> Result<Self, String> {
        let directory = Directory::open(&keeping.run_dir)?;
        let kept = Kept {
            holder: keeping.holder.clone(),
            address: settings.address.clone(),
            namespace: settings.namespace.clone(),
            accessor: token.accessor.clone(),
            token: token.value.clone(),
            term: keeping.term(token.lives, token.renewable),
            leases: Vec::new(),
        };
        let path = directory.keep(&kept);
        let path = path.map_err(|error| {
            format!("{} cannot be written to ({error})", keeping.run_dir.display())
        })?;
        Ok(Self { path, kept })
    }

    /// Adds what hangs on the token. Answers sentences about what will end before the job may.
    ///
    /// # Errors
    /// A sentence on why it could not be written down.
    pub(super) fn hang(
        &mut self,
        keeping: &Keeping,
        leases: Vec<Leased>,
    ) -> Result<Vec<String>, String> {
        let lease = |one: Leased| {
            let term = keeping.term(one.seconds, one.renewable);
            Lease { name: one.name, id: one.id, term }
        };
        self.kept.leases = leases.into_iter().map(lease).collect();
        kept::rewrite(&self.path, &self.kept)
            .map_err(|error| format!("{} cannot be written ({error})", self.path.display()))?;
        let short =
            |term: &Term| !term.renewable && term.ends_unix() < self.kept.holder.deadline.unix;
        let leases = self.kept.leases.iter().filter(|one| short(&one.term));
        let mut warnings: Vec<String> = leases.map(ends_before).collect();
        if short(&self.kept.term) {
            warnings.push(format!(
                "the Vault token ends in {} s with all that is leased and cannot be renewed; the job may take \
                 longer (raise token_max_ttl of the role)",
                self.kept.term.seconds
            ));
        }
        Ok(warnings)
    }

    /// The token has ended.
    pub(super) fn forget(self) {
        // A file that stays is tried again by whoever finds it, and goes when its term is over.
        drop(std::fs::remove_file(self.path));
    }
}

fn ends_before(lease: &Lease) -> String {
    format!(
        "the secret {} ends in {} s and cannot be renewed; the job may take longer",
        lease.name, lease.term.seconds
    )
}

pub(super) fn of_job(run_dir: &Path, job: &str) -> Vec<(PathBuf, Kept)> {
    let all = kept::all(run_dir);
    all.into_iter().filter(|(_, kept)| kept.holder.job == job).collect()
}

/// Ends all tokens that are kept for a job. Answers sentences about those that could not be.
pub(super) async fn release(settings: &VaultSettings, keeping: &Keeping) -> Vec<String> {
    let mut left = Vec::new();
    for (path, kept) in of_job(&keeping.run_dir, &keeping.holder.job) {
        left.extend(end(settings, &path, &kept, keeping.now_unix()).await.err());
    }
    left
}

/// Ends one kept token and forgets it; what hangs on it ends with it.
///
/// # Errors
/// A sentence that names it; it stays where it is, to be tried again.
pub(super) async fn end(
    settings: &VaultSettings,
    path: &Path,
    kept: &Kept,
    now_unix: u64,
) -> Result<(), String> {
    if kept.term.ends_unix() >= now_unix {
        let (session, token) = resume(settings, kept, now_unix)?;
        if let Some(left) = session.revoke(&token).await
            && !is_unknown(&session).await
        {
            return Err(left);
        }
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{} cannot be removed ({error})", path.display()))
        }
        _ => Ok(()),
    }
}

/// Whether the server does not know the token at all: who ended it was killed before saying so here. A token
/// that may neither end itself nor ask for itself looks the same, and nothing more can be done with it.
async fn is_unknown(session: &Session<'_>) -> bool {
    let answer = session.get("auth/token/lookup-self", None).await;
    matches!(answer, Err(Failed { failure: Failure::Status { code: 403, .. }, .. }))
}

/// A session with a kept token, with the server that gave it.
pub(super) fn resume<'a>(
    settings: &'a VaultSettings,
    kept: &Kept,
    now_unix: u64,
) -> Result<(Session<'a>, Token), String> {
    if (&settings.address, &settings.namespace) != (&kept.address, &kept.namespace) {
        return Err(format!(
            "the Vault token with accessor {} is of {}, which the settings do not name any more",
            kept.accessor, kept.address
        ));
    }
    let deadline = Instant::now() + settings.deadline;
    let session = Session::connect(settings, deadline);
    let mut session = session.map_err(|error: VaultError| error.to_string())?;
    let lives = kept.term.ends_unix().saturating_sub(now_unix);
    let token = session.resume((&kept.accessor, &kept.token), lives);
    let token = token.map_err(|failure| failure.words())?;
    Ok((session, token))
}
