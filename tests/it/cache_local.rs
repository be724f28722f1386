//! Caches in the cache directory of one host: made, restored, left alone when nothing changed.

use crate::support::stand_in::StandIn;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

fn modified(home: &StandIn, key: &str) -> SystemTime {
    fs::metadata(home.beside("cache").join(key).join("cache.zip")).unwrap().modified().unwrap()
}

/// Makes a file of the project older or newer than now.
fn age(home: &StandIn, path: &str, seconds: i64) {
    let now = SystemTime::now();
    let shift = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { now - shift } else { now + shift };
    fs::File::open(home.project().join(path)).unwrap().set_modified(time).unwrap();
}

#[test]
fn what_one_job_keeps_the_next_one_finds() {
    let home = StandIn::new();
    home.write("deps/a/lib", "one");
    home.write("deps/tool", "two");
    fs::set_permissions(home.project().join("deps/tool"), fs::Permissions::from_mode(0o755))
        .unwrap();
    home.write("source.c", "not kept");
    home.archive("k", &["--path", "deps/"]).assert_code(0).assert_says("stays on this host");
    let archive = home.beside("cache/k/cache.zip");
    assert_eq!(fs::metadata(&archive).unwrap().mode() & 0o777, 0o600);
    fs::remove_dir_all(home.project()).unwrap();
    fs::create_dir(home.project()).unwrap();
    home.extract("k", &[]).assert_code(0).assert_says("restored 4 files and directories");
    assert_eq!(fs::read_to_string(home.project().join("deps/a/lib")).unwrap(), "one");
    let mode = fs::metadata(home.project().join("deps/tool")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert!(!home.project().join("source.c").exists());
    let left: Vec<_> = fs::read_dir(home.beside("cache/k")).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "the archive and its note: {left:?}");
}

#[test]
fn an_archive_is_made_again_only_when_a_file_is_newer() {
    let home = StandIn::new();
    home.write("deps/lib", "one");
    age(&home, "deps/lib", -100);
    age(&home, "deps", -100);
    home.archive("k", &["--path", "deps"]).assert_code(0).assert_says("packed 2 files");
    let first = modified(&home, "k");
    home.archive("k", &["--path", "deps"]).assert_code(0).assert_says("the archive is up to date");
    assert_eq!(modified(&home, "k"), first);
    home.extract("k", &[]).assert_code(0);
    home.archive("k", &["--path", "deps"]).assert_code(0).assert_says("the archive is up to date");
    home.write("deps/lib", "two");
    age(&home, "deps/lib", 100);
    home.archive("k", &["--path", "deps"]).assert_code(0).assert_says("packed 2 files");
    assert!(modified(&home, "k") > first);
}

#[test]
fn a_cache_that_is_not_there_is_a_failure_for_the_script_to_go_on_from() {
    let home = StandIn::new();
    home.extract("none", &[]).assert_code(1).assert_says("there is no cache at ../cache/none");
    home.archive("none", &["--path", "no/such"]).assert_code(0).assert_says("no files to cache");
    assert!(!home.beside("cache").exists());
}

#[test]
fn half_an_archive_is_refused_and_nothing_is_written() {
    let home = StandIn::new();
    home.write("deps/lib", "x".repeat(5000));
    home.archive("k", &["--path", "deps"]).assert_code(0);
    let file = home.beside("cache/k/cache.zip");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    fs::remove_dir_all(home.project().join("deps")).unwrap();
    home.extract("k", &[]).assert_code(1).assert_says("the archive cannot be read");
    assert!(!home.project().join("deps").exists());
}

#[test]
fn the_note_beside_the_archive_tells_its_key() {
    let home = StandIn::new();
    home.write("lib", "x");
    home.write("env", "CACHE_METADATA=\"{\\\"cachekey\\\":\\\"my key\\\"}\"\n");
    home.archive("k", &["--path", "lib", "--env-file", "env"]).assert_code(0);
    let note = fs::read_to_string(home.beside("cache/k/metadata.json")).unwrap();
    assert_eq!(note, "{\"cachekey\":\"my key\"}");
    let mut command =
        home.command(&["cache-archiver", "--file", "../cache/o/c.zip", "--path", "lib"]);
    command.env("CACHE_METADATA", "{\"CacheKey\":\"other\"}");
    assert!(command.output().unwrap().status.success());
    let note = fs::read_to_string(home.beside("cache/o/metadata.json")).unwrap();
    assert_eq!(note, "{\"cachekey\":\"other\"}");
}

#[test]
fn an_archive_under_the_keys_other_name_is_taken_over() {
    let home = StandIn::new();
    home.write("lib", "x");
    age(&home, "lib", -100);
    home.archive("hashed", &["--path", "lib"]).assert_code(0);
    let words = ["--path", "lib", "--alternate-file", "../cache/hashed/cache.zip"];
    home.archive("plain", &words).assert_code(0).assert_says("took over").assert_says("up to date");
    assert!(!home.beside("cache/hashed/cache.zip").exists());
    home.extract("plain", &[]).assert_code(0);
}

#[test]
fn two_archivers_at_once_leave_one_whole_archive() {
    let home = StandIn::new();
    home.write("deps/big", vec![7; 3 << 20]);
    std::thread::scope(|scope| {
        let one = || home.archive("k", &["--path", "deps"]);
        let (first, second) = (scope.spawn(one), scope.spawn(one));
        first.join().unwrap().assert_code(0);
        second.join().unwrap().assert_code(0);
    });
    home.extract("k", &[]).assert_code(0);
    let left: Vec<_> = fs::read_dir(home.beside("cache/k")).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "the archive and its note: {left:?}");
}

#[test]
fn a_draft_of_a_killed_process_goes_after_a_day() {
    let home = StandIn::new();
    home.write("lib", "x");
    fs::create_dir_all(home.beside("cache/k")).unwrap();
    let (old, young) =
        (home.beside("cache/k/.longshore-draft-9-0"), home.beside("cache/k/.longshore-draft-9-1"));
    for (path, hours) in [(&old, 30), (&young, 1)] {
        let file = fs::File::create(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(hours)).unwrap();
    }
    home.archive("k", &["--path", "lib"]).assert_code(0);
    assert!(!old.exists() && young.exists());
}
