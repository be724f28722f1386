//! From an endpoint, its query and its body to a request, key by key. Pure.

use serde_json::Value;

use crate::broker::refusal::Refusal;

use super::action::{ArchivePut, Attach, ContainerAction, ExecAction, Logs};
use super::build::Build;
use super::container::ContainerCreate;
use super::endpoint::Call;
use super::exec::{Commit, ExecCreate, ExecStart, Login, Update};
use super::image::{self, ImageAction};
use super::network::{Connection, NetworkCreate, VolumeCreate};
use super::query::Query;
use super::{ContainersQuery, NetworkAction, Request, VolumeAction, strict};

/// What was sent, taken apart.
pub(super) struct Sent<'a> {
    pub(super) call: Call,
    pub(super) object: String,
    pub(super) query: Query,
    pub(super) body: &'a [u8],
}

impl Sent<'_> {
    fn json(&self) -> Result<Value, Refusal> {
        strict::read(self.body)
    }

    /// A body that may be left out.
    fn some_json(&self) -> Result<Option<Value>, Refusal> {
        let sent = !self.body.trim_ascii().is_empty();
        sent.then(|| self.json()).transpose()
    }

    /// The request that it is.
    pub(super) fn read(mut self) -> Result<Request, Refusal> {
        let request = self.request()?;
        self.query.end()?;
        Ok(request)
    }

    fn request(&mut self) -> Result<Request, Refusal> {
        if let Some(action) = self.container()? {
            return Ok(Request::Container { container: self.object.clone(), action });
        }
        if let Some(action) = self.exec()? {
            return Ok(Request::Exec { exec: self.object.clone(), action });
        }
        if let Some(request) = self.image()? {
            return Ok(request);
        }
        if let Some(request) = self.network()? {
            return Ok(request);
        }
        if let Some(request) = self.volume()? {
            return Ok(request);
        }
        self.other()
    }

    fn other(&mut self) -> Result<Request, Refusal> {
        let query = &mut self.query;
        Ok(match self.call {
            Call::Ping => Request::Ping { head: false },
            Call::PingHead => Request::Ping { head: true },
            Call::Version => Request::Version,
            Call::Info => Request::Info,
            Call::Auth => Request::Auth(Login::read(self.json()?)?),
            Call::Events => Request::Events {
                since: query.text("since")?,
                until: query.text("until")?,
                filters: query.filters()?,
            },
            Call::Containers => {
                query.skip(&["trunc_cmd"])?;
                Request::Containers(ContainersQuery {
                    all: query.flag("all")?,
                    limit: query.count("limit")?.filter(|limit| *limit > 0),
                    size: query.flag("size")?,
                    filters: query.filters()?,
                })
            }
            Call::ContainersPrune => Request::ContainersPrune(query.filters()?),
            Call::ContainerCreate => {
                let (name, platform) = (query.text("name")?, query.text("platform")?);
                Request::ContainerCreate(Box::new(ContainerCreate::read(
                    name,
                    platform,
                    self.json()?,
                )?))
            }
            Call::Commit => Request::Commit(Box::new(self.commit()?)),
            Call::Build => Request::Build(Box::new(Build::read(query)?)),
            Call::BuildPrune => {
                query.nothing(&[("all", "prune", "the build cache is the operator's")])?;
                query.filters()?;
                query.text("keep-storage")?;
                Request::BuildPrune
            }
            _ => return Err(Refusal::forbidden("endpoint", "this endpoint is not offered")),
        })
    }

    fn commit(&mut self) -> Result<Commit, Refusal> {
        let query = &mut self.query;
        query.nothing(&[("changes", "commit", "what an image runs stands in a Dockerfile")])?;
        let pause = query.flag_on("pause")?;
        Ok(Commit {
            container: query.text("container")?.unwrap_or_default(),
            repository: query.text("repo")?,
            tag: query.text("tag")?,
            comment: query.text("comment")?,
            author: query.text("author")?,
            pause,
            process: Commit::process(self.some_json()?)?,
        })
    }

    fn container(&mut self) -> Result<Option<ContainerAction>, Refusal> {
        let query = &mut self.query;
        Ok(Some(match self.call {
            Call::ContainerInspect => ContainerAction::Inspect { size: query.flag("size")? },
            Call::ContainerLogs => ContainerAction::Logs(Logs::read(query)?),
            Call::ContainerTop => ContainerAction::Top { arguments: query.text("ps_args")? },
            Call::ContainerStats => {
                let stream = query.flag_on("stream")?;
                ContainerAction::Stats { stream, one_shot: query.flag("one-shot")? }
            }
            Call::ContainerChanges => ContainerAction::Changes,
            Call::ContainerExport => ContainerAction::Export,
            Call::ArchiveStat => ContainerAction::ArchiveStat { path: path(query)? },
            Call::ArchiveGet => ContainerAction::ArchiveGet { path: path(query)? },
            Call::ArchivePut => ContainerAction::ArchivePut(ArchivePut {
                path: path(query)?,
                no_overwrite: query.flag("noOverwriteDirNonDir")?,
                copy_owner: query.flag("copyUIDGID")?,
            }),
            Call::ContainerStart => {
                query.text("detachKeys")?;
                query.nothing(&[
                    ("checkpoint", "checkpoint", "there are no checkpoints"),
                    ("checkpoint-dir", "checkpoint", "there are no checkpoints"),
                ])?;
                ContainerAction::Start
            }
            Call::ContainerStop => {
                ContainerAction::Stop { signal: query.text("signal")?, seconds: query.number("t")? }
            }
            Call::ContainerRestart => ContainerAction::Restart {
                signal: query.text("signal")?,
                seconds: query.number("t")?,
            },
            Call::ContainerKill => ContainerAction::Kill { signal: query.text("signal")? },
            Call::ContainerPause => ContainerAction::Pause,
            Call::ContainerUnpause => ContainerAction::Unpause,
            Call::ContainerResize => {
                ContainerAction::Resize { height: query.number("h")?, width: query.number("w")? }
            }
            Call::ContainerWait => ContainerAction::Wait { condition: query.text("condition")? },
            Call::ContainerRename => {
                ContainerAction::Rename { name: query.text("name")?.unwrap_or_default() }
            }
            Call::ContainerUpdate => ContainerAction::Update(Update::read(self.json()?)?),
            Call::ContainerAttach => ContainerAction::Attach(Attach::read(query)?),
            Call::ExecCreate => ContainerAction::Exec(ExecCreate::read(self.json()?)?),
            Call::ContainerRemove => {
                query.nothing(&[("link", "network", "there are no links")])?;
                ContainerAction::Remove { volumes: query.flag("v")?, force: query.flag("force")? }
            }
            _ => return Ok(None),
        }))
    }

    fn exec(&mut self) -> Result<Option<ExecAction>, Refusal> {
        let query = &mut self.query;
        Ok(Some(match self.call {
            Call::ExecStart => {
                let start = self.some_json()?.map(ExecStart::read).transpose()?;
                ExecAction::Start(start.unwrap_or_default())
            }
            Call::ExecResize => {
                ExecAction::Resize { height: query.number("h")?, width: query.number("w")? }
            }
            Call::ExecInspect => ExecAction::Inspect,
            _ => return Ok(None),
        }))
    }

    fn image(&mut self) -> Result<Option<Request>, Refusal> {
        let query = &mut self.query;
        let action = match self.call {
            Call::Images => return image::list(query).map(Some),
            Call::ImagePull => return image::pull(query).map(Some),
            Call::ImagesPrune => return Ok(Some(Request::ImagesPrune(query.filters()?))),
            Call::ImagesSave => {
                return Ok(Some(Request::ImagesSave { images: query.all("names")? }));
            }
            Call::ImageSave => {
                return Ok(Some(Request::ImagesSave { images: vec![self.object.clone()] }));
            }
            Call::ImageInspect => {
                query.nothing(&[("manifests", "image", "it is not offered")])?;
                ImageAction::Inspect
            }
            Call::ImageHistory => ImageAction::History,
            Call::Distribution => ImageAction::Distribution,
            Call::ImageTag => {
                query.skip(&["force"])?;
                let repository = query.text("repo")?.unwrap_or_default();
                ImageAction::Tag { repository, tag: query.text("tag")? }
            }
            Call::ImagePush => ImageAction::Push { tag: query.text("tag")? },
            Call::ImageRemove => ImageAction::Remove {
                force: query.flag("force")?,
                no_prune: query.flag("noprune")?,
            },
            _ => return Ok(None),
        };
        Ok(Some(Request::Image { image: self.object.clone(), action }))
    }

    fn network(&mut self) -> Result<Option<Request>, Refusal> {
        let query = &mut self.query;
        let action = match self.call {
            Call::Networks => return Ok(Some(Request::Networks(query.filters()?))),
            Call::NetworksPrune => return Ok(Some(Request::NetworksPrune(query.filters()?))),
            Call::NetworkCreate => {
                let create = NetworkCreate::read(self.json()?)?;
                return Ok(Some(Request::NetworkCreate(create)));
            }
            Call::NetworkInspect => {
                query.flag("verbose")?;
                query.text("scope")?;
                NetworkAction::Inspect
            }
            Call::NetworkRemove => NetworkAction::Remove,
            Call::NetworkConnect => NetworkAction::Connect(Connection::read(self.json()?)?),
            Call::NetworkDisconnect => NetworkAction::Disconnect(Connection::read(self.json()?)?),
            _ => return Ok(None),
        };
        Ok(Some(Request::Network { network: self.object.clone(), action }))
    }

    fn volume(&mut self) -> Result<Option<Request>, Refusal> {
        let query = &mut self.query;
        let action = match self.call {
            Call::Volumes => return Ok(Some(Request::Volumes(query.filters()?))),
            Call::VolumesPrune => return Ok(Some(Request::VolumesPrune(query.filters()?))),
            Call::VolumeCreate => {
                let create = VolumeCreate::read(self.json()?)?;
                return Ok(Some(Request::VolumeCreate(create)));
            }
            Call::VolumeInspect => VolumeAction::Inspect,
            Call::VolumeRemove => VolumeAction::Remove { force: query.flag("force")? },
            _ => return Ok(None),
        };
        Ok(Some(Request::Volume { volume: self.object.clone(), action }))
    }
}

/// A path in a container: absolute or not, never empty.
fn path(query: &mut Query) -> Result<String, Refusal> {
    query.text("path")?.ok_or_else(|| Refusal::malformed("query", "path is missing"))
}
