//! The job's own directory in containers that its script starts, by the paths that the script sees; on daemons
//! that mount a part of a volume, and on those that cannot.

use crate::support::job_json::FakeJob;
use crate::support::real::{Host, assert_says};

const CLIENT: &str = "docker:28-cli";

fn host() -> Host {
    Host::new()
        .docker("docker_socket", "\"brokered\"")
        .docker("shared_images", "[\"longshore-test/*\"]")
        .table("[broker]\nallowed_images = [\"longshore-test/*\"]\n")
}

/// A script with a short word for the client; none of it is refused.
fn works(script: &[&str]) {
    let first = ["run() { docker run --rm \"$@\"; }", "image=longshore-test/busybox:1"];
    let last = "echo all of it done";
    let lines = first.iter().chain(script).chain([&last]).copied();
    let result = host().run(&FakeJob::new().image(CLIENT).script(lines));
    let trace = result.trace_text();
    assert!(!trace.contains("the Docker broker refused"), "{trace}");
    result.assert_success();
    assert_says(&trace, &["\nall of it done\n"]);
}

#[test]
fn the_projects_directory_is_mounted_by_its_path() {
    works(&[
        "echo mine >file",
        "test \"$(run -v \"$PWD\":/src $image cat /src/file)\" = mine",
        "test \"$(run -v \"$CI_PROJECT_DIR:/src:ro\" -w /src $image cat file)\" = mine",
        "run -v \"$PWD\":/src -w /src $image sh -c 'echo theirs >made'",
        "grep -qx theirs made",
        "! run -v \"$PWD\":/src:ro $image sh -c 'echo no >/src/refused' 2>/dev/null",
        "test ! -e refused",
        "test \"$(run --mount type=bind,source=\"$PWD\",target=/src $image cat /src/file)\" = mine",
        "test \"$(run -v longshore-workspace:/src $image cat /src/file)\" = mine",
        // Where it is, so that paths mean the same on both sides.
        "test \"$(run -v \"$PWD\":\"$PWD\" -w \"$PWD\" $image sh -c 'pwd; cat file')\" = \"$PWD\nmine\"",
        // In the place of something the image has.
        "test \"$(run -v \"$PWD\":/home $image cat /home/file)\" = mine",
        "test \"$(run --read-only -v \"$PWD\":\"$PWD\":ro $image cat \"$PWD/file\")\" = mine",
        // A directory of the image's own below it, as Node's projects have it.
        "run -v \"$PWD\":/app -v /app/modules $image sh -c 'cat /app/file; echo lost >/app/modules/file'",
        "test ! -e modules/file",
        "run -v \"$PWD\":/app --tmpfs /app/scratch $image sh -c 'grep -q /app/scratch /proc/mounts || \
         grep -q longshore-workspace.*/scratch /proc/mounts'",
        "id=$(docker create -v \"$PWD\":/src $image cat /src/file)",
        "test \"$(docker start -a $id)\" = mine",
        "docker rm $id",
    ]);
}

#[test]
fn a_directory_below_it_is_mounted_too() {
    works(&[
        "mkdir -p sub/deep other; echo deep >sub/deep/file; echo other >other/file",
        "test \"$(run -v \"$PWD/sub\":/src $image cat /src/deep/file)\" = deep",
        "test \"$(run -v \"$PWD/sub/deep\":/a -v \"$PWD/other\":/b:ro $image cat /a/file /b/file)\" = 'deep\nother'",
        "run -v \"$PWD/sub\":/src $image sh -c 'echo made >/src/made'",
        "grep -qx made sub/made",
        "! run -v \"$PWD/other\":/b:ro $image sh -c 'echo no >/b/refused' 2>/dev/null",
        "test ! -e other/refused",
        // One inside of the other: never at the cost of what lies there.
        "test \"$(run -v \"$PWD\":/src -v \"$PWD/sub\":/src/sub $image cat /src/sub/deep/file)\" = deep",
        "run -v \"$PWD\":\"$PWD\" -v \"$PWD/sub\":\"$PWD/sub\" $image cat \"$PWD/sub/deep/file\"",
        "test -d sub && test ! -L sub && grep -qx deep sub/deep/file",
        "test \"$(run -v \"$PWD/sub/deep/file\":/etc/one-file $image cat /etc/one-file)\" = deep",
    ]);
}

#[test]
fn no_other_path_of_the_job_or_of_the_host_is_mounted() {
    let result = host().run(&FakeJob::new().image(CLIENT).script([
        "run() { docker run --rm \"$@\" longshore-test/busybox:1 true; }",
        "for path in / /etc /tmp \"$PWD/../../..\" \"$PWD/sub/../../../../etc\" /var/run/docker.sock; do",
        "if run -v \"$path\":/src; then echo \"mounted: $path\"; fi",
        "done",
        "echo all of it refused",
    ]));
    let trace = result.assert_success().trace_text();
    assert_says(&trace, &["all of it refused\n", "[binds]", "$CI_PROJECT_DIR"]);
    assert!(!trace.contains("mounted: /"), "{trace}");
}
