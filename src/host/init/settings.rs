//! The settings file that `init` writes: what was asked for, and nothing that is the default anyway. Pure.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::init::InitSettings;
use crate::settings::{Settings, SettingsError};

const HEAD: &str = "# Settings of longshore, written by `longshore init`. Whoever can write to this file can do as root on this \
    host\n# what they like. All keys are explained in longshore.toml.example; what is left out has its default.\n";

/// The text of the file, which is going to be at `path`.
///
/// # Errors
/// Where the options make no settings.
pub(super) fn text(asked: &InitSettings, path: &Path) -> Result<String, SettingsError> {
    let mut lines = vec![HEAD.to_owned()];
    let docker = docker(asked);
    table(&mut lines, "[docker]", &docker);
    if let (Some(registry), Some(username), Some(password)) =
        (&asked.registry, &asked.registry_username, &asked.registry_password)
    {
        let keys = [("registry", registry), ("username", username), ("password", password)];
        table(&mut lines, "[[docker.login]]", &keys.map(|(key, value)| (key, string(value))));
    }
    let max_jobs = asked.max_jobs.map(|most| ("max_jobs", json!(most)));
    table(&mut lines, "[admission]", &max_jobs.into_iter().collect::<Vec<_>>());
    vault(&mut lines, asked);
    if !asked.raw_socket_projects.is_empty() {
        lines.push(
            "# Everybody who may push to a protected branch of these is root on this host."
                .to_owned(),
        );
        let keys = [
            ("projects", list(&asked.raw_socket_projects)),
            ("protected_only", json!(true)),
            ("docker_socket", string("raw")),
        ];
        table(&mut lines, "[[project]]", &keys);
    }
    let text = lines.join("\n");
    Settings::parse(&text, path)?;
    Ok(text)
}

fn docker(asked: &InitSettings) -> Vec<(&'static str, Value)> {
    let texts = [
        ("host", &asked.docker_host),
        ("tls_cert_path", &asked.docker_tls_cert_path),
        ("helper_image", &asked.helper_image),
        ("default_image", &asked.default_image),
    ];
    let texts = texts.into_iter().filter_map(|(key, value)| Some((key, string(value.as_ref()?))));
    let images =
        (!asked.allowed_images.is_empty()).then(|| ("allowed_images", list(&asked.allowed_images)));
    texts.chain(images).collect()
}

fn vault(lines: &mut Vec<String>, asked: &InitSettings) {
    let Some(address) = &asked.vault_address else { return };
    let path = |path: &Path| string(&path.display().to_string());
    let ca = asked.vault_ca.as_deref().map(|file| ("ca_file", path(file)));
    let keys: Vec<_> = std::iter::once(("address", string(address))).chain(ca).collect();
    table(lines, "[vault]", &keys);
    let role = asked.role_id.as_deref().map(|id| ("role_id", string(id)));
    let secret = ("secret_id_file", path(&asked.secret_id_file));
    let keys: Vec<_> = role.into_iter().chain([secret]).collect();
    table(lines, "[vault.approle]", &keys);
}

fn table(lines: &mut Vec<String>, header: &str, keys: &[(&str, Value)]) {
    if keys.is_empty() {
        return;
    }
    lines.push(header.to_owned());
    // Strings, lists and numbers are the same in both languages.
    lines.extend(keys.iter().map(|(key, value)| format!("{key} = {value}")));
    lines.push(String::new());
}

fn string(text: &str) -> Value {
    json!(text)
}

fn list(texts: &[String]) -> Value {
    json!(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_read_again() {
        let asked = InitSettings {
            docker_host: Some("tcp://docker.example.com:2376".to_owned()),
            docker_tls_cert_path: Some("/etc/longshore/docker-certs".to_owned()),
            helper_image: Some("registry.example.com/git:2".to_owned()),
            allowed_images: vec!["odd\"name".to_owned()],
            raw_socket_projects: vec!["platform/*".to_owned()],
            max_jobs: Some(4),
            vault_address: Some("https://vault.example.com".to_owned()),
            role_id: Some("r".to_owned()),
            secret_id_file: "/etc/longshore/secret_id".into(),
            registry: Some("registry.example.com".to_owned()),
            registry_username: Some("robot".to_owned()),
            registry_password: Some("kv/ci/registry#password".to_owned()),
            ..InitSettings::default()
        };
        let path = Path::new("longshore.toml");
        let settings = Settings::parse(&text(&asked, path).unwrap(), path).unwrap();
        assert_eq!(settings.admission.max_jobs, Some(4));
        assert!(settings.docker.allowed_images.matches("odd\"name"));
        assert_eq!(settings.docker.login.len(), 1);
        assert!(settings.docker.tls_cert_path.is_some());
        assert!(settings.has_raw_socket() && settings.vault.is_some());
    }

    #[test]
    fn nothing_asked_for_is_all_defaults_and_nonsense_is_refused() {
        let path = Path::new("longshore.toml");
        assert_eq!(text(&InitSettings::default(), path).unwrap().lines().count(), 2);
        let odd =
            InitSettings { docker_host: Some("docker".to_owned()), ..InitSettings::default() };
        assert!(text(&odd, path).unwrap_err().to_string().contains("docker.host"));
    }
}
