//! Changes on probation: a change that is reversed by itself unless somebody confirms it.
//!
//! What must never happen: a change on probation runs and no server would reverse it. So its row is durable before the change is proposed,
//! and a row may be deleted only when its change can no longer be decided (its base is not the running one). The row's number decides
//! between confirmation and reversal: a guarded transaction moves it once.

mod end;
#[cfg(test)]
mod tests;

use order::Generation;
use std::time::Duration;

use logconfig::{Finding, LogConfig};
use serde::{Deserialize, Serialize};

use crate::control::{ChangeError, Request};
use crate::log::Log;
use order::slot::Token;
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};

/// The shortest and the longest probation, milliseconds.
const SPAN_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;
/// The most changes of one log that may be on probation: one runs, the others lost their base.
const ROWS: usize = 1_000;
/// Waiting for its confirmation.
const OPEN: u64 = 0;
/// A replica is taking it back.
const REVERTING: u64 = 1;

/// A change that nobody has confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probation {
    /// The change, 32 hex digits. It may not have been decided.
    pub operation: Token,
    /// The generation before it, which a reversal restores.
    pub base: Generation,
    /// When it is reversed, milliseconds since the Unix epoch, by the store's clock.
    pub until: u64,
    /// The replica that was asked, and its connection if the listener knows it: that connection may not confirm.
    pub replica: String,
    /// That connection's number in the replica, if known.
    pub connection: Option<u64>,
    /// The replica that takes it back, from the moment that it began.
    pub reverting: Option<String>,
}

/// How a change on probation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Verdict {
    Kept,
    Reverted { by: String },
}

/// What is known of the probation of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Not confirmed yet, nor taken back.
    Pending(Probation),
    /// Confirmed: it stays as it is.
    Kept,
    /// Taken back, by this operation.
    Reverted(String),
}

impl Log {
    /// The changes that nobody has confirmed yet, by operation, including changes that were never decided.
    pub async fn probations(&self) -> Result<Vec<Probation>, StoreError> {
        let prefix = self.ledger.keys.probations();
        let rows = self.ledger.store.scan(&prefix, &prefix, ROWS).await?;
        rows.iter().map(|(key, row)| decode(key, row)).collect()
    }

    /// What is known of the probation of a change; `None` when it was not made on probation.
    pub async fn trial(&self, operation: Token) -> Result<Option<Trial>, StoreError> {
        let keys = &self.ledger.keys;
        let key = keys.probation(operation);
        // Tried twice: the row may move from one place to the other between the two reads.
        for _ in 0..2 {
            if let Some(row) = self.ledger.store.get(&key).await? {
                return Ok(Some(Trial::Pending(decode(&key, &row)?)));
            }
            let ended = keys.probation_ended(operation);
            if let Some(row) = self.ledger.store.get(&ended).await? {
                let verdict = record::decode(&row)
                    .map_err(|e| StoreError::Corrupt(format!("{ended}: {e}")))?;
                return Ok(Some(match verdict {
                    Verdict::Kept => Trial::Kept,
                    Verdict::Reverted { by } => Trial::Reverted(by),
                }));
            }
        }
        Ok(None)
    }

    /// Confirms a change. False when it is being taken back, or its probation ended before.
    async fn keep(&self, operation: Token) -> Result<bool, StoreError> {
        let keys = &self.ledger.keys;
        let row = keys.probation(operation);
        let transaction = Transaction {
            guards: vec![
                Guard::Present(row.clone()),
                Guard::AtMost(row.clone(), OPEN),
            ],
            puts: vec![(
                keys.probation_ended(operation),
                record::encode(&Verdict::Kept),
            )],
            deletes: vec![row, keys.probation_base(operation)],
        };
        self.moved(transaction).await
    }

    /// Begins to take a change back, on behalf of `replica`. False when somebody confirmed it, or another replica began.
    async fn begin_revert(&self, probation: &Probation, replica: &str) -> Result<bool, StoreError> {
        let row = self.ledger.keys.probation(probation.operation);
        let reverting = Probation {
            reverting: Some(replica.to_owned()),
            ..probation.clone()
        };
        let transaction = Transaction {
            guards: vec![
                Guard::Present(row.clone()),
                Guard::AtMost(row.clone(), OPEN),
            ],
            puts: vec![(row, record::encode_numbered(REVERTING, &reverting))],
            ..Transaction::default()
        };
        self.moved(transaction).await
    }

