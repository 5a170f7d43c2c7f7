//! Reads a settings file: its text, its types, and the values that make no sense, each with its line.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{Node, Settings};

/// A fault of a settings file.
#[derive(Debug, thiserror::Error)]
pub(crate) struct SettingsError {
    pub(super) path: PathBuf,
    pub(super) line: Option<usize>,
    pub(super) problem: String,
    #[source]
    pub(super) source: Option<std::io::Error>,
}

impl SettingsError {
    /// The settings file that is wrong.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        let kind = self.source.as_ref().map(std::io::Error::kind);
        kind == Some(std::io::ErrorKind::NotFound)
    }

    /// Whether the file cannot be read.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.source.is_some()
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// A setting that makes no sense: its place, and what to do.
pub(super) struct Wrong {
    pub(super) at: At,
    pub(super) problem: String,
}

pub(super) enum At {
    /// The first line that begins with it.
    Key(&'static str),
    /// A byte of the file.
    Offset(usize),
}

impl Wrong {
    pub(super) fn key(key: &'static str, problem: impl Into<String>) -> Self {
        Self {
            at: At::Key(key),
            problem: problem.into(),
        }
    }

    pub(super) fn at(offset: usize, problem: String) -> Self {
        Self {
            at: At::Offset(offset),
            problem,
        }
    }
}

/// The form of an address to listen on.
pub(crate) const NO_ADDRESS: &str =
    "an address is an IP address and a port, such as 127.0.0.1:7070 or [::1]:7070";

/// A message of the TOML reader on one line.
pub(super) fn in_words(message: &str) -> String {
    message
        .replace('\n', "; ")
        .replace("invalid socket address syntax", NO_ADDRESS)
}

/// The line, from 1, of a byte.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The line, from 1, that begins with a key.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    text.lines()
        .position(|line| line.trim_start().starts_with(key))
        .map(|at| at + 1)
}

pub(crate) fn read_text(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError {
        path: path.to_owned(),
        line: None,
        problem: "cannot read the settings".to_owned(),
        source: Some(source),
    })
}

pub(super) fn read_toml<T: serde::de::DeserializeOwned>(
    text: &str,
    path: &Path,
) -> Result<T, SettingsError> {
    toml::from_str(text).map_err(|e| SettingsError {
        path: path.to_owned(),
        line: e.span().map(|span| line_at(text, span.start)),
        problem: in_words(e.message()),
        source: None,
    })
}

impl Settings {
    /// Reads a settings file.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        Self::parse(&read_text(path)?, path)
    }

    /// Parses the text of the settings file at `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let error = |line, problem| SettingsError {
            path: path.to_owned(),
            line,
            problem,
            source: None,
        };
        let mut settings: Self = read_toml(text, path)?;
        if let Some(Wrong { at, problem }) = settings.wrongs().into_iter().next() {
            let line = match at {
                At::Key(key) => line_of(text, key),
                At::Offset(offset) => Some(line_at(text, offset)),
            };
            return Err(error(line, problem));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        settings
            .paths()
            .for_each(|path| *path = folder.join(&*path));
        Ok(settings)
    }

    /// The settings that are well-formed but make no sense.
    pub(super) fn wrongs(&self) -> Vec<Wrong> {
        let mut wrongs = Vec::new();
        if let Some(metrics) = self
            .metrics
            .as_ref()
            .filter(|metrics| !metrics.listen.ip().is_loopback())
        {
            let problem = format!(
                "metrics are served on a loopback address only, not on {}",
                metrics.listen
            );
            wrongs.push(Wrong::key("[metrics]", problem));
        }
        wrongs.extend(self.admin.wrongs());
        if let Some(problem) = self.log.wrong() {
            wrongs.push(Wrong::key("filter", problem));
        }
        if self.bounds.connections == 0 {
            wrongs.push(Wrong::key(
                "connections",
                "limits.connections must be at least 1",
            ));
        }
        // hyper's smallest buffer.
        if self.bounds.header_bytes.0 < 8 << 10 {
            wrongs.push(Wrong::key(
                "header_bytes",
                "limits.header_bytes must be at least 8KiB",
            ));
        }
        if self.bounds.max_bodies.0 < 1 << 20 {
            wrongs.push(Wrong::key(
                "max_bodies",
                "limits.max_bodies must be at least 1MiB",
            ));
        }
        if self
            .nodes
            .keys()
            .any(|name| name.as_str() == logconfig::LOCAL)
        {
            wrongs.push(Wrong::key(
                "[nodes.local]",
                "`local` is the folder of [stores] objects; give this node another name",
            ));
        }
        let unclear = |node: &&Node| node.path.is_some() == node.url.is_some();
        if self.nodes.values().find(unclear).is_some() {
            wrongs.push(Wrong::key(
                "[nodes.",
                "a storage node has either a path (a folder) or a url (a bucket)",
            ));
        }
        let buckets = self.buckets.iter();
        let buckets = buckets.filter_map(|(name, bucket)| bucket.wrong(&name.0));
        wrongs.extend(buckets.map(|problem| Wrong::key("[buckets.", problem)));
        wrongs
    }
}
