//! Settles intents without a recorded outcome from the log's own history: their process died, or the trail did not accept the outcome.
//!
//! The position up to which every intent has its outcome is written down, and the trail is read from there, so that no intent is too
//! far back. An intent that can't be settled now is tried again.
//!
//! A change that was announced may be decided after it was settled as not decided: its announcement lies in the bag until a slot carries it,
//! and a process that only seemed to be dead may wake up. So what was settled so is looked at again.

use order::Generation;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::record::{Intent, Outcome, Record, Verdict};
use super::{Audited, CONFIRM, CREATE};
use crate::control::Trial;
use order::keys::LOGS;
use order::slot::Decision;
use order::token::Token;
use store::StoreError;
use tlog::GlobalIndex;

/// How many of the newest entries of the system log are always read, to remember where their operations' intents are.
const LOOK_BACK: u64 = 256;
/// How many of the newest intents that were settled as not decided are looked at again.
const DOUBTED: usize = 64;
/// Pause between two reads of the trail.
const TRAIL_POLL: Duration = Duration::from_secs(5);

/// The position up to which the trail was read, and the intents without outcome before it.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// The first entry that was not read; `None` before the first read.
    next: Option<GlobalIndex>,
    open: BTreeMap<GlobalIndex, Intent>,
    /// Intents of this process that had no outcome, and were not under way, at the last read.
    lost: BTreeSet<GlobalIndex>,
    /// Intents that a server settled as not decided, and that may be decided later.
    doubted: BTreeMap<GlobalIndex, Intent>,
    /// The recorded position: before this entry every intent has its outcome.
    written: GlobalIndex,
}

impl Settling {
    fn doubt(&mut self, index: GlobalIndex, intent: Intent) {
        // Another one may have confirmed later.
        if intent.action == CONFIRM {
            return;
        }
        self.doubted.insert(index, intent);
        while self.doubted.len() > DOUBTED {
            self.doubted.pop_first();
        }
    }
}

impl Audited {
    /// Settles intents without outcome, once no other task will, as long as the server runs. It begins again after a panic.
    pub async fn settle(self: Arc<Self>) {
        let faults = self.engine.faults().clone();
        let start = || self.settle_on();
        faults.keep("the settling of the audit trail", start).await;
    }

    async fn settle_on(&self) {
        let mut settling = Settling::default();
        loop {
            match self.look(&mut settling).await {
                Ok(0) => {}
                Ok(open) => tracing::debug!(open, "intents of living processes are still open"),
                Err(error) => tracing::warn!(error, "cannot settle the audit trail, trying again"),
            }
            tokio::time::sleep(TRAIL_POLL).await;
        }
    }

    /// Settles the intents that can be settled now; returns the number of the others.
    pub(super) async fn look(&self, settling: &mut Settling) -> Result<usize, String> {
        self.read_on(settling).await?;
        if !settling.open.is_empty() {
            self.settle_open(settling).await?;
        }
        self.settle_doubted(settling).await?;
        let done = settling.open.keys().next().copied().or(settling.next);
        let done = done.unwrap_or(GlobalIndex::ZERO);
        if done > settling.written {
            let written = self.engine.set_audit_settled(done).await;
            written.map_err(|e| e.to_string())?;
            settling.written = done;
        }
        Ok(settling.open.len())
    }

