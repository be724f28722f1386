//! Docker's other clients in whole jobs with a brokered socket: compose, the Python SDK and testcontainers at
//! their usual work, none of which knows of the broker.

use crate::support::job_json::FakeJob;
use crate::support::real::{Host, assert_says};

/// Docker's command line with compose, and Python with `docker` and `testcontainers`; `script/lib/client-images.sh`
/// makes it.
const CLIENTS: &str = "longshore-test/clients:1";

/// What the scripts write for the clients.
const COMPOSE: &str = include_str!("support/clients/compose.yml");
const LARGER: &str = include_str!("support/clients/larger.yml");
const SDK: &str = include_str!("support/clients/sdk.py");
const CONTAINERS: &str = include_str!("support/clients/containers.py");

fn host() -> Host {
    Host::new()
        .docker("docker_socket", "\"brokered\"")
        .docker("shared_images", "[\"longshore-test/*\"]")
        .table("[broker]\nallowed_images = [\"longshore-test/*\"]\n")
}

/// A job that has this file and runs these lines, none of which may be refused anything.
fn works(file: (&str, &str), script: &[&str]) {
    let (name, text) = file;
    let write = format!("cat >{name} <<'END_OF_FILE'\n{text}END_OF_FILE");
    // Scripts run with `pipefail`: a `grep -q` that has found its line breaks the pipe of whoever still writes.
    let first = ["has() { grep \"$@\" >/dev/null; }", write.as_str()];
    let lines = first.into_iter().chain(script.iter().copied());
    let job = FakeJob::new().image(CLIENTS).script(lines.chain(["echo all of it done"]));
    let host = host();
    let result = host.run(&job);
    let trace = result.trace_text();
    assert!(!trace.contains("the Docker broker refused"), "{trace}");
    result.assert_success();
    assert_says(&trace, &["\nall of it done\n"]);
}

#[test]
fn compose_brings_a_project_up_and_down() {
    works(
        ("compose.yml", COMPOSE),
        &[
            "docker compose version",
            "docker compose config --quiet",
            "docker compose up --detach --wait --wait-timeout 60",
            "docker compose ps --services --status running | sort | tr '\\n' ' ' | has -x 'client web '",
            "docker compose ps --format json | has '\"Health\":\"healthy\"'",
            "docker compose logs --no-color web | has 'greeting=<composed>'",
            "docker compose logs --no-color client | has 'client began after web'",
            "docker compose exec -T web cat /store/word | has -x kept",
            "test \"$(echo word | docker compose exec -T client cat)\" = word",
            "docker compose exec -T client cat /src/compose.yml | cmp - compose.yml",
            "docker compose run --rm -T client echo one-off | has -x one-off",
            "docker compose top web >/dev/null",
            "docker compose cp web:/tmp/www/index.html page && grep -q 'greeting=composed' page",
            "docker compose restart --timeout 1 client",
            "docker compose stop --timeout 1",
            "docker compose start web",
            "docker network ls --format '{{.Name}}' | has _inner",
            "docker volume ls --format '{{.Name}}' | has _store",
            "docker compose down --volumes --timeout 1",
            "test -z \"$(docker ps -aq)\"",
            "test -z \"$(docker volume ls -q)\"",
            "! docker network ls --format '{{.Name}}' | has _inner",
        ],
    );
}

/// Secrets and configs, limits, several networks and the job's own, a network shared with another service.
#[test]
fn compose_has_what_larger_projects_use() {
    works(
        ("compose.yml", LARGER),
        &[
            "mkdir sub; echo deep >sub/file; echo word >word; echo conf >conf; echo A=from-a-file >env",
            "docker compose up --detach --quiet-pull",
            "test \"$(docker wait project-last-1)\" = 0",
            "docker logs project-job-1 | tr -d '\\r' | tr '\\n' ' ' \
             | has '^1000 word conf from-a-file'",
            "test \"$(docker compose ps --all --services --status exited | sort | xargs)\" = 'job last'",
            "docker compose exec -T --index 2 more cat /sub/file | has -x deep",
            "address=$(docker compose port web 8080) && curl -sf \"http://$address/\" | has 'from web-host'",
            "docker compose up --detach --no-recreate --scale more=1",
            "test \"$(docker compose ps --quiet more | wc -l)\" = 1",
            "docker compose pause more && docker compose unpause more && docker compose kill more",
            "docker compose rm --force more",
            "docker compose down --timeout 0 --volumes --remove-orphans",
            "test -z \"$(docker ps -aq)$(docker volume ls -q)\"",
        ],
    );
}

#[test]
fn compose_builds_what_it_runs() {
    let text = "services:\n  app:\n    build: .\n    image: built:1\n";
    works(
        ("compose.yml", text),
        &[
            "printf '%s\\n' 'FROM longshore-test/busybox:1' 'RUN echo from the build >/word' \
             'CMD [\"cat\", \"/word\"]' >Dockerfile",
            "export DOCKER_BUILDKIT=0",
            "docker compose build",
            "docker compose up --no-color --abort-on-container-exit | has 'from the build'",
            "docker compose down --rmi local",
        ],
    );
}

#[test]
fn the_python_sdk_does_its_usual_work() {
    works(("sdk.py", SDK), &["python3 sdk.py"]);
}

#[test]
fn testcontainers_waits_for_what_it_starts() {
    let off = "export TESTCONTAINERS_RYUK_DISABLED=true";
    works(("containers.py", CONTAINERS), &[off, "python3 containers.py"]);
}
