//! The layers of the engine's modules. A module uses only what is in layers below its own, so no two of them need each other.
//! docs/architecture.md shows the same layers.
//!
//! A type may have methods that are written in a module above its own. A module below can call such a method without importing the module above, so
//! each call counts as an import.

use std::collections::BTreeMap;

use crate::house::{code, tests_only};

/// From the bottom to the top.
const LAYERS: [&[&str]; 15] = [
    &["entry_times"],
    &[
        "backoff",
        "clock",
        "formats",
        "halt",
        "heart",
        "metrics",
        "object_cache",
        "pending",
        "places",
        "shard",
        "supervise",
    ],
    &["ledger", "peers", "position", "program"],
    &["damage", "document", "health", "nodes"],
    &["collect", "objects", "progress"],
    &["running", "times"],
    &["keyring", "life"],
    &["ingest", "integrate"],
    &["publish", "uploads"],
    &["distribute", "leaving", "orphans", "promise", "replicate"],
    &["log", "recover"],
    &["read", "repair", "status"],
    &["engine"],
    &["control"],
    &["fsck", "restore", "testing"],
];

/// Methods that share their name with a method of another crate or of a trait.
const SHARED_NAMES: [&str; 3] = ["decided", "freeze", "size"];

/// Imports of the engine that do not lead to a lower layer; modules that the list lacks; modules in the list that do not exist.
pub(crate) fn check(files: &BTreeMap<String, String>) -> Vec<String> {
    judge(files, &LAYERS)
}

fn judge(files: &BTreeMap<String, String>, layers: &[&[&str]]) -> Vec<String> {
    let layer = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    let (mut wrong, mut found) = (Vec::new(), BTreeMap::new());
    for (path, text) in files {
        let Some(module) = module(path).filter(|_| !tests_only(path)) else {
            continue;
        };
        found.insert(module, path);
        let Some(own) = layer(module) else { continue };
        for (line, import) in imports(text) {
            if import != module && layer(import).is_none_or(|other| other >= own) {
                wrong.push(format!(
                    "{path}:{line}: crate::{import} is not in a layer below {module}: pass in what is used of it, or move the code that uses it \
                     to a module above both (xtask/src/layers.rs)"
                ));
            }
        }
    }
    wrong.extend(hidden(files, layer));
    let unknown = found.iter().filter(|(module, _)| layer(module).is_none());
    wrong.extend(unknown.map(|(module, path)| {
        format!("{path}: the module {module} has no layer: add it in xtask/src/layers.rs")
    }));
    let listed = layers.iter().copied().flatten();
    let gone = listed.filter(|module| !found.contains_key(**module));
    wrong.extend(gone.map(|module| {
        format!("xtask/src/layers.rs: the engine has no module {module}: take it out")
    }));
    wrong
}

/// Calls of methods that are written in a module above the caller. A method is found only if no other method of the engine has its name.
fn hidden(files: &BTreeMap<String, String>, layer: impl Fn(&str) -> Option<usize>) -> Vec<String> {
    let sources = || {
        let engine = files.iter().filter(|(path, _)| !tests_only(path));
        engine.filter_map(|(path, text)| Some((path, module(path)?, text)))
    };
    let (mut homes, mut names) = (BTreeMap::new(), BTreeMap::<&str, usize>::new());
    for (_, module, text) in sources() {
        for (_, line) in code(text) {
            if let Some(name) = item(line, &["struct", "enum"]) {
                homes
                    .entry(name)
                    .or_insert(Some(module))
                    .take_if(|known| *known != module);
            }
            if let Some(name) = item(line, &["fn"]) {
                *names.entry(name).or_default() += 1;
            }
        }
    }
    let mut away = Vec::new();
    for (_, module, text) in sources() {
        let mut of = None;
        for (_, line) in code(text) {
            if let Some(block) = line.strip_prefix("impl") {
                of = inherent(block)
                    .filter(|name| homes.get(name).is_some_and(|home| *home != Some(module)));
            } else if line == "}" {
                of = None;
            }
            if let (Some(of), Some(name)) = (of, item(line, &["fn"]))
                && names.get(name) == Some(&1)
                && !SHARED_NAMES.contains(&name)
            {
                away.push((of, name, module));
            }
        }
    }
    let mut wrong = Vec::new();
    for (path, own, text) in sources() {
        for (number, line) in code(text).filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let called = |name: &str| {
                let call = |mark: &str| line.contains(&format!("{mark}{name}("));
                call(".") || call("::")
            };
            for (of, name, module) in away.iter().filter(|(_, name, _)| called(name)) {
                if own != *module && layer(own) <= layer(module) {
                    wrong.push(format!(
                        "{path}:{number}: {of}::{name} is in {module}, which is not in a layer below {own} (xtask/src/layers.rs)"
                    ));
                }
            }
        }
    }
    wrong
}

