//! The history: every decided control of a log, kept after its slot is collected, and the documents of all generations.
//!
//! A lookup of one operation or one generation takes a few reads, however long the history is, since a waiting client asks often.

use logconfig::{Difference, LogConfig};
use order::{Generation, SlotNumber};
use tlog::{GlobalIndex, Hash, UnixMillis};

use crate::ledger::etag;
use crate::log::Log;
use order::slot::{Action, Control, Decision, Slot};
use order::token::Token;
use store::StoreError;
use store::record;

/// Rows read at a time.
const SCAN_PAGE: usize = 512;

/// A decided control, as the history keeps it.
#[derive(Clone, Debug)]
pub struct HistoryRecord {
    /// The operation's id: 32 hex digits.
    pub operation: String,
    /// The action that was asked for.
    pub action: Action,
    /// Whether this only ended admission, as the first part of a freeze: the freeze itself is another record, unless it was given up.
    pub closing: bool,
    /// The actor that asked for it.
    pub actor: String,
    /// When it was decided, milliseconds since the Unix epoch.
    pub time_ms: UnixMillis,
    /// The number of the slot that decided it.
    pub slot: SlotNumber,
    /// The global index at which it took effect.
    pub at_index: GlobalIndex,
    /// The generation before the change.
    pub base: Generation,
    /// The generation after the change.
    pub generation: Generation,
    /// The entity tag after the change.
    pub etag: String,
    /// A summary of the change.
    pub summary: String,
    /// The reason, if the caller gave one.
    pub reason: Option<String>,
}

impl HistoryRecord {
    fn new(slot: &Slot, decision: &Decision, generation: Generation, document: &Hash) -> Self {
        let reconfigures = matches!(decision.control, Control::Reconfigure { .. });
        Self {
            operation: decision.operation.to_string(),
            action: decision.action,
            closing: decision.control == Control::Closing,
            actor: decision.actor.clone(),
            time_ms: slot.time,
            slot: slot.number,
            at_index: if decision.control == Control::Freeze {
                slot.end()
            } else {
                slot.start
            },
            base: if reconfigures {
                generation.before()
            } else {
                generation
            },
            generation,
            etag: etag(generation, document),
            summary: summary(decision, slot),
            reason: decision.reason.clone(),
        }
    }
}

impl Log {
    /// The differences between a generation and the running one; empty when that generation is not known.
    pub(crate) async fn moved_since(
        &self,
        base: Option<Generation>,
    ) -> Result<Vec<Difference>, StoreError> {
        let Some(base) = base else {
            return Ok(Vec::new());
        };
        let Some(document) = self.document_of(base).await? else {
            return Ok(Vec::new());
        };
        let then = self.ledger.document(&document).await?;
        Ok(logconfig::diff(&then, &self.config()))
    }

    /// The slot that decided an operation, and its number.
    pub(crate) async fn decided(
        &self,
        operation: Token,
    ) -> Result<Option<(Slot, SlotNumber)>, StoreError> {
        let key = self.ledger.keys.operation(operation);
        self.numbered(&key).await
    }

    /// The control slot whose number lies under `key`.
    async fn numbered(&self, key: &str) -> Result<Option<(Slot, SlotNumber)>, StoreError> {
        let Some(row) = self.ledger.store.get(key).await? else {
            return Ok(None);
        };
        let corrupt = |e: record::RecordError| StoreError::Corrupt(format!("{key}: {e}"));
        let number = SlotNumber::new(record::decode_number(&row).map_err(corrupt)?);
        let item = self.ledger.keys.history_item(number);
        let Some(bytes) = self.ledger.store.get(&item).await? else {
            return Ok(None);
        };
        Ok(Some((record::decode(&bytes).map_err(corrupt)?, number)))
    }

