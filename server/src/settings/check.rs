//! `logd config check`: every mistake in a settings file, each with its line and its remedy.
//!
//! A start ends at the first mistake; this check continues: it notes the mistake, takes it out, and reads the rest. It also checks
//! the files that the settings name. It changes nothing, and opens nothing for writing.

mod files;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use logconfig::text::nearest;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use self::files::Files;
pub(crate) use self::files::kek_remedy;
use super::secondary::SecondarySettings;
use super::{
    Admin, At, Bounds, Data, KekSource, Logging, Merge, Metrics, PeerClient, RekorRoots, Settings,
    Stores, Wrong, in_words, line_at, line_of,
};

/// One fault of a settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Line, from 1, if it has one.
    pub(crate) line: Option<usize>,
    pub(crate) what: String,
    /// The text to write instead, or the next command.
    pub(crate) remedy: String,
}

/// A settings file of `logd serve` or of `logd secondary`.
pub(crate) fn check(text: &str, path: &Path) -> Vec<Problem> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut checked = Checked::read(text);
    if checked.is_secondary() {
        if let Some(settings) = checked.secondary() {
            Files {
                text,
                folder,
                problems: &mut checked.problems,
            }
            .secondary(&settings);
        }
    } else {
        let read = checked.settings();
        Files {
            text,
            folder,
            problems: &mut checked.problems,
        }
        .settings(&read);
    }
    checked.sorted()
}

/// The same without checking files, for examples.
#[cfg(test)]
pub(crate) fn check_text(text: &str) -> Vec<Problem> {
    let mut checked = Checked::read(text);
    match checked.is_secondary() {
        true => drop(checked.secondary()),
        false => drop(checked.settings()),
    }
    checked.sorted()
}

struct Checked<'a> {
    text: &'a str,
    table: DeTable<'a>,
    /// The document could not be read to its end.
    broken: bool,
    problems: Vec<Problem>,
}

/// The part of a settings file that could be read.
struct Read {
    settings: Settings,
    /// Sections that are there and could be read.
    has: BTreeSet<&'static str>,
}

/// Every section of `logd.toml`.
const SECTIONS: [&str; 12] = [
    "create", "data", "admin", "metrics", "peers", "stores", "kek", "merge", "nodes", "buckets",
    "limits", "log",
];

impl<'a> Checked<'a> {
    fn read(text: &'a str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut problems = Vec::new();
        for error in &errors {
            problems.push(Problem {
                line: error.span().map(|span| line_at(text, span.start)),
                what: in_words(error.message()),
                remedy: "correct the TOML here; settings that depend on it are checked after that"
                    .to_owned(),
            });
        }
        Self {
            text,
            table: table.into_inner(),
            broken: !errors.is_empty(),
            problems,
        }
    }

    fn is_secondary(&self) -> bool {
        self.table.get("dir").is_some() || self.table.get("logs").is_some()
    }

