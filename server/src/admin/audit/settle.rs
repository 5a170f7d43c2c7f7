//! Intents whose process died before it could record their outcome are settled from the log's own history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::record::{Intent, Outcome, Record, Verdict};
use super::{Audit, CONFIRM};
use crate::rfc3339::now;
use log::store::StoreError;
use log::{Token, Trial};

/// The newest entries of the system log that are looked through for intents without outcome.
const LOOK_BACK: u64 = 256;
/// Pause between looks, while there are such intents of processes that may still live.
const PAUSE: Duration = Duration::from_secs(5);

impl Audit {
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
            let (result, generation) = self.became(&intent).await.map_err(|e| e.to_string())?;
            tracing::info!(
                operation = intent.operation,
                ?result,
                "settled the audit trail"
            );
            let detail = Some("settled after the process was gone".to_owned());
            let record = Outcome {
                operation: intent.operation,
                log: Some(intent.log),
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

    /// What became of an intent, from the log's own history.
    async fn became(&self, intent: &Intent) -> Result<(Verdict, Option<u64>), StoreError> {
        let Some(log) = self.engine.log(&intent.log) else {
            return Ok((Verdict::NotDecided, None));
        };
        let decided = log.operation(&intent.operation).await?;
        let kept = match intent.operation.parse::<Token>() {
            Ok(token) if intent.action == CONFIRM => log.trial(token).await? == Some(Trial::Kept),
            _ => true,
        };
        Ok(match decided {
            Some(record) if kept => (Verdict::Decided, Some(record.generation)),
            _ => (Verdict::NotDecided, None),
        })
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
                    if intent.action != CONFIRM {
                        self.remember(&intent.operation, index);
                    }
                    open.insert(index, intent);
                }
                Ok(Record::Outcome(outcome)) => drop(open.remove(&outcome.intent)),
                // Records of another version are not ours to settle.
                Ok(Record::Event(_)) | Err(_) => {}
            }
        }
        Ok(open)
    }
}
