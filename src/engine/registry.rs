//! Reads the words in which a daemon passes on what a registry said. Pure: text in, class out.
//!
//! The daemon answers a failed pull with 404 or 500 or an error in the middle of a 200 for all kinds of
//! causes, so that only its sentence tells them apart.

use std::time::Duration;

use super::Fault;

pub(super) mod http;
mod sentence;
pub(super) mod tags;
mod throw_away;

/// Why the way to the registry cannot be trusted; trying again does not help.
const UNTRUSTED: &[&str] = &["x509:", "certificate", "server gave http response to https client"];
/// Its limit of requests.
const THROTTLED: &[&str] = &["toomanyrequests", "too many requests", "429"];
/// This host's own trouble, whatever else the sentence says.
const OURS: &[&str] = &["no space left on device", "read-only file system", "input/output error"];
/// The credentials are wrong or missing, or the image is hidden from them.
const DENIED: &[&str] = &[
    "denied",
    "unauthorized",
    "authentication required",
    "did not include a token",
    "no basic auth credentials",
    "incorrect username or password",
    "403 forbidden",
    "status: 403",
    "status: 401",
];
/// The registry answers, and says that there is no such name, tag, digest or platform.
const UNKNOWN: &[&str] = &[
    "manifest unknown",
    "name unknown",
    "no matching manifest",
    "does not match the specified platform",
    "does not exist",
    "not found",
];
/// The registry or the network on the way to it fails for now.
const PASSING: &[&str] = &[
    "timeout",
    "deadline exceeded",
    "connection refused",
    "connection reset",
    "no such host",
    "server misbehaving",
    "temporary failure",
    "network is unreachable",
    "no route to host",
    "request canceled",
    "tls",
    "eof",
    "http status: 5",
    "500 internal server error",
    "502 bad gateway",
    "503 service unavailable",
    "504 gateway",
    "blob upload unknown",
    "unavailable",
];

/// The class of a failed pull or push of `reference`, from the daemon's status and sentence.
pub fn fault(reference: &str, status: u16, message: &str) -> Fault {
    let words = sentence::without_names(reference, message);
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    if says(UNTRUSTED) {
        Fault::Untrusted
    } else if says(OURS) {
        Fault::Daemon
    } else if says(THROTTLED) {
        Fault::Throttled
    } else if says(DENIED) {
        Fault::Denied
    } else if status == 400 {
        Fault::Refused
    } else if says(PASSING) {
        Fault::Transient
    } else if says(UNKNOWN) || status == 404 {
        Fault::NoSuchImage
    } else {
        Fault::Daemon
    }
}

/// The reference without tag and digest.
fn repository(reference: &str) -> &str {
    let name = reference.split_once('@').map_or(reference, |(name, _digest)| name);
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    name[base..].find(':').map_or(name, |colon| &name[..base + colon])
}

/// The reference with `:latest` where it has neither tag nor digest: without one the daemon pulls every
/// tag there is.
pub(super) fn with_tag(reference: &str) -> String {
    if repository(reference) == reference {
        format!("{reference}:latest")
    } else {
        reference.to_owned()
    }
}

/// Where the image's manifest lies at its registry; `None` where the name has no path. A loopback registry
/// is asked without TLS, as daemons do.
pub(super) fn manifest_url(reference: &str) -> Option<String> {
    let with_tag = with_tag(reference);
    let name = repository(&with_tag);
    let version = with_tag[name.len()..].trim_start_matches([':', '@']);
    // Of a reference with tag and digest the digest counts.
    let version = version.split_once('@').map_or(version, |(_tag, digest)| digest);
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        Some(_) => ("docker.io", name),
        None => return Some(hub(&format!("library/{name}"), version)),
    };
    if host == "docker.io" {
        return Some(hub(path, version));
    }
    let plain = host.starts_with("127.") || host.starts_with("localhost");
    let scheme = if plain { "http" } else { "https" };
    (!path.is_empty()).then(|| format!("{scheme}://{host}/v2/{path}/manifests/{version}"))
}

fn hub(path: &str, version: &str) -> String {
    format!("https://registry-1.docker.io/v2/{path}/manifests/{version}")
}

/// The wait that a registry asks for in its sentence (`retry-after: 1.5s`), in Go's notation of one
/// number and one unit.
pub(super) fn retry_after(message: &str) -> Option<Duration> {
    let words = message.to_lowercase();
    let (_before, after) = words.split_once("retry-after:")?;
    let text = after.trim_start();
    let is_unit = |letter: char| !letter.is_ascii_digit() && letter != '.';
    let end = text.find(is_unit).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: String = unit.chars().take_while(|letter| letter.is_alphabetic()).collect();
    let seconds = number.parse::<f64>().ok()? * seconds_in(&unit)?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn seconds_in(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        // Go writes the micro sign, others the Greek letter or a plain u.
        "\u{b5}s" | "\u{3bc}s" | "us" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" | "" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
