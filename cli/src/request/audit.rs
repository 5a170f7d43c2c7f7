//! `logctl audit`, resolved.

use crate::args::AuditCommand;

/// What to do with the audit trail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AuditRequest {
    /// `audit list`.
    List {
        limit: u16,
        /// Only entries before this index.
        before: Option<u64>,
    },
    /// `audit verify`.
    Verify {
        /// Forget what was pinned.
        repin: bool,
    },
}

impl From<AuditCommand> for AuditRequest {
    fn from(command: AuditCommand) -> Self {
        match command {
            AuditCommand::List { limit, before } => Self::List { limit, before },
            AuditCommand::Verify { repin } => Self::Verify { repin },
        }
    }
}

impl AuditRequest {
    /// The subcommand's name as it is typed.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::List { .. } => "list",
            Self::Verify { .. } => "verify",
        }
    }
}
