//! What the stage scripts of Runner 19 do about caches, in our own words: one key after the other until one
//! is there, and no failure of a cache is the job's.

use super::environment::Moment;
use super::job_json::{Cache, FakeJob};
use super::scripts::{guarded, quote};
use std::fmt::Write;

/// The archive of a key, relative to the project directory as the real one.
fn file(key: &str, moment: &Moment) -> String {
    let up = "../".repeat(moment.project_dir.matches('/').count());
    quote(&format!("{up}{}/{key}/cache.zip", moment.cache_dir.trim_start_matches('/')))
}

/// Restores the first of a cache's keys that is there.
pub fn restore(job: &FakeJob, cache: &Cache, moment: &Moment) -> String {
    let last = job.value_of("CACHE_FALLBACK_KEY").map(str::to_owned);
    let keys = [&cache.key].into_iter().chain(&cache.fallback_keys).chain(&last);
    let mut text = String::new();
    let mut ends = String::new();
    for key in keys {
        let file = file(key, moment);
        let _ = write!(
            text,
            "echo {}\nif gitlab-runner cache-extractor --file {file} --timeout 10; then\n\
             echo 'Successfully extracted cache'\nelse\necho 'Failed to extract cache'\n",
            quote(&format!("Checking cache for {key}...")),
        );
        ends.push_str("fi\n");
    }
    guarded("Extracting cache", &format!("{text}{}", ends.trim_end()))
}

/// Makes a cache of what the job leaves.
pub fn archive(cache: &Cache, moment: &Moment) -> String {
    let mut command = format!(
        "gitlab-runner cache-archiver --file {} --alternate-file {} --timeout 10",
        file(&cache.key, moment),
        file(&format!("hashed-{}", cache.key), moment)
    );
    for path in &cache.paths {
        let _ = write!(command, " --path {}", quote(path));
    }
    let env = quote(&format!("{}/gitlab_runner_cache_env", moment.temporary_dir()));
    let key = &cache.key;
    let text = format!(
        "echo {}\ncat << EOF > {env}\nCACHE_METADATA=\"{{\\\\\"cachekey\\\\\":\\\\\"{key}\\\\\"}}\"\nEOF\n\
         if {command} --env-file {env}; then\necho 'Created cache'\nelse\n\
         echo 'Failed to create cache'\nfi\nrm -f -- {env}",
        quote(&format!("Creating cache {key}..."))
    );
    guarded("Creating cache", &text)
}
