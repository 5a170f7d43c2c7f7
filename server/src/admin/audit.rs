//! The audit trail: what operators ask for, and what became of it, as entries of the system log.
//!
//! Intent first, then the change, then its outcome. What must never happen: a change without a durable intent (if the intent
//! cannot be appended, the change is not made), or a secret in a record. An intent whose outcome was lost with its process is
//! settled later from the log's own history, once that process is known to be gone; of several outcomes the last one counts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use log::{AppendError, Applied, ChangeError, ChangeOutcome, Engine};
use serde::{Deserialize, Serialize};
use server_admin::HostError;
use tlog::Hash;

use crate::rfc3339::now;

/// The newest entries of the system log that are looked through for intents without outcome.
const LOOK_BACK: u64 = 256;
/// Pause between looks, while there are such intents of processes that may still live.
const PAUSE: Duration = Duration::from_secs(5);
/// Operations whose audit index is remembered.
const REMEMBERED: usize = 1024;

/// An entry of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Record {
    /// Somebody asked for a change.
    Intent(Intent),
    /// What became of it.
    Outcome(Outcome),
}

/// Somebody asks for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Intent {
    /// The operation's id.
    pub(crate) operation: String,
    /// The log to change.
    pub(crate) log: String,
    /// What is asked for.
    pub(crate) action: String,
    /// Who asks.
    pub(crate) actor: String,
    /// SHA-256 of the request.
    pub(crate) request: Hash,
    /// The server process that was asked.
    pub(crate) replica: String,
    /// When, RFC 3339.
    pub(crate) time: String,
}

/// What became of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// The operation's id.
    pub(crate) operation: String,
    /// The intent's index in the system log.
    pub(crate) intent: u64,
    /// In one word.
    pub(crate) result: Verdict,
    /// The generation after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u64>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// When, RFC 3339.
    pub(crate) time: String,
}

/// An outcome in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// Decided.
    Decided,
    /// It ran already.
    Unchanged,
    /// Refused; nothing was changed.
    Refused,
    /// Not decided, as seen after its process was gone.
    NotDecided,
    /// Could not be learned.
    Unknown,
}

/// The audit trail of this process.
pub(crate) struct Audit {
    engine: Arc<Engine>,
    /// Locked for a look-up or an insertion.
    known: Mutex<Known>,
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
        })
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
        // Strings and integers only: serde_json cannot fail on it.
        let entry = serde_json::to_vec(record).unwrap_or_default();
        Ok(system.append(Bytes::from(entry)).await?.index)
    }

    /// Records an intent. An error means that the change must not be made.
    pub(super) async fn intent(&self, intent: Intent) -> Result<u64, HostError> {
        let operation = intent.operation.clone();
        let index = self
            .append(&Record::Intent(intent))
            .await
            .map_err(|error| match error {
                AppendError::Full { detail } => HostError::Full(detail),
                AppendError::Halted { reason } => {
                    HostError::Halted(format!("the system log is halted: {reason}"))
                }
                other => HostError::Unavailable(format!(
                    "nothing was changed: the audit trail does not take the intent: {other}"
                )),
            })?;
        self.remember(&operation, index);
        Ok(index)
    }

    /// Records what became of an intent. The change is what it is: a failure is logged, and the intent is settled by the next
    /// process that starts.
    pub(super) async fn outcome(
        &self,
        operation: &str,
        intent: u64,
        outcome: &Result<Applied, ChangeError>,
    ) {
        let (result, generation, detail) = verdict(outcome);
        let record = Outcome {
            operation: operation.to_owned(),
            intent,
            result,
            generation,
            detail,
            time: now(),
        };
        if let Err(error) = self.append(&Record::Outcome(record)).await {
            tracing::error!(operation, %error, "the audit trail does not take the outcome");
        }
    }

    /// Settles intents that have no outcome, as soon as the processes that recorded them are gone.
    pub(crate) async fn settle(self: Arc<Self>) {
        loop {
            match self.settle_once().await {
                Ok(0) => return,
                Ok(open) => tracing::debug!(open, "intents of other processes are still open"),
                Err(error) => tracing::warn!(error, "cannot settle the audit trail, trying again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Settles what can be; says how many intents must wait.
    async fn settle_once(&self) -> Result<usize, String> {
        let open = self.open_intents().await?;
        let live = self
            .engine
            .replicas(None)
            .await
            .map_err(|e| e.to_string())?;
        let mut waiting = 0;
        for (index, intent) in open {
            if intent.replica == self.engine.replica_id() {
                continue;
            }
            if live.iter().any(|replica| replica.id == intent.replica) {
                waiting += 1;
                continue;
            }
            let decided = match self.engine.log(&intent.log) {
                Some(log) => log
                    .operation(&intent.operation)
                    .await
                    .map_err(|e| e.to_string())?,
                None => None,
            };
            let (result, generation) = match decided {
                Some(record) => (Verdict::Decided, Some(record.generation)),
                None => (Verdict::NotDecided, None),
            };
            tracing::info!(
                operation = intent.operation,
                ?result,
                "settled the audit trail"
            );
            let detail = Some("settled after the process was gone".to_owned());
            let record = Outcome {
                operation: intent.operation,
                intent: index,
                result,
                generation,
                detail,
                time: now(),
            };
            self.append(&Record::Outcome(record))
                .await
                .map_err(|e| e.to_string())?;
        }
        Ok(waiting)
    }

    /// The intents without outcome among the newest entries, with their indexes.
    async fn open_intents(&self) -> Result<BTreeMap<u64, Intent>, String> {
        let Some(system) = self.engine.system() else {
            return Ok(BTreeMap::new());
        };
        let size = system.status().watermarks.ordered;
        let mut open = BTreeMap::new();
        for index in size.saturating_sub(LOOK_BACK)..size {
            let Some(entry) = system.entry(index).await.map_err(|e| e.to_string())? else {
                continue;
            };
            match serde_json::from_slice(&entry.bytes) {
                Ok(Record::Intent(intent)) => {
                    self.remember(&intent.operation, index);
                    open.insert(index, intent);
                }
                Ok(Record::Outcome(outcome)) => drop(open.remove(&outcome.intent)),
                // Records of another version are not ours to settle.
                Err(_) => {}
            }
        }
        Ok(open)
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
    fn records_read_back_and_say_their_kind() {
        let intent = Intent {
            operation: "00".repeat(16),
            log: "dev".into(),
            action: "rotate".into(),
            actor: "uid:0".into(),
            request: Hash([7; 32]),
            replica: "r".into(),
            time: now(),
        };
        let outcome = Outcome {
            operation: intent.operation.clone(),
            intent: 3,
            result: Verdict::NotDecided,
            generation: None,
            detail: None,
            time: now(),
        };
        for (record, kind) in [
            (Record::Intent(intent), "intent"),
            (Record::Outcome(outcome), "outcome"),
        ] {
            let json = serde_json::to_value(&record).unwrap();
            assert_eq!(json["kind"], kind);
            assert_eq!(serde_json::from_value::<Record>(json).unwrap(), record);
        }
    }

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
