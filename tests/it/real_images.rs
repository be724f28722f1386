//! Which image a job runs in, as whom, and where it comes from: whole jobs on the real daemon.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::blame::blames_the_job;
use crate::support::fake_registry::{Answer, FakeRegistry};
use crate::support::image::Image;
use crate::support::job_json::{FakeJob, image_value};
use crate::support::names::OwnImage;
use crate::support::real::{BUSYBOX, Host, assert_says};

fn registry() -> FakeRegistry {
    FakeRegistry::start(Image::unique())
}

fn job(image: &str) -> FakeJob {
    FakeJob::new().image(image).script(["echo the script runs"])
}

/// A job whose image has these options.
fn with(image: &str, change: impl FnOnce(&mut Value)) -> FakeJob {
    let mut value = image_value(image);
    change(&mut value);
    FakeJob::new().image_value(value).script(["echo \"uid=$(id -u) gid=$(id -g)\""])
}

#[test]
fn a_job_that_names_no_image_runs_in_the_default_one_though_it_is_not_on_the_list() {
    let host = Host::new()
        .docker("default_image", &format!("{BUSYBOX:?}"))
        .docker("allowed_images", "[\"team/*\"]");
    let result = host.run(&FakeJob::new().script(["busybox | sed -n 1p"]));
    assert_says(&result.assert_success().trace_text(), &["BusyBox v1"]);
}

#[test]
fn an_images_name_may_hold_variables_and_the_list_sees_what_they_stand_for() {
    let host = Host::new().docker("allowed_images", "[\"longshore-test/*:1\"]");
    let named = |name: &str| job("longshore-test/$NAME:${VERSION}").variable("NAME", name);
    host.run(&named("busybox").variable("VERSION", "1")).assert_success();
    let words = ["the image longshore-test/busybox:2 is not allowed"];
    blames_the_job(&host, &named("busybox").variable("VERSION", "2"), &words);
}

#[test]
fn users_are_known_by_name_and_by_number_and_expanded() {
    let user = "longshore-test/user:1";
    for (wanted, printed) in [
        ("app", "uid=1000 gid=1000\n"),
        ("$WHO", "uid=0 gid=0\n"),
        ("4321:77", "uid=4321 gid=77\n"),
    ] {
        let job = with(user, |image| image["executor_opts"]["docker"]["user"] = wanted.into());
        let result = Host::new().run(&job.variable("WHO", "root"));
        assert_says(&result.assert_success().call("build_script").stdout(), &[printed]);
    }
}

#[test]
fn the_operators_user_comes_before_the_jobs_and_their_list_holds() {
    let as_root = || {
        with("longshore-test/user:1", |image| {
            image["executor_opts"]["docker"]["user"] = "root".into();
        })
    };
    let result = Host::new().docker("user", "\"4321:77\"").run(&as_root());
    assert_says(&result.assert_success().trace_text(), &["uid=4321 gid=77\n"]);
    let host = Host::new().docker("allowed_users", "[\"app\"]");
    blames_the_job(&host, &as_root(), &["the user root", "image:docker:user", "allowed: app"]);
}

#[test]
fn a_platform_that_the_job_asks_for_is_asked_for() {
    let platform = |wanted: &str| {
        with(BUSYBOX, |image| image["executor_opts"]["docker"]["platform"] = wanted.into())
    };
    Host::new().run(&platform("linux/$ARCH").variable("ARCH", "amd64")).assert_success();
    // The host has the image for another platform only.
    let host = Host::new().docker("pull_policy", "[\"never\"]");
    blames_the_job(&host, &platform("linux/s390x"), &["is not on this host", "`never`"]);
}

#[test]
fn a_digest_names_one_image_for_ever() {
    let image = Image::unique();
    let registry = FakeRegistry::start(image.clone());
    let reference = registry.reference(&format!("team/app@{}", image.digest()));
    let kept = OwnImage { tag: reference };
    let result = Host::new().run(&job(&kept.tag));
    assert_says(&result.assert_success().trace_text(), &["the script runs\n"]);
    assert!(!result.trace_text().contains("names no version"));
}

#[test]
fn policies_are_tried_in_their_order() {
    let registry = registry();
    let image = OwnImage { tag: registry.reference("team/app:1") };
    Host::new().run(&job(&image.tag)).assert_success();
    registry.answer(Answer::error(404, "MANIFEST_UNKNOWN", "gone for a moment"));
    let host = Host::new().docker("pull_policy", "[\"always\", \"if-not-present\"]");
    let result = host.run(&job(&image.tag));
    let words = [
        "warning: failed to pull",
        "going on with pull policy if-not-present",
        "the script runs\n",
    ];
    assert_says(&result.assert_success().trace_text(), &words);
}

