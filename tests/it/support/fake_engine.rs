//! A container engine in memory, for tests of what stands on the port. It keeps the real daemon's rules
//! (`engine_contract.rs` holds both to the same), records each call, lets any of them go wrong, and
//! panics where its caller breaks the contract.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use longshore::engine::{
    Attached, CachePrune, ContainerState, ContainerSummary, DiskUsage, Engine, EngineError, Fault,
    ImageFacts, ImageSummary, Named, NetworkSummary, OutputStream, PullProgress, RegistryLogin,
    Removed,
};
use longshore::plan::container::{ContainerPlan, Labels};

pub(crate) mod objects;
pub(crate) mod process;
pub(crate) mod script;

use objects::{Image, Objects, Refusal, carries, labelled};
use process::{Pipes, Process};
use script::{Call, Script, Trouble, Verb};

/// Starts the process of a container: gets the container's plan and the process's ends of its pipes.
pub(crate) type Launch = Arc<dyn Fn(&ContainerPlan, Pipes) -> Process + Send + Sync>;

struct Daemon {
    objects: Objects,
    script: Script,
    offers: Vec<Image>,
    plans: Vec<ContainerPlan>,
    launch: Launch,
    /// Containers of ours do not start before somebody has uploaded something.
    agent_missing: bool,
}

/// The stand-in. Clones are handles on the same daemon: a test keeps one and gives the other away.
#[derive(Clone)]
pub(crate) struct FakeEngine(Arc<Mutex<Daemon>>);

impl FakeEngine {
    /// An engine with the networks each daemon has and no image; what starts in it is `cat`.
    pub(crate) fn new() -> Self {
        let mut objects = Objects::default();
        for network in ["bridge", "host", "none"] {
            objects.networks.insert(network.to_owned(), Labels::new());
        }
        Self(Arc::new(Mutex::new(Daemon {
            objects,
            script: Script::default(),
            offers: Vec::new(),
            plans: Vec::new(),
            launch: Arc::new(|_plan, pipes| process::cat(pipes)),
            agent_missing: false,
        })))
    }

    /// Puts an image there under one tag; `id` is any text that is this image's alone.
    pub(crate) fn with_image(self, tag: &str, facts: ImageFacts, labels: Labels) -> Self {
        self.lock().objects.images.push(Image { facts, tags: vec![tag.to_owned()], labels });
        self
    }

    /// Lets an image be pulled by this reference; all others are unknown to the registry.
    pub(crate) fn offering(self, tag: &str, facts: ImageFacts) -> Self {
        let image = Image { facts, tags: vec![tag.to_owned()], labels: Labels::new() };
        self.lock().offers.push(image);
        self
    }

    /// What runs in each container from now on: the real agent's loop or a scripted one.
    pub(crate) fn launching(
        self,
        launch: impl Fn(&ContainerPlan, Pipes) -> Process + Send + Sync + 'static,
    ) -> Self {
        self.lock().launch = Arc::new(launch);
        self
    }

    /// The agent volume is empty until the first upload, so an entrypoint on it is not found.
    pub(crate) fn with_empty_agent_volume(self) -> Self {
        self.lock().agent_missing = true;
        self
    }

    /// Lets the `nth` call (from 1) of this method go wrong.
    pub(crate) fn trouble(&self, verb: Verb, nth: usize, trouble: Trouble) {
        self.lock().script.order(verb, nth, trouble);
    }

