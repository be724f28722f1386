//! What a commit makes: the daemon gives it the labels of its container, ours among them, and they would make
//! containers of the image look like the job's for ever. So the image is made a second time without them, and the
//! first goes; only then it has a name, and the client its id.

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::forward::{Answered, Body, full};
use super::outgoing::{Answer, Note, OutBody, Outgoing, Patience, Shape};
use super::record::Heard;
use super::refusal::Refusal;
use super::relabel::{Relabelled, relabelled};
use super::request::Method;
use super::session::Broker;
use super::{documents, exchange, relay};

/// Longest answer to a commit: an id.
const LONGEST: usize = 64 << 10;

/// Sees a commit through; its notes hold the name that the image is to have.
///
/// # Errors
/// The daemon does not take the image without the labels; then there is none.
pub(super) async fn whole(
    broker: &Broker,
    outgoing: &Outgoing,
    answered: Answered,
) -> Result<Response<Body>, Refusal> {
    if !answered.response.status().is_success() {
        return relay::error(broker, outgoing, answered).await;
    }
    let body = Limited::new(answered.response.into_body(), LONGEST).collect().await;
    let body = body.map_err(|_| exchange::failed())?.to_bytes();
    let first =
        id(&serde_json::from_slice(&body).unwrap_or_default()).ok_or_else(exchange::failed)?;
    let made = again(broker, outgoing, &first).await;
    let path = format!("/images/{first}");
    // gc finds it where this fails: it has no name.
    let gone = request(Method::Delete, path, OutBody::None, vec![("noprune", "1".to_owned())]);
    drop(broker.daemon.send(&gone, None, None).await);
    let id = made?;
    documents::note_down(broker, &outgoing.notes, b"").await?;
    broker.with_view(|view| view.own.image_ids.insert(id.clone()));
    broker.write_down(outgoing, &Heard::of(&id));
    let mut response = Response::new(full(Bytes::from(json!({ "Id": id }).to_string())));
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Makes it again without our labels; answers its id.
async fn again(broker: &Broker, outgoing: &Outgoing, first: &str) -> Result<String, Refusal> {
    let look = async |path: String| {
        broker.daemon.look(&path, &[]).await.map_err(|error| exchange::unanswered(&error))
    };
    let image = look(format!("/images/{first}/json")).await?;
    let history = look(format!("/images/{first}/history")).await?;
    let name = outgoing.notes.iter().find_map(|note| match note {
        Note::Images { references, .. } => references.first().map(String::as_str),
        _ => None,
    });
    let Relabelled { id: expected, archive } =
        relabelled(&image, &history, name).ok_or_else(exchange::failed)?;
    let quiet = vec![("quiet", "1".to_owned())];
    let load = request(Method::Post, "/images/load".to_owned(), OutBody::Archive, quiet);
    let answered = broker.daemon.send(&load, None, Some(full(archive))).await;
    let answered = answered.map_err(|error| exchange::unanswered(&error))?;
    documents::to_its_end(broker, &load, answered).await.map_err(|_| not_taken())?;
    let made = id(&look(format!("/images/{expected}/json")).await?);
    made.filter(|made| *made == expected).ok_or_else(not_taken)
}

fn id(answer: &Value) -> Option<String> {
    let id = answer.get("Id").or_else(|| answer.get("ID"))?.as_str()?;
    let hex = id.strip_prefix("sha256:")?;
    super::name::is_hex(hex).then(|| id.to_owned())
}

fn not_taken() -> Refusal {
    let message = "this daemon cannot make the committed image without the labels of its container; \
                   build the image instead";
    Refusal { rule: "commit", status: 501, message: message.to_owned(), told: true }
}

fn request(
    method: Method,
    path: String,
    body: OutBody,
    query: Vec<(&'static str, String)>,
) -> Outgoing {
    Outgoing {
        query,
        body,
        patience: Patience::Job,
        answer: Answer::Documents(Shape::Progress),
        ..Outgoing::plain(method, path)
    }
}
