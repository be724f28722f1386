//! Golden plans: what GitLab said and what the operator allows, and the plan that follows; with every
//! sentence by which a job or a settings file is refused.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use longshore::job::{JobContext, JobError, Stage};
use longshore::plan::owner::{Moment, Owner};
use longshore::plan::{self, HostFacts, JobPlan, Role};
use longshore::settings::{Capacity, Settings, SettingsError};
use serde_json::{Value, json};

pub(crate) fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/plans").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn settings() -> Settings {
    Settings::parse(&read("settings.toml"), Path::new("settings.toml")).unwrap()
}

pub(crate) fn environment(case: &str) -> BTreeMap<String, String> {
    let text = read(&format!("{case}.env"));
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub(crate) fn facts() -> HostFacts {
    let owner = Owner {
        boot_id: "boot".into(),
        pid_namespace: "4026531836".into(),
        pid: 300,
        start_time: 7,
    };
    HostFacts {
        owner,
        agent_volume: "longshore-agent-0123abcd".into(),
        now: Moment { unix: 1_800_000_000, uptime: 1000 },
        capacity: Capacity { memory_bytes: 16 << 30, cpus: 8 },
    }
}

fn context(case: &str) -> JobContext {
    JobContext::new(environment(case), read(&format!("{case}.json")).as_bytes()).unwrap()
}

fn compiled(case: &str) -> JobPlan {
    plan::compile(&context(case), &settings(), &facts()).unwrap()
}

/// The plan with the containers that follow for an image of this user.
fn whole(plan: &JobPlan, image_user: &str) -> Value {
    json!({
        "plan": plan,
        "job": plan.job_container(image_user),
        "helper": plan.helper_container(image_user),
        "services": plan.service_containers("longshore-slot-3", ""),
        "removal": plan.removal(),
        "user_env": plan.user_env("longshore-slot-3"),
        "directories": plan.directories(),
    })
}

#[test]
fn a_job_that_needs_nothing_gets_one_container() {
    insta::assert_yaml_snapshot!("trivial", whole(&compiled("trivial"), "1000:1000"));
}

#[test]
fn a_build_gets_all_that_it_may_have() {
    insta::assert_yaml_snapshot!("build", whole(&compiled("build"), ""));
}

#[test]
fn a_delivery_knows_what_goes_after_it() {
    insta::assert_yaml_snapshot!("delivery", whole(&compiled("delivery"), "root"));
}

#[test]
fn no_plan_tells_a_secret() {
    for case in ["trivial", "build", "delivery"] {
        let plan = compiled(case);
        let shown = format!("{plan:?} {}", whole(&plan, ""));
        for secret in [
            "glcbt-",
            "masked-value-of-the-job",
            "content-of-a-file",
            "registry-password",
            "dependency-token",
            "tools-password",
        ] {
            assert!(!shown.contains(secret), "{secret} in the plan of {case}");
        }
    }
}

/// What cleanup's worker knows of a job, and says of it: names out of the job's key. So its lines in the ledger
/// need no masks.
#[test]
fn what_is_removed_is_named_by_the_jobs_key_alone() {
    for case in ["trivial", "build", "delivery"] {
        let removal = compiled(case).removal();
        let service = |name: &str| name.strip_prefix("service-").map(str::parse::<usize>);
        for name in removal.containers.iter().chain(&removal.volumes) {
            let rest = name.strip_prefix(&format!("longshore-{}-", removal.job));
            let rest = rest.unwrap_or_else(|| panic!("{name} of {}", removal.job));
            let is_known = ["job", "helper", "builds", "tmp"].contains(&rest);
            assert!(is_known || matches!(service(rest), Some(Ok(_))), "{name}");
        }
        assert!(removal.job.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'));
    }
}

#[test]
fn stages_go_where_they_belong() {
    let (with_helper, alone) = (compiled("build"), compiled("trivial"));
    for (stage, role, user_stage) in [
        ("prepare_script", Role::Helper, false),
        ("get_sources", Role::Helper, false),
        ("upload_artifacts_on_success", Role::Helper, false),
        ("a_stage_of_tomorrow", Role::Helper, false),
        ("build_script", Role::Job, true),
        ("step_release", Role::Job, true),
        ("after_script", Role::Job, true),
    ] {
        let route = with_helper.route(&Stage::new(stage));
        assert_eq!((route.container, route.user_stage), (role, user_stage), "{stage}");
        let route = alone.route(&Stage::new(stage));
        assert_eq!(
            (route.container, route.user_stage),
            (Role::Job, user_stage),
            "{stage}, no helper"
        );
    }
}

#[test]
fn the_entrypoint_is_the_jobs_or_the_images() {
    let own = ["/entry".to_owned()];
    assert_eq!(compiled("trivial").entrypoint(&own), own);
    assert_eq!(compiled("build").entrypoint(&own), ["/init", "--"]);
}

#[test]
fn names_do_not_depend_on_the_call() {
    let later = HostFacts { now: Moment { unix: 1_900_000_000, uptime: 2000 }, ..facts() };
    let mut variables = environment("build");
    variables.insert("CI_PROJECT_DIR".into(), String::new());
    variables.insert("CI_JOB_ID".into(), "999".into());
    let context = JobContext::new(variables, read("build.json").as_bytes()).unwrap();
    let again = plan::compile(&context, &settings(), &later).unwrap();
    assert_eq!(again.removal(), compiled("build").removal());
}

/// A change to the job `build`, and the sentence it is refused with.
type Change = (&'static str, fn(&mut Value, &mut BTreeMap<String, String>));

const REFUSED: [Change; 14] = [
    ("service not allowed", |job, _| job["services"] = json!([{"name": "evil.example/db:1"}])),
    ("service without a name", |job, _| job["services"] = json!([{"name": "$NOT_SET"}])),
    ("image not allowed", |job, _| job["image"]["name"] = json!("evil.example/miner:1")),
    ("pull policy", |job, _| job["image"]["pull_policy"] = json!(["never"])),
    ("user", |job, _| job["image"]["executor_opts"]["docker"]["user"] = json!("root")),
    ("network mode", |_, env| set(env, "LONGSHORE_NETWORK_MODE", "host")),
    ("unknown secret", |_, env| set(env, "LONGSHORE_SECRETS", "API_KEY,TYPO")),
    ("another project's secret", |_, env| set(env, "LONGSHORE_SECRETS", "OTHERS_KEY")),
    ("another ref's secret", |_, env| set(env, "LONGSHORE_SECRETS", "RELEASE_KEY")),
    ("nothing to choose from", |job, env| {
        job["job_info"]["project_full_path"] = json!("lone/project");
        job["git_info"]["ref"] = json!("refs/merge-requests/1/head");
        set(env, "LONGSHORE_SECRETS", "CA_BUNDLE");
    }),
    ("unprotected ref", |job, _| job["git_info"]["protected"] = json!(false)),
    ("project directory outside", |_, env| set(env, "CI_PROJECT_DIR", "/etc/cron.d")),
    ("project directory that climbs", |_, env| set(env, "CI_PROJECT_DIR", "/builds/../etc")),
    ("overridden runner version", |_, env| set(env, "CI_RUNNER_VERSION", "evil.example/x")),
];

fn set(environment: &mut BTreeMap<String, String>, name: &str, value: &str) {
    environment.insert(name.to_owned(), value.to_owned());
}

#[test]
fn every_refusal_says_what_why_and_what_to_do() {
    let mut sentences = String::new();
    for (name, change) in REFUSED {
        let mut job: Value = serde_json::from_str(&read("build.json")).unwrap();
        let mut variables = environment("build");
        change(&mut job, &mut variables);
        let context = JobContext::new(variables, job.to_string().as_bytes()).unwrap();
        let refusal = plan::compile(&context, &settings(), &facts()).unwrap_err();
        write!(sentences, "# {name}\n{refusal}\n\n").unwrap();
    }
    let mut job: Value = serde_json::from_str(&read("build.json")).unwrap();
    job["image"] = Value::Null;
    let context = JobContext::new(environment("build"), job.to_string().as_bytes()).unwrap();
    let refusal = plan::compile(&context, &Settings::default(), &facts()).unwrap_err();
    write!(sentences, "# no image\n{refusal}\n").unwrap();
    insta::assert_snapshot!("refusals", sentences);
}

/// Names of the secrets that the job `build` gets for what it asks, at a ref that is protected or not.
fn given(asked: Option<&str>, reference: &str, protected: bool) -> Vec<String> {
    let mut variables = environment("build");
    variables.remove("LONGSHORE_SECRETS");
    if let Some(list) = asked {
        set(&mut variables, "LONGSHORE_SECRETS", list);
    }
    let mut job: Value = serde_json::from_str(&read("build.json")).unwrap();
    job["git_info"]["ref"] = json!(reference);
    job["git_info"]["protected"] = json!(protected);
    let context = JobContext::new(variables, job.to_string().as_bytes()).unwrap();
    let plan = plan::compile(&context, &settings(), &facts()).unwrap();
    plan.secrets.into_iter().map(|one| one.name).collect()
}

#[test]
fn a_job_that_does_not_ask_gets_the_defaults_of_its_ref() {
    assert_eq!(given(None, "main", true), ["CA_BUNDLE", "DEPLOY_KEY"]);
    assert_eq!(given(None, "topic", false), ["CA_BUNDLE"]);
    assert_eq!(given(Some(" , "), "main", true), Vec::<String>::new());
    assert_eq!(
        given(Some("API_KEY\tDB_PASSWORD,API_KEY"), "main", true),
        ["API_KEY", "DB_PASSWORD"]
    );
}

#[test]
fn refs_are_matched_as_globs() {
    for reference in ["release/7", "v7.1"] {
        assert_eq!(given(Some("RELEASE_KEY"), reference, false), ["RELEASE_KEY"]);
    }
}

#[test]
fn a_variable_that_hides_a_secret_is_told() {
    let mut variables = environment("build");
    set(&mut variables, "API_KEY", "own");
    let context = JobContext::new(variables, read("build.json").as_bytes()).unwrap();
    let plan = plan::compile(&context, &settings(), &facts()).unwrap();
    let told =
        plan.notices.iter().filter(|notice| notice.contains("a variable API_KEY of its own"));
    assert_eq!(told.count(), 1, "{:?}", plan.notices);
}

#[test]
fn an_override_in_the_pipeline_opens_nothing() {
    let mut variables = environment("build");
    set(&mut variables, "CI_PROJECT_PATH", "other/app");
    set(&mut variables, "CI_COMMIT_REF_PROTECTED", "true");
    set(&mut variables, "LONGSHORE_SECRETS", "OTHERS_KEY");
    let mut job: Value = serde_json::from_str(&read("build.json")).unwrap();
    job["git_info"]["protected"] = json!(false);
    let context = JobContext::new(variables, job.to_string().as_bytes()).unwrap();
    let refusal = plan::compile(&context, &settings(), &facts()).unwrap_err().to_string();
    assert!(refusal.ends_with("allowed here: API_KEY, CA_BUNDLE"), "{refusal}");
}

#[test]
fn a_registry_image_of_another_project_is_not_pruned() {
    let mut job: Value = serde_json::from_str(&read("delivery.json")).unwrap();
    job["variables"][2]["value"] = json!("registry.example.com/victim/app");
    let context = JobContext::new(environment("delivery"), job.to_string().as_bytes()).unwrap();
    let plan = plan::compile(&context, &settings(), &facts()).unwrap();
    assert_eq!(plan.prune, None);
    let told =
        plan.notices.iter().filter(|notice| notice.contains("nothing will be pruned")).count();
    assert_eq!(told, 1, "{:?}", plan.notices);
}

#[test]
fn a_job_that_is_none_is_named_without_a_value() {
    let whole = read("build.json");
    let broken: [(&str, String); 5] = [
        ("cut off", whole[..whole.len() / 2].to_owned()),
        ("not JSON", whole.replace("\"id\": 1002,\n  \"token\"", "\"id\": oops,\n  \"token\"")),
        ("a list", "[]".to_owned()),
        ("no git_info", whole.replace("\"git_info\"", "\"git\"")),
        (
            "id is text",
            whole.replace("\"id\": 1002,\n  \"token\"", "\"id\": \"glcbt-x\",\n  \"token\""),
        ),
    ];
    let mut sentences = String::new();
    for (name, text) in broken {
        let error: JobError = JobContext::new(environment("build"), text.as_bytes()).err().unwrap();
        write!(sentences, "# {name}\n{error}\n\n").unwrap();
    }
    assert!(!sentences.contains("glcbt"), "{sentences}");
    insta::assert_snapshot!("job-errors", sentences);
}

fn settings_error(text: &str) -> SettingsError {
    Settings::parse(text, Path::new("/etc/longshore/longshore.toml")).unwrap_err()
}

/// Settings with one mistake each.
const MISTAKES: &[&str] = &[
    "builds_dir = \"/builds\"\n[docker]\ndocker_sokcet = \"raw\"",
    "[dokcer]\nhost = \"unix:///x\"",
    "[docker]\nsomething_else_entirely = 1",
    "[docker]\ndefault_image = 3",
    "[docker]\npull_policy = [\"always\", \"sometimes\"]",
    "[docker]\npull_policy = []",
    "[docker]\ndocker_socket = \"broker\"",
    "[docker]\npull_deadline = 10",
    "[docker]\nslot_prefix = \"-x\"",
    "[docker]\nhost = \"/var/run/docker.sock\"",
    "[limits]\nmemory = \"4 elephants\"",
    "[limits]\nmemory = \"1m\"",
    "[limits]\ncpus = -1.0",
    "[limits]\n\npids = \"many\"",
    "[limits]\nmemory = \"auto\"",
    "concurrency = 0",
    "[limits]\nmemory_swap = \"1g\"",
    "[limits]\nmemory = \"2g\"\nmemory_swap = \"1g\"",
    "[limits]\nmemory = \"2g\"\nmemory_reservation = \"3g\"",
    "[limits]\ncpuset_cpus = \"first\"",
    "[limits]\nulimits = { nofile = \"many\" }",
    "[isolation]\ncap_add = \"SYS PTRACE\"",
    "[isolation]\ndevices = [\"kvm\"]",
    "[isolation]\ntmpfs = { scratch = \"\" }",
    "[isolation]\nuserns = \"private\"",
    "[isolation]\ngpus = \"some\"",
    "[network]\nmode = \"container:other\"",
    "[network]\ndns = \"resolver\"",
    "[network]\nextra_hosts = \"db\"",
    "[helper]\nlimits = { memory = \"1m\" }",
    "[docker]\nlabels = { \"longshore.job\" = \"1\" }",
    "[docker]\nauth_file = \"config.json\"",
    "[docker]\ntls_cert_path = \"/etc/docker-certs\"",
    "[docker]\nhost = \"tcp://daemon:2376\"\ntls_cert_path = \"certs\"",
    "[[docker.mirror]]\nregistry = \"https://docker.io\"\nmirror = \"m\"",
    "[[docker.login]]\nregistry = \"r\"\nusername = \"u\"\npassword = \"kv/a#b\"",
    "[[docker.login]]\nregistry = \"r\"\nusername = \"u\"\npassword = \"in clear\"",
    "[service_container]\nlimits = { memory = \"1m\" }",
    "[[services]]\nname = \" \"",
    "[[service_rule]]\nimages = \"a\"\nhttp = \"/health\"",
    "[[project]]\nprojects = [\"a/[b\"]",
    "[[project]]\nmatch = [\"a/b\"]",
    "[[project]]\nprojects = [\"a/b\"]\nlimits = { memroy = \"1g\" }",
    "builds_dir = \"builds\"",
    "builds_dir = \"/a/../b\"",
    "cache_dir = \"/builds/cache\"",
    "[secrets]\nCI_TOKEN = \"kv/a#b\"",
    "[secrets]\nA-B = \"kv/a#b\"",
    "[secrets]\nA = \"kv/a\"",
    "[secrets]\nA = { path = \"kv/a#b\" }",
    "[secrets]\nA = { path = \"kv/a#b\", projects = [\"**\"], kv = 3 }",
    "[secrets]\nA = \"kv/a#b\"",
    "[secrets]\nA = \"kv/a#b\"\nA = \"kv/c#d\"",
    "[secrets]\nA = \"kv/a@0#b\"",
    "[secrets]\nA = \"kv/a#b@3\"",
    "[secrets]\nA = { path = \"kv/a@3#b\", version = 3, projects = \"**\" }",
    "[secrets]\nA = { path = \"kv/a#b\", field = \"b\", projects = \"**\" }",
    "[secrets]\nA = { path = \"kv/a@3#b\", kv = 1, projects = \"**\" }",
    "[secrets]\nA = { path = \"kv/a\", projects = \"**\" }",
    "[secrets]\nA = { path = \"kv/a#b\", kv = 2, parameters = { c = \"d\" }, projects = \"**\" }",
    "[secrets]\nA = { path = \"kv/a#b\", projects = \"**\", mode = \"0400\" }",
    "[secrets]\nA = { path = \"kv/a#b\", projects = \"**\", as = \"file\", mode = 400 }",
    "[secrets]\nA = { path = \"kv/a#b\", projects = \"**\", as = \"file\", mode = \"0040\" }",
    "[secrets]\nA = { path = \"kv/a#b\", projects = \"**\", as = \"file\", mode = \"4755\" }",
    "[secrets]\nA = { path = \"kv/a#b\", projects = \"**\", as = \"stdin\" }",
    "[secrets]\nA = { path = \"kv/a#b\", projects = \"**\", refs = [\"a[\"] }",
    "[[bake]]\nsecret = \"A\"\nrepository = \"r\"",
    "[vault]\naddress = \"vault.example:8200\"\n[vault.approle]\nrole_id = \"r\"\nsecret_id_file = \"/s\"",
    "[vault]\naddress = \"http://vault.example:8200\"\n[vault.approle]\nrole_id = \"r\"\nsecret_id_file = \"/s\"",
    "[vault]\naddress = \"https://v\"\n[vault.approle]\nsecret_id_file = \"/s\"",
    "[vault]\naddress = \"https://v\"\n[vault.approle]\nrole_id = \"r\"\nsecret_id_file = \"s\"",
    "[vault]\naddress = \"https://v\"\n[vault.approle]\nrole_id = \"r\"",
    "[vault]\naddress = \"https://v\"\n[vault.approle]\nrole_id = \"r\"\nsecret_id_file = \"/s\"\nsecret_id_credential = \"s\"",
    "[vault]\naddress = \"https://v\"\n[vault.approle]\nrole_id = \"r\"\nsecret_id_credential = \"a/b\"",
    "[vault]\naddress = \"https://v\"\n[vault.approle]\nrole_id = \"r\"\nsecret_id_command = [\"cat\", \"/s\"]",
    "[vault]\naddress = \"https://v\"\n[vault.approle]\nrole_id = \"r\"\nsecret_id_command = []",
    "[vault]\naddress = \"https://v\"\n[vault.approle]\nrole_id = \"r\"\nsecret_id_command = \"cat /s\"",
    "[vault]\naddress = \"https://v\"\n[vault.approle]\nrole_id = \"r\"\nsecret_id_file = \"/s\"\nrole = \"auth/approle/role/ci\"",
    "[vault]\naddress = \"https://v\"",
    "[docker\n",
    "builds_dir = \"/a\"\nbuilds_dir = \"/b\"",
];

#[test]
fn every_mistake_in_settings_names_line_and_key() {
    let mut sentences = String::new();
    for text in MISTAKES {
        write!(sentences, "# {}\n{}\n\n", text.replace('\n', " | "), settings_error(text)).unwrap();
    }
    insta::assert_snapshot!("settings-errors", sentences);
}

fn example(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_example_settings_are_the_defaults() {
    let settings =
        Settings::parse(&example("longshore.toml.example"), Path::new("example")).unwrap();
    assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
}

#[test]
fn every_line_that_the_example_settings_show_is_right() {
    let shown = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '[') => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    let text: Vec<String> = example("longshore.toml.example").lines().map(shown).collect();
    let settings = Settings::parse(&text.join("\n"), Path::new("example")).unwrap();
    assert_eq!(settings.project.len(), 3);
    assert_eq!(settings.secrets.len(), 5);
    assert!(settings.vault.is_some());
    assert_eq!(settings.bake.len(), 1);
    assert_eq!((settings.services.len(), settings.service_rule.len()), (1, 1));
}

#[test]
fn the_example_of_the_runner_calls_all_four() {
    let config: toml::Table = toml::from_str(&example("config.toml.example")).unwrap();
    let runner = &config["runners"][0];
    assert_eq!(runner["executor"].as_str(), Some("custom"));
    assert_eq!(runner["custom_build_dir"]["enabled"].as_bool(), Some(true));
    assert_eq!(runner["safe_directory_checkout"].as_bool(), Some(true));
    assert_eq!(runner["custom"]["graceful_kill_timeout"].as_integer(), Some(60));
    for call in ["config", "prepare", "run", "cleanup"] {
        assert_eq!(runner["custom"][&format!("{call}_args")][0].as_str(), Some(call));
        assert_eq!(
            runner["custom"][&format!("{call}_exec")].as_str(),
            Some("/usr/local/bin/longshore")
        );
    }
}
