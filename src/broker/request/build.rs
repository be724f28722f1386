//! Reads the query of a build (note 3.4). Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::refusal::Refusal;

use super::exec::label_map;
use super::fields::wrong;
use super::query::Query;

/// `POST /build` of the classic builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Path of the Dockerfile in the context.
    pub dockerfile: String,
    /// Names of the image, as the job writes them.
    pub tags: Vec<String>,
    /// Whether only the image's id is printed.
    pub quiet: bool,
    /// Whether nothing is taken from earlier builds.
    pub no_cache: bool,
    /// Whether base images are pulled though they are here.
    pub pull: bool,
    /// Build arguments; `None` takes a value from nowhere.
    pub arguments: BTreeMap<String, Option<String>>,
    /// The stage to end with.
    pub target: Option<String>,
    /// `os/arch[/variant]`.
    pub platform: Option<String>,
    /// Labels of the job's own.
    pub labels: BTreeMap<String, String>,
    /// Images whose layers may be taken.
    pub cache_from: Vec<String>,
    /// `default`, `none`, or a network of the job's.
    pub network: Option<String>,
    /// Names for its steps: `NAME:ADDRESS`.
    pub extra_hosts: Vec<String>,
    /// Bytes of `/dev/shm`.
    pub shm: i64,
    /// Bytes of memory.
    pub memory: i64,
}

/// Most names of one image.
const MOST_TAGS: usize = 16;

const NEVER: [(&str, &str, &str); 16] = [
    ("remote", "build-remote", "the daemon fetches no context; send it"),
    ("cgroupparent", "build", "the control group is the job's"),
    ("session", "build-session", "BuildKit's session is not offered; set DOCKER_BUILDKIT=0"),
    ("buildid", "build-session", "BuildKit's session is not offered; set DOCKER_BUILDKIT=0"),
    ("outputs", "build-session", "BuildKit is not offered; set DOCKER_BUILDKIT=0"),
    ("squash", "build", "it is experimental"),
    ("ulimits", "build", "limits are the operator's"),
    ("securityopt", "build", "security options are the operator's"),
    ("isolation", "build", "it is for Windows"),
    ("memswap", "build", "swap is the operator's"),
    ("cpushares", "build", "CPU is the operator's"),
    ("cpuperiod", "build", "CPU is the operator's"),
    ("cpuquota", "build", "CPU is the operator's"),
    ("cpusetcpus", "build", "CPU is the operator's"),
    ("cpusetmems", "build", "memory nodes are the operator's"),
    ("stream", "build-session", "it is experimental"),
];

impl Build {
    pub(super) fn read(query: &mut Query) -> Result<Self, Refusal> {
        if !matches!(query.text("version")?.as_deref(), None | Some("1")) {
            return Err(Refusal::forbidden(
                "build-session",
                "BuildKit is not offered; set DOCKER_BUILDKIT=0 for the classic builder",
            ));
        }
        query.nothing(&NEVER)?;
        let tags = query.all("t")?;
        if tags.len() > MOST_TAGS {
            return Err(Refusal::malformed("query", "an image has at most 16 names"));
        }
        // Intermediate containers go in any case.
        query.skip(&["rm", "forcerm"])?;
        Ok(Self {
            dockerfile: query.text("dockerfile")?.unwrap_or_else(|| "Dockerfile".to_owned()),
            tags,
            quiet: query.flag("q")?,
            no_cache: query.flag("nocache")?,
            pull: query.flag("pull")?,
            arguments: arguments(query.json("buildargs")?)?,
            target: query.text("target")?,
            platform: query.text("platform")?,
            labels: label_map(query.json("labels")?)?,
            cache_from: list(query.json("cachefrom")?)?,
            network: query.text("networkmode")?,
            extra_hosts: query.all("extrahosts")?,
            shm: query.count("shmsize")?.unwrap_or_default(),
            memory: query.count("memory")?.unwrap_or_default(),
        })
    }
}

fn arguments(value: Option<Value>) -> Result<BTreeMap<String, Option<String>>, Refusal> {
    let Some(value) = value else { return Ok(BTreeMap::new()) };
    serde_json::from_value(value).map_err(|_| wrong("buildargs", "an object of texts"))
}

fn list(value: Option<Value>) -> Result<Vec<String>, Refusal> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let list: Option<Vec<String>> =
        serde_json::from_value(value).map_err(|_| wrong("cachefrom", "a list of images"))?;
    Ok(list.unwrap_or_default())
}
