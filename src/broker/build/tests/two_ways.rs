//! Dockerfiles and archives that say one thing to this room and would say another to the daemon.

use tar::{EntryType, Header};

use super::{archive, recipe, through};

#[test]
fn dockerfiles_that_read_in_two_ways() {
    for (text, rule) in [
        // A blank to us, so that the next line is one of its own; to the daemon the backslash ends the line.
        ("FROM busybox:1\nRUN a \\\u{b}\nFROM busybox:1 AS victim\nRUN b", "dockerfile"),
        ("FROM busybox:1\nRUN a \\\u{a0}\nFROM busybox:1 AS victim\nRUN b", "dockerfile"),
        ("FROM busybox:1\nRUN a \\\u{2003} \nFROM busybox:1 AS victim\nRUN b", "dockerfile"),
        ("FROM busybox:1\nRUN a \\\r\r\nFROM busybox:1 AS victim\nRUN b", "dockerfile"),
        // Backslashes in flags go though the escape character is another one.
        ("# escape=`\nFROM busybox:1\nCOPY --fr\\om=victim / /", "dockerfile"),
        ("FROM busybox:1\nCOPY --fr`om=victim / /", "dockerfile"),
        // The second byte of `à` is a blank to whoever walks over bytes.
        ("FROM busybox:1\nCOPY --chown=à--from=victim / /", "dockerfile"),
        ("FROM busybox:1\nCOPY --chown=1 --chown=2 / /", "dockerfile"),
        ("FROM busybox:1\nCOPY --chown=1 --from=busybox:1 --from=victim / /", "dockerfile"),
        ("FROM busybox:1\nCOPY --FROM=victim / /", "dockerfile"),
        ("FROM busybox:1\nCOPY -- --from=victim / /", "dockerfile"),
        ("FROM busybox:1\nENV --from=victim a=b", "dockerfile"),
        // The variable goes before the builder looks for a heredoc.
        ("FROM busybox:1\nRUN ${X:-}<<EOF\nFROM busybox:1 AS victim\nEOF", "dockerfile"),
        ("FROM busybox:1\nRUN ${X:+ }3<<-\"EOF\"\nid", "dockerfile"),
        ("FROM busybox:1\nONBUILD RUN <<EOF", "dockerfile"),
        // Names that no stage may have.
        ("FROM busybox:1 AS victim.example/app:1\nRUN id", "dockerfile"),
        ("FROM busybox:1 AS 0\nRUN id", "dockerfile"),
        // Labels of ours.
        ("FROM busybox:1\nLABEL longshore.job=victim", "labels"),
        ("FROM busybox:1\nLABEL a=b Longshore.kind=job", "labels"),
        ("FROM busybox:1\nLABEL \"longshore\".job=victim", "labels"),
        ("FROM busybox:1\nLABEL long\\shore.job=victim", "labels"),
        ("FROM busybox:1\nLABEL longshore.job victim", "labels"),
        ("FROM busybox:1\nARG X=longshore.job\nLABEL $X=victim", "dockerfile"),
        ("FROM busybox:1\nLABEL a=b \"${X}${Y:+ }\"=victim", "dockerfile"),
        ("FROM busybox:1\nONBUILD LABEL longshore.job=victim", "labels"),
    ] {
        let refusal = recipe(text, "").err().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(refusal.rule, rule, "{text}");
    }
}

#[test]
fn what_is_only_unusual_is_read() {
    for text in [
        "FROM busybox:1\nRUN echo $((1<<2)) <<<x; test 1 << 2",
        "FROM busybox:1\nCOPY --chown=$UID:${GID} --chmod=755 --link a b",
        "FROM busybox:1\nHEALTHCHECK --interval=5s --retries=3 CMD [\"true\"]",
        "FROM busybox:1\nLABEL a=\"x $Y longshore.job=z\" b='$c' d=e\\ f\nLABEL old $X",
        "FROM busybox:1 AS Base-1.x\nRUN echo à \u{a0} ü\nFROM Base-1.x",
        "FROM busybox:1\nRUN a \\\n\tb\u{a0}\nRUN c",
    ] {
        let recipe = recipe(text, "").unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
        assert!(recipe.write(&super::facts(&recipe)).is_ok(), "{text}");
    }
}

/// A block of a header of this kind, with a content.
fn entry(kind: u8, name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::new(kind));
    header.set_size(content.len() as u64);
    header.set_path(name).unwrap();
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

#[test]
fn archives_that_read_in_two_ways() {
    let dockerfile = entry(b'0', "Dockerfile", b"FROM scratch");
    let end = [0; 1024].to_vec();
    let size = entry(b'x', "x", b"11 size=17\n");
    let plain = entry(b'x', "x", b"11 mtime=1\n");
    let refused = |parts: &[&Vec<u8>]| {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        through(&bytes, "Dockerfile", 512).unwrap_err()
    };
    // It would hold for the file that is put behind it: the daemon would read a part of that.
    refused(&[&dockerfile, &size, &end]);
    refused(&[&dockerfile, &size]);
    refused(&[&dockerfile, &entry(b'L', "x", b"other"), &end]);
    // Only the last of two counts for the daemon, and none before a global one.
    refused(&[&size, &plain, &dockerfile, &end]);
    refused(&[&size, &entry(b'g', "x", b""), &dockerfile, &end]);
    // Longer than anything can be.
    refused(&[&entry(b'x', "x", b"29 size=18446744073709551615\n"), &dockerfile, &end]);
    refused(&[&entry(b'x', "x", b"13 size=-100\n"), &dockerfile, &end]);
}

#[test]
fn an_archive_that_begins_like_a_packed_one_is_refused() {
    let files = archive(&[("Dockerfile", b"FROM scratch")]);
    for begin in [
        &[0x1f, 0x8b, 8][..],
        b"BZh9",
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        &[0x28, 0xb5, 0x2f, 0xfd],
        &[0x53, 0x2a, 0x4d, 0x18],
    ] {
        let mut first = entry(b'0', "name", b"");
        first[..begin.len()].copy_from_slice(begin);
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&first);
        header.set_cksum();
        let bytes = [header.as_bytes().to_vec(), files.clone()].concat();
        let refusal = through(&bytes, "Dockerfile", 512).unwrap_err();
        assert!(refusal.message.contains("compressed"), "{begin:?}: {}", refusal.message);
    }
}

#[test]
fn the_file_that_is_built_from_is_left_out_of_the_context() {
    let bytes = archive(&[("Dockerfile", b"FROM scratch"), ("./.dockerignore", b"*.log\n")]);
    let mut context = super::Context::new("Dockerfile");
    context.push(&bytes, &mut Vec::new()).unwrap();
    let found = context.finish().unwrap();
    assert_eq!(found.ignored, b"*.log\n");
    let end = super::end(".ours", &found.dockerfile, &found.ignored);
    let told = String::from_utf8_lossy(&end).into_owned();
    assert!(told.contains("*.log\n\n.dockerignore\n.ours\n"), "{told}");
}
