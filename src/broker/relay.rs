//! Answers that pass as they are, and the daemon's own refusals. Headers of the daemon's do not pass but for
//! the few that clients need.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::Response;
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::answer;
use super::exchange::failed;
use super::forward::{Answered, Body, BodyError, Connection, full};
use super::outgoing::Outgoing;
use super::refusal::Refusal;
use super::session::Broker;

/// What `docker cp` reads of a file before it copies it.
const PATH_STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

/// Longest error of the daemon's.
const LONGEST_ERROR: usize = 1 << 20;

/// The answer as it comes.
pub(super) fn stream(answered: Answered) -> Response<Body> {
    let Answered { response, connection } = answered;
    let (parts, body) = response.into_parts();
    let mut to_client = Response::new(Passing { body, _connection: connection }.boxed_unsync());
    *to_client.status_mut() = parts.status;
    copy_headers(&parts.headers, to_client.headers_mut());
    to_client
}

pub(super) fn copy_headers(from: &HeaderMap, to: &mut HeaderMap<HeaderValue>) {
    for name in [CONTENT_TYPE, PATH_STAT] {
        if let Some(value) = from.get(&name) {
            to.insert(name, value.clone());
        }
    }
}

/// The daemon said no: its words, cut down to what the job may hear.
pub(super) async fn error(
    broker: &Broker,
    outgoing: &Outgoing,
    answered: Answered,
) -> Result<Response<Body>, Refusal> {
    let status = answered.response.status();
    let body = Limited::new(answered.response.into_body(), LONGEST_ERROR).collect().await;
    let body = body.map_err(|_| failed())?.to_bytes();
    broker.tell_failure(outgoing, &String::from_utf8_lossy(&body));
    let mut response = Response::new(full(broker.with_view(|view| answer::error(view, &body))));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// A body of the daemon's, whose connection ends with it.
struct Passing {
    body: Incoming,
    _connection: Connection,
}

impl hyper::body::Body for Passing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context).map_err(BodyError::from)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
