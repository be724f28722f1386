//! What is shipped: how many crates, and which TLS stack. Asks cargo, so the lock file is what counts.

use std::collections::BTreeSet;
use std::process::Command;

/// Crates of the shipped binary's tree as `name vX.Y.Z`, each once.
fn shipped() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal", "--prefix", "none", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // A line goes on with `(*)` for a repetition, `(proc-macro)`, or a path.
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn the_tree_stays_small() {
    let shipped = shipped();
    assert!(shipped.len() > 50, "cargo tells too little: {shipped:?}");
    assert!(shipped.len() <= 200, "{} crates are shipped", shipped.len());
}

#[test]
fn there_is_one_tls_provider_and_no_openssl() {
    let names: BTreeSet<String> =
        shipped().iter().filter_map(|one| one.split(' ').next().map(str::to_owned)).collect();
    let providers = ["ring", "aws-lc-rs", "openssl-sys", "native-tls", "boring", "rustls-openssl"];
    let found: Vec<&str> = providers.into_iter().filter(|name| names.contains(*name)).collect();
    assert_eq!(found, ["ring"]);
}
