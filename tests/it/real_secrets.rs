//! Secrets from a real Vault server in a whole job: user stages have them, nothing else has.

use std::time::Duration;

use longshore::secrets::vault::VaultSettings;
use serde_json::json;

use crate::support::job_json::FakeJob;
use crate::support::real::{Host, assert_says, await_gone, busybox, get, job_container, left_of};
use crate::support::vault::furnished;

/// A host with this server, whose `group/*` may have one secret.
fn host(vault: &VaultSettings) -> Host {
    Host::new().vault(vault).table(
        "[secrets.API_KEY]\npath = \"kv/app/demo\"\nfield = \"api_key\"\nprojects = [\"group/*\"]\n",
    )
}

fn job(script: &[&str]) -> FakeJob {
    busybox(script.iter().copied()).variable("LONGSHORE_SECRETS", "API_KEY")
}

const TELL: &str = "echo \"length=${#API_KEY} first=${API_KEY%-value}\"";

#[tokio::test]
async fn user_stages_have_a_secret_and_no_other_stage_has() {
    let (bao, settings) = furnished().await;
    let job = job(&[TELL])
        .after_script([TELL])
        .stage_script("get_sources", &format!("#!/bin/sh\n{TELL}\n"));
    let host = host(&settings);
    let result = host.run(&job);
    result.assert_success();
    for stage in ["build_script", "after_script"] {
        assert_says(&result.call(stage).stdout(), &["length=12 first=second\n"]);
    }
    assert_says(&result.call("get_sources").stdout(), &["length=0 first=\n"]);
    assert_says(&result.call("prepare").stdout(), &["API_KEY"]);
    assert_eq!(bao.logins_and_revokes(), (1, 1));
    assert_says(&host.ledger(), &[r#""secrets":["API_KEY"]"#]);
    assert!(!host.ledger().contains("second-value"));
}

#[tokio::test]
async fn nothing_that_can_be_inspected_holds_a_secret() {
    let (bao, settings) = furnished().await;
    let job =
        job(&["echo ready", "sleep 300"]).sources("git://127.0.0.1:1/none.git", &"0".repeat(40));
    let job = job.stage_script("get_sources", "#!/bin/sh\ntr '\\0' '\\n' </proc/self/environ\n");
    let host = host(&settings);
    let running = host.runner().start(&job);
    running.wait_for_output("\nready", Duration::from_mins(1));
    let objects = left_of(&job);
    assert!(objects.iter().any(|name| name.ends_with("-helper")), "{objects:?}");
    let helper = job_container(&job).replace("-job", "-helper");
    let shown = [job_container(&job), helper]
        .map(|name| get(&format!("/containers/{name}/json")).to_string())
        .join("\n");
    let volumes = get("/volumes").to_string();
    running.abort();
    let trace = running.join().trace_text();
    await_gone(&job);
    let secret_id = std::fs::read_to_string(bao.path("secret_id")).unwrap();
    for value in ["second-value", secret_id.trim()] {
        assert!(!shown.contains(value) && !volumes.contains(value), "{shown}");
        assert!(!trace.contains(value), "{trace}");
    }
}

#[tokio::test]
async fn a_script_that_prints_a_secret_prints_its_mask() {
    let (_bao, settings) = furnished().await;
    let script =
        ["echo \"it is $API_KEY.\"", "printf %s \"$API_KEY\" | head -c 5; sleep 1; echo done"];
    let result = host(&settings).run(&job(&script).after_script(["echo \"again $API_KEY\" >&2"]));
    result.assert_success();
    assert_says(&result.call("build_script").stdout(), &["it is [MASKED].\n"]);
    assert_says(&result.call("after_script").stderr(), &["again [MASKED]\n"]);
    assert!(!result.trace_text().contains("second-value"));
}

#[tokio::test]
async fn a_secret_that_vault_does_not_have_is_the_jobs_failure_and_no_token_stays() {
    let (bao, settings) = furnished().await;
    let table = "[secrets.LOST]\npath = \"kv/app/demo\"\nfield = \"lost\"\nprojects = [\"**\"]\n";
    let result =
        host(&settings).table(table).run(&job(&["true"]).variable("LONGSHORE_SECRETS", "LOST"));
    assert_eq!(result.exit_code, Some(1), "{}", result.trace_text());
    assert_says(&result.trace_text(), &["secret LOST", "no field \"lost\"", "\"api_key\""]);
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

const FILES: &str = r#"
[secrets]
KEY = { path = "kv1/app/demo#api_key", as = "file", mode = "0660", projects = ["**"], default = true }
ALL = { path = "kv/app/demo@1", as = "file", projects = ["**"], default = true }
"#;

#[tokio::test]
async fn files_are_on_a_tmpfs_and_belong_to_the_jobs_user() {
    let (bao, settings) = furnished().await;
    let look = "for file in $KEY $ALL; do stat -c '%n %a %u %s' $file; done; cat $KEY; echo; \
                grep -c 'tmpfs /run/secrets/longshore tmpfs' /proc/mounts; touch $KEY.new || echo closed";
    let job = FakeJob::new().image("longshore-test/user:1").script([look, "cat $ALL"]);
    let job = job.stage_script("get_sources", "#!/bin/sh\necho \"key=$KEY.\"\n");
    let host = Host::new().vault(&settings).table(FILES);
    let result = host.run(&job.after_script(["test -s $KEY && echo still"]));
    result.assert_success();
    let all = r#"{"api_key":"first-value","db":"db-value","map":{"a":[1]},"none":null,"on":true,"port":5432}"#;
    assert_says(
        &result.call("build_script").stdout(),
        &[
            "/run/secrets/longshore/KEY 660 1000 11\n",
            &format!("/run/secrets/longshore/ALL 400 1000 {}\n", all.len()),
            "[MASKED]\n1\nclosed\n",
            "[MASKED]",
        ],
    );
    assert_says(&result.call("after_script").stdout(), &["still\n"]);
    assert_says(&result.call("get_sources").stdout(), &["key=.\n"]);
    for value in ["first-value", "db-value"] {
        assert!(!result.trace_text().contains(value));
    }
    assert_eq!(bao.logins_and_revokes(), (1, 1));
}

#[tokio::test]
async fn a_value_that_no_environment_can_carry_is_the_jobs_failure_and_makes_nothing() {
    let (bao, settings) = furnished().await;
    bao.admin("POST", "kv1/app/odd", json!({"nul": "a\0bcdefgh", "long": "x".repeat(70_000)}))
        .await;
    let host = Host::new().vault(&settings).table(
        "[secrets]\nNUL = \"kv1/app/odd#nul\"\nLONG = \"kv1/app/odd#long\"\n\
         FILE = { path = \"kv1/app/odd#nul\", as = \"file\", projects = \"**\" }\n",
    );
    for (name, words) in
        [("NUL", "the secret NUL holds a NUL byte"), ("LONG", "is 70000 bytes long")]
    {
        let result = host.run(&busybox(["true"]).variable("LONGSHORE_SECRETS", name));
        assert_eq!(result.exit_code, Some(1), "{}", result.trace_text());
        assert_says(&result.trace_text(), &[words, "as = \"file\""]);
    }
    let job = busybox(["wc -c <$FILE"]).variable("LONGSHORE_SECRETS", "FILE");
    assert_says(&host.run(&job).call("build_script").stdout(), &["9\n"]);
    assert_eq!(bao.logins_and_revokes(), (3, 3));
}

/// Lines that no two secrets share.
fn lines(name: &str, bytes: usize) -> String {
    let width = 62 - name.len();
    let lines = (0..bytes / 64).map(|at| format!("{name}-{at:0>width$}"));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[tokio::test]
async fn a_large_secret_comes_whole_and_is_masked_line_by_line_or_is_refused_by_name() {
    let (bao, settings) = furnished().await;
    let fields = json!({"a": lines("inline", 64 << 10), "b": lines("larger", 128 << 10), "c": lines("huge", 1 << 20)});
    bao.admin("POST", "kv1/app/large", fields).await;
    let host = Host::new().vault(&settings).table(
        "[secrets]\nINLINE = \"kv1/app/large#a\"\n\
         LARGER = { path = \"kv1/app/large#b\", as = \"file\", projects = \"**\" }\n\
         HUGE = { path = \"kv1/app/large#c\", as = \"file\", projects = \"**\" }\n",
    );
    let look = "echo ${#INLINE}; wc -c <$LARGER; tail -n 1 $LARGER; sed -n 77p $LARGER";
    let job = busybox([look, "echo \"$INLINE\" | tail -n 1"]);
    let result = host.run(&job.variable("LONGSHORE_SECRETS", "INLINE,LARGER"));
    result.assert_success();
    let out = result.call("build_script").stdout();
    assert_says(&out, &["65536\n131072\n[MASKED]\n[MASKED]\n", "[MASKED]\n"]);
    for name in ["inline-0", "larger-0"] {
        assert!(!result.trace_text().contains(name), "{out}");
    }
    let huge = busybox(["wc -c <$HUGE; sed -n 9999p $HUGE"]);
    let result = host.run(&huge.variable("LONGSHORE_SECRETS", "HUGE"));
    assert_says(&result.call("build_script").stdout(), &["1048576\n[MASKED]\n"]);
    assert!(!result.trace_text().contains("huge-0"));
    let both = busybox(["true"]).variable("LONGSHORE_SECRETS", "HUGE,LARGER");
    let result = host.run(&both);
    assert_eq!(result.exit_code, Some(1), "{}", result.trace_text());
    assert_says(&result.trace_text(), &["LARGER", "too large to be masked"]);
    assert_eq!(bao.logins_and_revokes(), (3, 3));
}

/// What GitLab itself gives: variables that it masks, its own `secrets:`, which the runner has resolved
/// before it calls us, and file variables, which the runner's script writes beside the project.
#[test]
fn gitlabs_own_secrets_are_masked_and_its_files_are_in_memory() {
    let look = "echo \"m=$TOKEN. r=$RESOLVED.\"; cat $KEYFILE; echo; \
                grep -c \"^tmpfs $(dirname $KEYFILE) tmpfs \" /proc/mounts; printf %s \"$TOKEN\" | base64";
    let job = busybox([look])
        .masked("TOKEN", "gitlab-masked-value")
        .variable("RESOLVED", "resolved-by-the-runner")
        .file("KEYFILE", "content-of-the-key-file")
        .edit_json(|json| {
            json["secrets"] = json!({"RESOLVED": {"vault": {"path": "x"}}});
            let variables = json["variables"].as_array_mut().unwrap();
            for one in variables.iter_mut().filter(|one| one["key"] == "KEYFILE") {
                one["masked"] = json!(true);
            }
        })
        .sources("git://127.0.0.1:1/none.git", &"0".repeat(40))
        .stage_script("get_sources", "#!/bin/sh\necho \"helper: gitlab-masked-value\"\n");
    let result = Host::new().run(&job);
    result.assert_success();
    let out = result.call("build_script").stdout();
    assert_says(&out, &["m=[MASKED]. r=[MASKED].\n", "\n[MASKED]\n1\n[MASKED]"]);
    assert_says(&result.call("get_sources").stdout(), &["helper: [MASKED]\n"]);
    for value in ["gitlab-masked-value", "resolved-by-the-runner", "content-of-the-key-file"] {
        assert!(!result.trace_text().contains(value), "{}", result.trace_text());
    }
}
