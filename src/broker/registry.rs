//! What can be done where a registry did not give or take an image: a line for the job log beside the
//! daemon's own words. Pure.

use crate::engine::{Fault, registry_fault};

use super::outgoing::{Note, Outgoing};

/// The line; `None` where the daemon's own words say it all.
pub(super) fn line(outgoing: &Outgoing, image: &str, message: &str) -> Option<String> {
    let is_push = outgoing.notes.iter().any(|note| matches!(note, Note::Pushed { .. }));
    let what = if is_push { "pushed" } else { "pulled" };
    let registry = image.split_once('/').map_or(image, |(host, _)| host);
    let why = match registry_fault(image, 500, message) {
        Fault::Denied => format!(
            "{registry} does not take the login that this job has there, or it has none. `docker login` in \
             a script changes nothing: logins are those of DOCKER_AUTH_CONFIG, of the operator, and of \
             CI_REGISTRY_*"
        ),
        Fault::Untrusted => format!(
            "the Docker daemon does not trust {registry}'s certificate: its CA belongs into \
             /etc/docker/certs.d/{registry}/ca.crt on the host"
        ),
        Fault::Throttled => format!("{registry} limits how often it is asked"),
        Fault::Transient => {
            format!("{registry} cannot be reached or does not answer as it should; is it up?")
        }
        // What a build or a script tries first may well not be there yet.
        _ => return None,
    };
    Some(format!("{image} was not {what}: {why}"))
}

#[cfg(test)]
mod tests {
    use crate::broker::request::Method::Post;
    use crate::broker::stand_in::allowed;

    #[test]
    fn each_cause_has_its_way_out() {
        let pull = allowed(Post, "/images/create?fromImage=base.example/team/base&tag=1", "");
        let push = allowed(Post, "/images/registry.example/team/app/push?tag=test", "");
        for (message, word) in [
            ("unauthorized: authentication required", "DOCKER_AUTH_CONFIG"),
            ("x509: certificate signed by unknown authority", "certs.d/base.example/ca.crt"),
            ("dial tcp 127.0.0.1:9: connect: connection refused", "is it up?"),
            ("toomanyrequests: slow down", "how often"),
        ] {
            let line = super::line(&pull, "base.example/team/base:1", message).unwrap();
            assert!(line.contains(word) && line.contains("was not pulled"), "{line}");
            let line = super::line(&push, "base.example/team/base:1", message).unwrap();
            assert!(line.contains("was not pushed"), "{line}");
        }
        assert_eq!(super::line(&pull, "base.example/team/base:1", "manifest unknown"), None);
    }
}