    /// All calls so far, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.lock().script.calls()
    }

    /// Troubles that no call has met.
    pub(crate) fn unmet(&self) -> Vec<(Verb, usize)> {
        self.lock().script.unmet()
    }

    /// The plans of all containers that were created, in order.
    pub(crate) fn plans(&self) -> Vec<ContainerPlan> {
        self.lock().plans.clone()
    }

    /// What was uploaded: container, path, archive.
    pub(crate) fn uploads(&self) -> Vec<(String, String, Bytes)> {
        self.lock().objects.uploads.clone()
    }

    /// Names of all containers, networks and volumes that carry this label: a teardown leaves none.
    pub(crate) fn left(&self, label: &str) -> Vec<String> {
        let daemon = self.lock();
        let containers = daemon.objects.containers.values();
        let containers = containers
            .filter(|container| carries(&container.labels, label))
            .map(|container| container.plan.name.clone());
        let networks = labelled(&daemon.objects.networks, label);
        let volumes = labelled(&daemon.objects.volumes, label);
        containers.chain(networks.into_iter().chain(volumes).map(|named| named.name)).collect()
    }

    /// Ends a container's process as the kernel would for want of memory or a person by hand.
    pub(crate) fn kill(&self, name: &str) {
        let daemon = self.lock();
        let container = daemon.objects.container(name).expect("a container to kill");
        container.running.as_ref().expect("a container that runs").kill();
    }

    fn lock(&self) -> MutexGuard<'_, Daemon> {
        self.0.lock().expect("no test panicked while it held the stand-in")
    }

    /// Every call goes through here: noted, troubled where ordered, then done.
    async fn call<T>(
        &self,
        verb: Verb,
        object: &str,
        action: impl FnOnce(&mut Daemon) -> Result<T, Refusal>,
    ) -> Result<T, EngineError> {
        let error = |(fault, cause): Refusal| EngineError {
            verb: "have the stand-in engine serve",
            object: format!("{verb:?} {object}"),
            fault,
            cause,
            retry_after: None,
        };
        let ordered = || "the test ordered this failure".to_owned();
        // Bound to a name so that the lock is free again while a hung call is awaited.
        let trouble = self.lock().script.note(verb, object);
        match trouble {
            Some(Trouble::Fail(fault)) => Err(error((fault, ordered()))),
            Some(Trouble::Hang) => std::future::pending().await,
            Some(Trouble::FailAfter(fault)) => {
                action(&mut self.lock()).map_err(error)?;
                Err(error((fault, ordered())))
            }
            None => action(&mut self.lock()).map_err(error),
        }
    }
}

fn unknown(kind: &str, name: &str) -> Refusal {
    (Fault::NotFound, format!("No such {kind}: {name}"))
}

impl Daemon {
    fn start(&mut self, name: &str) -> Result<(), Refusal> {
        let container = self.objects.container(name).ok_or_else(|| unknown("container", name))?;
        assert!(container.running.is_none(), "contract: {name} was started twice");
        self.objects.can_start(container)?;
        if self.agent_missing && self.objects.uploads.is_empty() {
            let program = container.plan.entrypoint.first().cloned().unwrap_or_default();
            let cause = format!("exec: \"{program}\": stat {program}: no such file or directory");
            return Err((Fault::Refused, cause));
        }
        let launch = Arc::clone(&self.launch);
        let container =
            self.objects.container_mut(name).ok_or_else(|| unknown("container", name))?;
        let plan = container.plan.clone();
        container.running = Some(container.console.begin(|pipes| launch(&plan, pipes)));
        Ok(())
    }

    fn attach(&self, name: &str) -> Result<Attached, Refusal> {
        let container = self.objects.container(name).ok_or_else(|| unknown("container", name))?;
        Ok(container.console.attach())
    }

    fn pull(&mut self, reference: &str) -> Result<(), Refusal> {
        let offered =
            self.offers.iter().find(|image| image.tags.iter().any(|tag| tag == reference));
        let Some(offered) = offered.cloned() else {
            return Err((Fault::NoSuchImage, format!("manifest for {reference} not found")));
        };
        if self.objects.image(reference).is_none() {
            self.objects.images.push(offered);
        }
        Ok(())
    }
}

impl Engine for FakeEngine {
    async fn ping(&self) -> Result<(), EngineError> {
        self.call(Verb::Ping, "", |_daemon| Ok(())).await
    }

    async fn containers(&self, label: Option<&str>) -> Result<Vec<ContainerSummary>, EngineError> {
        self.call(Verb::Containers, label.unwrap_or_default(), |daemon| {
            let all = daemon.objects.containers.values();
            let asked = all.filter(|one| label.is_none_or(|label| carries(&one.labels, label)));
            Ok(asked.map(objects::Container::summary).collect())
        })
        .await
    }

    async fn image(&self, reference: &str) -> Result<Option<ImageFacts>, EngineError> {
        self.call(Verb::Image, reference, |daemon| {
            Ok(daemon.objects.image(reference).map(|image| image.facts.clone()))
        })
        .await
    }

    async fn pull(
        &self,
        reference: &str,
        _platform: Option<&str>,
        _login: Option<&RegistryLogin>,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<(), EngineError> {
        self.call(Verb::Pull, reference, |daemon| daemon.pull(reference)).await?;
        let status = "Pull complete".to_owned();
        progress(PullProgress { layer: "0123456789ab".to_owned(), status, bytes: None });
        Ok(())
    }

    async fn may_pull(
        &self,
        reference: &str,
        _login: Option<&RegistryLogin>,
    ) -> Result<(), EngineError> {
        self.call(Verb::MayPull, reference, |_daemon| Ok(())).await
    }

    async fn images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        self.call(Verb::Images, "", |daemon| Ok(daemon.objects.image_list())).await
    }

    async fn remove_image(&self, reference: &str) -> Result<Removed, EngineError> {
        let action = |daemon: &mut Daemon| daemon.objects.remove_image(reference);
        self.call(Verb::RemoveImage, reference, action).await
    }

