//! The contract of the engine port, held against the real daemon and against the stand-in alike, so that
//! the stand-in cannot drift from what it stands in for.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use longshore::engine::{Attached, Deadlines, DockerEngine, Engine, Fault, Named, Output, Removed};
use longshore::plan::container::{
    ContainerNetwork, ContainerPlan, Labels, LimitPlan, MountPlan, MountSource,
};
use tokio::io::AsyncWriteExt;

use crate::support::names;

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
        Self {
            engine,
            name,
            labels,
            filter,
        }
    }

    fn named(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    fn container(&self, part: &str, command: &[&str]) -> ContainerPlan {
        ContainerPlan {
            name: self.named(part),
            image: BUSYBOX.to_owned(),
            platform: None,
            entrypoint: command.iter().map(ToString::to_string).collect(),
            user: "0:0".to_owned(),
            env: [("GREETING".to_owned(), "good\nday=1".to_owned())].into(),
            hostname: None,
            network: ContainerNetwork::Named {
                name: "none".to_owned(),
                aliases: Vec::new(),
            },
            mounts: Vec::new(),
            limits: LimitPlan::default(),
            capabilities: vec!["CHOWN".to_owned()],
            security: vec!["no-new-privileges".to_owned()],
            labels: self.labels.clone(),
        }
    }

    /// Removes all that the test made, and says what is left.
    async fn sweep(&self) -> (usize, usize, usize) {
        for container in self.engine.containers(Some(&self.filter)).await.unwrap() {
            self.engine.remove_container(&container.name).await.unwrap();
        }
        for network in self.engine.networks(&self.filter).await.unwrap() {
            self.engine.remove_network(&network.name).await.unwrap();
        }
        for volume in self.engine.volumes(&self.filter).await.unwrap() {
            self.engine.remove_volume(&volume.name).await.unwrap();
        }
        (
            self.engine
                .containers(Some(&self.filter))
                .await
                .unwrap()
                .len(),
            self.engine.networks(&self.filter).await.unwrap().len(),
            self.engine.volumes(&self.filter).await.unwrap().len(),
        )
    }
}

/// Runs a scenario, and removes what it made also where it failed.
async fn on_ground<E: Engine>(engine: &E, scenario: impl AsyncFnOnce(&E, &Ground<'_, E>)) {
    let ground = Ground::new(engine);
    let done = AssertUnwindSafe(scenario(engine, &ground))
        .catch_unwind()
        .await;
    assert_eq!(
        ground.sweep().await,
        (0, 0, 0),
        "containers, networks and volumes left"
    );
    done.unwrap_or_else(|panic| resume_unwind(panic));
}

fn docker() -> DockerEngine {
    DockerEngine::new("unix:///var/run/docker.sock", Deadlines::default()).unwrap()
}

/// Sends a line and reads output until it has come back.
async fn echo(attached: &mut Attached, line: &[u8]) {
    attached.input.write_all(line).await.unwrap();
    attached.input.flush().await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < line.len() {
        let next = tokio::time::timeout(PATIENCE, attached.output.next());
        match next.await.unwrap().unwrap().unwrap() {
            Output::Stdout(bytes) => heard.extend_from_slice(&bytes),
            Output::Stderr(bytes) => panic!("stderr: {}", String::from_utf8_lossy(&bytes)),
        }
    }
    assert_eq!(heard, line);
}

/// A container's life: created, started, spoken to through two attaches, inspected, removed twice.
async fn container_life<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
    let plan = ground.container("job", &["cat"]);
    engine.ping().await.unwrap();
    assert_eq!(engine.inspect(&plan.name).await.unwrap(), None);
    let id = engine.create(&plan).await.unwrap();
    let state = engine.inspect(&plan.name).await.unwrap().unwrap();
    assert_eq!((state.id.as_str(), state.running), (id.as_str(), false));
    engine.start(&plan.name).await.unwrap();

    let mut attached = engine.attach(&plan.name).await.unwrap();
    echo(&mut attached, b"first\n").await;
    drop(attached);
    let mut attached = engine.attach(&plan.name).await.unwrap();
    echo(&mut attached, b"\x00\x01\xff second, after a hang-up\n").await;
    drop(attached);

    let listed = engine.containers(Some(&ground.filter)).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].name, &listed[0].id), (&plan.name, &id));
    assert_eq!(listed[0].state, "running");
    // The image's own labels are among them.
    assert_eq!(listed[0].labels.get("longshore-test"), Some(&ground.name));
    assert!(engine.inspect(&id).await.unwrap().unwrap().running);
    assert_eq!(
        engine.remove_container(&plan.name).await.unwrap(),
        Removed::Gone
    );
    assert_eq!(
        engine.remove_container(&plan.name).await.unwrap(),
        Removed::Absent
    );
    assert_eq!(engine.inspect(&plan.name).await.unwrap(), None);
}

