//! The judge of the rows: how many of each kind may be left in the coordination store when all is calm.
//!
//! What is bounded, is bounded by what was asked for and by who took part, never by how long the log has lived. A kind that is not known here
//! is a violation: whoever adds one says what bounds it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;

use order::keys::Keys;
use store::record;

use crate::copies::StoreRows;
use crate::world::World;

/// The most announcements and batches that nothing deletes before the floor passes them, beside those of writes that failed.
const LEFT: u64 = 64;
/// Marks of the age of slots: one for each hour of the seven days for which places are kept, and two more.
const MARKS: u64 = 7 * 24 + 2;
/// The most parts of a document, in a store that takes small rows only.
const PARTS: u64 = 32;
/// Requests of the founder of the log.
const FOUNDER: u64 = 100;
/// More slots than twice the window: those that were decided after the last publication.
const UNCOLLECTED: u64 = 64;

/// What the bounds follow from.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// For how many slots an announcement counts.
    pub window: u64,
    /// Requests of operators, repeated ones as well.
    pub requests: u64,
    /// Processes that were started.
    pub processes: u64,
    /// Secondaries, each with every disk that it had.
    pub secondaries: u64,
    /// Storage nodes that there are.
    pub nodes: u64,
    /// Frontends that there are.
    pub frontends: u64,
    /// Minutes in which somebody may have written.
    pub minutes: u64,
    /// Writes that nobody acknowledged.
    pub failed: u64,
}

/// What the bounds of one log follow from, beside that.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfLog {
    /// All shards, planned ones as well.
    pub shards: u64,
    /// How many entries were found at the end.
    pub entries: u64,
    /// Batches that are named by slots which are not deleted.
    pub named: u64,
}

/// Judges the rows of a life that is over.
///
/// # Errors
/// The kinds that there is too much of.
pub fn judge(world: &World, rows: &StoreRows) -> Result<(), String> {
    let secondaries = world.network.secondaries.iter();
    let counts = world.judge.counts();
    let facts = Facts {
        window: world.plan.short.window,
        requests: world.requests.load(Relaxed) + FOUNDER,
        processes: world.started.load(Relaxed),
        secondaries: secondaries.map(|one| one.disks()).sum(),
        nodes: world.plan.nodes.count.into(),
        frontends: world.plan.frontends.into(),
        minutes: world.trace.awake().as_secs() / 60 + world.plan.events.len() as u64 + 2,
        failed: counts.asked.saturating_sub(counts.acked),
    };
    let logs = world.shown().into_iter().map(|(log, shards)| {
        let entries = world.judge.entries(&log);
        let named = named(rows, &log);
        let of_log = OfLog {
            shards,
            entries,
            named,
        };
        (log, of_log)
    });
    bounded(rows, &facts, &logs.collect())
}

/// How many batches the slots of a log name.
fn named(rows: &StoreRows, log: &str) -> u64 {
    let slots = Keys::new(log).slots();
    let all = rows.range(slots.clone()..);
    let all = all.take_while(|(key, _)| key.starts_with(&slots));
    let batches = all.filter_map(|(_, row)| {
        let slot: serde_json::Value = record::decode(row).ok()?;
        Some(slot["batches"].as_array()?.len() as u64)
    });
    batches.sum()
}

/// How many rows there are of each kind, by log; the log is empty for rows of the whole store.
pub fn count(rows: &StoreRows) -> BTreeMap<(&str, &str), u64> {
    let mut counts = BTreeMap::new();
    for key in rows.keys() {
        let (log, rest) = match key.strip_prefix("log/") {
            Some(rest) => rest.split_once('/').unwrap_or(("", rest)),
            None => ("", key.as_str()),
        };
        let kind = rest.split('/').next().unwrap_or_default();
        *counts.entry((log, kind)).or_default() += 1;
    }
    counts
}

