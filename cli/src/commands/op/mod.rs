//! `logctl op`.

mod confirm;
mod list;
mod show;
mod wait;
mod watch;

use clap::Subcommand;
use clap_complete::ArgValueCompleter;

use crate::commands::change::ChangeArgs;
use crate::commands::{Server, Session};
use crate::complete;
use crate::error::{Error, count};
use crate::report::Outcome;

/// The subcommands of `logctl op`.
#[derive(Debug, Subcommand)]
pub(crate) enum OpCommand {
    /// List changes, newest first
    #[command(after_help = "Example:
  logctl op list")]
    List,
    /// Show one change: its differences, its actor and reason, and the replicas that run it
    #[command(after_help = "Example:
  logctl op show 4f1c0a9be2d84c7fa1b36d5e90c2a871")]
    Show {
        /// ID of the operation, or its first digits (4 or more)
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// Wait until every replica runs a change
    #[command(after_help = "Example:
  logctl op wait 4f1c0a9be2d84c7fa1b36d5e90c2a871 --timeout 5m")]
    Wait {
        /// ID of the operation, or its first digits (4 or more)
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// Follow a change, one line per step, until it ends
    #[command(after_help = "Example:
  logctl op watch 4f1c0a9be2d84c7fa1b36d5e90c2a871")]
    Watch {
        /// ID of the operation, or its first digits (4 or more)
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
    },
    /// Confirm a change on probation, which is otherwise reverted
    #[command(after_help = "Example:
  logctl op confirm 4f1c0a9be2d84c7fa1b36d5e90c2a871")]
    Confirm {
        /// ID of the operation, or its first digits (4 or more)
        #[arg(add = ArgValueCompleter::new(complete::operations))]
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

pub(super) async fn run(session: &Session<'_>, command: OpCommand) -> Result<Outcome, Error> {
    match command {
        OpCommand::List => list::run(session).await,
        OpCommand::Show { id } => show::run(session, &id).await,
        OpCommand::Wait { id } => wait::run(session, &id).await,
        OpCommand::Watch { id } => watch::run(session, &id).await,
        OpCommand::Confirm { id, .. } => confirm::run(session, &id).await,
    }
}

/// Digits of an operation's id.
const DIGITS: usize = 32;
/// Digits that are enough where only one operation begins with them.
const FEWEST: usize = 4;

/// Refuses a text that is neither an id nor the beginning of one.
fn checked(id: &str) -> Result<&str, Error> {
    let hexadecimal = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !(FEWEST..=DIGITS).contains(&id.len()) || !id.bytes().all(hexadecimal) {
        return Err(Error::Usage {
            message: format!(
                "`{id}` is not the id of an operation: that is {DIGITS} lowercase hexadecimal digits, or the first {FEWEST} or more of them"
            ),
            hint: "`logctl op list` lists them".into(),
        });
    }
    Ok(id)
}

/// The whole id of the operation that is meant: as it was given, or the only one that begins like this.
async fn whole(server: &Server, id: &str) -> Result<String, Error> {
    if id.len() == DIGITS {
        return Ok(id.to_owned());
    }
    let listed = server.admin.operations(None, server.deadline).await?;
    let ids = listed.operations.into_iter().map(|operation| operation.id);
    let mut found: Vec<String> = ids.filter(|whole| whole.starts_with(id)).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::NotFound {
            kind: "operation that begins with",
            name: id.to_owned(),
            known: Vec::new(),
        }),
        many => Err(Error::Usage {
            message: format!("{} begin with {id}", count(many, "operation")),
            hint: format!("give more digits: {}", found.join(", ")),
        }),
    }
}
