//! Mounts beside the symbolic links that stand for parts of the job's directory where the daemon cannot mount parts.
//! A link that was written into a mount, or through another link, would replace what lies there: it never is.

use serde_json::{Value, json};

use super::mounts::Mounts;
use crate::broker::outgoing::Link;
use crate::broker::refusal::Refusal;

/// Puts what is mounted below a link where the link leads, and refuses links that would lie in a mount.
pub(super) fn settle(mounts: &mut Mounts) -> Result<(), Refusal> {
    let mut links = std::mem::take(&mut mounts.links);
    links.sort_by(|one, other| one.at.cmp(&other.at));
    for link in links {
        let outer =
            mounts.links.iter().find_map(|outer| Some((outer, below(&outer.at, &link.at)?)));
        match outer {
            None => mounts.links.push(link),
            // It is seen there already.
            Some((outer, rest)) if link.to == format!("{}{rest}", outer.to) => {}
            Some(_) => return Err(refused()),
        }
    }
    let links = std::mem::take(&mut mounts.links);
    for mount in &mut mounts.all {
        let target = mount.get("Target").and_then(Value::as_str).unwrap_or_default().to_owned();
        mount["Target"] = json!(place(&links, target)?);
    }
    for (target, options) in std::mem::take(&mut mounts.tmpfs) {
        mounts.tmpfs.insert(place(&links, target)?, options);
    }
    mounts.links = links;
    Ok(())
}

/// Where a mount goes.
fn place(links: &[Link], target: String) -> Result<String, Refusal> {
    if links.iter().any(|link| below(&target, &link.at).is_some()) {
        return Err(refused());
    }
    let moved = links
        .iter()
        .find_map(|link| below(&link.at, &target).map(|rest| format!("{}{rest}", link.to)));
    Ok(moved.unwrap_or(target))
}

/// What follows in a path at or below another one: nothing, or a path.
fn below<'a>(outer: &str, inner: &'a str) -> Option<&'a str> {
    inner.strip_prefix(outer).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn refused() -> Refusal {
    Refusal::forbidden(
        "workspace",
        "this daemon cannot mount a part of the job's directory inside of another mount (Docker 26 can): \
         mount it beside that, or all of it once",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(links: &[(&str, &str)], targets: &[&str]) -> Mounts {
        let link = |(at, to): &(&str, &str)| Link { at: (*at).to_owned(), to: (*to).to_owned() };
        let mut mounts = Mounts::default();
        mounts.links.extend(links.iter().map(link));
        mounts.all.extend(targets.iter().map(|target| json!({"Target": target})));
        mounts
    }

    fn targets(mounts: &Mounts) -> Vec<&str> {
        mounts.all.iter().map(|mount| mount["Target"].as_str().unwrap()).collect()
    }

    #[test]
    fn what_is_mounted_below_a_link_goes_where_that_leads() {
        let mut some = mounts(&[("/src", "/w/app")], &["/w", "/src/modules", "/srcs"]);
        some.tmpfs.insert("/src/a/b".to_owned(), String::new());
        settle(&mut some).unwrap();
        assert_eq!(targets(&some), ["/w", "/w/app/modules", "/srcs"]);
        assert_eq!(some.tmpfs.keys().collect::<Vec<_>>(), ["/w/app/a/b"]);
        assert_eq!(some.links.len(), 1);
    }

    #[test]
    fn a_link_in_another_is_left_out_where_it_says_the_same_and_refused_where_not() {
        let mut same = mounts(&[("/src/sub", "/w/app/sub"), ("/src", "/w/app")], &["/w"]);
        settle(&mut same).unwrap();
        assert_eq!(same.links, mounts(&[("/src", "/w/app")], &[]).links);
        for to in ["/w-ro/app/sub", "/w/app/other"] {
            assert!(settle(&mut mounts(&[("/src", "/w/app"), ("/src/sub", to)], &["/w"])).is_err());
        }
    }

    #[test]
    fn no_link_lies_in_a_mount() {
        assert!(settle(&mut mounts(&[("/store/src", "/w/app")], &["/store"])).is_err());
        assert!(settle(&mut mounts(&[("/store", "/w/app")], &["/storehouse"])).is_ok());
        let mut some = mounts(&[("/tmp/src", "/w/app")], &[]);
        some.tmpfs.insert("/tmp".to_owned(), String::new());
        assert!(settle(&mut some).is_err());
    }
}
