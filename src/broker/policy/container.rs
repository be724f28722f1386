//! What a job may do to its containers once they are there (note 3.2).

use serde_json::{Map, json};

use super::{
    Case, Judged, allow, check_name, delete, flag, get, json, limits, pairs, plain, post, top,
};
use crate::broker::outgoing::{Answer, Kind, Note, OutBody, Outgoing, Patience, Shape};
use crate::broker::refusal::Refusal;
use crate::broker::request::Method;
use crate::broker::request::action::{ArchivePut, Attach, ContainerAction, Logs};
use crate::broker::request::exec::Update;

pub(super) fn act(case: Case<'_>, container: &str, action: &ContainerAction) -> Judged {
    let id = case.view.container(container)?;
    let at = |what: &str| format!("/containers/{id}/{what}");
    let outgoing = match action {
        ContainerAction::Inspect { size } => {
            Outgoing { query: pairs([("size", flag(*size))]), ..get(at("json"), Shape::Container) }
        }
        ContainerAction::Logs(logs) => self::logs(at("logs"), logs),
        ContainerAction::Top { arguments } => self::top(at("top"), arguments.as_deref())?,
        ContainerAction::Stats { stream, one_shot } => stats(at("stats"), *stream, *one_shot),
        ContainerAction::Changes => get(at("changes"), Shape::Plain),
        ContainerAction::Export => relayed(plain(Method::Get, at("export"))),
        ContainerAction::ArchiveStat { path } => archive(Method::Head, at("archive"), path)?,
        ContainerAction::ArchiveGet { path } => archive(Method::Get, at("archive"), path)?,
        ContainerAction::ArchivePut(put) => archive_put(at("archive"), put)?,
        ContainerAction::Start => started(post(at("start"))),
        ContainerAction::Stop { signal, seconds } => {
            stopped(post(at("stop")), signal.as_ref(), *seconds)?
        }
        ContainerAction::Restart { signal, seconds } => {
            stopped(post(at("restart")), signal.as_ref(), *seconds)?
        }
        ContainerAction::Kill { signal } => stopped(post(at("kill")), signal.as_ref(), None)?,
        ContainerAction::Pause => post(at("pause")),
        ContainerAction::Unpause => post(at("unpause")),
        ContainerAction::Resize { height, width } => resize(at("resize"), *height, *width),
        ContainerAction::Wait { condition } => wait(at("wait"), condition.as_deref())?,
        ContainerAction::Rename { name } => rename(case, &id, name)?,
        ContainerAction::Update(update) => self::update(case, at("update"), update)?,
        ContainerAction::Attach(asked) => attach(at("attach"), *asked),
        ContainerAction::Exec(exec) => return super::exec::create(case, &id, exec),
        ContainerAction::Remove { volumes, force } => remove(&id, *volumes, *force),
    };
    Ok(allow(outgoing))
}

pub(super) fn remove(id: &str, volumes: bool, force: bool) -> Outgoing {
    Outgoing {
        query: pairs([("v", flag(volumes)), ("force", flag(force))]),
        notes: vec![Note::Removed { kind: Kind::Container, id: id.to_owned() }],
        // A container that does not want to end takes its time.
        patience: Patience::Job,
        ..delete(format!("/containers/{id}"))
    }
}

fn relayed(outgoing: Outgoing) -> Outgoing {
    Outgoing { answer: Answer::Relay, patience: Patience::Job, ..outgoing }
}

fn started(outgoing: Outgoing) -> Outgoing {
    Outgoing { patience: Patience::Job, ..outgoing }
}

fn logs(path: String, asked: &Logs) -> Outgoing {
    relayed(Outgoing {
        query: pairs([
            ("follow", flag(asked.follow)),
            ("stdout", flag(asked.stdout)),
            ("stderr", flag(asked.stderr)),
            ("timestamps", flag(asked.timestamps)),
            ("since", asked.since.clone()),
            ("until", asked.until.clone()),
            ("tail", asked.tail.clone()),
        ]),
        ..plain(Method::Get, path)
    })
}

fn top(path: String, given: Option<&str>) -> Result<Outgoing, Refusal> {
    let query = pairs([("ps_args", given.map(top::arguments).transpose()?)]);
    Ok(Outgoing { query, ..get(path, Shape::Plain) })
}

