//! Attacks through a brokered socket on a daemon of the test's own: each is shown to work on the bare socket
//! first, then refused by the broker, with the other job's objects as they were and not one of its canaries
//! in what the attacker got.
mod attack;
mod builds;
mod cross_job;
mod daemon;
mod hidden;
mod on_host;
mod reading;
mod scene;
mod victim;

use attack::{Attack, IMAGE, request, send, status};
use on_host::{ON_HOST, creation};
use scene::{Scene, broken_on_bare};

use crate::support::own_daemon::OwnDaemon;

#[test]
fn what_works_on_the_bare_socket_is_refused_by_the_broker() {
    let creations: Vec<Attack> = ON_HOST.iter().map(|(name, host)| creation(name, host)).collect();
    let endpoints = cross_job::OTHERS.iter().chain(daemon::DAEMON).chain(cross_job::DESTRUCTIVE);
    let attacks: Vec<&Attack> =
        cross_job::LISTS.iter().chain(&creations).chain(endpoints).collect();
    let daemon = OwnDaemon::start(&[IMAGE]);
    assert_eq!(broken_on_bare(&daemon, &attacks), Vec::<String>::new());
    let scene = Scene::set(daemon);
    let before = scene.victim.state(&scene.daemon);
    let through: Vec<String> = attacks
        .iter()
        .enumerate()
        .filter_map(|(number, attack)| scene.is_refused(attack, number))
        .collect();
    assert_eq!(through, Vec::<String>::new(), "{} of {} through", through.len(), attacks.len());
    assert_eq!(scene.victim.state(&scene.daemon), before);
    // That a plain one is let through shows that none of them was refused for its form.
    let plain = creation("plain", "{}");
    let answer = send(&scene.brokered.socket(), &request(plain.method, plain.target, plain.body));
    assert_eq!(status(&answer), 201, "{answer}");
    scene.assert_confined();
    println!("{} attacks tried, 0 through", attacks.len());
}
