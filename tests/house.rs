//! The walls of the house (who may name whom, what a core may reach) and the licences of what we build on.
//!
//! Reads `cargo metadata`; see ARCHITECTURE.md.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Direct dependencies among our own crates: name, whom it may name.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("media", &[]),
    ("recording", &["wire", "media"]),
    ("session", &["wire", "media"]),
    ("compose", &["media"]),
    ("container", &["media"]),
    ("psrpc", &["wire"]),
    ("worker", &["recording"]),
    ("room", &["session", "wire", "media"]),
    ("browser", &["recording"]),
    ("pipeline", &["recording", "media"]),
    ("storage", &["recording"]),
    (
        "recorder",
        &[
            "room",
            "browser",
            "pipeline",
            "storage",
            "compose",
            "container",
            "recording",
            "media",
        ],
    ),
    (
        "egress",
        &["worker", "psrpc", "recorder", "recording", "wire"],
    ),
    ("devroom", &["wire"]),
];

/// Crates that no core may reach, however indirectly.
const WORLD: &[&str] = &[
    "tokio",
    "gstreamer",
    "redis",
    "str0m",
    "axum",
    "hyper",
    "reqwest",
    "object_store",
    "tokio-tungstenite",
    "mio",
    "async-std",
];

/// Licences we may ship with Apache-2.0 binaries.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "0BSD",
    "CC0-1.0",
    "BSL-1.0",
    "MPL-2.0",
    "OpenSSL",
    "CDLA-Permissive-2.0",
    "Apache-2.0 WITH LLVM-exception",
];

fn metadata() -> Value {
    let out = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(
        out.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("cargo metadata prints JSON")
}

/// Name → names of normal (not dev, not build) dependencies as resolved, by package id.
struct Graph {
    name: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
    members: BTreeSet<String>,
}

fn text(v: &Value) -> String {
    v.as_str().expect("a string").to_owned()
}

fn graph(meta: &Value) -> Graph {
    let packages = meta["packages"].as_array().expect("packages");
    let name = packages
        .iter()
        .map(|p| (text(&p["id"]), text(&p["name"])))
        .collect();
    let members = meta["workspace_members"]
        .as_array()
        .expect("members")
        .iter()
        .map(text)
        .collect();
    let mut edges = BTreeMap::new();
    for node in meta["resolve"]["nodes"].as_array().expect("nodes") {
        let normal = node["deps"]
            .as_array()
            .expect("deps")
            .iter()
            .filter(|d| {
                d["dep_kinds"]
                    .as_array()
                    .is_some_and(|k| k.iter().any(|k| k["kind"].is_null()))
            })
            .map(|d| text(&d["pkg"]))
            .collect();
        edges.insert(text(&node["id"]), normal);
    }
    Graph {
        name,
        edges,
        members,
    }
}

#[test]
fn crates_name_only_whom_they_may() {
    let g = graph(&metadata());
    let ours: BTreeSet<&str> = g.members.iter().map(|id| g.name[id].as_str()).collect();
    let known: BTreeSet<&str> = MAY_NAME.iter().map(|(n, _)| *n).collect();
    assert_eq!(
        ours, known,
        "a crate is missing from or unknown to the table of walls"
    );
    for id in &g.members {
        let name = g.name[id].as_str();
        let (_, may) = MAY_NAME
            .iter()
            .find(|(n, _)| *n == name)
            .expect("checked above");
        for dep in &g.edges[id] {
            let dep = g.name[dep].as_str();
            assert!(
                !ours.contains(dep) || may.contains(&dep),
                "{name} may not name {dep}"
            );
        }
    }
}

#[test]
fn no_core_reaches_the_world() {
    let meta = metadata();
    let g = graph(&meta);
    for package in meta["packages"].as_array().expect("packages") {
        let id = text(&package["id"]);
        if !g.members.contains(&id) || !text(&package["manifest_path"]).contains("/core/") {
            continue;
        }
        let mut seen = BTreeSet::new();
        let mut todo = vec![id.clone()];
        while let Some(next) = todo.pop() {
            if seen.insert(next.clone()) {
                let name = g.name[&next].as_str();
                assert!(
                    !WORLD.contains(&name),
                    "core {} reaches {name}",
                    g.name[&id]
                );
                todo.extend(g.edges[&next].iter().cloned());
            }
        }
    }
}

#[test]
fn only_the_pipeline_names_gstreamer() {
    let g = graph(&metadata());
    for id in &g.members {
        let names_it = g.edges[id]
            .iter()
            .any(|d| g.name[d].starts_with("gstreamer"));
        assert!(
            !names_it || g.name[id] == "pipeline",
            "{} names gstreamer",
            g.name[id]
        );
    }
}

#[test]
fn dependencies_have_licences_we_may_ship() {
    let meta = metadata();
    for p in meta["packages"].as_array().expect("packages") {
        let (name, licence) = (text(&p["name"]), p["license"].as_str().unwrap_or(""));
        assert!(
            allowed(licence),
            "{name}: licence {licence:?} is not on the list in tests/house.rs"
        );
    }
}

/// An SPDX expression holds if, with listed licences true, it evaluates to true. `/` is the old spelling of OR.
fn allowed(expression: &str) -> bool {
    fn or(t: &mut std::iter::Peekable<std::vec::IntoIter<String>>) -> bool {
        let mut value = and(t);
        while t.next_if(|x| x == "OR").is_some() {
            let right = and(t);
            value |= right;
        }
        value
    }
    fn and(t: &mut std::iter::Peekable<std::vec::IntoIter<String>>) -> bool {
        let mut value = atom(t);
        while t.next_if(|x| x == "AND").is_some() {
            let right = atom(t);
            value &= right;
        }
        value
    }
    fn atom(t: &mut std::iter::Peekable<std::vec::IntoIter<String>>) -> bool {
        match t.next() {
            Some(open) if open == "(" => {
                let value = or(t);
                t.next_if(|x| x == ")").is_some() && value
            }
            Some(mut name) => {
                if t.next_if(|x| x == "WITH").is_some() {
                    name = format!("{name} WITH {}", t.next().unwrap_or_default());
                }
                LICENCES.contains(&name.as_str())
            }
            None => false,
        }
    }
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let tokens: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    let mut tokens = tokens.into_iter().peekable();
    or(&mut tokens) && tokens.next().is_none()
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    assert!(allowed("MIT OR GPL-3.0"));
    assert!(allowed("MIT/Apache-2.0"));
    assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!allowed("GPL-3.0"));
    assert!(!allowed("MIT AND GPL-3.0"));
    assert!(!allowed(""));
}
