//! `logctl context`.

use crate::args::ContextCommand;

/// Work on the context file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContextRequest {
    /// Lists every context of the file.
    List,
    /// Choose the current one.
    Use { name: String },
    /// Change one.
    Set {
        name: String,
        /// Keys and values; an empty value takes the key out.
        changes: Vec<(String, String)>,
    },
    /// Take one out.
    Delete { name: String },
    /// What is in effect.
    Show {
        /// The context; the one in use when absent.
        name: Option<String>,
        /// Whether to ask the server who the caller is.
        check: bool,
    },
}

impl From<ContextCommand> for ContextRequest {
    fn from(command: ContextCommand) -> Self {
        match command {
            ContextCommand::List => Self::List,
            ContextCommand::Use { name } => Self::Use { name },
            ContextCommand::Set { name, changes } => Self::Set { name, changes },
            ContextCommand::Delete { name } => Self::Delete { name },
            ContextCommand::Show { name, check } => Self::Show { name, check },
        }
    }
}

impl ContextRequest {
    /// The subcommand's name as it is typed.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Use { .. } => "use",
            Self::Set { .. } => "set",
            Self::Delete { .. } => "delete",
            Self::Show { .. } => "show",
        }
    }
}
