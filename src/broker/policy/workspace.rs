//! Mounts of the job's directory. It lies on a volume, so what looks like a bind of it becomes a mount of that
//! volume: of a part of it where the daemon can (API 1.45), else of all of it at its own path or beside a
//! symbolic link.

use serde_json::json;

use super::Case;
use super::mounts::{Mounts, SUBPATH_API, Wanted, is_plain};
use crate::broker::outgoing::Link;
use crate::broker::refusal::Refusal;

/// Stands for the job's directory as the source of a mount.
pub(super) const WORKSPACE: &str = "longshore-workspace";

/// Where the whole volume is mounted where parts cannot be: writable, and read-only.
const WHOLE: [&str; 2] = ["/.longshore-workspace", "/.longshore-workspace-ro"];

/// Mounts a path that is the job's, and no other.
pub(super) fn mount(
    mounts: &mut Mounts,
    case: Case<'_>,
    path: &str,
    wanted: &Wanted<'_>,
) -> Result<(), Refusal> {
    let place = &case.view.workspace;
    let path = path.trim_end_matches('/');
    let below = path
        .strip_prefix(&place.mounted_at)
        .filter(|below| (below.is_empty() || below.starts_with('/')) && is_plain(path));
    let Some(below) = below else {
        return Err(foreign(path));
    };
    let target = mounts.target(wanted.target)?;
    let below = below.trim_start_matches('/');
    let mut mount = json!({
        "Type": "volume", "Source": place.volume, "Target": target,
        "ReadOnly": wanted.read_only, "VolumeOptions": {"NoCopy": true},
    });
    if !below.is_empty() && case.view.daemon.api_minor >= SUBPATH_API {
        mount["VolumeOptions"]["Subpath"] = json!(below);
    } else if target == path {
        // Where it is in the job's own container, all of it is as good as a part.
        mount["Target"] = json!(place.mounted_at);
        if mounts.all.contains(&mount) {
            return Ok(());
        }
    } else if !below.is_empty() {
        let whole = WHOLE[usize::from(wanted.read_only)];
        mounts.links.push(Link { at: target, to: format!("{whole}/{below}") });
        if !mounts.targets.insert(whole.to_owned()) {
            return Ok(());
        }
        mount["Target"] = json!(whole);
    }
    mounts.all.push(mount);
    Ok(())
}

/// A path that is none of the job's.
fn foreign(path: &str) -> Refusal {
    if path.ends_with("docker.sock") {
        return Refusal::forbidden(
            "binds",
            "containers get no Docker socket; the job's own is at /var/run/docker.sock (for \
             testcontainers set TESTCONTAINERS_RYUK_DISABLED=true)",
        );
    }
    Refusal::forbidden(
        "binds",
        "paths of the host are not mounted; the job's own directory is ($CI_PROJECT_DIR, or \
         longshore-workspace), and so are volumes; copy other files with docker cp",
    )
}
