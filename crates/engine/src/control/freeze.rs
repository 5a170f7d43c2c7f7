//! Freeze and unfreeze, delete and undelete: decisions that do not change the configuration.

use std::time::Duration;

use logconfig::{Difference, Finding};
use tlog::Hash;
use tokio::time::Instant;

use crate::control::{Action, Applied, Caller, ChangeError, ChangeOutcome, Request, fits};
use crate::engine::SYSTEM;
use crate::ledger::CommitError;
use crate::log::Log;
use order::slot::{Control, Decision, Token};
use order::state::{Intake, Refusal};

/// How long a freeze waits for promised work.
const MERGE_PATIENCE: Duration = Duration::from_secs(30);
/// Time between two checks of it.
const MERGE_LOOK: Duration = Duration::from_millis(50);

impl Log {
    /// Freezes: first ends admission, then merges what is promised, then decides, then waits for the final checkpoint.
    pub(crate) async fn freeze(
        &self,
        now: bool,
        operation: Token,
        digest: Hash,
        caller: &Caller,
        dry: bool,
    ) -> Result<Applied, ChangeError> {
        if !now && !dry && self.ledger.state().gate == Intake::Open {
            let first = Decision {
                operation: self.ledger.token(),
                request: digest,
                action: Action::Freeze,
                actor: caller.actor.clone(),
                control: Control::Closing,
                reason: caller.reason.clone().map(fits::reason),
            };
            match self.ingest.batcher.control(first).await {
                Ok(_) | Err(CommitError::Refused(Refusal::Frozen)) => {}
                Err(e) => return self.refused(e, operation).await,
            }
        }
        if !now && !dry {
            self.merge_promised().await?;
        }
        let mut applied = self
            .gate(
                Action::Freeze,
                Control::Freeze,
                operation,
                digest,
                caller,
                dry,
            )
            .await?;
        if !dry && applied.outcome != ChangeOutcome::Planned {
            applied.checkpoint = self.final_checkpoint().await;
        }
        if now && applied.outcome != ChangeOutcome::Unchanged {
            // Once the freeze is decided, nothing more is promised, so this is all the work that waits until the log is unfrozen.
            applied.differences.extend(self.left_promised().await?);
        }
        Ok(applied)
    }

    /// Waits until everything that was promised is ordered. The log is closing: it promises nothing more.
    async fn merge_promised(&self) -> Result<(), ChangeError> {
        let began = Instant::now();
        loop {
            let waiting: u64 = self.promised().await?.values().map(|w| w.entries).sum();
            if waiting == 0 {
                return Ok(());
            }
            if let Some(reason) = self.health.halt.reason() {
                return Err(ChangeError::Halted { reason });
            }
            if began.elapsed() > MERGE_PATIENCE {
                return Err(ChangeError::Conflict(format!(
                    "the log takes no new entries, but {waiting} that were promised are not merged yet; repeat the freeze to continue waiting, freeze with `--now` to leave them promised, or unfreeze"
                )));
            }
            let queue = self.ledger.keys.queue();
            self.ledger.store.changed(&queue, MERGE_LOOK).await;
        }
    }

    /// Promised work that a freeze leaves waiting, in words for an operator.
    async fn left_promised(&self) -> Result<Vec<Difference>, ChangeError> {
        let waiting = self.promised().await?;
        Ok(waiting
            .into_iter()
            .map(|((tier, tenant), waiting)| Difference {
                subject: format!("promised entries of tier {tier}, tenant {tenant}"),
                before: None,
                after: Some(format!("{} wait for an unfreeze", waiting.entries)),
            })
            .collect())
    }

    async fn final_checkpoint(&self) -> Option<String> {
        let state = self.ledger.state();
        if let Some(last) = state.size.checked_sub(1) {
            let wait = self.wait_published(last);
            tokio::time::timeout(std::time::Duration::from_secs(30), wait)
                .await
                .ok()?
                .ok()?;
        }
        self.checkpoint(&state.active()?.identity.name).await.ok()?
    }

    /// Decides the gate; does nothing when the gate already is in that state.
    pub(crate) async fn gate(
        &self,
        action: Action,
        control: Control,
        operation: Token,
        digest: Hash,
        caller: &Caller,
        dry: bool,
    ) -> Result<Applied, ChangeError> {
        let state = self.ledger.state();
        let mut applied = self.unchanged(operation, action);
        let frozen = matches!(state.gate, Intake::Frozen { .. });
        let (already, before, after) = match action {
            Action::Freeze => (frozen, "open", "frozen"),
            Action::Delete => (state.deleted, "frozen", "deleted"),
            Action::Undelete => (!state.deleted, "deleted", "frozen"),
            _ => (state.gate == Intake::Open, "frozen", "open"),
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
            && life.forced.is_some()
            // Older versions did not say whether a restore was forced.
            && life.entries != u64::MAX
            && state.size <= life.entries
        {
            applied.warnings.push(Finding::new(
                "forced-restore",
                format!("log {} was restored with --force: what it signs next may be a second root of a size that was signed before it was lost", self.ledger.name),
                "",
                "read \"After a forced restore\" in docs/operations.md first; a log of a new name is the safe way on",
            ));
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

pub(crate) fn deleted(log: &str) -> String {
    format!("the log {log} is deleted; bring it back first (`logctl log undelete {log}`)")
}

fn takes_writes(log: &str) -> String {
    format!("the log {log} takes writes; freeze it first (`logctl shard freeze`)")
}
