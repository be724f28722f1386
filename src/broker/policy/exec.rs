//! What a job may run in its containers.

use serde_json::json;

use super::{Case, Judged, allow, get, json, post};
use crate::broker::outgoing::{Answer, Kind, Note, Outgoing, Patience, Shape};
use crate::broker::refusal::Refusal;
use crate::broker::request::action::ExecAction;
use crate::broker::request::exec::ExecCreate;

pub(super) fn create(case: Case<'_>, container: &str, exec: &ExecCreate) -> Judged {
    let most = case.rules.quota.execs;
    if case.view.count(Kind::Exec) >= most {
        let message = format!("a stage has at most {most} exec instances (max_execs in [broker])");
        return Err(Refusal::quota("quota", message));
    }
    let body = json!({
        "Cmd": exec.cmd,
        "Env": exec.env,
        "User": exec.user.clone().unwrap_or_default(),
        "WorkingDir": exec.working_dir.clone().unwrap_or_default(),
        "Tty": exec.tty,
        "AttachStdin": exec.attach_stdin,
        "AttachStdout": exec.attach_stdout,
        "AttachStderr": exec.attach_stderr,
        "Detach": exec.detach,
        "Privileged": false,
    });
    Ok(allow(Outgoing {
        body: json(&body),
        notes: vec![Note::Created { kind: Kind::Exec, name: String::new(), id: None }],
        ..post(format!("/containers/{container}/exec"))
    }))
}

pub(super) fn act(case: Case<'_>, exec: &str, action: ExecAction) -> Judged {
    let id = case.view.exec(exec)?;
    Ok(allow(match action {
        ExecAction::Start(start) => Outgoing {
            body: json(&json!({"Detach": start.detach, "Tty": start.tty})),
            answer: if start.detach { Answer::Document(Shape::Plain) } else { Answer::Hijack },
            patience: Patience::Job,
            ..post(format!("/exec/{id}/start"))
        },
        ExecAction::Resize { height, width } => {
            super::container::resize(format!("/exec/{id}/resize"), height, width)
        }
        ExecAction::Inspect => get(format!("/exec/{id}/json"), Shape::Exec),
    }))
}
