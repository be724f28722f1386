//! Docker's own clients at a brokered socket, in front of the real daemon: their usual work, unchanged.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::brokered::Brokered;
use crate::support::real::{get, socket};

/// The command lines that this machine has: Debian's 20.10 and the newest.
const CLIENTS: [&str; 2] = ["/usr/bin/docker", "/usr/local/bin/docker"];

/// Runs a script with a client, in a directory of its own.
fn script(brokered: &Brokered, docker: &str, text: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let words = format!("set -eu\ndocker() {{ {docker} \"$@\"; }}\n{text}");
    Command::new("bash")
        .args(["-c", &words])
        .current_dir(directory.path())
        .env("DOCKER_HOST", format!("unix://{}", brokered.socket().display()))
        .env("DOCKER_CONFIG", directory.path().join("config"))
        .env("DOCKER_BUILDKIT", "0")
        .output()
        .unwrap()
}

/// Runs it with each client; what is left of the job is removed.
fn works(text: &str) {
    for client in CLIENTS.iter().filter(|client| Path::new(client).exists()) {
        let brokered = Brokered::start(&socket(), "bridge");
        let output = script(&brokered, client, text);
        brokered.clean(&socket());
        let told = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{client}\n{said}\n{told}\n{:?}", brokered.refused());
        assert_eq!(brokered.refused(), Vec::<&str>::new(), "{client}");
    }
}

#[test]
fn containers_run_and_give_their_output_and_their_code() {
    works(
        r#"
        docker version >/dev/null
        docker info >/dev/null
        test "$(docker run --rm longshore-test/busybox:1 echo hello)" = hello
        test "$(echo word | docker run -i --rm longshore-test/busybox:1 cat)" = word
        code=0; docker run --rm longshore-test/busybox:1 sh -c 'exit 7' || code=$?
        test "$code" = 7
        docker run --rm longshore-test/busybox:1 sh -c 'echo out; echo err >&2' >out 2>err
        grep -qx out out; grep -qx err err
        head -c 30000000 /dev/urandom >big
        docker run -i --rm longshore-test/busybox:1 cat <big >copy
        cmp big copy
        "#,
    );
}

#[test]
fn a_container_is_looked_into_while_it_runs() {
    works(
        r#"
        docker run -d --name web longshore-test/busybox:1 sh -c 'echo begun; sleep 300' >id
        docker exec web true
        test "$(docker exec web echo inside)" = inside
        test "$(echo word | docker exec -i web cat)" = word
        code=0; docker exec web sh -c 'exit 9' || code=$?
        test "$code" = 9
        test "$(docker logs web)" = begun
        docker ps --format '{{.Names}}' | grep -qx web
        test "$(docker ps -q --no-trunc)" = "$(cat id)"
        test "$(docker inspect -f '{{.State.Status}}' web)" = running
        docker top web | grep -q sleep
        seq 1 100000 >numbers
        docker cp numbers web:/tmp/numbers
        docker cp web:/tmp/numbers back
        cmp numbers back
        docker cp web:/tmp/numbers - | tar -xO | cmp - numbers
        docker rename web other
        docker stop -t 1 other >/dev/null
        docker start other >/dev/null
        docker restart -t 1 other >/dev/null
        docker pause other >/dev/null; docker unpause other >/dev/null
        docker kill other >/dev/null
        test "$(docker wait other)" = 137
        docker rm other >/dev/null
        test -z "$(docker ps -aq)"
        "#,
    );
}

#[test]
fn an_image_is_built_tagged_looked_at_run_and_removed() {
    works(
        r#"
        seq 1 1000 >file
        printf '%s\n' 'FROM longshore-test/busybox:1' 'ARG WORD=none' 'COPY file /file' \
            'RUN echo "built with $WORD" >/word' 'CMD ["cat", "/word"]' >Dockerfile
        docker build --build-arg WORD=this -t app:test . >log 2>&1 || { cat log; exit 1; }
        grep -q 'Successfully tagged app:test' log
        test "$(docker run --rm app:test)" = 'built with this'
        docker images --format '{{.Repository}}:{{.Tag}}' | grep -qx app:test
        docker tag app:test app:other
        for name in app 'app:*' app:other other; do
            docker images --format '{{.Repository}}:{{.Tag}}' "$name" | sort | xargs echo "$name:" >>names
        done
        printf '%s\n' 'app: app:other app:test' 'app:*: app:other app:test' 'app:other: app:other' 'other:' |
            diff - names
        docker image inspect app:other >/dev/null
        docker history app:test >/dev/null
        docker save app:test | tar -t >/dev/null
        docker rmi app:other app:test >/dev/null
        printf '%s\n' 'FROM longshore-test/busybox:1' 'RUN exit 3' >Dockerfile
        code=0; docker build -t app:broken . >log 2>&1 || code=$?
        test "$code" != 0
        grep -q 'returned a non-zero code: 3' log
        "#,
    );
}

