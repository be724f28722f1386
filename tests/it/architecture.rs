//! The walls between the rooms, read from the sources: who imports whom, who may touch the world.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// What each room may import besides itself. A room that is not here may import none.
const ROOMS: [(&str, &[&str]); 15] = [
    ("job", &[]),
    ("settings", &[]),
    ("outcome", &[]),
    // The words of a command line, some of which stand with their command.
    ("cli", &["pipeline"]),
    ("world", &[]),
    ("plan", &["job", "settings"]),
    ("secrets", &["plan"]),
    ("engine", &["plan"]),
    ("agent", &["plan", "secrets"]),
    ("broker", &["engine", "plan", "secrets"]),
    ("joblog", &["secrets"]),
    ("stage", EVERYTHING),
    ("host", EVERYTHING),
    ("pipeline", EVERYTHING),
    ("command", EVERYTHING),
];

const EVERYTHING: &[&str] = &[
    "agent", "broker", "cli", "engine", "host", "job", "joblog", "outcome", "pipeline", "plan",
    "secrets", "settings", "stage", "world",
];

/// Leaves that every room may use: a type, and the runner's way to expand variables.
const LEAVES: [&[&str]; 3] =
    [&["secrets", "Secret"], &["secrets", "value", "Secret"], &["job", "expand"]];

/// Paths of others, and the only files (or directories) that may name them.
const WORLD: [(&[&str], &[&str]); 6] = [
    (&["bollard"], &["engine/docker", "engine/docker.rs", "engine/convert", "engine/convert.rs"]),
    (&["vaultrs"], &["secrets/vault", "secrets/vault.rs"]),
    (&["std", "env"], &["main.rs"]),
    (&["std", "process", "exit"], &["main.rs"]),
    (&["std", "time", "SystemTime", "now"], CLOCKS),
    (&["SystemTime", "now"], CLOCKS),
];

const CLOCKS: &[&str] = &["main.rs"];

/// Rooms that neither know the time nor touch anything.
const PURE: [&str; 8] = [
    "job",
    "settings",
    "plan",
    "outcome.rs",
    "agent/protocol.rs",
    "agent/frame.rs",
    "agent/protocol",
    "agent/frame",
];

/// What they must not name.
const IMPURE: [&[&str]; 12] = [
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["std", "fs"],
    // An address is a value as any other.
    &["std", "net", "TcpListener"],
    &["std", "net", "TcpStream"],
    &["std", "net", "ToSocketAddrs"],
    &["std", "net", "UdpSocket"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "env"],
    &["tokio"],
    &["rustix"],
];

const LONGEST_FILE: usize = 400;

/// A path that a file names, made absolute: `crate::...` for ours.
struct Named {
    line: usize,
    path: Vec<String>,
}

struct Reader {
    module: Vec<String>,
    found: Vec<Named>,
    unsafe_lines: Vec<usize>,
}

impl Reader {
    fn note(&mut self, span: Span, path: &[String]) {
        let path = self.absolute(path);
        self.found.push(Named { line: span.start().line, path });
    }

    fn absolute(&self, path: &[String]) -> Vec<String> {
        let mut base = match path.first().map(String::as_str) {
            Some("crate" | "longshore") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            _ => return path.to_vec(),
        };
        for part in path {
            match part.as_str() {
                "crate" | "self" | "longshore" => {}
                "super" => drop(base.pop()),
                other => base.push(other.to_owned()),
            }
        }
        base.insert(0, "crate".to_owned());
        base
    }

