//! What goes through a job on the real daemon arrives as it left: long lines, many lines, any byte, odd
//! variables; and a job that wants too much memory hears of it.

use sha2::{Digest, Sha256};

use crate::support::call::Stream;
use crate::support::real::{Host, assert_says, busybox};
use crate::support::running::{CallRecord, FailureReason};

fn stdout(call: &CallRecord) -> Vec<u8> {
    let chunks = call.chunks.iter().filter(|chunk| chunk.stream == Stream::Stdout);
    let mut bytes: Vec<u8> = chunks.flat_map(|chunk| chunk.bytes.clone()).collect();
    bytes.truncate(rfind(&bytes, b"longshore: used "));
    bytes
}

/// Where the last line of a user's stage begins, which says what was used.
fn rfind(bytes: &[u8], mark: &[u8]) -> usize {
    let at = bytes.windows(mark.len()).rposition(|part| part == mark);
    at.unwrap_or_else(|| panic!("no {mark:?} in {} bytes", bytes.len()))
}

/// What stands between two marks; they must be too long to turn up by chance in a million random bytes,
/// as three letters do one time in seventeen.
fn between<'a>(bytes: &'a [u8], begin: &str, end: &str) -> &'a [u8] {
    let find = |mark: &str| {
        let at = bytes.windows(mark.len()).position(|part| part == mark.as_bytes());
        at.unwrap_or_else(|| panic!("no {mark:?} in {} bytes", bytes.len()))
    };
    &bytes[find(begin) + begin.len()..find(end)]
}

fn quiet(text: &str) -> String {
    // The script's own trace of its commands would hold the marks too.
    format!("#!/bin/sh\n{text}\n")
}

#[test]
fn a_line_of_128_mib_arrives_whole() {
    let script = "echo BEGIN; head -c 134217728 /dev/zero | tr '\\0' x; echo; echo END";
    let job = busybox(["true"]).stage_script("build_script", &quiet(script));
    let result = Host::new().run(&job);
    result.assert_success();
    let bytes = stdout(result.call("build_script"));
    let line = bytes.strip_prefix(b"BEGIN\n").unwrap().strip_suffix(b"\nEND\n").unwrap();
    // A keep-alive may stand in it where the machine is slow.
    let others = line.iter().filter(|byte| **byte != b'x').count();
    assert_eq!(line.len() - others, 128 << 20);
    assert!(others < 1024, "{others} other bytes");
}

#[test]
fn any_byte_arrives_as_it_was() {
    let script = "head -c 1000000 /dev/urandom >bytes; sha256sum bytes >&2; printf {BEGIN:}; cat bytes; printf {:THE:END}";
    let job = busybox(["true"]).stage_script("build_script", &quiet(&format!("cd /tmp; {script}")));
    let result = Host::new().run(&job);
    result.assert_success();
    let call = result.call("build_script");
    let bytes = stdout(call);
    let bytes = bytes.strip_suffix(b"\n").unwrap(); // ours: the script's last line had no end
    let hash = Sha256::digest(between(bytes, "{BEGIN:}", "{:THE:END}"));
    assert_says(&call.stderr(), &[&format!("{hash:x}")]);
}

#[test]
fn ten_thousand_lines_arrive_in_order() {
    let job = busybox(["true"]).stage_script("build_script", &quiet("seq 1 10000"));
    let result = Host::new().run(&job);
    let expected: Vec<String> = (1..=10_000).map(|number| number.to_string()).collect();
    let told = stdout(result.assert_success().call("build_script"));
    assert_eq!(String::from_utf8(told).unwrap(), expected.join("\n") + "\n");
}

#[test]
fn variables_keep_newlines_and_equal_signs() {
    let value = "first=1\nsecond = 'two' \"three\" $four\n";
    let job = busybox(["printf '<%s>' \"$ODD\""]).raw("ODD", value);
    let result = Host::new().run(&job);
    assert_says(&result.assert_success().trace_text(), &[&format!("<{value}>")]);
}

#[test]
fn a_variable_of_100_kb_arrives_whole() {
    let job = busybox(["echo \"length=${#LONG}\""]).variable("LONG", &"x".repeat(100_000));
    let result = Host::new().run(&job);
    assert_says(&result.assert_success().trace_text(), &["length=100000\n"]);
}

#[test]
fn a_job_killed_for_memory_is_told_limit_and_peak() {
    let host = Host::new().table("[limits]\nmemory = \"32m\"\n");
    let job = busybox(["x=$(head -c 100000000 /dev/zero | tr '\\0' x)", "echo \"${#x}\""])
        .after_script(["echo still there"]);
    let result = host.run(&job);
    assert_eq!(
        result.failure_reason,
        Some(FailureReason::ScriptFailure),
        "{}",
        result.trace_text()
    );
    let told =
        ["killed a process of this stage for memory", "limit 32.0 MiB, peak 3", "[limits] memory"];
    assert_says(&result.trace_text(), &told);
    assert_says(&result.call("after_script").stdout(), &["still there\n"]);
}

#[test]
fn a_user_stage_ends_with_what_it_used_and_others_do_not() {
    let host = Host::new().table("[limits]\nmemory = \"64m\"\n");
    let work =
        "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; head -c 20000000 /dev/zero >/tmp/x";
    let result = host.run(&busybox([work, "printf 'no end of line'"]).after_script(["true"]));
    result.assert_success();
    let told = result.call("build_script").stdout();
    let (_, line) = told.split_once("no end of line\nlongshore: used ").expect(&told);
    let number = |text: &str| text.split(' ').next().unwrap().parse::<f64>().unwrap();
    let parts: Vec<&str> = line.trim_end().split(", ").collect();
    let [wall, cpu, memory, ..] = parts[..] else { panic!("{line}") };
    assert!(number(wall) > 0.05 && wall.ends_with(" s"), "{line}");
    assert!(number(cpu) > 0.05 && number(cpu) < 60.0 && cpu.ends_with(" s of CPU"), "{line}");
    let peak = memory.strip_prefix("at most ").unwrap();
    assert!((10.0..=64.0).contains(&number(peak)), "{line}");
    assert!(memory.ends_with(" MiB of 64.0 MiB of memory"), "{line}");
    assert_says(line, &[" read, ", " written, ", " received, ", " sent\n"]);
    assert_says(&result.call("after_script").stdout(), &["\nlongshore: used "]);
    assert!(!result.call("prepare_script").both().contains("longshore: used"));
}
