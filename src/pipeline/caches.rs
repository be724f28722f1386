//! The scripts that restore and keep caches, in our own words. Pure. No failure of a cache is the job's.

use super::model::{Cache, CachePolicy};
use super::script::{Lines, quote};
use super::stages::{Scene, expanded, option};

/// Restores the first key of each cache that is there; `None` without caches to restore.
pub(super) fn restore(scene: &Scene<'_>) -> Option<String> {
    let wanted = |cache: &&Cache| cache.policy != CachePolicy::Push && has_content(cache);
    let caches: Vec<&Cache> = scene.spec.job.caches.iter().filter(wanted).collect();
    let last = scene.variable("CACHE_FALLBACK_KEY").filter(|key| !key.is_empty());
    let restored = |lines: Lines, cache: &&Cache| {
        let mut keys: Vec<String> = vec![key(scene, &cache.key)];
        keys.extend(cache.fallback_keys.iter().map(|text| key(scene, text)));
        keys.extend(last.map(|text| key(scene, text)));
        let lines = keys.iter().fold(lines, |lines, key| {
            let words = ["gitlab-runner", "cache-extractor", "--file", &file(scene, key)];
            lines
                .say(&format!("Checking cache for {key}..."))
                .line(format!("if {}; then", command(&words)))
                .say("Successfully extracted cache")
                .line("else")
                .say("Failed to extract cache")
        });
        keys.iter().fold(lines, |lines, _| lines.line("fi"))
    };
    (!caches.is_empty()).then(|| caches.iter().fold(scene.inside(), restored).finish())
}

/// Keeps the caches of a job that passed, or did not; `None` where there is none to keep.
pub(super) fn archive(scene: &Scene<'_>, passed: bool) -> Option<String> {
    let wanted = |cache: &&Cache| {
        cache.policy != CachePolicy::Pull && cache.when.includes(passed) && has_content(cache)
    };
    let caches: Vec<&Cache> = scene.spec.job.caches.iter().filter(wanted).collect();
    let kept = |lines: Lines, cache: &&Cache| {
        let key = key(scene, &cache.key);
        let mut words = vec!["gitlab-runner".to_owned(), "cache-archiver".to_owned()];
        option(&mut words, "--file", &file(scene, &key));
        for path in &cache.paths {
            option(&mut words, "--path", &expanded(scene, path));
        }
        if cache.untracked {
            words.push("--untracked".to_owned());
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        lines
            .say(&format!("Creating cache {key}..."))
            .line(format!("if {}; then", command(&words)))
            .say("Created cache")
            .line("else")
            .say("Failed to create cache")
            .line("fi")
    };
    (!caches.is_empty()).then(|| caches.iter().fold(scene.inside(), kept).finish())
}

fn has_content(cache: &Cache) -> bool {
    cache.untracked || !cache.paths.is_empty()
}

fn command(words: &[&str]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// A key as it names a directory: what would lead out of the cache's is not one.
fn key(scene: &Scene<'_>, text: &str) -> String {
    let key = expanded(scene, text);
    let parts = key.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    let key = parts.collect::<Vec<_>>().join("/");
    if key.is_empty() { "default".to_owned() } else { key }
}

/// Where the archive of a key is.
fn file(scene: &Scene<'_>, key: &str) -> String {
    format!("{}/{}/{key}/cache.zip", scene.cache_dir, scene.facts.project)
}
