//! The errors of `logd` while it starts, runs or stops; each variant is a situation that an operator can act on.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::PathBuf;

use engine::KeyError;

use crate::settings::{self, SettingsError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line is not understood (or asked for help).
    #[error("{0}")]
    Usage(clap::Error),
    /// `logd.toml` is not usable.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file or directory could not be read, written or created.
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        /// The file that could not be used.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// `logd dev` on a folder that it did not make.
    #[error("{} was not made by `logd dev`: it has {found}; nothing was changed", dir.display())]
    NotDev {
        dir: PathBuf,
        /// The content that was found in the folder.
        found: String,
        /// A settings file in it.
        settings: Option<PathBuf>,
    },
    /// `logd init` on a folder with something in it.
    #[error("{} is not empty: {found}; nothing was changed", dir.display())]
    NotEmpty {
        dir: PathBuf,
        /// The content that was found in the folder.
        found: String,
    },
    /// The question was not answered with yes.
    #[error("nothing was made: the question was not answered with yes")]
    Unconfirmed,
    /// `logd dev` would replace settings that were changed.
    #[error("{} was changed since `logd dev` wrote it; nothing was changed now", path.display())]
    EditedSettings {
        /// The settings file that was edited.
        path: PathBuf,
    },
    /// An address could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that could not be bound.
        address: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// An address is taken by the server that serves the same settings.
    #[error("cannot listen on {address}: another server runs with these settings and answers on {}", socket.display())]
    Served {
        /// The address that could not be bound.
        address: String,
        /// The admin socket of these settings.
        socket: PathBuf,
    },
    /// A certificate or key is not usable.
    #[error("TLS: {0}")]
    Tls(String),
    /// A key-encryption key, token or other secret is not usable.
    #[error("{0}")]
    Secret(String),
    /// The key-encryption key of the settings cannot be read.
    #[error("[kek] in the settings: {0}")]
    Kek(engine::KeyError),
    /// An argument or a setting cannot be used.
    #[error("{what}")]
    Input {
        /// The fault of the argument or setting.
        what: String,
        /// The text to write instead, or the next command.
        hint: String,
    },
    /// A store could not be opened.
    #[error("cannot open the {what} store at {}: {detail}", path.display())]
    Store {
        what: &'static str,
        /// The store's path according to the settings.
        path: PathBuf,
        detail: String,
    },
    /// The engine did not start.
    #[error("the engine did not start: {0}")]
    Engine(String),
    /// The log of `logd dev` could not be created.
    #[error("cannot create log {log}: {detail}")]
    Create {
        /// The name of the log, or the file that describes it.
        log: String,
        /// Why the log could not be created.
        detail: String,
    },
    /// A program of the merge did not do everything.
    #[error("merge {program}: {detail}")]
    Merge {
        /// The program that did not finish.
        program: engine::Program,
        /// The failures, by log.
        detail: String,
    },
    /// A log could not be restored.
    #[error("nothing was restored: {0}")]
    Restore(String),
    /// The copies of the secondaries could not be looked at.
    #[error("nothing was checked: {0}")]
    Unchecked(String),
    /// Nothing was restored, after its folder was made.
    #[error("nothing was restored: {why}")]
    Unrestored {
        dir: PathBuf,
        new: bool,
        why: String,
    },
    /// A change of the secondaries was not handed over.
    #[error("{0}")]
    HandOver(String),
    /// A search index was not built again.
    #[error("the search index was not built again: {0}")]
    Index(String),
    /// The coordination store could not be copied.
    #[error("no backup was made: {0}")]
    Backup(String),
    /// The admin endpoint did not start.
    #[error("the admin endpoint did not start: {0}")]
    Admin(String),
    /// A part of the process ended by itself.
    #[error("this server stopped: {what}")]
    Broken {
        /// The part that ended, and why.
        what: String,
    },
    /// The operating system refused a thread, a runtime, a signal handler or standard output.
    #[error("{what}")]
    System {
        /// The request that the operating system refused.
        what: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
}

impl Error {
    /// The next step, if there is one.
    pub(crate) fn hint(&self) -> Option<Cow<'static, str>> {
        let fixed = match self {
            Self::NotDev { settings, .. } => {
                let serve = settings.as_ref().map(|path| {
                    format!(
                        "`logd serve --config {}` serves the existing log; ",
                        path.display()
                    )
                });
                return Some(Cow::Owned(format!(
                    "{}for a log to try things out with, name a new folder",
                    serve.unwrap_or_default()
                )));
            }
            Self::EditedSettings { path } => {
                return Some(Cow::Owned(format!(
                    "`logd serve --config {0}` serves with these settings; to continue with `logd dev`, which takes no settings from a file, move {0} away",
                    path.display()
                )));
            }
            Self::Listen { source, .. } => match source.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "something else listens there: choose another address, or port 0 for any free one"
                }
                std::io::ErrorKind::AddrNotAvailable => "this machine has no such address",
                std::io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
                _ => return None,
            },
            Self::Served { .. } => {
                "stop that one first; a second server on the same stores needs settings of its own, with another socket and other addresses"
            }
            // Other files in an existing folder may be all that is left of a log.
            Self::Unrestored {
                dir, new: false, ..
            } => {
                return Some(Cow::Owned(format!(
                    "nothing in {} was replaced, only missing files were made: run the same command again",
                    dir.display()
                )));
            }
            Self::Unrestored { dir, .. } => {
                return Some(Cow::Owned(format!(
                    "{0} has a copy of the key-encryption key, settings and empty stores already: run the same command again, or remove {0}",
                    dir.display()
                )));
            }
            Self::Broken { .. } => {
                "start it again; this is a fault of logd, so please report it with the lines of its log before this one"
            }
            Self::Kek(error) => settings::kek_remedy(error),
            Self::File { source, .. } => return path_remedy(source.kind()).map(Cow::Borrowed),
            Self::Input { hint, .. } => return Some(Cow::Owned(hint.clone())),
            // If the file is absent, the hint is not to check it.
            Self::Settings(error) if error.is_missing() => {
                "name the settings file; `logd init DIR --origin NAME` makes one with all that belongs to it, `logd config example` prints a commented one"
            }
            Self::Settings(error) if error.is_unreadable() => {
                "name a settings file that the current user can read"
            }
            Self::Settings(error) => {
                return Some(Cow::Owned(format!(
                    "`logd config check {}` lists all that is wrong; `logd config example` prints a commented file",
                    error.path().display()
                )));
            }
            Self::NotEmpty { .. } => "name a new folder: existing files are never replaced",
            Self::Unconfirmed => "add --yes to confirm without a question",
            _ => return None,
        };
        Some(Cow::Borrowed(fixed))
    }
}

