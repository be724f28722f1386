//! Tests of a build's context and Dockerfile.

mod two_ways;

use super::*;
use crate::broker::policy::{BuildPlan, Decision};
use crate::broker::refusal::Refusal;
use crate::broker::request::Method::Post;
use crate::broker::stand_in::{BUSYBOX, SECRET, ask, rules, view};

fn plan(query: &str) -> BuildPlan {
    match ask(Post, &format!("/build?{query}"), "") {
        Decision::Build(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn recipe(text: &str, query: &str) -> Result<Recipe, Refusal> {
    Recipe::read(text.as_bytes(), &plan(query), (&view(), &rules()))
}

fn facts(recipe: &Recipe) -> Vec<Facts> {
    let id = |number: usize| format!("sha256:{number:064}");
    (0..recipe.images.len()).map(|number| Facts { id: id(number), triggers: Vec::new() }).collect()
}

fn written(text: &str) -> String {
    let recipe = recipe(text, "").unwrap();
    String::from_utf8(recipe.write(&facts(&recipe)).unwrap()).unwrap()
}

#[test]
fn images_become_ids_and_lines_become_one() {
    let text = written(
        "# syntax=docker/dockerfile:1\nARG TAG=1\nARG BASE=busybox:${TAG}\n\nFROM ${BASE} AS Deps\n\
         RUN echo a \\\n  # comment\n\n  && echo b\nFROM scratch\nCOPY --from=deps /a /a\n\
         COPY --from=0 /b /b\nCOPY --from=busybox:1 --chown=1 /c /c\r\n",
    );
    let id = format!("sha256:{:064}", 0);
    let expected = format!(
        "# escape=\\\nARG TAG=1\nARG BASE=busybox:${{TAG}}\nFROM {id} AS deps\nRUN echo a   && echo b\n\
         FROM scratch\nCOPY --from=deps /a /a\nCOPY --from=0 /b /b\nCOPY --from={id} --chown=1 /c /c\n"
    );
    assert_eq!(text, expected);
}

/// The daemon reads no longer line; what it would cut off is not judged by halves.
#[test]
fn an_instruction_is_so_long_at_most() {
    let long = |length: usize| format!("FROM busybox:1\nRUN {}", "a".repeat(length - 4));
    assert!(recipe(&long(60_000), "").is_ok());
    for length in [60_001, 70_000] {
        assert_eq!(recipe(&long(length), "").unwrap_err().rule, "dockerfile");
    }
}

#[test]
fn flags_that_the_builder_knows_pass() {
    let text = "FROM --platform=linux/amd64 busybox:1\nADD --chown=1:1 a /a\n\
                HEALTHCHECK --interval=5s --retries=2 CMD true\n";
    let id = format!("sha256:{:064}", 0);
    let expected = text.replace("busybox:1", &id);
    assert_eq!(written(text), format!("# escape=\\\n{expected}"));
}

#[test]
fn images_are_pulled_as_the_job_may() {
    let of = |text: &str, query: &str| recipe(text, query).unwrap().images.remove(0);
    let own = of("FROM busybox:1", "");
    assert_eq!((own.reference.as_str(), own.when), (BUSYBOX, When::Absent));
    let other = of("FROM postgres:16", "");
    assert_eq!(other.when, When::Always, "cached by somebody else, it may be private");
    assert_eq!(other.pull.unwrap().query[1].1, "16");
    assert_eq!(of("FROM shared:1", "").when, When::Absent);
    assert_eq!(of("FROM registry.example/team/app:test", "").when, When::Absent);
    assert_eq!(of("FROM busybox:1", "pull=1").when, When::Always);
    let argument = "buildargs={%22B%22:%22base.example/x/y:2%22}";
    assert_eq!(of("ARG B\nFROM $B", argument).reference, "base.example/x/y:2");
}

#[test]
fn what_a_build_may_not_do() {
    for (text, rule) in [
        ("FROM victim.example/app:1", "registry"),
        ("FROM registry.example/other/app:1", "registry"),
        ("FROM busybox:1\nCOPY --from=victim.example/app / /", "registry"),
        ("FROM busybox:1\nCOPY --from=1 / /", "dockerfile"),
        ("FROM busybox:1\nCOPY --from=0 / /", "dockerfile"),
        ("FROM busybox:1\nCOPY --from=$X / /", "dockerfile"),
        ("FROM busybox:1\nADD http://169.254.169.254/ /x", "add-url"),
        ("FROM busybox:1\nADD h\\ttp:/\\/x /x", "add-url"),
        ("FROM busybox:1\nADD \"ht\"tp://x /x", "add-url"),
        ("FROM busybox:1\nADD [\"\\u0068ttp:\\u002f/x\", \"/x\"]", "add-url"),
        ("FROM busybox:1\nADD $URL /x", "add-url"),
        ("FROM busybox:1\nA\\\nDD http://x /x", "add-url"),
        ("FROM busybox:1\nADD git@example.com:a/b /x", "add-url"),
        ("FROM busybox:1\nRUN --security=insecure id", "dockerfile"),
        ("FROM busybox:1\nRUN \\\n --network=host id", "dockerfile"),
        ("FROM busybox:1\nRUN --mount=type=cache,target=/x id", "dockerfile"),
        ("FROM busybox:1\nRUN <<EOF\nFROM victim\nEOF", "dockerfile"),
        ("FROM busybox:1\nRUN 3<<-EOF\nid\nEOF", "dockerfile"),
        ("FROM busybox:1\nONBUILD COPY --from=victim / /", "dockerfile"),
        ("FROM busybox:1\nONBUILD FROM victim", "dockerfile"),
        ("FROM busybox:1\nONBUILD ADD http://x /", "add-url"),
        ("FROM busybox:1\nLABEL \"a\"=\"b\" longshore.job=x", "labels"),
        ("FROM busybox:1\nLABEL a='it\\' longshore.job=x b='", "labels"),
        ("FROM busybox:1\nLABEL a=\\\" longshore.job=x b=\\\"", "labels"),
        ("FROM busybox:1\nRUN a\\\\\nFROM victim", "dockerfile"),
        ("FROM busybox:1\nRUN a \\", "dockerfile"),
        ("FROM busybox:1\nNONSENSE", "dockerfile"),
        ("FROM ${X:?y}", "dockerfile"),
        ("FROM \"busybox:1\"", "dockerfile"),
        ("FROM --platform=$X busybox:1", "dockerfile"),
        ("FROM busybox:1 AS a b", "dockerfile"),
        ("RUN id\nFROM busybox:1", "dockerfile"),
        ("", "dockerfile"),
        ("# escape=x\nFROM busybox:1", "dockerfile"),
    ] {
        let refusal = recipe(text, "").err().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(refusal.rule, rule, "{text}");
    }
    let secret = recipe(&format!("FROM busybox:1\nENV A={SECRET}"), "").unwrap_err();
    assert_eq!(secret.rule, "build-arg-secret");
    let recipe = recipe("FROM busybox:1", "").unwrap();
    let mut facts = facts(&recipe);
    facts[0].triggers = vec!["COPY --from=victim / /".to_owned()];
    assert!(recipe.write(&facts).is_err());
    assert!(recipe.write(&[]).is_err());
    facts[0].triggers = vec!["RUN make".to_owned()];
    assert!(recipe.write(&facts).is_ok());
}

#[test]
fn a_backtick_escapes_where_the_file_says_so() {
    let text = written("# escape=`\nFROM busybox:1\nRUN a `\n b\\\nRUN c");
    assert!(text.starts_with("# escape=`\n") && text.ends_with("RUN a  b\\\nRUN c\n"), "{text}");
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Through the context in pieces of this size: what passed, and the Dockerfile.
fn through(bytes: &[u8], dockerfile: &str, piece: usize) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let mut context = Context::new(dockerfile);
    let mut out = Vec::new();
    for piece in bytes.chunks(piece) {
        context.push(piece, &mut out)?;
    }
    Ok((out, context.finish()?.dockerfile))
}

#[test]
fn the_dockerfile_is_found_however_the_archive_comes() {
    let long = format!("{}Dockerfile", "deep/".repeat(40));
    let big = vec![7_u8; 100_000];
    let files: [(&str, &[u8]); 4] =
        [("a", &big), ("./x/Dockerfile", b"first"), ("x/Dockerfile", b"last"), (&long, b"long")];
    let bytes = archive(&files);
    for piece in [1, 511, 512, 513, 1 << 20] {
        let (mut out, found) = through(&bytes, "x/Dockerfile", piece).unwrap();
        assert_eq!(found, b"last");
        assert_eq!(out, bytes[..bytes.len() - 1024], "all but the end passes");
        out.extend_from_slice(&end(".ours", b"FROM scratch\n", b""));
        let mut read = tar::Archive::new(out.as_slice());
        let names: Vec<String> = read
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names[4..], [".dockerignore", ".ours"]);
    }
    assert_eq!(through(&bytes, &long, 100).unwrap().1, b"long");
}

/// As the command line sends it for `-f -`.
#[test]
fn an_archive_without_its_last_padding_and_end_is_whole() {
    let bytes = archive(&[("a", b"first"), ("Dockerfile", b"FROM scratch")]);
    let length = 3 * 512 + b"FROM scratch".len();
    for bytes in [&bytes[..length], &bytes[..length + 9], &bytes[..4 * 512]] {
        let (mut out, found) = through(bytes, "Dockerfile", 100).unwrap();
        assert_eq!((found.as_slice(), out.len()), (&b"FROM scratch"[..], 4 * 512));
        out.extend_from_slice(&end(".ours", b"FROM scratch\n", b""));
        assert_eq!(tar::Archive::new(out.as_slice()).entries().unwrap().count(), 4);
    }
    assert!(through(&bytes[..length - 1], "Dockerfile", 100).is_err(), "cut off");
}

#[test]
fn what_is_no_whole_archive_is_refused() {
    let bytes = archive(&[("Dockerfile", b"FROM scratch")]);
    assert!(through(&bytes[..520], "Dockerfile", 512).is_err(), "cut off");
    assert!(through(b"", "Dockerfile", 512).is_err(), "empty");
    assert!(through(&bytes, "other", 512).is_err(), "not there");
    let mut zipped = vec![0x1f, 0x8b, 8, 0];
    zipped.resize(2048, 1);
    assert!(through(&zipped, "Dockerfile", 512).is_err(), "compressed");
    let mut huge = archive(&[("Dockerfile", b"")]);
    huge[124..135].copy_from_slice(b"77777777777");
    assert!(through(&huge, "Dockerfile", 512).is_err(), "a wrong sum");
    // What follows the end is not passed on.
    let mut more = bytes.clone();
    more.extend_from_slice(&archive(&[("Dockerfile", b"FROM victim")]));
    let (out, found) = through(&more, "Dockerfile", 512).unwrap();
    assert_eq!((found.as_slice(), out.len()), (&b"FROM scratch"[..], 1024));
}

#[test]
fn a_link_over_the_dockerfile_is_not_followed() {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(12);
    archive.append_data(&mut header, "Dockerfile", &b"FROM scratch"[..]).unwrap();
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    archive.append_link(&mut link, "Dockerfile", "/etc/passwd").unwrap();
    assert!(through(&archive.into_inner().unwrap(), "Dockerfile", 512).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}", bytes in proptest::collection::vec(0_u8.., 0..2000)) {
        drop(recipe(&text, ""));
        drop(recipe(&format!("FROM busybox:1\n{text}"), ""));
        drop(through(&bytes, "Dockerfile", 100));
    }
}
