//! Reads the body of a container's creation: the part that says what runs in it (note 3.3). Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::refusal::Refusal;

use super::fields::{Fields, is_zero, wrong};
use super::host::HostConfig;
use super::network::Endpoint;

/// `POST /containers/create`.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerCreate {
    /// The name that the job gives it.
    pub name: Option<String>,
    /// `os/arch[/variant]`.
    pub platform: Option<String>,
    /// The image, as the job names it.
    pub image: String,
    /// What runs in it.
    pub process: Process,
    /// How it stands on its host.
    pub host: HostConfig,
    /// Its networks, by name or id.
    pub endpoints: BTreeMap<String, Endpoint>,
}

/// What runs in a container; fields that are the container's own affair.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "the shape of Docker's JSON")]
pub struct Process {
    /// `Cmd`
    pub cmd: Option<Vec<String>>,
    /// `Entrypoint`; an empty list takes the image's away.
    pub entrypoint: Option<Vec<String>>,
    /// `Env`: `NAME=value`, or `NAME` to take one of the image's away.
    pub env: Vec<String>,
    /// `WorkingDir`
    pub working_dir: Option<String>,
    /// `User`
    pub user: Option<String>,
    /// `Hostname`
    pub hostname: Option<String>,
    /// `Domainname`
    pub domainname: Option<String>,
    /// `Tty`
    pub tty: bool,
    /// `OpenStdin`
    pub open_stdin: bool,
    /// `StdinOnce`
    pub stdin_once: bool,
    /// `AttachStdin`
    pub attach_stdin: bool,
    /// `AttachStdout`
    pub attach_stdout: bool,
    /// `AttachStderr`
    pub attach_stderr: bool,
    /// `NetworkDisabled`
    pub network_disabled: bool,
    /// `ExposedPorts`: `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// `Volumes`: paths that get a volume of their own.
    pub volumes: Vec<String>,
    /// `Healthcheck`
    pub healthcheck: Option<Healthcheck>,
    /// `StopSignal`
    pub stop_signal: Option<String>,
    /// `StopTimeout`, in seconds.
    pub stop_timeout: Option<i64>,
    /// `Shell`
    pub shell: Option<Vec<String>>,
    /// `Labels`
    pub labels: BTreeMap<String, String>,
}

/// `Healthcheck`; times in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// `Test`
    pub test: Option<Vec<String>>,
    /// `Interval`
    pub interval: i64,
    /// `Timeout`
    pub timeout: i64,
    /// `StartPeriod`
    pub start_period: i64,
    /// `StartInterval`
    pub start_interval: i64,
    /// `Retries`
    pub retries: i64,
}

/// Most environment variables of a container.
const MOST_ENV: usize = 256;

/// Most labels of anything.
const MOST_LABELS: usize = 128;

impl ContainerCreate {
    pub(super) fn read(
        name: Option<String>,
        platform: Option<String>,
        body: Value,
    ) -> Result<Self, Refusal> {
        let mut body = Fields::of("", body)?;
        let image = body.text("Image")?.ok_or_else(|| {
            Refusal::malformed("field", "Image is missing: a container needs an image")
        })?;
        let process = Process::read(&mut body)?;
        let host = HostConfig::read(body.object("HostConfig")?)?;
        let mut networking = body.object("NetworkingConfig")?;
        let endpoints = endpoints(&mut networking)?;
        networking.end()?;
        body.nothing(&[
            ("MacAddress", "network", "addresses are given by the job's own network"),
            ("OnBuild", "field", "it is for images"),
            ("ArgsEscaped", "field", "it is for Windows"),
        ])?;
        body.end()?;
        Ok(Self { name, platform, image, process, host, endpoints })
    }
}

fn endpoints(networking: &mut Fields) -> Result<BTreeMap<String, Endpoint>, Refusal> {
    let entries = networking.entries("EndpointsConfig")?;
    let place = networking.path("EndpointsConfig");
    entries
        .into_iter()
        .map(|(name, value)| {
            let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value };
            Ok((name, Endpoint::read(Fields::of(&format!("{place}[]"), value)?)?))
        })
        .collect()
}

