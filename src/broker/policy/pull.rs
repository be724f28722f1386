//! Pulls (note 3.6): from where the operator allows, with the job's own login, so that nobody gets by name what
//! another project pulled with its own.

use super::visible::{by_id, is_allowed, is_own, is_shared, read};
use super::{Case, Judged, allow, pairs, post};
use crate::broker::build::{Needed, When};
use crate::broker::name::ImageName;
use crate::broker::outgoing::{Answer, Deed, LoginFor, Note, Outgoing, Patience, Shape};
use crate::broker::refusal::Refusal;
use crate::broker::view::JobView;
use crate::plan::BrokerPlan;

/// A name and the tag or digest that goes with it, in one.
pub(super) fn pull_reference(image: &str, tag: Option<&str>) -> Result<ImageName, Refusal> {
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
    if is_allowed(case, name) {
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
