//! The text against the format's own rules, by a small parser of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::{LastGc, Slots, Space, Totals};
use super::*;
use crate::plan::sweep::Doomed;

/// One line with a value.
#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// What a page says, or the first rule that it breaks.
fn parse(page: &str) -> Result<(BTreeMap<String, String>, Vec<Sample>), String> {
    let (mut kinds, mut samples) = (BTreeMap::new(), Vec::new());
    let (mut helped, mut closed, mut current) = (BTreeSet::new(), BTreeSet::new(), String::new());
    if !page.ends_with('\n') {
        return Err("no end of line at the end".into());
    }
    for line in page.lines() {
        let fail = |why: &str| Err(format!("{why}: {line}"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or("no help")?;
            if help.is_empty() || !helped.insert(name.to_owned()) {
                return fail("help twice, or none");
            }
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("no type")?;
            if !["counter", "gauge", "histogram"].contains(&kind) || !closed.insert(name.to_owned())
            {
                return fail("type twice, or unknown");
            }
            if (kind == "counter") != name.ends_with("_total") {
                return fail("a counter's name, and no other's, ends in _total");
            }
            current = name.to_owned();
            kinds.insert(name.to_owned(), kind.to_owned());
            continue;
        }
        let sample = sample(line).ok_or_else(|| format!("no sample: {line}"))?;
        let is_of = |suffix: &str| sample.name.strip_suffix(suffix) == Some(current.as_str());
        let histogram = kinds.get(&current).is_some_and(|kind| kind == "histogram");
        let fits = if histogram {
            is_of("_bucket") || is_of("_sum") || is_of("_count")
        } else {
            is_of("")
        };
        if !fits || !helped.contains(&current) {
            return fail("not below its head");
        }
        samples.push(sample);
    }
    Ok((kinds, samples))
}

fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, mut rest) = match head.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}')?),
        None => (head, ""),
    };
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (key, quoted) = rest.split_once("=\"")?;
        let (mut text, mut characters) = (String::new(), quoted.char_indices());
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => text.push(match characters.next()?.1 {
                    'n' => '\n',
                    other @ ('"' | '\\') => other,
                    _ => return None,
                }),
                (_, other) => text.push(other),
            }
        };
        if !is_name(key) || labels.insert(key.to_owned(), text).is_some() {
            return None;
        }
        rest = &quoted[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    let value = value.parse().ok()?;
    is_name(name).then(|| Sample { name: name.to_owned(), labels, value })
}

fn status() -> Status {
    let mut totals = Totals::default();
    totals.jobs.insert("success".into(), 7);
    let mut times = Histogram::default();
    for seconds in [0.01, 0.3, 70.0, 5000.0] {
        times.add(seconds);
    }
    totals.stages.insert("build_script".into(), times.clone());
    totals.stages.insert("odd\\\"\nname".into(), times);
    totals.freed.insert("gc".into(), [("images".into(), 12_345_678_901)].into());
    let space =
        Space { path: "/data".into(), bytes: 1000, free_bytes: 400, inodes: 100, free_inodes: 50 };
    let leftovers = vec![Doomed {
        kind: Kind::Volume,
        name: "v".into(),
        job: Some("1-a".into()),
        reason: "its runner is gone",
    }];
    Status {
        version: "1.2.3",
        slots: Slots { used: 2, idle: 1 },
        space: Some(space),
        leftovers,
        last_gc: Some(LastGc { time: 99, bytes: 5 }),
        totals,
        ..Status::default()
    }
}

fn page(status: &Status) -> String {
    text(status, &Settings::parse("", Path::new("x")).unwrap())
}

fn value(samples: &[Sample], name: &str, label: &str) -> f64 {
    let fits = |one: &&Sample| one.name == name && one.labels.values().any(|text| text == label);
    let fits_bare = |one: &&Sample| one.name == name && label.is_empty() && one.labels.is_empty();
    samples.iter().find(|one| fits(one) || fits_bare(one)).unwrap_or_else(|| panic!("{name}")).value
}

#[test]
fn the_page_keeps_the_formats_rules() {
    let (kinds, samples) = parse(&page(&status())).unwrap();
    assert!(kinds.len() > 20, "{kinds:?}");
    let mut seen = BTreeSet::new();
    for sample in &samples {
        assert!(sample.name.starts_with("longshore_"), "{sample:?}");
        assert!(seen.insert((sample.name.clone(), sample.labels.clone())), "twice: {sample:?}");
    }
    for (name, label, expected) in [
        ("longshore_jobs_ended_total", "success", 7.0),
        ("longshore_jobs_ended_total", "failed", 0.0),
        ("longshore_freed_bytes_total", "images", 12_345_678_901.0),
        ("longshore_leftovers", "volume", 1.0),
        ("longshore_slots", "used", 2.0),
        ("longshore_data_root_low_bytes", "", 100.0),
        ("longshore_last_gc_timestamp_seconds", "", 99.0),
        ("longshore_build_info", "1.2.3", 1.0),
        ("longshore_engine_up", "", 1.0),
        ("longshore_image_pull_duration_seconds_count", "", 0.0),
    ] {
        assert!((value(&samples, name, label) - expected).abs() < 1e-9, "{name} {label}");
    }
}

#[test]
fn the_classes_of_a_histogram_add_up() {
    let (_, samples) = parse(&page(&status())).unwrap();
    let of = |name: &str| {
        let name = format!("longshore_stage_duration_seconds{name}");
        let odd =
            |one: &&Sample| one.labels.get("stage").is_some_and(|text| text == "odd\\\"\nname");
        samples.iter().filter(|one| one.name == name).filter(odd).cloned().collect::<Vec<_>>()
    };
    let buckets = of("_bucket");
    let bounds: Vec<f64> = buckets
        .iter()
        .map(|one| one.labels["le"].replace("+Inf", "inf").parse().unwrap())
        .collect();
    assert!(bounds.is_sorted() && bounds.last().unwrap().is_infinite(), "{bounds:?}");
    assert!(buckets.iter().map(|one| one.value).is_sorted());
    let last = buckets.last().unwrap().value;
    assert!((last - of("_count")[0].value).abs() < 1e-9 && (last - 4.0).abs() < 1e-9);
    assert!((of("_sum")[0].value - 5070.31).abs() < 1e-6);
}

#[test]
fn a_daemon_that_is_down_is_a_metric_and_tells_nothing_false() {
    let down = Status { engine_error: Some("gone".into()), space: None, ..status() };
    let (kinds, samples) = parse(&page(&down)).unwrap();
    assert!(value(&samples, "longshore_engine_up", "").abs() < 1e-9);
    for name in [
        "longshore_jobs",
        "longshore_slots",
        "longshore_leftovers",
        "longshore_data_root_free_bytes",
    ] {
        assert!(!kinds.contains_key(name), "{name}");
    }
}

#[test]
fn the_parser_finds_what_is_wrong() {
    let head = "# HELP a_total x\n# TYPE a_total counter\n";
    for (page, word) in [
        ("a 1\n", "not below its head"),
        (&format!("{head}a_total x\n"), "no sample"),
        (&format!("{head}a_total{{b=\"c}} 1\n"), "no sample"),
        (&format!("{head}b_total 1\n"), "not below its head"),
        (&format!("{head}{head}"), "help twice"),
        ("# HELP a x\n# TYPE a counter\na 1\n", "_total"),
        ("# HELP a x\n# TYPE a gauge\na 1", "no end of line"),
    ] {
        let error = parse(page).unwrap_err();
        assert!(error.contains(word), "{page}: {error}");
    }
}