#[test]
fn networks_and_volumes_belong_to_the_job() {
    works(
        r#"
        docker network create inner >/dev/null
        docker network ls --format '{{.Name}}' | grep -qx inner
        docker run -d --name server --network inner longshore-test/service:1 /serve >/dev/null
        address=$(docker inspect -f "{{.NetworkSettings.Networks.inner.IPAddress}}" server)
        docker run --rm --network inner longshore-test/busybox:1 wget -qO- "http://$address:8080/" >/dev/null
        docker network inspect inner >/dev/null
        docker rm -f server >/dev/null
        docker network rm inner >/dev/null
        docker volume create store >/dev/null
        docker run --rm -v store:/store longshore-test/busybox:1 sh -c 'echo kept >/store/word'
        test "$(docker run --rm -v store:/store longshore-test/busybox:1 cat /store/word)" = kept
        docker volume ls -q | grep -qx store
        docker volume inspect store >/dev/null
        docker volume rm store >/dev/null
        "#,
    );
}

#[test]
fn names_for_addresses_hold_in_containers_and_builds() {
    works(
        r"
        docker run --rm --add-host db:10.9.8.7 longshore-test/busybox:1 cat /etc/hosts >hosts
        grep -q '^10.9.8.7.*db$' hosts
        printf 'FROM longshore-test/busybox:1\nRUN cat /etc/hosts\n' >Dockerfile
        docker build --no-cache --add-host db:10.9.8.7 --add-host other:10.9.8.6 . >log 2>&1 || { cat log; exit 1; }
        grep -q '^10.9.8.7.*db$' log
        grep -q '^10.9.8.6.*other$' log
        ",
    );
}

/// However long the archive is: its client hears why it is not taken, and what to do.
#[test]
fn who_imports_an_archive_is_told_another_way() {
    for client in CLIENTS.iter().filter(|client| Path::new(client).exists()) {
        for (command, way) in [
            ("import - made:1", "FROM scratch"),
            ("import --change 'CMD sh' http://127.0.0.1:1/x.tar made:1", "FROM scratch"),
            ("load", "push the image"),
        ] {
            let brokered = Brokered::start(&socket(), "bridge");
            let text = format!("head -c 30000000 /dev/urandom >big; tar -c big | docker {command}");
            let output = script(&brokered, client, &text);
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && told.contains(way), "{client} {command}: {told}");
            assert_eq!(brokered.refused().len(), 1, "{client} {command}");
        }
    }
}

#[test]
fn a_committed_image_has_its_files_and_labels_and_none_of_ours() {
    for client in CLIENTS.iter().filter(|client| Path::new(client).exists()) {
        let brokered = Brokered::start(&socket(), "bridge");
        let output = script(
            &brokered,
            client,
            r#"
            docker run --name web --label of=mine longshore-test/busybox:1 sh -c 'echo word >/word; rm /entrypoint'
            id=$(docker commit --author me --message 'made by hand' web kept:1)
            test "$(docker image inspect -f '{{.Id}}' kept:1)" = "$id"
            test "$(docker image inspect -f '{{.Author}}' kept:1)" = me
            test "$(docker run --rm kept:1 cat /word)" = word
            docker run --rm kept:1 test ! -e /entrypoint
            docker history kept:1 >/dev/null
            printf 'FROM kept:1\nRUN test -e /word\n' | docker build -t built:1 - >/dev/null
            docker commit web kept:2 >/dev/null; docker commit web kept:1 >/dev/null
            docker run --rm kept:2 cat /word >/dev/null
            "#,
        );
        let labels = ["kept:1", "kept:2", "built:1"].map(|name| {
            let image = format!("/images/longshore.invalid/{}/{name}/json", brokered.key);
            get(&image)["Config"]["Labels"].clone()
        });
        brokered.clean(&socket());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{client}\n{told}\n{:?}", brokered.refused());
        for labels in labels {
            assert_eq!(labels["of"], "mine", "{labels}");
            let names: Vec<_> = labels.as_object().unwrap().keys().collect();
            assert!(!names.iter().any(|name| name.starts_with("longshore.")), "{names:?}");
        }
    }
}
