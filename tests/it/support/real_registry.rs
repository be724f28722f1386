//! The registry that `script/test` starts, with TLS and a login: where it is, who logs in, what is in a
//! repository of a test's own. It puts nothing there itself.

use std::collections::BTreeMap;
use std::process::Command;

use longshore::engine::{RegistryLogin, Repository};
use longshore::secrets::Secret;

use super::job_json::FakeJob;
use super::names::unique;
use super::real::docker_host;

/// A project whose repository is there. Its images on the daemon go with this value.
pub(crate) struct RegistryProject {
    pub(crate) registry: String,
    pub(crate) user: String,
    pub(crate) password: String,
    /// The project's path.
    pub(crate) path: String,
    /// `host/path`.
    pub(crate) repository: String,
    pub(crate) id: u64,
    pub(crate) sha: String,
    pub(crate) pipeline: u64,
}

impl RegistryProject {
    pub(crate) fn new() -> Self {
        let variable = |name: &str| {
            let name = format!("LONGSHORE_TEST_REGISTRY{name}");
            std::env::var(&name).unwrap_or_else(|_| panic!("script/test sets {name}"))
        };
        let file = variable("_PASSWORD_FILE");
        let password =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let (registry, path) = (variable(""), format!("group/{}", unique()));
        let id = FakeJob::new().id;
        Self {
            repository: format!("{registry}/{path}"),
            registry,
            user: variable("_USER"),
            password: password.trim().to_owned(),
            path,
            id,
            sha: format!("{id:08}abcdef0123456789abcdef0123456789"),
            pipeline: id + 7,
        }
    }

    /// A job of its one pipeline, without any login.
    pub(crate) fn job<S: Into<String>>(
        &self,
        stage: &str,
        script: impl IntoIterator<Item = S>,
    ) -> FakeJob {
        FakeJob::new()
            .image("docker:28-cli")
            .script(script)
            .stage(stage)
            .project(self.id, &self.path)
            .pipeline(self.pipeline)
            .sha(&self.sha)
            .registry_image(&self.repository)
    }

    /// With the login that GitLab sends for its own registry.
    pub(crate) fn with_login(&self, job: FakeJob) -> FakeJob {
        job.registry_credentials(&self.registry, &self.user, &self.password)
    }

    /// The tags in the registry, with their digests.
    pub(crate) async fn tags(&self) -> BTreeMap<String, String> {
        let login = RegistryLogin {
            registry: self.registry.clone(),
            username: self.user.clone(),
            password: Secret::new(self.password.as_str()),
        };
        let repository = Repository::new(&self.repository, Some(&login)).unwrap();
        let mut tags = BTreeMap::new();
        for tag in repository.tags().await.unwrap_or_default() {
            let digest = repository.digest(&tag).await.unwrap();
            tags.extend(digest.map(|digest| (tag, digest)));
        }
        tags
    }

    /// References of its repository that the daemon has, by tag or by digest alone.
    pub(crate) fn on_daemon(&self) -> Vec<String> {
        let format = "{{.Repository}}:{{.Tag}}@{{.Digest}}";
        let told = docker(&["image", "ls", "--digests", "--format", format, &self.repository]);
        told.lines().map(str::to_owned).collect()
    }

    /// Takes its names, and those below it, from the daemon: never an image by its id, which may have others.
    pub(crate) fn forget(&self) {
        remove(&self.repository);
        remove(&format!("{}/*", self.repository));
    }
}

/// Removes all names of a repository, or of those that a pattern matches.
pub(crate) fn remove(pattern: &str) {
    let filter = format!("reference={pattern}");
    let format = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}";
    let told = docker(&["image", "ls", "--digests", "--filter", &filter, "--format", format]);
    for name in told.split_whitespace().filter(|name| !name.contains("<none>")) {
        // The last tag takes its digest along.
        docker(&["image", "rm", name]);
    }
}

impl Drop for RegistryProject {
    fn drop(&mut self) {
        self.forget();
    }
}

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(["-H", &docker_host()]).args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
