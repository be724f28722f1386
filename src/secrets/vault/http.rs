//! The HTTP client that vaultrs is given in place of its own: whom it trusts, and how long it waits.
//! Sends nothing.

use std::path::Path;

use reqwest::{Certificate, Identity, redirect};

use super::{VaultError, VaultSettings};

const USER_AGENT: &str = concat!("longshore/", env!("CARGO_PKG_VERSION"));

/// vaultrs's own client follows redirects with the token, adds a CA to the system's instead of trusting
/// it alone, and waits for ever.
pub(super) fn client(
    settings: &VaultSettings,
    scheme: &str,
) -> Result<reqwest::Client, VaultError> {
    let mut builder = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .user_agent(USER_AGENT)
        .no_proxy();
    if scheme == "http" {
        // A host without any authorities would fail here, though none is needed.
        builder = builder.tls_certs_only([]);
    } else if let Some(path) = &settings.ca_file {
        builder = builder.tls_certs_only(authorities(path)?);
    }
    if let Some((certificate, key)) = &settings.client_certificate {
        builder = builder.identity(identity(certificate, key)?);
    }
    builder.build().map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string);
        let reason = format!(
            "no TLS on this host ({cause}); install ca-certificates, or name the server's CA here"
        );
        VaultError::Setting { key: "vault.ca_file", reason }
    })
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, VaultError> {
    let pem = pem("vault.ca_file", path)?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => {
            let reason = "holds no certificate in PEM".to_owned();
            Err(VaultError::File { key: "vault.ca_file", path: path.to_owned(), reason })
        }
    }
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity, VaultError> {
    let mut both = pem("vault.client_cert_file", certificate)?;
    both.push(b'\n');
    both.extend_from_slice(&pem("vault.client_key_file", key)?);
    let both = zeroize::Zeroizing::new(both);
    Identity::from_pem(&both).map_err(|_| VaultError::File {
        key: "vault.client_cert_file",
        path: certificate.to_owned(),
        reason: format!("makes no pair with the key {}; both must be PEM", key.display()),
    })
}

fn pem(key: &'static str, path: &Path) -> Result<Vec<u8>, VaultError> {
    std::fs::read(path).map_err(|error| VaultError::File {
        key,
        path: path.to_owned(),
        reason: format!("cannot be read ({error})"),
    })
}
