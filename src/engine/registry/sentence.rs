//! A daemon's sentence less the names in it: what an image or its registry is called (`team/access-denied`, a
//! digest with `429` in it) says nothing of a cause. Pure.

use super::repository;

/// After these words a name of one word is one, and not a word of the sentence.
const BEFORE_NAMES: [&str; 2] = ["for ", "repository "];

/// The sentence in small letters, without addresses and without the image's own name.
pub(super) fn without_names(reference: &str, message: &str) -> String {
    let small = message.to_lowercase();
    let plain: Vec<&str> = small.split_whitespace().filter(|word| !word.contains("://")).collect();
    let mut names = vec![reference, repository(reference)];
    // Docker Hub's names are told without their host, and a registry's own sentences without its host.
    if let Some((host, path)) = reference.split_once('/') {
        let bare = host.split_once(':').map_or(host, |(bare, _port)| bare);
        names.extend([path, repository(path), host, bare]);
    }
    names.extend(reference.split_once('@').map(|(_name, digest)| digest));
    let without = |words: String, name: &&str| without_name(&words, &name.to_lowercase());
    names.iter().filter(|name| !name.is_empty()).fold(plain.join(" "), without)
}

/// Takes a name away where it stands whole.
fn without_name(words: &str, name: &str) -> String {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let one_word = name.chars().all(inner);
    let (mut left, mut end) = (String::new(), 0);
    for (at, _) in words.match_indices(name) {
        let (before, after) = (&words[..at], &words[at + name.len()..]);
        let whole = !before.ends_with(inner) && !after.starts_with(inner);
        let unquoted = before.trim_end_matches(['"', '\'', '[']);
        let named = BEFORE_NAMES.iter().any(|word| unquoted.ends_with(word));
        if whole && (named || !one_word) {
            left.push_str(&words[end..at]);
            end = at + name.len();
        }
    }
    left.push_str(&words[end..]);
    left
}
