//! Speaks to a registry itself, as the distribution specification has it: TLS by the daemon's authorities,
//! a login by password or token. It keeps nothing, not even a token.

use std::cell::Cell;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, redirect};
use serde::Deserialize;

use crate::engine::{Fault, RegistryLogin};

/// For each request: a registry that is busy is not pressed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where daemons keep the authorities of single registries.
const AUTHORITIES: &str = "/etc/docker/certs.d";

/// All that an image's manifest may be.
pub(in crate::engine) const KINDS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// A registry's answer that is not what was asked for.
#[derive(Debug)]
pub(in crate::engine) struct Refused {
    pub(in crate::engine) fault: Fault,
    pub(in crate::engine) cause: String,
    pub(in crate::engine) retry_after: Option<Duration>,
}

impl Refused {
    #[expect(clippy::needless_pass_by_value, reason = "errors are handed over where they end")]
    pub(in crate::engine) fn failed(cause: impl ToString) -> Self {
        Self { fault: Fault::Transient, cause: cause.to_string(), retry_after: None }
    }

    pub(in crate::engine) fn status(answer: &Response) -> Self {
        let status = answer.status();
        let fault = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::Denied,
            StatusCode::NOT_FOUND => Fault::NoSuchImage,
            StatusCode::TOO_MANY_REQUESTS => Fault::Throttled,
            _ => Fault::Transient,
        };
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        // A date in its place is not read: registries send seconds.
        let retry_after = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Self { fault, cause: format!("the registry answered {status}"), retry_after }
    }
}

/// A registry and who speaks to it.
pub(in crate::engine) struct Session<'a> {
    client: Client,
    secure: bool,
    login: Option<&'a RegistryLogin>,
    /// It has asked for the password once: the next request brings it along.
    basic: Cell<bool>,
}

impl<'a> Session<'a> {
    /// For requests to the host of this URL.
    pub(in crate::engine) fn new(
        url: &str,
        login: Option<&'a RegistryLogin>,
    ) -> Result<Self, Refused> {
        let client = client(url).map_err(Refused::failed)?;
        Ok(Self { client, secure: !url.starts_with("http:"), login, basic: Cell::new(false) })
    }

    /// Sends a request, with a login where the registry wants one; answers what came, whatever its status.
    pub(in crate::engine) async fn send(
        &self,
        ask: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, Refused> {
        let ask = || ask(&self.client);
        if self.basic.get() {
            return send(self.with_login(ask())).await;
        }
        let first = send(ask()).await?;
        let challenge =
            challenge(first.headers()).filter(|_| first.status() == StatusCode::UNAUTHORIZED);
        match challenge {
            None => Ok(first),
            Some(Challenge::Basic) => {
                self.basic.set(true);
                send(self.with_login(ask())).await
            }
            Some(bearer) => send(ask().bearer_auth(self.token(bearer).await?)).await,
        }
    }

    async fn token(&self, challenge: Challenge) -> Result<String, Refused> {
        let Challenge::Bearer { realm, service, scope } = challenge else {
            return Ok(String::new());
        };
        // Whoever answers in the registry's name must not be sent the password in clear.
        if realm.starts_with("http:") && self.secure {
            return Err(Refused::failed("the registry asks for a login without TLS"));
        }
        let query = [("service", service), ("scope", scope)];
        let query = query.into_iter().filter(|(_, value)| !value.is_empty());
        let realm = reqwest::Url::parse_with_params(&realm, query).map_err(Refused::failed)?;
        let granted = send(self.with_login(self.client.get(realm))).await?;
        if !granted.status().is_success() {
            return Err(Refused::status(&granted));
        }
        let token: Token = serde_json::from_slice(&granted.bytes().await.map_err(told)?)
            .map_err(|_quotes_it| Refused::failed("the registry's token cannot be read"))?;
        Ok(token.token.or(token.access_token).unwrap_or_default())
    }

    fn with_login(&self, request: RequestBuilder) -> RequestBuilder {
        let Some(login) = self.login else { return request };
        let password = String::from_utf8_lossy(login.password.expose()).into_owned();
        request.basic_auth(&login.username, Some(password))
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

async fn send(request: RequestBuilder) -> Result<Response, Refused> {
    request.send().await.map_err(told)
}

/// The innermost sentence; the outer ones repeat the address.
#[expect(clippy::needless_pass_by_value, reason = "errors are handed over where they end")]
pub(in crate::engine) fn told(error: reqwest::Error) -> Refused {
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    Refused::failed(inner)
}

fn client(url: &str) -> reqwest::Result<Client> {
    // The first client of a process installs it; it is there already for the second.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none());
    let Some(rest) = url.strip_prefix("https://") else {
        // A host without any authorities would fail here, though plain HTTP needs none.
        return builder.tls_certs_only([]).build();
    };
    let host = rest.split('/').next().unwrap_or_default();
    builder.tls_certs_merge(authorities(host)).build()
}

/// The daemon's own authorities for a registry, where it is on this host.
fn authorities(host: &str) -> Vec<Certificate> {
    let path = std::path::Path::new(AUTHORITIES).join(host).join("ca.crt");
    let pem = std::fs::read(path).unwrap_or_default();
    Certificate::from_pem_bundle(&pem).unwrap_or_default()
}

#[derive(Debug, PartialEq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: String, scope: String },
}

/// `WWW-Authenticate`. Source: the distribution specification, "Token authentication".
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let text = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    let field = |name: &str| {
        let (_, after) = rest.split_once(&format!("{name}=\""))?;
        after.split_once('"').map(|(value, _)| value.to_owned())
    };
    scheme.eq_ignore_ascii_case("bearer").then(|| Challenge::Bearer {
        realm: field("realm").unwrap_or_default(),
        service: field("service").unwrap_or_default(),
        scope: field("scope").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(WWW_AUTHENTICATE, text.parse().unwrap());
            challenge(&headers)
        };
        assert_eq!(of("Basic realm=\"x\""), Some(Challenge::Basic));
        let bearer = "Bearer realm=\"https://a.example/token\",service=\"s\",scope=\"repository:a/b:pull,push\"";
        let expected = Challenge::Bearer {
            realm: "https://a.example/token".to_owned(),
            service: "s".to_owned(),
            scope: "repository:a/b:pull,push".to_owned(),
        };
        assert_eq!(of(bearer), Some(expected));
        assert_eq!(of("Negotiate"), None);
    }
}
