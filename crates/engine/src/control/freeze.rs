//! Freeze: ends admission, orders what was promised, decides the freeze, waits for the final checkpoint.

use std::time::Duration;

use logconfig::{Difference, Finding};
use tlog::{GlobalIndex, Hash};
use tokio::time::Instant;

use crate::control::{Action, Applied, Author, ChangeError, ChangeOutcome, fits};
use crate::ledger::CommitError;
use crate::log::Log;
use order::slot::{Control, Decision};
use order::state::{Intake, Refusal};
use order::token::Token;

/// How long a freeze waits for promised work.
const PROMISED_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two looks for promised work.
const PROMISED_POLL: Duration = Duration::from_millis(50);
/// How long a freeze waits for the checkpoint over everything.
const FINAL_CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(30);

impl Log {
    /// Freezes: first ends admission, then merges what is promised, then decides, then waits for the final checkpoint.
    pub(crate) async fn freeze(
        &self,
        now: bool,
        operation: Token,
        digest: Hash,
        caller: &Author,
        dry: bool,
    ) -> Result<Applied, ChangeError> {
        if !now && !dry && self.ledger.state().intake == Intake::Open {
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
            .decide_intake(
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
            match self.left_promised().await {
                Ok(left) => applied.differences.extend(left),
                // The freeze is decided, whatever can be said about it.
                Err(error) => {
                    tracing::warn!(log = self.name(), %error, "cannot read what a freeze leaves promised");
                }
            }
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
            if began.elapsed() > PROMISED_TIMEOUT {
                return Err(ChangeError::Conflict(format!(
                    "the log takes no new entries, but {waiting} of the promised entries are not ordered yet; repeat the freeze to continue waiting, freeze with `--now` to leave them promised, or unfreeze"
                )));
            }
            let queue = self.ledger.keys.queue();
            self.ledger.store.changed(&queue, PROMISED_POLL).await;
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

    /// The change that is not reverted while the log is frozen: the order decides no settings then.
    pub(crate) async fn left_on_probation(&self) -> Result<Option<Finding>, ChangeError> {
        let left = self.on_probation().await?.map(|probation| {
            let operation = probation.operation;
            Finding::new(
                "frozen-on-probation",
                format!("operation {operation} is on probation, and it is not reverted while the log is frozen: if nobody confirms it in time, it is reverted when the log is unfrozen"),
                "",
                format!("`logctl op confirm {operation}` keeps it"),
            )
        });
        Ok(left)
    }

    async fn final_checkpoint(&self) -> Option<String> {
        let state = self.ledger.state();
        if state.size > GlobalIndex::ZERO {
            let wait = self.wait_published(state.size.back(1));
            tokio::time::timeout(FINAL_CHECKPOINT_TIMEOUT, wait)
                .await
                .ok()?
                .ok()?;
        }
        self.checkpoint(&state.active()?.identity.name).await.ok()?
    }
}
