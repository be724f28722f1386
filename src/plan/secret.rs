//! Which secrets a job gets: it asks by name, the operator's rules and the job's JSON decide.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::job::JobContext;
use crate::settings::{SecretRule, Settings};

use super::Refusal;

pub use crate::settings::{FileMode, KvVersion, SecretForm};

/// The variable by which a job asks. Empty, it asks for nothing; absent, the job gets its defaults.
const ASK: &str = "LONGSHORE_SECRETS";

/// A secret by reference: where it lies, never what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretRef {
    /// The name by which the job knows it, e.g. `API_KEY`.
    pub name: String,
    /// Mount and path without a leading slash and without `data/`, e.g. `kv/app/demo`.
    pub path: String,
    /// The field of the secret; all fields as one JSON object for `None`.
    pub field: Option<String>,
    /// A version of a KV v2 secret, counted from 1; the newest for `None`.
    pub version: Option<u64>,
    /// The kind of engine; asked of the server for `None`. Where it is given, the first part of `path`
    /// is taken for the mount.
    pub kv: Option<KvVersion>,
    /// What the engine is told that issues it; where there are none, it is read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// How the job gets it.
    pub form: SecretForm,
}

/// Where secret files are: on a tmpfs of the job container alone, which no image, commit, export or
/// archive of the container reaches.
pub const SECRET_FILES: &str = "/run/secrets/longshore";

/// Room for them. What a job's masks may weigh together is less, and memory is taken for what is written.
pub(super) const SECRET_FILES_BYTES: u64 = 4 << 20;

impl SecretRef {
    /// The path of its file in the job container, for one that comes as a file.
    pub fn file(&self) -> Option<String> {
        match self.form {
            SecretForm::File { .. } => Some(format!("{SECRET_FILES}/{}", self.name)),
            SecretForm::Variable => None,
        }
    }
}

/// The secrets this job gets: those it asks for, or its defaults.
pub(super) fn asked(context: &JobContext, settings: &Settings) -> Result<Vec<SecretRef>, Refusal> {
    let Some(list) = context.variable(ASK) else { return Ok(defaults(context, settings)) };
    let mut wanted: Vec<SecretRef> = Vec::new();
    for name in list.split(|c: char| c == ',' || c.is_whitespace()) {
        if name.is_empty() || wanted.iter().any(|one| one.name == name) {
            continue;
        }
        let rule = settings.secrets.get(name);
        let Some(rule) = rule.filter(|rule| is_allowed(rule, context)) else {
            return Err(refusal(name, rule, context, settings));
        };
        wanted.push(reference(name, rule));
    }
    Ok(wanted)
}

fn defaults(context: &JobContext, settings: &Settings) -> Vec<SecretRef> {
    let given = settings.secrets.iter().filter(|(_, rule)| rule.default);
    given
        .filter(|(_, rule)| is_allowed(rule, context))
        .map(|(name, rule)| reference(name, rule))
        .collect()
}

fn reference(name: &str, rule: &SecretRule) -> SecretRef {
    SecretRef {
        name: name.to_owned(),
        path: rule.path.clone(),
        field: rule.field.clone(),
        version: rule.version,
        kv: rule.kv,
        parameters: rule.parameters.clone(),
        form: rule.form,
    }
}

/// The runner's script sets all of the job's own variables, so one of a secret's name stands before it.
pub(super) fn hidden(context: &JobContext, secrets: &[SecretRef]) -> Vec<String> {
    let own = secrets.iter().filter(|one| context.variable(&one.name).is_some());
    own.map(|one| {
        format!(
            "the job has a variable {} of its own, which hides the secret of that name; rename or remove \
             the variable",
            one.name
        )
    })
    .collect()
}

fn is_of_project(rule: &SecretRule, context: &JobContext) -> bool {
    rule.projects.matches(&context.response.job_info.project_full_path)
}

fn is_of_ref(rule: &SecretRule, context: &JobContext) -> bool {
    rule.refs.matches(&context.response.git_info.reference)
}

fn is_allowed(rule: &SecretRule, context: &JobContext) -> bool {
    is_of_project(rule, context)
        && is_of_ref(rule, context)
        && (!rule.protected_only || context.is_protected())
}

/// A name that is known elsewhere and one that is not are told alike, but for the ref, which the author
/// of an allowed project can do something about.
fn refusal(
    name: &str,
    rule: Option<&SecretRule>,
    context: &JobContext,
    settings: &Settings,
) -> Refusal {
    let reason = match rule.filter(|rule| is_of_project(rule, context)) {
        None => String::new(),
        Some(rule) if !is_of_ref(rule, context) => {
            format!(": it is for the refs {} only", rule.refs.written().join(", "))
        }
        Some(_) => ": it is for protected refs only".to_owned(),
    };
    let allowed: Vec<&str> = settings
        .secrets
        .iter()
        .filter(|(_, rule)| is_allowed(rule, context))
        .map(|(name, _)| name.as_str())
        .collect();
    let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
    Refusal::Secret { name: name.to_owned(), reason, allowed }
}
