//! What a container has mounted: volumes of the job, tmpfs, and the job's own directory; no path of the
//! host (note 3.3).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::workspace::{self, WORKSPACE};
use super::{Case, check_name, nested};
use crate::broker::outgoing::{Kind, Link, Note};
use crate::broker::refusal::Refusal;
use crate::broker::request::container::ContainerCreate;
use crate::broker::request::mount::Mount;

/// The API from which on a part of a volume can be mounted.
pub(super) const SUBPATH_API: u32 = 45;

/// What becomes of a container's mounts.
#[derive(Default)]
pub(super) struct Mounts {
    pub(super) all: Vec<Value>,
    pub(super) tmpfs: BTreeMap<String, String>,
    pub(super) volumes_from: Vec<String>,
    pub(super) notes: Vec<Note>,
    pub(super) links: Vec<Link>,
    pub(super) targets: BTreeSet<String>,
}

/// One mount of a volume, whatever it was written as.
pub(super) struct Wanted<'a> {
    source: Option<&'a str>,
    pub(super) target: &'a str,
    pub(super) read_only: bool,
    no_copy: bool,
    subpath: Option<&'a str>,
}

pub(super) fn of(case: Case<'_>, create: &ContainerCreate) -> Result<Mounts, Refusal> {
    let mut mounts = Mounts::default();
    let host = &create.host;
    let asked = [host.binds.len(), host.mounts.len(), host.tmpfs.len(), host.volumes_from.len()];
    if asked.iter().sum::<usize>() + create.process.volumes.len() > 64 {
        return Err(Refusal::quota("quota", "a container has at most 64 mounts"));
    }
    for bind in &host.binds {
        mounts.bind(case, bind)?;
    }
    for mount in &host.mounts {
        mounts.mount(case, mount)?;
    }
    for target in &create.process.volumes {
        // Where something is mounted already, the image's own word for it says nothing more.
        if !mounts.targets.contains(target.trim_end_matches('/')) {
            mounts.volume(case, &Wanted::anonymous(target))?;
        }
    }
    for (target, options) in &host.tmpfs {
        mounts.tmpfs(target, options)?;
    }
    for from in &host.volumes_from {
        let (container, mode) = from.split_once(':').unwrap_or((from, "rw"));
        if !matches!(mode, "ro" | "rw") {
            return Err(Refusal::forbidden("mounts", "VolumesFrom is CONTAINER, with :ro or :rw"));
        }
        mounts.volumes_from.push(format!("{}:{mode}", case.view.container(container)?));
    }
    nested::settle(&mut mounts)?;
    if create.host.read_only && !mounts.links.is_empty() {
        return Err(Refusal::forbidden(
            "workspace",
            "with a read-only root this daemon cannot mount a part of the job's directory; leave \
             --read-only out, or mount all of the builds directory at its own path",
        ));
    }
    Ok(mounts)
}

impl<'a> Wanted<'a> {
    fn anonymous(target: &'a str) -> Self {
        Self { source: None, target, read_only: false, no_copy: false, subpath: None }
    }
}