    /// Remembers by which operation a change was taken back, once that is decided.
    async fn end_revert(&self, operation: Token, by: &str) -> Result<(), StoreError> {
        let keys = &self.ledger.keys;
        let verdict = Verdict::Reverted { by: by.to_owned() };
        let transaction = Transaction {
            guards: vec![Guard::Present(keys.probation(operation))],
            puts: vec![(keys.probation_ended(operation), record::encode(&verdict))],
            deletes: vec![keys.probation(operation), keys.probation_base(operation)],
        };
        // Refused: another replica did the same.
        self.moved(transaction).await.map(drop)
    }

    /// Deletes the row of a change that was not decided and can't be any more: its base does not run. Not one that its author has
    /// put again meanwhile, on a later base: that one may be decided.
    async fn forget_probation(&self, probation: &Probation) -> Result<(), StoreError> {
        let keys = &self.ledger.keys;
        let (row, base) = (
            keys.probation(probation.operation),
            keys.probation_base(probation.operation),
        );
        let transaction = Transaction {
            guards: vec![
                Guard::AtMost(row.clone(), OPEN),
                Guard::AtMost(base.clone(), probation.base.get()),
            ],
            deletes: vec![row, base],
            ..Transaction::default()
        };
        self.moved(transaction).await.map(drop)
    }

    async fn moved(&self, transaction: Transaction) -> Result<bool, StoreError> {
        match self.ledger.store.transact(transaction).await {
            Outcome::Committed => Ok(true),
            Outcome::Refused => Ok(false),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// Whether a change may be made beside those on probation, or be on probation itself. Settings wait until the one that runs
    /// is confirmed or gone; shards do not, since they never go back.
    pub(super) async fn probation_allows(
        &self,
        request: &Request,
        running: &LogConfig,
        next: &LogConfig,
    ) -> Result<(), ChangeError> {
        if let Request::OnProbation { within_ms, .. } = request {
            if !next.same_shards(running) {
                return Err(ChangeError::Invalid(vec![Finding::new(
                    "shards-on-probation",
                    "a change of shards can't be on probation: shards never go back",
                    "/shards",
                    "change the shards by themselves, without a time to confirm within",
                )]));
            }
            if !SPAN_MS.contains(within_ms) {
                return Err(ChangeError::Invalid(vec![Finding::new(
                    "out-of-range",
                    "the time to confirm within is not between 1s and 24h",
                    "",
                    "choose one that is",
                )]));
            }
        }
        if !logconfig::changes_settings(running, next) || matches!(request, Request::Revert { .. })
        {
            return Ok(());
        }
        for probation in self.probations().await? {
            if self.decided(probation.operation).await?.is_some() {
                let operation = probation.operation;
                let left = Duration::from_millis(
                    probation
                        .until
                        .saturating_sub(self.ledger.store.now().await?),
                );
                return Err(ChangeError::Conflict(format!(
                    "operation {operation} is on probation: confirm it (`logctl op confirm {operation}`), or wait {} s until it is taken back",
                    left.as_secs() + 1
                )));
            }
        }
        Ok(())
    }

    /// Makes the row durable that takes the change back. A repeated request starts the time again, since the change is not decided yet.
    pub(crate) async fn put_on_probation(
        &self,
        operation: Token,
        base: Generation,
        within_ms: u64,
        (replica, connection): &(String, Option<u64>),
    ) -> Result<(), ChangeError> {
        let keys = &self.ledger.keys;
        let (row, based) = (keys.probation(operation), keys.probation_base(operation));
        let probation = Probation {
            operation,
            base,
            until: self.ledger.store.now().await?.saturating_add(within_ms),
            replica: replica.clone(),
            connection: *connection,
            reverting: None,
        };
        let transaction = Transaction {
            guards: vec![
                Guard::AtMost(row.clone(), OPEN),
                // A late copy neither comes back after the end nor replaces a later one.
                Guard::AtMost(based.clone(), base.get()),
                Guard::Absent(keys.probation_ended(operation)),
            ],
            puts: vec![
                (row, record::encode_numbered(OPEN, &probation)),
                (based, record::encode_counted(base.get())),
            ],
            ..Transaction::default()
        };
        // An error leaves at most a row without a change to take back.
        match self.moved(transaction).await? {
            true => Ok(()),
            // Without its row the change would never be taken back.
            false => Err(ChangeError::Conflict(format!(
                "operation {operation} was asked for elsewhere at the same time; look at it (`logctl op list`) before you ask again"
            ))),
        }
    }
}

fn decode(key: &str, row: &[u8]) -> Result<Probation, StoreError> {
    let (_, probation) =
        record::decode_numbered(row).map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))?;
    Ok(probation)
}
