//! The layout's arrows, checked: which crate may know which. An arrow that points the other way fails the build.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::run::{cargo, output};

/// Each crate of the product and what it may know directly; what those know, it may know too.
const ARROWS: [(&str, &[&str]); 17] = [
    ("tlog", &[]),
    ("logconfig", &["tlog"]),
    // Time and random bytes of the system. A pure crate takes values instead, so `order` may know it only through the drivers.
    ("ambient", &[]),
    ("store", &["tlog", "ambient"]),
    ("order", &["tlog", "store"]),
    ("qos", &["logconfig", "tlog"]),
    ("mirror", &["tlog", "store", "ambient", "plane-http"]),
    (
        "engine",
        &[
            "tlog",
            "logconfig",
            "ambient",
            "store",
            "order",
            "qos",
            "mirror",
        ],
    ),
    ("rekor", &["tlog"]),
    ("rekor-index", &["tlog"]),
    ("wire", &["logconfig", "tlog"]),
    ("plane-http", &["tlog", "wire"]),
    ("server-admin", &["plane-http", "wire", "ambient", "tlog"]),
    ("logctl", &["wire", "logconfig", "ambient", "rekor", "tlog"]),
    // The load generator is a client like any other; what it has in common with `logctl` is that crate's `kit`.
    ("logload", &["logctl", "logconfig", "tlog", "wire"]),
    ("logd", &["engine", "rekor", "rekor-index", "server-admin"]),
    // It is built first, on a machine that has nothing yet: so it knows no other crate.
    ("xtask", &[]),
];
/// Crates that measure and test; they may know anything, and nobody of the product may know them.
const ROOF: [&str; 2] = ["tests", "bench"];
/// Crates that are functions from values to values, and what would make them do I/O.
pub(crate) const PURE: [&str; 6] = ["tlog", "logconfig", "order", "qos", "rekor", "wire"];
const IO: [&str; 9] = [
    "tokio",
    "axum",
    "hyper",
    "hyper-util",
    "reqwest",
    "rusqlite",
    "rustix",
    "tokio-rustls",
    "tracing-subscriber",
];

/// Whether every dependency between the crates follows the arrows.
pub(crate) fn layering() -> Result<bool> {
    let mut wrong = violations(&packages()?);
    for name in PURE {
        // Alone, so that no other crate's features hide what this one asks for.
        let mut tree = cargo();
        tree.args([
            "tree",
            "--package",
            name,
            "--edges",
            "normal",
            "--prefix",
            "none",
        ]);
        tree.env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION");
        let tree = output(&mut tree)?;
        let built = tree.lines().filter_map(|line| line.split(' ').next());
        let found: BTreeSet<_> = built.filter(|name| IO.contains(name)).collect();
        wrong.extend(
            found
                .iter()
                .map(|io| format!("layering: {name} is pure and must not be built with {io}")),
        );
    }
    for line in &wrong {
        println!("{line}");
    }
    Ok(wrong.is_empty())
}

/// A crate of the workspace, as its `Cargo.toml` says.
#[derive(Default)]
pub(crate) struct Package {
    pub(crate) description: String,
    /// The names of its direct dependencies, and whether they are for its tests only.
    pub(crate) uses: Vec<(String, bool)>,
    /// The names of its test programs.
    tests: Vec<String>,
}

/// The crates that ship, by name: all but those that test, measure and build.
pub(crate) fn product() -> Result<BTreeMap<String, Package>> {
    let mut all = packages()?;
    all.retain(|name, _| name != "xtask" && !ROOF.contains(&name.as_str()));
    Ok(all)
}

/// The names of all test programs of the workspace.
pub(crate) fn test_programs() -> Result<BTreeSet<String>> {
    let all = packages()?;
    Ok(all
        .into_values()
        .flat_map(|package| package.tests)
        .collect())
}

fn packages() -> Result<BTreeMap<String, Package>> {
    let text = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&text)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata names packages")?;
    let mut all = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has a name")?;
        let direct = package["dependencies"]
            .as_array()
            .context("a package has dependencies")?;
        let uses = direct
            .iter()
            .filter_map(|d| Some((d["name"].as_str()?.to_owned(), d["kind"] == "dev")));
        let targets = package["targets"].as_array().into_iter().flatten();
        let tests = targets.filter(|target| target["kind"][0] == "test");
        let package = Package {
            description: package["description"].as_str().unwrap_or("").to_owned(),
            uses: uses.collect(),
            tests: tests
                .filter_map(|target| Some(target["name"].as_str()?.to_owned()))
                .collect(),
        };
        all.insert(name.to_owned(), package);
    }
    Ok(all)
}

fn violations(all: &BTreeMap<String, Package>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, package) in all {
        if ROOF.contains(&name.as_str()) {
            continue;
        }
        if !ARROWS.iter().any(|(known, _)| known == name) {
            wrong.push(format!("layering: crate {name} has no place in the layout"));
            continue;
        }
        let allowed = reachable(name);
        for (dependency, dev) in &package.uses {
            let ours = all.contains_key(dependency);
            if ours && !allowed.contains(dependency.as_str()) && !(*dev && dependency == name) {
                wrong.push(format!("layering: {name} must not know {dependency}"));
            }
        }
    }
    wrong
}

/// All that can be reached over the arrows.
fn reachable(from: &str) -> BTreeSet<&'static str> {
    let arrows = |name: &str| {
        ARROWS
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(&[][..], |(_, to)| *to)
    };
    let mut found = BTreeSet::new();
    let mut open = arrows(from).to_vec();
    while let Some(name) = open.pop() {
        if found.insert(name) {
            open.extend(arrows(name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, dependency: &str, dev: bool) -> Vec<String> {
        let mut all: BTreeMap<String, Package> = ARROWS
            .iter()
            .map(|(name, _)| ((*name).to_owned(), Package::default()))
            .collect();
        let mut uses = |name: &str, dependency: &str, dev| {
            let package = all.entry(name.into()).or_default();
            package.uses.push((dependency.into(), dev));
        };
        uses("tests", "logd", false);
        uses(name, dependency, dev);
        violations(&all)
    }

    #[test]
    fn arrows_point_one_way() {
        assert!(with("logd", "engine", false).is_empty());
        assert!(
            with("logd", "tlog", false).is_empty(),
            "what log knows, logd may know"
        );
        assert!(with("server-admin", "logconfig", false).is_empty());
        for (name, dependency) in [
            ("engine", "server-admin"),
            ("server-admin", "engine"),
            ("tlog", "logconfig"),
            ("engine", "tests"),
        ] {
            assert_eq!(
                with(name, dependency, false).len(),
                1,
                "{name} -> {dependency}"
            );
            assert_eq!(
                with(name, dependency, true).len(),
                1,
                "{name} -> {dependency} in tests"
            );
        }
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        assert_eq!(with("surprise", "anyhow", false).len(), 1);
    }
}
