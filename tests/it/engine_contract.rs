//! The contract of the engine port, held against the real daemon and against the stand-in alike, so that
//! the stand-in cannot drift from what it stands in for.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt;
use longshore::engine::{Deadlines, DockerEngine, Engine};
use longshore::plan::container::{ContainerPlan, Labels};

use crate::support::container::plain;
use crate::support::names;

mod scenarios;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);
const BUSYBOX: &str = "longshore-test/busybox:1";

/// One test's objects on one engine: all carry its label, and names that begin with its own.
struct Ground<'a, E> {
    engine: &'a E,
    name: String,
    labels: Labels,
    filter: String,
}

impl<'a, E: Engine> Ground<'a, E> {
    fn new(engine: &'a E) -> Self {
        let name = names::unique();
        let (labels, filter) = names::label(&name);
        Self { engine, name, labels, filter }
    }

    fn named(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    fn container(&self, part: &str, command: &[&str]) -> ContainerPlan {
        ContainerPlan {
            name: self.named(part),
            image: BUSYBOX.to_owned(),
            entrypoint: command.iter().map(ToString::to_string).collect(),
            user: "0:0".to_owned(),
            env: [("GREETING".to_owned(), "good\nday=1".to_owned())].into(),
            capabilities: vec!["CHOWN".to_owned()],
            security: vec!["no-new-privileges".to_owned()],
            labels: self.labels.clone(),
            ..plain()
        }
    }

    /// Removes all that the test made, and says what is left.
    async fn sweep(&self) -> (usize, usize, usize) {
        for container in self.engine.containers(Some(&self.filter)).await.unwrap() {
            self.engine.remove_container(&container.name).await.unwrap();
        }
        for network in self.engine.networks(Some(&self.filter)).await.unwrap() {
            self.engine.remove_network(&network.name).await.unwrap();
        }
        for volume in self.engine.volumes(&self.filter).await.unwrap() {
            self.engine.remove_volume(&volume.name).await.unwrap();
        }
        (
            self.engine.containers(Some(&self.filter)).await.unwrap().len(),
            self.engine.networks(Some(&self.filter)).await.unwrap().len(),
            self.engine.volumes(&self.filter).await.unwrap().len(),
        )
    }
}

/// Runs a scenario, and removes what it made also where it failed.
async fn on_ground<E: Engine>(engine: &E, scenario: impl AsyncFnOnce(&E, &Ground<'_, E>)) {
    let ground = Ground::new(engine);
    let done = AssertUnwindSafe(scenario(engine, &ground)).catch_unwind().await;
    assert_eq!(ground.sweep().await, (0, 0, 0), "containers, networks and volumes left");
    done.unwrap_or_else(|panic| resume_unwind(panic));
}

fn docker() -> DockerEngine {
    DockerEngine::new(&crate::support::real::docker_host(), Deadlines::default()).unwrap()
}

mod the_daemon {
    use super::{docker, names, on_ground, scenarios};

    #[tokio::test]
    async fn keeps_a_containers_life() {
        on_ground(&docker(), scenarios::container_life).await;
    }

    #[tokio::test]
    async fn lets_attach_before_start() {
        on_ground(&docker(), scenarios::attach_before_start).await;
    }

    #[tokio::test]
    async fn tells_taken_names_and_absences() {
        on_ground(&docker(), scenarios::names_and_absences).await;
    }

    #[tokio::test]
    async fn runs_commands_in_what_runs() {
        on_ground(&docker(), scenarios::commands).await;
    }

    #[tokio::test]
    async fn keeps_networks_in_use() {
        on_ground(&docker(), scenarios::networks).await;
    }

    #[tokio::test]
    async fn keeps_volumes_in_use() {
        on_ground(&docker(), scenarios::volumes).await;
    }

    #[tokio::test]
    async fn keeps_images_in_use() {
        let image = names::OwnImage::make();
        on_ground(&docker(), async |engine, ground| {
            scenarios::images(engine, ground, &image.tag).await;
        })
        .await;
    }
}

mod the_stand_in {
    use longshore::engine::ImageFacts;

    use super::{BUSYBOX, on_ground, scenarios};
    use crate::support::fake_engine::FakeEngine;

    fn engine() -> FakeEngine {
        let facts = |id: &str| ImageFacts { id: id.to_owned(), ..ImageFacts::default() };
        let labels = [("longshore.test-images".to_owned(), "1".to_owned())];
        FakeEngine::new().with_image(BUSYBOX, facts("sha256:b"), labels.clone().into()).with_image(
            "own:1",
            facts("sha256:o"),
            labels.into(),
        )
    }

    #[tokio::test]
    async fn keeps_a_containers_life() {
        on_ground(&engine(), scenarios::container_life).await;
    }

    #[tokio::test]
    async fn lets_attach_before_start() {
        on_ground(&engine(), scenarios::attach_before_start).await;
    }

    #[tokio::test]
    async fn tells_taken_names_and_absences() {
        on_ground(&engine(), scenarios::names_and_absences).await;
    }

    #[tokio::test]
    async fn runs_commands_in_what_runs() {
        on_ground(&engine(), scenarios::commands).await;
    }

    #[tokio::test]
    async fn keeps_networks_in_use() {
        on_ground(&engine(), scenarios::networks).await;
    }

    #[tokio::test]
    async fn keeps_volumes_in_use() {
        on_ground(&engine(), scenarios::volumes).await;
    }

    #[tokio::test]
    async fn keeps_images_in_use() {
        on_ground(&engine(), async |engine, ground| {
            scenarios::images(engine, ground, "own:1").await;
        })
        .await;
    }
}
