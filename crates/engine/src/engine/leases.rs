//! Rows with an expiry that all replicas share, for what is not an entry of any log (sessions, used identity tokens).
//!
//! What must never happen: two callers both learn that they put the same key first. So a put is one transaction, guarded by the expiry of
//! the existing row, and a put whose outcome is unknown is looked up by its author's mark.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Engine;
use order::keys::MEMORY;
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};
use tlog::UnixMillis;

/// The longest key, bytes.
const MAX_KEY: usize = 200;
/// The longest value, bytes.
const MAX_VALUE: usize = 16 << 10;
/// Rows read or deleted at a time.
const SCAN_PAGE: usize = 256;
/// How long rows wait, right after a start, until it is known whether the store is an older copy: longer than peers that do not answer are
/// waited for.
const COMPARED: Duration = Duration::from_secs(5);

/// A row; its expiry is stored in front of it, milliseconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    value: String,
    /// The mark of one call, which distinguishes its row from another's with the same value.
    mark: String,
}

/// Why something was not remembered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MemoryError {
    /// This is not a valid key or value.
    #[error(
        "keys are 1 to {MAX_KEY} bytes of a-z 0-9 - . /, values at most {MAX_VALUE} bytes: {0}"
    )]
    Unfit(String),
    /// The store is known to be an older copy.
    #[error(
        "this server's coordination store is an older copy, so its tokens and sessions are refused: they may have been revoked since. Use the socket, a client certificate or a token of the token file. {0}"
    )]
    Older(String),
    /// The store; nothing is known to have changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn row_key(key: &str) -> Result<String, MemoryError> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-./".contains(&b);
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(fits) {
        // Keys may derive from secrets: never shown.
        return Err(MemoryError::Unfit(format!("a key of {} bytes", key.len())));
    }
    Ok(format!("{MEMORY}{key}"))
}

fn decode(key: &str, bytes: &[u8]) -> Result<(UnixMillis, Row), StoreError> {
    let (until, row) =
        record::decode_numbered(bytes).map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))?;
    Ok((UnixMillis::new(until), row))
}

impl Engine {
    /// Puts a row unless there is one under the key that has not expired. Returns whether it was put. `until` is by the store's clock.
    pub async fn remember(
        &self,
        key: &str,
        value: &str,
        until: UnixMillis,
    ) -> Result<bool, MemoryError> {
        let key = row_key(key)?;
        if value.len() > MAX_VALUE {
            return Err(MemoryError::Unfit(format!(
                "a value of {} bytes",
                value.len()
            )));
        }
        let mark = self.random.number().map_err(StoreError::from)?;
        let row = Row {
            value: value.to_owned(),
            mark: format!("{mark:016x}"),
        };
        let now = self.store.now().await?;
        let transaction = Transaction {
            // There is no row, or it has expired.
            guards: vec![Guard::AtMost(key.clone(), now.get())],
            puts: vec![(key.clone(), record::encode_numbered(until.get(), &row))],
            ..Transaction::default()
        };
        match self.store.transact(transaction).await {
            Outcome::Committed => Ok(true),
            Outcome::Refused => Ok(false),
            Outcome::Failed(e) => Err(e.into()),
            Outcome::Unknown(e) => match self.store.get(&key).await? {
                Some(bytes) => Ok(decode(&key, &bytes)?.1.mark == row.mark),
                None => Err(e.into()),
            },
        }
    }

    /// The rows whose keys begin with `prefix`, by key, without the expired ones. Fails on a store that is known to be an older copy:
    /// what a row allows may have been taken back since. Right after a start it waits for that to be known, but not for long.
    pub async fn recall(&self, prefix: &str) -> Result<Vec<(String, String)>, MemoryError> {
        let prefix = if prefix.is_empty() {
            MEMORY.to_owned()
        } else {
            row_key(prefix)?
        };
        // Operators must get in even if that takes longer.
        let _ = tokio::time::timeout(COMPARED, self.halts.compared()).await;
        if let Some(why) = self.halts.older() {
            return Err(MemoryError::Older(why.to_owned()));
        }
        let now = self.store.now().await?;
        let (mut found, mut from) = (Vec::new(), prefix.clone());
        loop {
            let page = self.store.scan(&prefix, &from, SCAN_PAGE).await?;
            let full = page.len() == SCAN_PAGE;
            for (key, bytes) in page {
                let (until, row) = decode(&key, &bytes)?;
                if until > now {
                    found.push((key[MEMORY.len()..].to_owned(), row.value));
                }
                from = format!("{key}\0");
            }
            if !full {
                return Ok(found);
            }
        }
    }

    /// Deletes a row. Returns whether it existed and had not expired.
    pub async fn forget(&self, key: &str) -> Result<bool, MemoryError> {
        let key = row_key(key)?;
        let now = self.store.now().await?;
        let Some(bytes) = self.store.get(&key).await? else {
            return Ok(false);
        };
        let (until, _) = decode(&key, &bytes)?;
        let transaction = Transaction {
            guards: vec![Guard::Present(key.clone())],
            deletes: vec![key],
            ..Transaction::default()
        };
        match self.store.transact(transaction).await {
            Outcome::Committed => Ok(until > now),
            Outcome::Refused => Ok(false),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e.into()),
        }
    }

    /// Deletes expired rows. A row that was put again meanwhile is left alone.
    pub(super) async fn sweep_memory(&self) -> Result<(), StoreError> {
        let now = self.store.now().await?;
        let mut from = MEMORY.to_owned();
        loop {
            let page = self.store.scan(MEMORY, &from, SCAN_PAGE).await?;
            let full = page.len() == SCAN_PAGE;
            let mut sweep = Transaction::default();
            for (key, bytes) in page {
                from = format!("{key}\0");
                if record::decode_number(&bytes).is_ok_and(|until| until <= now.get()) {
                    sweep.guards.push(Guard::AtMost(key.clone(), now.get()));
                    sweep.deletes.push(key);
                }
            }
            if !sweep.deletes.is_empty()
                && let Outcome::Failed(e) | Outcome::Unknown(e) = self.store.transact(sweep).await
            {
                return Err(e);
            }
            if !full {
                return Ok(());
            }
        }
    }
}
