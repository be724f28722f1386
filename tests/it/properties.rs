//! What must hold for every input of the pure rooms, tried with many.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use longshore::job::expand::expand;
use longshore::job::{JobContext, Stage};
use longshore::plan::JobKey;
use longshore::plan::container::Labels;
use longshore::plan::owner::{Moment, Owner};
use longshore::plan::prune::{self, LocalImage, PrunePolicy, Seen};
use longshore::plan::sweep::{self, Host, Kind, Object};
use longshore::settings::Settings;
use proptest::prelude::*;
use serde_json::json;

const BUILD: &str = include_str!("plans/build.json");
const EXAMPLE: &str = include_str!("../../longshore.toml.example");

fn key(host: &str, project: u64, job: u64) -> JobKey {
    let json = json!({
        "id": job, "job_info": {"name": "n", "stage": "s", "project_id": project, "project_full_path": "g/p"},
        "git_info": {"repo_url": format!("https://t:x@{host}/g/p.git"), "ref": "main", "sha": "0"},
    });
    let variables = BTreeMap::from([("CI".to_owned(), "true".to_owned())]);
    let context = JobContext::new(variables, json.to_string().as_bytes()).unwrap();
    JobKey::of(&context.response)
}

fn is_legal_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    first
        && name.len() <= 63
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

const OURS: &str = "reg.example:5000/team/app";

fn reference(separator: char) -> impl Strategy<Value = String> {
    let repositories =
        [OURS, "reg.example:5000/team/app/sub", "reg.example:5000/team/app2", "team/app", "app"];
    let names = ["latest", "test", "0123456789abcdef0123456789abcdef01234567", "keep-1", "other"];
    (prop::sample::select(repositories.to_vec()), prop::sample::select(names.to_vec()))
        .prop_map(move |(repository, name)| format!("{repository}{separator}{name}"))
}

fn image() -> impl Strategy<Value = LocalImage> {
    let tags = prop::collection::vec(reference(':'), 0..4);
    let digests = prop::collection::vec(reference('@'), 0..3);
    let revision = prop::option::of(prop::sample::select(vec!["this", "that"]));
    (0_u32..20, tags, digests, revision).prop_map(|(id, tags, digests, revision)| LocalImage {
        id: format!("sha256:{id}"),
        tags,
        digests,
        revision: revision.map(str::to_owned),
        ..LocalImage::default()
    })
}

fn policy() -> impl Strategy<Value = PrunePolicy> {
    let patterns = [
        "latest",
        "test",
        "*",
        "keep-*",
        "la*",
        "0123456789abcdef0123456789abcdef01234567",
        "[broken",
    ];
    let patterns = move || prop::collection::vec(prop::sample::select(patterns.to_vec()), 0..4);
    let words = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
    (patterns(), patterns()).prop_map(move |(keep, drop)| PrunePolicy {
        repository: OURS.to_owned(),
        keep: words(keep),
        drop: words(drop),
        own: vec!["0123456789abcdef0123456789abcdef01234567".to_owned()],
        commit: "this".to_owned(),
        ..PrunePolicy::default()
    })
}

/// Images as an engine lists them: no two share an id or a reference.
fn images() -> impl Strategy<Value = Vec<LocalImage>> {
    prop::collection::vec(image(), 0..12).prop_map(|mut images| {
        let mut seen = BTreeSet::new();
        for (index, image) in images.iter_mut().enumerate() {
            image.id = format!("sha256:{index}");
            image.tags.retain(|tag| seen.insert(tag.clone()));
            image.digests.retain(|digest| seen.insert(digest.clone()));
        }
        images
    })
}

fn owner() -> impl Strategy<Value = Owner> {
    (0_u32..3, 0_u32..2, 1_u32..5, 0_u64..3).prop_map(|(boot, namespace, pid, start_time)| Owner {
        boot_id: boot.to_string(),
        pid_namespace: namespace.to_string(),
        pid,
        start_time,
    })
}

/// The clock that somebody may set says nothing.
fn at(uptime: u64) -> Moment {
    Moment { unix: 100 - uptime, uptime }
}

