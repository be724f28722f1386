//! Another job's objects on the daemon: a container, a network, a volume, an image and an exec instance, with
//! canaries in all that could be read.

use std::fmt::Write as _;

use serde_json::Value;

use super::attack::{CANARY, IMAGE, body_of, request, send};
use crate::support::own_daemon::OwnDaemon;

/// Another job: a scapegoat, whom the bare socket's attacks may destroy, or a victim, who has to stay.
pub(super) struct Victim {
    pub(super) container: String,
    pub(super) name: String,
    pub(super) network: String,
    pub(super) volume: String,
    pub(super) image: String,
    pub(super) image_id: String,
    pub(super) exec: String,
}

impl Victim {
    pub(super) fn make(daemon: &OwnDaemon, name: &str) -> Self {
        let docker = |words: &[&str]| daemon.docker(words).trim().to_owned();
        let (network, volume) = (format!("net-{name}"), format!("vol-{name}"));
        docker(&["network", "create", &network]);
        docker(&["volume", "create", &volume]);
        let image = format!("other/{name}:latest");
        let commit = format!("LABEL word={CANARY}");
        let env = format!("SECRET={CANARY}");
        let script = format!("echo {CANARY}; echo {CANARY} >/tmp/file; exec sleep 3600");
        let container = docker(&[
            "run",
            "-d",
            "--name",
            name,
            "--label",
            "longshore.job=victim",
            "-e",
            &env,
            "-v",
            &format!("{volume}:/store"),
            "--network",
            &network,
            IMAGE,
            "sh",
            "-c",
            &script,
        ]);
        let image_id = docker(&["commit", "--change", &commit, name, &image]);
        let body = r#"{"Cmd":["env"],"AttachStdout":true}"#;
        let path = format!("/containers/{container}/exec");
        let made = send(daemon.socket(), &request("POST", &path, body));
        let exec: Value = serde_json::from_str(body_of(&made)).unwrap();
        let exec = exec["Id"].as_str().unwrap().to_owned();
        Self { container, name: name.to_owned(), network, volume, image, image_id, exec }
    }

    /// Puts its names into a request.
    pub(super) fn fill(&self, text: &str, unique: usize) -> String {
        text.replace("{C}", &self.container)
            .replace("{c}", &self.container[..12])
            .replace("{N}", &self.name)
            .replace("{net}", &self.network)
            .replace("{vol}", &self.volume)
            .replace("{img}", &self.image)
            .replace("{imgid}", &self.image_id)
            .replace("{exec}", &self.exec)
            .replace("{x}", &format!("x{unique}"))
    }

    /// All that the daemon tells of it and that no time changes.
    pub(super) fn state(&self, daemon: &OwnDaemon) -> String {
        let mut all = String::new();
        let look = [
            format!("/containers/{}/json", self.container),
            format!("/networks/{}", self.network),
            format!("/volumes/{}", self.volume),
            format!("/images/{}/json", self.image),
        ];
        for path in look {
            let mut told: Value =
                serde_json::from_str(body_of(&send(daemon.socket(), &request("GET", &path, ""))))
                    .unwrap();
            // What a look of its own changes.
            if let Some(fields) = told.as_object_mut() {
                fields.remove("ExecIDs");
            }
            writeln!(all, "{told}").unwrap();
        }
        all
    }
}