/// Checks the number of rows of each kind; `logs` are those that servers know.
///
/// # Errors
/// The kinds that there is too much of.
pub fn bounded(
    rows: &StoreRows,
    facts: &Facts,
    logs: &BTreeMap<String, OfLog>,
) -> Result<(), String> {
    let counts = count(rows);
    let names: BTreeSet<&str> = counts.keys().map(|(log, _)| *log).collect();
    let mut wrong = Vec::new();
    for ((log, kind), count) in &counts {
        let history = counts.get(&(*log, "history")).copied().unwrap_or(0);
        let of_log = logs.get(*log).copied();
        let bound = match (log.is_empty(), of_log) {
            (true, _) => of_store(kind, facts, names.len() as u64),
            (false, Some(of_log)) => of_one(kind, facts, of_log, history),
            // A log that was never made to its end.
            (false, None) => Some(facts.requests),
        };
        if bound.is_none_or(|bound| *count > bound) {
            wrong.push(format!("{count} of {log}/{kind}, at most {bound:?}"));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{wrong:?}, {facts:?}, {logs:?}")),
    }
}

/// The bound for rows of the whole store, where `logs` logs have rows.
fn of_store(kind: &str, facts: &Facts, logs: u64) -> Option<u64> {
    Some(match kind {
        // One log is imported in a life, or none.
        "audit" | "clock" | "importing" => 1,
        "logs" | "origin" | "restoring" => logs + 1,
        "replica" => facts.processes,
        "runs" => facts.processes * logs,
        "memory" => LEFT,
        _ => return None,
    })
}

/// The bound for rows of one log, in whose history so many changes are.
fn of_one(kind: &str, facts: &Facts, log: OfLog, history: u64) -> Option<u64> {
    // What a request leaves although it is refused: of a process's own there are at most as many for each that was decided.
    let asked = facts.requests + history * facts.processes;
    Some(match kind {
        "slot" => 2 * facts.window + UNCOLLECTED,
        "bag" | "unnamed" => facts.failed + LEFT,
        "queue" => LEFT,
        // A publication deletes them; what it could not, goes with the slot.
        "batch" => log.named + LEFT,
        "mark" => MARKS,
        // Two ends of an upload for each part at most.
        "placed" => 2 * log.entries,
        "root" | "published" | "integrated" | "shard" => log.shards,
        "key" => log.shards + asked,
        "document" => asked,
        "document-part" => asked * PARTS,
        // A restored log took over those of an earlier store, whose history it does not have.
        "history" | "inherited" => asked,
        "operation" | "generation" => history,
        "probation" | "probation-base" | "probation-ended" => asked,
        "verified" => log.shards * facts.secondaries,
        "secondary" | "storage" | "manifest" | "gone" => facts.secondaries,
        "dist" => log.shards * facts.frontends,
        "leaving" => facts.nodes,
        "snapshot" | "page" => 4,
        "arrivals" => facts.minutes * facts.processes,
        "closing" | "forgotten" | "handover" | "sealed" | "floor" | "replication-key"
        | "restored" | "life" | "announced" | "storage-from" | "release-from" => 1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_kind_that_is_not_known_and_one_too_many_are_found() {
        let facts = Facts {
            window: 4,
            requests: 3,
            processes: 1,
            secondaries: 0,
            nodes: 0,
            frontends: 0,
            minutes: 1,
            failed: 0,
        };
        let of_log = OfLog {
            shards: 1,
            entries: 2,
            named: 0,
        };
        let logs = BTreeMap::from([("dev".to_owned(), of_log)]);
        let mut rows = StoreRows::new();
        let mut put = |key: &str| {
            rows.insert(key.to_owned(), Bytes::new());
            bounded(&rows, &facts, &logs)
        };
        assert_eq!(put("log/dev/root/a/1"), Ok(()));
        assert!(
            put("log/dev/root/a/2")
                .unwrap_err()
                .contains("2 of dev/root")
        );
        rows.clear();
        rows.insert("log/dev/new/1".to_owned(), Bytes::new());
        let said = bounded(&rows, &facts, &logs).unwrap_err();
        assert!(said.contains("1 of dev/new, at most None"), "{said}");
    }
}
