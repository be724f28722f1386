//! Checks the settings that would make a library panic or send a secret in clear. Pure.

use std::net::IpAddr;

use reqwest::Url;

use super::{VaultError, VaultSettings};

/// The address as a URL, if it is one we may use.
pub(super) fn parse(settings: &VaultSettings) -> Result<Url, VaultError> {
    let text = settings.address.trim();
    let url = Url::parse(text)
        .map_err(|error| refused(format!("{text:?} is no URL ({error}); {EXAMPLE}")))?;
    let host = url.host_str().unwrap_or_default();
    match url.scheme() {
        "https" | "http" if host.is_empty() => {
            return Err(refused(format!("{text:?} names no host; {EXAMPLE}")));
        }
        "https" => {}
        "http" if settings.allow_plaintext || is_loopback(host) => {}
        "http" => {
            let reason = format!(
                "{text:?} would send secrets in clear; use https://, or set vault.allow_plaintext"
            );
            return Err(refused(reason));
        }
        _ => {
            return Err(refused(format!("{text:?} does not begin with https://; {EXAMPLE}")));
        }
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(refused(format!("{text:?} has a path; write scheme, host and port only")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("credentials do not belong into the address".to_owned()));
    }
    Ok(url)
}

const EXAMPLE: &str = "write it as https://vault.example:8200";

/// The namespace, without slashes around it. It goes into a header.
pub(super) fn namespace(settings: &VaultSettings) -> Result<Option<String>, VaultError> {
    let Some(namespace) = &settings.namespace else {
        return Ok(None);
    };
    let namespace = namespace.trim_matches('/');
    if namespace.is_empty() {
        return Ok(None);
    }
    if !namespace.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = format!("{namespace:?} has characters that no namespace has");
        return Err(VaultError::Setting { key: "vault.namespace", reason });
    }
    Ok(Some(namespace.to_owned()))
}

/// The mount of the auth method.
pub(super) fn mount(settings: &VaultSettings) -> Result<String, VaultError> {
    let mount = settings.approle.mount.trim_matches('/');
    match check_path(mount) {
        Ok(()) => Ok(mount.to_owned()),
        Err(reason) => Err(VaultError::Setting { key: "vault.approle.mount", reason }),
    }
}

/// Whether a path can be asked for as it stands.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    if path.chars().any(char::is_control) {
        return Err(format!("the path {path:?} has control characters"));
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("the path {path:?} has an empty, `.` or `..` part"));
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn refused(reason: String) -> VaultError {
    VaultError::Setting { key: "vault.address", reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;
    use crate::secrets::vault::{AppRole, RoleId, SecretId};

    fn settings(address: &str) -> VaultSettings {
        let role_id = RoleId::Value(Secret::new("r"));
        let secret_id = SecretId::File("/nowhere".into());
        let approle = AppRole { mount: "approle".into(), role_id, secret_id };
        VaultSettings::new(address, approle)
    }

    #[test]
    fn addresses_that_may_be_used() {
        for address in [
            "https://vault.example:8200",
            "https://vault.example/",
            " https://10.0.0.1\n",
            "http://127.0.0.1:8200",
            "http://127.9.9.9",
            "http://[::1]:8200",
            "http://localhost:8200",
        ] {
            assert!(parse(&settings(address)).is_ok(), "{address}");
        }
        let mut plain = settings("http://vault.example");
        plain.allow_plaintext = true;
        assert!(parse(&plain).is_ok());
    }

    #[test]
    fn addresses_that_may_not() {
        for (address, word) in [
            ("", "no URL"),
            ("vault.example", "no URL"),
            ("vault.example:8200", "https://"),
            ("127.0.0.1:8200", "no URL"),
            ("https://", "no URL"),
            ("ftp://vault.example", "https://"),
            ("http://vault.example", "in clear"),
            ("http://127.0.0.1.example", "in clear"),
            ("http://localhost.example", "in clear"),
            ("https://vault.example/vault", "path"),
            ("https://vault.example/?a=b", "path"),
            ("https://user:word@vault.example", "credentials"),
            ("https://ex ample", "no URL"),
            ("https://[::1", "no URL"),
        ] {
            let error = parse(&settings(address)).unwrap_err().to_string();
            assert!(error.contains(word), "{address}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_address_namespace_or_path_panics(text in ".{0,40}", scheme in "(https?://)?") {
            let mut settings = settings(&format!("{scheme}{text}"));
            settings.namespace = Some(text.clone());
            settings.approle.mount = text.clone();
            drop((parse(&settings), namespace(&settings), mount(&settings), check_path(&text)));
        }
    }

    #[test]
    fn namespaces_lose_their_slashes() {
        let mut settings = settings("https://x");
        for (given, expected) in
            [("team1/", Some("team1")), ("/a/b", Some("a/b")), ("/", None), ("", None)]
        {
            settings.namespace = Some(given.into());
            assert_eq!(namespace(&settings).unwrap().as_deref(), expected, "{given}");
        }
        settings.namespace = Some("line\nfeed".into());
        assert!(namespace(&settings).is_err());
    }
}
