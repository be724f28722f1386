//! What others have must look like what is not there (109, 112, 113), to the clock too.

use std::time::{Duration, Instant};

use super::attack::{CANARY, IMAGE, body_of, request, send, status};
use super::scene::Scene;
use crate::support::brokered::Brokered;
use crate::support::own_daemon::OwnDaemon;

/// Asks of this many in turn.
const TIMES: usize = 100;

/// How far the middles may lie apart: what a hidden object costs more would be a request to the daemon, and
/// none is made for either.
const APART: Duration = Duration::from_millis(2);

/// Targets, one that is another's, and one that is not there.
fn pairs(scene: &Scene) -> Vec<(&'static str, String, &'static str)> {
    let victim = &scene.victim;
    let of = |target, name: &String, absent| (target, name.clone(), absent);
    let id = "0000000000000000000000000000000000000000000000000000000000000000";
    vec![
        of("/containers/{}/json", &victim.name, "nothing"),
        of("/containers/{}/json", &victim.container, id),
        of("/networks/{}", &victim.network, "nothing"),
        of("/volumes/{}", &victim.volume, "nothing"),
        of("/exec/{}/json", &victim.exec, id),
        of("/images/{}/json", &victim.image, "nothing/at:all"),
        of("/images/{}/history", &victim.image_id, "sha256:00000000"),
    ]
}

#[test]
fn nobody_learns_which_objects_others_have() {
    let scene = Scene::set(OwnDaemon::start(&[IMAGE]));
    let say = |target: &str, name: &str| {
        let sent = request("GET", &target.replace("{}", name), "");
        let began = Instant::now();
        let answer = send(&scene.brokered.socket(), &sent);
        let took = began.elapsed();
        let bare = name.trim_start_matches("sha256:");
        ((status(&answer), body_of(&answer).replace(name, "NAME").replace(bare, "NAME")), took)
    };
    for (target, there, absent) in pairs(&scene) {
        let (answer, _) = say(target, &there);
        assert_eq!(answer, say(target, absent).0, "{target}");
        assert_eq!(answer.0, 404, "{target}");
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..TIMES {
            took[0].push(say(target, &there).1);
            took[1].push(say(target, absent).1);
        }
        let [there, absent] = took.map(|mut all| {
            all.sort_unstable();
            all[TIMES / 2]
        });
        assert!(there.abs_diff(absent) < APART, "{target}: {there:?} and {absent:?}");
    }
}

#[test]
fn a_name_like_anothers_id_is_only_a_name() {
    let scene = Scene::set(OwnDaemon::start(&[IMAGE]));
    let short = &scene.victim.container[..12];
    let body = format!("{{\"Image\":\"{IMAGE}\"}}");
    let sent = request("POST", &format!("/containers/create?name={short}"), &body);
    let inspect = ["inspect", "-f", "{{.Id}}", short];
    let answer = send(&scene.brokered.socket(), &sent);
    assert_eq!(status(&answer), 201, "{answer}");
    assert_eq!(scene.daemon.docker(&inspect).trim(), scene.victim.container);
    // At the bare daemon the name wins.
    assert_eq!(status(&send(scene.daemon.socket(), &sent)), 201);
    let named = scene.daemon.docker(&inspect);
    assert_ne!(named.trim(), scene.victim.container);
    // Whoever removes the victim by its short id would remove this one.
    scene.daemon.docker(&["rm", named.trim()]);
}

/// Words of another's command line, which `ps` shows where the daemon looks for the id of a process: what is no
/// number it complains of, and a number is one of the attacker's own processes sooner or later.
#[test]
fn nobody_reads_what_others_run() {
    let scene = Scene::set(OwnDaemon::start(&[IMAGE]));
    let user = std::process::id().to_string();
    let script = ["sh", "-c", "read x", CANARY];
    scene
        .daemon
        .docker(&[&["run", "-di", "--name", "named", "-u", &user, IMAGE], &script[..]].concat());
    let own = scene.own();
    scene.daemon.docker(&["start", own]);
    let top = |socket: &std::path::Path, columns: &str| {
        let target = format!("/containers/{own}/top?ps_args=-o%20{columns}%20-u%20{user}");
        send(socket, &request("GET", &target, ""))
    };
    // sh, -c, read, x and the canary: the fifth word is where PID stands in the line of titles.
    let bare = top(scene.daemon.socket(), "args,user,user,user,pid");
    assert!(bare.contains(CANARY), "{bare}");
    for columns in ["args,user,user,user,pid", "pid,args", "pid,args%20-o%20args,pid"] {
        let answer = top(&scene.brokered.socket(), columns);
        assert!(status(&answer) == 403 && !answer.contains(CANARY), "{answer}");
    }
    let plain = request("GET", &format!("/containers/{own}/top?ps_args=-eo%20pid,args"), "");
    let answer = send(&scene.brokered.socket(), &plain);
    assert!(answer.contains("sleep") && !answer.contains(CANARY), "{answer}");
}

/// What another job built for itself alone is not there, though the operator lets jobs share all images.
#[test]
fn images_of_one_job_alone_are_not_shared() {
    let daemon = OwnDaemon::start(&[IMAGE]);
    let theirs = "longshore.invalid/8-deadbeef/app:1";
    daemon.docker(&["tag", IMAGE, theirs]);
    daemon.docker(&["network", "create", "slot"]);
    let brokered = Brokered::with(daemon.socket(), "slot", |_, rules| {
        let all = longshore::settings::Patterns::new(vec!["**".to_owned()]).unwrap();
        rules.shared_images = all.clone();
        rules.allowed_images = all;
    });
    let create = |socket: &std::path::Path, image: &str| {
        let body = format!("{{\"Image\":\"{image}\",\"Cmd\":[\"true\"]}}");
        status(&send(socket, &request("POST", "/containers/create", &body)))
    };
    assert_eq!(create(daemon.socket(), theirs), 201);
    assert_eq!(create(&brokered.socket(), theirs), 404);
    assert_eq!(create(&brokered.socket(), IMAGE), 201);
}

/// Another project pulled it with its own login; this one may pull from there, and has none.
#[test]
fn an_image_that_others_pulled_is_not_there_without_a_login() {
    const CACHED: &str = "127.0.0.1:1/team/private:1";
    let daemon = OwnDaemon::start(&[IMAGE]);
    daemon.docker(&["tag", IMAGE, CACHED]);
    daemon.docker(&["network", "create", "slot"]);
    let create = |socket: &std::path::Path| {
        let body = format!("{{\"Image\":\"{CACHED}\",\"Cmd\":[\"true\"]}}");
        status(&send(socket, &request("POST", "/containers/create", &body)))
    };
    assert_eq!(create(daemon.socket()), 201);
    let brokered = Brokered::with(daemon.socket(), "slot", |_, rules| {
        let allowed = vec!["127.0.0.1:1/**".to_owned()];
        rules.allowed_images = longshore::settings::Patterns::new(allowed).unwrap();
    });
    assert_eq!(create(&brokered.socket()), 404);
    let pull = "/images/create?fromImage=127.0.0.1:1/team/private&tag=1";
    let answer = send(&brokered.socket(), &request("POST", pull, ""));
    assert_eq!(status(&answer), 500, "{answer}");
    assert_eq!(create(&brokered.socket()), 404, "a pull that failed shows nothing");
    for inside in ["json", "history", "get"] {
        let target = format!("/images/{CACHED}/{inside}");
        let answer = send(&brokered.socket(), &request("GET", &target, ""));
        assert_eq!(status(&answer), 404, "{answer}");
    }
}
