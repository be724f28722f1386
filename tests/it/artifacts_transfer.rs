//! The stand-in's talk with the coordinator: what it sends, what it makes of answers, where the token goes,
//! and what it leaves to the image's own binary.

use crate::support::api::{Answer, FakeApi};
use crate::support::stand_in::StandIn;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::time::Duration;

fn with_file() -> (FakeApi, StandIn) {
    let home = StandIn::new();
    home.write("file", "content");
    (FakeApi::start(), home)
}

/// An archive with one file, as an earlier job left it.
fn stored(api: &FakeApi) {
    let home = StandIn::new();
    home.write("file", "stored");
    home.upload(api, &["--path", "file"]).assert_code(0);
}

#[test]
fn the_guard_is_answered_at_once() {
    let ended = StandIn::new().call(&["--version"]);
    ended.assert_code(0);
    assert!(ended.stdout.starts_with("Version:      "), "{}", ended.stdout);
}

/// Seen in a benchmark: one upload in ten ended in a reset that the server had to report.
#[test]
fn an_answer_is_heard_to_its_end() {
    let home = StandIn::new();
    home.write("file", "content");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n0\r\n\r\n") {
            let mut part = [0; 4096];
            let count = client.read(&mut part).unwrap();
            seen.extend_from_slice(&part[..count]);
        }
        client.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n").unwrap();
        // Who does not wait for the content would be gone by now.
        std::thread::sleep(Duration::from_millis(300));
        client.write_all(b"{}").unwrap();
        client.read(&mut [0; 16]).expect("an orderly end, not a reset")
    });
    home.call(&[
        "artifacts-uploader",
        "--url",
        &url,
        "--token",
        "t",
        "--id",
        "7",
        "--path",
        "file",
    ])
    .assert_code(0);
    assert_eq!(server.join().unwrap(), 0, "nothing more is sent");
}

#[test]
fn an_upload_says_what_it_is() {
    let (api, home) = with_file();
    home.upload(&api, &["--path", "file", "--expire-in", "1 week"]).assert_code(0);
    let seen = &api.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v4/jobs/7/artifacts"));
    assert_eq!(seen.query, "artifact_format=zip&artifact_type=archive&expire_in=1+week");
    assert_eq!(seen.token.as_deref(), Some("tok-7"));
    assert_eq!(seen.file().0, "artifacts.zip");
}

#[test]
fn the_token_may_come_from_the_environment() {
    let (api, home) = with_file();
    let mut command = home.command(&["artifacts-uploader", "--path", "file"]);
    command.env("CI_JOB_TOKEN", "from-env").env("CI_SERVER_URL", api.url()).env("CI_JOB_ID", "9");
    assert!(command.output().unwrap().status.success());
    assert_eq!(api.seen()[0].token.as_deref(), Some("from-env"));
    assert_eq!(api.seen()[0].path, "/api/v4/jobs/9/artifacts");
    let ended =
        home.call(&["artifacts-uploader", "--path", "file", "--url", &api.url(), "--id", "7"]);
    ended.assert_code(1).assert_says("--token is missing");
}

#[test]
fn refusals_end_at_once_with_what_to_do() {
    for (status, says) in [
        (401, "the job's token is refused"),
        (403, "the job's token is refused"),
        (404, "there are no such artifacts"),
        (413, "raise the maximum artifacts size"),
        (400, "another try with the same request would not help"),
    ] {
        let (api, home) = with_file();
        api.answer(Answer {
            body: b"{\"message\":\"why not\"}".to_vec(),
            ..Answer::status(status)
        });
        let ended = home.upload(&api, &["--path", "file"]);
        ended
            .assert_code(1)
            .assert_says(says)
            .assert_says(&format!("{status} "))
            .assert_says("why not");
        assert!(!ended.stderr.contains("tok-7"), "{}", ended.stderr);
        assert_eq!(api.seen().len(), 1, "{status}");
    }
}

