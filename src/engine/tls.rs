//! TLS to a Docker daemon behind TCP: the daemon proves itself by an authority's certificate, we by one of
//! our own. It reads files and dials; it speaks no HTTP.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{EngineError, Fault};

/// The files of a directory as `docker --tlsverify` and GitLab Runner's `tls_cert_path` have them.
const AUTHORITY: &str = "ca.pem";
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// How long a daemon may take to shake hands: one that speaks no TLS may wait for us forever.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A daemon at `tcp://host:port` that speaks TLS. A clone is the same.
#[derive(Clone)]
pub struct Tls(Arc<Daemon>);

struct Daemon {
    /// `host:port`.
    authority: String,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

/// Why a daemon's certificates are of no use.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("the address must be tcp://HOST:PORT where certificates are given")]
    Address,
    #[error("{} cannot be read: {source}", .file.display())]
    File {
        file: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("{} holds no certificate", .file.display())]
    Empty { file: PathBuf },
    #[error("{} cannot be used: {source}", .file.display())]
    Refused {
        file: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

impl Tls {
    /// For the daemon at this address, with `ca.pem`, and `cert.pem` with `key.pem` where one of the two is
    /// there, of this directory. Only that authority is trusted, none of the system's.
    ///
    /// # Errors
    /// [`Fault::Refused`], with the file that cannot be used.
    pub fn read(host: &str, directory: &Path) -> Result<Self, EngineError> {
        read(host, directory).map_err(|error| EngineError {
            verb: "use the certificates for the Docker daemon at",
            object: host.to_owned(),
            fault: Fault::Refused,
            cause: error.to_string(),
            retry_after: None,
        })
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.0.authority
    }

    /// A connection of its own, both sides of which have proven themselves as far as TLS 1.3 tells: a daemon
    /// that refuses our certificate says so only in place of its first answer.
    ///
    /// # Errors
    /// The daemon is away, is not whom its certificate should say, or speaks no TLS.
    pub async fn connect(&self) -> io::Result<Box<TlsStream<TcpStream>>> {
        let stream = TcpStream::connect(&self.0.authority).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.0.config));
        // In a place of its own: the daemons without TLS should not carry the size of this one's state.
        let hands = Box::pin(connector.connect(self.0.name.clone(), stream));
        let shaken = tokio::time::timeout(HANDSHAKE, hands).await;
        let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake"));
        shaken.unwrap_or_else(late).map(Box::new)
    }
}

/// What is secret in it has no place in a message.
impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("authority", &self.0.authority).finish_non_exhaustive()
    }
}

/// Two are the same that stand for the same reading of the files.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

fn read(host: &str, directory: &Path) -> Result<Tls, Unusable> {
    let authority = host.strip_prefix("tcp://").ok_or(Unusable::Address)?.trim_end_matches('/');
    let (name, _port) = authority.rsplit_once(':').ok_or(Unusable::Address)?;
    let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(name).map_err(|_| Unusable::Address)?;
    let config = Arc::new(config(directory)?);
    Ok(Tls(Arc::new(Daemon { authority: authority.to_owned(), name, config })))
}

fn config(directory: &Path) -> Result<ClientConfig, Unusable> {
    let refused = |file: &str| {
        let file = directory.join(file);
        move |source| Unusable::Refused { file, source }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&directory.join(AUTHORITY))? {
        roots.add(certificate).map_err(refused(AUTHORITY))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused(AUTHORITY))?
        .with_root_certificates(roots);
    let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
    if !certificate.exists() && !key.exists() {
        return Ok(config.with_no_client_auth());
    }
    let unread = |source| Unusable::File { file: key.clone(), source };
    let secret = PrivateKeyDer::from_pem_file(&key).map_err(unread)?;
    config.with_client_auth_cert(certificates(&certificate)?, secret).map_err(refused(CERTIFICATE))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let unread = |source| Unusable::File { file: file.to_owned(), source };
    let read = CertificateDer::pem_file_iter(file).map_err(unread)?;
    let found = read.collect::<Result<Vec<_>, _>>().map_err(unread)?;
    if found.is_empty() {
        return Err(Unusable::Empty { file: file.to_owned() });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(host: &str, files: &[(&str, &str)]) -> String {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Tls::read(host, directory.path()).unwrap_err().to_string()
    }

    #[test]
    fn certificates_that_are_not_there_are_named() {
        let said = refusal("tcp://daemon:2376", &[]);
        assert!(said.contains("tcp://daemon:2376") && said.contains("/ca.pem"), "{said}");
        let said = refusal("tcp://daemon:2376", &[("ca.pem", "no certificate\n")]);
        assert!(said.contains("/ca.pem holds no certificate"), "{said}");
    }

    #[test]
    fn certificates_are_for_tcp_alone() {
        for host in ["unix:///run/docker.sock", "tcp://daemon", "https://daemon:2376"] {
            let said = refusal(host, &[]);
            assert!(said.contains("must be tcp://HOST:PORT"), "{said}");
        }
    }
}