/// The name of an item that begins in this line.
fn item<'a>(line: &'a str, kinds: &[&str]) -> Option<&'a str> {
    let end = |c: char| !(c.is_alphanumeric() || c == '_');
    let mut words = line.trim_start().split(' ').skip_while(|word| {
        word.starts_with("pub") || ["async", "const", "crate)", "super)"].contains(word)
    });
    let kind = words.next()?;
    let name = words.next()?.split(end).next()?;
    (kinds.contains(&kind) && !name.is_empty()).then_some(name)
}

/// The type of an `impl` block that is of no trait.
fn inherent(block: &str) -> Option<&str> {
    if block.contains(" for ") {
        return None;
    }
    let end = |c: char| !(c.is_alphanumeric() || c == '_');
    let behind = match block.strip_prefix('<') {
        Some(generics) => generics.split_once("> ")?.1,
        None => block.strip_prefix(' ')?,
    };
    behind.split(end).next()
}

/// The engine's module that a file belongs to; `lib.rs` belongs to none.
fn module(path: &str) -> Option<&str> {
    let below = path.strip_prefix("crates/engine/src/")?;
    let first = below.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first)).filter(|module| *module != "lib")
}

/// The modules that a file names behind `crate::`, with the lines.
fn imports(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = code(text).filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.flat_map(|(number, line)| {
        let named = line.split("crate::").skip(1);
        let end = |c: char| !(c.is_alphanumeric() || c == '_');
        named.filter_map(move |rest| Some((number, rest.split(end).next()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_that_does_not_go_downwards_is_named() {
        let file = |path: &str, text: &str| (format!("crates/engine/src/{path}"), text.to_owned());
        let files = BTreeMap::from([
            file("lib.rs", "pub use crate::log::Log;\n"),
            file("log.rs", "use crate::order::Slot;\n"),
            file(
                "order/mod.rs",
                "#[cfg(test)]\nmod tests;\n\nfn a(log: &crate::log::Log) {}\n",
            ),
            file("order/tests.rs", "use crate::log::Log;\n"),
            file(
                "rows.rs",
                "//! Not [`crate::log`].\nuse crate::rows::Row;\n#[cfg(test)]\nmod tests {\n    use crate::log;\n}\n",
            ),
            file("keys.rs", "use crate::rows;\n"),
            file("new.rs", ""),
        ]);
        let layers: [&[&str]; 2] = [&["order", "rows", "keys"], &["log", "old"]];
        let wrong = judge(&files, &layers);
        let begins: Vec<_> = wrong
            .iter()
            .filter_map(|line| line.split(": ").next())
            .collect();
        assert_eq!(
            begins,
            [
                "crates/engine/src/keys.rs:1",
                "crates/engine/src/order/mod.rs:4",
                "crates/engine/src/new.rs",
                "xtask/src/layers.rs"
            ]
        );
        assert!(wrong[1].contains("crate::log is not in a layer below order"));
    }

    #[test]
    fn a_method_that_a_type_has_above_its_caller_is_named() {
        let file = |path: &str, text: &str| (format!("crates/engine/src/{path}"), text.to_owned());
        let files = BTreeMap::from([
            file(
                "rows.rs",
                "pub(crate) struct Row;\nimpl Row {\n    fn own(&self) {}\n}\n",
            ),
            file(
                "keys.rs",
                "fn a(row: &Row) {\n    row.seal();\n    row.own();\n    row.twice();\n}\n",
            ),
            file(
                "log.rs",
                "impl Row {\n    pub(crate) async fn seal(&self) {}\n    fn twice(&self) {}\n}\nfn twice(row: &Row) {\n    row.seal();\n}\n",
            ),
            file("top.rs", "fn b(row: &Row) {\n    row.seal();\n}\n"),
        ]);
        let layers: [&[&str]; 4] = [&["rows"], &["keys"], &["log"], &["top"]];
        let wrong = judge(&files, &layers);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].starts_with("crates/engine/src/keys.rs:2: Row::seal is in log"));
    }

    #[test]
    fn a_group_or_a_name_of_the_root_is_no_way_around() {
        let text = "use crate::{log, rows};\nuse crate::Log;\n";
        let named: Vec<_> = imports(text).collect();
        // Neither is a module, so neither has a layer.
        assert_eq!(named, [(1, ""), (2, "Log")]);
    }
}
