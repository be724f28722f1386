//! Which pipeline an image is of, by the ledger: jobs with a brokered socket have it written down there. It
//! plans nothing; without a ledger, labels and names are all there is.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::host::ledger::Ledger;
use crate::host::ledger::history::Entry;
use crate::plan::prune::{Pipeline, Seen};

/// What an `image` event tells of images that a job made or pushed.
#[derive(Deserialize)]
struct Made {
    project: String,
    pipeline: u64,
    deed: String,
    images: Vec<String>,
    #[serde(default)]
    digest: Option<String>,
}

/// Tells of the images that are there whose they are. The last pipeline that made one has it.
pub fn add(seen: &mut Seen, ledger: &Ledger) {
    // A ledger that cannot be read is one that is not there.
    let entries = ledger.of_kinds(&["image"]).unwrap_or_default();
    let made: BTreeMap<String, Pipeline> =
        entries.iter().filter_map(read).flat_map(by_name).collect();
    for image in &mut seen.images {
        let names = [&image.id].into_iter().chain(&image.digests);
        if let Some(pipeline) = names.filter_map(|name| made.get(name)).next_back() {
            image.pipeline = Some(pipeline.clone());
        }
    }
}

fn read(entry: &Entry) -> Option<Made> {
    let made = Made::deserialize(Value::Object(entry.fields.clone())).ok()?;
    matches!(made.deed.as_str(), "built" | "pushed").then_some(made)
}

/// Everything by which such an image is known.
fn by_name(made: Made) -> impl Iterator<Item = (String, Pipeline)> {
    let pipeline = Pipeline { project: made.project, id: made.pipeline, commit: String::new() };
    made.images.into_iter().chain(made.digest).map(move |name| (name, pipeline.clone()))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::broker::outgoing::Deed;
    use crate::host::ledger::Event;
    use crate::plan::prune::LocalImage;

    fn event<'a>(
        pipeline: u64,
        deed: Deed,
        images: &'a [String],
        digest: Option<&'a str>,
    ) -> Event<'a> {
        Event::Image {
            job: "1-a",
            project: "team/app",
            pipeline,
            deed,
            references: &[],
            images,
            digest,
        }
    }

    #[test]
    fn an_image_is_of_the_pipeline_that_made_it_last_and_not_of_one_that_pulled_it() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(directory.path());
        let ids = |ids: &[&str]| ids.iter().map(|id| format!("sha256:{id}")).collect::<Vec<_>>();
        let (both, first, pulled) = (ids(&["a", "b"]), ids(&["b"]), ids(&["p"]));
        for event in [
            event(1, Deed::Built, &both, None),
            event(2, Deed::Built, &first, None),
            event(3, Deed::Pulled, &pulled, Some("r.example/team/app@sha256:d")),
            event(4, Deed::Pushed, &[], Some("r.example/team/app@sha256:e")),
        ] {
            ledger.append(&event, SystemTime::UNIX_EPOCH).unwrap();
        }
        let image = |id: &str, digest: &str| LocalImage {
            id: format!("sha256:{id}"),
            digests: vec![format!("r.example/team/app@sha256:{digest}")],
            ..LocalImage::default()
        };
        let images =
            [("a", "x"), ("b", "x"), ("p", "d"), ("q", "e")].map(|(id, digest)| image(id, digest));
        let mut seen = Seen { images: images.into(), ..Seen::default() };
        add(&mut seen, &ledger);
        let of = |image: &LocalImage| image.pipeline.as_ref().map(|pipeline| pipeline.id);
        assert_eq!(
            seen.images.iter().map(of).collect::<Vec<_>>(),
            [Some(1), Some(2), None, Some(4)]
        );
    }

    #[test]
    fn without_a_ledger_labels_tell() {
        let labelled = Pipeline { project: "team/app".into(), id: 9, commit: String::new() };
        let image = LocalImage { pipeline: Some(labelled.clone()), ..LocalImage::default() };
        let mut seen = Seen { images: vec![image], ..Seen::default() };
        add(&mut seen, &Ledger::at(std::path::Path::new("/nowhere")));
        assert_eq!(seen.images[0].pipeline, Some(labelled));
    }
}