impl Mounts {
    fn bind(&mut self, case: Case<'_>, bind: &str) -> Result<(), Refusal> {
        let parts: Vec<&str> = bind.split(':').collect();
        let (source, target, options) = match parts[..] {
            [target] => (None, target, ""),
            [source, target] => (Some(source), target, ""),
            [source, target, options] => (Some(source), target, options),
            _ => return Err(Refusal::malformed("mounts", "a bind is SOURCE:TARGET[:OPTIONS]")),
        };
        let mut wanted = Wanted { source, target, read_only: false, no_copy: false, subpath: None };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" => wanted.read_only = true,
                "nocopy" => wanted.no_copy = true,
                // How SELinux labels it, and how old virtual machines cache it: of no meaning for volumes.
                "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
                _ => {
                    let message = "options of a bind are ro, rw and nocopy";
                    return Err(Refusal::forbidden("mounts", message));
                }
            }
        }
        self.sourced(case, &wanted)
    }

    fn mount(&mut self, case: Case<'_>, mount: &Mount) -> Result<(), Refusal> {
        let wanted = Wanted {
            source: mount.source.as_deref(),
            target: &mount.target,
            read_only: mount.read_only,
            no_copy: mount.no_copy,
            subpath: mount.subpath.as_deref(),
        };
        match mount.kind.as_str() {
            "volume" | "bind" => self.sourced(case, &wanted),
            "tmpfs" => {
                let target = self.target(&mount.target)?;
                let bytes = if mount.tmpfs_bytes > 0 { mount.tmpfs_bytes } else { 64 << 20 };
                let mode = if mount.tmpfs_mode == 0 { 0o1777 } else { mount.tmpfs_mode & 0o1777 };
                self.all.push(json!({
                    "Type": "tmpfs", "Target": target, "ReadOnly": mount.read_only,
                    "TmpfsOptions": {"SizeBytes": bytes, "Mode": mode},
                }));
                Ok(())
            }
            _ => Err(Refusal::forbidden("mounts", "mounts are of the types volume and tmpfs")),
        }
    }

    /// A path is the job's directory or nothing; a name is a volume.
    fn sourced(&mut self, case: Case<'_>, wanted: &Wanted<'_>) -> Result<(), Refusal> {
        match wanted.source {
            Some(source) if source.starts_with('/') => workspace::mount(self, case, source, wanted),
            Some(source) if source == WORKSPACE || source.starts_with("longshore-workspace/") => {
                let below = source.trim_start_matches(WORKSPACE);
                let path = format!("{}{below}", case.view.workspace.project_dir);
                workspace::mount(self, case, &path, wanted)
            }
            _ => self.volume(case, wanted),
        }
    }

    pub(super) fn target(&mut self, target: &str) -> Result<String, Refusal> {
        let target = target.trim_end_matches('/');
        let first = target.split('/').nth(1).unwrap_or_default();
        let reserved = matches!(first, "proc" | "sys") || first.starts_with(".longshore");
        if !is_plain(target) || reserved {
            let message =
                "a target of a mount is an absolute path without `..`, and not in /proc or /sys";
            return Err(Refusal::forbidden("mounts", message));
        }
        if !self.targets.insert(target.to_owned()) {
            return Err(Refusal::malformed("mounts", "two mounts have the same target"));
        }
        Ok(target.to_owned())
    }

    fn volume(&mut self, case: Case<'_>, wanted: &Wanted<'_>) -> Result<(), Refusal> {
        let target = self.target(wanted.target)?;
        let given = match wanted.source {
            Some(source) => source.to_owned(),
            None => format!("{}{}", case.view.fresh, self.all.len()),
        };
        let name = match case.view.volume(&given) {
            Ok(name) => name,
            Err(_) => self.new_volume(case, &given)?,
        };
        let mut options = json!({"NoCopy": wanted.no_copy, "Labels": case.view.labels});
        if let Some(subpath) = wanted.subpath {
            if case.view.daemon.api_minor < SUBPATH_API || !is_plain(&format!("/{subpath}")) {
                let message = "a part of a volume needs Docker 26, and a path without `..`";
                return Err(Refusal::forbidden("mounts", message));
            }
            options["Subpath"] = json!(subpath);
        }
        self.all.push(json!({
            "Type": "volume", "Source": name, "Target": target, "ReadOnly": wanted.read_only,
            "VolumeOptions": options,
        }));
        Ok(())
    }

    /// The daemon makes it together with the container.
    fn new_volume(&mut self, case: Case<'_>, given: &str) -> Result<String, Refusal> {
        check_name(given).map_err(|_| {
            Refusal::forbidden(
                "binds",
                "the source of a mount is the name of a volume, or a path of the job's own directory",
            )
        })?;
        let name = case.view.daemon_name(given);
        let known = self
            .notes
            .iter()
            .any(|note| matches!(note, Note::Created { id: Some(id), .. } if *id == name));
        if known {
            return Ok(name);
        }
        let most = case.rules.quota.volumes;
        if case.view.count(Kind::Volume) + self.notes.len() >= most {
            let message = format!("a job has at most {most} volumes (max_volumes in [broker])");
            return Err(Refusal::quota("quota", message));
        }
        self.notes.push(Note::Created {
            kind: Kind::Volume,
            name: given.to_owned(),
            id: Some(name.clone()),
        });
        Ok(name)
    }

    fn tmpfs(&mut self, target: &str, options: &str) -> Result<(), Refusal> {
        let target = self.target(target)?;
        let number = |text: &str| {
            let digits = text.trim_end_matches(['k', 'm', 'g', 'K', 'M', 'G', '%']);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let harmless = |option: &str| match option.split_once('=') {
            Some(("size" | "mode" | "uid" | "gid" | "nr_inodes", value)) => number(value),
            Some(_) => false,
            None => {
                matches!(option, "rw" | "ro" | "noexec" | "exec" | "nosuid" | "nodev" | "noatime")
            }
        };
        if !options.split(',').filter(|option| !option.is_empty()).all(harmless) {
            let message = "options of a tmpfs are size, mode, uid, gid, ro, rw, exec and noexec";
            return Err(Refusal::forbidden("mounts", message));
        }
        self.tmpfs.insert(target, options.to_owned());
        Ok(())
    }
}

/// An absolute path with nothing between its slashes that leads elsewhere.
pub(super) fn is_plain(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|below| {
        path.len() <= 4096 && below.split('/').all(|part| !matches!(part, "" | "." | ".."))
    })
}
