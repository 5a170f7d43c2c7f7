//! The context file: named servers, and which of them is current.
//!
//! What must never happen: a mistake is reported without its line, or a setting silently has no effect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::private;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContextFile {
    /// The context to use when none is named.
    pub(crate) current: Option<String>,
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// A server, and how to log in to it. Paths are relative to the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The log to work on.
    pub(crate) log: Option<String>,
    pub(crate) admin: Option<String>,
    /// The log's address for readers and writers.
    pub(crate) url: Option<String>,
    /// Certificate authority of `admin`.
    pub(crate) ca: Option<PathBuf>,
    /// Certificate authority of `url`.
    pub(crate) url_ca: Option<PathBuf>,
    /// File with a bearer token.
    pub(crate) token_file: Option<PathBuf>,
    /// Program and arguments that print a bearer token.
    pub(crate) token_command: Option<Vec<String>>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    /// Identity token of a CI job, exchanged for a session.
    pub(crate) oidc: Option<Oidc>,
    /// Whether each change asks the user to type the context's name.
    #[serde(default)]
    pub(crate) protected: bool,
}

/// `oidc = { audience = "…" }`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oidc {
    /// The audience of the identity token: what the server expects as `aud`.
    pub(crate) audience: Option<String>,
    /// Environment variable that holds the identity token.
    pub(crate) token_env: Option<String>,
    /// File that holds the identity token.
    pub(crate) token_file: Option<PathBuf>,
}

/// The file as it was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Its path, or the path that it would have; absent when there is no folder for it.
    pub(crate) path: Option<PathBuf>,
    /// Its text; absent when it does not exist.
    pub(crate) text: Option<String>,
}

impl Found {
    /// Reads it. A file that was named must exist; the default one may be absent.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = named.map(Path::to_owned).or_else(default_path) else {
            return Ok(Self::default());
        };
        let unreadable = |source| Error::Read {
            what: format!("the context file {}", path.display()),
            source,
        };
        private::refuse_dangling(&path).map_err(unreadable)?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => None,
            Err(source) => return Err(unreadable(source)),
        };
        Ok(Self {
            path: Some(path),
            text,
        })
    }

    /// The path, for people.
    pub(crate) fn place(&self) -> String {
        self.path
            .as_deref()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    }

    /// The folder from which relative paths in it start.
    pub(crate) fn base(&self) -> PathBuf {
        self.path
            .as_deref()
            .and_then(Path::parent)
            .map(Path::to_owned)
            .unwrap_or_default()
    }

    /// Its content; empty when there is none.
    pub(crate) fn parse(&self) -> Result<ContextFile, Error> {
        match &self.text {
            Some(text) => parse(&self.place(), text),
            None => Ok(ContextFile::default()),
        }
    }

    /// Why the settings give no endpoint.
    pub(crate) fn tried(&self) -> String {
        match (&self.path, &self.text) {
            (Some(path), Some(_)) => match self.unchosen().as_slice() {
                [] => format!("{} names none", path.display()),
                known => format!(
                    "no context is in use, and {} has {}",
                    path.display(),
                    known.join(", ")
                ),
            },
            (Some(path), None) => format!("{} does not exist", path.display()),
            _ => "neither HOME nor XDG_CONFIG_HOME is set".to_owned(),
        }
    }

    /// All contexts, if none of them is the current one.
    pub(crate) fn unchosen(&self) -> Vec<String> {
        match self.parse() {
            Ok(file) if file.current.is_none() => file.contexts.into_keys().collect(),
            _ => Vec::new(),
        }
    }

    /// `FILE:LINE` of a context's key, else `FILE`.
    pub(crate) fn line(&self, context: &str, key: &str) -> String {
        let place = self.place();
        let line = || {
            let text = self.text.as_deref()?;
            let document = toml_edit::Document::parse(text).ok()?;
            let mut item = document.as_item().get("contexts")?.get(context)?;
            for part in key.split('.') {
                item = item.get(part)?;
            }
            Some(position(text, item.span()?.start).0)
        };
        match line() {
            Some(line) => format!("{place}:{line}"),
            None => place,
        }
    }

    /// The context that is named, else the current one; none when the file names none as current.
    pub(crate) fn select(&self, named: Option<&str>) -> Result<Option<(String, Context)>, Error> {
        let mut file = self.parse()?;
        let text = self.text.as_deref().unwrap_or_default();
        let (name, origin) = match (named, &file.current) {
            (Some(name), _) => (name.to_owned(), None),
            (None, Some(name)) => (
                name.clone(),
                text.lines()
                    .position(|line| line.trim_start().starts_with("current")),
            ),
            (None, None) => return Ok(None),
        };
        if let Some(context) = file.contexts.remove(&name) {
            return Ok(Some((name, context)));
        }
        if self.text.is_none() {
            return Err(Error::NoEndpoint {
                tried: format!("there is no context `{name}`: {}", self.tried()),
                choose: None,
            });
        }
        let known: Vec<&str> = file.contexts.keys().map(String::as_str).collect();
        Err(Error::ContextFile {
            place: match origin {
                Some(line) => format!("{}:{}", self.place(), line + 1),
                None => self.place(),
            },
            message: format!("no context `{name}`"),
            hint: match logconfig::text::nearest(&name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => {
                    "the file has none: `logctl context set NAME admin=ADDRESS` adds one".into()
                }
                None => format!("there is: {}", known.join(", ")),
            },
        })
    }
}

/// Reads the file's text.
pub(super) fn parse(place: &str, text: &str) -> Result<ContextFile, Error> {
    toml::from_str(text).map_err(|error| Error::ContextFile {
        place: match error.span() {
            Some(span) => {
                let (line, column) = position(text, span.start);
                format!("{place}:{line}:{column}")
            }
            None => place.to_owned(),
        },
        message: error.message().lines().collect::<Vec<_>>().join("; "),
        hint: "correct the context file, or name another with LOGCTL_CONFIG".into(),
    })
}

pub(crate) fn default_path() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(home.join("logctl").join("config.toml"))
}

/// 1-based line and column (in characters) of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    (line, column)
}
