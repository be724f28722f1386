//! Whom stages run as: looks a user specification up in the text of `/etc/passwd` and `/etc/group`,
//! as Docker does. Pure: text in, numbers out.

use super::protocol::{Identity, Refusal};

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    /// Name, where passwd has a line.
    pub(super) user: Option<String>,
    /// Home, where passwd has a line.
    pub(super) home: Option<String>,
}

struct PasswdLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn passwd_lines(passwd: &str) -> impl Iterator<Item = PasswdLine<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(PasswdLine { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    })
}

struct GroupLine<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn group_lines(group: &str) -> impl Iterator<Item = GroupLine<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(GroupLine { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// Resolves an identity.
///
/// A number is always an id, never a name. A named user's supplementary groups count only where no
/// group was given; a number without a passwd line gets group 0, all as Docker has it.
pub(super) fn resolve(identity: &Identity, passwd: &str, group: &str) -> Result<Account, Refusal> {
    let spec = match identity {
        Identity::Image(spec) => spec,
        Identity::Numeric { uid, gid } => return Ok(numeric(*uid, *gid, passwd)),
    };
    let (user, wanted_group) = spec.split_once(':').unwrap_or((spec, ""));
    let user = if user.is_empty() { "0" } else { user };
    let uid: Option<u32> = user.parse().ok();
    let line = passwd_lines(passwd).find(|line| match uid {
        Some(uid) => line.uid == uid,
        None => line.name == user,
    });
    let mut account = match (line, uid) {
        (Some(line), _) => from_line(&line),
        (None, Some(uid)) => Account { uid, gid: 0, groups: Vec::new(), user: None, home: None },
        (None, None) => {
            return Err(Refusal::UnknownUser { user: user.to_owned() });
        }
    };
    if wanted_group.is_empty() {
        account.groups = memberships(account.user.as_deref(), group);
    } else {
        account.gid = group_id(wanted_group, group)?;
    }
    Ok(account)
}

fn numeric(uid: u32, gid: u32, passwd: &str) -> Account {
    let line = passwd_lines(passwd).find(|line| line.uid == uid);
    let (user, home) = line.map(|line| (line.name.to_owned(), line.home.to_owned())).unzip();
    Account { uid, gid, groups: Vec::new(), user, home }
}

fn from_line(line: &PasswdLine<'_>) -> Account {
    Account {
        uid: line.uid,
        gid: line.gid,
        groups: Vec::new(),
        user: Some(line.name.to_owned()),
        home: Some(line.home.to_owned()),
    }
}

fn memberships(user: Option<&str>, group: &str) -> Vec<u32> {
    let Some(user) = user else { return Vec::new() };
    group_lines(group)
        .filter(|line| line.members.split(',').any(|member| member.trim() == user))
        .map(|line| line.gid)
        .collect()
}

fn group_id(wanted: &str, group: &str) -> Result<u32, Refusal> {
    if let Ok(gid) = wanted.parse() {
        return Ok(gid);
    }
    group_lines(group)
        .find(|line| line.name == wanted)
        .map(|line| line.gid)
        .ok_or_else(|| Refusal::UnknownGroup { group: wanted.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# note\nbroken\napp:x:1000:1001:App:/home/app:/bin/sh\n1234:x:77:77::/odd:\n";
    const GROUP: &str =
        "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\ndocker:x:999: app\nnobody:x\n";

    fn image(spec: &str) -> Result<Account, Refusal> {
        resolve(&Identity::Image(spec.to_owned()), PASSWD, GROUP)
    }

    fn account(uid: u32, gid: u32, groups: &[u32], user: Option<(&str, &str)>) -> Account {
        let (user, home) = user.map(|(user, home)| (user.to_owned(), home.to_owned())).unzip();
        Account { uid, gid, groups: groups.to_vec(), user, home }
    }

    #[test]
    fn user_specifications_resolve_as_docker_has_them() {
        let root = Some(("root", "/root"));
        let app = Some(("app", "/home/app"));
        assert_eq!(image(""), Ok(account(0, 0, &[10], root)));
        assert_eq!(image("root"), Ok(account(0, 0, &[10], root)));
        assert_eq!(image("app"), Ok(account(1000, 1001, &[10, 999], app)));
        assert_eq!(image("1000"), Ok(account(1000, 1001, &[10, 999], app)));
        assert_eq!(image("app:docker"), Ok(account(1000, 999, &[], app)));
        assert_eq!(image("1000:5"), Ok(account(1000, 5, &[], app)));
        assert_eq!(image(":wheel"), Ok(account(0, 10, &[], root)));
        assert_eq!(image("4242"), Ok(account(4242, 0, &[], None)));
        assert_eq!(image("1234"), Ok(account(1234, 0, &[], None)), "a number is never a name");
    }

    #[test]
    fn unknown_names_are_refused_by_name() {
        assert_eq!(image("nosuch"), Err(Refusal::UnknownUser { user: "nosuch".into() }));
        assert_eq!(image("app:nosuch"), Err(Refusal::UnknownGroup { group: "nosuch".into() }));
    }

    #[test]
    fn numeric_keeps_its_numbers_and_takes_the_home_of_a_line() {
        let numeric = |uid, gid| resolve(&Identity::Numeric { uid, gid }, PASSWD, GROUP);
        assert_eq!(numeric(1000, 7), Ok(account(1000, 7, &[], Some(("app", "/home/app")))));
        assert_eq!(numeric(5, 6), Ok(account(5, 6, &[], None)));
    }
}
