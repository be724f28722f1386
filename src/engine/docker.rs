//! The engine behind the port: Docker, through bollard. Knows no job and decides nothing; each method is
//! one request to the daemon.

use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::body_full;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::StreamExt;

use super::meter::Meter;
use super::tls::Tls;
use super::{
    Attached, CachePrune, ContainerState, ContainerSummary, DiskUsage, Engine, EngineError, Fault,
    ImageFacts, ImageSummary, Named, NetworkSummary, Output, OutputStream, PullProgress,
    RegistryLogin, Removed, convert,
};
use crate::plan::container::{ContainerPlan, Labels};

mod call;
mod connect;
mod exec;
mod fault;
mod manifest;
mod observe;
mod pull;
mod raw;
mod secured;
mod usage;

pub use call::Deadlines;
use call::{Call, found, removed};

/// A Docker daemon at a socket.
#[derive(Debug, Clone)]
pub struct DockerEngine {
    docker: Docker,
    host: String,
    tls: Option<Tls>,
    deadlines: Deadlines,
    meter: Meter,
}

impl DockerEngine {
    /// Takes the daemon's address (`unix:///path`, `/path` or `tcp://host:port`) and sends nothing yet.
    ///
    /// # Errors
    /// [`Fault::Refused`] where the address is of another kind, [`Fault::NoSocket`] where there is no
    /// file at the path.
    pub fn new(host: &str, deadlines: Deadlines) -> Result<Self, EngineError> {
        Self::with_certificates(host, None, deadlines)
    }

    /// The same for a daemon behind TLS, with the directory of the certificates.
    ///
    /// # Errors
    /// As [`DockerEngine::new`] and [`Tls::read`].
    pub fn with_certificates(
        host: &str,
        certificates: Option<&Path>,
        deadlines: Deadlines,
    ) -> Result<Self, EngineError> {
        let tls = certificates.map(|directory| Tls::read(host, directory)).transpose()?;
        let docker = connect::connect(host, tls.as_ref())?;
        Ok(Self { docker, host: host.to_owned(), tls, deadlines, meter: Meter::default() })
    }

    /// Books the time of its requests on this meter.
    #[must_use]
    pub fn metered(self, meter: &Meter) -> Self {
        Self { meter: meter.clone(), ..self }
    }

    /// A call that the daemon answers from memory.
    fn control<'a>(&'a self, verb: &'static str, object: &'a str) -> Call<'a> {
        Call { verb, object, deadline: self.deadlines.control, meter: &self.meter, pulse: None }
    }

    /// A call that makes the daemon work.
    fn work<'a>(&'a self, verb: &'static str, object: &'a str) -> Call<'a> {
        let Deadlines { work, control, .. } = self.deadlines;
        let pulse = Some((&self.docker, control));
        Call { verb, object, deadline: work, meter: &self.meter, pulse }
    }
}

/// The daemon's filter by label.
fn by_label(label: &str) -> std::collections::HashMap<&str, Vec<&str>> {
    std::collections::HashMap::from([("label", vec![label])])
}

impl Engine for DockerEngine {
    async fn ping(&self) -> Result<(), EngineError> {
        let call = self.control("reach the Docker daemon at", &self.host);
        call.run(self.docker.ping()).await.map(drop)
    }

    async fn containers(&self, label: Option<&str>) -> Result<Vec<ContainerSummary>, EngineError> {
        let call = self.control("list containers with label", label.unwrap_or("(any)"));
        let mut options = query::ListContainersOptionsBuilder::default().all(true);
        if let Some(label) = label {
            options = options.filters(&by_label(label));
        }
        let answer = call.run(self.docker.list_containers(Some(options.build()))).await?;
        Ok(sorted(answer.into_iter().map(observe::container_summary), |one| one.name.clone()))
    }

    async fn image(&self, reference: &str) -> Result<Option<ImageFacts>, EngineError> {
        let call = self.control("inspect image", reference);
        let answer = call.run(self.docker.inspect_image(call.path()?)).await;
        Ok(found(answer)?.map(observe::image_facts))
    }