#[test]
fn a_job_chooses_among_the_allowed_policies_alone() {
    let registry = registry();
    let image = OwnImage { tag: registry.reference("team/app:1") };
    let host = Host::new().docker("allowed_pull_policies", "[\"always\"]");
    let choose = |policies: Value| with(&image.tag, |image| image["pull_policy"] = policies);
    host.run(&choose(json!(["always"]))).assert_success();
    host.run(&choose(json!(["always"]))).assert_success();
    assert_eq!(registry.pulls().len(), 1, "the second pull finds it unchanged by HEAD");
    let words = ["the pull policy never is not allowed", "allowed: if-not-present, always"];
    blames_the_job(&host, &choose(json!(["always", "never"])), &words);
}

#[test]
fn a_long_pull_tells_how_far_it_is_but_not_often() {
    let registry = FakeRegistry::start(Image::with_layer(&incompressible(1_200_000)));
    registry.slowly(10_000, Duration::from_millis(100));
    let image = OwnImage { tag: registry.reference("team/app:1") };
    let trace = Host::new().run(&job(&image.tag)).assert_success().trace_text();
    let lines: Vec<_> = trace.lines().filter(|line| line.contains("MB/s, about")).collect();
    assert!((1..=4).contains(&lines.len()), "{trace}");
    assert_says(lines[0], &[" of 1.", " MB, 0.1 MB/s, about "]);
}

#[test]
fn the_images_of_a_job_are_pulled_side_by_side() {
    let slow = |bytes| {
        let registry = FakeRegistry::start(Image::with_layer(&incompressible(bytes)));
        registry.slowly(20_000, Duration::from_millis(100));
        registry
    };
    let (first, second) = (slow(200_001), slow(200_002));
    let images = [&first, &second].map(|one| OwnImage { tag: one.reference("team/app:1") });
    let service = json!({"name": images[1].tag, "entrypoint": ["sleep", "60"]});
    let job = job(&images[0].tag).service_value(service);
    let trace = Host::new().run(&job).assert_success().trace_text();
    let place = |words: &str| trace.find(words).unwrap_or_else(|| panic!("{words} in {trace}"));
    for [one, other] in [[0, 1], [1, 0]].map(|pair| pair.map(|index: usize| &images[index].tag)) {
        assert!(
            place(&format!("Pulling {one} (")) < place(&format!("Pulled {other} in ")),
            "{trace}"
        );
    }
    assert_eq!(trace.matches("section_start:").count(), trace.matches("section_end:").count());
    assert_eq!(trace.matches(":longshore_pull[").count(), 1, "one section for both: {trace}");
}

/// Bytes that no two runs share.
fn incompressible(length: u32) -> Vec<u8> {
    let mut state = u64::from(std::process::id()) | 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_after_it() {
    let (mirror, registry) = (registry(), registry());
    let wanted = registry.reference("team/app:1");
    let rule = format!(
        "[[docker.mirror]]\nregistry = \"{}\"\nmirror = \"{}/copies\"\n",
        registry.host(),
        mirror.host()
    );
    let at_mirror = OwnImage { tag: mirror.reference("copies/team/app:1") };
    let host = Host::new().docker("pull_policy", "[\"always\"]").table(&rule);
    host.run(&job(&wanted)).assert_success();
    assert_eq!((mirror.pulls().len(), registry.pulls().len()), (1, 0));
    assert_says(&mirror.pulls()[0].path, &["/v2/copies/team/app/manifests/"]);

    mirror.always(Answer::error(503, "UNAVAILABLE", "in maintenance"));
    let at_registry = OwnImage { tag: wanted.clone() };
    let result = host.run(&job(&wanted));
    assert_says(
        &result.assert_success().trace_text(),
        &["the mirror does not give it", "the script runs\n"],
    );
    assert_eq!(registry.pulls().len(), 1);
    drop((at_mirror, at_registry));
}

#[test]
fn a_cached_private_image_is_for_who_could_pull_it() {
    for by_token in [false, true] {
        let registry = registry();
        registry.private("team/", "member", "canary-password");
        for_who_could_pull_it(if by_token { registry.by_token() } else { &registry });
    }
}

fn for_who_could_pull_it(registry: &FakeRegistry) {
    let image = OwnImage { tag: registry.reference("team/app:1") };
    let member =
        || job(&image.tag).registry_credentials(&registry.host(), "member", "canary-password");
    Host::new().run(&member()).assert_success();
    for policies in ["[\"if-not-present\"]", "[\"never\"]"] {
        let host = Host::new().docker("pull_policy", policies);
        host.run(&member()).assert_success();
        let words = ["401", "no telling that this project may have it"];
        let stranger = host.run(&job(&image.tag));
        assert_eq!(stranger.exit_code, Some(1), "{}", stranger.trace_text());
        assert_says(&stranger.trace_text(), &words);
        assert!(!stranger.trace_text().contains("the script runs"));
    }
    let pulled = registry
        .pulls()
        .iter()
        .filter(|pull| pull.login.as_deref() == Some("member:canary-password"))
        .count();
    assert_eq!(pulled, 1, "{:?}", registry.pulls());
    let shared = format!("[\"{}/**\"]", registry.host());
    let host = Host::new().docker("shared_images", &shared).docker("pull_policy", "[\"never\"]");
    host.run(&job(&image.tag)).assert_success();
}
