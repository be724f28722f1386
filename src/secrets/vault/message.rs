//! The likely cause of each failure, and what to do next. Pure words; decides nothing.

use super::VaultSettings;
use super::failure::Failure;

/// Vault's words where a role's policy is root's: no fault of the credentials.
pub(super) const ROOT: &str = "cannot create root tokens";

/// What was being done, with the API path.
pub(super) enum Step {
    Login(String),
    /// Asking which engine a path belongs to.
    Mounts(String),
    Read(String),
    /// What a person asks for by hand.
    Ask {
        doing: &'static str,
        path: String,
    },
}

impl Step {
    /// Verb and path.
    pub(super) fn doing(&self) -> String {
        match self {
            Self::Login(path) => format!("log in by {path}"),
            Self::Mounts(path) => format!("find the engine of {path}"),
            Self::Read(path) => format!("read {path}"),
            Self::Ask { doing, path } => format!("{doing} {path}"),
        }
    }
}

/// Likely cause and next step.
pub(super) fn hint(step: &Step, failure: &Failure, settings: &VaultSettings) -> String {
    match failure {
        Failure::Status { code, .. } => status(step, *code, failure, settings),
        Failure::Connect { .. } => {
            "check vault.address, that the server runs, and the way to it".to_owned()
        }
        Failure::Tls { .. } => tls(settings),
        Failure::TlsRefused { .. } => match &settings.client_certificate {
            Some((file, _)) => format!(
                "does the server trust the authority of vault.client_cert_file ({}), and is it in its time?",
                file.display()
            ),
            None => "it wants a certificate of us: name one in vault.client_cert_file, and its key"
                .to_owned(),
        },
        Failure::Timeout => {
            format!(
                "it takes longer than vault.timeout ({:?}); is the server overloaded, or a firewall in between?",
                settings.timeout
            )
        }
        Failure::Broken { .. } => "look at the server's log, and at proxies in between".to_owned(),
        Failure::Malformed { .. } => {
            "check that vault.address is a Vault or OpenBao server".to_owned()
        }
    }
}

fn tls(settings: &VaultSettings) -> String {
    match &settings.ca_file {
        Some(file) => format!(
            "only the authorities in vault.ca_file ({}) are trusted; check that they signed the server's certificate, \
             its names, its dates and this host's clock, and that the address is an https one",
            file.display()
        ),
        None => "if the server's certificate is of your own authority, name its file in vault.ca_file; else check \
                 the certificate's names, its dates and this host's clock, and that the address is an https one"
            .to_owned(),
    }
}

fn status(step: &Step, code: u16, failure: &Failure, settings: &VaultSettings) -> String {
    match (code, step) {
        (300..=399, _) => "redirects are not followed, as the token would go with it; write the address of the active \
                           node or of a load balancer into vault.address"
            .to_owned(),
        (404, _) if failure.says("namespace not found") => "check vault.namespace".to_owned(),
        (400 | 403, _) if failure.says("CIDR") => "this host's address is not one of those the role or secret_id is bound to".to_owned(),
        (400, Step::Login(_)) if failure.says(ROOT) => {
            "the role has the policy root, with which nobody can log in: give it one of its own (longshore vault policy)".to_owned()
        }
        (503, _) if failure.says("not initialized") => "the server was never initialised; run: vault operator init".to_owned(),
        (400, Step::Login(_)) => format!(
            "the secret_id is expired, used up or destroyed, the role_id is wrong, or the namespace is: {} (Vault does not \
             say which); a new one belongs into {}: vault write -f -field=secret_id {}/role/ROLE/secret-id",
            namespace(settings),
            settings.approle.secret_id.place(),
            auth(settings),
        ),
        (403, Step::Login(_)) => format!(
            "the role may be locked out after repeated bad logins (it ends after about 15 minutes; see sys/locked-users), \
             or {} is not the mount of an AppRole method there: {}",
            auth(settings),
            namespace(settings)
        ),
        (404, Step::Login(_)) => format!("there is no AppRole method at {}; check vault.approle.mount", auth(settings)),
        (403, Step::Mounts(path)) => format!(
            "there is no such mount, or the role's policy grants nothing at {path}; check both"
        ),
        (403, Step::Read(path)) => format!(
            "the role's policy does not allow it; it needs: path \"{path}\" {{ capabilities = [\"read\"] }}"
        ),
        (403, Step::Ask { path, .. }) => format!(
            "the role's policy does not allow it; it needs: path \"{path}\" {{ capabilities = [\"update\"] }} \
             (longshore vault policy prints all that is needed)"
        ),
        (404, _) if failure.says("no handler for route") => "there is no mount at that path; see: vault secrets list".to_owned(),
        (429, _) => "a rate limit quota of the server is used up".to_owned(),
        (503, _) if failure.says("sealed") => "unseal it: vault operator unseal (one that was never set up says so too: vault operator init)".to_owned(),
        (472 | 473 | 412, _) => "a standby answered that cannot serve this; write the active node's address into vault.address".to_owned(),
        (500..=599, _) if matches!(failure, Failure::Status { errors, .. } if errors.is_empty()) => {
            "no Vault answered, but perhaps a proxy before it; look at its log".to_owned()
        }
        _ => "look at the server's log".to_owned(),
    }
}

fn namespace(settings: &VaultSettings) -> String {
    match &settings.namespace {
        Some(namespace) => format!("vault.namespace says {namespace:?}"),
        None => "vault.namespace is not set".to_owned(),
    }
}

fn auth(settings: &VaultSettings) -> String {
    format!("auth/{}", settings.approle.mount.trim_matches('/'))
}