    async fn pull(
        &self,
        reference: &str,
        platform: Option<&str>,
        login: Option<&RegistryLogin>,
        progress: &mut dyn FnMut(PullProgress),
    ) -> Result<(), EngineError> {
        let Deadlines { pull_idle, pull_total, .. } = self.deadlines;
        let meter = &self.meter;
        let pulse = None; // it tells of itself as it goes
        let call =
            Call { verb: "pull image", object: reference, deadline: pull_total, meter, pulse };
        let credentials = login.map(|login| pull::credentials(&call, login)).transpose()?;
        let options = pull::options(reference, platform);
        let lines = self.docker.create_image(Some(options), None, credentials);
        let mut done = pull::follow(&call, pull_idle, lines, progress).await;
        if let Err(error) = &mut done
            && error.fault == Fault::Throttled
            && error.retry_after.is_none()
        {
            let asked = manifest::head(reference, login).await;
            error.retry_after = asked.err().and_then(|refused| refused.retry_after);
        }
        done
    }

    async fn may_pull(
        &self,
        reference: &str,
        login: Option<&RegistryLogin>,
    ) -> Result<(), EngineError> {
        manifest::head(reference, login).await.map_err(|refused| EngineError {
            verb: "ask the registry for",
            object: reference.to_owned(),
            fault: refused.fault,
            cause: refused.cause,
            retry_after: refused.retry_after,
        })
    }

