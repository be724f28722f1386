//! The contract of the engine port, held against the real daemon and against the stand-in alike, so that
//! the stand-in cannot drift from what it stands in for.

use std::time::Duration;

use futures_util::StreamExt;
use longshore::engine::{Attached, Deadlines, DockerEngine, Engine, Output, Removed};
use longshore::plan::container::{ContainerNetwork, ContainerPlan, Labels, LimitPlan};
use tokio::io::AsyncWriteExt;

use crate::support::names;

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

fn docker() -> DockerEngine {
    DockerEngine::new("unix:///var/run/docker.sock", Deadlines::default()).unwrap()
}

/// Sends a line and reads output until it has come back.
async fn echo(attached: &mut Attached, line: &[u8]) {
    attached.input.write_all(line).await.unwrap();
    attached.input.flush().await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < line.len() {
        let next = tokio::time::timeout(Duration::from_secs(10), attached.output.next());
        match next.await.unwrap().unwrap().unwrap() {
            Output::Stdout(bytes) => heard.extend_from_slice(&bytes),
            Output::Stderr(bytes) => panic!("stderr: {}", String::from_utf8_lossy(&bytes)),
        }
    }
    assert_eq!(heard, line);
}

/// A container's life: created, started, spoken to through two attaches, inspected, removed twice.
async fn container_life<E: Engine>(engine: &E) {
    let ground = Ground::new(engine);
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
    assert_eq!(ground.sweep().await, (0, 0, 0));
}

#[tokio::test]
async fn the_daemon_keeps_a_containers_life() {
    container_life(&docker()).await;
}