    fn tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let with = |ident: &syn::Ident| [prefix, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.note(name.ident.span(), &with(&name.ident)),
            syn::UseTree::Rename(rename) => self.note(rename.ident.span(), &with(&rename.ident)),
            syn::UseTree::Glob(glob) => {
                self.note(glob.span(), &[prefix, &["*".to_owned()]].concat());
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.tree(prefix, item));
            }
        }
    }

    /// What a macro is given is no syntax yet, but its paths and words can be read.
    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            let span = token.span();
            match token {
                proc_macro2::TokenTree::Ident(ident) => {
                    if colons < 2 {
                        path.clear();
                    }
                    colons = 0;
                    path.push(ident.to_string());
                    if ident == "unsafe" {
                        self.unsafe_lines.push(span.start().line);
                    }
                    self.note(span, &path.clone());
                }
                proc_macro2::TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                proc_macro2::TokenTree::Group(group) => {
                    path.clear();
                    self.tokens(group.stream());
                }
                _ => path.clear(),
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(path.span(), &parts);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_expr_unsafe(&mut self, item: &'ast syn::ExprUnsafe) {
        self.unsafe_lines.push(item.span().start().line);
        visit::visit_expr_unsafe(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if matches!(signature.safety, syn::Safety::Unsafe(_)) {
            self.unsafe_lines.push(signature.span().start().line);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.unsafety.is_some() {
            self.unsafe_lines.push(item.span().start().line);
        }
        visit::visit_item_impl(self, item);
    }
}

/// Everything that is wrong with one file; `file` is its path below `src`.
fn violations(file: &str, source: &str) -> Vec<String> {
    let parsed = syn::parse_file(source).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut reader = Reader { module: module(file), found: Vec::new(), unsafe_lines: Vec::new() };
    reader.visit_file(&parsed);
    let mut wrong = BTreeSet::new();
    for named in &reader.found {
        if let Some(why) = forbidden(file, &named.path) {
            wrong.insert(format!("{file}:{}: {} {why}", named.line, named.path.join("::")));
        }
    }
    if file != "agent/sys.rs" {
        wrong.extend(
            reader
                .unsafe_lines
                .iter()
                .map(|line| format!("{file}:{line}: unsafe outside agent/sys.rs")),
        );
    }
    let lines = source.lines().count();
    if lines > LONGEST_FILE {
        wrong.insert(format!("{file}: {lines} lines, {LONGEST_FILE} are the limit"));
    }
    if !source.starts_with("//! ") {
        wrong.insert(format!("{file}: does not begin with what it is for (`//! `)"));
    }
    wrong.into_iter().collect()
}

fn forbidden(file: &str, path: &[String]) -> Option<String> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let within = |places: &[&str]| places.iter().any(|place| is_within(file, place));
    // A file of tests may ask how many cases it shall try.
    let may_ask = file.ends_with("/tests.rs") && path.starts_with(&["std", "env"]);
    for (start, places) in WORLD {
        if path.starts_with(start) && !within(places) && !may_ask {
            return Some(format!("is for {} alone", places.join(", ")));
        }
    }
    if within(&PURE) && IMPURE.iter().any(|start| path.starts_with(start)) {
        return Some("does not belong into a pure room".to_owned());
    }
    let ["crate", target, ..] = path[..] else { return None };
    let room = room(file)?;
    let leaf = LEAVES.iter().any(|leaf| path[1..].starts_with(leaf));
    let allowed = ROOMS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, rooms)| rooms);
    let is_room = ROOMS.iter().any(|(name, _)| *name == target);
    let wrong = is_room && target != room && !leaf && !allowed.contains(&target);
    wrong.then(|| format!("is beyond the walls of `{room}`"))
}

fn is_within(file: &str, place: &str) -> bool {
    file.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The room a file belongs to; none for `lib.rs` and `main.rs`, which stand outside.
fn room(file: &str) -> Option<String> {
    module(file).into_iter().next()
}

/// The module that a file is, from its path.
fn module(file: &str) -> Vec<String> {
    let bare = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let parts = bare.split('/').map(str::to_owned);
    parts.filter(|part| !matches!(part.as_str(), "lib" | "main")).collect()
}

fn sources(directory: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
}

#[test]
fn the_walls_stand() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "the sources were not found");
    let wrong: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let file = path.strip_prefix(&root).unwrap().to_str().unwrap();
            violations(file, &std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_of_the_house_has_its_walls() {
    let library =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for item in syn::parse_file(&library).unwrap().items {
        if let syn::Item::Mod(item) = item {
            assert!(
                ROOMS.iter().any(|(room, _)| item.ident == room),
                "{} is not in ROOMS",
                item.ident
            );
        }
    }
}

/// Debug of vaultrs's and rustify's types prints tokens and whole answers. Where they are named, nothing
/// is printed so but what stands here.
const PRINTED: [&str; 4] =
    ["errors.join(\"; \")", "{alert:?}", "namespace {namespace:?}", "self.settings.deadline"];

/// Lines that print by Debug, each with its number.
fn debug_prints(source: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = source.lines().collect();
    let prints =
        |line: &str| line.contains(":?}") || line.contains(":#?}") || line.contains("dbg!");
    let code =
        lines.iter().position(|line| line.starts_with("#[cfg(test)]")).unwrap_or(lines.len());
    let here = (0..code).filter(|number| prints(lines[*number]));
    // The arguments may stand on the lines that follow.
    here.map(|number| (number + 1, lines[number..code.min(number + 3)].join(" "))).collect()
}

#[test]
fn no_type_of_vaultrs_is_printed_by_debug() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root.join("secrets"), &mut files);
    let mut looked_at = 0;
    for path in files {
        let source = std::fs::read_to_string(&path).unwrap();
        if !source.contains("vaultrs::") && !source.contains("rustify::") {
            continue;
        }
        looked_at += 1;
        for (number, text) in debug_prints(&source) {
            let known = PRINTED.iter().any(|known| text.contains(known));
            assert!(known, "{}:{number}: {text}", path.display());
        }
    }
    assert!(looked_at >= 3, "{looked_at} files");
    assert_eq!(debug_prints("//! x\nf(\"{error:?}\");\n#[cfg(test)]\ng(\"{:?}\");").len(), 1);
}

