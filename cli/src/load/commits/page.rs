//! The result of a run of `load commits`, and its page for people.

use std::collections::BTreeMap;

use serde::Serialize;

use super::history::{Checked, Told, Write};
use crate::load::figures::{latency, thousands};
use crate::report::{Block, Cell, Page, Present, Tone};

/// What was done and what was found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitsReport {
    /// Holds the servers' folder and what they said; `None` when it was removed.
    pub(crate) folder: Option<String>,
    pub(crate) writers: u32,
    pub(crate) processes: usize,
    pub(crate) store_delay_ms: u64,
    /// Repeats the order of what is done to the servers.
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) interrupted: bool,
    /// Entries acknowledged a second.
    pub(crate) entries_per_second: f64,
    /// Times until an acknowledgement.
    pub(crate) acknowledged: Times,
    /// How often each kind of thing was done.
    pub(crate) trouble: BTreeMap<&'static str, u64>,
    /// Exit codes of operators' commands that did not end well, and how often.
    pub(crate) operations: BTreeMap<i32, u64>,
    /// Servers that did not stop by themselves at the end, or said on the way that something is wrong.
    pub(crate) servers: Vec<String>,
    /// The comparison of what the writers were told with the log; `None` when it was not made.
    pub(crate) checked: Option<Checked>,
    /// What `logd fsck` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fsck: Option<String>,
}

/// Times, milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Times {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Times {
    /// Of the acknowledged writes.
    pub(crate) fn of(writes: &[Write]) -> Self {
        let acknowledged = writes.iter().filter(|w| matches!(w.told, Told::At(_)));
        let mut micros: Vec<u64> = acknowledged.map(|w| w.took_micros).collect();
        micros.sort_unstable();
        let at = |per_mille: usize| {
            let last = micros.len().saturating_sub(1);
            micros
                .get(last * per_mille / 1000)
                .map_or(0.0, |us| *us as f64 / 1e3)
        };
        Self {
            p50_ms: at(500),
            p99_ms: at(990),
            max_ms: at(1000),
        }
    }
}

impl CommitsReport {
    /// How many things are wrong.
    pub(crate) fn wrong(&self) -> usize {
        let checked = self.checked.as_ref().map_or(0, Checked::wrong);
        let checked = usize::try_from(checked).unwrap_or(usize::MAX);
        checked + self.servers.len() + usize::from(self.fsck.is_some())
    }
}

impl Present for CommitsReport {
    const KIND: &'static str = "CommitsReport";

    fn page(&self) -> Page {
        let count = |n: u64| Cell::from(thousands(n as f64));
        let bad = |n: u64| {
            let tone = if n > 0 { Tone::Bad } else { Tone::Good };
            Cell::toned(thousands(n as f64), tone)
        };
        let mut fields = vec![
            (
                "setup",
                Cell::from(format!(
                    "{} writers, {} servers, {} ms per operation of the stores, seed {}",
                    self.writers, self.processes, self.store_delay_ms, self.seed
                )),
            ),
            ("time", format!("{:.1} s", self.seconds).into()),
        ];
        let done: Vec<String> = self
            .trouble
            .iter()
            .map(|(what, n)| format!("{what} {n}"))
            .collect();
        fields.push(("done to them", done.join(", ").into()));
        if !self.operations.is_empty() {
            let codes = self.operations.iter();
            let codes: Vec<String> = codes.map(|(code, n)| format!("exit {code}: {n}")).collect();
            fields.push(("not at once", codes.join(", ").into()));
        }
        let rate = format!(
            "{}/s, p50 {}, p99 {}, max {}",
            thousands(self.entries_per_second),
            latency(self.acknowledged.p50_ms),
            latency(self.acknowledged.p99_ms),
            latency(self.acknowledged.max_ms)
        );
        fields.push(("acknowledged", rate.into()));
        let mut page = Page::new();
        if let Some(checked) = &self.checked {
            let refused = checked.refused.iter();
            let refused: Vec<String> = refused.map(|(why, n)| format!("{why} {n}")).collect();
            let refused = if refused.is_empty() {
                "-".into()
            } else {
                refused.join(", ")
            };
            fields.extend([
                ("in the log", count(checked.entries)),
                ("told an index", count(checked.acknowledged)),
                ("refused", refused.into()),
                (
                    "told nothing",
                    Cell::from(format!(
                        "{}, of them in the log {}",
                        checked.unknown, checked.unknown_ordered
                    )),
                ),
                ("lost", bad(checked.lost)),
                ("misplaced", bad(checked.misplaced)),
                ("doubled", bad(checked.doubled)),
                ("refused, yet in the log", bad(checked.refused_ordered)),
                ("written by nobody", bad(checked.strange)),
            ]);
        }
        page = page.with(Block::Fields(fields));
        let examples = self.checked.iter().flat_map(|c| &c.examples);
        let wrong = examples.chain(&self.servers).chain(&self.fsck);
        for text in wrong {
            page = page.with(Block::Text(text.clone()));
        }
        if let Some(folder) = &self.folder {
            page = page.with(Block::Text(format!("kept in {folder}")));
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::commits::history::{check, entry};

    fn report() -> CommitsReport {
        let write = |number, told| Write {
            writer: 1,
            number,
            server: 0,
            began_ms: 0,
            took_micros: 1_000 * (number + 1),
            told,
        };
        let writes = [
            write(0, Told::At(0)),
            write(1, Told::At(7)),
            write(2, Told::Refused("frozen".into())),
            write(3, Told::Unknown("no answer".into())),
        ];
        let log = [0, 1, 3].map(|n| entry(9, 1, n).into_bytes());
        CommitsReport {
            folder: Some("/tmp/run".into()),
            writers: 16,
            processes: 3,
            store_delay_ms: 5,
            seed: 42,
            seconds: 30.25,
            interrupted: false,
            entries_per_second: 812.5,
            acknowledged: Times::of(&writes),
            trouble: BTreeMap::from([("killed", 2), ("frozen and opened", 1)]),
            operations: BTreeMap::from([(9, 1)]),
            servers: Vec::new(),
            checked: Some(check(9, &writes, &log)),
            fsck: None,
        }
    }

    #[test]
    fn documents() {
        insta::assert_json_snapshot!(report());
        assert_eq!(report().wrong(), 1);
    }

    #[test]
    fn pages() {
        let page = format!("{:#?}", report().page());
        for text in [
            "acknowledged at 7, is at [1]",
            "kept in /tmp/run",
            "exit 9: 1",
        ] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
    }
}
