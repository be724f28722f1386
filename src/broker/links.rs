//! Symbolic links that go into a container between its creation and its first start, before the client knows
//! of it: a path of the job's directory then leads to where the directory's volume is.

use super::forward::full;
use super::outgoing::{Link, OutBody, Outgoing};
use super::refusal::Refusal;
use super::request::Method;
use super::session::Broker;
use super::{exchange, workspace};

/// Puts them into a container that was just created; one that cannot have them goes again.
///
/// # Errors
/// The daemon takes no archive for it.
pub(super) async fn put(broker: &Broker, container: &str, links: &[Link]) -> Result<(), Refusal> {
    let archive = workspace::archive(links);
    let put = Outgoing {
        query: vec![("path", "/".to_owned())],
        body: OutBody::Archive,
        ..Outgoing::plain(Method::Put, format!("/containers/{container}/archive"))
    };
    let answered = broker.daemon.send(&put, None, Some(full(archive))).await;
    if answered.is_ok_and(|answered| answered.response.status().is_success()) {
        return Ok(());
    }
    let gone = Outgoing {
        query: vec![("force", "1".to_owned()), ("v", "1".to_owned())],
        ..Outgoing::plain(Method::Delete, format!("/containers/{container}"))
    };
    // Cleanup finds it by its label where this fails too.
    drop(broker.daemon.send(&gone, None, None).await);
    Err(exchange::failed())
}
