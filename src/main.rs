//! Collects argv, environment, files and stdio; calls the library; returns the number.

use longshore::agent::artifacts;
use std::io::{stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let name = arguments
        .first()
        .and_then(|word| Path::new(word).file_name())
        .unwrap_or_default();
    if artifacts::NAMES.iter().any(|known| name == *known) {
        let call = artifacts::Call {
            environment: std::env::vars_os().collect(),
            directory: std::env::current_dir().unwrap_or_default(),
            executable: std::env::current_exe().unwrap_or_default(),
            arguments,
        };
        return artifacts::run(&call, &mut stdout(), &mut stderr()).into();
    }
    ExitCode::SUCCESS
}
