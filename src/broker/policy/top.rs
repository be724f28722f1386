//! What `docker top` may ask of `ps`. That runs on the host, over all of its processes, and the daemon tells a
//! container's own by the word that stands under PID: so nothing that a process says of itself stands before it.

use crate::broker::refusal::Refusal;

/// Options of one letter: which processes, and forms that have PID among their first columns, behind words of the
/// host's own (user, flags, parent).
const LETTERS: &str = "aAdefFHjlLuwx";

/// Longest text.
const LONGEST: usize = 256;

/// `ps_args`, written anew.
pub(super) fn arguments(given: &str) -> Result<String, Refusal> {
    let words: Vec<&str> = given.split(' ').filter(|word| !word.is_empty()).collect();
    let mut left = words.iter().copied();
    let mut first = true;
    while let Some(word) = left.next() {
        let bare = word.strip_prefix('-').unwrap_or(word);
        let (letters, columns) = match bare.split_once('o') {
            Some((letters, "")) => (letters, Some(left.next().unwrap_or_default())),
            Some((letters, columns)) => (letters, Some(columns)),
            None => (bare, None),
        };
        let known = letters.chars().all(|letter| LETTERS.contains(letter));
        let shown = columns.is_none_or(|columns| are_columns(columns, first));
        if !known || !shown || bare.is_empty() {
            return Err(refused());
        }
        first &= columns.is_none();
    }
    if given.len() > LONGEST { Err(refused()) } else { Ok(words.join(" ")) }
}

/// Columns of `-o`: PID once, at the beginning of the first ones.
fn are_columns(list: &str, first: bool) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    list.split(',').enumerate().all(|(number, name)| {
        let is_name = !name.is_empty() && name.bytes().all(legal);
        is_name && (name == "pid") == (first && number == 0)
    })
}

fn refused() -> Refusal {
    let message =
        "ps_args may be a form such as aux or -ef, or columns with pid first: -o pid,user,args";
    Refusal::forbidden("top", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_columns_pass() {
        for given in [
            "aux",
            "-ef",
            "-eLf",
            "axl",
            "-o pid",
            "-o pid,user,args",
            "-eo pid,comm",
            "-opid,rss -o args",
            "-o pid,sgi_p,x1",
        ] {
            assert_eq!(arguments(given).unwrap(), given);
        }
        assert_eq!(arguments(" aux  -ww ").unwrap(), "aux -ww");
    }

    #[test]
    fn nothing_stands_before_the_id_but_what_the_host_says() {
        for given in [
            "-o args,pid",
            "-o args -o pid",
            "-o pid -o args,pid",
            "-o pid,args,pid",
            "-eo args,user,pid",
            "-oargs,pid",
            "-o",
            "-o pid,",
            "-o rss=PID,args",
            "-O pid",
            "-p 1",
            "-C sleep",
            "-U root",
            "--format args,pid",
            "-",
            "-M",
            "Z",
            "k pid",
            "-o PID",
            "aux;id",
        ] {
            assert_eq!(arguments(given).unwrap_err().rule, "top", "{given}");
        }
        assert!(arguments(&"a".repeat(256)).is_ok());
        assert!(arguments(&"a".repeat(257)).is_err());
    }
}
