//! Reading the trail: pages of entries, and the tree itself as C2SP tlog-tiles objects.

use order::Generation;
use std::sync::Arc;

use engine::audit::{Event, Intent, Outcome, Record, Verdict};
use engine::{Log, ReadError};
use server_admin::{AuditQuery, HostError};
use wire::{AuditEntry, AuditPage};

use super::EngineHost;
use crate::data::shard_list;
use tlog::GlobalIndex;

/// The most entries that one page reads; with a filter it may return fewer than requested, or none.
const LOOK_THROUGH: u64 = 1 << 14;
/// Entries read at a time: a bundle.
const CHUNK: u64 = 256;
const LIMIT: usize = 1000;

impl EngineHost {
    fn trail(&self) -> Result<Arc<Log>, HostError> {
        let starting = || HostError::Unavailable("the audit trail is not open".to_owned());
        self.engine.system().ok_or_else(starting)
    }

    /// A page, newest first.
    pub(super) async fn page(&self, query: AuditQuery) -> Result<AuditPage, HostError> {
        let system = self.trail()?;
        system
            .refresh()
            .await
            .map_err(|e| HostError::Unavailable(e.to_string()))?;
        let size = system.watermarks().ordered;
        let limit = query.limit.clamp(1, LIMIT);
        let mut end = query
            .before
            .unwrap_or(GlobalIndex::new(size.get()))
            .min(GlobalIndex::new(size.get()));
        let last = end.back(LOOK_THROUGH);
        let mut entries = Vec::new();
        while end > last && entries.len() < limit {
            let start = end.back(CHUNK).max(last);
            let chunk = system.entries(start..end).await.map_err(read_error)?;
            if chunk.len() as u64 != end - start {
                let why = format!("entries {start} to {end} of the audit trail are not all there");
                return Err(HostError::Unavailable(why));
            }
            for entry in chunk.into_iter().rev() {
                end = end.back(1);
                let entry = wire(end, &entry.bytes);
                if query.log.is_none() || query.log == entry.log {
                    entries.push(entry);
                }
                if entries.len() == limit {
                    break;
                }
            }
        }
        Ok(AuditPage {
            size,
            entries,
            next: (end > GlobalIndex::ZERO).then_some(end),
        })
    }

    /// An object of the trail: `shards`, `SHARD/checkpoint`, `SHARD/tile/…`, `SHARD/seal`.
    pub(super) async fn object(&self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        let system = self.trail()?;
        if path == "shards" {
            return Ok(Some(shard_list(system.status())));
        }
        let Some((shard, rest)) = path.split_once('/') else {
            return Ok(None);
        };
        if rest == "checkpoint" {
            let note = system.checkpoint(shard).await.map_err(read_error)?;
            return Ok(note.map(String::into_bytes));
        }
        let bytes = system.object(shard, rest).await.map_err(read_error)?;
        Ok(bytes.map(|bytes| bytes.to_vec()))
    }
}

fn read_error(error: ReadError) -> HostError {
    match error {
        ReadError::Halted { reason } => {
            HostError::Halted(format!("the system log is halted: {reason}"))
        }
        other => HostError::Unavailable(other.to_string()),
    }
}

/// An entry of the system log on the wire. One of another version is shown as such, without its content.
fn wire(index: GlobalIndex, bytes: &[u8]) -> AuditEntry {
    let entry = AuditEntry {
        index,
        kind: String::new(),
        time: None,
        actor: None,
        action: None,
        log: None,
        operation: None,
        result: None,
        intent: None,
        generation: None,
        detail: None,
    };
    match serde_json::from_slice(bytes) {
        Ok(Record::Intent(Intent {
            operation,
            log,
            action,
            actor,
            reason,
            time,
            ..
        })) => AuditEntry {
            kind: "intent".to_owned(),
            detail: reason,
            time: Some(time),
            actor: Some(actor),
            action: Some(action),
            log: Some(log),
            operation: Some(operation),
            ..entry
        },
        Ok(Record::Outcome(Outcome {
            operation,
            log,
            intent,
            result,
            generation,
            detail,
            time,
        })) => AuditEntry {
            kind: "outcome".to_owned(),
            time: Some(time),
            log,
            operation: Some(operation),
            result: Some(word(result).to_owned()),
            intent: Some(intent),
            generation: generation.map(Generation::get),
            detail,
            ..entry
        },
        Ok(Record::Event(Event {
            action,
            actor,
            log,
            detail,
            time,
            ..
        })) => AuditEntry {
            kind: "event".to_owned(),
            log,
            time: Some(time),
            actor: Some(actor),
            action: Some(action),
            detail: Some(detail),
            ..entry
        },
        Err(_) => AuditEntry {
            kind: "unknown".to_owned(),
            detail: Some("not understood by this version".to_owned()),
            ..entry
        },
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Decided => "decided",
        Verdict::Unchanged => "unchanged",
        Verdict::Refused => "refused",
        Verdict::NotDecided => "not-decided",
        Verdict::Unknown => "unknown",
    }
}
