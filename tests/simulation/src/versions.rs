//! An upgrade: all servers begin with an older version, and every server that is started again has this one.
//!
//! An older server is the same program whose heartbeat names an older format of slots. It accepts what it is given, so what it would not have
//! understood is judged here: while it lives, nobody decides a slot in a newer format, or makes a change that it cannot read. A server
//! that has been silent counts as gone, as it does for the other servers. If it comes back and is given such a slot, it ends and is upgraded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use order::keys::{Keys, REPLICAS};
use order::slot::{ANNOUNCES, FORMAT};
use serde_json::Value;
use store::record;

use crate::plan::{Change, Plan};
use crate::process::Process;
use crate::random::Dice;
use crate::writer::LOG;

/// The oldest heartbeat by which a server surely counts as live, milliseconds: the others wait 10 s, and look every few seconds.
const FRESH_MS: u64 = 5_000;

/// Draws the older format in a few lives, from a stream of its own.
pub fn join(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed).fork("versions");
    if dice.chance(100_000) {
        plan.older = u32::try_from(dice.between(1, u64::from(FORMAT) - 1)).unwrap_or(0);
    }
}

/// An older server that runs.
#[derive(Debug)]
struct Older {
    process: Arc<Process>,
    /// The time in its heartbeat, as the store has it.
    beat: Option<u64>,
    /// The other servers may have taken it for gone.
    was_silent: bool,
}

impl Older {
    fn is_fresh(&self, now: u64) -> bool {
        self.beat.is_some_and(|beat| now <= beat + FRESH_MS)
    }
}

/// The servers that were not upgraded yet.
#[derive(Debug, Default)]
pub struct Upgrade {
    /// The newest format that they understand.
    format: u32,
    older: Mutex<BTreeMap<String, Older>>,
    /// Whether a process of this version was started.
    has_newer: AtomicBool,
}

impl Upgrade {
    /// The upgrade of servers that understand this format at most; 0: there is none.
    pub fn from(format: u32) -> Self {
        Self {
            format,
            ..Self::default()
        }
    }

    fn older(&self) -> MutexGuard<'_, BTreeMap<String, Older>> {
        self.older.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server starts, for the `times`-th time. Returns the newest format that it understands, if it is an older one.
    pub fn starts(&self, process: &Arc<Process>, times: u64) -> Option<u32> {
        if self.format == 0 || times > 1 {
            self.has_newer.store(true, Relaxed);
            return None;
        }
        let older = Older {
            process: Arc::clone(process),
            beat: None,
            was_silent: false,
        };
        self.older().insert(process.name.clone(), older);
        Some(self.format)
    }

    /// This process of a server ended.
    pub fn ended(&self, process: &Process) {
        self.older().remove(&process.name);
    }

    /// The servers that are left are upgraded.
    pub fn end(&self) {
        self.older().values().for_each(|older| older.process.kill());
    }

    /// A row was written by this process. The error says who is given a slot that it does not understand.
    ///
    /// # Errors
    /// A server that must have counted as live does not understand it.
    pub fn written(&self, by: &str, key: &str, row: &Bytes, now: u64) -> Result<(), String> {
        if key.starts_with(REPLICAS) {
            self.beats(by, row, now);
        }
        if self.format == 0 || !key.starts_with(&Keys::new(LOG).slots()) {
            return Ok(());
        }
        let slot: Value = record::decode(row).map_err(|e| e.to_string())?;
        match slot["format"].as_u64() {
            Some(format) if format > u64::from(self.format) => {
                self.given(&format!("{key} in format {format}"), now)
            }
            _ => Ok(()),
        }
    }

    fn beats(&self, by: &str, row: &Bytes, now: u64) {
        let mut all = self.older();
        let Some(older) = all.get_mut(by) else { return };
        let beat = record::decode::<Value>(row).ok();
        let beat = beat.and_then(|beat| beat["time"].as_u64());
        let first = older.beat.is_none();
        older.was_silent |= match first {
            true => self.has_newer.load(Relaxed),
            false => !older.is_fresh(now),
        };
        older.beat = beat;
        older.was_silent |= !older.is_fresh(now);
    }

    /// Older servers are given this. Those that were silent end.
    fn given(&self, what: &str, now: u64) -> Result<(), String> {
        let mut all = self.older();
        for (name, older) in &mut *all {
            if older.process.is_dead() {
                continue;
            }
            older.was_silent |= !older.is_fresh(now);
            if !older.was_silent {
                return Err(format!(
                    "{name}, which understands format {}: {what}",
                    self.format
                ));
            }
            older.process.kill();
        }
        Ok(())
    }

    /// A change was made.
    ///
    /// # Errors
    /// As for [`Upgrade::written`].
    pub fn made(&self, change: Change, now: u64) -> Result<(), String> {
        match change {
            Change::Announced(true) if (1..ANNOUNCES).contains(&self.format) => {
                self.given("a document about announced keys", now)
            }
            _ => Ok(()),
        }
    }
}

/// The heartbeat of a server that understands this format at most.
pub fn aged(key: &str, row: &Bytes, format: u32) -> Option<Bytes> {
    if !key.starts_with(REPLICAS) {
        return None;
    }
    let mut beat: Value = record::decode(row).ok()?;
    beat["format"] = format.into();
    Some(record::encode(&beat))
}
