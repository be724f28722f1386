//! Jobs in the shape that GitLab hands out: a builder with sane defaults, rendered to the JSON that the
//! runner leaves in `JOB_RESPONSE_FILE`. It knows nothing of processes or files.

pub use super::job_shape::{Artifact, Cache, Dependency, Git, Variable, image_value};

use super::job_shape::job_value;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type Edit = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// A job to hand to the fake runner. Ids differ between jobs of one test run, so tests can run together.
#[derive(Clone)]
pub struct FakeJob {
    pub id: u64,
    pub token: String,
    pub name: String,
    pub stage: String,
    pub pipeline_id: u64,
    pub project_id: u64,
    pub project_path: String,
    pub server_url: String,
    pub image: Option<Value>,
    pub services: Vec<Value>,
    pub script: Vec<String>,
    pub after_script: Option<Vec<String>>,
    pub steps: Vec<(String, Vec<String>)>,
    pub variables: Vec<Variable>,
    pub git: Git,
    pub artifacts: Vec<Artifact>,
    pub cache: Vec<Cache>,
    pub dependencies: Vec<Dependency>,
    pub credentials: Vec<Value>,
    pub registry_image: String,
    pub timeout: Duration,
    /// What `JOB_RESPONSE_FILE` holds instead of the job's JSON; for broken input.
    pub response: Option<Vec<u8>>,
    /// Overrides for single stage scripts, by stage name.
    pub scripts: Vec<(String, String)>,
    edits: Vec<Edit>,
}

