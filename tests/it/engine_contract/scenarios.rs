//! What every engine must do, told once and run on each of them.

use bytes::Bytes;
use futures_util::StreamExt;
use longshore::engine::{Attached, Engine, EngineError, Fault, Output, Removed};
use longshore::plan::container::{ContainerNetwork, ContainerPlan, MountPlan, MountSource};
use tokio::io::AsyncWriteExt;

use super::{Ground, PATIENCE};

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
pub(super) async fn container_life<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
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
    assert_eq!(engine.remove_container(&plan.name).await.unwrap(), Removed::Gone);
    assert_eq!(engine.remove_container(&plan.name).await.unwrap(), Removed::Absent);
    assert_eq!(engine.inspect(&plan.name).await.unwrap(), None);
}

/// Who attaches before the start hears the first byte, and the end when the process is gone.
pub(super) async fn attach_before_start<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
    let plan = ground.container("job", &["cat"]);
    engine.create(&plan).await.unwrap();
    let mut attached = engine.attach(&plan.name).await.unwrap();
    engine.start(&plan.name).await.unwrap();
    echo(&mut attached, b"early\n").await;
    engine.remove_container(&plan.name).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, attached.output.next()).await.unwrap();
    assert!(end.is_none(), "{end:?}");
}

/// What an answer that must be an error is classed as.
fn fault<T>(answer: Result<T, EngineError>) -> Fault {
    answer.err().expect("an error").fault
}

/// A name is taken once; what is not there is not found, or absent where it is to be removed.
pub(super) async fn names_and_absences<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
    let plan = ground.container("job", &["cat"]);
    engine.create(&plan).await.unwrap();
    assert_eq!(fault(engine.create(&plan).await), Fault::Conflict);
    let removed = engine.remove_container(&plan.name).await.unwrap();
    assert_eq!(removed, Removed::Gone);

    let nothing = ground.named("nothing");
    assert_eq!(fault(engine.start(&nothing).await), Fault::NotFound);
    assert_eq!(fault(engine.attach(&nothing).await), Fault::NotFound);
    assert_eq!(fault(engine.gateway(&nothing).await), Fault::NotFound);
    let tar = Bytes::from_static(&[0; 1024]);
    let upload = engine.upload(&nothing, "/", tar).await;
    assert_eq!(fault(upload), Fault::NotFound);
    assert_eq!(engine.image(&nothing).await.unwrap(), None);
    let removed = [
        engine.remove_container(&nothing).await.unwrap(),
        engine.remove_network(&nothing).await.unwrap(),
        engine.remove_volume(&nothing).await.unwrap(),
        engine.remove_image(&nothing).await.unwrap(),
    ];
    assert_eq!(removed, [Removed::Absent; 4]);

    let mut odd = plan.clone();
    odd.image = nothing;
    assert_eq!(fault(engine.create(&odd).await), Fault::NotFound);
    let mut unleased = plan;
    let aliases = Vec::new();
    unleased.network = ContainerNetwork::Slot { aliases };
    assert_eq!(fault(engine.create(&unleased).await), Fault::Refused);
}

/// A network is made once however often it is asked for, and stays while a container runs on it.
pub(super) async fn networks<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
    let name = ground.named("slot");
    let labels = ground.labels.clone();
    engine.create_network(&name, None, &labels).await.unwrap();
    engine.create_network(&name, None, &labels).await.unwrap();
    let listed = engine.networks(Some(&ground.filter)).await.unwrap();
    let [only] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&only.name, &only.labels), (&name, &labels));
    let (all, other) = (engine.networks(None).await.unwrap(), ground.named("other"));
    assert!(all.contains(only), "{all:?}");
    let taken = engine.create_network(&other, Some(&only.subnets[0]), &labels).await.unwrap_err();
    assert!(taken.fault == Fault::Refused && taken.cause.contains("overlap"), "{taken:?}");
    assert!(engine.gateway(&name).await.unwrap().is_some());
    assert_eq!(engine.gateway("none").await.unwrap(), None);

    owner_and_joiner(engine, ground, &name).await;
    assert_eq!(fault(engine.remove_network(&name).await), Fault::Conflict);
    let owner = ground.named("job");
    engine.remove_container(&owner).await.unwrap();
    let removed = engine.remove_network(&name).await.unwrap();
    let again = engine.remove_network(&name).await.unwrap();
    assert_eq!([removed, again], [Removed::Gone, Removed::Absent]);
}

