//! The audit trail: the requests of operators and their outcomes, as entries of the system log.
//!
//! Intent first, then the change, then its outcome. What must never happen: a change without a durable intent (if the intent
//! cannot be appended, the change is not made), or a secret in a record. An intent whose outcome was lost with its process is
//! settled later from the log's own history, once no other task will. An intent has one outcome: the first stands, whichever server
//! writes it. Only a change that was decided after a server had settled it as not decided gets another, once, and that one counts.

mod page;
mod record;
mod settle;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use engine::{AppendError, Applied, ChangeError, ChangeOutcome, Engine, WriteKey};
use logconfig::LogConfig;
use qos::Advice;
use server_admin::HostError;
use wire::AuditReceipt;

pub(crate) use self::record::{Event, Intent, Outcome, Record, Verdict};
#[cfg(test)]
pub(crate) use self::settle::Settling;
use crate::rfc3339::now;

/// Operations whose audit index is remembered.
const REMEMBERED: usize = 1024;
/// The action of an intent to confirm a change.
pub(super) const CONFIRM: &str = "confirm";
/// How long an answer waits for the checkpoint that covers its intent. The change is made by then: an answer without a receipt
/// is better than none, and the entry's index is in it anyway.
const RECEIPT: Duration = Duration::from_secs(1);

/// The audit trail of this process.
pub(crate) struct Audit {
    engine: Arc<Engine>,
    /// Locked for a look-up or an insertion.
    known: Mutex<Known>,
    /// Operations of this process whose outcome is still to come, and how often each was asked for.
    under_way: Mutex<HashMap<String, usize>>,
}

/// An operation whose outcome is still to come.
pub(super) struct UnderWay<'a> {
    audit: &'a Audit,
    operation: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut all = self
            .audit
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.operation) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.operation);
            }
        }
    }
}

/// Where the intents of the newest operations are.
#[derive(Debug, Default)]
struct Known {
    index: HashMap<String, u64>,
    order: VecDeque<String>,
}

impl Known {
    fn remember(&mut self, operation: &str, index: u64) {
        // The first intent stays: a repeated request is the same operation.
        if self.index.contains_key(operation) {
            return;
        }
        self.index.insert(operation.to_owned(), index);
        self.order.push_back(operation.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.index.remove(&oldest);
        }
    }
}

