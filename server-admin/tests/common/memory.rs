//! A host's memory and audit trail, in memory; each can fail on demand.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use server_admin::{Event, HostError};
use tlog::{GlobalIndex, LeafIndex};
use wire::AuditReceipt;

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) rows: Mutex<BTreeMap<String, (String, Timestamp)>>,
    pub(crate) events: Mutex<Vec<Event>>,
    /// Nothing can be remembered or recalled.
    pub(crate) down: AtomicBool,
    /// Nothing can be audited.
    pub(crate) mute: AtomicBool,
}

impl Memory {
    fn check(flag: &AtomicBool) -> Result<(), HostError> {
        match flag.load(Ordering::SeqCst) {
            true => Err(HostError::Unavailable("the store is away".to_owned())),
            false => Ok(()),
        }
    }

    pub(crate) fn record(&self, event: Event) -> Result<Option<AuditReceipt>, HostError> {
        Self::check(&self.mute)?;
        let mut events = self.events.lock().unwrap();
        events.push(event);
        Ok(Some(AuditReceipt {
            index: GlobalIndex::new(events.len() as u64 - 1),
            shard: "a".to_owned(),
            leaf_index: LeafIndex::ZERO,
            entry: String::new(),
            proof: Vec::new(),
            checkpoint: String::new(),
            vkey: String::new(),
        }))
    }

    pub(crate) fn remember(
        &self,
        key: &str,
        value: &str,
        until: Timestamp,
    ) -> Result<bool, HostError> {
        Self::check(&self.down)?;
        let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'/');
        assert!(key.len() <= 200 && key.bytes().all(allowed), "{key}");
        assert!(value.len() <= 16 << 10);
        let (mut rows, now) = (self.rows.lock().unwrap(), super::now());
        rows.retain(|_, (_, until)| *until > now);
        if rows.contains_key(key) {
            return Ok(false);
        }
        rows.insert(key.to_owned(), (value.to_owned(), until));
        Ok(true)
    }

    pub(crate) fn recall(&self, prefix: &str) -> Result<Vec<(String, String)>, HostError> {
        Self::check(&self.down)?;
        let rows = self.rows.lock().unwrap();
        let live = rows
            .iter()
            .filter(|(key, (_, until))| key.starts_with(prefix) && *until > super::now());
        Ok(live
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect())
    }

    pub(crate) fn forget(&self, key: &str) -> Result<bool, HostError> {
        Self::check(&self.down)?;
        Ok(self.rows.lock().unwrap().remove(key).is_some())
    }

    /// The actions in the trail.
    pub(crate) fn actions(&self) -> Vec<&'static str> {
        let events = self.events.lock().unwrap();
        events.iter().map(|event| event.action).collect()
    }

    /// Everything that is kept, as text.
    pub(crate) fn dump(&self) -> String {
        format!(
            "{:?}{:?}",
            self.rows.lock().unwrap(),
            self.events.lock().unwrap()
        )
    }
}