#[test]
fn planted_violations_are_found() {
    for (file, code) in [
        ("job/mod.rs", "use crate::plan::JobPlan;"),
        ("job/mod.rs", "use crate::secrets::Masker;"),
        ("plan/mod.rs", "use crate::{job::Stage, engine::Engine};"),
        ("plan/mod.rs", "use crate::secrets::*;"),
        ("plan/mod.rs", "use crate::stage as other;"),
        ("plan/prune.rs", "use super::super::engine;"),
        ("plan/prune.rs", "mod inner { use super::super::super::engine::Fault; }"),
        ("plan/prune.rs", "fn f() -> crate::engine::Fault { todo!() }"),
        ("plan/prune.rs", "fn f() { print(format!(\"{}\", crate::engine::NAME)); }"),
        ("plan/prune.rs", "fn f() { let t = std::time::SystemTime::now(); }"),
        ("settings/mod.rs", "use std::{fs, path::Path};"),
        ("outcome.rs", "fn f() { std::process::exit(1) }"),
        ("engine/mod.rs", "use bollard::Docker;"),
        ("stage/run.rs", "use bollard::Docker;"),
        ("stage/run.rs", "use vaultrs::client;"),
        ("stage/run.rs", "fn f() { std::env::var(\"HOME\"); }"),
        ("stage/run.rs", "use std::env;"),
        ("stage/run.rs", "use std::time::SystemTime; fn f() { SystemTime::now(); }"),
        ("host/reap.rs", "fn f() { unsafe { g() } }"),
        ("host/reap.rs", "unsafe fn f() {}"),
        ("agent/stage.rs", "use crate::engine::Engine;"),
        ("joblog/mod.rs", "use crate::plan::JobPlan;"),
        ("new_room/mod.rs", "use crate::plan::JobPlan;"),
    ] {
        let source = format!("//! Planted.\n{code}\n");
        assert_eq!(violations(file, &source).len().min(1), 1, "not found in {file}: {code}");
    }
    assert_eq!(violations("job/mod.rs", "use std::fmt;").len(), 1, "no first sentence");
    let long = format!("//! Long.\n{}", "\n".repeat(LONGEST_FILE));
    assert_eq!(violations("job/mod.rs", &long).len(), 1, "too long");
}

#[test]
fn what_is_allowed_is_not_found() {
    for (file, code) in [
        ("job/mod.rs", "use crate::secrets::Secret;"),
        ("plan/mod.rs", "use crate::job::{JobContext, Stage};"),
        ("plan/mod.rs", "use std::time::Duration;"),
        ("plan/prune.rs", "mod tests { use super::*; use crate::settings::Settings; }"),
        ("engine/docker/call.rs", "use bollard::Docker;"),
        ("agent/sys.rs", "fn f() { unsafe { g() } }"),
        ("main.rs", "fn f() { std::env::args(); std::process::exit(longshore::command::run()) }"),
        ("stage/run.rs", "use crate::{agent, engine::Engine, plan::*};"),
    ] {
        let found = violations(file, &format!("//! Fine.\n{code}\n"));
        assert!(found.is_empty(), "{found:?}");
    }
}
