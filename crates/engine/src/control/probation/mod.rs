//! Changes on probation: the server reverses such a change unless somebody confirms it.
//!
//! What must never happen: a change on probation runs and no server would reverse it. So its row is durable before the change is proposed,
//! and a row may be deleted only when its change can no longer be decided (its base is not the running one). The row's number decides
//! between confirmation and reversal: a guarded transaction moves it once. From then on nobody can confirm the change, so anybody may finish
//! its reversal, and some server does soon: a roll-back that was refused or whose author died does not lock the settings.

mod end;
#[cfg(test)]
mod tests;

use order::Generation;
use std::collections::BTreeMap;
use std::time::Duration;

use logconfig::{Finding, LogConfig};
use serde::{Deserialize, Serialize};

use crate::control::{ChangeError, Request};
use crate::log::Log;
use order::mutant::{Mutant, left_out};
use order::slot::Decision;
use order::token::Token;
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};
use tlog::{Hash, UnixMillis};

/// The shortest and the longest probation, milliseconds.
const SPAN_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;
/// The most changes of one log that may be on probation: one runs, the others lost their base.
const ROWS: usize = 1_000;
/// Waiting for its confirmation.
const OPEN: u64 = 0;
/// It is being reversed.
const REVERTING: u64 = 1;
/// How much time a change that takes another one back has before a server does the same: it may be refused, or its author may die.
const EARLY_END: Duration = Duration::from_secs(10);
/// Before the operation of such a change, where the name of a replica stands otherwise. No replica has such a name.
const EARLY: &str = "operation ";

/// A change that nobody has confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probation {
    /// The change, 32 hex digits. It may not have been decided.
    pub operation: Token,
    /// The generation before it, which a reversal restores.
    pub base: Generation,
    /// When it is reversed, by the store's clock.
    pub until: UnixMillis,
    /// The replica that was asked, and its connection if the listener knows it: that connection may not confirm.
    pub replica: String,
    /// That connection's number in the replica, if known.
    pub connection: Option<u64>,
    /// The replica that reverses it, or the change that takes it back before its time, from the moment that this began.
    pub reverting: Option<String>,
}

impl Probation {
    /// The change that takes it back before its time, if one has begun to, and the digest of its request, which older versions did not write
    /// down. It may not be decided, and its key may be used for another request then.
    fn ender(&self) -> Option<(Token, Option<Hash>)> {
        let words = self.reverting.as_deref()?.strip_prefix(EARLY)?;
        let (by, request) = match words.split_once(' ') {
            Some((by, request)) => (by, Some(request.parse().ok()?)),
            None => (words, None),
        };
        Some((by.parse().ok()?, request))
    }
}

/// How a change on probation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Verdict {
    Kept,
    Reverted { by: String },
}

/// The state of a change on probation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Neither confirmed nor reversed yet.
    Pending(Probation),
    /// Confirmed: it stays as it is.
    Kept,
    /// Reversed, by this operation.
    Reverted(String),
}

impl Log {
    /// The changes that nobody has confirmed yet, by operation, including changes that were never decided.
    pub async fn probations(&self) -> Result<Vec<Probation>, StoreError> {
        let prefix = self.ledger.keys.probations();
        let rows = self.ledger.store.scan(&prefix, &prefix, ROWS).await?;
        rows.iter().map(|(key, row)| decode(key, row)).collect()
    }

    /// The change that runs and that nobody has confirmed yet.
    pub async fn on_probation(&self) -> Result<Option<Probation>, StoreError> {
        for probation in self.probations().await? {
            if self.decided(probation.operation).await?.is_some()
                && self.ended_by(&probation).await?.is_none()
            {
                return Ok(Some(probation));
            }
        }
        Ok(None)
    }

    /// The decided change that took another one back before its time, where that is not written down yet.
    async fn ended_by(&self, probation: &Probation) -> Result<Option<Token>, StoreError> {
        let Some((by, request)) = probation.ender() else {
            return Ok(None);
        };
        let decided = self.decided(by).await?;
        let decision = decided.and_then(|(slot, _)| slot.control);
        let is_it = |decision: &Decision| request.is_none_or(|request| request == decision.request);
        Ok(decision.filter(is_it).map(|_| by))
    }

    /// The state of the probation of a change; `None` when it was not made on probation.
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

    /// The changes on probation that were taken back, by the operation that did it: the server's own or an earlier roll-back.
    pub async fn taken_back(&self) -> Result<BTreeMap<String, Token>, StoreError> {
        let mut taken = BTreeMap::new();
        // Before the ends: a row may move there between the two reads.
        for probation in self.probations().await? {
            if let Some(by) = self.ended_by(&probation).await? {
                taken.insert(by.to_string(), probation.operation);
            }
        }
        let prefix = self.ledger.keys.probations_ended();
        let mut from = prefix.clone();
        loop {
            let page = self.ledger.store.scan(&prefix, &from, ROWS).await?;
            let full = page.len() == ROWS;
            for (key, row) in page {
                let corrupt = |why: String| StoreError::Corrupt(format!("{key}: {why}"));
                let verdict = record::decode(&row).map_err(|e| corrupt(e.to_string()))?;
                if let Verdict::Reverted { by } = verdict {
                    let operation = key.strip_prefix(&*prefix).unwrap_or_default();
                    let operation = operation
                        .parse()
                        .map_err(|_| corrupt("no operation".to_owned()))?;
                    taken.insert(by, operation);
                }
                from = format!("{key}\0");
            }
            if !full {
                return Ok(taken);
            }
        }
    }

