//! `cache:` of a job or of the defaults. Expands nothing.

use super::{
    super::model::{Cache, CachePolicy},
    fault::Read,
    job::WHENS,
    keys::{self, entry},
    node::Value,
    value::Field,
};

/// GitLab's key where none is given.
const KEY: &str = "default";
/// As many as GitLab takes.
const MOST: usize = 4;
const POLICIES: [(&str, CachePolicy); 3] = [
    ("pull-push", CachePolicy::PullPush),
    ("pull", CachePolicy::Pull),
    ("push", CachePolicy::Push),
];

/// One mapping or a list of them; empty is none.
pub(super) fn caches(field: Field<'_>) -> Read<Vec<Cache>> {
    match &field.node.value {
        Value::List(items) if items.len() > MOST => field.wrong("at most four caches"),
        Value::List(items) => items.iter().map(|item| cache(Field::new(field.key, item))).collect(),
        Value::Map(entries) if entries.is_empty() => Ok(Vec::new()),
        _ => Ok(vec![cache(field)?]),
    }
}

fn cache(field: Field<'_>) -> Read<Cache> {
    let entries = keys::CACHE.entries(field.node, field.key)?;
    let texts = |key| entry(entries, key).map(|found| Field::from(found).texts()).transpose();
    let key = entry(entries, "key").map(|found| self::key(found.into())).transpose()?;
    let untracked = entry(entries, "untracked").map(|found| Field::from(found).flag());
    let when = entry(entries, "when").map(|found| Field::from(found).word(&WHENS));
    let policy = entry(entries, "policy").map(|found| Field::from(found).word(&POLICIES));
    Ok(Cache {
        key: key.unwrap_or_else(|| KEY.to_owned()),
        fallback_keys: texts("fallback_keys")?.unwrap_or_default(),
        paths: texts("paths")?.unwrap_or_default(),
        untracked: untracked.transpose()?.unwrap_or_default(),
        when: when.transpose()?.unwrap_or_default(),
        policy: policy.transpose()?.unwrap_or_default(),
    })
}

fn key(field: Field<'_>) -> Read<String> {
    if let Value::Map(_) = field.node.value {
        keys::CACHE_KEY.entries(field.node, field.key)?;
        return field.wrong("a text");
    }
    field.text_or_number()
}