/// One container on the network and one in the first one's namespace, which can only start second.
async fn owner_and_joiner<E: Engine>(engine: &E, ground: &Ground<'_, E>, network: &str) {
    let mut owner = ground.container("job", &["cat"]);
    owner.network =
        ContainerNetwork::Named { name: network.to_owned(), aliases: vec!["job".to_owned()] };
    let mut guest = ground.container("helper", &["cat"]);
    guest.network = ContainerNetwork::Join(owner.name.clone());
    engine.create(&owner).await.unwrap();
    engine.create(&guest).await.unwrap();
    assert_eq!(fault(engine.start(&guest.name).await), Fault::Conflict);
    engine.start(&owner.name).await.unwrap();
    engine.start(&guest.name).await.unwrap();
    let listed = engine.containers(Some(&ground.filter)).await.unwrap();
    let networks: Vec<_> = listed.iter().map(|one| one.networks.clone()).collect();
    assert_eq!(networks, [vec![], vec![network.to_owned()]]);
}

/// A volume comes with the first container that mounts it and stays while any does.
pub(super) async fn volumes<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
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
    let scratch = MountPlan { target: "/scratch".to_owned(), source: scratch, read_only: false };
    let mounts = vec![mount("disk", "/builds/group/project", None), scratch];
    let mut plan = ContainerPlan { mounts, ..ground.container("job", &["cat"]) };
    plan.mounts.push(mount("shared", "/builds/group/project.tmp", Some(1 << 20)));
    engine.create(&plan).await.unwrap();
    engine.start(&plan.name).await.unwrap();
    let names: Vec<String> =
        engine.volumes(&ground.filter).await.unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, [ground.named("disk"), ground.named("shared")]);
    for name in &names {
        assert_eq!(engine.remove_volume(name).await.unwrap_err().fault, Fault::Conflict);
    }
    engine.remove_container(&plan.name).await.unwrap();
    assert_eq!(engine.volumes(&ground.filter).await.unwrap().len(), 2);
    for name in &names {
        assert_eq!(engine.remove_volume(name).await.unwrap(), Removed::Gone);
        assert_eq!(engine.remove_volume(name).await.unwrap(), Removed::Absent);
    }
}

/// An image is found by tag and by id and listed once; it stays while a container uses its only tag.
pub(super) async fn images<E: Engine>(engine: &E, ground: &Ground<'_, E>, tag: &str) {
    let facts = engine.image(tag).await.unwrap().unwrap();
    assert_eq!(engine.image(&facts.id).await.unwrap(), Some(facts.clone()));
    let listed = engine.images().await.unwrap();
    let own: Vec<_> = listed.iter().filter(|image| image.id == facts.id).collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].tags, [tag]);

    let plan = ContainerPlan { image: tag.to_owned(), ..ground.container("job", &["cat"]) };
    engine.create(&plan).await.unwrap();
    let listed = engine.containers(Some(&ground.filter)).await.unwrap();
    assert_eq!(listed[0].image_id, facts.id);
    assert_eq!(engine.remove_image(tag).await.unwrap_err().fault, Fault::Conflict);
    engine.remove_container(&plan.name).await.unwrap();
    assert_eq!(engine.remove_image(tag).await.unwrap(), Removed::Gone);
    assert_eq!(engine.remove_image(tag).await.unwrap(), Removed::Absent);
    assert_eq!(engine.image(tag).await.unwrap(), None);
}

/// A command runs where the container does; its end is waited for.
pub(super) async fn commands<E: Engine>(engine: &E, ground: &Ground<'_, E>) {
    let command = ["true".to_owned()];
    let absent = engine.exec(&ground.named("job"), &command).await.unwrap_err();
    assert_eq!(absent.fault, Fault::NotFound);
    let plan = ground.container("job", &["cat"]);
    engine.create(&plan).await.unwrap();
    assert_eq!(engine.exec(&plan.name, &command).await.unwrap_err().fault, Fault::Conflict);
    engine.start(&plan.name).await.unwrap();
    assert_eq!(engine.exec(&plan.name, &command).await.unwrap(), 0);
}
