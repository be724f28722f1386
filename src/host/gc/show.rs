//! What `longshore gc` says.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::super::space::{Seen, Space};
use super::{GcPlan, Going, Observation, Report, Settings};
use crate::plan::gc::{Kind, Reason, Stay};

/// Bytes as people read them: `1.5 GiB`.
pub(in crate::host) fn bytes(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in units {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// What would be done.
pub(super) fn plan(
    observation: &Observation,
    plan: &GcPlan,
    settings: &Settings,
    as_json: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    if as_json {
        let unseen = match &observation.seen {
            Seen::Space(_) => None,
            Seen::Unseen(why) => Some(why),
        };
        let value = json!({"plan": plan, "space": observation.seen.space(), "unseen": unseen});
        serde_json::to_writer(&mut *out, &value)?;
        return writeln!(out);
    }
    if !settings.gc.enabled {
        writeln!(out, "[gc] enabled is off: this would go if it were on")?;
    }
    room(observation, settings, out)?;
    for going in &plan.remove {
        writeln!(out, "would remove {}", line(going))?;
    }
    if let Some(cache) = &plan.build_cache {
        let (freed, kept) = (bytes(cache.bytes), bytes(cache.keep_bytes));
        writeln!(
            out,
            "would prune {freed} of the build cache down to {kept}: {}",
            why(cache.reason)
        )?;
    }
    if plan.is_empty() {
        writeln!(out, "nothing to remove")?;
    } else {
        writeln!(out, "would free about {}", bytes(plan.bytes))?;
    }
    if plan.missing_bytes > 0 {
        writeln!(out, "{} more are wanted, and nothing else may go", bytes(plan.missing_bytes))?;
    }
    stays(plan, out)
}

/// What was done.
pub(super) fn report(
    report: &Report,
    settings: &Settings,
    as_json: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    if as_json {
        serde_json::to_writer(&mut *out, report)?;
        return writeln!(out);
    }
    if !settings.gc.enabled {
        return writeln!(out, "[gc] enabled is off: nothing was removed");
    }
    for going in &report.removed {
        writeln!(out, "removed {}", line(going))?;
    }
    if report.freed.build_cache > 0 {
        writeln!(out, "pruned {} of the build cache", bytes(report.freed.build_cache))?;
    }
    if report.removed.is_empty() && report.freed.all() == 0 {
        writeln!(out, "nothing to remove")?;
    } else {
        writeln!(out, "freed about {}", bytes(report.freed.all()))?;
    }
    if let Some(space) = &report.space {
        writeln!(out, "{}", of_space(space))?;
    }
    if report.missing_bytes > 0 {
        writeln!(out, "{} more are wanted, and nothing else may go", bytes(report.missing_bytes))?;
    }
    Ok(())
}

/// What each kind takes, and what it may take.
fn room(observation: &Observation, settings: &Settings, out: &mut impl Write) -> io::Result<()> {
    let (observed, room) = (&observation.observed, observation.room(&settings.gc));
    let volumes = observed.volumes.iter().map(|one| one.size).sum();
    let records = observed.records.iter().map(|one| one.size).sum();
    for (name, taken, room) in [
        ("images", observed.images_bytes, room.images),
        ("cache volumes", volumes, room.cache_volumes),
        ("build cache", records, room.build_cache),
    ] {
        let of = room.map_or_else(
            || "(no telling how much it may be)".to_owned(),
            |room| format!("of {:>10}", bytes(room)),
        );
        writeln!(out, "{name:<14} {:>10} {of}", bytes(taken))?;
    }
    match &observation.seen {
        Seen::Space(space) => writeln!(out, "{}", of_space(space)),
        Seen::Unseen(why) => {
            writeln!(out, "the room on the engine's disk cannot be seen from here: {why}")
        }
    }
}

fn of_space(space: &Space) -> String {
    let (free, all) = (bytes(space.free_bytes), bytes(space.bytes));
    let inodes = match space.inodes {
        0 => String::new(),
        all => format!(", {} of {all} inodes", space.free_inodes),
    };
    format!("{}: {free} of {all} free{inodes}", space.path.display())
}

impl Going {
    /// Its first name, or its id.
    pub fn shown(&self) -> String {
        self.references.first().unwrap_or(&self.name).clone()
    }
}

fn line(going: &Going) -> String {
    let kind = match going.kind {
        Kind::Image => "image",
        Kind::CacheVolume => "cache volume",
    };
    let used = SystemTime::UNIX_EPOCH + Duration::from_secs(going.last_use);
    let used = humantime::format_rfc3339_seconds(used);
    let (name, bytes) = (going.shown(), bytes(going.bytes));
    format!("{kind} {name} ({bytes}, last used {used}): {}", why(going.reason))
}

fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::OverBudget => "its kind takes more room than it may",
        Reason::LowSpace => "the disk has too little free",
    }
}

/// Images and volumes that stay, counted by why.
fn stays(plan: &GcPlan, out: &mut impl Write) -> io::Result<()> {
    let mut counts: BTreeMap<Stay, usize> = BTreeMap::new();
    for staying in &plan.kept {
        *counts.entry(staying.reason).or_default() += 1;
    }
    let told: Vec<String> =
        counts.iter().map(|(reason, count)| format!("{count} {}", because(*reason))).collect();
    if told.is_empty() {
        return Ok(());
    }
    writeln!(out, "{} stay: {}", plan.kept.len(), told.join(", "))
}

fn because(reason: Stay) -> &'static str {
    match reason {
        Stay::Used => "in use",
        Stay::Leased => "about to be used",
        Stay::Named => "named by the settings",
        Stay::Keep => "on the keep-list",
        Stay::Young => "younger than min_age",
        Stay::HasChildren => "with other images built on them",
        Stay::FreesNothing => "that would free nothing",
        Stay::Enough => "not needed to go",
    }
}
