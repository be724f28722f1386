//! `longshore init` below a root of the test's own, and systemd's own word on what it installs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::real::{BINARY, assert_says, stderr};

struct Ground(TempDir);

impl Ground {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn init(&self, words: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(["init", "--root"]).arg(self.0.path()).args(words).env_clear();
        command.output().unwrap()
    }

    fn settings(&self) -> String {
        fs::read_to_string(self.path("etc/longshore/longshore.toml")).unwrap()
    }

    fn units(&self) -> Vec<PathBuf> {
        let units = fs::read_dir(self.path("etc/systemd/system")).unwrap();
        let mut units: Vec<PathBuf> = units.map(|unit| unit.unwrap().path()).collect();
        units.sort();
        units
    }
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn analyzed(words: &[&str], units: &[PathBuf]) -> String {
    let output = Command::new("systemd-analyze").args(words).args(units).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "systemd-analyze {words:?}: {text}");
    text
}

#[test]
fn systemd_accepts_the_units_and_finds_them_closed() {
    let ground = Ground::new();
    told(&ground.init(&["--metrics", "/var/lib/node-exporter/longshore.prom"]));
    let units = ground.units();
    assert_eq!(units.len(), 6, "{units:?}");
    assert_eq!(analyzed(&["verify", "--man=no"], &units), "");
    let services: Vec<PathBuf> = units
        .iter()
        .filter(|unit| unit.extension().is_some_and(|kind| kind == "service"))
        .cloned()
        .collect();
    for service in services {
        // In tenths of its scale from 0 to 10.
        let words = ["security", "--offline=true", "--threshold=30", "--no-pager"];
        analyzed(&words, &[service]);
    }
}

/// The timer's service has a umask of 0077, and the collector is another user.
#[test]
fn the_figures_can_be_read_by_everybody_whatever_the_umask() {
    let ground = Ground::new();
    told(&ground.init(&["--docker-host", "unix:///nowhere/docker.sock"]));
    let (settings, page) =
        (ground.path("etc/longshore/longshore.toml"), ground.path("longshore.prom"));
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("state_dir = {:?}\n{text}", ground.path("state"))).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0077; exec \"$@\"", "sh", BINARY, "--settings"]).arg(settings);
    command.args(["status", "--prometheus", "--output"]).arg(&page);
    told(&command.output().unwrap());
    assert_eq!(fs::metadata(page).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn what_would_be_written_is_shown_and_is_not() {
    let ground = Ground::new();
    let told = told(&ground.init(&["--dry-run", "--max-jobs", "3"]));
    let words = ["would write ", "max_jobs = 3", "longshore-reap.timer", "NoNewPrivileges=yes"];
    assert_says(&told, &words);
    assert_says(&told, &["[[runners]]", "glrt-REPLACE_ME", "systemctl enable --now"]);
    assert_eq!(fs::read_dir(ground.0.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_replaced_without_being_told_to() {
    let ground = Ground::new();
    told(&ground.init(&["--max-jobs", "3"]));
    let mode = fs::metadata(ground.path("etc/longshore/longshore.toml")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert_says(&told(&ground.init(&["--max-jobs", "3"])), &["kept ", "longshore.toml"]);
    let reap = ground.path("etc/systemd/system/longshore-reap.service");
    fs::remove_file(&reap).unwrap();
    let before = ground.settings();
    let refused = ground.init(&["--max-jobs", "4"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_says(&stderr(&refused), &["longshore.toml is there", "nothing was written", "--force"]);
    assert_eq!(ground.settings(), before);
    assert!(!reap.exists());
    assert_says(&told(&ground.init(&["--max-jobs", "4", "--force"])), &["replaced ", "wrote "]);
    assert_says(&ground.settings(), &["max_jobs = 4"]);
}

#[test]
fn options_that_make_no_settings_write_nothing() {
    let ground = Ground::new();
    let refused = ground.init(&["--docker-host", "docker"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_says(&stderr(&refused), &["docker.host", "unix:///PATH"]);
    assert_eq!(fs::read_dir(ground.0.path()).unwrap().count(), 0);
}

const CONFIG: &str =
    "# ours\nconcurrent = 4 # at most\n\n[[runners]]\n  name = \"old\"\n  executor = \"shell\"\n";

#[test]
fn the_runners_configuration_keeps_every_word_and_gets_the_block_once() {
    let ground = Ground::new();
    let (config, token) = (ground.path("etc/gitlab-runner/config.toml"), ground.path("token"));
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, CONFIG).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(&token, "glrt-0123456789\n").unwrap();
    let token = token.display().to_string();
    let url = "https://gitlab.example.com";
    let add =
        ["--runner-config", "/etc/gitlab-runner/config.toml", "--url", url, "--token-file", &token];
    let shown = told(&ground.init(&[&add[..], &["--dry-run"]].concat()));
    assert_says(&shown, &["would add to ", "glrt-REPLACE_ME"]);
    assert!(!shown.contains("glrt-0123456789"));
    assert_eq!(fs::read_to_string(&config).unwrap(), CONFIG);
    assert!(!told(&ground.init(&add)).contains("glrt-0123456789"));
    let text = fs::read_to_string(&config).unwrap();
    let block = text.strip_prefix(CONFIG).unwrap();
    assert_says(block, &["[[runners]]", "token = \"glrt-0123456789\"", "prepare_exec = ", url]);
    let parsed: toml::Table = text.parse().unwrap();
    assert_eq!(parsed["runners"].as_array().unwrap().len(), 2);
    assert_eq!(parsed["runners"][1]["custom"]["prepare_exec"].as_str(), Some(BINARY));
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o640);
    assert_says(&told(&ground.init(&add)), &["kept "]);
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
    broken(&ground, &config, &add);
}

fn broken(ground: &Ground, config: &Path, add: &[&str]) {
    fs::write(config, "concurrent =\n").unwrap();
    let refused = ground.init(add);
    assert_eq!(refused.status.code(), Some(1));
    assert_says(&stderr(&refused), &["config.toml is not valid TOML"]);
    assert_eq!(fs::read_to_string(config).unwrap(), "concurrent =\n");
}
