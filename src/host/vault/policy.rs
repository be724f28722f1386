//! The policy that a host's role needs: the secrets of the settings, the end of the token, and nothing
//! beside. What the server says of its mounts comes in as a plain list.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::{Answer, Host};
use crate::cli::vault::PolicyArgs;
use crate::outcome::Outcome;
use crate::secrets::vault::{Layout, Visit};
use crate::settings::{KvVersion, Settings};
use crate::stage::error::CallError;

/// Engines by the path that was asked for.
pub(super) type Layouts = BTreeMap<String, Layout>;

/// One path of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Stanza {
    /// As the API knows it.
    pub(super) path: String,
    /// What the role may do there.
    pub(super) capabilities: Vec<&'static str>,
    /// Names of secrets, or what it is for.
    pub(super) needed_for: Vec<String>,
}

/// The answer of the command.
#[derive(Debug, Serialize)]
pub(super) struct Policy {
    stanzas: Vec<Stanza>,
    /// The same, as `vault policy write` reads it.
    policy: String,
}

/// `longshore vault policy`.
pub(super) async fn policy(host: &Host<'_>, args: &PolicyArgs) -> Result<Policy, CallError> {
    let layouts = if args.detect { detect(host).await? } else { Layouts::new() };
    let mut stanzas = of_secrets(host.settings, &layouts);
    stanzas.extend(of_token(host.settings, &layouts));
    if args.rotate {
        stanzas.extend(of_rotation(&format!("{}/{}", host.roles(), host.role()?)));
    }
    let policy = stanzas.iter().map(written).collect::<Vec<_>>().join("\n");
    Ok(Policy { stanzas, policy })
}

async fn detect(host: &Host<'_>) -> Result<Layouts, CallError> {
    let mut visit = Visit::new(&host.vault, host.vault.deadline).map_err(CallError::system)?;
    let found = async {
        visit.login().await?;
        layouts(&visit, host.settings).await
    };
    let found = found.await;
    let warning = visit.leave().await;
    let found = found.map_err(CallError::system)?;
    warning.map_or(Ok(found), |warning| Err(CallError::system(warning)))
}

/// The engines of those secrets whose settings do not say it.
pub(super) async fn layouts(
    visit: &Visit<'_>,
    settings: &Settings,
) -> Result<Layouts, crate::secrets::vault::VaultError> {
    let mut layouts = Layouts::new();
    for rule in settings.secrets.values().filter(|rule| rule.kv.is_none()) {
        if !layouts.contains_key(&rule.path)
            && let Some(layout) = visit.layout(&rule.path).await?
        {
            layouts.insert(rule.path.clone(), layout);
        }
    }
    Ok(layouts)
}

