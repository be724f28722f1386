//! What a dead job left, made by hand: objects with the labels of a job whose runner is gone.

use std::process::Command;

use super::real::{BUSYBOX, docker_host};

/// The command line towards a daemon; its output.
pub fn docker(host: &str, words: &[&str]) -> String {
    let output = Command::new("docker").args(["-H", host]).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What all objects of a job carry whose runner is dead.
pub const DEAD: [&str; 7] = [
    "longshore.job=7-00000000",
    "longshore.owner.boot=another",
    "longshore.owner.pid-namespace=pid:[1]",
    "longshore.owner.pid=1",
    "longshore.owner.start-time=1",
    "longshore.deadline=99999999999",
    "longshore.deadline.uptime=99999999999",
];

/// An object that the command line makes with the labels of a job whose runner is dead; it goes with this
/// value where nobody else has removed it.
pub struct Left {
    kind: &'static str,
    pub name: String,
    host: String,
}

impl Left {
    /// `kind` is the word of the command line: `volume`, `network` or `container`.
    pub fn by_dead_job(kind: &'static str, name: &str, labelled: &str) -> Self {
        Self::on(docker_host(), kind, name, labelled)
    }

    /// The same, of another daemon.
    pub fn on(host: String, kind: &'static str, name: &str, labelled: &str) -> Self {
        let kind_label = format!("longshore.kind={labelled}");
        Self::labelled(host, kind, name, &[&DEAD[..], &[&kind_label]].concat())
    }

    /// One with these labels.
    pub fn make(kind: &'static str, name: &str, labels: &[&str]) -> Self {
        Self::labelled(docker_host(), kind, name, labels)
    }

    /// The same, of another daemon.
    pub fn labelled(host: String, kind: &'static str, name: &str, labels: &[&str]) -> Self {
        let labels: Vec<String> = labels.iter().map(|label| format!("--label={label}")).collect();
        let mut words = vec![kind, "create"];
        words.extend(labels.iter().map(String::as_str));
        match kind {
            "container" => words.extend(["--name", name, BUSYBOX, "true"]),
            _ => words.push(name),
        }
        docker(&host, &words);
        Self { kind, name: name.to_owned(), host }
    }

    /// Another name of the small image.
    pub fn image(host: String, name: &str) -> Self {
        docker(&host, &["tag", BUSYBOX, name]);
        Self { kind: "image", name: name.to_owned(), host }
    }

    /// One that somebody else has made.
    pub fn found(kind: &'static str, name: String) -> Self {
        Self { kind, name, host: docker_host() }
    }

    pub fn is_there(&self) -> bool {
        let words = ["-H", &self.host, self.kind, "inspect", &self.name];
        Command::new("docker").args(words).output().unwrap().status.success()
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let words = ["-H", &self.host, self.kind, "rm", &self.name];
        drop(Command::new("docker").args(words).output());
    }
}
