//! Where the server is and who asks: flag, then environment (clap reads it), then the context file.
//!
//! What must never happen: a token sent to an address that its context does not name. So the certificate authority and
//! the token file of a context go with the context's own address only; `--admin` leaves them behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;

/// What was said by flag or environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// `--log`.
    pub(crate) log: Option<String>,
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--context`.
    pub(crate) context: Option<String>,
    /// `--admin`.
    pub(crate) admin: Option<String>,
    /// `--ca`.
    pub(crate) ca: Option<PathBuf>,
    /// `--token-file`.
    pub(crate) token_file: Option<PathBuf>,
}

/// The resolved answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The log, when it was named.
    pub(crate) log: Option<String>,
    /// The admin endpoint.
    pub(crate) admin: Option<Endpoint>,
    /// Where readers and writers reach the log.
    pub(crate) url: Option<String>,
    /// Certificate authority of `url`.
    pub(crate) url_ca: Option<PathBuf>,
    /// Where an endpoint was looked for, for the error message.
    pub(crate) tried: String,
}

/// An admin endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Where.
    pub(crate) address: Address,
    /// Certificate authority; the platform's when absent.
    pub(crate) ca: Option<PathBuf>,
    /// The bearer token's file.
    pub(crate) token_file: Option<PathBuf>,
}

/// Where an endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// `https://HOST:PORT`, or `http://` on the loopback interface.
    Url(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextFile {
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    log: Option<String>,
    admin: Option<String>,
    url: Option<String>,
    ca: Option<PathBuf>,
    url_ca: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

/// Resolves. Reads the context file unless nothing in it could matter.
pub(crate) fn resolve(overrides: &Overrides) -> Result<Settings, Error> {
    let path = overrides.config.clone().or_else(default_path);
    // A file that was named must exist; the default one may be absent.
    let text = match &path {
        None => None,
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound && overrides.config.is_none() =>
            {
                None
            }
            Err(source) => {
                return Err(Error::Read {
                    what: format!("the context file {}", path.display()),
                    source,
                });
            }
        },
    };
    let tried = match (&path, &text) {
        (Some(path), Some(_)) => format!("{} names none", path.display()),
        (Some(path), None) => format!("{} does not exist", path.display()),
        _ => "neither HOME nor XDG_CONFIG_HOME is set".to_owned(),
    };
    let context = match (&path, text) {
        (Some(path), Some(text)) => select(path, &text, overrides)?,
        _ => match &overrides.context {
            Some(name) => {
                return Err(Error::NoEndpoint {
                    tried: format!("there is no context `{name}`: {tried}"),
                });
            }
            None => None,
        },
    };
    let base = path
        .as_deref()
        .and_then(Path::parent)
        .map(Path::to_owned)
        .unwrap_or_default();
    let place = path
        .as_deref()
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    merge(overrides, context, &base, &place, tried)
}

fn merge(
    overrides: &Overrides,
    context: Option<Context>,
    base: &Path,
    place: &str,
    tried: String,
) -> Result<Settings, Error> {
    let (mut log, mut admin, mut url, mut url_ca) = (None, None, None, None);
    if let Some(context) = context {
        log = context.log;
        url = context.url;
        url_ca = context.url_ca.map(|path| base.join(path));
        if let Some(text) = &context.admin {
            admin = Some(Endpoint {
                address: Address::parse(text, base).map_err(|message| Error::ContextFile {
                    place: place.to_owned(),
                    message,
                    hint: "write `admin` as unix:/PATH or https://HOST:PORT".into(),
                })?,
                ca: context.ca.map(|path| base.join(path)),
                token_file: context.token_file.map(|path| base.join(path)),
            });
        }
    }
    if let Some(text) = &overrides.admin {
        let address = Address::parse(text, Path::new("")).map_err(|message| Error::Usage {
            message: format!("--admin: {message}"),
            hint: "write it as unix:/PATH or https://HOST:PORT".into(),
        })?;
        if admin
            .as_ref()
            .is_none_or(|endpoint| endpoint.address != address)
        {
            admin = Some(Endpoint {
                address,
                ca: None,
                token_file: None,
            });
            // Of another server nothing is known; it will say itself where its readers go.
            (url, url_ca) = (None, None);
        }
    }
    if let Some(endpoint) = &mut admin {
        endpoint.ca = overrides.ca.clone().or(endpoint.ca.take());
        endpoint.token_file = overrides.token_file.clone().or(endpoint.token_file.take());
    }
    Ok(Settings {
        log: overrides.log.clone().or(log),
        admin,
        url,
        url_ca,
        tried,
    })
}

fn default_path() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(home.join("logctl").join("config.toml"))
}

