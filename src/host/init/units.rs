//! The units and timers of systemd, hardened, for this host's paths. Pure.

use std::path::{Path, PathBuf};

use crate::settings::Settings;

/// Each file's name and text as it is kept beside this one.
const FILES: [(&str, &str); 4] = [
    ("longshore-reap.service", include_str!("longshore-reap.service")),
    ("longshore-reap.timer", include_str!("longshore-reap.timer")),
    ("longshore-gc.service", include_str!("longshore-gc.service")),
    ("longshore-gc.timer", include_str!("longshore-gc.timer")),
];

/// Those that are there only where figures are wanted.
const METRICS: [(&str, &str); 2] = [
    ("longshore-status.service", include_str!("longshore-status.service")),
    ("longshore-status.timer", include_str!("longshore-status.timer")),
];

const SANDBOX: &str = include_str!("sandbox.conf");

/// What the units are told of this host.
pub(super) struct Place<'a> {
    pub(super) executable: &'a Path,
    pub(super) settings_path: &'a Path,
    pub(super) settings: &'a Settings,
    pub(super) user: &'a str,
    /// Where figures for Prometheus go.
    pub(super) metrics: Option<&'a Path>,
}

/// Name and text of each file.
pub(super) fn all(place: &Place<'_>) -> Vec<(&'static str, String)> {
    files(place.metrics.is_some()).map(|(name, text)| (*name, filled(text, place))).collect()
}

/// The names of the timers, to be enabled.
pub(super) fn timers(metrics: bool) -> impl Iterator<Item = &'static str> {
    files(metrics)
        .map(|(name, _)| *name)
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "timer"))
}

fn files(metrics: bool) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    FILES.iter().chain(METRICS.iter().filter(move |_| metrics))
}

fn filled(text: &str, place: &Place<'_>) -> String {
    let metrics = place.metrics.unwrap_or(Path::new("/"));
    text.replace("@SANDBOX@\n", &SANDBOX.replace("@DIRECTORIES@", &directories(place)))
        .replace("@EXECUTABLE@", &word(place.executable))
        .replace("@SETTINGS@", &word(place.settings_path))
        .replace("@METRICS_DIRECTORY@", &word(metrics.parent().unwrap_or(metrics)))
        .replace("@METRICS@", &word(metrics))
        .replace("@USER@", place.user)
}

/// Directories of ours that systemd knows how to make, it makes; others have to be there.
fn directories(place: &Place<'_>) -> String {
    let (run, state) = (&place.settings.run_dir, &place.settings.state_dir);
    let below = |path: &Path, base: &str| path.strip_prefix(base).ok().map(Path::to_path_buf);
    let other = |path: &PathBuf| format!("ReadWritePaths={}", word(path));
    let run = below(run, "/run").map_or_else(
        || other(run),
        |name| {
            let name = word(&name);
            format!(
                "RuntimeDirectory={name}\nRuntimeDirectoryMode=0700\n# Jobs' locks are in it.\n\
                 RuntimeDirectoryPreserve=yes"
            )
        },
    );
    let state = below(state, "/var/lib").map_or_else(
        || other(state),
        |name| format!("StateDirectory={}\nStateDirectoryMode=0700", word(&name)),
    );
    format!("{run}\n{state}")
}

/// A path as a word of a unit: `%` begins a specifier, and a blank ends the word.
fn word(path: &Path) -> String {
    let text = path.display().to_string().replace('%', "%%");
    if text.contains([' ', '\t', '"', '\\']) {
        return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn place(settings: &Settings) -> Place<'_> {
        Place {
            executable: Path::new("/usr/local/bin/longshore"),
            settings_path: Path::new("/etc/longshore/longshore.toml"),
            settings,
            user: "root",
            metrics: Some(Path::new("/var/lib/node-exporter/longshore.prom")),
        }
    }

    #[test]
    fn every_unit_calls_a_command_that_there_is() {
        let settings = Settings::default();
        let all = all(&place(&settings));
        assert!(
            all.iter().all(|(_, text)| !text.contains("@EXECUTABLE@") && !text.contains("@USER@"))
        );
        let calls = all.iter().flat_map(|(_, text)| text.lines());
        let calls: Vec<_> = calls.filter_map(|line| line.strip_prefix("ExecStart=")).collect();
        assert_eq!(calls.len(), 3);
        for call in calls {
            Cli::try_parse_from(call.split(' ')).unwrap_or_else(|error| panic!("{call}: {error}"));
        }
        assert_eq!((timers(false).count(), timers(true).count()), (2, 3));
    }

    /// The directories of killed runners lie in their TMPDIR, which is the host's.
    #[test]
    fn the_reap_has_the_hosts_temporary_directories_and_no_other_unit_has() {
        let settings = Settings::default();
        for (name, text) in
            all(&place(&settings)).into_iter().filter(|one| one.1.contains("[Service]"))
        {
            let is_reap = name == "longshore-reap.service";
            assert_eq!(text.contains("ReadWritePaths=-/tmp -/var/tmp "), is_reap, "{name}");
            assert_eq!(text.contains("PrivateTmp=yes"), !is_reap, "{name}");
        }
    }

    #[test]
    fn directories_elsewhere_are_let_through_the_sandbox() {
        let mut settings = Settings::default();
        let usual = directories(&place(&settings));
        assert!(usual.contains("RuntimeDirectory=longshore\n"), "{usual}");
        assert!(usual.contains("StateDirectory=longshore\n"), "{usual}");
        settings.state_dir = "/data/long shore".into();
        settings.run_dir = "/run/ci/100%".into();
        let other = directories(&place(&settings));
        assert!(other.contains("ReadWritePaths=\"/data/long shore\""), "{other}");
        assert!(other.contains("RuntimeDirectory=ci/100%%\n"), "{other}");
    }
}
