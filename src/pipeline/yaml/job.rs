//! One job, with the pipeline's defaults put into it. Does not look at other jobs.

use super::{
    super::{
        model::{AllowFailure, Artifacts, ArtifactsWhen, Image, Job, When},
        rules::{Expression, Rule},
    },
    cache,
    fault::{Fault, Read},
    keys::{self, Keys, entry},
    node::{Entry, Node, Value},
    service,
    value::Field,
};

const JOB_WHENS: [(&str, When); 4] = [
    ("on_success", When::OnSuccess),
    ("on_failure", When::OnFailure),
    ("always", When::Always),
    ("manual", When::Manual),
];
const RULE_WHENS: [(&str, When); 5] =
    [JOB_WHENS[0], JOB_WHENS[1], JOB_WHENS[2], JOB_WHENS[3], ("never", When::Never)];

pub(super) const WHENS: [(&str, ArtifactsWhen); 3] = [
    ("on_success", ArtifactsWhen::OnSuccess),
    ("on_failure", ArtifactsWhen::OnFailure),
    ("always", ArtifactsWhen::Always),
];

/// Where a job's key is looked up: in the job, else in the pipeline's defaults.
struct Source<'a> {
    job: &'a [Entry],
    defaults: &'a [Entry],
}

impl<'a> Source<'a> {
    fn own<T>(&self, key: &str, read: impl FnOnce(Field<'a>) -> Read<T>) -> Read<Option<T>> {
        entry(self.job, key).map(|found| read(found.into())).transpose()
    }

    fn or_default<T>(&self, key: &str, read: impl FnOnce(Field<'a>) -> Read<T>) -> Read<Option<T>> {
        let found = entry(self.job, key).or_else(|| entry(self.defaults, key));
        found.map(|found| read(found.into())).transpose()
    }
}

/// Reads a job; `defaults` are the entries of `default:`, already checked.
pub(super) fn job(named: &Entry, defaults: &[Entry]) -> Read<Job> {
    let from = Source { job: keys::JOB.entries(&named.node, &named.key)?, defaults };
    let script = from.own("script", Field::commands)?.unwrap_or_default();
    if script.is_empty() {
        return Err(Fault::NoScript.at(named.line));
    }
    let when = from.own("when", |field| field.word(&JOB_WHENS))?.unwrap_or_default();
    // A manual job nobody starts must not hold up the pipeline.
    let manual = if when == When::Manual { AllowFailure::Yes } else { AllowFailure::No };
    Ok(Job {
        name: named.key.clone(),
        line: named.line,
        stage: from.own("stage", Field::text)?.unwrap_or_else(|| "test".to_owned()),
        image: from.or_default("image", image)?,
        services: from.or_default("services", service::services)?.unwrap_or_default(),
        variables: from.own("variables", variables)?.unwrap_or_default(),
        before_script: from.or_default("before_script", Field::commands)?.unwrap_or_default(),
        script,
        after_script: from.or_default("after_script", Field::commands)?.unwrap_or_default(),
        artifacts: from.or_default("artifacts", artifacts)?,
        caches: from.or_default("cache", cache::caches)?.unwrap_or_default(),
        dependencies: from.own("dependencies", Field::texts)?,
        rules: from.own("rules", rules)?,
        when,
        allow_failure: from.own("allow_failure", allow_failure)?.unwrap_or(manual),
        timeout: from.or_default("timeout", Field::duration)?.map(|(duration, _)| duration),
    })
}

/// Reads the values of `default:`, so that one no job uses is checked too.
pub(super) fn check_defaults(defaults: &[Entry]) -> Read<()> {
    let from = Source { job: &[], defaults };
    from.or_default("image", image)?;
    from.or_default("services", service::services)?;
    from.or_default("before_script", Field::commands)?;
    from.or_default("after_script", Field::commands)?;
    from.or_default("artifacts", artifacts)?;
    from.or_default("cache", cache::caches)?;
    from.or_default("timeout", Field::duration)?;
    Ok(())
}

fn image(field: Field<'_>) -> Read<Image> {
    let Value::Map(_) = field.node.value else {
        let name = field.text()?;
        return Ok(Image { name, entrypoint: Vec::new(), pull_policy: Vec::new() });
    };
    let entries = keys::IMAGE.entries(field.node, field.key)?;
    let Some(name) = entry(entries, "name") else {
        return field.wrong("a text, or a mapping with \"name\"");
    };
    let policies = entry(entries, "pull_policy").map(|e| pull_policies(e.into())).transpose()?;
    let entrypoint = entry(entries, "entrypoint").map(|e| Field::from(e).text_or_texts());
    Ok(Image {
        name: Field::from(name).text()?,
        entrypoint: entrypoint.transpose()?.unwrap_or_default(),
        pull_policy: policies.unwrap_or_default(),
    })
}

pub(super) fn pull_policies(field: Field<'_>) -> Read<Vec<String>> {
    const POLICIES: [(&str, &str); 3] =
        [("always", "always"), ("if-not-present", "if-not-present"), ("never", "never")];
    let word = |node: &Node| Field::new(field.key, node).word(&POLICIES).map(str::to_owned);
    match &field.node.value {
        Value::List(items) => items.iter().map(word).collect(),
        _ => Ok(vec![word(field.node)?]),
    }
}

fn artifacts(field: Field<'_>) -> Read<Artifacts> {
    let from = Source { job: keys::ARTIFACTS.entries(field.node, field.key)?, defaults: &[] };
    Ok(Artifacts {
        paths: from.own("paths", Field::texts)?.unwrap_or_default(),
        exclude: from.own("exclude", Field::texts)?.unwrap_or_default(),
        name: from.own("name", Field::text)?,
        expire_in: from.own("expire_in", expiry)?,
        when: from.own("when", |field| field.word(&WHENS))?.unwrap_or_default(),
        untracked: from.own("untracked", Field::flag)?.unwrap_or_default(),
        reports: from.own("reports", reports)?.unwrap_or_default(),
    })
}

fn expiry(field: Field<'_>) -> Read<String> {
    match &field.node.value {
        Value::Text(text) if text == "never" => Ok(text.clone()),
        _ => field.duration().map(|(_, text)| text),
    }
}

fn reports(field: Field<'_>) -> Read<Vec<(String, Vec<String>)>> {
    let entries = keys::REPORTS.entries(field.node, "artifacts:reports")?;
    entries.iter().map(|kind| Ok((kind.key.clone(), Field::from(kind).text_or_texts()?))).collect()
}

/// `exit_codes` may be one number or a list.
fn allow_failure(field: Field<'_>) -> Read<AllowFailure> {
    match &field.node.value {
        Value::Bool(true) => Ok(AllowFailure::Yes),
        Value::Bool(false) => Ok(AllowFailure::No),
        Value::Map(_) => {
            let entries = keys::ALLOW_FAILURE.entries(field.node, field.key)?;
            match entry(entries, "exit_codes") {
                Some(codes) => exit_codes(codes.into()).map(AllowFailure::ExitCodes),
                None => field.wrong("true, false, or a mapping with \"exit_codes\""),
            }
        }
        _ => field.wrong("true, false, or a mapping with \"exit_codes\""),
    }
}

fn exit_codes(field: Field<'_>) -> Read<Vec<i32>> {
    const CODES: &str = "a whole number or a list of them";
    let code = |node: &Node| match &node.value {
        Value::Number(text) => text.parse().or_else(|_| Field::new(field.key, node).wrong(CODES)),
        _ => Field::new(field.key, node).wrong(CODES),
    };
    match &field.node.value {
        Value::List(items) => items.iter().map(code).collect(),
        _ => Ok(vec![code(field.node)?]),
    }
}

/// A job's or a rule's variables.
pub(super) fn variables(field: Field<'_>) -> Read<Vec<(String, String)>> {
    let Value::Map(entries) = &field.node.value else { return field.wrong("a mapping") };
    let value =
        |e: &Entry| variable_value(e, &keys::JOB_VARIABLE).map(|text| (e.key.clone(), text));
    entries.iter().map(value).collect()
}

/// A variable's value, whether it stands alone or under `value`.
pub(super) fn variable_value(named: &Entry, allowed: &Keys) -> Read<String> {
    if !matches!(named.node.value, Value::Map(_)) {
        return Field::from(named).text_or_number();
    }
    match entry(allowed.entries(&named.node, &named.key)?, "value") {
        Some(value) => Field::from(value).text_or_number(),
        None => Ok(String::new()),
    }
}

fn rules(field: Field<'_>) -> Read<Vec<Rule>> {
    let mut rules = Vec::new();
    collect_rules(field, &mut rules)?;
    Ok(rules)
}

fn collect_rules(field: Field<'_>, into: &mut Vec<Rule>) -> Read<()> {
    let Value::List(items) = &field.node.value else { return field.wrong("a list of rules") };
    for item in items {
        let field = Field::new(field.key, item);
        match &item.value {
            // An anchored list of rules within a list.
            Value::List(_) => collect_rules(field, into)?,
            _ => into.push(rule(field)?),
        }
    }
    Ok(())
}

fn rule(field: Field<'_>) -> Read<Rule> {
    let from = Source { job: keys::RULE.entries(field.node, field.key)?, defaults: &[] };
    let allowed = |flag| if flag { AllowFailure::Yes } else { AllowFailure::No };
    Ok(Rule {
        condition: from.own("if", condition)?,
        when: from.own("when", |field| field.word(&RULE_WHENS))?,
        allow_failure: from.own("allow_failure", Field::flag)?.map(allowed),
        variables: from.own("variables", variables)?.unwrap_or_default(),
    })
}

fn condition(field: Field<'_>) -> Read<Expression> {
    let text = field.text()?;
    Expression::parse(&text).map_err(|source| Fault::Condition { text, source }.at(field.node.line))
}