#[test]
fn a_refusal_before_the_whole_body_is_sent_is_still_heard() {
    let (api, home) = with_file();
    home.write("big", vec![7; 8 << 20]);
    api.answer(Answer { early: true, ..Answer::status(413) });
    let words = ["--path", "big", "--artifact-format", "raw", "--retry", "0"];
    home.upload(&api, &words).assert_code(1).assert_says("raise the maximum artifacts size");
}

#[test]
fn passing_troubles_are_tried_again() {
    for status in [500, 502, 503, 429] {
        let (api, home) = with_file();
        api.answer(Answer::status(status)).answer(Answer::status(status));
        let ended = home.upload(&api, &["--path", "file"]);
        ended.assert_code(0).assert_says(&format!("WARNING: the coordinator answered {status}"));
        assert_eq!(api.seen().len(), 3, "{status}");
        assert!(api.archive(7).is_some());
        let receiver = StandIn::new();
        api.answer(Answer::status(status));
        receiver.download(&api).assert_code(0);
        assert_eq!(fs::read_to_string(receiver.project().join("file")).unwrap(), "content");
    }
}

#[test]
fn three_tries_and_no_more() {
    let (api, home) = with_file();
    for _ in 0..5 {
        api.answer(Answer::status(500));
    }
    let ended = home.upload(&api, &["--path", "file"]);
    ended.assert_code(1).assert_says("ERROR: the coordinator answered 500");
    assert_eq!(api.seen().len(), 3);
}

#[test]
fn nobody_there_is_said_so() {
    let (_, home) = with_file();
    let url = [
        "--url",
        "http://127.0.0.1:9",
        "--token",
        "t",
        "--id",
        "7",
        "--retry",
        "0",
        "--path",
        "file",
    ];
    let ended = home.call(&[&["artifacts-uploader"], &url[..]].concat());
    ended
        .assert_code(1)
        .assert_says("no answer from the coordinator at 127.0.0.1:9")
        .assert_says("refused");
}

#[test]
fn a_silent_server_runs_into_the_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let words = ["--url", &url, "--token", "t", "--id", "7", "--retry", "1", "--retry-time", "1ms"];
    let call = [&["artifacts-downloader"], &words[..], &["--timeout", "200ms"]].concat();
    StandIn::new().call(&call).assert_code(1).assert_says("the last try").assert_says("timed out");
}

#[test]
fn a_download_that_is_not_there_or_not_allowed_fails() {
    let (api, home) = with_file();
    home.download(&api).assert_code(1).assert_says("there are no such artifacts");
    api.answer(Answer::status(403));
    home.download(&api).assert_code(1).assert_says("may not read these");
    assert_eq!(api.seen()[0].token.as_deref(), Some("tok-7"));
}

#[test]
fn a_redirect_to_another_host_goes_without_the_token() {
    let (gitlab, storage) = (FakeApi::start(), FakeApi::start());
    stored(&storage);
    let signed = format!("{}/api/v4/jobs/7/artifacts?signature=abc", storage.url());
    for status in [302, 307] {
        let home = StandIn::new();
        gitlab.answer(Answer::redirect(status, &signed));
        home.download(&gitlab).assert_code(0);
        assert_eq!(fs::read_to_string(home.project().join("file")).unwrap(), "stored");
        let seen = storage.seen().pop().unwrap();
        assert_eq!((seen.token, seen.query.as_str()), (None, "signature=abc"));
        assert_eq!(gitlab.seen().pop().unwrap().token.as_deref(), Some("tok-7"));
    }
}

#[test]
fn a_redirect_on_the_same_host_keeps_the_token_and_loops_end() {
    let (api, home) = with_file();
    stored(&api);
    api.answer(Answer::redirect(302, "/api/v4/jobs/7/artifacts?again"));
    home.download(&api).assert_code(0);
    assert_eq!(api.seen().pop().unwrap().token.as_deref(), Some("tok-7"));
    for _ in 0..9 {
        api.answer(Answer::redirect(302, "/loop"));
    }
    home.download(&api).assert_code(1).assert_says("more than 5 of them");
}

#[test]
fn a_signed_address_is_never_shown() {
    let (api, home) = with_file();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let signed = format!("http://{dead}/x?signature=abc");
    for _ in 0..3 {
        api.answer(Answer::redirect(302, &signed));
    }
    let ended = home.download(&api);
    ended.assert_code(1).assert_says(&format!("at {dead}"));
    assert!(!ended.stderr.contains("signature"), "{}", ended.stderr);
}

