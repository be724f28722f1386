//! Caches in a bucket behind signed addresses: what is sent, what is fetched, and what is left alone.

use crate::support::api::{Answer, FakeApi};
use crate::support::stand_in::StandIn;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const EARLY: &str = "Tue, 01 Jan 2019 00:00:00 GMT";
const LATE: &str = "Fri, 01 Jan 2038 00:00:00 GMT";

fn with_file() -> (FakeApi, StandIn) {
    let home = StandIn::new();
    home.write("lib", "content");
    (FakeApi::start(), home)
}

fn url(api: &FakeApi, path: &str) -> String {
    format!("{}{path}?X-Amz-Signature=sEcReT", api.url())
}

/// An archive that holds one file with this content.
fn archive_of(content: &str) -> Vec<u8> {
    let home = StandIn::new();
    home.write("lib", content);
    home.archive("k", &["--path", "lib"]).assert_code(0);
    fs::read(home.beside("cache/k/cache.zip")).unwrap()
}

fn lib(home: &StandIn) -> String {
    fs::read_to_string(home.project().join("lib")).unwrap()
}

#[test]
fn an_archive_goes_to_the_signed_address_with_the_signed_headers() {
    let (api, home) = with_file();
    let address = url(&api, "/bucket/k");
    let header = ["--header", "X-Amz-Meta-Cachekey: my: key", "--header", "Content-Type: x/y"];
    let words = [&["--path", "lib", "--url", &address][..], &header].concat();
    let ended = home.archive("k", &words);
    ended.assert_code(0).assert_says("uploaded ");
    assert!(!ended.stderr.contains("sEcReT"), "{}", ended.stderr);
    let seen = &api.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("PUT", "/bucket/k"));
    assert_eq!(seen.query, "X-Amz-Signature=sEcReT");
    assert_eq!(seen.headers["x-amz-meta-cachekey"], "my: key");
    assert_eq!(seen.headers["content-type"], "x/y");
    assert_eq!(seen.headers["content-length"], seen.body.len().to_string());
    assert!(!seen.headers.contains_key("transfer-encoding"), "buckets refuse chunks");
    assert!(!seen.headers.contains_key("job-token"));
    assert_eq!(seen.body[..], fs::read(home.beside("cache/k/cache.zip")).unwrap());
    // Nothing changed, so nothing is sent again.
    home.archive("k", &words).assert_code(0).assert_says("up to date");
    assert_eq!(api.seen().len(), 1);
}

#[test]
fn what_is_too_large_stays_on_the_host() {
    let (api, home) = with_file();
    let address = url(&api, "/b");
    let words = ["--path", "lib", "--url", &address, "--max-uploaded-archive-size", "10"];
    home.archive("k", &words).assert_code(0).assert_says("over the limit of 10");
    assert!(api.seen().is_empty());
    assert!(home.beside("cache/k/cache.zip").exists());
}

#[test]
fn the_buckets_troubles_are_tried_again_and_its_refusals_are_not() {
    for (status, tries, code) in [(500, 2, 0), (503, 2, 0), (403, 1, 1), (400, 1, 1)] {
        let (api, home) = with_file();
        let address = url(&api, "/b");
        let body = b"<Error><Code>Why</Code><Message>not</Message></Error>".to_vec();
        api.answer(Answer { body: body.clone(), ..Answer::status(status) });
        let ended = home.archive("k", &["--path", "lib", "--url", &address]);
        ended.assert_code(code).assert_says(&format!("the cache server answered {status}"));
        ended.assert_says("Why, not");
        assert_eq!(api.seen().len(), tries, "{status}");
        assert!(home.beside("cache/k/cache.zip").exists(), "the host keeps it");
        api.put_object("/b", archive_of("fetched"), LATE);
        api.answer(Answer { body, ..Answer::status(status) });
        home.extract("other", &["--url", &address]).assert_code(code);
        assert_eq!(lib(&home), if code == 0 { "fetched" } else { "content" }, "{status}");
    }
}