/// The context to use; none when the file names none as current.
fn select(path: &Path, text: &str, overrides: &Overrides) -> Result<Option<Context>, Error> {
    let mut file: ContextFile = toml::from_str(text).map_err(|error| {
        let place = match error.span() {
            Some(span) => {
                let (line, column) = position(text, span.start);
                format!("{}:{line}:{column}", path.display())
            }
            None => path.display().to_string(),
        };
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        Error::ContextFile {
            place,
            message,
            hint: "correct the context file, or name another with LOGCTL_CONFIG".into(),
        }
    })?;
    let (name, origin) = match (&overrides.context, &file.current) {
        (Some(name), _) => (name.clone(), None),
        (None, Some(name)) => (
            name.clone(),
            text.lines()
                .position(|line| line.trim_start().starts_with("current")),
        ),
        (None, None) => return Ok(None),
    };
    if let Some(context) = file.contexts.remove(&name) {
        return Ok(Some(context));
    }
    let known: Vec<&str> = file.contexts.keys().map(String::as_str).collect();
    Err(Error::ContextFile {
        place: match origin {
            Some(line) => format!("{}:{}", path.display(), line + 1),
            None => path.display().to_string(),
        },
        message: format!("no context `{name}`"),
        hint: match crate::nearest(&name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "the file has no [contexts.NAME] table".into(),
            None => format!("there is: {}", known.join(", ")),
        },
    })
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

impl Address {
    /// `unix:PATH` (relative to `base`), `https://…`, `http://` on the loopback interface.
    fn parse(text: &str, base: &Path) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("`unix:` needs a path".into())
            } else {
                Ok(Self::Unix(base.join(path)))
            };
        }
        let host = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
        if let Some(rest) = text.strip_prefix("https://") {
            return if host(rest).is_empty() {
                Err(format!("`{text}` has no host"))
            } else {
                Ok(Self::Url(text.trim_end_matches('/').into()))
            };
        }
        if let Some(rest) = text.strip_prefix("http://") {
            // A token on an unencrypted wire is everybody's.
            return if is_loopback(&host(rest)) {
                Ok(Self::Url(text.trim_end_matches('/').into()))
            } else {
                Err(format!(
                    "`{text}` is neither encrypted nor on the loopback interface"
                ))
            };
        }
        Err(format!("`{text}` is not an address"))
    }
}

fn is_loopback(authority: &str) -> bool {
    if let Ok(address) = authority.parse::<std::net::SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
current = "dev"
[contexts.dev]
log = "dev"
admin = "unix:admin.sock"
url = "http://127.0.0.1:7070"
[contexts.tls]
log = "dev"
admin = "https://127.0.0.1:7071"
ca = "admin-cert.pem"
token_file = "admin.token"
"#;

    fn resolved(text: &str, overrides: Overrides) -> Result<Settings, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logctl.toml");
        std::fs::write(&path, text).unwrap();
        let result = resolve(&Overrides {
            config: Some(path),
            ..overrides
        });
        let strip = |path: PathBuf| {
            path.strip_prefix(directory.path())
                .unwrap_or(&path)
                .to_owned()
        };
        result.map(|mut settings| {
            if let Some(admin) = &mut settings.admin {
                if let Address::Unix(path) = &mut admin.address {
                    *path = strip(path.clone());
                }
                admin.ca = admin.ca.take().map(strip);
                admin.token_file = admin.token_file.take().map(strip);
            }
            settings.tried.clear();
            settings
        })
    }

    #[test]
    fn the_current_context_and_relative_paths() {
        let settings = resolved(FILE, Overrides::default()).unwrap();
        assert_eq!(settings.log.as_deref(), Some("dev"));
        assert_eq!(
            settings.admin.unwrap().address,
            Address::Unix("admin.sock".into())
        );
        let settings = resolved(
            FILE,
            Overrides {
                context: Some("tls".into()),
                ..Overrides::default()
            },
        )
        .unwrap();
        let admin = settings.admin.unwrap();
        assert_eq!(admin.ca, Some("admin-cert.pem".into()));
        assert_eq!(admin.token_file, Some("admin.token".into()));
    }

    #[test]
    fn a_flag_beats_the_file() {
        let settings = resolved(
            FILE,
            Overrides {
                log: Some("other".into()),
                ..Overrides::default()
            },
        )
        .unwrap();
        assert_eq!(settings.log.as_deref(), Some("other"));
    }

    #[test]
    fn a_contexts_token_never_goes_to_another_address() {
        let overrides = |admin: &str| Overrides {
            context: Some("tls".into()),
            admin: Some(admin.into()),
            ..Overrides::default()
        };
        let elsewhere = resolved(FILE, overrides("https://127.0.0.1:9999"))
            .unwrap()
            .admin
            .unwrap();
        assert_eq!((elsewhere.ca, elsewhere.token_file), (None, None));
        let same = resolved(FILE, overrides("https://127.0.0.1:7071"))
            .unwrap()
            .admin
            .unwrap();
        assert_eq!(same.token_file, Some("admin.token".into()));
    }

    #[test]
    fn mistakes_name_the_line() {
        for (text, place, message) in [
            ("current = 1\n", "logctl.toml:1:11", "invalid type"),
            (
                "[contexts.dev]\nlog = \"dev\"\ntoken = \"x\"\n",
                "logctl.toml:3:1",
                "unknown field `token`",
            ),
            (
                "current = \"a\"\ncurrent = \"b\"\n",
                "logctl.toml:2:1",
                "duplicate key",
            ),
            (
                "\ncurrent = \"prod\"\n[contexts.dev]\n",
                "logctl.toml:2",
                "no context `prod`",
            ),
            (
                "current = \"dev\"\n[contexts.dev]\nadmin = \"http://10.0.0.1:1\"\n",
                "logctl.toml",
                "neither encrypted",
            ),
        ] {
            let error = resolved(text, Overrides::default())
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(&format!("{place}: ")) && error.contains(message),
                "{error}"
            );
        }
    }

    #[test]
    fn addresses() {
        for good in [
            "unix:/run/logd/admin.sock",
            "https://log.example.org",
            "http://127.0.0.1:7071",
            "http://[::1]:7071",
            "http://localhost",
        ] {
            assert!(Address::parse(good, Path::new("")).is_ok(), "{good}");
        }
        for bad in [
            "",
            "unix:",
            "/run/admin.sock",
            "https://",
            "http://log.example.org",
            "http://127.0.0.1.example.org:80",
            "ftp://127.0.0.1",
        ] {
            assert!(Address::parse(bad, Path::new("")).is_err(), "{bad}");
        }
    }
}
