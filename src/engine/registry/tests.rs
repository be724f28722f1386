//! Tests of how registries are told apart.

use super::*;

const IMAGE: &str = "registry.example.com:5000/team/app:1";

fn of(status: u16, message: &str) -> Fault {
    fault(IMAGE, status, message)
}

const SENTENCES: &[(u16, &str, Fault)] = &[
    (
        404,
        "pull access denied for team/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
        Fault::Denied,
    ),
    (
        500,
        "Get https://registry.example.com:5000/v2/: unauthorized: incorrect username or password",
        Fault::Denied,
    ),
    (
        500,
        "Get \"https://registry.example.com:5000/v2/team/app/manifests/1\": no basic auth credentials",
        Fault::Denied,
    ),
    (
        200,
        "error parsing HTTP 403 response body: unexpected end of JSON input: status: 403 Forbidden",
        Fault::Denied,
    ),
    (
        500,
        "Head \"https://registry.example.com:5000/v2/team/app/manifests/1\": authorization server did not include a token in the response",
        Fault::Denied,
    ),
    (
        404,
        "manifest for registry.example.com:5000/team/app:1 not found: manifest unknown: manifest unknown",
        Fault::NoSuchImage,
    ),
    (
        404,
        "no matching manifest for linux/arm64/v8 in the manifest list entries",
        Fault::NoSuchImage,
    ),
    (404, "repository team/app not found: does not exist or no pull access", Fault::NoSuchImage),
    (404, "name unknown: repository name not known to registry", Fault::NoSuchImage),
    (500, "toomanyrequests: You have reached your pull rate limit", Fault::Throttled),
    (500, "received unexpected HTTP status: 503 Service Unavailable", Fault::Transient),
    (500, "received unexpected HTTP status: 500 Internal Server Error", Fault::Transient),
    (
        500,
        "Get https://registry.example.com:5000/v2/: dial tcp: lookup registry.example.com: no such host",
        Fault::Transient,
    ),
    (
        500,
        "Get https://registry.example.com:5000/v2/: dial tcp 10.0.0.1:5000: connect: connection refused",
        Fault::Transient,
    ),
    (
        500,
        "Get https://registry.example.com:5000/v2/: net/http: TLS handshake timeout",
        Fault::Transient,
    ),
    (
        500,
        "Get https://registry.example.com:5000/v2/: net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
        Fault::Transient,
    ),
    (200, "unexpected EOF", Fault::Transient),
    (
        500,
        "Get https://registry.example.com:5000/v2/: x509: certificate signed by unknown authority",
        Fault::Untrusted,
    ),
    (
        500,
        "Get https://registry.example.com:5000/v2/: http: server gave HTTP response to HTTPS client",
        Fault::Untrusted,
    ),
    (400, "invalid reference format: repository name must be lowercase", Fault::Refused),
    (200, "failed to register layer: write /usr/lib/x: no space left on device", Fault::Daemon),
    (500, "something nobody has seen yet", Fault::Daemon),
];

#[test]
fn each_sentence_a_daemon_passes_on_has_its_class() {
    for &(status, message, expected) in SENTENCES {
        assert_eq!(of(status, message), expected, "{status} {message}");
    }
}

#[test]
fn an_images_own_name_says_nothing_about_the_cause() {
    let named = "r.example.com/x509/access-denied-timeout:429";
    let message = format!("manifest for {named} not found: manifest unknown: manifest unknown");
    assert_eq!(fault(named, 404, &message), Fault::NoSuchImage);
    let hub = "docker.io/tls/timeout:1";
    assert_eq!(fault(hub, 404, "manifest for tls/timeout:1 not found"), Fault::NoSuchImage);
}

#[test]
fn a_short_name_takes_nothing_from_the_sentence() {
    for name in ["x", "registry.example/x", "registry.example/team/x:5", "e", "d:0"] {
        let message =
            format!("Get \"https://registry.example/v2/\": x509: unknown authority for {name}");
        assert_eq!(fault(name, 500, &message), Fault::Untrusted, "{name}");
        let message = format!("pull access denied for {name}, repository does not exist");
        assert_eq!(fault(name, 404, &message), Fault::Denied, "{name}");
    }
    let eof = "registry.example/eof";
    assert_eq!(fault(eof, 200, "unexpected EOF"), Fault::Transient);
    assert_eq!(fault(eof, 404, "repository eof not found"), Fault::NoSuchImage);
    assert_eq!(fault("denied", 404, "manifest for denied:latest not found"), Fault::NoSuchImage);
}

#[test]
fn an_address_says_nothing_about_the_cause() {
    let digest = format!("sha256:429{:061}", 0);
    let image = format!("registry.example/app:1@{digest}");
    for message in [
        format!("Head \"https://registry.example/v2/app/manifests/{digest}\": EOF"),
        format!("Get https://denied.example/blobs/{digest}: EOF"),
        format!("registry.example/app@{digest}: unexpected EOF"),
    ] {
        assert_eq!(fault(&image, 500, &message), Fault::Transient, "{message}");
    }
    let lookup = "dial tcp: lookup denied.example: no such host";
    for image in ["denied.example/app:1", "denied.example:5000/app"] {
        assert_eq!(fault(image, 500, lookup), Fault::Transient, "{image}");
    }
}

#[test]
fn only_a_reference_without_tag_and_digest_gets_the_latest() {
    assert_eq!(with_tag("app"), "app:latest");
    assert_eq!(with_tag("host:5000/app"), "host:5000/app:latest");
    assert_eq!(with_tag("host:5000/app:1"), "host:5000/app:1");
    assert_eq!(with_tag("app@sha256:00"), "app@sha256:00");
    assert_eq!(with_tag("host:5000/app:1@sha256:00"), "host:5000/app:1@sha256:00");
}

#[test]
fn the_wait_that_a_registry_asks_for_is_read() {
    let says = |text: &str| retry_after(&format!("toomanyrequests: Retry-After: {text}"));
    assert_eq!(says("2.5s, allowed: 44000/minute"), Some(Duration::from_millis(2500)));
    assert_eq!(says("343.953\u{b5}s, allowed"), Some(Duration::from_nanos(343_953)));
    assert_eq!(says("250ms"), Some(Duration::from_millis(250)));
    assert_eq!(says("3m "), Some(Duration::from_mins(3)));
    assert_eq!(says("30 "), Some(Duration::from_secs(30)));
    assert_eq!(says("30"), Some(Duration::from_secs(30)));
    assert_eq!(says("soon"), None);
    assert_eq!(says("5parsecs"), None);
    assert_eq!(says("99999999999999999999999h"), None);
    assert_eq!(retry_after("toomanyrequests"), None);
}

#[test]
fn a_manifest_lies_at_its_registry() {
    for (reference, expected) in [
        ("python", "https://registry-1.docker.io/v2/library/python/manifests/latest"),
        ("team/app:2", "https://registry-1.docker.io/v2/team/app/manifests/2"),
        ("docker.io/team/app:2", "https://registry-1.docker.io/v2/team/app/manifests/2"),
        ("reg.example:5000/g/app:1", "https://reg.example:5000/v2/g/app/manifests/1"),
        ("127.0.0.1:5000/app@sha256:0", "http://127.0.0.1:5000/v2/app/manifests/sha256:0"),
        ("reg.example/app:1@sha256:0", "https://reg.example/v2/app/manifests/sha256:0"),
    ] {
        assert_eq!(manifest_url(reference).as_deref(), Some(expected), "{reference}");
    }
}