#[test]
fn the_newer_of_bucket_and_host_is_taken() {
    let (api, home) = with_file();
    let address = url(&api, "/b");
    home.archive("k", &["--path", "lib"]).assert_code(0);
    api.put_object("/b", archive_of("from the bucket"), EARLY);
    home.extract("k", &["--url", &address]).assert_code(0);
    assert_eq!(lib(&home), "content");
    api.put_object("/b", archive_of("from the bucket"), LATE);
    home.extract("k", &["--url", &address]).assert_code(0).assert_says("downloaded ");
    assert_eq!(lib(&home), "from the bucket");
    let note = fs::read_to_string(home.beside("cache/k/metadata.json")).unwrap();
    assert_eq!(note, "{\"cachekey\":\"the key\"}");
    home.extract("k", &["--url", &address]).assert_code(0);
    let says = home.extract("k", &["--url", &address]).stderr;
    assert!(!says.contains("downloaded"), "it is here already: {says}");
}

#[test]
fn a_bucket_without_the_key_is_no_cache() {
    let (api, home) = with_file();
    let address = url(&api, "/none");
    let ended = home.extract("k", &["--url", &address]);
    ended.assert_code(1).assert_says("the runner's shared cache has none of this key");
    assert_eq!(api.seen().len(), 1);
}

#[test]
fn the_newer_of_two_names_is_fetched() {
    let (api, home) = with_file();
    let (address, alternate) = (url(&api, "/a"), url(&api, "/b"));
    let words = ["--url", &address, "--alternate-url", &alternate];
    api.put_object("/b", archive_of("alternate"), EARLY);
    home.extract("k", &words).assert_code(0);
    assert_eq!(lib(&home), "alternate", "it alone is there");
    api.put_object("/a", archive_of("primary"), LATE);
    home.extract("k", &words).assert_code(0);
    assert_eq!(lib(&home), "primary");
    let (head, other) = (url(&api, "/none"), url(&api, "/b"));
    let heads = ["--head-url", &head, "--alternate-head-url", &other];
    home.extract("fresh", &[&words[..], &heads].concat()).assert_code(0);
    assert_eq!(lib(&home), "alternate", "the HEAD addresses decide");
}

#[test]
fn an_archive_of_the_other_name_is_put_where_the_bucket_lacks_it() {
    let (api, home) = with_file();
    let (address, check) = (url(&api, "/a"), url(&api, "/a"));
    let old = fs::File::open(home.project().join("lib")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH).unwrap();
    home.archive("k", &["--path", "lib"]).assert_code(0);
    let fixed = ["--path", "lib", "--url", &address, "--check-url", &check];
    let words = [&fixed[..], &["--alternate-file", "../cache/hashed/cache.zip"]].concat();
    home.archive("k", &words).assert_code(0).assert_says("up to date").assert_says("uploaded ");
    assert!(api.object("/a").is_some());
    home.archive("k", &words).assert_code(0);
    let methods: Vec<String> = api.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["HEAD", "PUT", "HEAD"]);
}

#[test]
fn a_go_cloud_address_is_left_to_gitlabs_binary_or_said_so() {
    let (_, home) = with_file();
    let cloud = ["--gocloud-url", "s3://bucket/k?region=x"];
    let words = [&["--path", "lib"], &cloud[..]].concat();
    home.archive("k", &words).assert_code(1).assert_says("option --gocloud-url");
    assert!(home.beside("cache/k/cache.zip").exists(), "the host keeps it");
    home.extract("k", &cloud).assert_code(0).assert_says("WARNING: option --gocloud-url");
    home.extract("none", &cloud).assert_code(1).assert_says("option --gocloud-url");
    let other = home.beside("bin/gitlab-runner-helper");
    let elsewhere = home.beside("tmp/gitlab-runner-helper");
    fs::write(&elsewhere, "#!/bin/sh\necho \"real $*\"\n").unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!other.exists());
    let mut command = home.command(&["cache-extractor", "--file", "f", cloud[0], cloud[1]]);
    let path =
        format!("{}:{}:/usr/bin:/bin", home.beside("bin").display(), home.beside("tmp").display());
    let output = command.env("PATH", path).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        format!("real cache-extractor --file f {} {}", cloud[0], cloud[1])
    );
}
