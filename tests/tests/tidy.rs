//! The house rules that a compiler does not check: length of files and
//! functions, heads of files, who may depend on whom, no paths of one machine.

#![allow(clippy::unwrap_used)] // Helpers of tests fail like tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Lines a source file may have. A longer one says why in its first lines with
/// the words `Longer than 600 lines:`.
const MAX_FILE: usize = 600;
/// Lines a function may have.
const MAX_FUNCTION: usize = 80;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut out = Vec::new();
    let mut dirs: Vec<PathBuf> =
        ["config", "storage", "raft", "server", "admin", "tests", "benches"]
            .iter()
            .map(|d| root().join(d))
            .collect();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if !["target", "node_modules", "fixtures", ".cache"].iter().any(|n| name == *n) {
                    dirs.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                out.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(out.len() > 50, "sources were not found");
    out
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut bad = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//!") {
            bad.push(format!("{}: does not start with //!", path.display()));
        }
        let lines = text.lines().count();
        let argued = text.lines().take(30).any(|l| l.contains("Longer than 600 lines:"));
        if lines > MAX_FILE && !argued {
            bad.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut bad = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let is_fn = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "async fn ",
                "pub async fn ",
                "pub(super) async fn ",
                "pub(crate) async fn ",
            ]
            .iter()
            .any(|p| head.starts_with(p));
            if !is_fn || head.ends_with(';') || head.ends_with('}') {
                continue;
            }
            // rustfmt puts the closing brace at the indent of the head.
            let close = format!("{}}}", " ".repeat(indent));
            if let Some(n) = lines[i..].iter().position(|l| *l == close)
                && n + 1 > MAX_FUNCTION
            {
                bad.push(format!("{}:{}: {} lines: {head}", path.display(), i + 1, n + 1));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// The arrows of ARCHITECTURE.md: what each crate may use of ours.
fn arrows() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("gust-subject", &[][..]),
        ("gust-config", &[][..]),
        ("raft-proto", &[][..]),
        ("gust-wire", &["gust-subject"][..]),
        ("gust-interest", &["gust-subject"][..]),
        ("gust-storage", &["gust-subject"][..]),
        ("gust-account", &["gust-subject", "gust-config"][..]),
        ("gust-raft", &["gust-storage", "raft-proto"][..]),
        ("gust-jetstream", &["gust-subject", "gust-wire", "gust-storage"][..]),
        ("gust-admin", &["gust-config", "gust-jetstream"][..]),
    ])
}

#[test]
fn crates_use_only_what_they_may() {
    let mut bad = Vec::new();
    let manifests = [
        "config",
        "storage",
        "raft",
        "raft/proto",
        "admin",
        "server/crates/subject",
        "server/crates/wire",
        "server/crates/account",
        "server/crates/interest",
        "server/crates/jetstream",
    ];
    let arrows = arrows();
    for dir in manifests {
        let text = std::fs::read_to_string(root().join(dir).join("Cargo.toml")).unwrap();
        let name = text
            .lines()
            .find_map(|l| l.strip_prefix("name = \"")?.strip_suffix('"'))
            .expect("a package has a name");
        let allowed = arrows[name];
        for line in text.lines() {
            let dep = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let ours = dep.starts_with("gust-") || dep == "raft-proto";
            if ours && dep != name && !allowed.contains(&dep) {
                bad.push(format!("{dir}: {name} must not use {dep}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn pure_crates_are_linted_as_pure() {
    for dir in [
        "config",
        "server/crates/subject",
        "server/crates/wire",
        "server/crates/account",
        "server/crates/interest",
        "server/crates/jetstream",
    ] {
        let text = std::fs::read_to_string(root().join(dir).join("clippy.toml")).unwrap();
        assert!(text.contains("std::time::SystemTime::now"), "{dir}/clippy.toml lost its bans");
        let manifest = std::fs::read_to_string(root().join(dir).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("tokio"), "{dir} must not use tokio");
    }
}
