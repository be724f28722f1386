//! The way of one request: vaultrs's endpoints and middleware over our own HTTP client, the answer as
//! JSON. It keeps what rustify drops of a refused answer, and tries nothing twice.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use hyper::http::{Request, Response, header};
use rustify::client::Client;
use rustify::clients::reqwest::Client as HttpClient;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde_json::Value;
use vaultrs::api::EndpointMiddleware;
use zeroize::Zeroizing;

use super::failure::Failure;

/// What stands for no `Retry-After`.
const NONE: u64 = u64::MAX;

/// An answer, and its text, in which numbers are as they were written.
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) text: Zeroizing<Vec<u8>>,
}

/// One server, with the token that its requests carry.
pub(super) struct Transport {
    http: Remembering,
    middle: EndpointMiddleware,
}

/// rustify's client, which tells a refused answer's code and body; this keeps its `Retry-After` too.
struct Remembering {
    inner: HttpClient,
    /// Seconds.
    retry_after: AtomicU64,
    /// Unix seconds of the last answer's `Date`.
    date: AtomicU64,
}

impl Transport {
    /// `base` is a URL without a path.
    pub(super) fn new(base: &str, http: reqwest::Client, namespace: Option<String>) -> Self {
        let inner = HttpClient::new(base, http);
        let version = "v1".to_owned();
        Self {
            http: Remembering {
                inner,
                retry_after: AtomicU64::new(NONE),
                date: AtomicU64::new(NONE),
            },
            middle: EndpointMiddleware { token: String::new(), version, wrap: None, namespace },
        }
    }

    /// From here on every request carries this token, which must fit into a header.
    pub(super) fn set_token(&mut self, token: String) {
        self.middle.token = token;
    }

    /// Sends one request. An empty answer is `null`.
    pub(super) async fn send<E: Endpoint>(&self, endpoint: E) -> Result<Answer, Failure> {
        self.http.retry_after.store(NONE, Ordering::Relaxed);
        let answer = endpoint.with_middleware(&self.middle).exec(&self.http).await?;
        let text = Zeroizing::new(answer.response.into_body());
        if text.is_empty() {
            return Ok(Answer { value: Value::Null, text });
        }
        let malformed = Failure::Malformed { words: "the answer is not JSON" };
        let value = serde_json::from_slice(&text).map_err(|_| malformed)?;
        Ok(Answer { value, text })
    }

    /// How long the last answer asked us to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        some(&self.http.retry_after).map(Duration::from_secs)
    }

    /// The server's clock in Unix seconds, by its last answer.
    pub(super) fn server_clock(&self) -> Option<u64> {
        some(&self.http.date)
    }
}

fn some(kept: &AtomicU64) -> Option<u64> {
    Some(kept.load(Ordering::Relaxed)).filter(|number| *number != NONE)
}

type Answering<'a> =
    Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, ClientError>> + Send + 'a>>;

impl Client for Remembering {
    fn send<'a, 'b>(&'a self, request: Request<Vec<u8>>) -> Answering<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let answer = self.inner.send(request).await?;
            let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
            let date = text(header::DATE).and_then(unix);
            let wait = text(header::RETRY_AFTER).and_then(|asked| wait(asked, date));
            self.retry_after.store(wait.unwrap_or(NONE), Ordering::Relaxed);
            self.date.store(date.unwrap_or(NONE), Ordering::Relaxed);
            Ok(answer)
        })
    }

    fn base(&self) -> &str {
        self.inner.base()
    }
}

/// Seconds that a `Retry-After` asks for: a number, or a date, which is by the clock that the answer's own
/// `Date` tells and not by ours. Source: RFC 9110, 10.2.3.
fn wait(asked: &str, date: Option<u64>) -> Option<u64> {
    asked.trim().parse().ok().or_else(|| Some(unix(asked)?.saturating_sub(date?)))
}

/// Unix seconds of an HTTP date.
fn unix(text: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// A request of any path: vaultrs's own reads drop the envelope, and quote values in errors.
pub(super) struct Ask {
    /// Without `/v1/`.
    pub(super) path: String,
    /// The part after `?`.
    pub(super) query: Option<String>,
    /// Then it is a POST.
    pub(super) body: Option<Value>,
}

impl Ask {
    /// A GET.
    pub(super) fn get(path: impl Into<String>, query: Option<String>) -> Self {
        Self { path: path.into(), query, body: None }
    }

    /// A POST of a JSON object.
    pub(super) fn post(path: impl Into<String>, body: Value) -> Self {
        Self { path: path.into(), query: None, body: Some(body) }
    }
}

impl Endpoint for Ask {
    type Response = Value;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        if self.body.is_some() { RequestMethod::POST } else { RequestMethod::GET }
    }

    fn query(&self) -> Result<Option<String>, ClientError> {
        Ok(self.query.clone())
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.as_ref().map(|body| body.to_string().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_server_asks_to_wait() {
        let date = unix("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date, Some(784_111_777));
        for (asked, date, seconds) in [
            ("7", None, Some(7)),
            (" 0 ", date, Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", date, Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", date, Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", date, Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", None, None),
            ("-1", date, None),
            ("soon", date, None),
        ] {
            assert_eq!(wait(asked, date), seconds, "{asked}");
        }
    }
}
