//! Writing the trail: intents, the one outcome of each, and events.

use order::Generation;
use std::sync::PoisonError;

use bytes::Bytes;
use qos::Advice;

use super::record::{Event, Intent, Outcome, Record, Verdict};
use super::{Audited, CONFIRM, Receipt, Unrecorded};
use crate::control::{Applied, ChangeError, ChangeOutcome};
use crate::ingest::answer::AppendError;
use crate::uploads::keyed::WriteKey;
use tlog::GlobalIndex;

/// The outcome of an intent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::control) struct Came {
    pub(super) result: Verdict,
    /// The generation after it.
    pub(super) generation: Option<Generation>,
    pub(super) detail: Option<String>,
}

impl Came {
    pub(super) fn of(outcome: &Result<Applied, ChangeError>) -> Self {
        match outcome {
            Ok(applied) => Self {
                result: match applied.outcome {
                    ChangeOutcome::Unchanged => Verdict::Unchanged,
                    _ => Verdict::Decided,
                },
                generation: Some(applied.generation),
                detail: None,
            },
            Err(error) => Self {
                result: match error {
                    ChangeError::Unknown { .. } => Verdict::Unknown,
                    _ => Verdict::Refused,
                },
                generation: None,
                detail: Some(error.to_string()),
            },
        }
    }

    /// The outcome of an intent that does not change a configuration.
    pub(in crate::control) fn decided(generation: Generation) -> Self {
        Self {
            result: Verdict::Decided,
            generation: Some(generation),
            detail: None,
        }
    }

    pub(in crate::control) fn refused(why: String) -> Self {
        Self {
            result: Verdict::Refused,
            generation: None,
            detail: Some(why),
        }
    }

    /// The outcome of an intent whose effect may have been written.
    pub(in crate::control) fn unknown(why: String) -> Self {
        Self {
            result: Verdict::Unknown,
            ..Self::refused(why)
        }
    }
}

impl Audited {
    /// The index of an operation's intent, as far as remembered.
    pub fn index(&self, operation: &str) -> Option<GlobalIndex> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.index(operation)
    }

    pub(super) fn remember(&self, operation: &str, index: GlobalIndex) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remember(operation, index);
    }

    async fn append(&self, record: &Record) -> Result<GlobalIndex, AppendError> {
        let system = self.engine.system().ok_or(AppendError::ShuttingDown)?;
        Ok(system.append(entry(record)).await?.index)
    }

    /// Records an intent. An error means that the change must not be made.
    pub(in crate::control) async fn intent(
        &self,
        intent: Intent,
    ) -> Result<GlobalIndex, Unrecorded> {
        // A confirmation is about an operation, whose own intent is a different one.
        let operation = (intent.action != CONFIRM).then(|| intent.operation.clone());
        let index = self.append(&Record::Intent(intent)).await?;
        if let Some(operation) = operation {
            self.remember(&operation, index);
        }
        Ok(index)
    }

    /// Records an event that is not a change of a log, and returns the proof.
    ///
    /// # Errors
    /// [`Unrecorded`]: the announced action must not be done.
    pub async fn event(
        &self,
        action: &str,
        actor: String,
        detail: String,
    ) -> Result<Option<Receipt>, Unrecorded> {
        self.noted(action, None, actor, detail).await
    }

    /// Records an event about a log, which may not be made yet.
    pub(super) async fn event_of(
        &self,
        action: &str,
        log: &str,
        actor: String,
        detail: String,
    ) -> Result<Option<Receipt>, Unrecorded> {
        self.noted(action, Some(log.to_owned()), actor, detail)
            .await
    }

    async fn noted(
        &self,
        action: &str,
        log: Option<String>,
        actor: String,
        detail: String,
    ) -> Result<Option<Receipt>, Unrecorded> {
        let event = Event {
            action: action.to_owned(),
            actor,
            log,
            detail,
            replica: self.engine.replica_id().to_owned(),
            time: self.engine.clock.now_text(),
        };
        let index = self.append(&Record::Event(event)).await?;
        Ok(self.receipt(index).await)
    }

    /// Records the outcome of an intent. A failure does not affect the change: it is logged, and the intent is settled later.
    pub(in crate::control) async fn outcome(
        &self,
        operation: &str,
        log: &str,
        intent: GlobalIndex,
        came: Came,
    ) {
        let outcome = Outcome {
            operation: operation.to_owned(),
            log: Some(log.to_owned()),
            intent,
            result: came.result,
            generation: came.generation,
            detail: came.detail,
            time: self.engine.clock.now_text(),
        };
        if let Err(error) = self.append_outcome(outcome).await {
            tracing::error!(operation, %error, "the audit trail does not take the outcome");
        }
    }

    /// Appends the outcome of an intent, unless it has one.
    pub(super) async fn append_outcome(&self, outcome: Outcome) -> Result<(), AppendError> {
        let (intent, decided) = (outcome.intent, outcome.result == Verdict::Decided);
        let record = Record::Outcome(outcome);
        let settled = self.engine.audit_settled().await;
        let mut appended = match settled.map_err(|_| AppendError::Unknown)? > intent {
            true => Err(AppendError::KeyReused),
            false => self.append_once("outcome", intent, &record).await,
        };
        let has_one = appended == Err(AppendError::KeyReused);
        if has_one && decided && self.standing(intent).await? == Some(Verdict::NotDecided) {
            appended = self.append_once("decided", intent, &record).await;
        }
        match appended {
            Err(AppendError::KeyReused) => Ok(()),
            other => other,
        }
    }

    /// Appends a record as the only one of its kind about an intent; [`AppendError::KeyReused`] where there is one.
    async fn append_once(
        &self,
        kind: &str,
        intent: GlobalIndex,
        record: &Record,
    ) -> Result<(), AppendError> {
        let system = self.engine.system().ok_or(AppendError::ShuttingDown)?;
        let key = WriteKey::new("audit", &format!("{kind}/{intent}"));
        let (tenant, advice) = (system.policy().own(), Advice::default());
        let ticket = system.submit_keyed(key, entry(record), tenant, &advice);
        ticket.await?.answer.await.map(drop)
    }

    /// The first outcome of an intent.
    async fn standing(&self, intent: GlobalIndex) -> Result<Option<Verdict>, AppendError> {
        let system = self.engine.system().ok_or(AppendError::ShuttingDown)?;
        // Read to the end of the log, beyond what this server knows: another one may just have written the outcome.
        let mut index = intent;
        loop {
            index = index.next();
            let entry = system.entry(index).await;
            let Some(entry) = entry.map_err(|_| AppendError::Unknown)? else {
                return Ok(None);
            };
            if let Ok(Record::Outcome(outcome)) = serde_json::from_slice(&entry.bytes)
                && outcome.intent == intent
            {
                return Ok(Some(outcome.result));
            }
        }
    }
}

/// Strings and integers only: serde_json cannot fail on it.
fn entry(record: &Record) -> Bytes {
    Bytes::from(serde_json::to_vec(record).unwrap_or_default())
}