    async fn create(&self, plan: &ContainerPlan) -> Result<String, EngineError> {
        self.call(Verb::Create, &plan.name, |daemon| {
            let id = daemon.objects.create(plan)?;
            daemon.plans.push(plan.clone());
            Ok(id)
        })
        .await
    }

    async fn start(&self, name: &str) -> Result<(), EngineError> {
        self.call(Verb::Start, name, |daemon| daemon.start(name)).await
    }

    async fn attach(&self, name: &str) -> Result<Attached, EngineError> {
        self.call(Verb::Attach, name, |daemon| daemon.attach(name)).await
    }

    async fn inspect(&self, name: &str) -> Result<Option<ContainerState>, EngineError> {
        self.call(Verb::Inspect, name, |daemon| {
            Ok(daemon.objects.container(name).map(objects::Container::state))
        })
        .await
    }

    async fn exec(&self, name: &str, _command: &[String]) -> Result<i64, EngineError> {
        self.call(Verb::Exec, name, |daemon| match daemon.objects.container(name) {
            Some(container) if container.runs() => Ok(0),
            Some(_) => Err((Fault::Conflict, format!("container {name} is not running"))),
            None => Err(unknown("container", name)),
        })
        .await
    }

    async fn logs(
        &self,
        name: &str,
        _tail: Option<usize>,
        _follow: bool,
    ) -> Result<OutputStream, EngineError> {
        self.call(Verb::Logs, name, |daemon| match daemon.objects.container(name) {
            Some(_) => Ok(Box::pin(futures_util::stream::empty()) as OutputStream),
            None => Err(unknown("container", name)),
        })
        .await
    }

    async fn remove_container(&self, name: &str) -> Result<Removed, EngineError> {
        let action = |daemon: &mut Daemon| Ok(daemon.objects.remove_container(name));
        self.call(Verb::RemoveContainer, name, action).await
    }

    async fn networks(&self, label: Option<&str>) -> Result<Vec<NetworkSummary>, EngineError> {
        let action = |daemon: &mut Daemon| Ok(daemon.objects.network_list(label));
        self.call(Verb::Networks, label.unwrap_or_default(), action).await
    }

    async fn create_network(
        &self,
        name: &str,
        subnet: Option<&str>,
        labels: &Labels,
    ) -> Result<(), EngineError> {
        let action = |daemon: &mut Daemon| daemon.objects.create_network(name, subnet, labels);
        self.call(Verb::CreateNetwork, name, action).await
    }

    async fn remove_network(&self, name: &str) -> Result<Removed, EngineError> {
        let action = |daemon: &mut Daemon| daemon.objects.remove_network(name);
        self.call(Verb::RemoveNetwork, name, action).await
    }

    async fn gateway(&self, network: &str) -> Result<Option<String>, EngineError> {
        self.call(Verb::Gateway, network, |daemon| {
            if !daemon.objects.networks.contains_key(network) {
                return Err(unknown("network", network));
            }
            Ok((!matches!(network, "host" | "none")).then(|| "172.31.0.1".to_owned()))
        })
        .await
    }

    async fn volumes(&self, label: &str) -> Result<Vec<Named>, EngineError> {
        let action = |daemon: &mut Daemon| Ok(labelled(&daemon.objects.volumes, label));
        self.call(Verb::Volumes, label, action).await
    }

    async fn remove_volume(&self, name: &str) -> Result<Removed, EngineError> {
        let action = |daemon: &mut Daemon| daemon.objects.remove_volume(name);
        self.call(Verb::RemoveVolume, name, action).await
    }

    async fn upload(&self, container: &str, path: &str, tar: Bytes) -> Result<(), EngineError> {
        self.call(Verb::Upload, container, |daemon| {
            if daemon.objects.container(container).is_none() {
                return Err(unknown("container", container));
            }
            daemon.objects.uploads.push((container.to_owned(), path.to_owned(), tar));
            Ok(())
        })
        .await
    }

    async fn data_root(&self) -> Result<PathBuf, EngineError> {
        // Not a directory of this host.
        self.call(Verb::DataRoot, "", |_daemon| Ok("/longshore-test/nowhere".into())).await
    }

    async fn disk_usage(&self) -> Result<DiskUsage, EngineError> {
        self.call(Verb::DiskUsage, "", |daemon| Ok(daemon.objects.disk_usage())).await
    }

    async fn prune_build_cache(&self, _prune: &CachePrune) -> Result<u64, EngineError> {
        self.call(Verb::PruneBuildCache, "", |_daemon| Ok(0)).await
    }
}
