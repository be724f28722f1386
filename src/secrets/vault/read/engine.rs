//! Which engine a path belongs to, and how it lays out what it holds.

use super::super::client::{Failed, Session};
use super::super::message::Step;
use crate::plan::KvVersion;
use crate::secrets::SecretError;

/// An engine that was found: its mount with a slash at the end, and its layout.
pub(in crate::secrets::vault) struct Engine {
    pub(in crate::secrets::vault) mount: String,
    pub(in crate::secrets::vault) kv: KvVersion,
}

pub(super) async fn find(session: &Session<'_>, path: &str) -> Result<Engine, SecretError> {
    let found = engine(session, path).await;
    Ok(found.map_err(|failed| session.error(&Step::Mounts(path.to_owned()), &failed))?)
}

/// Asks which engine a path belongs to. The token needs any grant there, and none beside.
pub(in crate::secrets::vault) async fn engine(
    session: &Session<'_>,
    path: &str,
) -> Result<Engine, Failed> {
    let answer = session.get(&format!("sys/internal/ui/mounts/{path}"), None).await?;
    let data = &answer["data"];
    let mount = data["path"].as_str().unwrap_or_default();
    let is_kv = matches!(data["type"].as_str(), Some("kv" | "generic"));
    let kv = match data["options"]["version"].as_str() {
        Some("2") if is_kv => KvVersion::V2,
        _ if is_kv => KvVersion::V1,
        _ => KvVersion::Raw,
    };
    if mount.ends_with('/') && path.starts_with(mount) {
        Ok(Engine { mount: mount.to_owned(), kv })
    } else {
        Err(Failed::malformed("the answer names no mount of that path"))
    }
}
