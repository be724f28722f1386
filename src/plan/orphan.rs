//! What jobs with the raw Docker socket left running. Such containers carry none of our labels, so they
//! cannot be told apart by owner: they are counted, named, and removed only by a person. Pure.

use serde::Serialize;

use crate::settings::AdmissionSettings;

use super::container::Labels;

/// A container that runs on this host, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// When it was created, Unix seconds.
    pub created: i64,
}

/// One that counts as left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// Its name.
    pub name: String,
    /// When it was created, Unix seconds.
    pub created: i64,
}

/// Those of the running containers that count: neither ours, nor older than the first job with the raw
/// socket, nor named by the operator. Oldest first.
pub fn left(running: &[Seen], settings: &AdmissionSettings, first_raw_job: i64) -> Vec<Orphan> {
    let counts = |one: &&Seen| {
        let ours = ["longshore.kind", "longshore.job"];
        !ours.iter().any(|label| one.labels.contains_key(*label))
            && one.created >= first_raw_job
            && !settings.other_containers.matches(&one.name)
            && !settings.other_container_labels.iter().any(|label| carries(&one.labels, label))
    };
    let orphan = |one: &Seen| Orphan { name: one.name.clone(), created: one.created };
    let mut left: Vec<Orphan> = running.iter().filter(counts).map(orphan).collect();
    left.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
    left
}

fn carries(labels: &Labels, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|own| own == value),
        None => labels.contains_key(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Patterns;

    fn seen(name: &str, labels: &[(&str, &str)], created: i64) -> Seen {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Seen { name: name.to_owned(), labels: labels.collect(), created }
    }

    #[test]
    fn what_is_ours_older_or_named_by_the_operator_does_not_count() {
        let settings = AdmissionSettings {
            other_containers: Patterns::new(vec!["node-*".to_owned()]).unwrap(),
            other_container_labels: vec!["team=ops".to_owned(), "infra".to_owned()],
            ..AdmissionSettings::default()
        };
        let running = [
            seen("web", &[("team", "web")], 120),
            seen("app", &[], 100),
            seen("registry", &[], 99),
            seen("node-exporter", &[], 130),
            seen("proxy", &[("team", "ops")], 130),
            seen("vault", &[("infra", "")], 130),
            seen("longshore-7-ab-job", &[("longshore.kind", "job")], 130),
            seen("made-by-a-job", &[("longshore.job", "7-ab")], 130),
        ];
        let names: Vec<String> =
            left(&running, &settings, 100).into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["app", "web"]);
    }
}
