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
