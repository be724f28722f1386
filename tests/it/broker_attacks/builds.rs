//! Builds (70 to 77, 101, 103, 104): contexts and Dockerfiles that reach for another's image, the host's
//! network or the daemon's own, through the classic builder's real reader.

use std::path::Path;

use super::attack::{CANARY, IMAGE, head, send, status};
use super::scene::Scene;
use crate::support::brokered::Brokered;
use crate::support::own_daemon::OwnDaemon;

/// An archive's entry of this kind.
fn entry(kind: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn context(dockerfile: &str) -> Vec<u8> {
    [entry(b'0', b"Dockerfile", dockerfile.as_bytes()), vec![0; 1024]].concat()
}

/// Builds, and answers everything that the daemon says.
fn build(socket: &Path, query: &str, context: &[u8]) -> String {
    let head = format!(
        "POST /v1.41/build?{query} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        context.len()
    );
    send(socket, &[head.as_bytes(), context].concat())
}

impl Scene {
    /// What went wrong, where the broker does not refuse a build.
    fn is_built(&self, name: &str, query: &str, context: &[u8]) -> Option<String> {
        let answer = build(&self.brokered.socket(), query, context);
        let built = answer.contains(CANARY) || !matches!(status(&answer), 400 | 403);
        built.then(|| format!("{name}: broker: {answer}"))
    }
}

/// A web server in the daemon's own network, as a service of the host's loopback would be.
fn serve_on_host(daemon: &OwnDaemon) {
    let script = format!("echo {CANARY} >/tmp/f; exec httpd -f -p 127.0.0.1:8099 -h /tmp");
    daemon.docker(&["run", "-d", "--network", "host", "--name", "web", IMAGE, "sh", "-c", &script]);
    let ready = "until wget -qO- http://127.0.0.1:8099/f; do sleep 0.1; done";
    daemon.docker(&["exec", "web", "sh", "-c", ready]);
}

/// Number and name, query, Dockerfile. `{img}`, `{imgid}`, `{C}` and `{own}` are filled in. Each shows the
/// canary at the bare daemon.
const BUILDS: &[(&str, &str, &str)] = &[
    ("103 from another's image", "", "FROM {img}\nRUN cat /tmp/file"),
    ("103 from another's image by id", "", "FROM {imgid}\nRUN cat /tmp/file"),
    (
        "103 from another's image by argument",
        "buildargs={\"A\":\"{img}\"}",
        "ARG A\nFROM $A\nRUN cat /tmp/file",
    ),
    ("103 from it as a default", "", "ARG A={img}\nFROM ${A:-x}\nRUN cat /tmp/file"),
    ("103 copied from it", "", "FROM {own}\nCOPY --from={img} /tmp/file /f\nRUN cat /f"),
    ("103 copied from it by id", "", "FROM {own}\nCOPY --from={imgid} /tmp/file /f\nRUN cat /f"),
    (
        "103 copied in a line of two",
        "",
        "FROM {own}\nCOPY --from=\\\n{img} /tmp/file /f\nRUN cat /f",
    ),
    (
        "70 in another's network namespace",
        "networkmode=container:{C}",
        "FROM {own}\nRUN nc 127.0.0.1 8098",
    ),
    (
        "51 in the host's network",
        "networkmode=host",
        "FROM {own}\nRUN wget -qO- http://127.0.0.1:8099/f",
    ),
    ("74 fetched by the daemon", "", "FROM {own}\nADD http://127.0.0.1:8099/f /f\nRUN cat /f"),
    (
        "74 fetched, written as JSON",
        "",
        "FROM {own}\nADD [\"\\u0068ttp://127.0.0.1:8099/f\", \"/f\"]\nRUN cat /f",
    ),
    (
        "74 fetched, in an argument",
        "",
        "FROM {own}\nARG U=http://127.0.0.1:8099/f\nADD $U /f\nRUN cat /f",
    ),
    (
        "74 fetched in a line of two",
        "",
        "FROM {own}\nADD ht\\\ntp://127.0.0.1:8099/f /f\nRUN cat /f",
    ),
    (
        "an escape in a flag",
        "",
        "# escape=`\nFROM {own}\nCOPY --fr\\om={img} /tmp/file /f\nRUN cat /f",
    ),
];

/// The same of contexts and Dockerfiles that mean another thing to the broker than to the daemon, once they are
/// written anew: the bare daemon refuses them as they are.
const TWO_WAYS: &[(&str, &str)] = &[
    (
        "a stage that is not there",
        "FROM {own} AS a\nRUN true \\\u{b}\nFROM {own} AS {img}\nFROM {own}\n\
         COPY --from={img} /tmp/file /f\nRUN cat /f",
    ),
    (
        "a stage behind a blank of another kind",
        "FROM {own} AS a\nRUN true \\\u{a0}\nFROM {own} AS {img}\nFROM {own}\n\
         COPY --from={img} /tmp/file /f\nRUN cat /f",
    ),
    ("77 without bounds", "FROM {own}\nRUN --security=insecure id"),
    ("77 in the host's network, on two lines", "FROM {own}\nRUN \\\n  --network=host id"),
    ("77 in a heredoc", "FROM {own}\nRUN <<EOF\nFROM {img}\nEOF"),
    ("77 in a heredoc behind a variable", "FROM {own}\nRUN ${X:-}<<CMD\nFROM {own} AS b\nCMD"),
    ("a label of ours", "FROM {own}\nLABEL longshore.job=victim\nRUN id"),
    ("two flags in one", "FROM {own}\nCOPY --chown=\u{e0}--from={img} /tmp/file /f\nRUN cat /f"),
];

#[test]
fn builds_that_reach_for_others_are_refused() {
    let daemon = OwnDaemon::start(&[IMAGE]);
    serve_on_host(&daemon);
    let scene = Scene::set(daemon);
    let listen = format!("while true; do echo {CANARY} | nc -l -p 8098; done");
    scene.daemon.docker(&["exec", "-d", "victim", "sh", "-c", &listen]);
    let (mut works, mut through) = (Vec::new(), Vec::new());
    for (name, query, text) in BUILDS {
        let fill = |text: &str| scene.victim.fill(text, 0).replace("{own}", IMAGE);
        let query = fill(query).replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
        let context = context(&fill(text));
        let answer = build(scene.daemon.socket(), &format!("nocache=1&{query}"), &context);
        if !answer.contains(CANARY) {
            works.push(format!("{name}: bare daemon: {}", head(&answer)));
        }
        through.extend(scene.is_built(name, &query, &context));
    }
    for (name, text) in TWO_WAYS {
        let text = scene.victim.fill(text, 0).replace("{own}", IMAGE);
        through.extend(scene.is_built(name, "", &context(&text)));
    }
    assert_eq!(works, Vec::<String>::new(), "not shown to work");
    assert_eq!(through, Vec::<String>::new(), "let through");
    println!("{} builds tried, 0 through", BUILDS.len() + TWO_WAYS.len());
}

/// 104: what another's build step made is neither read nor put in the way of others. The daemon takes a layer
/// of anybody's where the instruction is the same.
#[test]
fn layers_of_others_are_not_taken() {
    let daemon = OwnDaemon::start(&[IMAGE]);
    daemon.docker(&["network", "create", "slot"]);
    let step = "head -c 16 /dev/urandom | sha256sum | tee /made";
    let context = context(&format!("FROM {IMAGE}\nRUN {step}\nCOPY Dockerfile /d\n"));
    let layer = |socket: &Path| {
        let answer = build(socket, "t=made", &context);
        assert!(answer.contains("Successfully built"), "{answer}");
        let cached = answer.matches("Using cache").count();
        let (_, id) = answer.rsplit_once("Successfully built ").unwrap();
        (id[..12].to_owned(), cached)
    };
    let made = layer(daemon.socket());
    assert_eq!(layer(daemon.socket()), (made.0, 2), "the bare daemon takes what is there");
    let [one, other] = [(); 2].map(|()| Brokered::start(daemon.socket(), "slot"));
    let first = layer(&one.socket());
    assert_eq!(first.1, 0, "another's layers");
    assert_eq!(layer(&other.socket()).1, 0, "another's layers");
    assert_eq!(layer(&one.socket()), (first.0, 2), "the job's own layers");
}

/// The file that is built from, under its name, is nothing of the image's.
#[test]
fn an_image_holds_what_the_context_holds() {
    let daemon = OwnDaemon::start(&[IMAGE]);
    daemon.docker(&["network", "create", "slot"]);
    let brokered = Brokered::start(daemon.socket(), "slot");
    let text = format!("FROM {IMAGE}\nCOPY . /all\nRUN ls -A /all | sed s/^/found:/");
    let answer = build(&brokered.socket(), "", &context(&text));
    let found = answer.matches("\"stream\":\"found:").count();
    assert!(answer.contains("found:Dockerfile") && found == 1, "{answer}");
    let again = build(&brokered.socket(), "", &context(&text));
    assert_eq!(again.matches("Using cache").count(), 2, "{again}");
}

/// 77 cannot be shown to work at this daemon: flags of RUN are `BuildKit`'s, and its own reader in Docker 20.10
/// does not know these two, whatever the daemon's `builder.entitlements` say. Docker 28.5 does as it is told by
/// `RUN --network=host` in a build with `networkmode=host` (`ip addr` shows the host's addresses; without that
/// it says `network.host is not allowed`) and by a heredoc; `--security` is in no reader that comes with a daemon.
/// The broker refuses all of them before any daemon is asked (`TWO_WAYS`).
#[test]
fn flags_of_run_are_unknown_to_this_daemon() {
    let daemon = OwnDaemon::start(&[IMAGE]);
    for (flag, name) in [("--security=insecure", "security"), ("--network=host", "network")] {
        let text = context(&format!("FROM {IMAGE}\nRUN {flag} id\n"));
        for query in ["version=2&networkmode=host", "networkmode=host"] {
            let answer = build(daemon.socket(), query, &text);
            assert!(answer.contains(&format!("Unknown flag: {name}")), "{query} {answer}");
        }
    }
}

/// 76 and 104: what `BuildKit` would take from others is not there, for it is not offered.
#[test]
fn buildkit_is_neither_offered_nor_reached() {
    let daemon = OwnDaemon::start(&[IMAGE]);
    daemon.docker(&["network", "create", "slot"]);
    let brokered = Brokered::start(daemon.socket(), "slot");
    let mount = "RUN --mount=type=cache,id=z,target=/c";
    let write = context(&format!("FROM {IMAGE}\n{mount} echo {CANARY} >/c/f\n"));
    let read = context(&format!("FROM {IMAGE}\n{mount} cp /c/f /got\n"));
    assert_eq!(status(&build(daemon.socket(), "version=2", &write)), 200);
    assert_eq!(status(&build(daemon.socket(), "version=2&t=got", &read)), 200);
    assert!(daemon.docker(&["run", "--rm", "got", "cat", "/got"]).contains(CANARY));
    for query in ["version=2", "version=1", ""] {
        let answer = build(&brokered.socket(), query, &read);
        assert_eq!(status(&answer), 403, "{answer}");
    }
    let frontend = "127.0.0.1:1/evil/frontend";
    for sign in ["# syntax=", "#syntax = ", "# escape=\\\n# syntax=", "// syntax="] {
        let text = context(&format!("{sign}{frontend}\nFROM {IMAGE}\nRUN true\n"));
        let answer = build(&brokered.socket(), "", &text);
        assert!(!answer.contains("evil/frontend"), "{answer}");
    }
    let text = context(&format!("# syntax={frontend}\nFROM {IMAGE}\n"));
    let answer = build(daemon.socket(), "version=2", &text);
    assert!(answer.contains("v2/evil/frontend"), "the bare daemon asks for it: {answer}");
}