impl From<plane_http::Error> for Error {
    fn from(error: plane_http::Error) -> Self {
        match error {
            plane_http::Error::Listen { address, source } => Self::Listen { address, source },
            plane_http::Error::File { path, source } => at("read", path)(source),
            other => Self::Tls(plane_http::causes(&other)),
        }
    }
}

/// The next step where the operating system refuses a path.
fn path_remedy(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::NotFound => "check the path: a part of it does not exist",
        ErrorKind::NotADirectory => {
            "a file stands where the path needs a folder: name another path"
        }
        ErrorKind::AlreadyExists => "something else has this name already: name another path",
        ErrorKind::PermissionDenied => {
            "the current user may not do that there: run it as the user that may, or name another path"
        }
        ErrorKind::StorageFull => "free some space there, or name another path",
        ErrorKind::ReadOnlyFilesystem => "nothing can be written there: name another path",
        _ => return None,
    })
}

/// A key file that an argument names and that cannot be used; `remedy` says more for some answers of the operating system than that the
/// path is wrong.
pub(crate) fn key_file(
    what: &'static str,
    remedy: (ErrorKind, &'static str),
) -> impl Fn(KeyError) -> Error {
    move |error| match error {
        KeyError::File { path, source } => {
            let (kind, own) = remedy;
            let hint = match source.kind() {
                found if found == kind => own,
                found => path_remedy(found).unwrap_or("check the path and its permissions"),
            };
            Error::Input {
                what: format!("cannot use {what} {}: {source}", path.display()),
                hint: hint.to_owned(),
            }
        }
        other => Error::Secret(other.to_string()),
    }
}

/// Names the file in an I/O error.
pub(crate) fn at(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::File {
        action,
        path,
        source,
    }
}
