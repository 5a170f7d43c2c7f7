//! The words that no reader should meet: the last table of `docs/glossary.md`, checked against docs, help texts, the string literals of
//! the programs, and comments.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::generate::OPENAPI;
use crate::run::root;
use crate::{house, literals};

const GLOSSARY: &str = "docs/glossary.md";
/// Folders whose string literals reach people who run the programs.
const SAID: [&str; 5] = [
    "cli/src",
    "crates/",
    "server/src",
    "server-admin/src",
    "tools/",
];
const HEADING: &str = "## Words that we do not use";

/// A row of the table.
struct Rule {
    /// The forbidden words; in backticks where only the name in code is meant.
    not: Vec<String>,
    but: String,
    /// Files in which it may be there.
    except: Vec<String>,
}

/// Whether no text has a word of the table; names each that does.
pub(crate) fn check() -> Result<bool> {
    let glossary = std::fs::read_to_string(root().join(GLOSSARY)).context(GLOSSARY)?;
    let (prose, table) = glossary
        .split_once(HEADING)
        .with_context(|| format!("{GLOSSARY} has no section \"{HEADING}\""))?;
    let rules = rules(table);
    anyhow::ensure!(!rules.is_empty(), "{GLOSSARY}: the last table has no rows");
    let mut wrong = found(&rules, GLOSSARY, prose);
    for path in texts()? {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let path = path.strip_prefix(root()).unwrap_or(&path);
        wrong.extend(found(&rules, &path.to_string_lossy(), &text));
    }
    for (path, text) in house::sources()? {
        let people = SAID.iter().any(|folder| path.starts_with(folder));
        if people && !house::tests_only(&path) {
            wrong.extend(said(&rules, &path, &text));
        }
        wrong.extend(commented(&rules, &path, &text));
        wrong.extend(named(&rules, &path, &text));
    }
    for line in &wrong {
        println!("{line}");
    }
    Ok(wrong.is_empty())
}

/// Everything that users read, but for the glossary itself.
fn texts() -> Result<Vec<PathBuf>> {
    let mut texts = vec![root().join("README.md"), root().join(OPENAPI)];
    for entry in std::fs::read_dir(root().join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "md") && !path.ends_with(GLOSSARY) {
            texts.push(path);
        }
    }
    for folder in ["cli", "tools", "server"] {
        helps(&root().join(folder), &mut texts)?;
    }
    texts.sort();
    Ok(texts)
}

/// The snapshots of help texts in a folder and below it.
fn helps(folder: &Path, texts: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            helps(&path, texts)?;
        } else if path.parent().is_some_and(|p| p.ends_with("snapshots"))
            && path.to_string_lossy().contains("help")
        {
            texts.push(path);
        }
    }
    Ok(())
}

fn rules(table: &str) -> Vec<Rule> {
    let list = |cell: &str| {
        let items = cell.split(',').map(|item| item.trim().to_owned());
        items.filter(|item| !item.is_empty()).collect()
    };
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix('|')?.split('|').collect();
        let [not, but, except, _] = cells[..] else {
            return None;
        };
        Some(Rule {
            not: list(not),
            but: but.trim().to_owned(),
            except: list(except),
        })
    });
    rows.skip(2).collect()
}

/// Checks the string literals of a source file, except for its tests.
fn said(rules: &[Rule], path: &str, text: &str) -> Vec<String> {
    let code: String = house::code(text)
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    let literals = literals::sentences(&code).into_iter();
    literals
        .flat_map(|(line, literal)| {
            // The parts in braces are code.
            let parts: Vec<_> = literal
                .split('{')
                .map(|part| part.split_once('}').map_or(part, |(_, after)| after))
                .collect();
            let words = parts.join(" ");
            judged(rules, (path, line), &words, &words)
        })
        .collect()
}

/// The comments of a source file, each as a whole: words may be on two lines.
fn commented(rules: &[Rule], path: &str, text: &str) -> Vec<String> {
    let (mut wrong, mut block) = (Vec::new(), String::new());
    let mut first = 1;
    for (number, line) in (1..).zip(text.lines()).chain([(0, "")]) {
        let comment = line.trim_start().strip_prefix("//");
        if let Some(comment) = comment {
            if block.is_empty() {
                first = number;
            }
            block += comment.trim_start_matches(['/', '!']);
        } else if !block.is_empty() {
            wrong.extend(judged(rules, (path, first), &block, &prose(&block)));
            block.clear();
        }
    }
    wrong
}

