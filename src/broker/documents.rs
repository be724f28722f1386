//! Answers that are JSON: cut down to what is the job's own before they pass, and what they tell of new
//! objects written down first. An answer that cannot be read does not pass (T12).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::Response;
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};

use super::exchange::failed;
use super::forward::{Answered, Body, BodyError, Connection, full};
use super::outgoing::{Note, Outgoing, Shape};
use super::record::Heard;
use super::refusal::Refusal;
use super::relay;
use super::session::Broker;
use super::{answer, links};

/// Longest document, and longest line of a stream.
const LONGEST: usize = 16 << 20;

/// One document, read whole.
pub(super) async fn whole(
    broker: &Broker,
    outgoing: &Outgoing,
    shape: Shape,
    answered: Answered,
) -> Result<Response<Body>, Refusal> {
    let status = answered.response.status();
    if !status.is_success() {
        return relay::error(broker, outgoing, answered).await;
    }
    let (parts, body) = answered.response.into_parts();
    let collected = Limited::new(body, LONGEST).collect().await.map_err(|_| failed())?;
    let document = collected.to_bytes();
    let id = note_down(broker, &outgoing.notes, &document).await?;
    broker.write_down(outgoing, &Heard::default());
    if let (Some(id), false) = (id, outgoing.links.is_empty()) {
        links::put(broker, &id, &outgoing.links).await?;
    }
    let shown = if document.is_empty() {
        Vec::new()
    } else {
        broker.with_view(|view| answer::document(shape, view, &document))?
    };
    let mut to_client = Response::new(full(shown));
    *to_client.status_mut() = status;
    relay::copy_headers(&parts.headers, to_client.headers_mut());
    Ok(to_client)
}

/// Writes down what became of a request, before the client can act upon it; answers the id of what it made.
pub(super) async fn note_down(
    broker: &Broker,
    notes: &[Note],
    document: &[u8],
) -> Result<Option<String>, Refusal> {
    let mut made = None;
    for note in notes {
        match note {
            Note::Images { references, .. } => {
                for reference in references {
                    look_up(broker, reference).await;
                }
            }
            Note::Created { id: None, .. } => {
                let answer: Value = serde_json::from_slice(document).map_err(|_| failed())?;
                let id = answer.get("Id").and_then(Value::as_str).ok_or_else(failed)?;
                broker.record(note, Some(id));
                made = Some(id.to_owned());
            }
            Note::Published { .. } => broker.record(note, made.as_deref()),
            // Its stream tells whether it is.
            Note::Pushed { .. } => {}
            other => broker.record(other, None),
        }
    }
    Ok(made)
}

/// Asks the daemon which image a reference is; one that is not there is not the job's either.
async fn look_up(broker: &Broker, reference: &str) {
    let look = broker.daemon.look(&format!("/images/{reference}/json"), &[]).await;
    let image = look.unwrap_or_default();
    if let Some(id) = image.get("Id").and_then(Value::as_str) {
        broker.with_view(|view| view.record_image(reference, id));
    }
}

/// Documents as they come, one in each line.
pub(super) fn stream(
    broker: Arc<Broker>,
    outgoing: Outgoing,
    shape: Shape,
    answered: Answered,
) -> Response<Body> {
    let Answered { response, connection } = answered;
    let (parts, body) = response.into_parts();
    let lines = Lines {
        broker,
        outgoing,
        shape,
        body,
        _connection: connection,
        pending: BytesMut::new(),
        heard: Heard::default(),
        ended: false,
    };
    let frames = futures_util::stream::try_unfold(lines, Lines::next);
    let mut to_client = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)));
    *to_client.status_mut() = parts.status;
    relay::copy_headers(&parts.headers, to_client.headers_mut());
    to_client
}

