//! 41: a symbolic link in the job's directory that leads to the host's files. What is mounted is the volume, and
//! the link is followed inside the container, where there is nothing of the host; there is no path of the host that
//! could be checked first and swapped afterwards.

use serde_json::{Value, json};

use super::attack::{CANARY, IMAGE, body_of, request, send, status};
use crate::support::brokered::Brokered;
use crate::support::own_daemon::OwnDaemon;

#[test]
fn a_link_in_the_jobs_directory_shows_nothing_of_the_host() {
    let daemon = OwnDaemon::start(&[IMAGE]);
    daemon.docker(&["network", "create", "slot"]);
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("file"), CANARY).unwrap();
    let target = host.path().to_str().unwrap();
    // A directory of the host's in the place of the job's, for the bare socket.
    let builds = tempfile::tempdir().unwrap();
    let link = builds.path().join("link");
    std::os::unix::fs::symlink(host.path(), &link).unwrap();
    let bind = format!("{}:/x", link.display());
    assert!(daemon.docker(&["run", "--rm", "-v", &bind, IMAGE, "cat", "/x/file"]).contains(CANARY));
    let brokered = Brokered::start(daemon.socket(), "slot");
    let volume = format!("longshore-{}-builds:/b", brokered.key);
    let link_there =
        format!("mkdir -p /b/team/app; ln -s {target} /b/team/app/link; ls -l /b/team/app");
    daemon.docker(&["run", "--rm", "-v", &volume, IMAGE, "sh", "-c", &link_there]);
    for (source, file) in
        [("/builds/team/app/link", "/x/file"), ("/builds/team/app", "/x/link/file")]
    {
        let body = json!({"Image": IMAGE, "Cmd": ["cat", file], "Tty": true,
            "HostConfig": {"Binds": [format!("{source}:/x")]}});
        let ask = |method: &str, target: &str, body: &str| {
            send(&brokered.socket(), &request(method, target, body))
        };
        let made = ask("POST", "/containers/create", &body.to_string());
        assert_eq!(status(&made), 201, "{made}");
        let id: Value = serde_json::from_str(body_of(&made)).unwrap();
        let path = format!("/containers/{}", id["Id"].as_str().unwrap());
        ask("POST", &format!("{path}/start"), "");
        ask("POST", &format!("{path}/wait"), "");
        let logs = ask("GET", &format!("{path}/logs?stdout=1&stderr=1"), "");
        assert!(logs.contains("No such file") && !logs.contains(CANARY), "{logs}");
        for inside in ["/x/file", "/x/link/file", "/.longshore-workspace/team/app/link/file"] {
            let told = ask("GET", &format!("{path}/archive?path={inside}"), "");
            assert!(!told.contains(CANARY), "{told}");
        }
    }
}
