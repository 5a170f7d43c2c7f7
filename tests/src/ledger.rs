//! Every acknowledgement against the log: each acknowledged entry is at its index with its bytes, and no entry is in the
//! log twice, whether its writer heard an answer or not.

use std::collections::HashMap;

use anyhow::{Result, bail, ensure};
use tlog_tiles::{Hash, record_hash};

use crate::auditor::Found;
use crate::load::{Outcome, Report};

/// Expectations from one or more runs, ticked off as an auditor walks the log.
#[derive(Default)]
pub struct Ledger {
    runs: Vec<Report>,
    /// (global index, run, connection, sequence), sorted.
    expected: Vec<(u64, u32, u32, u32)>,
    next: usize,
    /// Shortened leaf hashes of all entries seen.
    seen: Vec<u128>,
    /// Shortened leaf hashes of entries that were definitely refused.
    refused: Vec<u128>,
}

impl Ledger {
    /// Takes over what a run was told.
    ///
    /// # Errors
    /// When an index was given to two writes.
    pub fn add(&mut self, report: Report) -> Result<()> {
        let run = self.runs.len() as u32;
        for (connection, writes) in report.writes.iter().enumerate() {
            for (sequence, write) in writes.iter().enumerate() {
                match write.outcome {
                    Outcome::Acknowledged(index) => {
                        self.expected
                            .push((index, run, connection as u32, sequence as u32));
                    }
                    // 500 says that the outcome could not be learned; every other refusal is definite.
                    Outcome::Refused(500) | Outcome::Unknown => {}
                    Outcome::Refused(_) => {
                        let mut entry = Vec::new();
                        (report.entries)(connection as u32, sequence as u32, &mut entry);
                        self.refused.push(short(&record_hash(&entry)));
                    }
                }
            }
        }
        self.runs.push(report);
        self.expected.sort_unstable();
        for pair in self.expected.windows(2) {
            if let [(a, ..), (b, ..)] = pair
                && a == b
            {
                bail!("index {a} was given to two writes");
            }
        }
        Ok(())
    }

    /// Number of acknowledged writes.
    pub fn acknowledged(&self) -> u64 {
        self.expected.len() as u64
    }

    /// Begins a new walk through the log.
    pub fn rewind(&mut self) {
        self.next = 0;
        self.seen.clear();
    }

    /// Ticks off one entry of the walk; entries come in the order of the global index.
    ///
    /// # Errors
    /// When another entry was acknowledged at this index, or this is not at an index at all that follows.
    pub fn see(&mut self, found: &Found<'_>) -> Result<()> {
        self.seen.push(short(&found.leaf));
        let Some(&(index, run, connection, sequence)) = self.expected.get(self.next) else {
            return Ok(());
        };
        if index > found.index {
            return Ok(());
        }
        ensure!(
            index == found.index,
            "the entry acknowledged at {index} is missing"
        );
        let mut entry = Vec::new();
        (self.runs[run as usize].entries)(connection, sequence, &mut entry);
        ensure!(
            entry == found.bytes,
            "at index {index}: {:?}, but {:?} was acknowledged there",
            String::from_utf8_lossy(found.bytes),
            String::from_utf8_lossy(&entry)
        );
        self.next += 1;
        Ok(())
    }

    /// Ends the walk.
    ///
    /// # Errors
    /// When an acknowledged entry was not there, or an entry is in the log twice.
    pub fn close(&mut self) -> Result<()> {
        if let Some((index, ..)) = self.expected.get(self.next) {
            bail!(
                "{} acknowledged entries are missing, the first at {index}",
                self.expected.len() - self.next
            );
        }
        self.seen.sort_unstable();
        let twice = self
            .seen
            .windows(2)
            .filter(|pair| pair[0] == pair[1])
            .count();
        ensure!(twice == 0, "{twice} entries are in the log twice");
        let refused = self
            .refused
            .iter()
            .filter(|leaf| self.seen.binary_search(leaf).is_ok())
            .count();
        ensure!(
            refused == 0,
            "{refused} entries are in the log though they were refused"
        );
        Ok(())
    }

    /// How many writes had which outcome other than an index.
    pub fn failures(&self) -> HashMap<String, u64> {
        let mut counts = HashMap::new();
        for write in self.runs.iter().flat_map(Report::all) {
            let what = match write.outcome {
                Outcome::Acknowledged(_) => continue,
                Outcome::Refused(status) => status.to_string(),
                Outcome::Unknown => "no answer".to_owned(),
            };
            *counts.entry(what).or_default() += 1;
        }
        counts
    }
}

/// The first half of a hash: enough to tell entries apart, in half the memory.
fn short(hash: &Hash) -> u128 {
    hash.0
        .iter()
        .take(16)
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}