    fn sorted(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.line);
        self.problems.dedup();
        self.problems
    }

    fn problem(&mut self, at: usize, what: String, remedy: String) {
        self.problems.push(Problem {
            line: Some(line_at(self.text, at)),
            what,
            remedy,
        });
    }

    /// Reads a value; takes each mistake out and reads again.
    fn value<T: DeserializeOwned>(
        &mut self,
        mut value: Spanned<DeValue<'a>>,
        section: &str,
    ) -> Option<T> {
        let mut removed = BTreeSet::new();
        for _ in 0..200 {
            let whole = value.span();
            let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let message = in_words(error.message());
            let span = error.span().unwrap_or(whole.clone());
            let missing = quoted_after(&message, "missing field ");
            // A value that was taken out is missing now, which is not another mistake.
            if missing.is_none_or(|name| !removed.contains(name)) {
                let remedy = remedy(&message, section);
                self.problem(span.start, message.clone(), remedy);
            }
            match take_out(&mut value, &span) {
                Some(key) => drop(removed.insert(key)),
                None => return None,
            }
        }
        None
    }

    fn section<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let value = self.table.get(key)?.clone();
        self.value(value, key)
    }

    /// A section without which nothing starts.
    fn needed<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        if self.table.get(key).is_none() && !self.broken {
            self.problems.push(Problem {
                line: None,
                what: format!("missing section [{key}]"),
                remedy: format!("add it: `logd config example` shows [{key}]"),
            });
        }
        self.section(key)
    }

    fn settings(&mut self) -> Read {
        let unknown = self
            .table
            .iter()
            .filter(|(key, _)| !SECTIONS.contains(&&**key.get_ref()));
        let unknown: Vec<_> = unknown
            .map(|(key, _)| (key.span(), key.get_ref().to_string()))
            .collect();
        for (span, key) in unknown {
            let near = nearest(&key, SECTIONS.into_iter()).map_or_else(
                || format!("remove it; the sections are {}", SECTIONS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.problem(span.start, format!("unknown section or key `{key}`"), near);
        }
        let mut has = BTreeSet::new();
        let mut note = |key, there: bool| {
            if there {
                has.insert(key);
            }
        };
        let data = self.needed::<Data>("data");
        note("data", data.is_some());
        let stores = self.needed::<Stores>("stores");
        note("stores", stores.is_some());
        let kek = self.needed::<KekSource>("kek");
        note("kek", kek.is_some());
        let settings = Settings {
            create: self.section("create").unwrap_or_default(),
            data: data.unwrap_or_else(|| Data {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                url: None,
                tls: None,
                rekor: RekorRoots::default(),
            }),
            admin: self.section::<Admin>("admin").unwrap_or_default(),
            metrics: self.section::<Metrics>("metrics"),
            peers: self.section::<PeerClient>("peers").unwrap_or_default(),
            stores: stores.unwrap_or_else(|| Stores {
                coordination: PathBuf::new(),
                objects: PathBuf::new(),
            }),
            kek: kek.unwrap_or_else(|| KekSource::Env(String::new())),
            merge: self.section::<Merge>("merge").unwrap_or_default(),
            nodes: self.section("nodes").unwrap_or_default(),
            buckets: self.section("buckets").unwrap_or_default(),
            bounds: self.section::<Bounds>("limits").unwrap_or_default(),
            log: self.section::<Logging>("log").unwrap_or_default(),
        };
        for wrong in settings.wrongs() {
            self.wrong(wrong);
        }
        Read { settings, has }
    }

    fn secondary(&mut self) -> Option<SecondarySettings> {
        let end = self.text.len();
        let whole = Spanned::new(0..end, DeValue::Table(self.table.clone()));
        let settings = self.value::<SecondarySettings>(whole, "a secondary")?;
        if let Some((key, problem)) = settings.wrong() {
            self.problems.push(Problem {
                line: line_of(self.text, key),
                what: problem,
                remedy: "docs/operations.md shows the settings of a secondary".to_owned(),
            });
        }
        Some(settings)
    }

    fn wrong(&mut self, Wrong { at, problem }: Wrong) {
        let line = match at {
            At::Key(key) => line_of(self.text, key),
            At::Offset(offset) => Some(line_at(self.text, offset)),
        };
        self.problems.push(Problem {
            line,
            what: problem,
            remedy: "`logd config example` explains this section".to_owned(),
        });
    }
}

/// The word in backticks behind a prefix.
fn quoted_after<'m>(message: &'m str, prefix: &str) -> Option<&'m str> {
    message.strip_prefix(prefix)?.split('`').nth(1)
}

fn remedy(message: &str, section: &str) -> String {
    if let Some(name) = quoted_after(message, "missing field ") {
        return format!("add `{name} = …`; `logd config example` shows it");
    }
    if let Some(name) = quoted_after(message, "unknown field ") {
        let known = message.split('`').skip(3).step_by(2);
        return match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "remove it, or move it to where it belongs".to_owned(),
        };
    }
    format!("`logd config example` shows how {section} is written")
}

