//! What is to be said of a role, a secret id and a policy. Pure: facts in, sentences out.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::policy::Stanza;
use crate::secrets::vault::{LoginFacts, SecretIdFacts};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Good to know.
    Remark,
    /// To be mended.
    Warning,
    /// Jobs fail, or the policy is as good as root's.
    Refused,
}

/// One sentence about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) text: String,
}

pub(super) fn finding(severity: Severity, text: impl Into<String>) -> Finding {
    Finding { severity, text: text.into() }
}

/// What the token may do at each path that was asked for.
pub(super) type Capabilities = BTreeMap<String, Vec<String>>;

/// A name that no secret, policy or role has.
const NOBODY: &str = "longshore-check-nobody";

/// A path that no job needs, and what may be done with it.
struct Broad {
    path: String,
    may: &'static str,
    severity: Severity,
}

/// Paths that tell a broad policy, for the roles of this mount and the mounts of these stanzas.
fn broad(role_mount: &str, stanzas: &[Stanza]) -> Vec<Broad> {
    use Severity::{Refused, Remark, Warning};
    let path = |severity, path: String, may| Broad { path, may, severity };
    let mut all = vec![
        path(Refused, format!("sys/policies/acl/{NOBODY}"), "may write policies, its own too"),
        path(Refused, format!("sys/auth/{NOBODY}"), "may add ways to log in"),
        path(
            Refused,
            format!("sys/mounts/{NOBODY}"),
            "may add and remove engines with all they hold",
        ),
        path(Refused, format!("sys/raw/{NOBODY}"), "may read the storage itself"),
        path(Warning, format!("{role_mount}/{NOBODY}"), "may make and change roles"),
        path(Warning, format!("{role_mount}/{NOBODY}/secret-id"), "may log in as other roles"),
        path(Warning, "auth/token/create".to_owned(), "may make tokens that no job revokes"),
    ];
    for stanza in stanzas {
        let mut parts = stanza.path.split_inclusive('/');
        let mount = parts.next().unwrap_or_default();
        let data = if parts.next() == Some("data/") { "data/" } else { "" };
        let whole = format!("{mount}{data}{NOBODY}");
        let folder = stanza.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let beside = format!("{folder}/{NOBODY}");
        if beside != whole {
            all.push(path(Remark, beside, "may read secrets beside those of the settings"));
        }
        all.push(path(Warning, whole, "may read every secret of the mount"));
    }
    all
}

/// The paths to ask for.
pub(super) fn questions(role_mount: &str, stanzas: &[Stanza]) -> Vec<String> {
    let mut paths: Vec<String> = stanzas.iter().map(|stanza| stanza.path.clone()).collect();
    paths.extend(broad(role_mount, stanzas).into_iter().map(|broad| broad.path));
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// What the policy allows too much.
pub(super) fn too_much(
    role_mount: &str,
    stanzas: &[Stanza],
    allowed: &Capabilities,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut said: Vec<String> = Vec::new();
    for broad in broad(role_mount, stanzas) {
        let may = of(allowed, &broad.path);
        if may.contains(&"root") {
            return vec![finding(
                Severity::Refused,
                "the token is root's: give the role a policy of its own (longshore vault policy)",
            )];
        }
        if !may.is_empty() && !said.contains(&broad.path) {
            let text = format!("it {} ({} on {})", broad.may, may.join(", "), broad.path);
            findings.push(finding(broad.severity, text));
            said.push(broad.path);
        }
    }
    for stanza in stanzas {
        let more: Vec<&str> = of(allowed, &stanza.path)
            .into_iter()
            .filter(|one| *one != "list" && !stanza.capabilities.contains(one))
            .collect();
        if !more.is_empty() {
            let text = format!("it may do more than read: {} on {}", more.join(", "), stanza.path);
            findings.push(finding(Severity::Warning, text));
        }
    }
    findings
}

/// What the token may do at a path.
pub(super) fn of<'a>(allowed: &'a Capabilities, path: &str) -> Vec<&'a str> {
    let all = allowed.get(path).into_iter().flatten().map(String::as_str);
    all.filter(|one| *one != "deny").collect()
}

/// What is to be said of a login.
pub(super) fn of_login(login: &LoginFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(policy) = login.almighty() {
        let text = format!(
            "the role has the policy {policy}, which may do everything: give it one of its own (longshore vault policy)"
        );
        findings.push(finding(Severity::Refused, text));
    }
    if login.token_type == "batch" {
        let text = format!(
            "it gets batch tokens, which nobody can revoke before their {} s are over: set token_type=service on the role",
            login.lives_seconds
        );
        findings.push(finding(Severity::Warning, text));
    }
    findings
}

