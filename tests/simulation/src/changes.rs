//! The judge of what was decided: nothing is ordered while the log is frozen, and each change on probation is confirmed or taken back.
//!
//! It reads the history that a server tells at the end, and the rows of the store, and no memory of the engine.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::{Action, HistoryRecord};
use order::keys::Keys;
use order::token::Token;
use store::{Coordination as _, StoreError, record};

use crate::judge::Judge;
use crate::world::World;
use crate::writer::LOG;

/// What operators asked for, by the name under which they asked.
#[derive(Debug, Default)]
pub struct Changes {
    /// Changes on probation; whether somebody wanted to confirm them.
    on_probation: Mutex<BTreeMap<String, bool>>,
}

/// How long a server may take to reverse a change whose probation has expired, milliseconds.
const OVERDUE_MS: u64 = 60_000;

/// How far the time of a slot may be ahead of the true time, milliseconds: a server notices a wrong clock of its own within so long.
const AHEAD_MS: u64 = 60_000;

/// Checks the time of a slot when its row is written. It never goes back, so one that is ahead stays in the log for good.
pub fn timely(key: &str, row: &[u8], now: u64) -> Result<(), String> {
    if !key.starts_with("log/dev/slot/") {
        return Ok(());
    }
    let slot: serde_json::Value = record::decode(row).map_err(|e| e.to_string())?;
    let time = slot["time"].as_u64();
    match time.is_some_and(|time| time <= now + AHEAD_MS) {
        true => Ok(()),
        false => Err(format!("{key}: {time:?}, and it is {now}")),
    }
}

/// Whether an operation is the first half of a freeze: the log takes no new promises, and still takes entries.
pub fn is_half(record: &HistoryRecord) -> bool {
    record.summary.starts_with("ended admission")
}

impl Changes {
    fn on_probation(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.on_probation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An operator asks for a change on probation; whether it wants to confirm it.
    pub fn probation(&self, actor: &str, confirms: bool) {
        self.on_probation().insert(actor.to_owned(), confirms);
    }

    /// Why a change on probation is still to be reversed, although its probation has expired.
    ///
    /// # Errors
    /// The store.
    pub async fn overdue(&self, world: &World) -> Result<Option<String>, StoreError> {
        let Some(server) = world.servers.first() else {
            return Ok(None);
        };
        let (site, keys) = (server.site(), Keys::new(LOG));
        let store = &site.coordination;
        let prefix = keys.probations();
        let now = world.clocks.time().now_ms();
        for (key, row) in store.scan(&prefix, &prefix, 1_000).await? {
            let row = record::decode_numbered::<serde_json::Value>(&row);
            let (_, row) = row.map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let until = row["until"].as_u64().unwrap_or(0);
            let operation = key.strip_prefix(&*prefix).unwrap_or_default();
            let decided = match operation.parse::<Token>() {
                Ok(operation) => store.get(&keys.operation(operation)).await?.is_some(),
                Err(_) => false,
            };
            if decided && until + OVERDUE_MS < now {
                return Ok(Some(format!(
                    "on probation until {until}, now {now}: {row}"
                )));
            }
        }
        Ok(None)
    }

    /// Judges the history at the end.
    pub async fn judge(&self, world: &World, history: &[HistoryRecord]) {
        let mut history: Vec<&HistoryRecord> = history.iter().collect();
        history.sort_by_key(|record| record.slot);
        freezes(&world.judge, &history);
        let asked = self.on_probation().clone();
        for record in history {
            let confirms = asked.get(&record.actor).copied();
            if let Some(confirms) = confirms
                && let Err(what) = probation(world, record, confirms).await
            {
                let what = format!("{}, {record:?}: {what}", record.actor);
                let rule = "a change on probation is confirmed or taken back";
                world.judge.object(rule, what);
            }
        }
    }
}

/// Between a freeze and the end of it, nothing gets an index.
fn freezes(judge: &Judge, history: &[&HistoryRecord]) {
    let mut frozen: Option<&HistoryRecord> = None;
    for record in history.iter().filter(|record| !is_half(record)) {
        if let Some(freeze) = frozen
            && freeze.at_index != record.at_index
        {
            let what = format!(
                "{:?} at {} (slot {}), then {:?} at {} (slot {})",
                freeze.action,
                freeze.at_index,
                freeze.slot,
                record.action,
                record.at_index,
                record.slot
            );
            judge.object("nothing is ordered while the log is frozen", what);
        }
        match record.action {
            Action::Freeze => frozen = Some(record),
            Action::Unfreeze => frozen = None,
            _ => {}
        }
    }
}

/// What became of a change on probation that was decided.
async fn probation(world: &World, record: &HistoryRecord, confirms: bool) -> Result<(), String> {
    let Some(server) = world.servers.first() else {
        return Ok(());
    };
    let (site, keys) = (server.site(), Keys::new(LOG));
    let store = &site.coordination;
    let operation: Token = record
        .operation
        .parse()
        .map_err(|_| "no operation".to_owned())?;
    let waits = store.get(&keys.probation(operation)).await;
    if waits.map_err(|e| e.to_string())?.is_some() {
        return Ok(());
    }
    let ended = store.get(&keys.probation_ended(operation)).await;
    let ended = ended.map_err(|e| e.to_string())?;
    let ended = ended.ok_or("no server would take it back")?;
    let verdict: serde_json::Value = record::decode(&ended).map_err(|e| e.to_string())?;
    match verdict == "kept" && !confirms {
        true => Err("nobody confirmed it, and it is kept".to_owned()),
        false => Ok(()),
    }
}
