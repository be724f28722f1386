//! Masking in whole jobs: what a script adds is masked in the rest of the job, in both containers.

use crate::support::job_json::FakeJob;
use crate::support::real::{Host, assert_says, busybox, stderr};

const ADD: &str = "printf %s late-%value | tr -d % | longshore mask add";

#[test]
fn what_a_script_adds_is_masked_in_all_that_follows_in_both_containers() {
    let job = FakeJob::new()
        .image("longshore-test/user:1")
        .script([ADD, "echo now late-value", "echo bGF0ZS12YWx1ZQ=="])
        .after_script(["echo after late-value; echo later late-value >&2"])
        .artifact(&["none"])
        .stage_script("upload_artifacts_on_success", "#!/bin/sh\necho uploaded late-value\n");
    let host = Host::new().docker("helper_image", "\"longshore-test/busybox:1\"");
    let result = host.run(&job);
    assert_says(&result.call("build_script").stdout(), &["now [MASKED]\n", "[MASKED]Q==\n"]);
    assert_says(&result.call("after_script").stdout(), &["after [MASKED]\n"]);
    assert_says(&result.call("after_script").stderr(), &["later [MASKED]\n"]);
    assert_says(&result.call("upload_artifacts_on_success").stdout(), &["uploaded [MASKED]\n"]);
}

#[test]
fn what_is_written_backwards_or_in_colours_is_masked_where_it_is_asked_for() {
    let job = || {
        busybox([
            "printf %s \"$TOKEN\" | rev; echo",
            "printf '\\033[31m%s\\033[0m%s\\n' \"${TOKEN%-value}\" \"-value\"",
            "printf '\\033[1%s\\n' \"$TOKEN\"",
            "printf 'late-%s' value | longshore mask add; printf 'l\\033[1mate\\033[0m-value eulav-etal\\n'",
        ])
        .masked("TOKEN", "hidden-value")
    };
    let host = Host::new().table("[masking]\nreversed = true\ncoloured = true\n");
    let result = host.run(&job());
    let out = result.assert_success().call("build_script").stdout();
    assert_says(
        &out,
        &["[MASKED]\n", "\u{1b}[31m[MASKED]\n", "\u{1b}[1[MASKED]\n", "[MASKED] [MASKED]\n"],
    );
    assert!(!out.contains("eulav-neddih") && !out.contains("hidden"), "{out:?}");
    let out = Host::new().run(&job()).call("build_script").stdout();
    assert_says(
        &out,
        &["eulav-neddih\n", "\u{1b}[31mhidden\u{1b}[0m-value\n", "\u{1b}[1[MASKED]\n"],
    );
}

#[test]
fn an_error_of_cleanup_shows_no_masked_variable() {
    let job = busybox(["true"]).masked("NAME", "hidden_key");
    let told = stderr(&Host::new().top("hidden_key", "1").call(&job, &["cleanup"]));
    assert_says(&told, &["unknown key `[MASKED]`"]);
    assert!(!told.contains("hidden_key"), "{told}");
}
