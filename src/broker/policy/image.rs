//! Images and registries (note 3.6): what a job may use, what it may name, what it may push.

use serde_json::json;

use super::{Case, Decision, Judged, Reply, allow, flag, get, json, pairs, plain, post};
use crate::broker::build::{Needed, When};
use crate::broker::name::{ImageName, is_hex};
use crate::broker::outgoing::{Answer, Deed, LoginFor, Note, Outgoing, Patience, Shape};
use crate::broker::refusal::{Absent, Refusal};
use crate::broker::request::Method;
use crate::broker::request::exec::Commit;
use crate::broker::request::image::ImageAction;
use crate::broker::view::JobView;
use crate::plan::BrokerPlan;

fn read(text: &str) -> Result<ImageName, Refusal> {
    ImageName::read(text).map(ImageName::or_latest).ok_or_else(|| {
        Refusal::malformed("image-name", "this is no name of an image, as Docker writes them")
    })
}

/// What names an image at the daemon, for one that the job may use: its id where that is known, so that
/// nobody can put another image under its name meanwhile.
///
/// # Errors
/// As the daemon where there is none; one of others looks the same.
pub(super) fn usable(case: Case<'_>, given: &str) -> Result<String, Refusal> {
    if let Some(id) = by_id(case, given) {
        return Ok(id);
    }
    let name = read(given)?;
    let own = &case.view.own.images;
    let local = case.view.local_image(&name).reference();
    if let Some(id) = own.get(&local).or_else(|| own.get(&name.reference())) {
        return Ok(id.clone());
    }
    if is_own(case, &name) || is_shared(case, &name) {
        return Ok(name.reference());
    }
    Err(Refusal::absent(Absent::Image, &name.familiar()))
}

/// An image that was named for the first time is the job's to know from now on.
pub(super) fn seen(reference: &str) -> Vec<Note> {
    let is_id = reference.starts_with("sha256:");
    let note = || Note::Images { references: vec![reference.to_owned()], deed: None };
    (!is_id).then(note).into_iter().collect()
}

fn by_id(case: Case<'_>, given: &str) -> Option<String> {
    let bare = given.strip_prefix("sha256:").unwrap_or(given);
    let long_enough = is_hex(bare) && (bare.len() >= 12 || given.len() > bare.len());
    let begins = |id: &&String| id.strip_prefix("sha256:").is_some_and(|hex| hex.starts_with(bare));
    let mut found = case.view.own.image_ids.iter().filter(|id| long_enough && begins(id));
    match (found.next(), found.next()) {
        (Some(id), None) => Some(id.clone()),
        _ => None,
    }
}

/// Whether a name lies in the project's own repository.
pub(super) fn is_own(case: Case<'_>, name: &ImageName) -> bool {
    case.rules.repository.as_deref().is_some_and(|repository| name.is_below(repository))
}

fn is_shared(case: Case<'_>, name: &ImageName) -> bool {
    let shared = &case.rules.shared_images;
    shared.matches(&name.familiar()) || shared.matches(&name.reference())
}

/// Whether an image may be pulled.
pub(super) fn is_allowed(case: Case<'_>, name: &ImageName) -> bool {
    let allowed = &case.rules.allowed_images;
    is_own(case, name)
        || is_shared(case, name)
        || [name.familiar(), name.reference(), name.repository.clone()]
            .iter()
            .any(|written| allowed.matches(written))
}

/// The name under which a new image lies: in the project's own repository as it is written, without a
/// registry for this job alone.
pub(super) fn target(case: Case<'_>, given: &str) -> Result<ImageName, Refusal> {
    let name = read(given)?;
    if name.digest.is_some() {
        return Err(Refusal::malformed("image-name", "a new name of an image has no digest"));
    }
    if is_own(case, &name) {
        return Ok(name);
    }
    // Docker's command line writes docker.io where nobody wrote a registry.
    let local = ["docker.io/", "localhost/"].iter().any(|host| name.repository.starts_with(host));
    if !local {
        let message = match &case.rules.repository {
            Some(repository) => format!(
                "images are named {repository}[/PATH]:TAG, or without a registry for this job alone"
            ),
            None => "nobody told which repository is this project's; images are named without a \
                     registry, for this job alone"
                .to_owned(),
        };
        return Err(Refusal::forbidden("image-name", message));
    }
    Ok(case.view.local_image(&name))
}

fn pull_reference(image: &str, tag: Option<&str>) -> Result<ImageName, Refusal> {
    let text = match tag {
        Some(digest) if digest.starts_with("sha256:") => format!("{image}@{digest}"),
        Some(tag) if !image.contains('@') => {
            let bare = ImageName::read(image).filter(|name| name.tag.is_some());
            let end = bare.and_then(|_| image.rfind(':')).unwrap_or(image.len());
            format!("{}:{tag}", &image[..end])
        }
        _ => image.to_owned(),
    };
    read(&text)
}

pub(super) fn pull(
    case: Case<'_>,
    image: &str,
    tag: Option<&str>,
    platform: Option<&str>,
) -> Judged {
    let name = pull_reference(image, tag)?;
    check_pull(case, &name)?;
    Ok(allow(pulled(&name, platform)))
}

pub(super) fn check_pull(case: Case<'_>, name: &ImageName) -> Result<(), Refusal> {
    let local = name.repository.starts_with(&case.view.local_prefix());
    if is_allowed(case, name) && !local {
        return Ok(());
    }
    let message =
        "this image is not among those that the job may pull (allowed_images in [broker])";
    Err(Refusal::forbidden("registry", message))
}

/// What a build needs of an image: which it is, and whether it is pulled. One that another project may
/// have pulled with its own login is always pulled with the job's.
pub(in crate::broker) fn needed(
    (view, rules): (&JobView, &BrokerPlan),
    image: &str,
    (pull, platform): (bool, Option<&str>),
) -> Result<Needed, Refusal> {
    let case = Case { view, rules };
    let own = |reference: String| Needed { reference, pull: None, when: When::Absent };
    if let Some(id) = by_id(case, image) {
        return Ok(own(id));
    }
    let name = read(image)?;
    if let Some(id) = view.own.images.get(&view.local_image(&name).reference()) {
        return Ok(own(id.clone()));
    }
    check_pull(case, &name)?;
    let known = view.own.images.get(&name.reference());
    let visible = known.is_some() || is_own(case, &name) || is_shared(case, &name);
    let when = if pull || !visible { When::Always } else { When::Absent };
    let reference = match (known, when) {
        (Some(id), When::Absent) => id.clone(),
        _ => name.reference(),
    };
    Ok(Needed { reference, pull: Some(pulled(&name, platform)), when })
}

/// A pull with the job's own login.
fn pulled(name: &ImageName, platform: Option<&str>) -> Outgoing {
    let reference = name.reference();
    let version = name.digest.clone().or_else(|| name.tag.clone());
    Outgoing {
        query: pairs([
            ("fromImage", Some(name.repository.clone())),
            ("tag", version),
            ("platform", platform.map(str::to_owned)),
        ]),
        login: LoginFor::Image(reference.clone()),
        patience: Patience::Job,
        answer: Answer::Documents(Shape::Progress),
        notes: vec![Note::Images { references: vec![reference], deed: Some(Deed::Pulled) }],
        ..post("/images/create")
    }
}

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