fn object() -> impl Strategy<Value = (Object, Owner, u64)> {
    let kinds = prop::sample::select(vec![Kind::Container, Kind::Network, Kind::Volume]);
    let words = prop::sample::select(vec!["job", "helper", "builds", "tmp", "cache"]);
    (kinds, words, owner(), 0_u64..100, any::<bool>()).prop_map(
        |(kind, word, owner, deadline, used)| {
            let mut labels = Labels::from([
                ("longshore.kind".to_owned(), word.to_owned()),
                ("longshore.job".to_owned(), "7-0011aabb".to_owned()),
            ]);
            owner.write(&mut labels);
            at(deadline).write_deadline(&mut labels);
            let name = format!("longshore-7-0011aabb-{word}");
            (Object { kind, name, labels, used, inherited: false }, owner, deadline)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_are_legal(host in "\\PC{0,40}", project: u64, job: u64) {
        let key = key(&host.replace(['\\', '"'], ""), project, job);
        for what in ["job", "helper", "builds", "tmp"] {
            prop_assert!(is_legal_name(&key.name(what)), "{}", key.name(what));
        }
        // It is the job container's host name too.
        let host_name = format!("longshore-{}", key.as_str());
        prop_assert!(is_legal_name(&host_name));
    }

    #[test]
    fn distinct_jobs_have_distinct_names(
        left in (prop::sample::select(vec!["a.example", "b.example:8443"]), 1_u64..3, 1_u64..50),
        right in (prop::sample::select(vec!["a.example", "b.example:8443"]), 1_u64..3, 1_u64..50),
    ) {
        let same = key(left.0, left.1, left.2) == key(right.0, right.1, right.2);
        prop_assert_eq!(same, left == right);
    }

    #[test]
    fn a_prune_takes_only_what_it_may(
        policy in policy(),
        images in images(),
        used in prop::collection::hash_set(0_usize..12, 0..6),
    ) {
        let used: BTreeSet<String> = used.into_iter().map(|index| format!("sha256:{index}")).collect();
        let plan = prune::plan(&policy, &Seen { images: images.clone(), used: used.clone(), ..Seen::default() });
        let removed: Vec<&String> = plan.remove.iter().map(|one| &one.reference).collect();
        for spared in &plan.spared {
            prop_assert!(!removed.contains(&&spared.reference));
        }
        for removed in &removed {
            let removed = *removed;
            let nameless = images.iter().find(|image| &image.id == removed);
            prop_assert_ne!(removed, &format!("{OURS}:latest"));
            prop_assert!(
                removed.starts_with(&format!("{OURS}:")) || removed.starts_with(&format!("{OURS}@"))
                    || nameless.is_some_and(|image| {
                        image.tags.is_empty() && image.digests.is_empty() && image.revision.as_deref() == Some("this")
                    }),
                "{removed}"
            );
        }
        for image in images.iter().filter(|image| used.contains(&image.id)) {
            let gone = |name: &String| removed.contains(&name);
            prop_assert!(!gone(&image.id));
            let all: Vec<_> = image.tags.iter().chain(&image.digests).collect();
            prop_assert!(all.is_empty() || !image.tags.iter().all(gone) || !all.into_iter().any(gone));
        }
    }

    #[test]
    fn a_sweep_never_takes_what_a_living_owner_has(
        objects in prop::collection::vec(object(), 0..12),
        living in prop::collection::vec(owner(), 0..6),
        unseen in prop::collection::vec(owner(), 0..3),
        now in 0_u64..100,
    ) {
        let alive = |owner: &Owner| {
            if unseen.contains(owner) { None } else { Some(living.contains(owner)) }
        };
        let listed: Vec<Object> = objects.iter().map(|(object, ..)| object.clone()).collect();
        let doomed = sweep::plan(&listed, alive, &Host {
            agent_volume: "agent",
            slot_prefix: "slot-",
            kept_slots: 1,
            now: at(now),
            cut_short: &BTreeSet::new(),
        });
        // Objects may share a name here: none of those that bear it may be kept.
        for one in &doomed {
            let bearers = objects.iter().filter(|(object, ..)| object.name == one.name && object.kind == one.kind);
            let may_go = bearers.map(|(_, owner, deadline)| now > *deadline || alive(owner) == Some(false));
            prop_assert!(may_go.into_iter().any(|may| may), "{}", one.name);
        }
        let lost = objects.iter().filter(|(_, owner, deadline)| now > *deadline || alive(owner) == Some(false)).count();
        prop_assert_eq!(doomed.len(), lost);
        prop_assert!(doomed.is_sorted_by_key(|one| one.kind));
    }

    #[test]
    fn expansion_never_panics_and_leaves_plain_text_alone(text in "\\PC{0,60}") {
        let out = expand(&text, |name| Some(format!("<{name}>")));
        prop_assert!(text.contains('$') || out == text);
        prop_assert_eq!(expand(&out.replace('$', ""), |_| None), out.replace('$', ""));
    }

    #[test]
    fn expansion_takes_any_mix_of_dollars_and_braces(text in "[$a{}_0 é]{0,20}") {
        let out = expand(&text, |_| Some(String::new()));
        prop_assert!(out.len() <= text.len());
    }

    #[test]
    fn a_job_that_is_cut_anywhere_is_an_error_that_quotes_nothing(at in 0_usize..BUILD.len() - 2) {
        let variables = BTreeMap::from([("CI".to_owned(), "true".to_owned())]);
        let bytes = &BUILD.as_bytes()[..at];
        let error = JobContext::new(variables, bytes).err().map(|error| error.to_string());
        prop_assert!(error.is_some_and(|text| text.starts_with("the job JSON") && !text.contains("glcbt")));
    }

    #[test]
    fn settings_of_any_text_never_panic(text in "\\PC{0,80}", at in 0_usize..EXAMPLE.len()) {
        drop(Settings::parse(&text, Path::new("x")));
        let mut at = at;
        while !EXAMPLE.is_char_boundary(at) {
            at -= 1;
        }
        drop(Settings::parse(&format!("{}\n{text}", &EXAMPLE[..at]), Path::new("x")));
    }

    #[test]
    fn any_stage_name_is_kept(name in "\\PC{0,30}") {
        prop_assert_eq!(Stage::new(name.clone()).to_string(), name);
    }
}

#[test]
fn ten_thousand_tags_are_planned_at_once() {
    let image = |n: usize| LocalImage {
        id: format!("sha256:{n}"),
        tags: vec![format!("{OURS}:t{n}"), format!("{OURS}:v{n}")],
        ..LocalImage::default()
    };
    let policy = PrunePolicy {
        repository: OURS.to_owned(),
        keep: vec!["latest".to_owned()],
        drop: vec!["t*".to_owned(), "v*".to_owned()],
        ..PrunePolicy::default()
    };
    let seen = Seen { images: (0..10_000).map(image).collect(), ..Seen::default() };
    let began = std::time::Instant::now();
    assert_eq!(prune::plan(&policy, &seen).remove.len(), 20_000);
    // A second and more is what a build without optimisation takes on a machine that does other things too.
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}
