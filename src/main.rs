//! Collects argv, environment and stdio; calls the library; returns the number. The only reader of the
//! environment and the clock.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use longshore::agent::gitlab_runner;
use longshore::world::{Stdio, World};

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(tell_place));
    let words: Vec<OsString> = std::env::args_os().collect();
    let called_as = words.first().and_then(|word| Path::new(word).file_name());
    if words.get(1).is_some_and(|word| word == "agent") {
        return agent();
    }
    if called_as.is_some_and(|name| gitlab_runner::NAMES.iter().any(|known| name == *known)) {
        return gitlab_runner(words);
    }
    // Without stdio there is nobody to tell.
    let Ok(stdio) = stdio() else { return ExitCode::from(2) };
    let world = World {
        environment: std::env::vars_os().collect(),
        executable: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe")),
        directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        platform: PLATFORM,
        clock: SystemTime::now,
    };
    ExitCode::from(guarded(&world, || longshore::command::run(&words, &world, stdio)))
}

/// The stage scripts' `gitlab-runner` inside a container.
fn gitlab_runner(words: Vec<OsString>) -> ExitCode {
    let call = gitlab_runner::Call {
        arguments: words,
        environment: std::env::vars_os().collect(),
        directory: std::env::current_dir().unwrap_or_default(),
        executable: std::env::current_exe().unwrap_or_default(),
    };
    gitlab_runner::run(&call, &mut std::io::stdout(), &mut std::io::stderr()).into()
}

/// What a panic says: where it is. Its message may carry a value.
fn tell_place(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    // Without stderr there is nobody to tell.
    let _ = writeln!(
        std::io::stderr(),
        "ERROR: longshore: internal error at {place}; please report it"
    );
}

/// Turns a panic into our own failure: the standard library's 101 would be an unknown one to the runner.
fn guarded(world: &World, work: impl FnOnce() -> u8) -> u8 {
    let numbers = longshore::command::numbers(world);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(numbers.system_failure)
}

/// PID 1 of a container; the daemon shows its last words to who asks.
fn agent() -> ExitCode {
    match longshore::agent::run(std::env::vars_os().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "longshore: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// This host's platform as Docker writes it.
const PLATFORM: &str = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };

/// Plain files of the three streams: the standard library's own are line-buffered and locked.
fn stdio() -> std::io::Result<Stdio> {
    let duplicate = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned().map(File::from);
    Ok(Stdio {
        stdin: duplicate(&std::io::stdin())?,
        stdout: duplicate(&std::io::stdout())?,
        stderr: duplicate(&std::io::stderr())?,
    })
}
