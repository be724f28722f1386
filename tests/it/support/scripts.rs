//! Stage scripts in the shape that GitLab Runner sends them, in our own words: an export block, file
//! variables below `<project>.tmp`, then one quoted blob that is evaluated in a subshell without stdin.

use super::cache_script;
use super::environment::{Moment, variables};
use super::job_json::{Artifact, FakeJob, Variable};
use std::fmt::Write;

/// The text of one stage's script; `None` when the stage has nothing to do and is not sent.
pub fn stage_script(job: &FakeJob, moment: &Moment, stage: &str) -> Option<String> {
    if let Some((_, text)) = job.scripts.iter().rev().find(|(name, _)| name == stage) {
        return Some(text.clone());
    }
    let body = body(job, moment, stage)?;
    let exports = match stage {
        "prepare_script" | "cleanup_file_variables" | "clear_worktree" => String::new(),
        _ => exports(job, moment),
    };
    Some(wrap(job, &format!("{exports}{body}")))
}

fn body(job: &FakeJob, moment: &Moment, stage: &str) -> Option<String> {
    let project = quote(&moment.project_dir);
    let inside = |text: String| format!("cd {project}\n{text}");
    match stage {
        "prepare_script" => Some(format!(
            "echo \"Running on $(hostname)...\"\nrm -f -- {tmp}/gitlab_runner_env {tmp}/masking.db\n",
            tmp = quote(&moment.temporary_dir())
        )),
        "get_sources" => Some(sources(job, moment)),
        "clear_worktree" => Some(format!(
            "if [ -d {project} ]; then cd {project} && find . -mindepth 1 -delete; fi\n"
        )),
        "restore_cache" => {
            some(job.cache.iter().map(|c| cache_script::restore(job, c, moment)), inside)
        }
        "download_artifacts" => some(downloads(job), inside),
        "build_script" => Some(inside(commands(job, &job.script))),
        "after_script" => job.after_script.as_ref().map(|lines| inside(commands(job, lines))),
        "archive_cache" | "archive_cache_on_failure" => {
            let failed = stage.ends_with("_failure");
            let wanted = job.cache.iter().filter(|c| matches(&c.when, failed));
            some(wanted.map(|c| cache_script::archive(c, moment)), inside)
        }
        "upload_artifacts_on_success" => some(uploads(job, false), inside),
        "upload_artifacts_on_failure" => some(uploads(job, true), inside),
        "cleanup_file_variables" => Some(cleanup(job, moment)),
        _ => {
            let name = stage.strip_prefix("step_")?;
            let (_, lines) = job.steps.iter().find(|(step, _)| step == name)?;
            Some(inside(commands(job, lines)))
        }
    }
}

/// One text of several parts, or nothing when there are none.
fn some(parts: impl Iterator<Item = String>, inside: impl Fn(String) -> String) -> Option<String> {
    let text: String = parts.collect();
    (!text.is_empty()).then(|| inside(text))
}

fn matches(when: &str, failed: bool) -> bool {
    matches!((when, failed), ("always", _) | ("on_failure", true) | ("on_success" | "", false))
}

fn is_on(job: &FakeJob, flag: &str) -> bool {
    job.value_of(flag) == Some("true")
}

/// The frame around a script's text: dies of TERM with 1, stops at the first failure, no stdin for the
/// commands. Runners before 19.1 give them an empty pipe instead, as does `FF_USE_LEGACY_BASH_EVAL`.
pub fn wrap(job: &FakeJob, text: &str) -> String {
    let posix = is_on(job, "FF_POSIXLY_CORRECT_ESCAPES");
    let blob = if posix { quote_posix(text) } else { quote_ansi(text) };
    let trace = if is_on(job, "CI_DEBUG_TRACE") { "set -o xtrace\n" } else { "" };
    let eval = if is_on(job, "FF_USE_LEGACY_BASH_EVAL") {
        format!(": | eval {blob}")
    } else {
        format!("(trap 'exit 1' TERM; eval {blob}) </dev/null")
    };
    format!(
        "#!/usr/bin/env bash\n\ntrap 'exit 1' TERM\n{trace}\
         case \"$(set -o)\" in *pipefail*) set -o pipefail ;; esac\nset -o errexit\nset +o noclobber\n\
         {eval}\nexit 0\n"
    )
}

fn exports(job: &FakeJob, moment: &Moment) -> String {
    let mut text = String::new();
    let directory = moment.temporary_dir();
    for Variable { key, value, file, .. } in variables(job, moment) {
        if file {
            let path = quote(&format!("{directory}/{key}"));
            let _ = writeln!(text, "mkdir -p {}", quote(&directory));
            let _ = writeln!(text, "printf '%s' {} > {path}\nexport {key}={path}", quote(&value));
        } else {
            let _ = writeln!(text, "export {key}={}", quote(&value));
        }
    }
    let env_file = quote(&format!("{directory}/gitlab_runner_env"));
    let _ = write!(
        text,
        "mkdir -p {}\nexport GITLAB_ENV={env_file}\nif [ -f {env_file} ]; then\n\
         while IFS= read -r pair; do export \"$pair\"; done < {env_file}\nfi\n",
        quote(&directory)
    );
    text
}

