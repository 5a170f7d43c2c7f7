//! The guide to the plug-in, from an empty project: what its code uses, its dependency lines name, as this workspace has it. The code
//! itself is compiled and run as a test of the crate's documentation.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let fence = format!("```{language}\n");
    let (_, rest) = page.split_once(&fence).unwrap();
    rest.split_once("\n```").unwrap().0
}

/// The features that a dependency asks for.
fn features(of: &Value) -> BTreeSet<String> {
    let list = of.get("features").and_then(Value::as_array);
    let list = list.into_iter().flatten().filter_map(Value::as_str);
    list.map(str::to_owned).collect()
}

fn version(of: &Value) -> Option<&str> {
    of.as_str().or_else(|| of.get("version")?.as_str())
}

#[test]
fn the_dependency_lines_are_those_of_the_code() {
    let page = read("docs/plugin.md");
    let lines: Table = block(&page, "toml").parse().unwrap();
    let lines = lines["dependencies"].as_table().unwrap();
    let workspace: Table = read("Cargo.toml").parse().unwrap();
    let known = workspace["workspace"]["dependencies"].as_table().unwrap();

    let code = block(&page, "rust");
    let words: BTreeSet<String> = code
        .split("::")
        .filter_map(|before| {
            before
                .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
        })
        .map(|word| word.replace('_', "-"))
        .collect();
    for name in known.keys().filter(|name| words.contains(*name)) {
        assert!(lines.contains_key(name), "the code uses {name}");
    }
    for (name, line) in lines {
        let ours = known
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not used here"));
        assert_eq!(version(line), version(ours), "{name}");
        assert_eq!(
            line.get("path").is_some(),
            ours.get("path").is_some(),
            "{name}"
        );
        // A feature that this workspace does not ask for was never tried.
        let all = features(ours);
        let more: Vec<_> = features(line)
            .into_iter()
            .filter(|f| !all.contains(f))
            .collect();
        let usual = ["macros", "rt", "util"];
        assert!(
            more.iter().all(|f| usual.contains(&f.as_str())),
            "{name}: {more:?}"
        );
    }
}
