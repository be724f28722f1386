//! What the builder's own readers make of an instruction's words, as far as it matters who reads them:
//! flags, heredocs and the names of labels. What could be read in two ways is refused. Pure.

use super::dockerfile::unsure;
use crate::broker::refusal::Refusal;

/// Flags that there are, by instruction. Some need `BuildKit`, which the daemon says itself.
fn known_flags(keyword: &str) -> &'static [&'static str] {
    match keyword {
        "FROM" => &["platform"],
        "COPY" => &["from", "chown", "chmod", "link", "parents", "exclude"],
        "ADD" => &["chown", "chmod", "link", "checksum", "keep-git-dir", "exclude", "unpack"],
        "HEALTHCHECK" => &["interval", "timeout", "start-period", "start-interval", "retries"],
        _ => &[],
    }
}

/// Takes the flags off the front: the flags, and what follows them.
///
/// The builder walks over bytes, takes quotes and backslashes away and two bytes of UTF-8's for blanks
/// (`--chown=à--from=x` is two flags to it), so a flag is one of known ones, in plain ASCII, and comes once.
pub(super) fn flags<'a>(
    keyword: &str,
    mut rest: &'a str,
) -> Result<(Vec<String>, &'a str), Refusal> {
    let mut flags: Vec<String> = Vec::new();
    if keyword == "RUN" && rest.starts_with("--") {
        return Err(unsure(
            "flags of RUN (--mount, --network, --security) need BuildKit, which is not offered",
        ));
    }
    while rest.starts_with("--") {
        let (flag, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let name = name_of(flag);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/@,=+*?-${}".contains(&byte);
        let twice = flags.iter().any(|known| name_of(known) == name);
        if !known_flags(keyword).contains(&name) || twice || !flag.bytes().all(plain) {
            return Err(unsure(format!(
                "a flag of {keyword} is unknown, comes twice or can be read in two ways"
            )));
        }
        flags.push(flag.to_owned());
        rest = after.trim_start();
    }
    Ok((flags, rest))
}

fn name_of(flag: &str) -> &str {
    let bare = flag.strip_prefix("--").unwrap_or(flag);
    bare.split_once('=').map_or(bare, |(name, _)| name)
}

/// Whether a newer builder would take the lines that follow for a document of this one. It looks at each
/// word once its variables are gone, so `${X:-}<<EOF` is one too.
pub(super) fn begins_heredoc(rest: &str) -> bool {
    rest.match_indices("<<").any(|(at, _)| {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
        let vanishes = word.bytes().all(|byte| byte.is_ascii_digit()) || word.contains('}');
        let named = after.starts_with(|c: char| c != '<' && !c.is_whitespace());
        vanishes && named
    })
}

/// Refuses labels of ours: Longshore tells by them whose a container is, and the containers of a build's
/// steps carry the labels of their image.
pub(super) fn check_labels(rest: &str, escape: char) -> Result<(), Refusal> {
    let words = words(rest, escape);
    let old_form = words.first().is_some_and(|first| !first.contains('='));
    let names = words.iter().take(if old_form { 1 } else { usize::MAX });
    for name in names.map(|word| word.split_once('=').map_or(word.as_str(), |(name, _)| name)) {
        if name.contains('$') {
            return Err(unsure("the name of a LABEL has a variable"));
        }
        let bare: String = name.chars().filter(|c| !"\"'\\`".contains(*c)).collect();
        if is_ours(bare.trim()) {
            let message = "a LABEL begins with `longshore.`, which is ours: leave it out";
            return Err(Refusal::forbidden("labels", message));
        }
    }
    Ok(())
}

/// Whether a label is Longshore's.
pub(super) fn is_ours(name: &str) -> bool {
    name.to_lowercase().starts_with("longshore.")
}

/// Words as the builder splits them: quotes keep blanks, the escape character keeps what follows it.
fn words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match quote {
            None if letter.is_whitespace() => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
                continue;
            }
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            Some(open) if letter == open => quote = None,
            _ => {}
        }
        word.push(letter);
        if letter == escape && quote != Some('\'') {
            word.extend(letters.next());
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}
