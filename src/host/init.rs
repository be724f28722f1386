//! `longshore init`: writes settings, units and timers for this host, and shows or adds the block that GitLab
//! Runner needs. It replaces nothing without being told to, and starts nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::init::InitArgs;
use crate::outcome::Outcome;
use crate::settings::Settings;
use crate::stage::error::CallError;
use crate::world::{Stdio, World};

mod files;
mod runner;
mod settings;
mod units;

use files::{Action, Planned};

/// The command: plans all, checks all, then writes all.
///
/// # Errors
/// The person's where options contradict each other, or a file is there that says something else; ours where
/// a file cannot be read or written. Nothing is written then but what came before it in the list.
pub fn command(
    args: &InitArgs,
    settings_path: &Path,
    world: &World,
    mut stdio: Stdio,
) -> Result<Outcome, CallError> {
    let planned = plan(args, settings_path, world)?;
    let out = &mut stdio.stdout;
    if args.dry_run {
        tell_plan(&planned, out).map_err(CallError::system)?;
    } else {
        write(&planned, args.force, out)?;
    }
    tell_next(args, settings_path, world, out).map_err(CallError::system)?;
    Ok(Outcome::Success)
}

/// All files, each with what becomes of it.
fn plan(args: &InitArgs, settings_path: &Path, world: &World) -> Result<Vec<Planned>, CallError> {
    let text = settings::text(&args.settings, settings_path).map_err(CallError::job)?;
    let read = Settings::parse(&text, settings_path).map_err(CallError::job)?;
    // Who already has settings keeps them, and the units follow them.
    let there = below(&args.root, settings_path);
    let own = std::fs::read_to_string(&there).ok().filter(|_there| !args.force);
    let own = own.and_then(|text| Settings::parse(&text, &there).ok());
    let place = units::Place {
        executable: &world.executable,
        settings_path,
        settings: own.as_ref().unwrap_or(&read),
        user: &args.user,
        metrics: args.metrics.as_deref(),
    };
    let mut all = vec![Planned::of(there, text, 0o600)?];
    for (name, text) in units::all(&place) {
        all.push(Planned::of(below(&args.root, &args.units.join(name)), text, 0o644)?);
    }
    all.extend(runner_config(args, settings_path, world)?);
    Ok(all)
}

/// GitLab Runner's configuration with the block at its end, where that was asked for.
fn runner_config(
    args: &InitArgs,
    settings_path: &Path,
    world: &World,
) -> Result<Option<Planned>, CallError> {
    let (Some(config), Some(token_file)) = (&args.runner.runner_config, &args.runner.token_file)
    else {
        return Ok(None);
    };
    let path = below(&args.root, config);
    let old = files::read(&path)?.unwrap_or_default();
    let there = runner::is_there(&old, &world.executable).map_err(|problem| {
        CallError::job(format!("{} is not valid TOML: {problem}", path.display()))
    })?;
    if there {
        return Ok(Some(Planned { path, text: old, mode: 0o600, action: Action::Keep }));
    }
    let token = files::read(token_file)?.ok_or_else(|| {
        CallError::job(format!("there is no file with a token at {}", token_file.display()))
    })?;
    // What is shown holds no token.
    let token = if args.dry_run { None } else { Some(token.trim()) };
    let block = runner::block(&runner_place(args, settings_path, world, token));
    let gap = if old.is_empty() || old.ends_with("\n\n") { "" } else { "\n" };
    let text = if args.dry_run { block } else { format!("{old}{gap}{block}") };
    Ok(Some(Planned { path, text, mode: 0o600, action: Action::Add }))
}

fn runner_place<'a>(
    args: &'a InitArgs,
    settings_path: &'a Path,
    world: &'a World,
    token: Option<&'a str>,
) -> runner::Place<'a> {
    let url = args.runner.url.as_deref();
    runner::Place {
        executable: &world.executable,
        settings_path,
        name: &args.runner.runner_name,
        url,
        token,
    }
}

/// An absolute path below another root.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn tell_plan(planned: &[Planned], out: &mut impl Write) -> std::io::Result<()> {
    for one in planned {
        let path = one.path.display();
        match one.action {
            Action::Keep => writeln!(out, "would keep {path}: it says the same\n")?,
            Action::Create => writeln!(out, "would write {path}:\n\n{}", one.text)?,
            Action::Add => writeln!(out, "would add to {path}:\n\n{}", one.text)?,
            Action::Replace => {
                writeln!(out, "would replace {path} (only with --force):\n\n{}", one.text)?;
            }
        }
    }
    Ok(())
}

fn write(planned: &[Planned], force: bool, out: &mut impl Write) -> Result<(), CallError> {
    let differ = planned.iter().filter(|one| one.action == Action::Replace);
    let differ: Vec<String> = differ.map(|one| one.path.display().to_string()).collect();
    if !differ.is_empty() && !force {
        return Err(CallError::job(format!(
            "{} is there and says something else; nothing was written\n  look at the difference with \
             --dry-run, then replace with --force",
            differ.join(", ")
        )));
    }
    for one in planned {
        let done = match one.action {
            Action::Keep => "kept",
            Action::Create => "wrote",
            Action::Add => "added to",
            Action::Replace => "replaced",
        };
        if one.action != Action::Keep {
            one.write()?;
        }
        writeln!(out, "{done} {}", one.path.display()).map_err(CallError::system)?;
    }
    Ok(())
}

/// What is left for a person to do.
fn tell_next(
    args: &InitArgs,
    settings_path: &Path,
    world: &World,
    out: &mut impl Write,
) -> std::io::Result<()> {
    if args.runner.runner_config.is_none() {
        let place = runner_place(args, settings_path, world, None);
        writeln!(
            out,
            "\nAdd this to /etc/gitlab-runner/config.toml:\n\n{}",
            runner::block(&place)
        )?;
    }
    let timers: Vec<&str> = units::timers(args.metrics.is_some()).collect();
    writeln!(out, "\nThen:\n  systemctl daemon-reload")?;
    writeln!(out, "  systemctl enable --now {}", timers.join(" "))?;
    if args.settings.vault_address.is_some() {
        let file = args.settings.secret_id_file.display();
        writeln!(out, "  longshore vault enroll      # puts the secret id at {file}")?;
        writeln!(out, "  longshore vault check")?;
    }
    writeln!(out, "  systemctl restart gitlab-runner")
}
