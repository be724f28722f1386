//! Canaries: secrets of a whole job are looked for wherever they could come to rest, in every form that
//! the masker knows, while the job runs and after it. The search is told a third value that is no secret
//! and must be found, or it proves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use longshore::secrets::vault::VaultSettings;
use serde_json::json;

use crate::support::bao::Bao;
use crate::support::job_json::FakeJob;
use crate::support::real::{Host, assert_says, await_gone, busybox, get};
use crate::support::vault::furnished;

const SECRETS: &str = r#"
[secrets]
VARIABLE = { path = "kv/app/canary#variable", projects = "**", default = true }
FILE = { path = "kv/app/canary#file", projects = "**", as = "file", default = true }
WHOLE = { path = "kv/app/canary", projects = "**", as = "file", default = true }
"#;

/// Each way that a script may come to print a secret.
const PRINTS: [&str; 8] = [
    "echo seen: $MARKER >/marker",
    "echo \"$VARIABLE\"; cat $FILE $WHOLE; env",
    "echo \"$VARIABLE\" | base64; printf 'x%s' \"$VARIABLE\" | base64 -w 0; base64 $FILE; base64 $WHOLE",
    "printf %s \"$VARIABLE\" | od -An -v -tx1 | tr -d ' \\n'; echo",
    "set -x; true \"$VARIABLE\"; set +x",
    "sed 's/[\"\\\\]/\\\\&/g' $FILE",
    "cat $FILE >&2; tr '\\0' '\\n' </proc/self/environ",
    "echo ready; sleep 300",
];

/// Values that no other test and no earlier run has.
struct Canaries {
    variable: String,
    file: String,
    marker: String,
}

impl Canaries {
    fn new() -> Self {
        let random = || {
            let bytes = fs::read("/proc/sys/kernel/random/uuid").unwrap();
            String::from_utf8(bytes).unwrap().trim().replace('-', "")
        };
        // With what the escapes differ in.
        let odd = |name: &str| format!("{name}/{}+\"é<'&\\ %{}", random(), random());
        Self { variable: odd("v"), file: odd("f"), marker: random() }
    }

    fn lines(&self) -> String {
        format!("VARIABLE={}\nFILE={}\nMARKER={}\n", self.variable, self.file, self.marker)
    }
}

/// `NAME<tab>where` for each find.
fn search(canaries: &Canaries, since: &Path, inside: Option<&str>) -> BTreeSet<(String, String)> {
    let root = get("/info")["DockerRootDir"].as_str().unwrap().to_owned();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("script/lib/find-secret.py");
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg("--since").arg(since);
    command.args(inside.into_iter().flat_map(|label| ["--inside", label]));
    command.args([&root, "/run", "/tmp", "/var/tmp", "/var/log", "/dev/shm"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(canaries.lines().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("searched\t"), "{text}");
    let finds = text.lines().filter_map(|line| line.split_once('\t'));
    finds.filter(|(name, _)| *name != "searched").map(|(a, b)| (a.into(), b.into())).collect()
}

async fn host(bao: &Bao, vault: &VaultSettings, canaries: &Canaries) -> Host {
    let fields = json!({"variable": canaries.variable, "file": canaries.file});
    bao.admin("POST", "kv/data/app/canary", json!({"data": fields})).await;
    Host::new().vault(vault).table(SECRETS)
}

fn is_secret(name: &str) -> bool {
    name != "MARKER"
}

#[tokio::test]
async fn no_canary_comes_to_rest_anywhere() {
    let (bao, vault) = furnished().await;
    let canaries = Canaries::new();
    let host = host(&bao, &vault, &canaries).await;
    let since = host.path("since");
    fs::write(&since, "").unwrap();
    let job: FakeJob =
        busybox(PRINTS).project(77, "group/canary").variable("MARKER", &canaries.marker);
    let running = host.runner().start(&job);
    // What stderr says last has no end of line, and may come just before.
    running.wait_for_output("ready\n", Duration::from_mins(1));

    let finds = search(&canaries, &since, Some(&format!("longshore.project={}", job.project_path)));
    let marked = finds.iter().filter(|find| !is_secret(&find.0)).map(|find| find.1.as_str());
    let marked = marked.collect::<Vec<_>>().join("\n") + "\n";
    assert_says(
        &marked,
        &["/diff/marker\n", "docker export longshore-", "docker commit longshore-"],
    );
    for (name, place) in finds.iter().filter(|find| is_secret(&find.0)) {
        // The environment of the stage's own processes is where a variable is meant to be.
        let meant =
            name == "VARIABLE" && place.starts_with("/proc/") && place.ends_with("/environ");
        assert!(meant, "{name} lies in {place}");
    }
    assert!(finds.iter().any(|find| find.0 == "VARIABLE"), "the search does not see: {finds:?}");

    running.abort();
    let result = running.join();
    await_gone(&job);
    fs::write(host.path("trace"), &result.trace).unwrap();
    fs::write(host.path("runner_log"), &result.runner_log).unwrap();
    let finds = search(&canaries, &since, None);
    let stray: Vec<_> = finds.iter().filter(|find| is_secret(&find.0)).collect();
    assert!(stray.is_empty(), "{stray:?}\n{}", result.trace_text());
    assert!(result.trace_text().matches("[MASKED]").count() > 10, "{}", result.trace_text());
    assert_says(&host.ledger(), &[r#""secrets":["FILE","VARIABLE","WHOLE"]"#]);
}
