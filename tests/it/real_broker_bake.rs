//! Secrets among the arguments of a build, as whole jobs with a server of the tests' own: refused in each form,
//! and allowed where the operator lets this secret into images of this repository, which is told.

use longshore::secrets::vault::VaultSettings;

use crate::support::job_json::FakeJob;
use crate::support::real::{Host, assert_says};
use crate::support::real_registry::RegistryProject;
use crate::support::vault::furnished;

/// Jobs that may have `PAGE_SECRET` and `OTHER_SECRET`; the first may go into images of this repository.
fn host(vault: &VaultSettings, repository: &str) -> Host {
    Host::brokered().vault(vault).table(&format!(
        "[secrets]\nPAGE_SECRET = {{ path = \"kv/app/demo#api_key\", projects = [\"**\"] }}\n\
         OTHER_SECRET = {{ path = \"kv1/app/demo#db\", projects = [\"**\"] }}\n\
         [[bake]]\nsecret = \"PAGE_SECRET\"\nrepository = \"{repository}\"\n"
    ))
}

const DOCKERFILE: &str = "printf '%s\\n' 'FROM longshore-test/busybox:1' 'ARG PAGE_SECRET' 'ARG OTHER' \
    'ENV PAGE_SECRET=$PAGE_SECRET OTHER=$OTHER' >Dockerfile";

fn job<'a>(project: &RegistryProject, script: impl IntoIterator<Item = &'a str>) -> FakeJob {
    let script: Vec<&str> = [DOCKERFILE].into_iter().chain(script).collect();
    let job =
        project.job("build", script).variable("LONGSHORE_SECRETS", "PAGE_SECRET,OTHER_SECRET");
    project.with_login(job)
}

#[tokio::test]
async fn a_secret_that_may_be_baked_goes_into_images_of_its_repository_and_is_told() {
    let (_bao, vault) = furnished().await;
    let project = RegistryProject::new();
    let host = host(&vault, &project.repository);
    let script = [
        "docker build --tag \"$CI_REGISTRY_IMAGE:test\" --build-arg PAGE_SECRET .",
        "docker push --quiet \"$CI_REGISTRY_IMAGE:test\"",
        "docker run --rm \"$CI_REGISTRY_IMAGE:test\" sh -c 'echo \"has ${#PAGE_SECRET} bytes\"'",
    ];
    let trace = host.run(&job(&project, script)).assert_success().trace_text();
    let line = format!(
        "longshore: the secret PAGE_SECRET goes into an image of {} (build argument PAGE_SECRET)",
        project.repository
    );
    assert_says(&trace, &[&line, "has 12 bytes\n"]);
    assert!(!trace.contains("second-value") && !host.ledger().contains("second-value"), "{trace}");
}

#[tokio::test]
async fn no_other_secret_no_other_repository_and_no_other_form_of_it_gets_through() {
    let (_bao, vault) = furnished().await;
    let project = RegistryProject::new();
    let host = host(&vault, &project.repository);
    let test = "--tag \"$CI_REGISTRY_IMAGE:test\"";
    let arguments = [
        (test, "OTHER=\"$OTHER_SECRET\""),
        (test, "OTHER=\"before-$OTHER_SECRET-after\""),
        (test, "OTHER=\"$(printf %s \"$OTHER_SECRET\" | base64)\""),
        (test, "OTHER=\"$(printf %s \"user:$OTHER_SECRET\" | base64)\""),
        (test, "OTHER=\"$(printf %s \"$OTHER_SECRET\" | od -An -tx1 | tr -d ' ')\""),
        ("", "PAGE_SECRET"),
        ("--tag mine:1", "PAGE_SECRET"),
        ("--tag \"$CI_REGISTRY_IMAGE:test\" --tag mine:1", "PAGE_SECRET"),
        ("--tag mine:1 --tag \"$CI_REGISTRY_IMAGE:test\"", "PAGE_SECRET"),
        ("--tag \"$CI_REGISTRY_IMAGE/below:test\"", "PAGE_SECRET"),
        ("--tag \"$CI_REGISTRY_IMAGE:test\" --label word=\"$PAGE_SECRET\"", "X=1"),
    ];
    let tries: Vec<String> = arguments
        .iter()
        .enumerate()
        .map(|(number, (tags, argument))| {
            let build = format!("docker build --quiet {tags} --build-arg {argument} . >log 2>&1");
            format!("if {build}; then echo got through {number}; else grep -o 'longshore.build-arg-secret.' log; fi")
        })
        .collect();
    let last = "sed -i \"s/ENV/ENV WORD=$PAGE_SECRET/\" Dockerfile; docker build --quiet . 2>&1 | grep -o 'longshore.build-arg-secret.' || true";
    let script = tries.iter().map(String::as_str).chain([last]);
    let trace = host.run(&job(&project, script)).assert_success().trace_text();
    assert!(!trace.contains("\ngot through"), "{trace}");
    let refused = trace.lines().filter(|line| *line == "longshore[build-arg-secret]").count();
    assert_eq!(refused, arguments.len() + 1, "{trace}");
    assert_says(
        &trace,
        &[
            "a request [build-arg-secret]: a build argument holds the secret OTHER_SECRET",
            "a request [build-arg-secret]: a build argument holds the secret PAGE_SECRET",
            "a request [build-arg-secret]: a label of the image holds the secret PAGE_SECRET",
            "a request [build-arg-secret]: the Dockerfile holds the secret PAGE_SECRET",
        ],
    );
    assert_says(&host.ledger(), &["\"rule\":\"build-arg-secret\""]);
    assert!(!host.ledger().contains("\"deed\":\"built\""), "{}", host.ledger());
}
