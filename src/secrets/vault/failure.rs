//! From the libraries' errors to what we may say: a status with Vault's own words, or what happened on
//! the way. Everything else in those errors, bodies above all, is dropped here and never printed.

use std::error::Error;

use rustify::errors::ClientError as RestError;
use serde_json::Value;

/// A failed request, without anything secret in it.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered with an error.
    Status {
        code: u16,
        /// Vault's own words; empty where it had none.
        errors: Vec<String>,
        /// The whole answer where it was JSON. Errors of Vault hold no values of secrets, but some hold
        /// the metadata of a deleted version.
        body: Value,
    },
    /// No connection, so nothing was sent.
    Connect { words: String },
    /// No TLS with that server: its certificate is refused, or it speaks none.
    Tls { words: String },
    /// The server refuses the certificate that we show, or that we show none.
    TlsRefused { words: String },
    /// No answer in time.
    Timeout,
    /// The connection ended before the answer did.
    Broken { words: String },
    /// An answer that is not Vault's.
    Malformed { words: &'static str },
}

impl Failure {
    /// What happened, as a fragment.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Status { code, errors, body } if errors.is_empty() => match body {
                Value::Null => format!("status {code} and no words that are Vault's"),
                _ => format!("Vault says {code}"),
            },
            Self::Status { code, errors, .. } => {
                format!("Vault says {code} {:?}", errors.join("; "))
            }
            Self::Connect { words } => format!("no connection ({words})"),
            Self::Tls { words } | Self::TlsRefused { words } => format!("TLS fails ({words})"),
            Self::Timeout => "no answer in time".to_owned(),
            Self::Broken { words } => format!("the connection broke ({words})"),
            Self::Malformed { words } => (*words).to_owned(),
        }
    }

    /// Whether one of Vault's own words contains this.
    pub(super) fn says(&self, word: &str) -> bool {
        matches!(self, Self::Status { errors, .. } if errors.iter().any(|error| error.contains(word)))
    }
}

impl From<RestError> for Failure {
    fn from(error: RestError) -> Self {
        match error {
            RestError::ServerResponseError { code, content } => status(code, content.as_deref()),
            RestError::RequestError { source, .. } | RestError::ResponseError { source } => {
                transport(source.as_ref())
            }
            _ => Self::Malformed { words: "the answer is not one that Vault gives" },
        }
    }
}

fn status(code: u16, content: Option<&str>) -> Failure {
    let body: Value = content.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let errors = body.get("errors").and_then(Value::as_array);
    let errors =
        errors.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    Failure::Status { code, errors: tidy(errors), body }
}

/// Vault writes lists as `1 error occurred:\n\t* permission denied\n\n`.
fn tidy(errors: Vec<String>) -> Vec<String> {
    const MOST: usize = 300;
    let line = |error: String| {
        let words = error.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = words.split_once("occurred: * ").map_or(words.as_str(), |(_, rest)| rest);
        words.chars().take(MOST).collect()
    };
    errors.into_iter().map(line).collect()
}

/// Tells transport errors apart by their chain of causes.
fn transport(error: &(dyn Error + 'static)) -> Failure {
    let mut request: Option<&reqwest::Error> = None;
    let mut last = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        last = cause.to_string();
        request = request.or_else(|| cause.downcast_ref());
        // io::Error leaves out the error inside it when asked for its source.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let inner: Option<&(dyn Error + 'static)> = inner.map(|inner| inner as _);
        if let Some(tls) = inner.unwrap_or(cause).downcast_ref::<rustls::Error>()
            && let Some(failure) = lasting(tls)
        {
            return failure;
        }
        next = inner.or_else(|| cause.source());
    }
    match request {
        Some(error) if error.is_timeout() && !error.is_connect() => Failure::Timeout,
        Some(error) if error.is_connect() => Failure::Connect { words: last },
        _ => Failure::Broken { words: last },
    }
}

/// What a TLS library's error means, if it will say so again at the next try.
fn lasting(error: &rustls::Error) -> Option<Failure> {
    let words = match error {
        rustls::Error::InvalidCertificate(reason) => format!("certificate refused: {reason}"),
        rustls::Error::NoCertificatesPresented => "it shows no certificate".to_owned(),
        rustls::Error::InvalidMessage(_) => "it does not speak TLS there".to_owned(),
        rustls::Error::AlertReceived(alert) => {
            return Some(Failure::TlsRefused {
                words: format!("it refuses ours: alert {alert:?}"),
            });
        }
        _ => return None,
    };
    Some(Failure::Tls { words })
}
