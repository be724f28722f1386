//! What the reader takes, and what it makes of it.

mod refused;

use std::time::Duration;

use super::{
    super::model::{
        AllowFailure, Artifacts, ArtifactsWhen, Cache, CachePolicy, Decision, Image, Job, Pipeline,
        Service, Variable, When,
    },
    parse,
};

fn read(text: &str) -> Pipeline {
    parse(text, "ci.yml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A job named `a` that has these lines beside its script.
fn job(lines: &str) -> Job {
    let lines = lines.replace('\n', "\n  ");
    read(&format!("a:\n  script: x\n  {lines}\n")).jobs.remove(0)
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_projects_own_pipeline_is_read() {
    let pipeline = read(include_str!("../../../.gitlab-ci.yml"));
    assert_eq!(pipeline.stages, ["verify", "build", "test", "delivery"]);
    let jobs: Vec<_> = pipeline.jobs.iter().map(|j| (j.name.as_str(), j.stage.as_str())).collect();
    assert_eq!(
        jobs,
        [
            ("lint", "verify"),
            ("unit", "verify"),
            ("audit", "verify"),
            ("build", "build"),
            ("test", "test"),
            ("delivery", "delivery")
        ]
    );
    let names: Vec<_> = pipeline.variables.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"BUILD_FLAGS"), "{names:?}");
    for job in &pipeline.jobs {
        assert_eq!(job.timeout, Some(Duration::from_mins(15)), "{}", job.name);
        assert!(job.image.is_some() && !job.before_script.is_empty(), "{}", job.name);
    }
    assert_eq!(pipeline.jobs[2].allow_failure, AllowFailure::ExitCodes(vec![3]));
    let reports = &pipeline.jobs[3].artifacts.as_ref().unwrap().reports;
    assert_eq!(*reports, [("dotenv".to_owned(), vec!["build.env".to_owned()])]);
}

#[test]
fn delivery_runs_on_the_default_branch_alone() {
    let pipeline = read(include_str!("../../../.gitlab-ci.yml"));
    let on = |branch: &'static str| {
        pipeline.jobs[5].decide(move |name| match name {
            "CI_COMMIT_BRANCH" => Some(branch.to_owned()),
            "CI_DEFAULT_BRANCH" => Some("main".to_owned()),
            _ => None,
        })
    };
    assert_eq!(on("topic"), Decision::Skip);
    let run = Decision::Run {
        when: When::OnSuccess,
        allow_failure: AllowFailure::No,
        variables: Vec::new(),
    };
    assert_eq!(on("main"), run);
}

#[test]
fn a_bare_job_has_gitlabs_defaults() {
    let pipeline = read("a:\n  script: x\n");
    assert_eq!(pipeline.stages, ["build", "test", "deploy"]);
    let job = &pipeline.jobs[0];
    assert_eq!((job.stage.as_str(), job.line), ("test", 1));
    assert_eq!((job.when, &job.allow_failure), (When::OnSuccess, &AllowFailure::No));
    assert_eq!((&job.image, &job.rules, &job.dependencies), (&None, &None, &None));
}

#[test]
fn every_key_of_a_job_is_read() {
    let all = job(concat!(
        "image: {name: $REGISTRY/x, entrypoint: [''], pull_policy: [always, if-not-present]}\n",
        "variables: {A: 1, B: $A, C: {value: c}, D: ''}\n",
        "before_script: [b, [c, [d]]]\nafter_script: e\ndependencies: []\ntimeout: 1h 30m\n",
        "when: always\nallow_failure: {exit_codes: 3}\n",
        "artifacts:\n  paths: [p]\n  exclude: [q]\n  name: n\n  expire_in: 1 week\n",
        "  when: on_failure\n  untracked: true\n  reports: {junit: r.xml, dotenv: [a, b]}\n",
    ));
    let image = Image {
        name: "$REGISTRY/x".to_owned(),
        entrypoint: vec![String::new()],
        pull_policy: vec!["always".to_owned(), "if-not-present".to_owned()],
    };
    assert_eq!(all.image, Some(image));
    assert_eq!(all.variables, pairs(&[("A", "1"), ("B", "$A"), ("C", "c"), ("D", "")]));
    assert_eq!(all.before_script, ["b", "c", "d"]);
    assert_eq!((all.script, all.after_script), (vec!["x".to_owned()], vec!["e".to_owned()]));
    assert_eq!(all.dependencies, Some(Vec::new()));
    assert_eq!(all.timeout, Some(Duration::from_mins(90)));
    assert_eq!((all.when, all.allow_failure), (When::Always, AllowFailure::ExitCodes(vec![3])));
    let artifacts = Artifacts {
        paths: vec!["p".to_owned()],
        exclude: vec!["q".to_owned()],
        name: Some("n".to_owned()),
        expire_in: Some("1 week".to_owned()),
        when: ArtifactsWhen::OnFailure,
        untracked: true,
        reports: vec![
            ("junit".to_owned(), vec!["r.xml".to_owned()]),
            ("dotenv".to_owned(), vec!["a".to_owned(), "b".to_owned()]),
        ],
    };
    assert_eq!(all.artifacts, Some(artifacts));
}