/// Takes out the innermost thing with this span. Returns its key, or `None` if it is not there.
fn take_out(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    match value.get_mut() {
        DeValue::Table(table) => {
            for (key, inner) in table.iter_mut() {
                if let Some(found) = take_out(inner, span) {
                    return Some(found);
                }
                let _ = key;
            }
            let hit = table
                .iter()
                .find(|(key, value)| key.span() == *span || value.span() == *span);
            let key = hit.map(|(key, _)| key.clone())?;
            table.remove(&key);
            Some(key.into_inner().into_owned())
        }
        DeValue::Array(array) => {
            for inner in array.iter_mut() {
                if let Some(found) = take_out(inner, span) {
                    return Some(found);
                }
            }
            let at = array.iter().position(|value| value.span() == *span)?;
            let kept = array.iter().enumerate().filter(|(n, _)| *n != at);
            *array = kept.map(|(_, value)| value.clone()).collect();
            Some(String::new())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn all_mistakes_are_listed_each_with_its_line() {
        let text = "creat = []\n\
            [data]\n\
            listen = 7\n\
            urll = 'x'\n\
            [admin]\n\
            listen = '0.0.0.0:7071'\n\
            users = [{ uid = 'root', permissions = ['*:*:*'] }, { uid = 0, permissions = ['operator'] }]\n\
            [metrics]\n\
            listen = '0.0.0.0:1'\n\
            [stores]\n\
            objects = 'o'\n\
            [limits]\n\
            connections = 0\n\
            header_bytes = '1KiB'\n\
            min_free = '16MB'\n\
            shutdown = '1s'\n\
            [log]\n\
            filter = 'log=loud'\n";
        let found = check_text(text);
        let lines: Vec<_> = found.iter().map(|problem| problem.line).collect();
        let expected = [0, 1, 3, 4, 5, 5, 7, 7, 8, 10, 13, 14, 15, 16, 18];
        let expected = expected.map(|line| (line > 0).then_some(line));
        assert_eq!(lines, expected, "{found:#?}");
        assert!(found.iter().all(|problem| !problem.remedy.is_empty()));
        let remedy = |line| &found.iter().find(|p| p.line == Some(line)).unwrap().remedy;
        assert_eq!(remedy(1), "did you mean `create`?");
        assert_eq!(remedy(4), "did you mean `url`?");
        assert!(found[0].what.contains("[kek]"));
    }

    #[test]
    fn what_is_no_toml_is_said_and_the_rest_is_read() {
        let found = check_text("[data\nlisten = '127.0.0.1:1'\n[limits]\nconnections = 0\n");
        assert!(
            found.iter().any(|problem| problem.line == Some(1)),
            "{found:?}"
        );
    }

    #[test]
    fn files_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("kek", "no key", 0o644);
        write("key.pem", "", 0o644);
        write("argon.yaml", "log: [", 0o644);
        write("tokens.toml", "[[token]]\nname = 'x'\n", 0o600);
        write("ca.pem", "", 0o644);
        let text = "create = ['argon.yaml']\n\
            [data]\n\
            listen = '127.0.0.1:7070'\n\
            tls = { cert = 'cert.pem', key = 'key.pem' }\n\
            [admin]\n\
            listen = '127.0.0.1:7070'\n\
            tokens = 'tokens.toml'\n\
            [peers]\n\
            ca = 'ca.pem'\n\
            [stores]\n\
            coordination = 'away/c.db'\n\
            objects = 'objects'\n\
            [kek]\n\
            file = 'kek'\n";
        let found = check(text, &folder.path().join("logd.toml"));
        let lines: BTreeSet<_> = found.iter().filter_map(|problem| problem.line).collect();
        assert_eq!(lines, BTreeSet::from([1, 3, 4, 7, 9, 11, 14]), "{found:#?}");
    }

    /// The blocks of a page that show settings of a server or of a secondary.
    fn blocks(page: &str) -> Vec<String> {
        let blocks = page.split("```toml\n").skip(1);
        let blocks = blocks.filter_map(|rest| rest.split_once("```").map(|(block, _)| block));
        // Contexts of logctl and dependencies are other files.
        let others = ["[contexts", "[dependencies]", "[[token]]", "[package]"];
        blocks
            .filter(|block| !others.iter().any(|other| block.contains(other)))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_example_passes() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let mut pages: Vec<PathBuf> = std::fs::read_dir(&docs)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
            .collect();
        pages.push(docs.join("../README.md"));
        let mut seen = 0;
        for page in pages {
            for mut block in blocks(&std::fs::read_to_string(&page).unwrap()) {
                seen += 1;
                if !block.contains("dir = ") {
                    // A page shows the settings of its topic; the rest is the same everywhere.
                    let needed = [
                        ("[data]", "[data]\nlisten = '127.0.0.1:1'\n"),
                        ("[stores]", "[stores]\ncoordination = 'c'\nobjects = 'o'\n"),
                        ("[kek]", "[kek]\nfile = 'kek'\n"),
                    ];
                    for (section, text) in needed {
                        if !block.contains(section) {
                            block.push_str(text);
                        }
                    }
                }
                // A key that is not shown in full.
                let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
                let block = block.replace("log.example.org/argon+…", key);
                assert_eq!(check_text(&block), [], "{}:\n{block}", page.display());
            }
        }
        assert!(seen >= 3, "{seen} examples");
        let all: String = super::super::EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned() + "\n")
            .collect();
        assert_eq!(check_text(super::super::EXAMPLE), []);
        assert_eq!(check_text(&all), []);
    }
}
