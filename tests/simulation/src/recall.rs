//! What somebody was told is asked for again at the end, and must be told again: keys of writes, receipts, changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use engine::{AppendError, Applied, Log, Placement, PromiseId, WriteKey};
use qos::Advice;
use tlog::UnixMillis;

use crate::server::Running;
use crate::world::World;
use crate::writer::{self, LOG};

/// How long it is asked for again: far less than it is kept, because the system may sleep meanwhile.
pub const KEPT: Duration = Duration::from_secs(12 * 3_600);

/// The longest that one question may take when all is calm.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What was told, each with the age of the world at that time.
#[derive(Debug, Default)]
struct Known {
    keys: Vec<(WriteKey, Bytes, Duration)>,
    promises: Vec<(PromiseId, Bytes, Duration)>,
    changes: Vec<Applied>,
}

/// What was told in one life.
#[derive(Debug, Default)]
pub struct Recall(Mutex<Known>);

impl Recall {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry has a place under this key.
    pub fn key(&self, key: WriteKey, entry: &Bytes, sent: Duration) {
        self.known().keys.push((key, entry.clone(), sent));
    }

    /// There is a receipt for an entry.
    pub fn promise(&self, id: PromiseId, entry: &Bytes, at: Duration) {
        self.known().promises.push((id, entry.clone(), at));
    }

    /// A change was decided.
    pub fn change(&self, applied: Applied) {
        self.known().changes.push(applied);
    }

    /// The stores are lost, and with them the keys, the receipts and the operations.
    pub fn lost(&self) {
        *self.known() = Known::default();
    }

    /// Asks a server for all of it.
    pub async fn ask(&self, world: &World) {
        let (age, mut dice) = (world.trace.age(), world.dice("recall"));
        let Some(running) = world.any_server(&mut dice) else {
            return;
        };
        let Some(log) = running.engine.log(LOG) else {
            return;
        };
        let known = std::mem::take(&mut *self.known());
        for (key, entry, at) in &known.keys {
            if *at + KEPT > age {
                let asked = keyed(world, &running, &log, *key, entry);
                let _ = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
            }
        }
        for (id, entry, at) in &known.promises {
            if *at + KEPT > age {
                let asked = promised(world, &log, *id, entry);
                let _ = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
            }
        }
        for applied in &known.changes {
            let asked = changed(world, &log, applied);
            let _ = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
        }
    }
}

/// The same entry under the same key has the same place.
async fn keyed(world: &World, running: &Running, log: &Arc<Log>, key: WriteKey, entry: &Bytes) {
    let answer = async {
        let tenant = log
            .policy()
            .tenant(None, UnixMillis::ZERO)
            .map_err(|_| AppendError::Closing)?;
        let advice = Advice::default();
        let ticket = log.submit_keyed(key, entry.clone(), tenant, &advice);
        ticket.await?.answer.await
    };
    let answer = tokio::select! {
        biased;
        () = running.process.dead() => return,
        answer = answer => answer,
    };
    match answer {
        Ok(at) => writer::placed(world, entry, &at),
        Err(AppendError::KeyReused) => {
            let what = format!("at the end: {}", String::from_utf8_lossy(entry));
            world.judge.object("a repeat is not another write", what);
        }
        // The log's limits may refuse it.
        Err(_) => {}
    }
}

/// What was promised is ordered, and its author is told where.
async fn promised(world: &World, log: &Log, id: PromiseId, entry: &Bytes) {
    match log.placement(id).await {
        Ok(Some(Placement::Ordered { at, .. })) => writer::placed(world, entry, &at),
        Ok(other) => {
            let what = format!("{}: {other:?}", String::from_utf8_lossy(entry));
            world.judge.object("promised work comes", what);
        }
        Err(_) => {}
    }
}

/// A change that was decided is in the history, as its author was told.
async fn changed(world: &World, log: &Log, applied: &Applied) {
    let Ok(found) = log.operation(&applied.operation).await else {
        return;
    };
    let same = found.as_ref().is_some_and(|found| {
        applied.time_ms.is_none_or(|time| time == found.time_ms)
            && applied.at_index.is_none_or(|at| at == found.at_index)
    });
    if !same {
        let what = format!("told {applied:?}, found {found:?}");
        world.judge.object("a repeat is not another change", what);
    }
}
