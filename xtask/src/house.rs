//! The house rules that no compiler checks. They forbid files that hold two ideas, docs that say nothing, public items that nobody uses, public
//! methods that have no class, and numbers without a type.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::run::root;

/// A longer file is two ideas.
const LINES: usize = 500;
/// A shorter doc line says no more than the name beside it.
const WORDS: usize = 4;
/// Longer files, each with the reason.
const LONG: [(&str, &str); 1] = [(
    "crates/order/src/model/steps.rs",
    "the model's one transition function",
)];
/// Folders with the project's own Rust.
const SOURCES: [&str; 9] = [
    "bench",
    "cli",
    "crates",
    "fuzz",
    "server",
    "server-admin",
    "tests",
    "tools",
    "xtask",
];

/// Whether all sources keep the rules; what does not is printed.
pub(crate) fn check() -> Result<bool> {
    let files = sources()?;
    let mut wrong = Vec::new();
    for (path, text) in &files {
        wrong.extend(long(path, text));
        wrong.extend(short_docs(path, text));
    }
    wrong.extend(unused(&files));
    wrong.extend(crate::handles::check(&files));
    wrong.extend(crate::numbers::check(&files));
    wrong.extend(crate::layers::check(&files));
    for line in &wrong {
        println!("{line}");
    }
    Ok(wrong.is_empty())
}

/// Every Rust file, by its path below the root.
pub(crate) fn sources() -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut open: Vec<PathBuf> = SOURCES.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in
            std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?
        {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && name != "target" {
                open.push(path);
            } else if name.ends_with(".rs") {
                let below = path.strip_prefix(root())?.to_string_lossy().into_owned();
                files.insert(below, std::fs::read_to_string(&path)?);
            }
        }
    }
    Ok(files)
}

/// Whether a file holds tests only.
pub(crate) fn tests_only(path: &str) -> bool {
    let folders = Path::new(path)
        .components()
        .any(|part| part.as_os_str() == "tests");
    folders || path.ends_with("/tests.rs")
}

/// A file's lines before the tests at its end.
pub(crate) fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // A module of tests may be declared anywhere; one that is written out is the end.
    let mut modules = text.match_indices("#[cfg(test)]\nmod ");
    let end = modules.find(|(at, _)| {
        let module = text[*at..].lines().nth(1);
        module.is_some_and(|line| line.ends_with('{'))
    });
    (1..).zip(text[..end.map_or(text.len(), |(at, _)| at)].lines())
}

fn long(path: &str, text: &str) -> Option<String> {
    let lines = code(text).count();
    let excused = LONG.iter().any(|(known, _)| *known == path);
    (lines > LINES && !tests_only(path) && !excused).then(|| {
        format!(
            "{path}: {lines} lines are two ideas: split it, or say in xtask/src/house.rs why not"
        )
    })
}

/// Doc comments of few words. Headings, examples and lists are no sentences.
fn short_docs(path: &str, text: &str) -> Vec<String> {
    let (mut wrong, mut block) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()).chain([(0, "")]) {
        if let Some(doc) = line.trim_start().strip_prefix("///") {
            block.push((number, doc.trim()));
            continue;
        }
        let words: usize = block
            .iter()
            .map(|(_, doc)| doc.split_whitespace().count())
            .sum();
        if let Some((first, doc)) = block.first()
            && words < WORDS
        {
            wrong.push(format!(
                "{path}:{first}: \"{doc}\" says no more than the name: say more, or leave it out"
            ));
        }
        block.clear();
    }
    wrong
}

/// Public functions of the engine that nothing outside it names: no other crate, test or benchmark.
fn unused(files: &BTreeMap<String, String>) -> Vec<String> {
    const ENGINE: &str = "crates/engine/src/";
    let word = |c: char| !(c.is_alphanumeric() || c == '_');
    let elsewhere = files.iter().filter(|(path, _)| !path.starts_with(ENGINE));
    let named: HashSet<&str> = elsewhere.flat_map(|(_, text)| text.split(word)).collect();
    let engine = files
        .iter()
        .filter(|(path, _)| path.starts_with(ENGINE) && !tests_only(path));
    let mut wrong = Vec::new();
    for (path, text) in engine {
        for (number, line) in code(text) {
            let Some(item) = line.trim_start().strip_prefix("pub ") else {
                continue;
            };
            let mut words = item.split(word).filter(|word| !word.is_empty());
            let kind = words.find(|word| !["async", "const", "unsafe"].contains(word));
            // A type may be public because a function answers with it.
            if let (Some("fn"), Some(name)) = (kind, words.next())
                && !named.contains(name)
            {
                wrong.push(format!(
                    "{path}:{number}: nothing outside the engine uses {name}: make it pub(crate)"
                ));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_named_unless_it_is_tests() {
        let text = "fn a() {}\n".repeat(LINES + 1);
        assert!(long("crates/a/src/a.rs", &text).is_some());
        assert!(long("crates/a/src/a/tests.rs", &text).is_none());
        let with_tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{text}");
        assert!(long("crates/a/src/a.rs", &with_tests).is_none());
        let beside = format!("#[cfg(test)]\nmod tests;\n{text}");
        assert!(long("crates/a/src/a.rs", &beside).is_some());
    }

    #[test]
    fn a_doc_of_three_words_is_named() {
        let text =
            "/// Why it is.\nfn a() {}\n/// Says something more here.\n/// Really.\nfn b() {}\n";
        assert_eq!(short_docs("a.rs", text).len(), 1);
    }

    #[test]
    fn what_only_the_engine_uses_is_named() {
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let files = BTreeMap::from([
            file(
                "crates/engine/src/a.rs",
                "pub fn used() {}\n    pub async fn lonely() {}\npub(crate) fn own() {}\n",
            ),
            file("server/src/main.rs", "engine::used();"),
        ]);
        let wrong = unused(&files);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].contains("lonely"));
    }
}
