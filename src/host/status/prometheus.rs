//! The status in Prometheus' text format. Names follow its conventions: base units, `_total` for what only
//! grows, one unit a metric.

use std::fmt::{Display, Write};

use super::super::totals::Histogram;
use super::{Settings, Status};
use crate::plan::sweep::Kind;

/// All metrics.
pub(super) fn text(status: &Status, settings: &Settings) -> String {
    let mut page = Page(String::new());
    engine(status, &mut page);
    now(status, &mut page);
    space(status, settings, &mut page);
    totals(status, &mut page);
    page.0
}

struct Page(String);

/// Labels of one sample.
type LabelPairs<'a> = &'a [(&'a str, &'a str)];

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP longshore_{name} {help}"));
        self.line(format_args!("# TYPE longshore_{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: LabelPairs<'_>, value: impl Display) {
        let pairs: Vec<String> =
            labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        let labels =
            if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        self.line(format_args!("longshore_{name}{labels} {value}"));
    }

    /// A metric of one sample.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.one(name, "gauge", help, value);
    }

    fn histogram(&mut self, name: &str, labels: LabelPairs<'_>, times: &Histogram) {
        let with = |bound: &str, count: u64, page: &mut Self| {
            let labels = [labels, &[("le", bound)]].concat();
            page.sample(&format!("{name}_bucket"), &labels, count);
        };
        for (bound, count) in times.upto() {
            with(&bound.to_string(), count, self);
        }
        with("+Inf", times.count(), self);
        self.sample(&format!("{name}_sum"), labels, times.sum);
        self.sample(&format!("{name}_count"), labels, times.count());
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn engine(status: &Status, page: &mut Page) {
    page.head("build_info", "gauge", "Version of longshore.");
    page.sample("build_info", &[("version", status.version)], 1);
    let up = u8::from(status.engine_error.is_none());
    page.gauge("engine_up", "Whether the Docker daemon answered.", up);
    let up = u8::from(status.ledger_error.is_none());
    page.gauge("ledger_up", "Whether the ledger could be read; else the counters stand still.", up);
}

fn now(status: &Status, page: &mut Page) {
    page.gauge("jobs_waiting", "Jobs that wait for a place on this host.", status.waiting);
    if let Some(most) = status.max_jobs {
        page.gauge("max_jobs", "Jobs that may be there at once.", most);
    }
    page.gauge("image_leases", "Images held for jobs that begin.", status.leases.len());
    if status.engine_error.is_none() {
        page.gauge("jobs", "Jobs whose containers are there.", status.jobs.len());
        let left = status.left_running.len();
        let help = "Containers that jobs with the raw socket left running.";
        page.gauge("left_running_containers", help, left);
        page.head("slots", "gauge", "Networks for jobs, by whether a job is on them.");
        page.sample("slots", &[("state", "used")], status.slots.used);
        page.sample("slots", &[("state", "idle")], status.slots.idle);
        page.head("leftovers", "gauge", "Objects of dead jobs that a reap would remove.");
        for (kind, name) in [
            (Kind::Container, "container"),
            (Kind::Network, "network"),
            (Kind::Volume, "volume"),
            (Kind::Image, "image"),
        ] {
            let count = status.leftovers.iter().filter(|one| one.kind == kind).count();
            page.sample("leftovers", &[("kind", name)], count);
        }
    }
    if let Some(time) = status.last_reap {
        page.gauge("last_reap_timestamp_seconds", "When a reap last began.", time);
    }
    if let Some(last) = status.last_gc {
        page.gauge("last_gc_timestamp_seconds", "When a gc last ended.", last.time);
    }
}

fn space(status: &Status, settings: &Settings, page: &mut Page) {
    let Some(space) = &status.space else { return };
    let gc = &settings.gc;
    for (name, help, value) in [
        ("data_root_size_bytes", "Size of the file system of Docker's data root.", space.bytes),
        ("data_root_free_bytes", "Bytes free on it.", space.free_bytes),
        (
            "data_root_low_bytes",
            "Bytes free below which gc removes and no job begins.",
            gc.free.low.of(space.bytes),
        ),
        ("data_root_inodes", "Inodes of the file system of Docker's data root.", space.inodes),
        ("data_root_free_inodes", "Inodes free on it.", space.free_inodes),
        (
            "data_root_low_inodes",
            "Inodes free below which gc removes and no job begins.",
            gc.free_inodes.low.of(space.inodes),
        ),
    ] {
        page.gauge(name, help, value);
    }
}

fn totals(status: &Status, page: &mut Page) {
    let totals = &status.totals;
    page.head("jobs_ended_total", "counter", "Jobs that ended, by outcome.");
    for outcome in ["success", "failed", "canceled", "system_failure"] {
        let count = totals.jobs.get(outcome).copied().unwrap_or_default();
        page.sample("jobs_ended_total", &[("outcome", outcome)], count);
    }
    let name = "stage_duration_seconds";
    page.head(
        name,
        "histogram",
        "How long the stages of jobs took, by GitLab's name of the stage.",
    );
    for (stage, times) in &totals.stages {
        page.histogram(name, &[("stage", stage)], times);
    }
    let name = "image_pull_duration_seconds";
    page.head(name, "histogram", "How long pulls of images took.");
    page.histogram(name, &[], &totals.pulls);
    page.head("freed_bytes_total", "counter", "Bytes freed, by command and kind.");
    for (by, kinds) in &totals.freed {
        for (kind, bytes) in kinds {
            page.sample("freed_bytes_total", &[("by", by), ("kind", kind)], bytes);
        }
    }
    for (name, help, value) in [
        ("pruned_references_total", "Image references removed after deliveries.", totals.pruned),
        ("leftovers_removed_total", "Objects of dead jobs that were removed.", totals.reaped),
        ("not_removed_total", "Things that could not be removed when they should.", totals.left),
        (
            "ledger_unreadable_lines_total",
            "Lines of the ledger that are torn or of another version.",
            totals.unreadable,
        ),
    ] {
        page.one(name, "counter", help, value);
    }
}

#[cfg(test)]
mod tests;