/// A stream of documents that nobody is shown, up to its end.
///
/// # Errors
/// What was asked for has not come to be.
pub(super) async fn to_its_end(
    broker: &Broker,
    outgoing: &Outgoing,
    answered: Answered,
) -> Result<(), Refusal> {
    let status = answered.response.status();
    let body = Limited::new(answered.response.into_body(), LONGEST).collect().await;
    let body = body.map_err(|_| failed())?.to_bytes();
    let mut heard = Heard::default();
    let mut refused = None;
    for line in body.split(|byte| *byte == b'\n') {
        let document: Value = serde_json::from_slice(line.trim_ascii()).unwrap_or_default();
        refused = document.get("message").and_then(Value::as_str).map(str::to_owned).or(refused);
        heard.document(outgoing, &document);
    }
    if !status.is_success() {
        heard.failure = refused.or(Some("an image cannot be pulled".to_owned()));
    }
    match &heard.failure {
        None => {
            note_down(broker, &outgoing.notes, b"").await?;
            broker.write_down(outgoing, &heard);
            Ok(())
        }
        Some(message) => {
            broker.tell_failure(outgoing, message);
            let message = message.clone();
            Err(Refusal { rule: "pull", status: 404, message, told: false })
        }
    }
}

/// A stream of documents on its way.
struct Lines {
    broker: Arc<Broker>,
    outgoing: Outgoing,
    shape: Shape,
    body: Incoming,
    _connection: Connection,
    pending: BytesMut,
    heard: Heard,
    ended: bool,
}

impl Lines {
    async fn next(mut self) -> Result<Option<(Frame<Bytes>, Self)>, BodyError> {
        while !self.ended {
            let mut shown = Vec::new();
            if let Some(frame) = self.body.frame().await {
                if let Ok(bytes) = frame?.into_data() {
                    self.pending.extend_from_slice(&bytes);
                }
                while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                    let line = self.pending.split_to(end + 1);
                    self.show(&line, &mut shown)?;
                }
                if self.pending.len() > LONGEST {
                    return Err("a document of the daemon's is too long".into());
                }
            } else {
                self.ended = true;
                let rest = self.pending.split();
                self.show(&rest, &mut shown)?;
                self.end(&mut shown).await?;
            }
            if !shown.is_empty() {
                return Ok(Some((Frame::data(shown.into()), self)));
            }
        }
        Ok(None)
    }

    fn show(&mut self, line: &[u8], into: &mut Vec<u8>) -> Result<(), BodyError> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        if self.shape == Shape::Progress {
            let document: Value = serde_json::from_slice(line).unwrap_or_default();
            self.heard.document(&self.outgoing, &document);
            if let Some(failure) = &self.heard.failure {
                // At once: a client that has heard of it may be gone before the stream ends.
                self.broker.tell_failure(&self.outgoing, failure);
            }
        }
        let shown = self.broker.with_view(|view| answer::document(self.shape, view, line));
        let shown = shown.map_err(|refusal| BodyError::from(refusal.message))?;
        if !shown.is_empty() {
            into.extend_from_slice(&shown);
            into.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    async fn end(&mut self, shown: &mut Vec<u8>) -> Result<(), BodyError> {
        if self.is_push() && self.heard.failure.is_none() && !self.heard.is_pushed() {
            self.heard.failure = Some(NO_DIGEST.to_owned());
            let error = json!({"errorDetail": {"message": NO_DIGEST}, "error": NO_DIGEST});
            shown.extend_from_slice(error.to_string().as_bytes());
            shown.extend_from_slice(b"\r\n");
        }
        // A push is written down when this goes.
        if self.heard.failure.is_some() || self.is_push() {
            return Ok(());
        }
        let built = self.heard.built(&self.outgoing).to_vec();
        self.broker.with_view(|view| view.own.image_ids.extend(built));
        let noted = note_down(&self.broker, &self.outgoing.notes, b"").await;
        self.broker.write_down(&self.outgoing, &self.heard);
        noted.map(drop).map_err(|refusal| BodyError::from(refusal.message))
    }

    fn is_push(&self) -> bool {
        self.outgoing.notes.iter().any(|note| matches!(note, Note::Pushed { .. }))
    }
}

impl Drop for Lines {
    /// What is in the registry is there, though the client did not wait for the last word.
    fn drop(&mut self) {
        if self.is_push() && self.heard.is_pushed() {
            self.broker.write_down(&self.outgoing, &self.heard);
        }
    }
}

/// What a push ends with that the daemon broke off.
const NO_DIGEST: &str =
    "the daemon did not say under which digest the image was pushed: it does not count as pushed";