#[test]
fn services_are_names_or_mappings_and_may_be_defaults() {
    let read = read(concat!(
        "default:\n  services: [redis:7]\na: {script: x}\nb:\n  script: x\n  services:\n",
        "    - name: postgres:$V\n      alias: db, store\n      command: [postgres, -c, fsync=off]\n",
        "      entrypoint: [/run]\n      variables: {A: $B}\n      pull_policy: never\n",
        "      docker: {platform: linux/amd64, user: 70}\n    - mysql\nc: {script: x, services: []}\n",
    ));
    let named = |name: &str| Service { name: name.to_owned(), ..Service::default() };
    assert_eq!(read.jobs[0].services, [named("redis:7")]);
    let texts = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let whole = Service {
        alias: "db, store".to_owned(),
        command: texts(&["postgres", "-c", "fsync=off"]),
        entrypoint: texts(&["/run"]),
        variables: pairs(&[("A", "$B")]),
        pull_policy: texts(&["never"]),
        platform: "linux/amd64".to_owned(),
        user: "70".to_owned(),
        ..named("postgres:$V")
    };
    assert_eq!(read.jobs[1].services, [whole, named("mysql")]);
    assert_eq!(read.jobs[2].services, []);
}

#[test]
fn the_pipelines_variables_carry_their_details() {
    let pipeline = read(
        "variables:\n  A: a\n  B: {value: $A, description: why, expand: false}\na: {script: x}\n",
    );
    let variable = |value: &str, description: Option<&str>, expand| Variable {
        value: value.to_owned(),
        description: description.map(str::to_owned),
        expand,
    };
    let expected = [
        ("A".to_owned(), variable("a", None, true)),
        ("B".to_owned(), variable("$A", Some("why"), false)),
    ];
    assert_eq!(pipeline.variables, expected);
}

#[test]
fn times_are_read_in_gitlabs_words() {
    for (text, seconds) in [
        ("15 minutes", 900),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        ("1 hour 30 minutes", 5400),
        ("3 Hours and 15 Minutes", 11700),
        ("1 week", 604_800),
        ("90 sec", 90),
        ("90", 90),
        ("'90'", 90),
    ] {
        let read = job(&format!("timeout: {text}")).timeout;
        assert_eq!(read, Some(Duration::from_secs(seconds)), "{text}");
    }
}

#[test]
fn defaults_reach_jobs_that_say_nothing_themselves() {
    let defaults = "image: d\n  before_script: [b]\n  after_script: [c]\n  timeout: 1m";
    let text = format!(
        "default:\n  {defaults}\na: {{script: x}}\nb: {{script: x, image: own, before_script: []}}\n"
    );
    let jobs = read(&text).jobs;
    let image = |at: usize| jobs[at].image.as_ref().map(|image| image.name.as_str());
    assert_eq!((image(0), image(1)), (Some("d"), Some("own")));
    assert_eq!((&jobs[0].before_script, &jobs[1].before_script), (&vec!["b".to_owned()], &vec![]));
    assert_eq!(jobs[1].after_script, ["c"]);
    assert_eq!(jobs[1].timeout, Some(Duration::from_mins(1)));
    assert_eq!(read("image: g\na: {script: x}\n").jobs[0].image.as_ref().unwrap().name, "g");
}

