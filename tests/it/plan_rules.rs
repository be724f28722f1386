//! Single rules of a plan: one change to the job of a golden plan, and what follows from it alone.

use std::collections::BTreeMap;
use std::path::Path;

use longshore::job::JobContext;
use longshore::plan::container::ContainerNetwork;
use longshore::plan::{self, JobPlan, Refusal};
use longshore::settings::Settings;
use serde_json::{Value, json};

use super::plans::{environment, facts, read, settings};

/// The plan of a golden job, changed.
fn changed(case: &str, change: impl FnOnce(&mut Value, &mut BTreeMap<String, String>)) -> JobPlan {
    under(&settings(), case, change)
}

pub(crate) fn under(
    settings: &Settings,
    case: &str,
    change: impl FnOnce(&mut Value, &mut BTreeMap<String, String>),
) -> JobPlan {
    planned(settings, case, change).unwrap()
}

/// Why a changed job is refused, if it is.
pub(crate) fn refused(
    settings: &Settings,
    case: &str,
    change: impl FnOnce(&mut Value, &mut BTreeMap<String, String>),
) -> Option<String> {
    planned(settings, case, change).err().map(|refusal| refusal.to_string())
}

fn planned(
    settings: &Settings,
    case: &str,
    change: impl FnOnce(&mut Value, &mut BTreeMap<String, String>),
) -> Result<JobPlan, Refusal> {
    let mut job: Value = serde_json::from_str(&read(&format!("{case}.json"))).unwrap();
    let mut variables = environment(case);
    change(&mut job, &mut variables);
    let context = JobContext::new(variables, job.to_string().as_bytes()).unwrap();
    plan::compile(&context, settings, &facts())
}

/// Settings of these lines, which begin in `[docker]`.
pub(crate) fn with(text: &str) -> Settings {
    Settings::parse(&format!("[docker]\n{text}"), Path::new("settings.toml")).unwrap()
}

#[test]
fn the_deadline_is_the_timeout_and_after_script_and_a_grace() {
    for (timeout, after_script, expected) in [
        (json!(7200), None, 7200 + 300),
        (json!(0), None, 3600 + 300),
        (json!(7200), Some("1h2m"), 7200 + 3720),
        (json!(7200), Some("9h"), 7200 * 2),
        (json!(7200), Some("soon"), 7200 + 300),
    ] {
        let plan = changed("trivial", |job, variables| {
            job["runner_info"]["timeout"] = timeout.clone();
            let said = after_script
                .map(|said| ("RUNNER_AFTER_SCRIPT_TIMEOUT".to_owned(), said.to_owned()));
            variables.extend(said);
        });
        let (unix, uptime) = ("longshore.deadline", "longshore.deadline.uptime");
        let seconds = |label: &str| plan.labels[label].parse::<u64>().unwrap();
        assert_eq!(seconds(unix) - facts().now.unix, expected + 25 * 60);
        assert_eq!(seconds(uptime) - facts().now.uptime, expected + 25 * 60);
    }
}

/// The job `trivial` has `GIT_STRATEGY: none` and nothing to fetch or to keep.
#[test]
fn each_thing_that_needs_the_helper_gets_it() {
    let build: Value = serde_json::from_str(&read("build.json")).unwrap();
    for key in ["dependencies", "artifacts", "cache"] {
        let plan = changed("trivial", |job, _| job[key] = build[key].clone());
        assert!(plan.helper_image.is_some(), "{key}");
    }
    for (strategy, helper) in [("fetch", true), ("clone", true), ("empty", false)] {
        let plan = changed("trivial", |_, env| {
            env.insert("GIT_STRATEGY".into(), strategy.into());
        });
        assert_eq!(plan.helper_image.is_some(), helper, "{strategy}");
    }
    let nothing_kept = json!([{"id": 1, "token": "t", "name": "lint"}]);
    let plan = changed("trivial", |job, _| job["dependencies"] = nothing_kept);
    assert!(plan.helper_image.is_none());
}

#[test]
fn an_unreleased_runner_gets_the_latest_helper() {
    for (version, tag) in [("19.3.0", "-v19.3.0"), ("19.4.0~pre.12.g0123abc", "-latest")] {
        let plan = changed("build", |_, env| {
            env.insert("CI_RUNNER_VERSION".into(), version.into());
        });
        let image = plan.helper_image.unwrap().reference;
        assert!(image.ends_with(tag), "{image}");
    }
}

#[test]
fn docker_auth_config_may_name_user_and_password_apart() {
    for (auth, user) in [
        (json!({"username": "tools", "password": "p"}), Some("tools")),
        (json!({"username": "tools"}), Some("gitlab-ci-token")),
        (json!({"auth": "no base64"}), Some("gitlab-ci-token")),
    ] {
        let plan = changed("build", |_, env| {
            let config = json!({"auths": {"registry.example.com/web": auth}});
            env.insert("DOCKER_AUTH_CONFIG".into(), config.to_string());
        });
        let login = &plan.image.sources[0].login;
        let login = login.auth_config.as_ref().or(login.job.as_ref());
        assert_eq!(login.map(|login| login.username.as_str()), user);
    }
}