    /// The slots that decided a control, oldest first.
    pub(crate) async fn controls(&self) -> Result<Vec<Slot>, StoreError> {
        let prefix = self.ledger.keys.history();
        let (mut slots, mut from) = (Vec::new(), prefix.clone());
        loop {
            let page = self.ledger.store.scan(&prefix, &from, SCAN_PAGE).await?;
            let full = page.len() == SCAN_PAGE;
            for (key, bytes) in page {
                slots.push(
                    record::decode(&bytes)
                        .map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))?,
                );
                from = format!("{key}\0");
            }
            if !full {
                return Ok(slots);
            }
        }
    }

    /// Names the document that a generation ran.
    async fn document_of(&self, generation: Generation) -> Result<Option<Hash>, StoreError> {
        let named = |slot: &Slot| match slot.control.as_ref().map(|d| &d.control) {
            Some(Control::Reconfigure { base, document, .. }) if base.next() == generation => {
                Some(*document)
            }
            _ => None,
        };
        let state = self.ledger.state();
        if generation == state.generation && generation > Generation::ZERO {
            return Ok(Some(state.document));
        }
        if generation == Generation::ZERO || generation > state.generation {
            return Ok(None);
        }
        let key = self.ledger.keys.generation(generation);
        if let Some(document) = self
            .numbered(&key)
            .await?
            .and_then(|(slot, _)| named(&slot))
        {
            return Ok(Some(document));
        }
        // Decided by a version that did not index its generations.
        Ok(self.controls().await?.iter().find_map(named))
    }

    /// The document that a generation ran and its entity tag, with what the server fills in; `None` when there was no such
    /// generation.
    pub async fn config_at(
        &self,
        generation: Generation,
    ) -> Result<Option<(LogConfig, String)>, StoreError> {
        self.refresh().await?;
        let Some(digest) = self.document_of(generation).await? else {
            return Ok(None);
        };
        let document = self.ledger.document(&digest).await?;
        Ok(Some((
            self.filled(document, generation),
            etag(generation, &digest),
        )))
    }

    /// Every decided control, newest first.
    pub async fn history(&self) -> Result<Vec<HistoryRecord>, StoreError> {
        let (mut records, mut generation) = (Vec::new(), Generation::ZERO);
        let mut running = Hash([0; 32]);
        for slot in self.controls().await? {
            let Some(decision) = &slot.control else {
                continue;
            };
            if let Control::Reconfigure { base, document, .. } = &decision.control {
                // Generations are not counted: those before a restore are missing.
                generation = base.next();
                running = *document;
            }
            records.push(HistoryRecord::new(&slot, decision, generation, &running));
        }
        records.reverse();
        Ok(records)
    }

    /// One decided control, by operation id.
    pub async fn operation(&self, id: &str) -> Result<Option<HistoryRecord>, StoreError> {
        let Ok(token) = id.parse::<Token>() else {
            return Ok(None);
        };
        let Some((slot, number)) = self.decided(token).await? else {
            return Ok(None);
        };
        // An operation's row may be left over from a proposal that lost; then the slot is another's.
        let Some(decision) = slot.control.as_ref().filter(|d| d.operation == token) else {
            return Ok(None);
        };
        if let Control::Reconfigure { base, document, .. } = &decision.control {
            return Ok(Some(HistoryRecord::new(
                &slot,
                decision,
                base.next(),
                document,
            )));
        }
        let state = self.ledger.state();
        if let Some(remembered) = state.remembered(token)
            && let Some(document) = self.document_of(remembered.generation).await?
        {
            let generation = remembered.generation;
            return Ok(Some(HistoryRecord::new(
                &slot, decision, generation, &document,
            )));
        }
        // For an old freeze, the generation is found by counting.
        let all = self.history().await?;
        Ok(all.into_iter().find(|r| r.slot == number))
    }

    /// The differences that a decided change of the configuration made: from the document before it to its own.
    pub async fn changed_by(&self, record: &HistoryRecord) -> Result<Vec<Difference>, StoreError> {
        if record.base == record.generation {
            return Ok(Vec::new());
        }
        let (Some(before), Some(after)) = (
            self.document_of(record.base).await?,
            self.document_of(record.generation).await?,
        ) else {
            return Ok(Vec::new());
        };
        let before = self.ledger.document(&before).await?;
        let after = self.ledger.document(&after).await?;
        Ok(logconfig::diff(&before, &after))
    }

    /// Reads the slots that other replicas decided.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        if !self.health.halt.is_halted() {
            self.ledger.refresh().await?;
            self.running.update_running().await?;
        }
        Ok(())
    }
}

fn summary(decision: &Decision, slot: &Slot) -> String {
    let what = done(decision, slot);
    match &decision.reason {
        Some(why) => format!("{what}: {why}"),
        None => what,
    }
}

fn done(decision: &Decision, slot: &Slot) -> String {
    match &decision.control {
        Control::Reconfigure { plan, open, .. } => {
            let mut parts = Vec::new();
            if let Some(open) = open {
                parts.push(format!("opened {open} at {}", slot.start));
            }
            let planned: Vec<&str> = plan
                .iter()
                .map(|p| p.name.as_str())
                .filter(|n| open.as_deref() != Some(*n))
                .collect();
            if !planned.is_empty() {
                parts.push(format!("planned {}", planned.join(", ")));
            }
            if parts.is_empty() && decision.action == Action::Revert {
                "took settings back".to_owned()
            } else if parts.is_empty() {
                "changed settings".to_owned()
            } else {
                parts.join(", ")
            }
        }
        Control::Closing => "ended admission".to_owned(),
        Control::Freeze => format!("froze the log at {}", slot.end()),
        Control::Unfreeze => "lifted the freeze".to_owned(),
        Control::Delete => "deleted the log; its data is kept".to_owned(),
        Control::Undelete => "brought the log back".to_owned(),
    }
}
