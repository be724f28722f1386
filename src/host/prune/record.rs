//! Which pipeline an image is of, and which pipelines are under way, by the ledger: jobs with a brokered socket
//! have what they make written down there. It plans nothing; without a ledger, labels and names are all there is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::host::ledger::Ledger;
use crate::host::ledger::history::Entry;
use crate::host::ledger::image::ImageEntry;
use crate::plan::prune::{Pipeline, Seen};
use crate::world::unix;

/// For so long after its last job a pipeline may have another one to come.
const UNDER_WAY: Duration = Duration::from_mins(15);

/// Tells of the images that are there whose they are, and who may need some yet. The last pipeline that made one
/// has it.
pub fn add(seen: &mut Seen, ledger: &Ledger) {
    // A ledger that cannot be read is one that is not there.
    let entries = ledger.of_kinds(&["image", "started", "finished", "pruning"]).unwrap_or_default();
    let told = |one: &&Entry| one.event != "image";
    seen.recent = under_way(entries.iter().filter(told), seen.now);
    let made: BTreeMap<String, Pipeline> =
        entries.iter().filter_map(made).flat_map(by_name).collect();
    for image in &mut seen.images {
        let names = [&image.id].into_iter().chain(&image.digests);
        if let Some(pipeline) = names.filter_map(|name| made.get(name)).next_back() {
            image.pipeline = Some(pipeline.clone());
        }
    }
}

/// Pipelines that had a job not long ago, and have not planned their prune since.
fn under_way<'e>(entries: impl Iterator<Item = &'e Entry>, now: u64) -> BTreeSet<Pipeline> {
    let (mut jobs, mut last) = (BTreeMap::new(), BTreeMap::new());
    for entry in entries {
        let time = humantime::parse_rfc3339(&entry.time).map_or(0, unix);
        match entry.event.as_str() {
            "started" => {
                let pipeline = pipeline(entry);
                jobs.insert(entry.job(), pipeline.clone());
                last.insert(pipeline, time);
            }
            "finished" => {
                let of_pipeline = jobs.get(entry.job()).and_then(|pipeline| last.get_mut(pipeline));
                if let Some(last) = of_pipeline {
                    *last = time;
                }
            }
            _ => {
                let policy = super::read(entry).map(|plan| plan.policy).unwrap_or_default();
                last.retain(|one, _| (&one.project, one.id) != (&policy.project, policy.pipeline));
            }
        }
    }
    let recent = |time: &u64| time.saturating_add(UNDER_WAY.as_secs()) > now;
    last.into_iter().filter(|(_, time)| recent(time)).map(|(pipeline, _)| pipeline).collect()
}

fn pipeline(started: &Entry) -> Pipeline {
    let field = |name: &str| started.fields.get(name);
    let text = |name: &str| field(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = field("pipeline").and_then(Value::as_u64).unwrap_or_default();
    Pipeline { project: text("project"), id, commit: text("commit") }
}

/// What was pulled is not the job's making.
fn made(entry: &Entry) -> Option<ImageEntry> {
    ImageEntry::read(entry).filter(|image| matches!(image.deed.as_str(), "built" | "pushed"))
}

/// Everything by which such an image is known.
fn by_name(made: ImageEntry) -> impl Iterator<Item = (String, Pipeline)> {
    let pipeline = Pipeline { project: made.project, id: made.pipeline, commit: String::new() };
    made.images.into_iter().chain(made.digest).map(move |name| (name, pipeline.clone()))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::broker::outgoing::Deed;
    use crate::host::ledger::Event;
    use crate::plan::prune::{LocalImage, PrunePlan, PrunePolicy};

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
    fn a_pipeline_is_under_way_until_it_delivers_or_has_no_job_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(directory.path());
        let at = |minutes| SystemTime::UNIX_EPOCH + Duration::from_mins(minutes);
        let started = |job, pipeline| Event::Started {
            job,
            id: 1,
            name: "build",
            project: "team/app",
            pipeline,
            commit: "c",
        };
        // The second one ran for long, the third has delivered, the fourth ended long ago.
        for (minute, job, pipeline) in [(0, "1-a", 1), (1, "2-a", 2), (2, "3-a", 3), (3, "4-a", 4)]
        {
            ledger.append(&started(job, pipeline), at(minute)).unwrap();
        }
        let policy =
            PrunePolicy { project: "team/app".into(), pipeline: 3, ..PrunePolicy::default() };
        let plan = crate::host::prune::Pending::new("3-b", &policy, &PrunePlan::default());
        ledger.append(&plan.event(), at(20)).unwrap();
        for (minute, job) in [(4, "4-a"), (19, "2-a"), (21, "gone")] {
            ledger.append(&Event::Finished { job, status: "success" }, at(minute)).unwrap();
        }
        ledger.append(&started("1-b", 1), at(22)).unwrap();
        let mut seen = Seen { now: unix(at(30)), ..Seen::default() };
        add(&mut seen, &ledger);
        let ids: Vec<u64> = seen.recent.iter().map(|one| one.id).collect();
        assert_eq!(ids, [1, 2]);
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