const FEW_USES: u64 = 10;

/// What is to be said of a secret id.
pub(super) fn of_secret_id(facts: &SecretIdFacts, now: SystemTime) -> Vec<Finding> {
    let renew = "longshore vault rotate gets a new one";
    let mut findings = Vec::new();
    if facts.uses_left.is_some_and(|uses| uses <= FEW_USES) {
        let uses = facts.uses_left.unwrap_or_default();
        let text = format!("the secret_id serves {uses} more logins, one for each job; {renew}");
        findings.push(finding(Severity::Warning, text));
    }
    let moment = |text: &str| humantime::parse_rfc3339_weak(text).ok();
    if let Some(expires) = facts.expires.as_deref().and_then(moment) {
        let left = expires.duration_since(now).unwrap_or_default();
        let created = moment(&facts.created);
        let life = created.and_then(|created| expires.duration_since(created).ok());
        if life.is_some_and(|life| left < life / 3) {
            let text = format!("the secret_id expires in {}; {renew}", rounded(left));
            findings.push(finding(Severity::Warning, text));
        }
    }
    findings
}

/// A duration for people: `2days 3h`, without what follows.
pub(super) fn rounded(duration: Duration) -> String {
    let seconds = match duration.as_secs() {
        seconds @ 0..120 => seconds,
        seconds @ 120..7200 => seconds / 60 * 60,
        seconds => seconds / 3600 * 3600,
    };
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(path: &str) -> Stanza {
        Stanza { path: path.into(), capabilities: vec!["read"], needed_for: vec!["A".into()] }
    }

    fn allowed(paths: &[(&str, &str)]) -> Capabilities {
        paths.iter().map(|(path, one)| ((*path).to_owned(), vec![(*one).to_owned()])).collect()
    }

    fn worst(paths: &[(&str, &str)]) -> Option<Severity> {
        let stanzas = [stanza("kv/data/app/demo"), stanza("kv1/demo")];
        let findings = too_much("auth/approle/role", &stanzas, &allowed(paths));
        findings.iter().map(|finding| finding.severity).max()
    }

    #[test]
    fn breadth() {
        use Severity::{Refused, Remark, Warning};
        for (paths, expected) in [
            (&[("kv/data/app/demo", "read"), ("sys/policies/acl/x", "deny")][..], None),
            (&[("kv/data/app/longshore-check-nobody", "read")], Some(Remark)),
            (&[("kv/data/longshore-check-nobody", "read")], Some(Warning)),
            (&[("kv1/longshore-check-nobody", "read")], Some(Warning)),
            (&[("kv/data/app/demo", "update")], Some(Warning)),
            (&[("auth/token/create", "update")], Some(Warning)),
            (&[("sys/policies/acl/longshore-check-nobody", "create")], Some(Refused)),
            (&[("kv/data/longshore-check-nobody", "root")], Some(Refused)),
        ] {
            assert_eq!(worst(paths), expected, "{paths:?}");
        }
    }

    #[test]
    fn every_broad_path_is_asked_for() {
        let stanzas = [stanza("kv/data/app/demo")];
        let asked = questions("auth/a/role", &stanzas);
        assert!(asked.contains(&"kv/data/app/demo".to_owned()));
        for broad in broad("auth/a/role", &stanzas) {
            assert!(asked.contains(&broad.path), "{}", broad.path);
        }
    }

    #[test]
    fn a_secret_id_near_its_end() {
        let at = |text| humantime::parse_rfc3339_weak(text).unwrap();
        let facts = |uses_left, expires: Option<&str>| SecretIdFacts {
            accessor: String::new(),
            created: "2026-01-01T00:00:00.5Z".into(),
            expires: expires.map(str::to_owned),
            uses_left,
            bound_to: Vec::new(),
        };
        let expires = Some("2026-01-31T00:00:00Z");
        let said = |facts: &SecretIdFacts, now| of_secret_id(facts, at(now)).len();
        assert_eq!(said(&facts(None, None), "2099-01-01T00:00:00Z"), 0);
        assert_eq!(said(&facts(Some(11), expires), "2026-01-20T00:00:00Z"), 0);
        assert_eq!(said(&facts(Some(10), expires), "2026-01-22T00:00:00Z"), 2);
        assert_eq!(said(&facts(None, expires), "2026-03-01T00:00:00Z"), 1);
        assert_eq!(rounded(Duration::from_secs(90_061)), "1day 1h");
        assert_eq!(rounded(Duration::from_secs(90)), "1m 30s");
    }
}
