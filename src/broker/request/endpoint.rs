//! The endpoints that there are (note 3.2); what is not in this table is refused. Pure.

use crate::broker::refusal::Refusal;

use super::{BodyKind, Method};

/// One endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Method.
    pub method: Method,
    /// Path; `*` stands for the name of an object.
    pub path: &'static str,
    /// What it is for.
    pub call: Call,
    /// What follows the head.
    pub body: BodyKind,
}

macro_rules! endpoints {
    ($($method:ident $path:literal $call:ident $body:ident;)+) => {
        /// What an endpoint is for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Call {
            $(#[doc = concat!("`", stringify!($method), " ", $path, "`")] $call),+
        }

        /// All of them.
        pub const ENDPOINTS: &[Endpoint] = &[
            $(Endpoint {
                method: Method::$method,
                path: $path,
                call: Call::$call,
                body: BodyKind::$body,
            }),+
        ];
    };
}

endpoints! {
    Get "/_ping" Ping None;
    Head "/_ping" PingHead None;
    Get "/version" Version None;
    Get "/info" Info None;
    Post "/auth" Auth Json;
    Get "/events" Events None;
    Post "/containers/create" ContainerCreate Json;
    Get "/containers/json" Containers None;
    Post "/containers/prune" ContainersPrune None;
    Get "/containers/*/json" ContainerInspect None;
    Get "/containers/*/logs" ContainerLogs None;
    Get "/containers/*/top" ContainerTop None;
    Get "/containers/*/stats" ContainerStats None;
    Get "/containers/*/changes" ContainerChanges None;
    Get "/containers/*/export" ContainerExport None;
    Head "/containers/*/archive" ArchiveStat None;
    Get "/containers/*/archive" ArchiveGet None;
    Put "/containers/*/archive" ArchivePut Stream;
    Post "/containers/*/start" ContainerStart None;
    Post "/containers/*/stop" ContainerStop None;
    Post "/containers/*/restart" ContainerRestart None;
    Post "/containers/*/kill" ContainerKill None;
    Post "/containers/*/pause" ContainerPause None;
    Post "/containers/*/unpause" ContainerUnpause None;
    Post "/containers/*/resize" ContainerResize None;
    Post "/containers/*/wait" ContainerWait None;
    Post "/containers/*/rename" ContainerRename None;
    Post "/containers/*/update" ContainerUpdate Json;
    Post "/containers/*/attach" ContainerAttach None;
    Post "/containers/*/exec" ExecCreate Json;
    Delete "/containers/*" ContainerRemove None;
    Post "/exec/*/start" ExecStart Json;
    Post "/exec/*/resize" ExecResize None;
    Get "/exec/*/json" ExecInspect None;
    Post "/commit" Commit Json;
    Post "/build" Build Stream;
    Get "/images/json" Images None;
    Post "/images/create" ImagePull None;
    Post "/images/prune" ImagesPrune None;
    Get "/images/get" ImagesSave None;
    Get "/images/*/json" ImageInspect None;
    Get "/images/*/history" ImageHistory None;
    Get "/images/*/get" ImageSave None;
    Post "/images/*/tag" ImageTag None;
    Post "/images/*/push" ImagePush None;
    Delete "/images/*" ImageRemove None;
    Get "/distribution/*/json" Distribution None;
    Get "/networks" Networks None;
    Post "/networks/create" NetworkCreate Json;
    Post "/networks/prune" NetworksPrune None;
    Get "/networks/*" NetworkInspect None;
    Delete "/networks/*" NetworkRemove None;
    Post "/networks/*/connect" NetworkConnect Json;
    Post "/networks/*/disconnect" NetworkDisconnect Json;
    Get "/volumes" Volumes None;
    Post "/volumes/create" VolumeCreate Json;
    Post "/volumes/prune" VolumesPrune None;
    Get "/volumes/*" VolumeInspect None;
    Delete "/volumes/*" VolumeRemove None;
    Post "/build/prune" BuildPrune None;
}

/// Beginnings of what is refused with a word of its own.
const HINTS: [(&str, &str); 9] = [
    ("session", "BuildKit's session is not offered; set DOCKER_BUILDKIT=0 for the classic builder"),
    ("grpc", "BuildKit's own API is not offered; set DOCKER_BUILDKIT=0 for the classic builder"),
    ("swarm", "there is no swarm"),
    ("services", "there is no swarm"),
    ("plugins", "plugins are the operator's"),
    ("libpod", "this is Docker's API, not Podman's"),
    ("system", "what the host holds is the operator's to know"),
    ("images/search", "registries are not searched; pull by name"),
    ("images/load", "push the image to the project's repository, and pull it where it is wanted"),
];

/// The endpoint of a path, and the object that it names, empty for none.
pub(super) fn find(
    method: Method,
    segments: &[String],
) -> Result<(&'static Endpoint, String), Refusal> {
    let path = segments.join("/");
    let exact = ENDPOINTS.iter().filter(|one| one.method == method);
    let found = exact.clone().find(|one| one.path[1..] == path).map(|one| (one, String::new()));
    let found =
        found.or_else(|| exact.clone().find_map(|one| Some((one, object(one.path, &path)?))));
    found.ok_or_else(|| {
        let first = segments.first().map_or("", String::as_str);
        let hint = HINTS
            .iter()
            .find(|(start, _)| *start == first || *start == path)
            .map(|(_, hint)| *hint);
        let hint = hint.unwrap_or("it is not among what a job may ask for");
        Refusal::forbidden("endpoint", format!("this endpoint is not offered: {hint}"))
    })
}

/// What stands in the place of the star. Only an image's name has slashes.
fn object(pattern: &str, path: &str) -> Option<String> {
    let (before, after) = pattern[1..].split_once('*')?;
    let object = path.strip_prefix(before)?.strip_suffix(after)?;
    let slashes = matches!(before, "images/" | "distribution/");
    (!object.is_empty() && (slashes || !object.contains('/'))).then(|| object.to_owned())
}