#[test]
fn merges_are_resolved_in_the_order_of_the_text() {
    for (body, image) in [
        ("  <<: *one\n  image: own\n", "own"),
        ("  image: own\n  <<: *one\n", "one"),
        ("  <<: [*one, *two]\n", "one"),
        ("  <<: [*two, *one]\n", "two"),
        ("  <<: {image: inline}\n", "inline"),
    ] {
        let text =
            format!(".o: &one\n  image: one\n.t: &two\n  image: two\na:\n  script: x\n{body}");
        assert_eq!(read(&text).jobs[0].image.as_ref().unwrap().name, image, "{body}");
    }
    let text = ".s: &s [a, b]\na:\n  script: [*s, c]\n";
    assert_eq!(read(text).jobs[0].script, ["a", "b", "c"]);
}

#[test]
fn the_outer_stages_come_first_and_last() {
    let text = "stages: [one]\na: {stage: .post, script: x}\nb: {stage: .pre, script: x}\n";
    assert_eq!(read(text).stages, [".pre", "one", ".post"]);
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = concat!(
        "rules:\n  - {if: $NEVER, when: never}\n",
        "  - {if: $LATE, when: manual, allow_failure: true, variables: {V: '1'}}\n",
        "  - [{if: $ON}]\n",
    );
    let decide = |when: &str, set: &'static str| {
        job(&format!("when: {when}\n{rules}")).decide(|name| (name == set).then(|| "1".to_owned()))
    };
    let run = |when, allow_failure, variables| Decision::Run { when, allow_failure, variables };
    assert_eq!(decide("on_success", "NEVER"), Decision::Skip);
    assert_eq!(decide("on_success", "NONE"), Decision::Skip);
    let late = run(When::Manual, AllowFailure::Yes, pairs(&[("V", "1")]));
    assert_eq!(decide("on_success", "LATE"), late);
    assert_eq!(decide("always", "ON"), run(When::Always, AllowFailure::No, Vec::new()));
    let manual = job("when: manual").decide(|_| None);
    assert_eq!(manual, run(When::Manual, AllowFailure::Yes, Vec::new()));
}

#[test]
fn allowed_failures_are_told_from_others() {
    let codes = AllowFailure::ExitCodes(vec![3]);
    for (allowed, code, expected) in [
        (&AllowFailure::No, Some(1), false),
        (&AllowFailure::Yes, None, true),
        (&codes, Some(3), true),
        (&codes, Some(1), false),
        (&codes, None, false),
    ] {
        assert_eq!(allowed.allows(code), expected, "{allowed:?} {code:?}");
    }
}

#[test]
fn caches_are_one_mapping_or_several() {
    let plain = |key: &str, paths: &[&str]| Cache {
        key: key.to_owned(),
        fallback_keys: Vec::new(),
        paths: paths.iter().map(ToString::to_string).collect(),
        untracked: false,
        when: ArtifactsWhen::OnSuccess,
        policy: CachePolicy::PullPush,
    };
    assert_eq!(job("cache: {paths: [a, b/]}").caches, [plain("default", &["a", "b/"])]);
    assert_eq!(job("cache: []").caches, []);
    assert_eq!(job("cache: {}").caches, []);
    let two = "cache:\n- {key: $X, paths: [a], policy: pull}\n\
               - {key: 2, untracked: true, when: always, fallback_keys: [k, l]}";
    let first = Cache { policy: CachePolicy::Pull, ..plain("$X", &["a"]) };
    let second = Cache {
        untracked: true,
        when: ArtifactsWhen::Always,
        fallback_keys: vec!["k".to_owned(), "l".to_owned()],
        ..plain("2", &[])
    };
    assert_eq!(job(two).caches, [first, second]);
    let default = read("cache: {key: d, paths: [x]}\na: {script: x}\nb: {script: x, cache: []}\n");
    assert_eq!(default.jobs[0].caches, [plain("d", &["x"])]);
    assert_eq!(default.jobs[1].caches, []);
}

#[test]
fn a_cache_that_cannot_be_run_is_refused_by_name() {
    for (lines, says) in [
        ("cache: {key: {files: [lock]}, paths: [a]}", "cache:key:files"),
        ("cache: {paths: [a], unprotect: true}", "cache:unprotect"),
        ("cache: {paths: [a], policy: both}", "policy"),
        ("cache: {paths: a}", "paths"),
        ("cache: [{}, {}, {}, {}, {}]", "at most four caches"),
    ] {
        let text = format!("a:\n  script: x\n  {lines}\n");
        let error = parse(&text, "ci.yml").expect_err(lines).to_string();
        assert!(error.contains(says), "{lines}: {error}");
    }
}
