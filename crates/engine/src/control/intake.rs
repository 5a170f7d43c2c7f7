//! The decisions that do not change the configuration: freeze and unfreeze, delete and undelete. [`crate::control::freeze`] says what comes
//! before and after a freeze.

use logconfig::{Difference, Finding};
use tlog::Hash;

use crate::control::{Action, Applied, Author, ChangeError, ChangeOutcome, Request, fits};
use crate::engine::SYSTEM;
use crate::ledger::CommitError;
use crate::log::Log;
use order::slot::{Control, Decision};
use order::state::{Intake, Refusal};
use order::token::Token;

impl Log {
    /// Decides whether the log takes entries; does nothing if it already does.
    pub(crate) async fn decide_intake(
        &self,
        action: Action,
        control: Control,
        operation: Token,
        digest: Hash,
        caller: &Author,
        dry: bool,
    ) -> Result<Applied, ChangeError> {
        let state = self.ledger.state();
        let mut applied = self.unchanged(operation, action);
        let frozen = matches!(state.intake, Intake::Frozen { .. });
        let (already, before, after) = match action {
            Action::Freeze => (frozen, "open", "frozen"),
            Action::Delete => (state.deleted, "frozen", "deleted"),
            Action::Undelete => (!state.deleted, "deleted", "frozen"),
            _ => (state.intake == Intake::Open, "frozen", "open"),
        };
        if already {
            return Ok(applied);
        }
        // The order checks this again; it is checked here so that a preview reports it, too.
        if state.deleted && action != Action::Undelete {
            return Err(ChangeError::Conflict(deleted(&self.ledger.name)));
        }
        if action == Action::Delete && !frozen {
            return Err(ChangeError::Conflict(takes_writes(&self.ledger.name)));
        }
        applied.differences = vec![Difference {
            subject: format!("log {}", self.ledger.name),
            before: Some(before.to_owned()),
            after: Some(after.to_owned()),
        }];
        applied.outcome = ChangeOutcome::Planned;
        if action == Action::Unfreeze
            && let Some(life) = self.guard.life.known().await?
            && life.may_fork(&state)
        {
            applied.warnings.push(Finding::new(
                "forced-restore",
                format!("log {} was restored with --force: what it signs next may be a second root of a size that was signed before it was lost", self.ledger.name),
                "",
                "read \"After a forced restore\" in docs/operations.md first; a log of a new name is the safe way on",
            ));
        }
        if matches!(action, Action::Freeze | Action::Delete) {
            applied.warnings.extend(self.left_on_probation().await?);
        }
        if dry {
            return Ok(applied);
        }
        let decision = Decision {
            operation,
            request: digest,
            action,
            actor: caller.actor.clone(),
            control,
            reason: caller.reason.clone().map(fits::reason),
        };
        match self.ingest.batcher.control(decision).await {
            Ok(placed) => {
                applied.outcome = ChangeOutcome::Decided;
                applied.time_ms = Some(placed.slot.time);
                applied.at_index = Some(placed.start);
                Ok(applied)
            }
            // Another replica was first.
            Err(CommitError::Refused(refusal))
                if matches!(
                    (action, refusal.clone()),
                    (Action::Freeze, Refusal::Frozen)
                        | (Action::Unfreeze, Refusal::NotFrozen)
                        | (Action::Delete, Refusal::Deleted)
                        | (Action::Undelete, Refusal::NotDeleted)
                ) =>
            {
                Ok(self.unchanged(operation, action))
            }
            Err(CommitError::Refused(Refusal::NotFrozen)) if action == Action::Delete => {
                Err(ChangeError::Conflict(takes_writes(&self.ledger.name)))
            }
            Err(e) => self.refused(e, operation).await,
        }
    }
}

/// Refuses to end the audit trail.
pub(crate) fn system(log: &str, request: &Request) -> Result<(), ChangeError> {
    let how = match request {
        Request::Freeze { .. } => "frozen",
        Request::Delete | Request::Undelete => "deleted",
        _ => return Ok(()),
    };
    if log != SYSTEM {
        return Ok(());
    }
    Err(ChangeError::Conflict(format!(
        "the system log cannot be {how}: no change could be recorded any more"
    )))
}

/// The refusal of a change that a frozen log does not take.
pub(crate) fn frozen(log: &str) -> String {
    format!(
        "the log {log} is frozen: `logctl op list --log {log}` shows when and why, `logctl log unfreeze {log}` ends it; after a restore with --force read docs/operations.md first"
    )
}

/// The refusal of a rotation before a restored log may sign: another copy of it may have grown the shard.
pub(crate) fn restored(log: &str) -> String {
    format!(
        "the log {log} was restored and cannot open a shard before enough of its secondaries have accepted it: `logctl status --log {log}` says what it waits for"
    )
}

pub(crate) fn deleted(log: &str) -> String {
    format!("the log {log} is deleted; bring it back first (`logctl log undelete {log}`)")
}

fn takes_writes(log: &str) -> String {
    format!("the log {log} takes writes; freeze it first (`logctl log freeze {log}`)")
}
