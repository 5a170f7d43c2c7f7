//! The flags that a command in a hint needs, so that it acts on the server and the log of the command that prints it.
//!
//! What must never happen: a command that is copied from a message or a page changes another log. So both pass through here before they
//! are printed; the hints themselves name no log. Documents, and the words of a user, stay as they are.

use std::path::Path;

use serde_json::Value;

use crate::report::{Block, Page};
use crate::settings::Overrides;

/// The server and the log that the user named, as far as the context does not name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    log: Option<String>,
    /// Flags about the server, each with its value.
    server: Vec<(&'static str, String)>,
}

impl Scope {
    /// The flags of a command line, and the log that its arguments name. Values from the environment hold for the next command as well.
    pub(crate) fn of(overrides: &Overrides, log: Option<String>) -> Self {
        let flag = |name: &str| !overrides.environment.iter().any(|known| known == name);
        let text = |path: &Option<std::path::PathBuf>| {
            path.as_deref()
                .map(Path::display)
                .map(|path| path.to_string())
        };
        let server = [
            ("config", text(&overrides.config)),
            ("context", overrides.context.clone()),
            ("admin", overrides.admin.clone()),
            ("ca", text(&overrides.ca)),
        ];
        Self {
            log: log.or_else(|| overrides.log.clone().filter(|_| flag("log"))),
            server: server
                .into_iter()
                .filter(|(name, _)| flag(name))
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        }
    }

    /// Notes the log of a request that was named neither by a flag nor by the settings in effect: by a file, for example.
    pub(crate) fn works_on(&mut self, log: &str, settings: Option<&str>) {
        if self.log.is_none() && settings != Some(log) {
            self.log = Some(log.to_owned());
        }
    }

    /// The text, with these flags in each command that it quotes.
    pub(crate) fn complete(&self, text: &str) -> String {
        let quoted = text
            .split('`')
            .map(|piece| match piece.strip_prefix("logctl ") {
                Some(words) => format!("logctl {}", self.command(words)),
                None => piece.to_owned(),
            });
        quoted.collect::<Vec<_>>().join("`")
    }

    /// The page with these flags in its commands. Documents on it and the words of a user stay as they are.
    pub(crate) fn complete_page(&self, page: &Page) -> Page {
        let mut page = page.clone();
        for block in &mut page.blocks {
            let cells: Vec<_> = match block {
                Block::Text(text) => {
                    *text = self.complete(text);
                    continue;
                }
                Block::Verbatim(_) => continue,
                Block::Table { rows, .. } => rows.iter_mut().flatten().collect(),
                Block::Fields(fields) => fields.iter_mut().map(|(_, cell)| cell).collect(),
            };
            for cell in cells.into_iter().filter(|cell| !cell.quoted) {
                cell.text = self.complete(&cell.text);
            }
        }
        page
    }

    /// Completes the texts of a document that lie in these fields, at any depth.
    pub(crate) fn complete_fields(&self, value: &mut Value, names: &[&str]) {
        match value {
            Value::Array(values) => values
                .iter_mut()
                .for_each(|value| self.complete_fields(value, names)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match names.contains(&name.as_str()) {
                        true => self.complete_all(value),
                        false => self.complete_fields(value, names),
                    }
                }
            }
            _ => {}
        }
    }

    /// Completes every text of a document.
    pub(crate) fn complete_all(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.complete(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.complete_all(value)),
            Value::Object(fields) => fields
                .values_mut()
                .for_each(|value| self.complete_all(value)),
            _ => {}
        }
    }

    fn command(&self, line: &str) -> String {
        let end = [" > ", " | "]
            .iter()
            .filter_map(|sign| line.find(sign))
            .min();
        let (command, rest) = line.split_at(end.unwrap_or(line.len()));
        let words: Vec<&str> = command.split(' ').collect();
        let log = self.log.as_ref().filter(|_| works_on_a_log(&words));
        let log = log.map(|log| ("log", log.clone()));
        let server = self
            .server
            .iter()
            .filter(|_| asks_a_server(&words))
            .cloned();
        let mut text = command.to_owned();
        for (name, value) in log.into_iter().chain(server) {
            let flag = format!("--{name}");
            if !words.contains(&flag.as_str()) && !words.contains(&"--help") {
                text.push_str(&format!(" {flag} {}", shell(&value)));
            }
        }
        text + rest
    }
}

/// Whether a command works on one log, which it does not name itself.
fn works_on_a_log(words: &[&str]) -> bool {
    match words {
        ["shard" | "qos" | "merge" | "import" | "top", ..] | ["op", "list", ..] => true,
        ["config", verb, ..] => !matches!(*verb, "validate" | "schema"),
        ["log", "freeze" | "unfreeze", rest @ ..] => {
            rest.first().is_none_or(|word| word.starts_with('-'))
        }
        _ => false,
    }
}

/// Whether a command asks a server at all.
fn asks_a_server(words: &[&str]) -> bool {
    !matches!(words, ["context" | "help" | "man" | "completions", ..])
}

/// A value as a shell reads it.
fn shell(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_for_a_log_names_the_log() {
        let overrides = Overrides {
            context: Some("eu".into()),
            admin: Some("unix:/run/a b.sock".into()),
            environment: vec!["context".into()],
            ..Overrides::default()
        };
        let scope = Scope::of(&overrides, Some("argon".into()));
        for (text, expected) in [
            (
                "`logctl shard freeze`",
                "`logctl shard freeze --log argon --admin 'unix:/run/a b.sock'`",
            ),
            (
                "`logctl log freeze`",
                "`logctl log freeze --log argon --admin 'unix:/run/a b.sock'`",
            ),
            (
                "`logctl log freeze neon`",
                "`logctl log freeze neon --admin 'unix:/run/a b.sock'`",
            ),
            (
                "`logctl shard list --log neon`",
                "`logctl shard list --log neon --admin 'unix:/run/a b.sock'`",
            ),
            (
                "first `logctl config show > FILE`, then",
                "first `logctl config show --log argon --admin 'unix:/run/a b.sock' > FILE`, then",
            ),
            (
                "`logctl op wait ID` waits",
                "`logctl op wait ID --admin 'unix:/run/a b.sock'` waits",
            ),
            (
                "`logctl context show` and `--yes`",
                "`logctl context show` and `--yes`",
            ),
        ] {
            assert_eq!(scope.complete(text), expected);
        }
        let mut document =
            serde_json::json!({ "error": { "findings": [{ "hint": "`logctl qos list`" }] } });
        scope.complete_all(&mut document);
        assert_eq!(
            document["error"]["findings"][0]["hint"],
            "`logctl qos list --log argon --admin 'unix:/run/a b.sock'`"
        );
    }

    #[test]
    fn the_log_of_the_settings_in_effect_is_not_repeated() {
        let mut scope = Scope::default();
        scope.works_on("dev", Some("dev"));
        assert_eq!(scope.complete("`logctl shard list`"), "`logctl shard list`");
        scope.works_on("neon", Some("dev"));
        assert_eq!(
            scope.complete("`logctl shard list`"),
            "`logctl shard list --log neon`"
        );
    }
}