fn commands(job: &FakeJob, lines: &[String]) -> String {
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        // With `FF_SCRIPT_SECTIONS` a command of several lines is a section of its own.
        let section = is_on(job, "FF_SCRIPT_SECTIONS") && line.contains('\n');
        let mark = |kind: &str| {
            format!(
                "printf '\\r\\033[0K%s\\r\\033[0K' \"section_{kind}:$(date +%s):section_script_step_{number}\"\n"
            )
        };
        if section {
            text.push_str(&mark("start"));
        }
        let _ = writeln!(text, "printf '%s\\n' {}", quote(&format!("\x1b[32;1m$ {line}\x1b[0;m")));
        let _ = writeln!(text, "{line}");
        if section {
            text.push_str(&mark("end"));
        }
    }
    text
}

fn sources(job: &FakeJob, moment: &Moment) -> String {
    let project = quote(&moment.project_dir);
    match job.value_of("GIT_STRATEGY").unwrap_or("fetch") {
        "none" => format!("echo 'Skipping Git repository setup'\nmkdir -p {project}\n"),
        "empty" => format!("rm -rf -- {project}\nmkdir -p {project}\n"),
        strategy => {
            let fresh =
                if strategy == "clone" { format!("rm -rf -- {project}\n") } else { String::new() };
            format!(
                "{fresh}mkdir -p {project}\ncd {project}\ngit init -q .\n\
                 git config remote.origin.url {url}\n\
                 git fetch -q --no-tags --depth {depth} origin {refspec}\n\
                 git checkout -q -f --detach {sha}\ngit clean -qffdx\necho \"Checked out {sha}\"\n{LFS}{submodules}",
                submodules = submodules(job),
                url = quote(&job.git.repo_url),
                depth = job.git.depth.max(1),
                refspec = quote(&job.refspec()),
                sha = quote(&job.git.sha),
            )
        }
    }
}

/// Large files, where the sources have some.
const LFS: &str = "if grep -qs filter=lfs .gitattributes; then\n\
                   git lfs install --local >/dev/null\ngit lfs pull\nfi\n";

fn submodules(job: &FakeJob) -> String {
    let recursive = match job.value_of("GIT_SUBMODULE_STRATEGY") {
        Some("normal") => "",
        Some("recursive") => " --recursive",
        _ => return String::new(),
    };
    format!(
        "git submodule -q sync{recursive}\ngit submodule -q update --init{recursive} --depth 1\n"
    )
}

/// Asks for the helper binary first, as the real scripts do: without one they only warn.
pub fn guarded(what: &str, command: &str) -> String {
    format!(
        "if gitlab-runner --version >/dev/null 2>&1; then\n{command}\nelse\n\
         echo 'Missing gitlab-runner. {what} is disabled.'\nfi\n"
    )
}

fn downloads(job: &FakeJob) -> impl Iterator<Item = String> {
    let one = move |dependency: &super::job_json::Dependency| {
        let command = format!(
            "gitlab-runner artifacts-downloader --url {} --token {} --id {}",
            quote(&job.server_url),
            quote(&dependency.token),
            quote(&dependency.id.to_string())
        );
        guarded("Downloading artifacts", &command)
    };
    job.dependencies.iter().map(one)
}

fn uploads(job: &FakeJob, failed: bool) -> impl Iterator<Item = String> {
    let wanted = job.artifacts.iter().filter(move |artifact| matches(&artifact.when, failed));
    wanted.map(|artifact| guarded("Uploading artifacts", &upload(job, artifact)))
}

fn upload(job: &FakeJob, artifact: &Artifact) -> String {
    let mut words = vec!["gitlab-runner".to_owned(), "artifacts-uploader".to_owned()];
    let mut option = |name: &str, value: &str| {
        words.push(name.to_owned());
        words.push(quote(value));
    };
    option("--url", &job.server_url);
    option("--token", &job.token);
    option("--id", &job.id.to_string());
    artifact.paths.iter().for_each(|path| option("--path", path));
    artifact.exclude.iter().for_each(|path| option("--exclude", path));
    for (name, value) in [
        ("--name", &artifact.name),
        ("--expire-in", &artifact.expire_in),
        ("--artifact-format", &artifact.format),
        ("--artifact-type", &artifact.kind),
    ] {
        if !value.is_empty() {
            option(name, value);
        }
    }
    if artifact.untracked {
        words.push("--untracked".into());
    }
    words.join(" ")
}

fn cleanup(job: &FakeJob, moment: &Moment) -> String {
    let directory = moment.temporary_dir();
    let mut text = String::new();
    for name in ["gitlab_runner_env", "masking.db", ".gitlab-runner.ext.conf"] {
        let _ = writeln!(text, "rm -f -- {}", quote(&format!("{directory}/{name}")));
    }
    for variable in job.variables.iter().filter(|variable| variable.file) {
        let _ = writeln!(text, "rm -f -- {}", quote(&format!("{directory}/{}", variable.key)));
    }
    text
}

/// Single quotes, for words inside the blob.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `$'...'`: what bash and busybox read; bytes outside ASCII are escaped one by one.
pub fn quote_ansi(text: &str) -> String {
    let mut out = String::from("$'");
    for byte in text.bytes() {
        match byte {
            b'\'' => out.push_str("\\'"),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('\'');
    out
}

/// `"..."`: what every POSIX shell reads, dash too (`FF_POSIXLY_CORRECT_ESCAPES`).
pub fn quote_posix(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