impl Process {
    pub(super) fn read(body: &mut Fields) -> Result<Self, Refusal> {
        Ok(Self {
            cmd: words(body, "Cmd")?,
            entrypoint: words(body, "Entrypoint")?,
            env: env(body)?,
            working_dir: body.text("WorkingDir")?,
            user: body.text("User")?,
            hostname: body.text("Hostname")?,
            domainname: body.text("Domainname")?,
            tty: body.or_zero("Tty")?,
            open_stdin: body.or_zero("OpenStdin")?,
            stdin_once: body.or_zero("StdinOnce")?,
            attach_stdin: body.or_zero("AttachStdin")?,
            attach_stdout: body.or_zero("AttachStdout")?,
            attach_stderr: body.or_zero("AttachStderr")?,
            network_disabled: body.or_zero("NetworkDisabled")?,
            exposed_ports: set(body, "ExposedPorts")?,
            volumes: set(body, "Volumes")?,
            healthcheck: Healthcheck::read(body)?,
            stop_signal: body.text("StopSignal")?,
            stop_timeout: body.take("StopTimeout")?,
            shell: words(body, "Shell")?,
            labels: labels(body, "Labels")?,
        })
    }
}

impl Healthcheck {
    fn read(body: &mut Fields) -> Result<Option<Self>, Refusal> {
        let Some(mut fields) = body.some_object("Healthcheck")? else { return Ok(None) };
        let check = Self {
            test: words(&mut fields, "Test")?,
            interval: fields.or_zero("Interval")?,
            timeout: fields.or_zero("Timeout")?,
            start_period: fields.or_zero("StartPeriod")?,
            start_interval: fields.or_zero("StartInterval")?,
            retries: fields.or_zero("Retries")?,
        };
        fields.end()?;
        Ok(Some(check))
    }
}

/// A list of words, or one word alone, which is what Docker reads a text as.
pub(super) fn words(body: &mut Fields, key: &str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(value) = body.take::<Value>(key)? else { return Ok(None) };
    let words: Option<Vec<String>> = match value {
        Value::String(word) => Some(vec![word]),
        Value::Array(words) => {
            words.into_iter().map(|word| word.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    };
    let words = words.filter(|words| words.iter().all(|word| !word.contains('\0')));
    words.map(Some).ok_or_else(|| wrong(&body.path(key), "a list of texts"))
}

/// `Env`, bounded.
pub(super) fn env(body: &mut Fields) -> Result<Vec<String>, Refusal> {
    let env = words(body, "Env")?.unwrap_or_default();
    let named = |one: &String| !one.is_empty() && !one.starts_with('=');
    if env.len() > MOST_ENV || !env.iter().all(named) {
        let expected = format!("at most {MOST_ENV} of NAME=value");
        return Err(wrong(&body.path("Env"), &expected));
    }
    Ok(env)
}

/// Go's way to write a set: an object whose values are empty objects.
fn set(body: &mut Fields, key: &str) -> Result<Vec<String>, Refusal> {
    let entries = body.entries(key)?;
    if entries.len() > 128 || !entries.values().all(is_zero) {
        return Err(wrong(&body.path(key), "an object of at most 128 empty objects"));
    }
    Ok(entries.into_keys().collect())
}

/// Labels of the client's own; ours are not among them.
pub(super) fn labels(body: &mut Fields, key: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let labels: BTreeMap<String, String> = body.or_zero(key)?;
    check_labels(&body.path(key), labels)
}

/// The same for labels from anywhere.
pub(super) fn check_labels(
    place: &str,
    labels: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    if labels.len() > MOST_LABELS
        || labels.iter().any(|(key, value)| key.len() + value.len() > 65536)
    {
        return Err(wrong(place, "at most 128 labels of at most 64 KiB"));
    }
    let ours = |name: &String| name.to_lowercase().starts_with("longshore.");
    if labels.keys().any(ours) {
        let message = format!("{place} begins with `longshore.`, which is ours: leave it out");
        return Err(Refusal::forbidden("labels", message));
    }
    Ok(labels)
}
