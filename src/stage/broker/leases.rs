//! Leases on what a stage's scripts pulled, built or tagged through the socket, until the stage ends: between
//! their own `docker pull` and `docker run` nothing else keeps a prune or a `gc` of another job from it.
//!
//! From one stage to the next it is the ledger's record of the same, by which `min_age` counts.

use std::collections::BTreeMap;
use std::path::Path;

use crate::broker::record::ImageRecord;
use crate::host::lease::{Held, Leases};

/// Most leases of a stage; each is an open file.
const MOST: usize = 256;

/// The leases of one stage.
#[derive(Debug)]
pub(super) struct OfStage {
    leases: Leases,
    held: BTreeMap<String, Held>,
}

impl OfStage {
    /// None yet; nothing is touched.
    pub(super) fn in_dir(run_dir: &Path) -> Self {
        Self { leases: Leases::at(run_dir), held: BTreeMap::new() }
    }

    /// Holds all that a request was about, by its names and its ids.
    pub(super) async fn hold(&mut self, record: &ImageRecord) {
        for image in record.references.iter().chain(&record.images) {
            if self.held.len() >= MOST || self.held.contains_key(image) {
                continue;
            }
            // Where there can be no lease the job goes on without: `min_age` counts all the same.
            if let Ok(held) = self.leases.hold(image).await {
                self.held.insert(image.clone(), held);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::outgoing::Deed;

    fn record(reference: &str) -> ImageRecord {
        let images = vec![format!("sha256:{reference}")];
        ImageRecord {
            deed: Deed::Pulled,
            references: vec![reference.to_owned()],
            images,
            digest: None,
        }
    }

    #[tokio::test]
    async fn what_a_stage_pulled_is_held_until_it_ends_and_no_more_than_so_much() {
        let run_dir = tempfile::tempdir().unwrap();
        let leases = Leases::at(run_dir.path());
        let mut stage = OfStage::in_dir(run_dir.path());
        stage.hold(&record("reg.example/app:1")).await;
        stage.hold(&record("reg.example/app:1")).await;
        assert_eq!(leases.held().unwrap().len(), 2);
        assert!(leases.seize(&["reg.example/app:1"]).unwrap().is_none());
        for number in 0..MOST {
            stage.hold(&record(&format!("reg.example/app:n{number}"))).await;
        }
        assert_eq!(leases.held().unwrap().len(), MOST);
        drop(stage);
        assert!(leases.seize(&["reg.example/app:1"]).unwrap().is_some());
    }
}