/// One stanza for each path, however many secrets it holds.
pub(super) fn of_secrets(settings: &Settings, layouts: &Layouts) -> Vec<Stanza> {
    let mut names: BTreeMap<(String, &'static str), Vec<String>> = BTreeMap::new();
    for (name, rule) in &settings.secrets {
        // What is issued is asked for by a write, and never lies in KV.
        let issued = !rule.parameters.is_empty();
        let (capability, kv) =
            if issued { ("update", Some(KvVersion::Raw)) } else { ("read", rule.kv) };
        for path in api_paths(&rule.path, kv, layouts.get(&rule.path)) {
            names.entry((path, capability)).or_default().push(name.clone());
        }
    }
    let stanza = |((path, capability), needed_for)| Stanza {
        path,
        capabilities: vec![capability],
        needed_for,
    };
    names.into_iter().map(stanza).collect()
}

/// Where a secret is read; the paths of both layouts where nobody said which it is.
pub(super) fn api_paths(path: &str, kv: Option<KvVersion>, layout: Option<&Layout>) -> Vec<String> {
    let first = path.split_inclusive('/').next().unwrap_or_default();
    let versioned = |mount: &str| {
        let rest = path.strip_prefix(mount).unwrap_or_default();
        format!("{mount}data/{rest}")
    };
    match (kv, layout) {
        (Some(KvVersion::V2), _) => vec![versioned(first)],
        (None, Some(layout)) if layout.is_versioned() => vec![versioned(&layout.mount)],
        (Some(_), _) | (None, Some(_)) => vec![path.to_owned()],
        (None, None) => vec![versioned(first), path.to_owned()],
    }
}

/// What is needed whatever the secrets are.
fn of_token(settings: &Settings, layouts: &Layouts) -> Vec<Stanza> {
    let stanza = |path: &str, capability, why: &str| Stanza {
        path: path.to_owned(),
        capabilities: vec![capability],
        needed_for: vec![why.to_owned()],
    };
    let mut stanzas = vec![stanza("auth/token/revoke-self", "update", "end the token")];
    let other = |rule: &&crate::settings::SecretRule| match rule.kv {
        _ if !rule.parameters.is_empty() => true,
        Some(kv) => kv == KvVersion::Raw,
        None => layouts.get(&rule.path).is_some_and(Layout::is_other),
    };
    if settings.secrets.values().any(|rule| other(&rule)) {
        let why = "keep leased secrets as long as the job";
        let paths = ["auth/token/renew-self", "sys/leases/renew"];
        stanzas.extend(paths.map(|path| stanza(path, "update", why)));
    }
    let unsaid = settings.secrets.values().filter(|rule| rule.kv.is_none());
    let mut paths: Vec<&str> = unsaid.map(|rule| rule.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    let find = |path| stanza(&format!("sys/internal/ui/mounts/{path}"), "read", "find the engine");
    stanzas.extend(paths.into_iter().map(find));
    stanzas.push(stanza("sys/capabilities-self", "update", "longshore vault check"));
    stanzas
}

/// A role that renews its own secret id.
fn of_rotation(role_path: &str) -> Vec<Stanza> {
    let stanza = |end: &str| Stanza {
        path: format!("{role_path}/{end}"),
        capabilities: vec!["update"],
        needed_for: vec!["longshore vault rotate".to_owned()],
    };
    ["secret-id", "secret-id/lookup", "secret-id/destroy"].map(stanza).into()
}

fn written(stanza: &Stanza) -> String {
    let path = stanza.path.replace('\\', "\\\\").replace('"', "\\\"");
    let capabilities = stanza.capabilities.join("\", \"");
    format!(
        "# {}\npath \"{path}\" {{\n  capabilities = [\"{capabilities}\"]\n}}\n",
        stanza.needed_for.join(", ")
    )
}

impl Answer for Policy {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.policy.as_bytes())
    }

    fn outcome(&self) -> Outcome {
        Outcome::Success
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(mount: &str, kv: KvVersion) -> Layout {
        Layout { mount: mount.to_owned(), kv }
    }

    #[test]
    fn paths_of_each_layout() {
        let paths = |kv, layout: Option<Layout>| api_paths("team/kv/app", kv, layout.as_ref());
        assert_eq!(paths(Some(KvVersion::V2), None), ["team/data/kv/app"]);
        assert_eq!(paths(Some(KvVersion::V1), None), ["team/kv/app"]);
        assert_eq!(paths(Some(KvVersion::Raw), None), ["team/kv/app"]);
        assert_eq!(paths(None, Some(layout("team/kv/", KvVersion::V2))), ["team/kv/data/app"]);
        assert_eq!(paths(None, Some(layout("team/kv/", KvVersion::V1))), ["team/kv/app"]);
        assert_eq!(paths(None, None), ["team/data/kv/app", "team/kv/app"]);
    }

    #[test]
    fn what_is_issued_needs_another_right() {
        let text = "[secrets]\nA = \"kv/app#a\"\n\
             B = { path = \"pki/issue/b\", parameters = { c = \"d\" }, as = \"file\", projects = \"**\" }\n\
             [vault]\naddress = \"https://v\"\n[vault.approle]\nrole_id = \"r\"\nsecret_id_file = \"/s\"";
        let settings = Settings::parse(text, std::path::Path::new("x")).unwrap();
        let layouts = Layouts::from([("kv/app".to_owned(), layout("kv/", KvVersion::V1))]);
        let stanzas = of_secrets(&settings, &layouts);
        let seen: Vec<_> =
            stanzas.iter().map(|one| (one.path.as_str(), one.capabilities.as_slice())).collect();
        assert_eq!(seen, [("kv/app", &["read"][..]), ("pki/issue/b", &["update"])]);
        let of_token = of_token(&settings, &layouts);
        assert!(of_token.iter().any(|one| one.path == "auth/token/renew-self"));
    }

    #[test]
    fn a_stanza_is_quoted() {
        let stanza = Stanza {
            path: r#"kv/data/a"b\c"#.into(),
            capabilities: vec!["read", "list"],
            needed_for: vec!["A".into(), "B".into()],
        };
        let expected =
            "# A, B\npath \"kv/data/a\\\"b\\\\c\" {\n  capabilities = [\"read\", \"list\"]\n}\n";
        assert_eq!(written(&stanza), expected);
    }
}
