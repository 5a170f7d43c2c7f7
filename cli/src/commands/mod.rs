//! One module per command: its arguments, its work, and its report. Nothing here prints.

pub(crate) mod api;
pub(crate) mod audit;
mod audit_receipt;
pub(crate) mod change;
pub(crate) mod config;
pub(crate) mod context;
mod doctor;
pub(crate) mod document;
mod explain;
pub(crate) mod import;
pub(crate) mod import_rekor;
pub(crate) mod log;
pub(crate) mod merge;
pub(crate) mod op;
pub(crate) mod pages;
pub(crate) mod qos;
pub(crate) mod receipt;
mod session;
pub(crate) mod shard;
mod status;
pub(crate) mod token;
pub(crate) mod top;
mod version;
mod whoami;

use std::time::{SystemTime, UNIX_EPOCH};

use wire::{Difference, codes};

use crate::cli::{Command, LoadCommand};
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Tone};

pub(crate) use session::only_log;
pub use session::{LogAddress, Session};
use session::{Server, log_name};

/// Runs the command, or, with `--explain`, says which permissions it needs.
pub(crate) async fn run(
    session: &Session<'_>,
    command: Command,
    spelled: String,
    explain: bool,
) -> Result<Outcome, Error> {
    if explain {
        return explain::run(session, &command, spelled).await;
    }
    let named = command.log_by_name();
    match dispatch(session, command).await {
        Err(Error::Problem(problem)) if problem.code == codes::NOT_FOUND => {
            Err(session.misnamed(named, problem).await)
        }
        other => other,
    }
}

async fn dispatch(session: &Session<'_>, command: Command) -> Result<Outcome, Error> {
    match command {
        Command::Shard(args) => shard::run(session, args).await,
        Command::Status => status::run(session).await,
        Command::Config(command) => config::run(session, command).await,
        Command::Qos(command) => qos::run(session, command).await,
        Command::Merge(command) => merge::run(session, command).await,
        Command::Op(command) => op::run(session, command).await,
        Command::Log(command) => log::run(session, command).await,
        Command::Token(command) => token::run(session, command).await,
        Command::Audit(command) => audit::run(session, command).await,
        Command::Receipt(command) => receipt::run(session, command).await,
        Command::Doctor => doctor::run(session).await,
        Command::Import(args) | Command::Load(LoadCommand::Import(args)) => {
            import::run(session, args).await
        }
        Command::Top(args) => top::run(session, args).await,
        Command::Whoami => whoami::run(session).await,
        Command::Version => version::run(session).await,
        Command::Api(args) => api::run(session, args).await,
        Command::Context(command) => context::run(session, command).await,
        Command::Completions(args) => pages::completions(args),
        Command::Help(args) => pages::help(&args),
        Command::Man(args) => pages::man(&args),
    }
}

/// Seconds since the Unix epoch.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

/// RFC 3339, in UTC.
pub fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// The differences that others made since the base of a change, as a table.
pub(crate) fn moved(all: &[::logconfig::Moved]) -> Block {
    let value = |value: &Option<String>, changed: bool, tone| match (value, changed) {
        (_, false) => "=".into(),
        (Some(value), true) => Cell::toned(value, tone),
        (None, true) => Cell::toned("removed", Tone::Bad),
    };
    let rows = all.iter().map(|moved| {
        let conflict = if moved.conflict {
            Cell::toned("conflict", Tone::Bad)
        } else {
            "".into()
        };
        vec![
            moved.subject.as_str().into(),
            Cell::maybe(moved.base.as_deref()),
            value(&moved.mine, moved.is_mine(), Tone::Next),
            value(&moved.theirs, moved.is_theirs(), Tone::Good),
            conflict,
        ]
    });
    Block::Table {
        header: vec!["WHAT", "BASE", "YOURS", "NOW", ""],
        rows: rows.collect(),
        spare: 0,
    }
}

/// Differences as a table.
pub(crate) fn differences(all: &[Difference]) -> Block {
    let rows = all.iter().map(|difference| {
        vec![
            difference.subject.as_str().into(),
            match &difference.before {
                Some(before) => Cell::toned(before, Tone::Past),
                None => "-".into(),
            },
            match &difference.after {
                Some(after) => Cell::toned(after, Tone::Good),
                None => Cell::toned("removed", Tone::Bad),
            },
        ]
    });
    Block::Table {
        header: vec!["CHANGE", "BEFORE", "AFTER"],
        rows: rows.collect(),
        spare: 0,
    }
}

/// Converts the engine's type to the wire's, which reports use.
fn wire_difference(difference: ::logconfig::Difference) -> Difference {
    Difference {
        subject: difference.subject,
        before: difference.before,
        after: difference.after,
    }
}
