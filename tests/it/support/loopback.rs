//! Listeners on loopback that the daemon under test reaches too, though it may have a network namespace of
//! its own: the same port is listened at in both.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The daemon's network namespace, where `script/test` runs the tests on one that has its own.
const NAMESPACE: &str = "LONGSHORE_TEST_NETWORK_NAMESPACE";

/// Listeners at one port of loopback: this process's, and that of the daemon's namespace.
pub(crate) fn listeners() -> (SocketAddr, Vec<TcpListener>) {
    let here = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = here.local_addr().expect("an address");
    let there = std::env::var_os(NAMESPACE).map(|path| {
        let namespace = File::open(path).expect("the daemon's network namespace");
        // The thread ends with it; what it has made stays in there.
        let bound = std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            TcpListener::bind(address)
        });
        bound.join().expect("a thread").expect("the same port in there")
    });
    (address, [Some(here), there].into_iter().flatten().collect())
}