/// The identifiers of a source file that have a word of the table as one of their words, and constants whose names say too little.
fn named(rules: &[Rule], path: &str, text: &str) -> Vec<String> {
    /// How the name of a constant ends that says neither whose it is nor what comes after it.
    const ENDS: [&str; 3] = ["PATIENCE", "LOOK", "PAUSE"];
    let mut wrong = Vec::new();
    for (line, name) in literals::identifiers(text) {
        let words = words(name);
        for rule in rules {
            if let Some(not) = rule.not.iter().find(|not| words.contains(*not)) {
                let but = &rule.but;
                wrong.push(format!("{path}:{line}: {name}: not \"{not}\", but {but}"));
            }
        }
        if name.len() > 1
            && name.to_uppercase() == name
            && ENDS
                .iter()
                .any(|end| name.split('_').next_back() == Some(end))
        {
            wrong.push(format!(
                "{path}:{line}: {name}: say whose it is, and end in _TIMEOUT, _POLL or _BACKOFF"
            ));
        }
    }
    wrong
}

/// The words of an identifier, in lower case.
fn words(name: &str) -> Vec<String> {
    let (mut words, mut small) = (vec![String::new()], false);
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && small) {
            words.push(String::new());
        }
        small = c.is_lowercase();
        if let (true, Some(word)) = (c != '_', words.last_mut()) {
            word.extend(c.to_lowercase());
        }
    }
    words
}

fn found(rules: &[Rule], path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut block = false;
    for (n, line) in text.lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        block ^= fence;
        // Code blocks are not checked; help texts and documents are not markdown.
        let markdown = path.ends_with(".md");
        if markdown && (block || fence) {
            continue;
        }
        let words = if markdown {
            prose(line)
        } else {
            line.to_owned()
        };
        wrong.extend(judged(rules, (path, n + 1), line, &words));
    }
    wrong
}

/// The forbidden words of a line; `words` is the line without its code.
fn judged(rules: &[Rule], (path, n): (&str, usize), line: &str, words: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for rule in rules {
        let excepted = rule.except.iter().any(|file| path.ends_with(file.as_str()));
        let said = rule
            .not
            .iter()
            .find(|not| has(if not.starts_with('`') { line } else { words }, not));
        if let (Some(not), false) = (said, excepted) {
            let but = &rule.but;
            wrong.push(format!("{path}:{n}: not \"{not}\", but {but}"));
        }
    }
    wrong
}

/// A line of markdown without its code.
fn prose(line: &str) -> String {
    let parts = line.split('`').step_by(2);
    parts.collect::<Vec<_>>().join("`")
}

/// Whether a line has these words, as whole words, in whatever case.
fn has(line: &str, words: &str) -> bool {
    let (line, words) = (line.to_lowercase(), words.to_lowercase());
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(&words).any(|(at, _)| {
        !letter(line[..at].chars().next_back()) && !letter(line[at + words.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "\nText.\n\n| not | but | except in |\n|---|---|---|\n| shall, `sth` | must | one.md |\n";

    #[test]
    fn a_word_is_found_as_a_whole_and_outside_of_code_only() {
        let rules = rules(TABLE);
        let count = |path: &str, text: &str| found(&rules, path, text).len();
        assert_eq!(count("two.md", "It Shall be."), 1);
        assert_eq!(count("two.md", "marshall and shallow, `shall`"), 0);
        assert_eq!(count("two.md", "```\nshall\n```\nshall"), 1);
        assert_eq!(count("two.md", "the program `sth`, not sth"), 1);
        assert_eq!(count("help.snap", "  --now  What shall be"), 1);
        assert_eq!(count("docs/one.md", "It shall be."), 0);
    }

    #[test]
    fn what_a_program_says_is_looked_at_and_what_its_tests_say_is_not() {
        let text = "// shall we\nlet key = \"shall\";\nbail!(\"it {shall} shall \\\n    be\");\n#[cfg(test)]\nmod tests {\n    \"it shall\"\n}\n";
        let wrong = said(&rules(TABLE), "a.rs", text);
        assert_eq!(wrong, ["a.rs:3: not \"shall\", but must"]);
    }

    #[test]
    fn an_identifier_is_read_by_its_words() {
        let table = "|a|b|c|\n|-|-|-|\n| stranger, litter | other | |\n";
        let text = "// litter\nfn litter_goes() {}\nstruct OldLitter;\n\"litter\";\nlet litters = 'x';\nconst A_PATIENCE: u8 = 1;\n";
        let wrong = named(&rules(table), "a.rs", text);
        let at: Vec<_> = wrong
            .iter()
            .filter_map(|line| line.split(": ").next())
            .collect();
        assert_eq!(at, ["a.rs:2", "a.rs:3", "a.rs:6"], "{wrong:?}");
    }

    #[test]
    fn a_comment_is_read_over_its_lines_and_without_its_code() {
        let text = "//! It\n//! shall.\n\n/// `shall`\nfn shall() {}\n    // not\n    // SHALL\n";
        let wrong = commented(&rules(TABLE), "a.rs", text);
        let named = |line| format!("a.rs:{line}: not \"shall\", but must");
        assert_eq!(wrong, [named(1), named(6)]);
    }
}
