//! Which secrets a job gets: it asks by name, the operator's rules and the job's JSON decide.

use serde::Serialize;

use crate::job::JobContext;
use crate::settings::{KvVersion, SecretRule, Settings};

use super::Refusal;

/// The variable by which a job asks.
const ASK: &str = "LONGSHORE_SECRETS";

/// A secret by reference: where it lies, never what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretRef {
    /// Name of the environment variable.
    pub name: String,
    /// `mount/path`.
    pub path: String,
    /// The field.
    pub field: String,
    /// A version of KV v2.
    pub version: Option<u64>,
    /// The kind of the mount, where the operator told it.
    pub kv: Option<KvVersion>,
}

/// The secrets this job asks for.
pub(super) fn asked(context: &JobContext, settings: &Settings) -> Result<Vec<SecretRef>, Refusal> {
    let mut wanted: Vec<SecretRef> = Vec::new();
    for name in
        context.variable(ASK).unwrap_or_default().split(|c: char| c == ',' || c.is_whitespace())
    {
        if name.is_empty() || wanted.iter().any(|one| one.name == name) {
            continue;
        }
        let rule = settings.secrets.get(name);
        let Some(rule) = rule.filter(|rule| is_allowed(rule, context)) else {
            return Err(refusal(name, rule, context, settings));
        };
        wanted.push(SecretRef {
            name: name.to_owned(),
            path: rule.path.clone(),
            field: rule.field.clone(),
            version: rule.version,
            kv: rule.kv,
        });
    }
    Ok(wanted)
}

fn is_allowed(rule: &SecretRule, context: &JobContext) -> bool {
    rule.projects.matches(&context.response.job_info.project_full_path)
        && (!rule.protected_only || context.is_protected())
}

/// A name that is known elsewhere and one that is not are told alike, but for the protected ref, which
/// the author of an allowed project can do something about.
fn refusal(
    name: &str,
    rule: Option<&SecretRule>,
    context: &JobContext,
    settings: &Settings,
) -> Refusal {
    let project = &context.response.job_info.project_full_path;
    let unprotected = rule.is_some_and(|rule| rule.projects.matches(project));
    let reason = if unprotected { ": it is for protected refs only" } else { "" };
    let allowed: Vec<&str> = settings
        .secrets
        .iter()
        .filter(|(_, rule)| is_allowed(rule, context))
        .map(|(name, _)| name.as_str())
        .collect();
    let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
    Refusal::Secret { name: name.to_owned(), reason, allowed }
}
