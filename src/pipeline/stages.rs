//! The scripts of a job's stages, in our own words: what GitLab Runner would send to `run`. Pure.

use super::caches;
use super::model::Artifacts;
use super::response::{has_archive, report_name};
use super::script::{Lines, exports, frame, quote};
use super::spec::{JobSpec, PipelineFacts};

/// A job at one moment, with all that its scripts need.
pub struct Scene<'a> {
    /// The job.
    pub spec: &'a JobSpec,
    /// What all jobs share.
    pub facts: &'a PipelineFacts,
    /// Every variable once, expanded.
    pub variables: &'a [(String, String)],
    /// The project's directory in the container.
    pub project_dir: &'a str,
    /// Where caches are kept, in the container.
    pub cache_dir: &'a str,
}

impl Scene<'_> {
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn temporary(&self, file: &str) -> String {
        quote(&format!("{}.tmp/{file}", self.project_dir))
    }

    pub(super) fn inside(&self) -> Lines {
        Lines::default().line(format!("cd {}", quote(self.project_dir)))
    }
}

/// The script of a stage; `None` where there is nothing to do, and then it is not called.
pub fn script(stage: &str, scene: &Scene<'_>) -> Option<String> {
    let body = match stage {
        "prepare_script" => return Some(frame(&prepare(scene))),
        "cleanup_file_variables" => return Some(frame(&forget(scene))),
        "get_sources" => sources(scene),
        "restore_cache" => caches::restore(scene)?,
        "archive_cache" => caches::archive(scene, true)?,
        "archive_cache_on_failure" => caches::archive(scene, false)?,
        "download_artifacts" => downloads(scene)?,
        "build_script" => {
            let job = &scene.spec.job;
            scene.inside().user(&job.before_script).user(&job.script).finish()
        }
        "after_script" => {
            let commands = &scene.spec.job.after_script;
            if commands.is_empty() {
                return None;
            }
            scene.inside().user(commands).finish()
        }
        "upload_artifacts_on_success" => uploads(scene, true)?,
        "upload_artifacts_on_failure" => uploads(scene, false)?,
        _ => return None,
    };
    Some(frame(&format!("{}{body}", exports(scene.variables, scene.project_dir))))
}

fn prepare(scene: &Scene<'_>) -> String {
    Lines::default()
        .line("echo \"Running on $(hostname) via longshore local...\"")
        .line(format!("rm -f -- {}", scene.temporary("gitlab_runner_env")))
        .finish()
}

fn forget(scene: &Scene<'_>) -> String {
    Lines::default().line(format!("rm -f -- {}", scene.temporary("gitlab_runner_env"))).finish()
}

/// GitLab's depth of a clone where `GIT_DEPTH` says nothing.
const DEPTH: u32 = 20;

fn sources(scene: &Scene<'_>) -> String {
    let directory = quote(scene.project_dir);
    match scene.variable("GIT_STRATEGY") {
        Some("none") => {
            return Lines::default()
                .say("Skipping Git repository setup")
                .line(format!("mkdir -p {directory}"))
                .finish();
        }
        Some("empty") => {
            return Lines::default()
                .say("Skipping Git repository setup and creating an empty build directory")
                .line(format!("mkdir -p {directory}\ncd {directory}\nfind . -mindepth 1 -delete"))
                .finish();
        }
        _ => {}
    }
    let source = &scene.facts.source;
    let depth = scene.variable("GIT_DEPTH").and_then(|text| text.parse().ok()).unwrap_or(DEPTH);
    let depth = if depth == 0 { String::new() } else { format!("--depth {depth} ") };
    let reference = format!("+{}:refs/pipelines/{}", source.sha, scene.facts.pipeline_id);
    let url = scene.spec.repository_url(scene.facts);
    let lines = Lines::default()
        .say("Fetching changes...")
        .line(format!("mkdir -p {directory}\ncd {directory}\ngit init --quiet ."))
        .command(["git", "config", "remote.origin.url", &url])
        .line(format!("git fetch --quiet --no-tags {depth}origin {}", quote(&reference)))
        .command(["git", "checkout", "--quiet", "--force", "--detach", &source.sha])
        .line("git clean -ffdx --quiet")
        .say(&format!(
            "Checked out {} as detached HEAD (ref is {})",
            source.sha.get(..8).unwrap_or_default(),
            source.reference
        ));
    submodules(lines, scene).finish()
}

