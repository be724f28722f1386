//! What a job may do with images (note 3.6): look at them, name them, push and remove them, save and make them.

use serde_json::json;

use super::pull::{check_pull, pull_reference};
use super::visible::{by_id, is_own, read, seen, target, usable};
use super::{Case, Decision, Judged, Reply, allow, flag, get, json, pairs, plain, post};
use crate::broker::name::ImageName;
use crate::broker::outgoing::{Answer, Deed, LoginFor, Note, Outgoing, Patience, Shape};
use crate::broker::refusal::{Absent, Refusal};
use crate::broker::request::Method;
use crate::broker::request::exec::Commit;
use crate::broker::request::image::ImageAction;

pub(super) fn act(case: Case<'_>, image: &str, action: &ImageAction) -> Judged {
    match action {
        ImageAction::Inspect => {
            let id = usable(case, image)?;
            let notes = seen(&id);
            Ok(allow(Outgoing { notes, ..get(format!("/images/{id}/json"), Shape::Image) }))
        }
        ImageAction::History => {
            let id = usable(case, image)?;
            let notes = seen(&id);
            Ok(allow(Outgoing { notes, ..get(format!("/images/{id}/history"), Shape::History) }))
        }
        ImageAction::Distribution => {
            let name = read(image)?;
            check_pull(case, &name)?;
            let reference = name.reference();
            Ok(allow(Outgoing {
                login: LoginFor::Image(reference.clone()),
                patience: Patience::Job,
                ..get(format!("/distribution/{reference}/json"), Shape::Plain)
            }))
        }
        ImageAction::Tag { repository, tag } => self::tag(case, image, repository, tag.as_deref()),
        ImageAction::Push { tag } => push(case, image, tag.as_deref()),
        ImageAction::Remove { no_prune, .. } => remove(case, image, *no_prune),
    }
}

fn tag(case: Case<'_>, image: &str, repository: &str, tag: Option<&str>) -> Judged {
    let source = usable(case, image)?;
    let written = tag.map_or_else(|| repository.to_owned(), |tag| format!("{repository}:{tag}"));
    let target = target(case, &written)?;
    Ok(allow(Outgoing {
        query: pairs([("repo", Some(target.repository.clone())), ("tag", target.tag.clone())]),
        notes: vec![Note::Images {
            references: vec![target.reference()],
            deed: Some(Deed::Tagged),
        }],
        ..post(format!("/images/{source}/tag"))
    }))
}

fn push(case: Case<'_>, image: &str, tag: Option<&str>) -> Judged {
    let name = pull_reference(image, tag)?;
    let forbidden = |message: String| Err(Refusal::forbidden("push", message));
    if !is_own(case, &name) || name.digest.is_some() {
        return forbidden(match &case.rules.repository {
            Some(repository) => {
                format!("a job pushes tags of its project's own repository, {repository}")
            }
            None => {
                "nobody told which repository is this project's (repository in [broker])".to_owned()
            }
        });
    }
    let tag = name.tag.clone().unwrap_or_default();
    if !case.rules.push_tags.matches(&tag) {
        let written = case.rules.push_tags.written().join(", ");
        let allowed = if written.is_empty() { "none".to_owned() } else { written };
        return forbidden(format!(
            "a job of this stage may push these tags: {allowed} (push in [broker])"
        ));
    }
    Ok(allow(Outgoing {
        query: vec![("tag", tag)],
        login: LoginFor::Image(name.reference()),
        patience: Patience::Job,
        answer: Answer::Documents(Shape::Progress),
        notes: vec![Note::Pushed { reference: name.reference() }],
        ..post(format!("/images/{}/push", name.repository))
    }))
}

/// A name that the job gave goes; one that came from a registry is forgotten, and its image stays on the
/// host for others.
fn remove(case: Case<'_>, image: &str, no_prune: bool) -> Judged {
    if by_id(case, image).is_some() {
        let message = "images are removed by name; those without one go when the job is over";
        return Err(Refusal::forbidden("image-remove", message));
    }
    let name = read(image)?;
    let own = &case.view.own.images;
    let local = case.view.local_image(&name).reference();
    let reference = name.reference();
    let known = [local, reference].into_iter().find(|reference| own.contains_key(reference));
    let Some(known) = known else {
        return Err(Refusal::absent(Absent::Image, &name.familiar()));
    };
    let notes = vec![Note::Untagged { reference: known.clone() }];
    let is_local = known.starts_with(&case.view.local_prefix());
    if is_local || is_own(case, &name) {
        return Ok(allow(Outgoing {
            query: pairs([("noprune", flag(no_prune))]),
            notes,
            answer: Answer::Document(Shape::Progress),
            ..plain(Method::Delete, format!("/images/{known}"))
        }));
    }
    let untagged = json!([{"Untagged": name.familiar()}]);
    Ok(Decision::Reply(Reply { notes, ..Reply::json(&untagged) }))
}

pub(super) fn save(case: Case<'_>, images: &[String]) -> Judged {
    if images.is_empty() || images.len() > 32 {
        return Err(Refusal::malformed("query", "names are 1 to 32 images"));
    }
    let names: Result<Vec<_>, _> =
        images.iter().map(|image| Ok(("names", usable(case, image)?))).collect();
    Ok(allow(Outgoing {
        query: names?,
        answer: Answer::Relay,
        patience: Patience::Job,
        ..plain(Method::Get, "/images/get".to_owned())
    }))
}

pub(super) fn commit(case: Case<'_>, commit: &Commit) -> Judged {
    let container = case.view.container(&commit.container)?;
    let written = commit.repository.as_ref().map(|repository| match &commit.tag {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.clone(),
    });
    let target = written.map(|written| target(case, &written)).transpose()?;
    let mut body = super::create::process(&commit.process)?;
    body.insert("Labels".to_owned(), json!(commit.process.labels));
    let references = target.iter().map(ImageName::reference).collect();
    Ok(allow(Outgoing {
        query: pairs([
            ("container", Some(container)),
            ("comment", commit.comment.clone()),
            ("author", commit.author.clone()),
            ("pause", Some(u8::from(commit.pause).to_string())),
        ]),
        body: json(&serde_json::Value::Object(body)),
        // Its name comes with `committed`, once the labels of ours that it has from its container are gone.
        notes: vec![Note::Images { references, deed: Some(Deed::Built) }],
        patience: Patience::Job,
        ..post("/commit")
    }))
}