    /// Confirms a change. False when it is being reversed, or its probation ended before.
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

    /// Ends a probation before its time, on behalf of the change that takes it back: from here on nobody can confirm it. If that
    /// change is not decided after all, another one may do the same, and a server does it soon.
    pub(super) async fn begin_early_end(
        &self,
        probation: &Probation,
        by: Token,
        request: Hash,
    ) -> Result<(), ChangeError> {
        let soon = self.ledger.store.now().await? + EARLY_END;
        let ending = Probation {
            until: probation.until.min(soon),
            reverting: Some(format!("{EARLY}{by} {request}")),
            ..probation.clone()
        };
        let row = self.ledger.keys.probation(probation.operation);
        let transaction = Transaction {
            guards: vec![Guard::Present(row.clone())],
            puts: vec![(row, record::encode_numbered(REVERTING, &ending))],
            ..Transaction::default()
        };
        if self.moved(transaction).await? {
            return Ok(());
        }
        let operation = probation.operation;
        Err(ChangeError::Conflict(format!(
            "operation {operation} was confirmed or reverted meanwhile: `logctl op show {operation}` tells"
        )))
    }

    /// Records the change that took another one back before its time.
    pub(super) async fn end_early(&self, probation: &Probation, by: &str) {
        if let Err(error) = self.end_revert(probation.operation, by).await {
            // The watch over probations does that soon.
            tracing::warn!(log = self.name(), %error, "cannot record yet that a change was taken back");
        }
    }

    /// Whether a change is still to be reversed. Asked after the base of the reversal was read: a later end moves that base.
    pub(super) async fn is_to_be_reversed(&self, operation: Token) -> Result<bool, StoreError> {
        Ok(match self.trial(operation).await? {
            Some(Trial::Pending(probation)) => self.ended_by(&probation).await?.is_none(),
            _ => false,
        })
    }

    /// Begins to reverse a change, on behalf of `replica`. False when somebody confirmed it, or another replica began.
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

    /// Records the operation that reversed a change, once that is decided.
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
        let mut transaction = Transaction {
            guards: vec![
                Guard::AtMost(row.clone(), OPEN),
                Guard::AtMost(base.clone(), probation.base.get()),
            ],
            deletes: vec![row, base],
            ..Transaction::default()
        };
        if left_out(Mutant::ProbationIsForgotten) {
            transaction.guards.clear();
        }
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
    /// is confirmed or gone; shards do not, since they never go back. `Some`: the change that this one takes back before its time.
    pub(super) async fn probation_allows(
        &self,
        request: &Request,
        running: &LogConfig,
        next: &LogConfig,
    ) -> Result<Option<Probation>, ChangeError> {
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
            return Ok(None);
        }
        for probation in self.probations().await? {
            // Written down before the next settings, which no server may take for those to be reversed.
            if let Some(by) = self.ended_by(&probation).await? {
                self.end_revert(probation.operation, &by.to_string())
                    .await?;
            }
        }
        if let Some(probation) = self.on_probation().await? {
            let before = self.config_at(probation.base).await?;
            let goes_back = before.is_some_and(|(before, _)| {
                logconfig::rolled_back(running, &before).same_settings(next)
            });
            if goes_back && matches!(request, Request::Configure { .. }) {
                return Ok(Some(probation));
            }
            let (operation, log) = (probation.operation, &self.ledger.name);
            let left = probation.until.since(self.ledger.store.now().await?);
            if probation.reverting.is_some() {
                return Err(ChangeError::Conflict(format!(
                    "operation {operation} is being taken back and can no longer be confirmed: wait {} s until it is reverted, or take it back now (`logctl config rollback --log {log}`)",
                    left.as_secs() + 1
                )));
            }
            return Err(ChangeError::Conflict(format!(
                "operation {operation} is on probation: confirm it (`logctl op confirm {operation}`), take it back now (`logctl config rollback --log {log}`), or wait {} s until it is reverted",
                left.as_secs() + 1
            )));
        }
        Ok(None)
    }

    /// Makes the row durable by which the change is reversed. A repeated request starts the time again, since the change is not decided yet.
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
            until: self.ledger.store.now().await? + Duration::from_millis(within_ms),
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
        // An error leaves at most a row without a change to reverse.
        match self.moved(transaction).await? {
            true => Ok(()),
            // Without its row the change would never be reversed.
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