    async fn images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        let call = self.control("list", "images");
        // Without `all` the daemon leaves out intermediate images, but not dangling ones.
        let options = query::ListImagesOptionsBuilder::default().all(false).build();
        let answer = call.run(self.docker.list_images(Some(options))).await?;
        Ok(sorted(answer.into_iter().map(observe::image_summary), |one| one.id.clone()))
    }

    async fn remove_image(&self, reference: &str) -> Result<Removed, EngineError> {
        let call = self.work("remove image", reference);
        let options = query::RemoveImageOptionsBuilder::default().force(false).build();
        removed(call.run(self.docker.remove_image(call.path()?, Some(options), None)).await)
    }

    async fn create(&self, plan: &ContainerPlan) -> Result<String, EngineError> {
        let call = self.work("create container", &plan.name);
        let body = convert::create_body(plan)
            .map_err(|unleased| call.failed(Fault::Refused, unleased.to_string()))?;
        let mut options = query::CreateContainerOptionsBuilder::default().name(&plan.name);
        if let Some(platform) = &plan.platform {
            options = options.platform(platform);
        }
        let answer = call.run(self.docker.create_container(Some(options.build()), body)).await?;
        Ok(answer.id)
    }

    async fn start(&self, name: &str) -> Result<(), EngineError> {
        let call = self.work("start container", name);
        call.run(self.docker.start_container(call.path()?, None)).await
    }

    async fn attach(&self, name: &str) -> Result<Attached, EngineError> {
        let call = self.control("attach to container", name);
        let options = query::AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let AttachContainerResults { output, input } =
            call.run(self.docker.attach_container(call.path()?, Some(options))).await?;
        let object = name.to_owned();
        let output = output.map(move |item| heard(item, &object));
        Ok(Attached { output: Box::pin(output), input })
    }

    async fn inspect(&self, name: &str) -> Result<Option<ContainerState>, EngineError> {
        let call = self.control("inspect container", name);
        let answer = call.run(self.docker.inspect_container(call.path()?, None)).await;
        Ok(found(answer)?.map(observe::container_state))
    }

    async fn exec(&self, name: &str, command: &[String]) -> Result<i64, EngineError> {
        exec::run(self, name, command).await
    }

    async fn logs(
        &self,
        name: &str,
        tail: Option<usize>,
        follow: bool,
    ) -> Result<OutputStream, EngineError> {
        let call = self.control("read the log of container", name);
        let tail = tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options = query::LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .follow(follow)
            .tail(&tail)
            .build();
        let output = self.docker.logs(call.path()?, Some(options));
        let object = name.to_owned();
        Ok(Box::pin(output.map(move |item| heard(item, &object))))
    }

    async fn remove_container(&self, name: &str) -> Result<Removed, EngineError> {
        let call = self.work("remove container", name);
        let options = query::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match call.run(self.docker.remove_container(call.path()?, Some(options))).await {
            // Somebody else is at it: it is as good as gone, and waiting would not make it faster.
            Err(error) if error.cause.contains("is already in progress") => Ok(Removed::Gone),
            answer => removed(answer),
        }
    }

    async fn networks(&self, label: Option<&str>) -> Result<Vec<NetworkSummary>, EngineError> {
        let call = self.control("list networks with label", label.unwrap_or("(any)"));
        let mut options = query::ListNetworksOptionsBuilder::default();
        if let Some(label) = label {
            options = options.filters(&by_label(label));
        }
        let answer = call.run(self.docker.list_networks(Some(options.build()))).await?;
        Ok(sorted(answer.into_iter().map(observe::network), |one| one.name.clone()))
    }

    async fn create_network(
        &self,
        name: &str,
        subnet: Option<&str>,
        labels: &Labels,
    ) -> Result<(), EngineError> {
        let call = self.work("create network", name);
        let on = |subnet: &str| Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_owned()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            labels: Some(labels.clone().into_iter().collect()),
            ipam: subnet.map(on),
            ..NetworkCreateRequest::default()
        };
        match call.run(self.docker.create_network(request)).await {
            Err(error) if error.fault == Fault::Conflict => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn remove_network(&self, name: &str) -> Result<Removed, EngineError> {
        let call = self.work("remove network", name);
        removed(call.run(self.docker.remove_network(call.path()?)).await)
    }

    async fn gateway(&self, network: &str) -> Result<Option<String>, EngineError> {
        let call = self.control("inspect network", network);
        let answer = call.run(self.docker.inspect_network(call.path()?, None)).await?;
        Ok(observe::gateway(answer))
    }

    async fn volumes(&self, label: &str) -> Result<Vec<Named>, EngineError> {
        let call = self.control("list volumes with label", label);
        let options = query::ListVolumesOptionsBuilder::default().filters(&by_label(label)).build();
        let answer = call.run(self.docker.list_volumes(Some(options))).await?;
        let answer = answer.volumes.unwrap_or_default();
        Ok(sorted(answer.into_iter().map(observe::volume), |one| one.name.clone()))
    }

    async fn remove_volume(&self, name: &str) -> Result<Removed, EngineError> {
        let call = self.work("remove volume", name);
        let options = query::RemoveVolumeOptionsBuilder::default().force(false).build();
        removed(call.run(self.docker.remove_volume(call.path()?, Some(options))).await)
    }

    async fn upload(&self, container: &str, path: &str, tar: Bytes) -> Result<(), EngineError> {
        let call = self.work("upload files into container", container);
        let options = query::UploadToContainerOptionsBuilder::default().path(path).build();
        let name = call.path()?;
        call.run(self.docker.upload_to_container(name, Some(options), body_full(tar))).await
    }

    async fn data_root(&self) -> Result<PathBuf, EngineError> {
        usage::data_root(self).await
    }

    async fn disk_usage(&self) -> Result<DiskUsage, EngineError> {
        usage::count(self).await
    }

    async fn prune_build_cache(&self, prune: &CachePrune) -> Result<u64, EngineError> {
        usage::prune(self, prune).await
    }
}

/// The daemon lists in no order that it promises; callers and their tests want one.
fn sorted<T>(answers: impl Iterator<Item = T>, key: impl FnMut(&T) -> String) -> Vec<T> {
    let mut answers: Vec<T> = answers.collect();
    answers.sort_by_cached_key(key);
    answers
}

/// A piece of output in our type. Without a TTY all of it comes in frames; what does not (`Console`, to
/// bollard) can only be what the container wrote.
///
/// The bytes are copied: bollard reads into one buffer that grows with each frame, and a frame that is
/// kept makes it begin anew with 8 KiB, four reads and three copies for each of the daemon's 32 KiB.
fn heard(item: Result<LogOutput, Error>, object: &str) -> Result<Output, EngineError> {
    match item {
        Ok(LogOutput::StdErr { message }) => Ok(Output::Stderr(Bytes::copy_from_slice(&message))),
        Ok(other) => Ok(Output::Stdout(Bytes::copy_from_slice(other.as_ref()))),
        Err(error) => Err(fault::of("read the output of container", object, &error)),
    }
}
