//! `logctl log`, resolved.

use super::File;
use crate::args::LogCommand;

/// What to do with whole logs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogRequest {
    /// `log list`.
    List {
        /// Those that were deleted, instead.
        deleted: bool,
    },
    /// `log freeze`.
    Freeze {
        /// The log; the one in use when absent.
        name: Option<String>,
        /// Skip the wait for promised work.
        now: bool,
    },
    /// `log unfreeze`.
    Unfreeze {
        /// The log; the one in use when absent.
        name: Option<String>,
    },
    /// `log create`.
    Create {
        /// Where its first document is.
        file: File,
        /// Only a preview.
        dry_run: bool,
    },
    /// `log delete`.
    Delete {
        /// The log to hide.
        name: String,
    },
    /// `log undelete`.
    Undelete {
        /// The log to show again.
        name: String,
    },
}

impl From<LogCommand> for LogRequest {
    fn from(command: LogCommand) -> Self {
        match command {
            LogCommand::List { deleted } => Self::List { deleted },
            LogCommand::Freeze { name, now, .. } => Self::Freeze { name, now },
            LogCommand::Unfreeze { name, .. } => Self::Unfreeze { name },
            LogCommand::Create { file, dry_run, .. } => Self::Create {
                file: file.into(),
                dry_run,
            },
            LogCommand::Delete { name, .. } => Self::Delete { name },
            LogCommand::Undelete { name, .. } => Self::Undelete { name },
        }
    }
}

impl LogRequest {
    /// The subcommand's name as it is typed.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::List { .. } => "list",
            Self::Freeze { .. } => "freeze",
            Self::Unfreeze { .. } => "unfreeze",
            Self::Create { .. } => "create",
            Self::Delete { .. } => "delete",
            Self::Undelete { .. } => "undelete",
        }
    }
}