impl Audit {
    /// The trail in the engine's system log.
    pub(crate) fn new(engine: Arc<Engine>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            known: Mutex::default(),
            under_way: Mutex::default(),
        })
    }

    /// Held from before the intent until after the outcome: meanwhile no other task settles the operation.
    pub(super) fn under_way(&self, operation: &str) -> UnderWay<'_> {
        let mut all = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *all.entry(operation.to_owned()).or_default() += 1;
        UnderWay {
            audit: self,
            operation: operation.to_owned(),
        }
    }

    fn is_under_way(&self, operation: &str) -> bool {
        let all = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.contains_key(operation)
    }

    /// Makes a log that the settings name, between its intent and its outcome.
    ///
    /// # Errors
    /// [`ChangeError`]; the trail that does not take the intent is one, and then nothing was made.
    pub(crate) async fn create_log(&self, config: LogConfig) -> Result<Applied, ChangeError> {
        let failed = |why: String| ChangeError::Store(store::StoreError::Io(why));
        let log = config.log.to_string();
        let caller = super::change::as_engine(&server_admin::Caller {
            actor: "server".to_owned(),
            idempotency_key: None,
            reason: None,
            connection: None,
        })
        .map_err(|e| failed(e.to_string()))?;
        let operation = super::change::named(&caller, &log);
        let _under_way = self.under_way(&operation);
        let index = self
            .intent(Intent {
                operation: operation.clone(),
                log: log.clone(),
                action: "create".to_owned(),
                actor: caller.actor.clone(),
                request: tlog::Hash(config.digest()),
                reason: caller.reason.clone(),
                replica: self.engine.replica_id().to_owned(),
                time: now(),
            })
            .await
            .map_err(|e| failed(e.to_string()))?;
        let outcome = self.engine.create_log(config, caller).await;
        self.outcome(&operation, &log, index, &outcome).await;
        outcome
    }

    /// The index of an operation's intent, as far as remembered.
    pub(super) fn index(&self, operation: &str) -> Option<u64> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .index
            .get(operation)
            .copied()
    }

    fn remember(&self, operation: &str, index: u64) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remember(operation, index);
    }

    async fn append(&self, record: &Record) -> Result<u64, AppendError> {
        let system = self.engine.system().ok_or(AppendError::ShuttingDown)?;
        Ok(system.append(entry(record)).await?.index)
    }

    /// Appends the outcome of an intent, unless it has one.
    async fn append_outcome(&self, outcome: Outcome) -> Result<(), AppendError> {
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
        intent: u64,
        record: &Record,
    ) -> Result<(), AppendError> {
        let system = self.engine.system().ok_or(AppendError::ShuttingDown)?;
        let key = WriteKey::new("audit", &format!("{kind}/{intent}"));
        let (tenant, advice) = (system.policy().own(), Advice::default());
        let ticket = system.submit_keyed(key, entry(record), tenant, &advice);
        ticket.await?.answer.await.map(drop)
    }

    /// The first outcome of an intent.
    async fn standing(&self, intent: u64) -> Result<Option<Verdict>, AppendError> {
        let system = self.engine.system().ok_or(AppendError::ShuttingDown)?;
        for index in intent + 1..system.watermarks().ordered {
            let entry = system.entry(index).await;
            let Some(entry) = entry.map_err(|_| AppendError::Unknown)? else {
                continue;
            };
            if let Ok(Record::Outcome(outcome)) = serde_json::from_slice(&entry.bytes)
                && outcome.intent == intent
            {
                return Ok(Some(outcome.result));
            }
        }
        Ok(None)
    }

    /// Records an intent. An error means that the change must not be made.
    pub(super) async fn intent(&self, intent: Intent) -> Result<u64, HostError> {
        // A confirmation is about an operation; the operation's own intent is another.
        let operation = (intent.action != CONFIRM).then(|| intent.operation.clone());
        let index = self
            .append(&Record::Intent(intent))
            .await
            .map_err(refused)?;
        if let Some(operation) = operation {
            self.remember(&operation, index);
        }
        Ok(index)
    }

    /// Records an event. An error means that what it announces must not be done.
    pub(crate) async fn event(&self, event: Event) -> Result<Option<AuditReceipt>, HostError> {
        let index = self.append(&Record::Event(event)).await.map_err(refused)?;
        Ok(self.receipt(index).await)
    }

    /// Proof that an entry is in the trail, once a checkpoint covers it; `None` when that takes too long.
    pub(super) async fn receipt(&self, index: u64) -> Option<AuditReceipt> {
        let system = self.engine.system()?;
        let covered = async {
            system.wait_published(index).await.ok()?;
            let entry = system.entry(index).await.ok()??;
            let proof = system.inclusion(index).await.ok()??;
            Some(AuditReceipt {
                index,
                shard: proof.shard.to_string(),
                leaf_index: proof.leaf_index,
                entry: String::from_utf8(entry.bytes.to_vec()).ok()?,
                proof: proof.proof.iter().map(ToString::to_string).collect(),
                checkpoint: proof.checkpoint,
                vkey: proof.vkey,
            })
        };
        let receipt = tokio::time::timeout(RECEIPT, covered).await.ok().flatten();
        if receipt.is_none() {
            tracing::warn!(
                index,
                "no checkpoint of the audit trail covers the intent yet"
            );
        }
        receipt
    }

    /// Records the outcome of an intent. A failure does not affect the change: it is logged, and the intent is settled later.
    pub(super) async fn outcome(
        &self,
        operation: &str,
        log: &str,
        intent: u64,
        outcome: &Result<Applied, ChangeError>,
    ) {
        self.record_outcome(operation, log, intent, verdict(outcome))
            .await;
    }

    /// Records the outcome of an intent that does not change a configuration: the generation it is about, or the reason of a refusal.
    pub(super) async fn outcome_of(
        &self,
        operation: &str,
        log: &str,
        intent: u64,
        outcome: Result<u64, String>,
    ) {
        let verdict = match outcome {
            Ok(generation) => (Verdict::Decided, Some(generation), None),
            Err(why) => (Verdict::Refused, None, Some(why)),
        };
        self.record_outcome(operation, log, intent, verdict).await;
    }

    async fn record_outcome(
        &self,
        operation: &str,
        log: &str,
        intent: u64,
        (result, generation, detail): (Verdict, Option<u64>, Option<String>),
    ) {
        let record = Outcome {
            operation: operation.to_owned(),
            log: Some(log.to_owned()),
            intent,
            result,
            generation,
            detail,
            time: now(),
        };
        if let Err(error) = self.append_outcome(record).await {
            tracing::error!(operation, %error, "the audit trail does not take the outcome");
        }
    }
}

/// Strings and integers only: serde_json cannot fail on it.
fn entry(record: &Record) -> Bytes {
    Bytes::from(serde_json::to_vec(record).unwrap_or_default())
}

fn refused(error: AppendError) -> HostError {
    match error {
        AppendError::Full { detail } => HostError::Full(detail),
        AppendError::Halted { reason } => {
            HostError::Halted(format!("the system log is halted: {reason}"))
        }
        other => HostError::Unavailable(format!(
            "nothing was changed: the audit trail does not take the record: {other}"
        )),
    }
}

fn verdict(outcome: &Result<Applied, ChangeError>) -> (Verdict, Option<u64>, Option<String>) {
    match outcome {
        Ok(applied) if applied.outcome == ChangeOutcome::Unchanged => {
            (Verdict::Unchanged, Some(applied.generation), None)
        }
        Ok(applied) => (Verdict::Decided, Some(applied.generation), None),
        Err(error @ ChangeError::Unknown { .. }) => {
            (Verdict::Unknown, None, Some(error.to_string()))
        }
        Err(error) => (Verdict::Refused, None, Some(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_operations_is_bounded_and_keeps_the_first_intent() {
        let mut known = Known::default();
        for at in 0..3 * REMEMBERED as u64 {
            known.remember(&format!("{at}"), at);
            known.remember(&format!("{at}"), at + 1);
        }
        assert_eq!(
            (known.index.len(), known.order.len()),
            (REMEMBERED, REMEMBERED)
        );
        let last = 3 * REMEMBERED as u64 - 1;
        assert_eq!(known.index[&last.to_string()], last);
    }
}