/// Who attaches before the start hears the first byte, and the end when the process is gone.
async fn attach_before_start<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
    let plan = ground.container("job", &["cat"]);
    engine.create(&plan).await.unwrap();
    let mut attached = engine.attach(&plan.name).await.unwrap();
    engine.start(&plan.name).await.unwrap();
    echo(&mut attached, b"early\n").await;
    engine.remove_container(&plan.name).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, attached.output.next())
        .await
        .unwrap();
    assert!(end.is_none(), "{end:?}");
}

/// A name is taken once; what is not there is not found, or absent where it is to be removed.
async fn names_and_absences<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
    let plan = ground.container("job", &["cat"]);
    engine.create(&plan).await.unwrap();
    assert_eq!(
        engine.create(&plan).await.unwrap_err().fault,
        Fault::Conflict
    );
    assert_eq!(
        engine.remove_container(&plan.name).await.unwrap(),
        Removed::Gone
    );

    let nothing = ground.named("nothing");
    assert_eq!(
        engine.start(&nothing).await.unwrap_err().fault,
        Fault::NotFound
    );
    assert_eq!(
        engine.attach(&nothing).await.err().unwrap().fault,
        Fault::NotFound
    );
    assert_eq!(
        engine.gateway(&nothing).await.unwrap_err().fault,
        Fault::NotFound
    );
    let upload = engine
        .upload(&nothing, "/", Bytes::from_static(&[0; 1024]))
        .await;
    assert_eq!(upload.unwrap_err().fault, Fault::NotFound);
    assert_eq!(engine.image(&nothing).await.unwrap(), None);
    assert_eq!(
        engine.remove_container(&nothing).await.unwrap(),
        Removed::Absent
    );
    assert_eq!(
        engine.remove_network(&nothing).await.unwrap(),
        Removed::Absent
    );
    assert_eq!(
        engine.remove_volume(&nothing).await.unwrap(),
        Removed::Absent
    );
    assert_eq!(
        engine.remove_image(&nothing).await.unwrap(),
        Removed::Absent
    );
    let imageless = ContainerPlan {
        image: nothing,
        ..plan.clone()
    };
    assert_eq!(
        engine.create(&imageless).await.unwrap_err().fault,
        Fault::NotFound
    );
    let slot = ContainerNetwork::Slot {
        aliases: Vec::new(),
    };
    let unleased = ContainerPlan {
        network: slot,
        ..plan
    };
    assert_eq!(
        engine.create(&unleased).await.unwrap_err().fault,
        Fault::Refused
    );
}

/// A network is made once however often it is asked for, and stays while a container runs on it.
async fn networks<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
    let network = ground.named("slot");
    engine
        .create_network(&network, &ground.labels)
        .await
        .unwrap();
    engine
        .create_network(&network, &ground.labels)
        .await
        .unwrap();
    let listed = engine.networks(&ground.filter).await.unwrap();
    assert_eq!(
        listed,
        [Named {
            name: network.clone(),
            labels: ground.labels.clone()
        }]
    );
    assert!(engine.gateway(&network).await.unwrap().is_some());
    assert_eq!(engine.gateway("none").await.unwrap(), None);

    let aliases = vec!["job".to_owned()];
    let on_it = ContainerNetwork::Named {
        name: network.clone(),
        aliases,
    };
    let owner = ContainerPlan {
        network: on_it,
        ..ground.container("job", &["cat"])
    };
    let joined = ContainerNetwork::Join(owner.name.clone());
    let joiner = ContainerPlan {
        network: joined,
        ..ground.container("helper", &["cat"])
    };
    engine.create(&owner).await.unwrap();
    engine.create(&joiner).await.unwrap();
    assert_eq!(
        engine.start(&joiner.name).await.unwrap_err().fault,
        Fault::Conflict
    );
    engine.start(&owner.name).await.unwrap();
    engine.start(&joiner.name).await.unwrap();
    let listed = engine.containers(Some(&ground.filter)).await.unwrap();
    let listed = listed
        .iter()
        .find(|container| container.name == owner.name)
        .unwrap();
    assert_eq!(listed.networks, [network.clone()]);

    assert_eq!(
        engine.remove_network(&network).await.unwrap_err().fault,
        Fault::Conflict
    );
    assert_eq!(
        engine.remove_container(&owner.name).await.unwrap(),
        Removed::Gone
    );
    assert_eq!(
        engine.remove_network(&network).await.unwrap(),
        Removed::Gone
    );
    assert_eq!(
        engine.remove_network(&network).await.unwrap(),
        Removed::Absent
    );
}

