//! `docker.volumes`: what the operator mounts into the containers of jobs besides their own. It knows no engine.

use serde::{Deserialize, Serialize};

use super::{Problem, Settings};

/// One of `docker.volumes`: `/HOST:/TARGET[:MODE]`, `NAME:/TARGET[:MODE]`, or `/TARGET` alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Volume {
    /// What is mounted.
    pub source: VolumeSource,
    /// Absolute path in the containers.
    pub target: String,
    /// Whether jobs may not write to it.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeSource {
    /// A path of the host.
    Host(String),
    /// A volume of this name, which all jobs share.
    Named(String),
    /// A volume for each project, protected-ness and user, kept like a cache.
    Kept,
}

impl TryFrom<String> for Volume {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |problem: &str| format!("the volume {text:?} {problem}");
        let mut parts = text.split(':');
        let first = parts.next().unwrap_or_default();
        let (source, target) = match parts.next() {
            None => (VolumeSource::Kept, first),
            Some(target) if first.starts_with('/') => (VolumeSource::Host(first.into()), target),
            Some(target) if is_name(first) => (VolumeSource::Named(first.into()), target),
            Some(_) => return Err(wrong("begins with neither an absolute path nor a name")),
        };
        let read_only = match parts.next() {
            None | Some("rw") => false,
            Some("ro") => true,
            Some(_) => return Err(wrong("ends with a mode other than `ro` and `rw`")),
        };
        let below_root = target.starts_with('/') && !target.trim_matches('/').is_empty();
        if !below_root || target.split('/').any(|part| part == "..") || parts.next().is_some() {
            return Err(wrong("is not SOURCE:/TARGET, SOURCE:/TARGET:ro or /TARGET"));
        }
        let target = target.trim_end_matches('/').to_owned();
        Ok(Self { source, target, read_only })
    }
}

/// As the engine takes it.
fn is_name(text: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(rest)
}

/// Two mounts of one place are an error of the engine, which would then be each job's.
pub(super) fn check(key: &str, volumes: &[Volume], settings: &Settings) -> Problem {
    let fail = |target: &str, problem: &str| Err((key.to_owned(), format!("{target} {problem}")));
    for (place, volume) in volumes.iter().enumerate() {
        let target = volume.target.as_str();
        if target == settings.cache_dir {
            return fail(target, "is where caches are kept without being named; leave it out");
        }
        if target == settings.builds_dir {
            return fail(target, "is where each job has a volume of its own; see builds_dir");
        }
        if target.ends_with("/run/docker.sock") {
            return fail(target, "is given to jobs by docker_socket = \"raw\"; leave it out");
        }
        if volumes[..place].iter().any(|other| other.target == target) {
            return fail(target, "is there twice");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Volume, String> {
        Volume::try_from(text.to_owned())
    }

    #[test]
    fn a_volume_is_a_path_a_name_or_kept() {
        let host = |path: &str| VolumeSource::Host(path.to_owned());
        for (text, source, target, read_only) in [
            ("/srv/data:/data", host("/srv/data"), "/data", false),
            ("/srv/data:/data:ro", host("/srv/data"), "/data", true),
            ("maven:/root/.m2/:rw", VolumeSource::Named("maven".to_owned()), "/root/.m2", false),
            ("/certs/client", VolumeSource::Kept, "/certs/client", false),
        ] {
            assert_eq!(read(text), Ok(Volume { source, target: target.to_owned(), read_only }));
        }
    }

    #[test]
    fn what_is_no_volume_is_said_so() {
        for text in
            ["", "/", "data", "../x:/y", "a:/y", "/a:b", "/a:/b/../c", "/a:/b:z", "/a:/b:ro:ro"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
