//! Confirms changes on probation, reverses those that nobody confirms, and finishes the roll-backs of others.
//!
//! What must never happen: a change is both confirmed and reversed, or a reversal has no intent. The guarded row prevents the first. The
//! second cannot happen because a reversal is a change like any other.

use std::sync::Arc;
use std::time::Duration;

use crate::control::audit::record::Intent;
use crate::control::audit::trail::Came;
use crate::control::audit::{Audited, CONFIRM, Recorded};
use crate::control::history::HistoryRecord;
use crate::control::{Author, ChangeError, Probation, Request, Trial};
use crate::log::Log;
use crate::status::Condition;
use order::mutant::{Mutant, left_out};
use order::token::Token;
use store::{StoreError, record};

/// Pause between checks for changes whose probation has expired.
const PROBATION_POLL: Duration = Duration::from_millis(500);
/// How long a replica that began a revert may take before others make it.
const REVERT_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a revert that failed: each try leaves an intent in the audit trail.
const RETRY: Duration = Duration::from_secs(10);

impl Audited {
    /// Keeps a decided change that was made on probation; `None` where it was confirmed before. `connection` is the caller's: the
    /// one that made the change may not confirm it.
    ///
    /// # Errors
    /// [`ChangeError::Conflict`] where there is nothing to confirm, or it is too late.
    pub async fn confirm(
        &self,
        log: &Log,
        decided: &HistoryRecord,
        caller: Author,
        connection: Option<u64>,
    ) -> Result<Option<Recorded>, ChangeError> {
        let id = &decided.operation;
        let nothing = || {
            ChangeError::Conflict(format!(
                "operation {id} was not made on probation: there is nothing to confirm"
            ))
        };
        let token = id.parse::<Token>().map_err(|_| nothing())?;
        let probation = match log.trial(token).await.map_err(ChangeError::Store)? {
            Some(Trial::Pending(probation)) => probation,
            Some(Trial::Kept) => return Ok(None),
            Some(Trial::Reverted(by)) => return Err(too_late(&by)),
            None => return Err(nothing()),
        };
        let same = probation.connection.is_some() && probation.connection == connection;
        if same && probation.replica == self.engine.replica_id() {
            let why = "confirm over a new connection: the one that made the change does not show that the server can still be reached";
            return Err(ChangeError::Conflict(why.to_owned()));
        }
        let intent = Intent {
            operation: id.clone(),
            log: log.name().to_owned(),
            action: CONFIRM.to_owned(),
            actor: caller.actor.clone(),
            request: record::digest(id.as_bytes()),
            reason: caller.reason,
            replica: self.engine.replica_id().to_owned(),
            time: self.engine.clock.now_text(),
        };
        let _under_way = self.under_way.begin(id);
        let intent = self.intent(intent).await?;
        let in_time = self.engine.now().await.map_err(ChangeError::Store)? < probation.until;
        let kept = keep(log, token, in_time).await;
        let came = match &kept {
            Ok(true) => Came::decided(decided.generation),
            Ok(false) => Came::refused("the time to confirm has expired".to_owned()),
            Err(error) => Came::unknown(error.to_string()),
        };
        let outcome = self.outcome(id, log.name(), intent, came);
        let ((), receipt) = tokio::join!(outcome, self.receipt(intent));
        let unknown = |_| ChangeError::Unknown {
            operation: id.clone(),
        };
        if !kept.map_err(unknown)? {
            return Err(too_late(&match probation.ender() {
                Some((by, _)) => format!("operation {by}"),
                None => "the server".to_owned(),
            }));
        }
        tracing::info!(
            log = log.name(),
            operation = id,
            actor = caller.actor,
            "confirmed"
        );
        Ok(Some(Recorded { intent, receipt }))
    }

    /// Reverses changes whose probation has expired, and finishes roll-backs of others that are stuck, until the process ends.
    pub async fn watch_probations(self: Arc<Self>) {
        loop {
            let mut pause = PROBATION_POLL;
            for log in self.engine.logs().into_iter().chain(self.engine.system()) {
                match self.expire(&log).await {
                    Ok(Some(next)) => pause = pause.min(next),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(log = log.name(), %error, "cannot take a change back yet");
                        pause = RETRY;
                    }
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Reverses the changes of one log that are due; returns the time until the next one is.
    async fn expire(&self, log: &Log) -> Result<Option<Duration>, ChangeError> {
        let mut next = None;
        // With a wrong clock, everything would be due.
        if self.engine.clock_fault().is_some() {
            return Ok(next);
        }
        for probation in log.probations().await? {
            let left = probation.until.since(self.engine.now().await?);
            if left.is_zero() {
                self.take_back(log, &probation).await?;
            } else {
                next = Some(next.map_or(left, |next: Duration| next.min(left)));
            }
        }
        Ok(next)
    }

    async fn take_back(&self, log: &Log, probation: &Probation) -> Result<(), ChangeError> {
        let me = self.engine.replica_id();
        let Probation {
            operation, base, ..
        } = *probation;
        log.refresh().await?;
        if log.operation(&operation.to_string()).await?.is_none() {
            // While its base runs it may still be decided: then its row is needed.
            if log.generation() > base || left_out(Mutant::ProbationIsForgotten) {
                log.forget_probation(probation).await?;
            }
            return Ok(());
        }
        if let Some(by) = log.ended_by(probation).await? {
            // Its author died, or the store failed, before this was written down.
            return Ok(log.end_revert(operation, &by.to_string()).await?);
        }
        // A frozen log accepts no settings; they are reversed once its operator unfreezes it.
        if !matches!(log.condition().0, Condition::Open | Condition::Closing) {
            return Ok(());
        }
        match &probation.reverting {
            None => {
                if !log.begin_revert(probation, me).await? {
                    return Ok(());
                }
            }
            // Its key makes it one operation, whoever asks. So nobody waits long for a replica that is alive but cannot revert: its clock may
            // have jumped, or its copy of the log may be halted.
            Some(other) if other != me => {
                let live = self.engine.replicas(None).await?;
                let late = self.engine.now().await?.since(probation.until);
                if late < REVERT_TIMEOUT && live.iter().any(|replica| replica.id == *other) {
                    return Ok(());
                }
            }
            Some(_) => {}
        }
        let request = Request::Revert { operation, base };
        let key = format!("revert/{operation}");
        let made = self.by_itself(log, request, key).await?.operation;
        // A roll-back may have been decided first.
        let Some(Trial::Pending(probation)) = log.trial(operation).await? else {
            return Ok(());
        };
        let by = log.ended_by(&probation).await?;
        let by = by.map_or(made, |by| by.to_string());
        log.end_revert(operation, &by).await?;
        tracing::warn!(log = log.name(), %operation, by, "reverted a change that nobody confirmed in time, or whose roll-back came to nothing");
        Ok(())
    }
}

async fn keep(log: &Log, operation: Token, in_time: bool) -> Result<bool, StoreError> {
    if in_time && log.keep(operation).await? {
        return Ok(true);
    }
    // Two confirmations at once both succeed: one of them moved the row.
    Ok(log.trial(operation).await? == Some(Trial::Kept))
}

fn too_late(by: &str) -> ChangeError {
    ChangeError::Conflict(format!(
        "too late: the change was not confirmed in time and is reverted by {by}; make it again"
    ))
}