fn stats(path: String, stream: bool, one_shot: bool) -> Outgoing {
    let query = pairs([
        ("stream", Some(u8::from(stream).to_string())),
        ("one-shot", flag(one_shot && !stream)),
    ]);
    relayed(Outgoing { query, ..plain(Method::Get, path) })
}

/// Kernel interfaces are no files to be copied.
fn check_archive_path(path: &str) -> Result<(), Refusal> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let kernel = matches!(parts.first(), Some(&("proc" | "sys")));
    if kernel || path.len() > 4096 {
        let message = "nothing is copied out of or into /proc and /sys";
        return Err(Refusal::forbidden("archive", message));
    }
    Ok(())
}

fn archive(method: Method, at: String, path: &str) -> Result<Outgoing, Refusal> {
    check_archive_path(path)?;
    let query = vec![("path", path.to_owned())];
    Ok(relayed(Outgoing { query, ..plain(method, at) }))
}

fn archive_put(at: String, put: &ArchivePut) -> Result<Outgoing, Refusal> {
    check_archive_path(&put.path)?;
    Ok(Outgoing {
        query: pairs([
            ("path", Some(put.path.clone())),
            ("noOverwriteDirNonDir", flag(put.no_overwrite)),
            ("copyUIDGID", flag(put.copy_owner)),
        ]),
        body: OutBody::Archive,
        patience: Patience::Job,
        ..plain(Method::Put, at)
    })
}

pub(super) fn check_signal(signal: Option<&String>) -> Result<(), Refusal> {
    let Some(signal) = signal else { return Ok(()) };
    let bare = signal.strip_prefix("SIG").unwrap_or(signal);
    let named = (1..=10).contains(&bare.len())
        && bare.bytes().all(|byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"+-".contains(&byte)
        });
    named.then_some(()).ok_or_else(|| Refusal::malformed("signal", "signal is no name of a signal"))
}

fn stopped(
    outgoing: Outgoing,
    signal: Option<&String>,
    seconds: Option<i64>,
) -> Result<Outgoing, Refusal> {
    check_signal(signal)?;
    Ok(Outgoing {
        query: pairs([
            ("signal", signal.cloned()),
            ("t", seconds.map(|seconds| seconds.clamp(-1, 3600).to_string())),
        ]),
        patience: Patience::Job,
        ..outgoing
    })
}

pub(super) fn resize(path: String, height: Option<u16>, width: Option<u16>) -> Outgoing {
    let number = |size: Option<u16>| Some(size.unwrap_or_default().to_string());
    Outgoing { query: pairs([("h", number(height)), ("w", number(width))]), ..post(path) }
}

fn wait(path: String, condition: Option<&str>) -> Result<Outgoing, Refusal> {
    if !matches!(condition, None | Some("not-running" | "next-exit" | "removed")) {
        let message = "condition is not-running, next-exit or removed";
        return Err(Refusal::malformed("wait", message));
    }
    // Answers its head at once and its body when the container has ended, so it is passed on as it comes:
    // a number is all that is in it.
    let query = pairs([("condition", condition.map(str::to_owned))]);
    Ok(relayed(Outgoing { query, ..post(path) }))
}

fn rename(case: Case<'_>, id: &str, name: &str) -> Result<Outgoing, Refusal> {
    let name = name.trim_start_matches('/');
    check_name(name)?;
    Ok(Outgoing {
        query: vec![("name", case.view.daemon_name(name))],
        notes: vec![Note::Renamed { id: id.to_owned(), name: name.to_owned() }],
        ..post(format!("/containers/{id}/rename"))
    })
}

/// Only downwards: never above what the job may have.
fn update(case: Case<'_>, path: String, asked: &Update) -> Result<Outgoing, Refusal> {
    let mut body = Map::new();
    limits::write(case, &asked.limits, &mut body)?;
    // What an update may say of these, a create has said.
    for key in ["CgroupParent", "ShmSize", "Ulimits", "OomScoreAdj"] {
        body.remove(key);
    }
    Ok(Outgoing { body: json(&json!(body)), ..post(path) })
}

fn attach(path: String, asked: Attach) -> Outgoing {
    Outgoing {
        query: pairs([
            ("logs", flag(asked.logs)),
            ("stream", flag(asked.stream)),
            ("stdin", flag(asked.stdin)),
            ("stdout", flag(asked.stdout)),
            ("stderr", flag(asked.stderr)),
        ]),
        answer: Answer::Hijack,
        patience: Patience::Job,
        ..post(path)
    }
}
