//! Bodies of requests: JSON is read whole and bounded, archives pass while they come, and what is not
//! wanted is thrown away, so that the client gets to its answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::forward::{Body, BodyError};
use super::refusal::Refusal;
use super::request::MAX_JSON;

/// How long a body may pause (T10).
const IDLE: Duration = Duration::from_mins(1);

/// How long and how much is thrown away of a body that is not wanted.
const DRAIN: (Duration, usize) = (Duration::from_secs(20), 512 << 20);

/// Why an archive does not come whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    /// The client pauses.
    #[error("the archive does not come: nothing for {} s", IDLE.as_secs())]
    Late,
    /// It is longer than the job's may be.
    #[error("the archive is longer than this job's may be ([broker] max_upload)")]
    TooLong,
    /// The client is gone.
    #[error("the archive broke off: {source}")]
    Broken {
        /// What hyper said.
        source: hyper::Error,
    },
}

/// Reads a JSON body whole.
///
/// # Errors
/// It is too long, pauses for too long, or breaks.
pub(super) async fn json(body: &mut Incoming) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(IDLE, Limited::new(&mut *body, MAX_JSON).collect()).await;
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let long = Refusal::malformed("json", "a JSON body has at most 1 MiB");
            Err(long.with_status(413))
        }
        Ok(Err(_)) => Err(Refusal::malformed("transport", "the request's body broke off")),
        Err(_late) => {
            let late = Refusal::malformed("transport", "the request's body does not come");
            Err(late.with_status(408))
        }
    }
}

/// Throws away what comes, for a while: a client that is still sending does not look for its answer.
pub(super) async fn drain(body: Incoming) {
    let (within, most) = DRAIN;
    let mut body = Limited::new(body, most);
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(within, all).await; // whoever sends more gets a broken connection
}

/// An archive on its way, with a bound on its length and on its pauses. Trailers do not pass.
pub(super) fn archive(body: Incoming, most: u64) -> Body {
    let idle = Box::pin(tokio::time::sleep(IDLE));
    Archive { body, left: most, idle, waits: false }.boxed_unsync()
}

struct Archive {
    body: Incoming,
    left: u64,
    idle: Pin<Box<Sleep>>,
    /// It was asked and had nothing; a daemon that takes its time is not the client's pause.
    waits: bool,
}

impl hyper::body::Body for Archive {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(context) else {
                if !std::mem::replace(&mut self.waits, true) {
                    self.idle.as_mut().reset(Instant::now() + IDLE);
                }
                ready!(self.idle.as_mut().poll(context));
                return Poll::Ready(Some(Err(UploadError::Late.into())));
            };
            self.waits = false;
            let bytes = match next {
                None => return Poll::Ready(None),
                Some(Err(source)) => {
                    return Poll::Ready(Some(Err(UploadError::Broken { source }.into())));
                }
                Some(Ok(frame)) => frame.into_data(),
            };
            let Ok(bytes) = bytes else { continue };
            match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(UploadError::TooLong.into()))),
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