#[test]
fn an_upload_is_sent_again_to_where_it_is_redirected() {
    let (api, home) = with_file();
    api.answer(Answer::redirect(307, "/api/v4/jobs/7/artifacts?artifact_type=archive&moved"));
    home.upload(&api, &["--path", "file"]).assert_code(0);
    assert_eq!(api.seen().len(), 2);
    assert!(api.archive(7).is_some());
}

/// PATH with the image's own binary behind ours: `echo`, which says how it was called. It is a link, as a
/// program just written can be busy while other tests fork.
fn own_binary(home: &StandIn, name: &str) -> String {
    let directory = home.beside(&format!("own-{name}"));
    fs::create_dir_all(&directory).unwrap();
    symlink("/bin/echo", directory.join(name)).unwrap();
    format!("{}:{}:/usr/bin:/bin", home.beside("bin").display(), directory.display())
}

#[test]
fn what_we_do_not_know_goes_to_the_images_own_binary() {
    let (api, home) = with_file();
    for name in ["gitlab-runner", "gitlab-runner-helper"] {
        let path = own_binary(&home, name);
        let said = |words: &[&str]| {
            let output = home.command(words).env("PATH", &path).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(said(&["cache-init", "--file", "a"]), "cache-init --file a\n");
        let unknown = said(&["artifacts-uploader", "--path", "file", "--brand-new"]);
        assert_eq!(unknown, "artifacts-uploader --path file --brand-new\n");
        let url = api.url();
        let known =
            ["artifacts-uploader", "--url", &url, "--token", "t", "--id", "7", "--path", "file"];
        let before = api.seen().len();
        assert_eq!(said(&known), "", "what we know we do ourselves");
        assert_eq!(api.seen().len(), before + 1);
        assert!(said(&["--version"]).contains("longshore"));
    }
}

#[test]
fn without_another_binary_the_unknown_is_an_error() {
    let (_, home) = with_file();
    // The same binary under another path is no other binary.
    fs::create_dir(home.beside("own")).unwrap();
    symlink(env!("CARGO_BIN_EXE_longshore"), home.beside("own/gitlab-runner")).unwrap();
    let path = format!("{}:{}", home.beside("bin").display(), home.beside("own").display());
    let output = home.command(&["cache-init"]).env("PATH", path).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("the command cache-init is not known to longshore"), "{text}");
}

#[test]
fn a_server_that_will_be_back_is_given_more_time() {
    let (api, home) = with_file();
    for _ in 0..9 {
        api.answer(Answer::status(503));
    }
    home.upload(&api, &["--path", "file"]).assert_code(1).assert_says("503");
    assert_eq!(api.seen().len(), 5);
}

#[test]
fn a_direct_download_is_asked_for_once_and_then_without() {
    let (api, home) = with_file();
    stored(&api);
    api.answer(Answer::redirect(302, "http://127.0.0.1:9/unreachable?signature=x"));
    let url = api.url();
    let words = ["artifacts-downloader", "--url", &url, "--token", "t", "--id", "7"];
    let ended = home.call(&[&words[..], &["--direct-download", "--retry-time", "1ms"]].concat());
    ended.assert_code(0);
    assert!(!ended.stderr.contains("signature"), "{}", ended.stderr);
    let queries: Vec<String> = api.seen().into_iter().map(|seen| seen.query).collect();
    assert_eq!(queries[1..], ["direct_download=true", ""]);
    assert_eq!(fs::read_to_string(home.project().join("file")).unwrap(), "stored");
}

#[test]
fn an_archives_name_is_the_last_part_of_what_the_job_calls_it() {
    let (api, home) = with_file();
    for (name, expected) in [("a/b c", "b c.zip"), ("x/", "x.zip"), ("/", "default.zip")] {
        home.upload(&api, &["--path", "file", "--name", name]).assert_code(0);
        assert_eq!(api.upload("archive").unwrap().file().0, expected);
    }
}
