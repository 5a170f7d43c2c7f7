//! `logctl token`, resolved.

use std::path::PathBuf;
use std::time::Duration;

use crate::args::TokenCommand;

/// What to do with tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TokenRequest {
    /// `token create`.
    Create {
        /// The new token's name.
        name: String,
        /// What it may do.
        scopes: Vec<String>,
        /// For how long.
        lifetime: Duration,
        /// Where its text goes; standard output when absent.
        out: Option<PathBuf>,
    },
    /// `token list`.
    List,
    /// `token revoke`.
    Revoke {
        /// The token to end.
        name: String,
    },
}

impl From<TokenCommand> for TokenRequest {
    fn from(command: TokenCommand) -> Self {
        match command {
            TokenCommand::Create {
                name,
                scopes,
                expires,
                out,
                ..
            } => Self::Create {
                name,
                scopes,
                lifetime: expires,
                out,
            },
            TokenCommand::List => Self::List,
            TokenCommand::Revoke { name, .. } => Self::Revoke { name },
        }
    }
}

impl TokenRequest {
    /// The subcommand's name as it is typed.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::List => "list",
            Self::Revoke { .. } => "revoke",
        }
    }
}