impl Default for FakeJob {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeJob {
    /// A job `test` of `group/project` on the protected branch `main`: no image, `script: [true]`, sources none.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = u64::from(std::process::id()) * 1000 + NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            id,
            token: format!("glcbt-64_token{id}"),
            name: "test".into(),
            stage: "test".into(),
            pipeline_id: id + 7,
            project_id: 42,
            project_path: "group/project".into(),
            server_url: "http://127.0.0.1:9".into(),
            image: None,
            services: Vec::new(),
            script: vec!["true".into()],
            after_script: None,
            steps: Vec::new(),
            variables: Vec::new(),
            git: Git {
                repo_url: "http://127.0.0.1:9/group/project.git".into(),
                sha: "0123456789abcdef0123456789abcdef01234567".into(),
                reference: "main".into(),
                is_tag: false,
                protected: true,
                depth: 20,
            },
            artifacts: Vec::new(),
            cache: Vec::new(),
            dependencies: Vec::new(),
            credentials: Vec::new(),
            registry_image: "registry.example/group/project".into(),
            timeout: Duration::from_hours(1),
            response: None,
            scripts: Vec::new(),
            edits: Vec::new(),
        }
        .variable("GIT_STRATEGY", "none")
    }

    pub fn id(mut self, id: u64) -> Self {
        self.id = id;
        self
    }

    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    pub fn stage(mut self, stage: &str) -> Self {
        self.stage = stage.into();
        self
    }

    pub fn pipeline(mut self, id: u64) -> Self {
        self.pipeline_id = id;
        self
    }

    pub fn project(mut self, id: u64, path: &str) -> Self {
        self.project_id = id;
        self.project_path = path.into();
        self
    }

    /// Where the coordinator's API answers; used by artifact scripts and `CI_SERVER_URL`.
    pub fn server_url(mut self, url: &str) -> Self {
        self.server_url = url.into();
        self
    }

    pub fn image(self, name: &str) -> Self {
        self.image_value(image_value(name))
    }

    pub fn image_with_entrypoint(self, name: &str, entrypoint: &[&str]) -> Self {
        let mut image = image_value(name);
        image["entrypoint"] = json!(entrypoint);
        self.image_value(image)
    }

    /// The `image` object as it stands; see [`image_value`] for a start.
    pub fn image_value(mut self, image: Value) -> Self {
        self.image = Some(image);
        self
    }

    pub fn service(mut self, name: &str, alias: &str) -> Self {
        let mut service = image_value(name);
        service["alias"] = json!(alias);
        self.services.push(service);
        self
    }

    pub fn service_value(mut self, service: Value) -> Self {
        self.services.push(service);
        self
    }

    pub fn script<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        self.script = lines.into_iter().map(Into::into).collect();
        self
    }

    pub fn after_script<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        self.after_script = Some(lines.into_iter().map(Into::into).collect());
        self
    }

    /// A further user step, sent as stage `step_NAME` while nothing has failed.
    pub fn step<S: Into<String>>(mut self, name: &str, lines: impl IntoIterator<Item = S>) -> Self {
        self.steps.push((name.into(), lines.into_iter().map(Into::into).collect()));
        self
    }

    /// A public variable; a later one of the same key wins in the environment.
    pub fn variable(self, key: &str, value: &str) -> Self {
        self.push(key, value, |_| ())
    }

    pub fn masked(self, key: &str, value: &str) -> Self {
        self.push(key, value, |variable| variable.masked = true)
    }

    /// A file variable: scripts see a path below `<project>.tmp`, the environment its content.
    pub fn file(self, key: &str, content: &str) -> Self {
        self.push(key, content, |variable| variable.file = true)
    }

    /// A variable whose value is never expanded.
    pub fn raw(self, key: &str, value: &str) -> Self {
        self.push(key, value, |variable| variable.raw = true)
    }

    fn push(mut self, key: &str, value: &str, change: impl FnOnce(&mut Variable)) -> Self {
        let mut variable = Variable {
            key: key.into(),
            value: value.into(),
            masked: false,
            file: false,
            raw: false,
            public: true,
        };
        change(&mut variable);
        self.variables.push(variable);
        self
    }

    /// `GIT_STRATEGY: none`, which is the default here.
    pub fn no_sources(self) -> Self {
        self.variable("GIT_STRATEGY", "none")
    }

    /// Sources by `git fetch` from `repo_url` at `sha`.
    pub fn sources(mut self, repo_url: &str, sha: &str) -> Self {
        self.git.repo_url = repo_url.into();
        self.git.sha = sha.into();
        self.variable("GIT_STRATEGY", "fetch")
    }

    pub fn sha(mut self, sha: &str) -> Self {
        self.git.sha = sha.into();
        self
    }

    pub fn branch(mut self, name: &str, protected: bool) -> Self {
        self.git.reference = name.into();
        self.git.protected = protected;
        self
    }

    /// Files to keep when the job succeeds, as a zip archive.
    pub fn artifact(self, paths: &[&str]) -> Self {
        self.artifact_entry(Artifact {
            name: String::new(),
            paths: paths.iter().map(ToString::to_string).collect(),
            exclude: Vec::new(),
            when: "on_success".into(),
            kind: "archive".into(),
            format: "zip".into(),
            untracked: false,
            expire_in: "1 week".into(),
        })
    }

    pub fn artifact_entry(mut self, artifact: Artifact) -> Self {
        self.artifacts.push(artifact);
        self
    }

    /// `artifacts:reports:dotenv`.
    pub fn dotenv(self, path: &str) -> Self {
        self.artifact_entry(Artifact {
            name: String::new(),
            paths: vec![path.into()],
            exclude: Vec::new(),
            when: "always".into(),
            kind: "dotenv".into(),
            format: "gzip".into(),
            untracked: false,
            expire_in: String::new(),
        })
    }

    pub fn dependency(mut self, id: u64, token: &str, name: &str) -> Self {
        self.dependencies.push(Dependency { id, token: token.into(), name: name.into() });
        self
    }

    pub fn cache(mut self, key: &str, paths: &[&str]) -> Self {
        self.cache.push(Cache {
            key: key.into(),
            fallback_keys: Vec::new(),
            paths: paths.iter().map(ToString::to_string).collect(),
            when: "on_success".into(),
            policy: "pull-push".into(),
        });
        self
    }

    /// A further key to restore the last cache from.
    pub fn fallback_key(mut self, key: &str) -> Self {
        self.cache.last_mut().expect("a cache").fallback_keys.push(key.into());
        self
    }

    pub fn registry_credentials(mut self, url: &str, username: &str, password: &str) -> Self {
        self.credentials.push(json!({
            "type": "registry", "url": url, "username": username, "password": password,
        }));
        self
    }

    pub fn registry_image(mut self, image: &str) -> Self {
        self.registry_image = image.into();
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Replaces the whole script of one stage (its text, shebang and all).
    pub fn stage_script(mut self, stage: &str, text: &str) -> Self {
        self.scripts.push((stage.into(), text.into()));
        self
    }

    /// Changes the job's JSON before it is written, for shapes this builder has no word for.
    pub fn edit_json(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edits.push(Arc::new(edit));
        self
    }

    /// Writes these bytes instead of the job's JSON.
    pub fn broken_response(mut self, bytes: &[u8]) -> Self {
        self.response = Some(bytes.to_vec());
        self
    }

    /// The value of the last variable of this name.
    pub fn value_of(&self, key: &str) -> Option<&str> {
        self.variables.iter().rev().find(|v| v.key == key).map(|v| v.value.as_str())
    }

    /// The variables GitLab makes, then the job's own: the order of the JSON.
    pub fn all_variables(&self) -> Vec<Variable> {
        let mut all = super::environment::predefined(self);
        all.extend(self.variables.iter().cloned());
        all
    }

    /// The bytes of `JOB_RESPONSE_FILE`.
    pub fn response_bytes(&self) -> Vec<u8> {
        if let Some(bytes) = &self.response {
            return bytes.clone();
        }
        let mut value = job_value(self);
        for edit in &self.edits {
            edit(&mut value);
        }
        serde_json::to_vec(&value).expect("a JSON value renders")
    }

    /// The refspec GitLab would send for the job's ref.
    pub fn refspec(&self) -> String {
        if self.git.is_tag {
            return format!("+refs/tags/{0}:refs/tags/{0}", self.git.reference);
        }
        format!("+refs/heads/{0}:refs/remotes/origin/{0}", self.git.reference)
    }

    pub fn project_name(&self) -> &str {
        self.project_path.rsplit('/').next().unwrap_or(&self.project_path)
    }
}