#[test]
fn a_prune_follows_the_operators_repository_and_the_jobs_own_names() {
    let text = read("settings.toml")
        + "[prune]\nrepository = \"mirror.example.com$CI_JOB_NAME/$CI_PROJECT_PATH\"\n\
           drop = [\"$CI_COMMIT_REF_NAME\", \"p-$CI_PIPELINE_ID\", \"$CI_COMMIT_SHORT_SHA\", \"$CI_JOB_NAME\"]\n";
    let settings = Settings::parse(&text, Path::new("settings.toml")).unwrap();
    let plan = under(&settings, "delivery", |job, _| {
        job["job_info"]["project_full_path"] = json!("Web/Shop");
        job["git_info"]["ref"] = json!("feature*");
    });
    let prune = plan.prune.unwrap();
    assert_eq!(prune.repository, "mirror.example.com/web/shop");
    assert_eq!(prune.drop, ["feature[*]", "p-77", "01234567"]);
}

#[test]
fn the_mirrors_of_an_images_registry_come_before_it() {
    let settings = with(
        "[[docker.mirror]]\nregistry = \"docker.io\"\nmirror = \"mirror.example.com/hub\"\n\
         [[docker.mirror]]\nregistry = \"quay.io\"\nmirror = \"mirror.example.com/quay\"\n",
    );
    let plan = under(&settings, "trivial", |job, _| job["image"]["name"] = json!("debian:13"));
    let sources: Vec<&str> =
        plan.image.sources.iter().map(|source| source.reference.as_str()).collect();
    assert_eq!(sources, ["mirror.example.com/hub/library/debian:13", "debian:13"]);
}

#[test]
fn a_job_chooses_its_user_from_the_operators_list() {
    let settings = with("allowed_users = [\"app\"]\n");
    let user = |user: &str| {
        let user = json!(user);
        let of = |job: &mut Value| job["image"]["executor_opts"]["docker"]["user"] = user.clone();
        let refusal = refused(&settings, "trivial", |job, _| of(job));
        if refusal.is_some() {
            None
        } else {
            Some(under(&settings, "trivial", |job, _| of(job)).user)
        }
    };
    assert_eq!(user(""), Some(None));
    assert_eq!(user("app"), Some(Some("app".to_owned())));
    assert_eq!(user("root"), None);
    let forced = with("user = \"1000\"\nallowed_users = []\n");
    assert_eq!(under(&forced, "trivial", |_, _| ()).user.as_deref(), Some("1000"));
}

#[test]
fn a_job_chooses_its_network_from_the_operators_list() {
    let settings = with("[network]\nallowed_modes = [\"apps\", \"bridge\"]\n");
    let choose = |mode: &'static str| {
        move |_: &mut Value, env: &mut BTreeMap<String, String>| {
            env.insert("LONGSHORE_NETWORK_MODE".into(), mode.into());
        }
    };
    let network = |mode| under(&settings, "trivial", choose(mode)).job_container("").network;
    let named = |name: &str, aliases: &[&str]| ContainerNetwork::Named {
        name: name.to_owned(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
    };
    assert_eq!(network("apps"), named("apps", &["build"]));
    assert_eq!(network("bridge"), named("bridge", &[]));
    for own in ["slot", " "] {
        assert_eq!(network(own), ContainerNetwork::Slot { aliases: vec!["build".to_owned()] });
    }
    let refusal = refused(&settings, "trivial", choose("host")).unwrap();
    assert!(refusal.contains("slot, apps, bridge"), "{refusal}");
}

#[test]
fn the_operator_may_name_the_job_container() {
    for (written, expected) in [("app-$CI_JOB_ID", Some("app-1001")), ("$NOT_SET", None)] {
        let settings = with(&format!("[network]\nhostname = \"{written}\"\n"));
        assert_eq!(under(&settings, "trivial", |_, _| ()).network.hostname.as_deref(), expected);
    }
}

#[test]
fn a_network_that_is_not_the_jobs_own_is_told() {
    for (mode, told) in [
        ("slot", None),
        ("none", None),
        ("host", Some("this job is on the host's own network")),
        ("apps", Some("this job shares the network apps")),
    ] {
        let settings = with(&format!("[network]\nmode = \"{mode}\"\n"));
        let notices = under(&settings, "trivial", |_, _| ()).notices;
        let about: Vec<&String> = notices.iter().filter(|one| one.contains("network")).collect();
        assert_eq!(about.len(), usize::from(told.is_some()), "{mode}: {notices:?}");
        assert!(
            about.iter().all(|one| told.is_some_and(|told| one.starts_with(told))),
            "{about:?}"
        );
    }
}