/// A volume comes with the first container that mounts it and stays while any does.
async fn volumes<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
    let mount = |part: &str, target: &str, tmpfs_bytes| MountPlan {
        target: target.to_owned(),
        source: MountSource::Volume {
            name: ground.named(part),
            labels: ground.labels.clone(),
            tmpfs_bytes,
        },
        read_only: false,
    };
    let scratch = MountSource::Tmpfs { bytes: 65536 };
    let scratch = MountPlan {
        target: "/scratch".to_owned(),
        source: scratch,
        read_only: false,
    };
    let mounts = vec![mount("disk", "/builds/group/project", None), scratch];
    let mut plan = ContainerPlan {
        mounts,
        ..ground.container("job", &["cat"])
    };
    plan.mounts
        .push(mount("shared", "/builds/group/project.tmp", Some(1 << 20)));
    engine.create(&plan).await.unwrap();
    engine.start(&plan.name).await.unwrap();
    let names: Vec<String> = engine
        .volumes(&ground.filter)
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(names, [ground.named("disk"), ground.named("shared")]);
    for name in &names {
        assert_eq!(
            engine.remove_volume(name).await.unwrap_err().fault,
            Fault::Conflict
        );
    }
    engine.remove_container(&plan.name).await.unwrap();
    assert_eq!(engine.volumes(&ground.filter).await.unwrap().len(), 2);
    for name in &names {
        assert_eq!(engine.remove_volume(name).await.unwrap(), Removed::Gone);
        assert_eq!(engine.remove_volume(name).await.unwrap(), Removed::Absent);
    }
}

/// An image is found by tag and by id and listed once; it stays while a container uses its only tag.
async fn images<E: Engine>(engine: &E, ground: &Ground<'_, E>, tag: &str) {
    let facts = engine.image(tag).await.unwrap().unwrap();
    assert_eq!(engine.image(&facts.id).await.unwrap(), Some(facts.clone()));
    let listed = engine.images().await.unwrap();
    let own: Vec<_> = listed.iter().filter(|image| image.id == facts.id).collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].tags, [tag]);

    let plan = ContainerPlan {
        image: tag.to_owned(),
        ..ground.container("job", &["cat"])
    };
    engine.create(&plan).await.unwrap();
    let listed = engine.containers(Some(&ground.filter)).await.unwrap();
    assert_eq!(listed[0].image_id, facts.id);
    assert_eq!(
        engine.remove_image(tag).await.unwrap_err().fault,
        Fault::Conflict
    );
    engine.remove_container(&plan.name).await.unwrap();
    assert_eq!(engine.remove_image(tag).await.unwrap(), Removed::Gone);
    assert_eq!(engine.remove_image(tag).await.unwrap(), Removed::Absent);
    assert_eq!(engine.image(tag).await.unwrap(), None);
}

mod the_daemon {
    use super::{docker, names, on_ground};

    #[tokio::test]
    async fn keeps_a_containers_life() {
        on_ground(&docker(), async |engine, ground| {
            super::container_life(engine, ground).await
        })
        .await;
    }

    #[tokio::test]
    async fn lets_attach_before_start() {
        on_ground(&docker(), async |engine, ground| {
            super::attach_before_start(engine, ground).await
        })
        .await;
    }

    #[tokio::test]
    async fn tells_taken_names_and_absences() {
        on_ground(&docker(), async |engine, ground| {
            super::names_and_absences(engine, ground).await
        })
        .await;
    }

    #[tokio::test]
    async fn keeps_networks_in_use() {
        on_ground(&docker(), async |engine, ground| {
            super::networks(engine, ground).await
        })
        .await;
    }

    #[tokio::test]
    async fn keeps_volumes_in_use() {
        on_ground(&docker(), async |engine, ground| {
            super::volumes(engine, ground).await
        })
        .await;
    }

    #[tokio::test]
    async fn keeps_images_in_use() {
        let tag = format!("{}:1", names::unique());
        names::image(&tag);
        on_ground(&docker(), async |engine, ground| {
            super::images(engine, ground, &tag).await
        })
        .await;
    }
}

mod the_stand_in {
    use longshore::engine::ImageFacts;

    use super::{BUSYBOX, on_ground};
    use crate::support::fake_engine::FakeEngine;

    fn engine() -> FakeEngine {
        let facts = |id: &str| ImageFacts {
            id: id.to_owned(),
            ..ImageFacts::default()
        };
        let labels = [("longshore.test-images".to_owned(), "1".to_owned())];
        FakeEngine::new()
            .with_image(BUSYBOX, facts("sha256:b"), labels.clone().into())
            .with_image("own:1", facts("sha256:o"), labels.into())
    }

    #[tokio::test]
    async fn keeps_a_containers_life() {
        on_ground(&engine(), async |engine, ground| {
            super::container_life(engine, ground).await
        })
        .await;
    }

    #[tokio::test]
    async fn lets_attach_before_start() {
        on_ground(&engine(), async |engine, ground| {
            super::attach_before_start(engine, ground).await
        })
        .await;
    }

    #[tokio::test]
    async fn tells_taken_names_and_absences() {
        on_ground(&engine(), async |engine, ground| {
            super::names_and_absences(engine, ground).await
        })
        .await;
    }

    #[tokio::test]
    async fn keeps_networks_in_use() {
        on_ground(&engine(), async |engine, ground| {
            super::networks(engine, ground).await
        })
        .await;
    }

    #[tokio::test]
    async fn keeps_volumes_in_use() {
        on_ground(&engine(), async |engine, ground| {
            super::volumes(engine, ground).await
        })
        .await;
    }

    #[tokio::test]
    async fn keeps_images_in_use() {
        on_ground(&engine(), async |engine, ground| {
            super::images(engine, ground, "own:1").await
        })
        .await;
    }
}
