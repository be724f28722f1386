//! Tests of how the daemon's words are classed.

use super::*;

fn answered(status_code: u16, message: &str) -> EngineError {
    let error = Error::DockerResponseServerError { status_code, message: message.to_owned() };
    of("remove network", "slot", &error)
}

#[test]
fn each_status_has_its_class() {
    let table = [
        (400, Fault::Refused),
        (403, Fault::Refused),
        (404, Fault::NotFound),
        (409, Fault::Conflict),
        (500, Fault::Daemon),
        (503, Fault::Daemon),
    ];
    for (status, fault) in table {
        let error = answered(status, "words");
        assert_eq!((error.fault, error.cause.as_str()), (fault, "words"), "{status}");
    }
}

#[test]
fn a_network_in_use_is_a_conflict_whatever_the_status() {
    let cause = "error while removing network: network slot id 12 has active endpoints";
    let error = answered(403, cause);
    assert_eq!(error.fault, Fault::Conflict);
    assert_eq!(error.to_string(), format!("remove network slot: {cause}"));
}

#[test]
fn a_daemon_that_wants_tls_is_told_with_the_key() {
    let error = answered(400, "Client sent an HTTP request to an HTTPS server.\n");
    assert_eq!(error.fault, Fault::Refused);
    assert!(error.cause.ends_with("by docker.tls_cert_path"), "{}", error.cause);
}

#[test]
fn an_answer_without_words_still_tells_a_cause() {
    assert_eq!(answered(500, " \n").cause, "the daemon answered status 500 without a word");
}

#[test]
fn a_chain_tells_each_sentence_once() {
    let error = Error::from(serde_json::from_str::<u8>("\"").unwrap_err());
    let told = of("list", "images", &error).cause;
    assert_eq!(told.matches("EOF while parsing").count(), 1, "{told}");
}
