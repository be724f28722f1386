//! Collects argv, environment, files and stdio; calls the library; returns the number.
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|verb| verb == "agent")
    {
        return match longshore::agent::run(std::env::vars_os().collect()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = std::io::Write::write_fmt(
                    &mut std::io::stderr(),
                    format_args!("longshore: {error}\n"),
                );
                ExitCode::FAILURE
            }
        };
    }
    ExitCode::SUCCESS
}
