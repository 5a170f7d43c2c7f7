//! Config documents in the coordination store: each under its digest, in one row, or in several if it does not fit into one. They are
//! immutable, and durable before a slot names them.
//!
//! What must never happen: a document grows with the age of its log. So it is stored without its frozen shards ([`logconfig::whole`]); the
//! reader takes them from the state. The digest is that of the whole document.

use bytes::{Bytes, BytesMut};
use logconfig::LogConfig;
use serde::{Deserialize, Serialize};
use tlog::Hash;

use crate::ledger::Ledger;
use order::keys::Keys;
use order::state::State;
use store::record;
use store::{Coordination, Key, StoreError};

/// The largest document, bytes as it is stored: what one transaction may well write.
pub(crate) const MAX_DOCUMENT: usize = 1 << 20;

/// The row of a document that is in parts. A document itself begins with a brace, this with the envelope of a record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InParts {
    /// Bytes of the document.
    bytes: usize,
    /// Rows that hold them.
    parts: u64,
}

/// The rows of a stored document, for one transaction.
pub(crate) fn rows(keys: &Keys, limit: usize, digest: &Hash, stored: Vec<u8>) -> Vec<(Key, Bytes)> {
    let document = Bytes::from(stored);
    if document.len() <= limit {
        return vec![(keys.document(digest), document)];
    }
    let parts = document.chunks(limit.max(1));
    let mut rows: Vec<_> = (0..)
        .zip(parts)
        .map(|(n, part)| (keys.document_part(digest, n), document.slice_ref(part)))
        .collect();
    let head = InParts {
        bytes: document.len(),
        parts: rows.len() as u64,
    };
    rows.push((keys.document(digest), record::encode(&head)));
    rows
}

/// The stored part of a document; [`whole`] checks it.
///
/// # Errors
/// [`StoreError::Corrupt`] when a row is missing.
pub(crate) async fn read(
    store: &dyn Coordination,
    keys: &Keys,
    digest: &Hash,
) -> Result<Bytes, StoreError> {
    let key = keys.document(digest);
    let missing = |key: &str| StoreError::Corrupt(format!("{key} is missing; run `logd fsck`"));
    let row = store.get(&key).await?.ok_or_else(|| missing(&key))?;
    let Ok(InParts { bytes, parts }) = record::decode(&row) else {
        return Ok(row);
    };
    let mut document = BytesMut::with_capacity(bytes.min(MAX_DOCUMENT));
    for n in 0..parts {
        let key = keys.document_part(digest, n);
        let part = store.get(&key).await?.ok_or_else(|| missing(&key))?;
        document.extend_from_slice(&part);
    }
    Ok(document.freeze())
}

/// The bytes of the whole document of that digest: its frozen shards are those that the state, which is no older, begins with.
fn bytes(stored: &[u8], digest: &Hash, state: &State) -> Result<Vec<u8>, String> {
    let opened = state.shards.iter().filter(|shard| shard.start().is_some());
    let names = opened.map(|shard| shard.identity.name.as_str());
    let document = logconfig::whole(stored, names)?;
    if record::digest(&document) == *digest {
        Ok(document)
    } else {
        Err("its bytes changed".to_owned())
    }
}

/// Whether the stored part can be completed again, with a state that is not older.
///
/// # Errors
/// As [`whole`].
pub(crate) fn check(stored: &[u8], digest: &Hash, state: &State) -> Result<(), String> {
    bytes(stored, digest, state).map(drop)
}

/// The whole document of that digest, by a state that is no older.
///
/// # Errors
/// The fault of the bytes.
pub(crate) fn whole(stored: &[u8], digest: &Hash, state: &State) -> Result<LogConfig, String> {
    let document = bytes(stored, digest, state)?;
    serde_json::from_slice(&document).map_err(|error| error.to_string())
}

/// The same without its frozen shards, of which there may be thousands: for callers that need the settings only.
///
/// # Errors
/// As [`whole`].
pub(crate) fn settings(stored: &[u8], digest: &Hash, state: &State) -> Result<LogConfig, String> {
    bytes(stored, digest, state)?;
    logconfig::settings(stored)
}

impl Ledger {
    /// A config document that a slot names: whole, with the frozen shards that it had.
    pub(crate) async fn document(&self, digest: &Hash) -> Result<LogConfig, StoreError> {
        self.stored(digest, whole).await
    }

    /// The settings of a config document that a slot names. Its frozen shards are left out: there may be thousands.
    pub(crate) async fn settings(&self, digest: &Hash) -> Result<LogConfig, StoreError> {
        self.stored(digest, settings).await
    }

    async fn stored(
        &self,
        digest: &Hash,
        parse: impl Fn(&[u8], &Hash, &State) -> Result<LogConfig, String>,
    ) -> Result<LogConfig, StoreError> {
        let keys = &self.keys;
        let stored = read(&*self.store, keys, digest).await?;
        parse(&stored, digest, &self.state()).map_err(|e| {
            let key = keys.document(digest);
            StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{MemoryCoordination, Outcome, Transaction};

    #[tokio::test]
    async fn a_document_of_any_size_is_read_back() {
        let (keys, store) = (Keys::new("dev"), MemoryCoordination::new());
        let limit = store.value_limit();
        for size in [1, limit, limit + 1, 3 * limit, MAX_DOCUMENT] {
            let document: Vec<u8> = (0..size).map(|n| n as u8 ^ (n >> 8) as u8).collect();
            let digest = record::digest(&document);
            let puts = rows(&keys, limit, &digest, document.clone());
            assert_eq!(puts.len() > 1, size > limit);
            let part = puts[0].0.clone();
            let put = Transaction {
                puts,
                ..Transaction::default()
            };
            assert!(matches!(store.transact(put).await, Outcome::Committed));
            let read = || super::read(&store, &keys, &digest);
            assert_eq!(read().await.unwrap(), document);
            let lose = Transaction {
                deletes: vec![part],
                ..Transaction::default()
            };
            store.transact(lose).await;
            assert!(matches!(read().await, Err(StoreError::Corrupt(_))));
            let none = whole(&document, &Hash([0; 32]), &State::default());
            assert_eq!(none.unwrap_err(), "its bytes changed");
        }
    }
}