fn submodules(lines: Lines, scene: &Scene<'_>) -> Lines {
    match scene.variable("GIT_SUBMODULE_STRATEGY") {
        Some("normal") => lines.line("git submodule update --init"),
        Some("recursive") => lines.line("git submodule update --init --recursive"),
        _ => lines.say("Skipping Git submodules setup"),
    }
}

/// Asks for the binary first, as the runner's scripts do; unlike them, does not go on without it.
fn guarded(lines: Lines, what: &str, words: &[&str]) -> Lines {
    lines
        .line("if ! gitlab-runner --version >/dev/null 2>&1; then")
        .say(&format!("Missing gitlab-runner. {what} is disabled."))
        .line("exit 1\nfi")
        .command(words.iter().copied())
}

fn downloads(scene: &Scene<'_>) -> Option<String> {
    if scene.spec.dependencies.is_empty() {
        return None;
    }
    let mut lines = scene.inside();
    for dependency in &scene.spec.dependencies {
        let id = dependency.id;
        let words = gitlab_runner(scene, "artifacts-downloader", id);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        lines = lines.say(&format!("Downloading artifacts for {} ({id})...", dependency.name));
        lines = guarded(lines, "Downloading artifacts", &words);
    }
    Some(lines.finish())
}

fn uploads(scene: &Scene<'_>, passed: bool) -> Option<String> {
    let artifacts = scene.spec.job.artifacts.as_ref()?;
    let archive = artifacts.when.includes(passed) && has_archive(artifacts);
    if !archive && artifacts.reports.is_empty() {
        return None;
    }
    let mut lines = scene.inside();
    if archive {
        lines = upload_archive(lines, scene, artifacts);
    }
    for (kind, paths) in &artifacts.reports {
        lines = upload_report(lines, scene, artifacts, kind, paths);
    }
    Some(lines.finish())
}

/// What every call of the helper binary begins with; `id` is the job whose artifacts are meant.
fn gitlab_runner(scene: &Scene<'_>, command: &str, id: u64) -> Vec<String> {
    let mut words = vec!["gitlab-runner".to_owned(), command.to_owned()];
    option(&mut words, "--url", &scene.facts.server_url);
    option(&mut words, "--token", &scene.spec.token);
    option(&mut words, "--id", &id.to_string());
    words
}

fn uploader(scene: &Scene<'_>, format: &str, kind: &str) -> Vec<String> {
    let mut words = gitlab_runner(scene, "artifacts-uploader", scene.spec.id);
    option(&mut words, "--artifact-format", format);
    option(&mut words, "--artifact-type", kind);
    words
}

pub(super) fn option(words: &mut Vec<String>, name: &str, value: &str) {
    words.push(name.to_owned());
    words.push(value.to_owned());
}

fn upload_archive(lines: Lines, scene: &Scene<'_>, artifacts: &Artifacts) -> Lines {
    let expand = |text: &str| expanded(scene, text);
    let mut words = uploader(scene, "zip", "archive");
    for (name, value) in [("--name", &artifacts.name), ("--expire-in", &artifacts.expire_in)] {
        if let Some(value) = value {
            option(&mut words, name, &expand(value));
        }
    }
    if artifacts.untracked {
        words.push("--untracked".to_owned());
    }
    for path in &artifacts.exclude {
        option(&mut words, "--exclude", &expand(path));
    }
    for path in &artifacts.paths {
        option(&mut words, "--path", &expand(path));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    guarded(lines.say("Uploading artifacts..."), "Uploading artifacts", &words)
}

fn upload_report(
    lines: Lines,
    scene: &Scene<'_>,
    artifacts: &Artifacts,
    kind: &str,
    paths: &[String],
) -> Lines {
    let mut words = uploader(scene, "gzip", kind);
    option(&mut words, "--name", &report_name(kind));
    if let Some(value) = &artifacts.expire_in {
        option(&mut words, "--expire-in", &expanded(scene, value));
    }
    for path in paths {
        option(&mut words, "--path", &expanded(scene, path));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    guarded(lines.say(&format!("Uploading the {kind} report...")), "Uploading artifacts", &words)
}

pub(super) fn expanded(scene: &Scene<'_>, text: &str) -> String {
    crate::job::expand::expand(text, |name| scene.variable(name).map(str::to_owned))
}