    async fn settle_open(&self, settling: &mut Settling) -> Result<(), String> {
        let live = self
            .engine
            .replicas(None)
            .await
            .map_err(|e| e.to_string())?;
        let (mut lost, mut failed) = (BTreeSet::new(), Ok(()));
        for (index, intent) in settling.open.clone() {
            // Its outcome may be under way, also where a dead process has written the intent and its operator sends the command again here; by the
            // next check it is written, or no task will write it.
            if self.under_way.has(&intent.operation) {
                continue;
            }
            if intent.replica == self.engine.replica_id() {
                if !settling.lost.contains(&index) {
                    lost.insert(index);
                    continue;
                }
            } else if live.iter().any(|replica| replica.id == intent.replica) {
                continue;
            }
            // One that cannot be settled now holds up no other.
            match self.settle_one(&intent, index).await {
                Ok(result) => {
                    settling.open.remove(&index);
                    if result == Verdict::NotDecided {
                        settling.doubt(index, intent);
                    }
                }
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        settling.lost = lost;
        failed
    }

    /// Settles what was decided after it had been settled as not decided.
    async fn settle_doubted(&self, settling: &mut Settling) -> Result<(), String> {
        for (index, intent) in settling.doubted.clone() {
            let (result, generation) = self.found(&intent).await.map_err(|e| e.to_string())?;
            if result == Verdict::Decided {
                self.settle_as(&intent, index, result, generation).await?;
                settling.doubted.remove(&index);
            }
        }
        Ok(())
    }

    async fn settle_one(&self, intent: &Intent, index: GlobalIndex) -> Result<Verdict, String> {
        let (result, generation) = self.became(intent).await.map_err(|e| e.to_string())?;
        self.settle_as(intent, index, result, generation).await?;
        Ok(result)
    }

    async fn settle_as(
        &self,
        intent: &Intent,
        index: GlobalIndex,
        result: Verdict,
        generation: Option<Generation>,
    ) -> Result<(), String> {
        let operation = intent.operation.clone();
        tracing::info!(operation, ?result, "settled the audit trail");
        let record = Outcome {
            operation,
            log: Some(intent.log.clone()),
            intent: index,
            result,
            generation,
            detail: Some("settled later, from the log's history".to_owned()),
            time: self.engine.clock.now_text(),
        };
        let appended = self.append_outcome(record).await;
        appended.map_err(|e| e.to_string())
    }

    /// The outcome of an intent. What its server announced is decided first, so that it is not decided after it was settled.
    async fn became(&self, intent: &Intent) -> Result<(Verdict, Option<Generation>), StoreError> {
        let found = self.found(intent).await?;
        match self.engine.opened(&intent.log) {
            Some(log) if found.0 == Verdict::NotDecided && !log.health.halt.is_halted() => {
                log.ledger.help().await?;
                self.found(intent).await
            }
            _ => Ok(found),
        }
    }

    /// The outcome of an intent, from the log's own history.
    async fn found(&self, intent: &Intent) -> Result<(Verdict, Option<Generation>), StoreError> {
        let not_decided = (Verdict::NotDecided, None);
        let Some(log) = self.engine.opened(&intent.log) else {
            let row = format!("{LOGS}{}", intent.log);
            return match self.engine.store.get(&row).await? {
                Some(_) => Err(StoreError::Io(format!(
                    "log {} is not open here",
                    intent.log
                ))),
                None => Ok(not_decided),
            };
        };
        let Ok(operation) = intent.operation.parse::<Token>() else {
            return Ok(not_decided);
        };
        let decided = log.decided(operation).await?;
        let decision = decided.and_then(|(slot, _)| slot.control);
        let same = |decision: &Decision| match intent.action.as_str() {
            // The decision of a creation is about the document with all that was filled in; that of a confirmation is another change.
            CREATE | CONFIRM => true,
            // A key may be used again, for another request: that is not this change.
            _ => decision.request == intent.request,
        };
        if !decision.is_some_and(|one| one.operation == operation && same(&one))
            || intent.action == CONFIRM && log.trial(operation).await? != Some(Trial::Kept)
        {
            return Ok(not_decided);
        }
        let record = log.operation(&intent.operation).await?;
        Ok(record.map_or(not_decided, |record| {
            (Verdict::Decided, Some(record.generation))
        }))
    }

    /// Reads the entries that were appended since: intents without outcome, with their indexes.
    async fn read_on(&self, settling: &mut Settling) -> Result<(), String> {
        let Some(system) = self.engine.system() else {
            return Ok(());
        };
        let size = system.watermarks().ordered;
        let from = match settling.next {
            Some(next) => next,
            None => {
                let settled = self.engine.audit_settled().await;
                settling.written = settled.map_err(|e| e.to_string())?;
                settling.written.min(size.back(LOOK_BACK))
            }
        };
        for index in from.until(size) {
            let entry = system.entry(index).await.map_err(|e| e.to_string())?;
            settling.next = Some(index + 1);
            let Some(entry) = entry else { continue };
            match serde_json::from_slice(&entry.bytes) {
                Ok(Record::Intent(intent)) => {
                    if intent.action != CONFIRM {
                        self.remember(&intent.operation, index);
                    }
                    if index >= settling.written {
                        settling.open.insert(index, intent);
                    } else {
                        settling.doubt(index, intent);
                    }
                }
                Ok(Record::Outcome(outcome)) => {
                    let open = settling.open.remove(&outcome.intent);
                    let intent = open.or_else(|| settling.doubted.remove(&outcome.intent));
                    if let Some(intent) = intent.filter(|_| outcome.result == Verdict::NotDecided) {
                        settling.doubt(outcome.intent, intent);
                    }
                }
                // A server does not settle records of another version.
                Ok(Record::Event(_)) | Err(_) => {}
            }
        }
        settling.next = Some(size.max(from));
        Ok(())
    }
}
