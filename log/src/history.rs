//! What was decided: every control of a log, kept when its slot is collected.

use config::{Difference, LogConfig};

use crate::log::Log;
use crate::order::slot::{Action, Control, Decision, Slot, Token};
use crate::record;
use crate::store::StoreError;

/// Rows read at a time.
const PAGE: usize = 512;

/// A decided control.
#[derive(Clone, Debug)]
pub struct HistoryRecord {
    /// The operation.
    pub operation: String,
    /// What was asked for.
    pub action: Action,
    /// Who asked.
    pub actor: String,
    /// When, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The slot.
    pub slot: u64,
    /// The global index at which it took effect.
    pub at_index: u64,
    /// The generation after it.
    pub generation: u64,
    /// A sentence.
    pub summary: String,
}

impl Log {
    /// What moved between a generation and what runs; empty when that generation is not known.
    pub(crate) async fn moved_since(
        &self,
        base: Option<u64>,
    ) -> Result<Vec<Difference>, StoreError> {
        let core = &self.core;
        let mut generation = 0;
        for slot in self.controls().await? {
            let Some(Control::Reconfigure { document, .. }) = slot.control.map(|d| d.control)
            else {
                continue;
            };
            generation += 1;
            if Some(generation) != base {
                continue;
            }
            let Some(bytes) = core.store.get(&core.order.keys.document(&document)).await? else {
                break;
            };
            let Ok(then) = serde_json::from_slice::<LogConfig>(&bytes) else {
                break;
            };
            return Ok(config::diff(&then, &self.config()));
        }
        Ok(Vec::new())
    }

    pub(crate) async fn decided(
        &self,
        operation: Token,
    ) -> Result<Option<(Slot, u64)>, StoreError> {
        let keys = &self.core.order.keys;
        let Some(row) = self.core.store.get(&keys.operation(operation)).await? else {
            return Ok(None);
        };
        let corrupt = |e: record::RecordError| {
            StoreError::Corrupt(format!("{}: {e}", keys.operation(operation)))
        };
        let number = record::decode_number(&row).map_err(corrupt)?;
        let Some(bytes) = self.core.store.get(&keys.history_item(number)).await? else {
            return Ok(None);
        };
        Ok(Some((record::decode(&bytes).map_err(corrupt)?, number)))
    }

    /// The slots that decided a control, oldest first.
    async fn controls(&self) -> Result<Vec<Slot>, StoreError> {
        let prefix = self.core.order.keys.history();
        let (mut slots, mut from) = (Vec::new(), prefix.clone());
        loop {
            let page = self.core.store.scan(&prefix, &from, PAGE).await?;
            let full = page.len() == PAGE;
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

    /// Every decided control, newest first.
    pub async fn history(&self) -> Result<Vec<HistoryRecord>, StoreError> {
        let (mut records, mut generation) = (Vec::new(), 0);
        for slot in self.controls().await? {
            let Some(decision) = &slot.control else {
                continue;
            };
            generation += u64::from(matches!(decision.control, Control::Reconfigure { .. }));
            records.push(HistoryRecord {
                operation: decision.operation.to_string(),
                action: decision.action,
                actor: decision.actor.clone(),
                time_ms: slot.time,
                slot: slot.number,
                at_index: if decision.control == Control::Freeze {
                    slot.end()
                } else {
                    slot.start
                },
                generation,
                summary: summary(decision, &slot),
            });
        }
        records.reverse();
        Ok(records)
    }

    /// One decided control, by operation id.
    pub async fn operation(&self, id: &str) -> Result<Option<HistoryRecord>, StoreError> {
        Ok(self
            .history()
            .await?
            .into_iter()
            .find(|r| r.operation == id))
    }
}

fn summary(decision: &Decision, slot: &Slot) -> String {
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
            if parts.is_empty() {
                "changed settings".to_owned()
            } else {
                parts.join(", ")
            }
        }
        Control::Closing => "ended admission".to_owned(),
        Control::Freeze => format!("froze the log at {}", slot.end()),
        Control::Unfreeze => "lifted the freeze".to_owned(),
    }
}
