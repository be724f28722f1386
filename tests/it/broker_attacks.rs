//! Attacks through a brokered socket on a daemon of the test's own: each is shown to work on the bare socket
//! first, then refused by the broker, with the other job's objects as they were and not one of its canaries
//! in what the attacker got.
//!
//! The names begin with the attack's number in the list. Where each is tested, besides the policy's own tests
//! (`src/broker/policy/tests/attacks.rs`, `src/broker/transport/tests.rs`, `src/broker/build/tests`):
//!
//! | attacks | where |
//! |---|---|
//! | 1, 2, 4, 5, 7: bodies that Go's decoder reads otherwise | `reading` |
//! | 8, 10, 11, 13, 14, 16, 19, 20, 22 to 26, 28, 29: requests with two readings | `reading` |
//! | 17: a second request in the first | `reading`, and `broker_transport` |
//! | 31, 32, 34, 35, 42 to 44, 46 to 53, 55, 56, 58, 59, 80: `HostConfig` | `on_host` |
//! | 37, 38, 40, 79, macvlan: volumes and networks that reach the host | `daemon` |
//! | 41: a link in the job's directory | `workspace` |
//! | 61, 62, 64, 65, 67, 73, 107: the daemon's control, and what it would fetch | `daemon` |
//! | 68: `Upgrade: h2c` | `broker_transport` |
//! | 51, 70, 71, 74, 103: builds, by classic builder | `builds`, 71 in `daemon` |
//! | 76, 104: `BuildKit`'s frontends and cache mounts; layers of others | `builds` |
//! | 77: flags of RUN, which this daemon does not know; what Docker 28 does with them is told there | `builds` |
//! | 82, 83, 85, 86, 88 to 92, 94, 95, 97, 98, 100, 106: another job's objects | `cross_job`, `on_host` |
//! | 101: built under another's name | the policy's tests: it is 403 by the name alone |
//! | 109, 112, 113: what must look absent, to the clock too | `hidden` |
//! | 110: pushed under another's name | `cross_job` |
//! | 115, 116: quotas | `quota` |
//!
//! Beyond the list, found by reading: `builds` (Dockerfiles and layers) and `daemon` (columns of `ps`).
mod attack;
mod builds;
mod cross_job;
mod daemon;
mod hidden;
mod on_host;
mod quota;
mod reading;
mod scene;
mod victim;
mod workspace;

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
