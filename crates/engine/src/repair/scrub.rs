//! A slow check of everything that was published, so that damage is found before a reader meets it.
//!
//! One place at a time over all logs of a process: a bundle, the tiles from it up to the signed root, and with a shard's first bundle its
//! checkpoint and its seal. The scrub only reports a place as *suspected*; the same task as after a reader's report checks and repairs it.
//! The position is kept in memory: a restarted process begins at the first place.
//!
//! What must never happen: a check that delays writers. So nothing is checked while many entries wait for their publication.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tlog::{LeafIndex, TILE_WIDTH, TreeSize};

use crate::log::Log;
use order::state::Phase;

/// Places that are checked in a day. A log that was checked whole rests for this many, unless all logs were.
const DAY: u64 = 24 * 3600 / SCRUB_POLL.as_secs();
/// Pause between two places. At this rate, ten million entries take a day.
const SCRUB_POLL: Duration = Duration::from_secs(2);
/// With more ordered entries than this waiting for publication, the log is skipped for now.
const BACKLOG: u64 = 1024;

/// A place of a log: the shard's number, and the first leaf of a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct At {
    shard: usize,
    leaf: LeafIndex,
}

/// The place at `at` or after it; `None` behind the last one. `published` returns how many entries a shard has published, and whether more
/// will come: then its last bundle is left out, because it is still rewritten.
fn from(mut at: At, published: impl Fn(usize) -> Option<(TreeSize, bool)>) -> Option<At> {
    loop {
        let (size, grows) = published(at.shard)?;
        let size = if grows {
            size.back(size.get() % TILE_WIDTH)
        } else {
            size
        };
        if at.leaf.is_in(size) {
            return Some(at);
        }
        at = At {
            shard: at.shard + 1,
            leaf: LeafIndex::ZERO,
        };
    }
}

/// A log whose check has begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    /// The next place to check.
    at: At,
    /// How many places had been checked when it began.
    since: u64,
}

/// The position of the scrub.
#[derive(Debug, Default)]
struct Scrub {
    /// The log that was checked last.
    log: String,
    /// Places that were checked, of all logs.
    checked: u64,
    begun: BTreeMap<String, Begun>,
}

impl Scrub {
    /// The next place of these logs, sorted by name; `find` returns the place of a log at this one or after it. The logs take turns. One
    /// that was checked whole begins again after a day, or when no other has anything left.
    fn next(
        &mut self,
        logs: &[&str],
        find: impl Fn(usize, At) -> Option<At>,
    ) -> Option<(usize, At)> {
        let first = logs.partition_point(|log| *log <= self.log.as_str());
        let mut whole: Option<(u64, usize)> = None;
        let mut next = None;
        for log in (first..logs.len()).chain(0..first) {
            let begun = self.begun.get(logs[log]).copied();
            let at = begun.and_then(|begun| find(log, begun.at));
            next = match (begun, at) {
                (Some(begun), Some(at)) => Some((log, at, begun.since)),
                (Some(begun), None) if self.checked - begun.since < DAY => {
                    whole = Some(whole.map_or((begun.since, log), |w| w.min((begun.since, log))));
                    None
                }
                (_, None) => find(log, At::default()).map(|at| (log, at, self.checked)),
                (None, Some(_)) => None,
            };
            if next.is_some() {
                break;
            }
        }
        let again = || {
            let (_, log) = whole?;
            Some((log, find(log, At::default())?, self.checked))
        };
        let (log, at, since) = next.or_else(again)?;
        let begun = Begun {
            at: At {
                leaf: at.leaf + TILE_WIDTH,
                ..at
            },
            since,
        };
        self.checked += 1;
        self.begun.insert(logs[log].to_owned(), begun);
        logs[log].clone_into(&mut self.log);
        Some((log, at))
    }

    /// Reports the next place of the idle logs as suspected.
    fn step(&mut self, logs: &[Arc<Log>]) {
        let resting = |log: &&Arc<Log>| {
            let metrics = log.metrics();
            let (ordered, published) = (metrics.ordered.get(), metrics.published.get());
            !log.health.halt.is_halted() && ordered.saturating_sub(published) <= BACKLOG
        };
        let logs: Vec<_> = logs.iter().filter(resting).collect();
        let names: Vec<_> = logs.iter().map(|log| log.name()).collect();
        let find = |log: usize, at| {
            let of = logs[log];
            let state = of.ledger.state();
            let published = |number: usize| {
                let shard = state.shards.get(number)?;
                let size = of.shards.get(&state, &shard.identity.name);
                let size = size.map_or(TreeSize::ZERO, |shard| shard.published());
                let whole = matches!(shard.phase, Phase::Frozen { length, .. } if length == size);
                Some((size, !whole))
            };
            from(at, published)
        };
        let Some((log, at)) = self.next(&names, find) else {
            return;
        };
        let log = logs[log];
        let state = log.ledger.state();
        if let Some(shard) = state.shards.get(at.shard)
            && let Some(shard) = log.shards.get(&state, &shard.identity.name)
        {
            log.objects.damage.suspect(&shard.name, at.leaf);
        }
    }
}

/// Reports one place of these logs after the other as suspected.
pub(crate) async fn run(logs: impl Fn() -> Vec<Arc<Log>>) {
    let mut scrub = Scrub::default();
    loop {
        tokio::time::sleep(SCRUB_POLL).await;
        scrub.step(&logs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_take_turns_and_short_ones_do_not_come_for_ever() {
        let bundles = [0, 1_000_000, 2, 1];
        let names = ["empty", "long", "short", "tiny"];
        let find = |log: usize, at| {
            from(at, |shard| {
                (shard == 0).then_some((TreeSize::new(bundles[log] * 256), false))
            })
        };
        let mut scrub = Scrub::default();
        let next = |scrub: &mut Scrub| {
            let (log, at) = scrub.next(&names, find).unwrap();
            (names[log], at.leaf.get() / 256)
        };
        let begin: Vec<_> = (0..6).map(|_| next(&mut scrub)).collect();
        let long = |n| ("long", n);
        assert_eq!(
            begin,
            [
                long(0),
                ("short", 0),
                ("tiny", 0),
                long(1),
                ("short", 1),
                long(2)
            ]
        );
        let day: Vec<_> = (0..DAY).map(|_| next(&mut scrub)).collect();
        let others = day.iter().filter(|(log, _)| *log != "long").count();
        assert_eq!(others, 3, "once a day");
        // If no other log is left, they come at once.
        let (names, mut scrub) = (["short", "tiny"], Scrub::default());
        let find = |log: usize, at| find(log + 2, at);
        let all: Vec<_> = (0..6)
            .map(|_| scrub.next(&names, find).unwrap().0)
            .collect();
        assert_eq!(all, [0, 1, 0, 0, 0, 1]);
    }

    #[test]
    fn every_bundle_of_every_shard_comes_once() {
        // Rotated out, empty, rotated out exactly full, and one that grows.
        let sizes = [(600, false), (0, false), (512, false), (300, true)];
        let published = |number: usize| {
            let (size, grows) = sizes.get(number)?;
            Some((TreeSize::new(*size), *grows))
        };
        let (mut at, mut all) = (At::default(), Vec::new());
        while let Some(found) = from(at, published) {
            all.push((found.shard, found.leaf.get()));
            at = At {
                leaf: found.leaf + TILE_WIDTH,
                ..found
            };
        }
        assert_eq!(all, [(0, 0), (0, 256), (0, 512), (2, 0), (2, 256), (3, 0)]);
        assert_eq!(from(At::default(), |_| None), None);
    }
}
