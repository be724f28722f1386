//! What a person can do about a failure: one line each, for the conductors' messages.

use crate::engine::Fault;

/// Where a registry does not say that a cached image may be used.
pub const SHARED_IMAGES: &str =
    "; images that are for every project are named by the operator: [docker] shared_images";

/// Where `sudo` failed because nobody in the job may gain privileges.
pub const NO_SUDO: &str = "longshore: sudo cannot work here: this runner lets nobody in a job gain privileges. \
    Run as root instead (image:docker:user: root), or ask the operator of this runner for \
    no_new_privileges = false in [isolation]";

/// The next step after an engine failure with this cause, which may say more than its class.
pub fn of_cause(cause: &str, fault: Fault) -> &'static str {
    if cause.contains("no space left on device") {
        return "\n  the Docker daemon's disk is full: the operator of this runner has to make room \
                (docker system df; longshore reap)";
    }
    if cause.contains("ca.pem") {
        return ""; // a daemon that does not know us is there, and has told what is wrong
    }
    of_engine(fault)
}

/// Where the daemon has no subnet left for one more network.
pub const NO_ADDRESSES: &str = "\n  the Docker daemon has no addresses left for one more network: name a range that nobody here uses \
    ([docker] slot_pool in the settings, e.g. \"10.213.0.0/16\"), or remove networks that nobody uses (docker network \
    prune)";

/// The next step after an engine failure, as a line of its own; empty where there is none to offer.
pub fn of_engine(fault: Fault) -> &'static str {
    match fault {
        Fault::NoSocket | Fault::Unreachable => {
            "\n  is the Docker daemon running, and may this user open its socket? \
             try: docker version; systemctl status docker"
        }
        Fault::Deadline => {
            "\n  the Docker daemon does not answer in time; look at: journalctl -u docker"
        }
        Fault::Daemon => "\n  the Docker daemon's own log says more: journalctl -u docker",
        _ => "",
    }
}

/// The next step after a pull that failed.
pub fn of_pull(fault: Fault) -> &'static str {
    match fault {
        Fault::Denied => {
            "\n  check the name; a private image needs credentials: CI_REGISTRY_* of the project, \
             or DOCKER_AUTH_CONFIG"
        }
        Fault::NoSuchImage => "\n  check the image's name and tag",
        Fault::Untrusted => {
            "\n  put the registry's CA into /etc/docker/certs.d/HOST:PORT/ca.crt on this host"
        }
        Fault::Transient => "\n  the registry was asked three times; is its name right, is it up?",
        Fault::Throttled => {
            "\n  the registry limits how often this host may pull: log in there, or have the operator name \
             a mirror or a pull policy with `if-not-present`"
        }
        Fault::Deadline => "\n  the operator can give pulls more time: [docker] pull_deadline",
        other => of_engine(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_whatever_the_daemon_calls_it() {
        let cause = "failed to copy files: write /x: no space left on device";
        assert!(of_cause(cause, Fault::Daemon).contains("disk is full"));
        assert_eq!(of_cause("oops", Fault::Daemon), of_engine(Fault::Daemon));
    }
}
