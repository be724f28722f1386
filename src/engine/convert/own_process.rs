//! What differs in the body of a container in which the image's own process runs: nobody attaches to it,
//! and the daemon keeps its last words. Pure.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};

use crate::plan::container::OwnProcess;

/// The body with the image's process instead of ours.
pub(super) fn apply(body: ContainerCreateBody, own: &OwnProcess) -> ContainerCreateBody {
    let host = body.host_config.unwrap_or_default();
    ContainerCreateBody {
        env: Some(own.env.lines().collect()),
        cmd: (!own.command.is_empty()).then(|| own.command.clone()),
        // The image's own check stays as it is.
        healthcheck: None,
        user: body.user.filter(|user| !user.is_empty()),
        open_stdin: None,
        attach_stdin: None,
        attach_stdout: None,
        attach_stderr: None,
        host_config: Some(HostConfig { log_config: Some(log(own.log_bytes)), ..host }),
        ..body
    }
}

/// One file of this size: the `local` driver refuses to compress a single one.
fn log(bytes: u64) -> HostConfigLogConfig {
    if bytes == 0 {
        return HostConfigLogConfig { typ: Some("none".to_owned()), config: None };
    }
    let options =
        [("max-size", bytes.to_string()), ("max-file", "1".into()), ("compress", "false".into())];
    let options = options.into_iter().map(|(key, value): (&str, String)| (key.to_owned(), value));
    HostConfigLogConfig {
        typ: Some("local".to_owned()),
        config: Some(options.collect::<HashMap<_, _>>()),
    }
}
