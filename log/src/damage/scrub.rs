//! A slow check of everything that was published, so that damage is found before a reader meets it.
//!
//! One place at a time over all logs of a process: a bundle, the tiles from it up to the signed root, and with a shard's first bundle
//! its checkpoint and its seal. The scrub only reports a place as *suspected*; the same task as after a reader's report checks and
//! repairs it. The position is kept in memory: a process that starts again begins at the beginning.
//!
//! What must never happen: a check that writers wait for. So nothing is checked while entries wait for their publication.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tlog::TILE_WIDTH;

use crate::engine::Engine;
use crate::log::Log;
use crate::order::state::Phase;

/// Between two places. Ten million entries take a day.
const PAUSE: Duration = Duration::from_secs(2);
/// Ordered entries that wait for publication: with more of them, the log is skipped for now.
const BACKLOG: u64 = 1024;

/// A place of a log: the shard's number, and the first leaf of a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct At {
    shard: usize,
    leaf: u64,
}

/// The place at `at` or after it; `None` behind the last one. `published` tells a shard's published entries, and whether more
/// will come: then its last bundle is left out, because it is still rewritten.
fn from(mut at: At, published: impl Fn(usize) -> Option<(u64, bool)>) -> Option<At> {
    loop {
        let (size, grows) = published(at.shard)?;
        let size = if grows {
            size - size % TILE_WIDTH
        } else {
            size
        };
        if at.leaf < size {
            return Some(at);
        }
        at = At {
            shard: at.shard + 1,
            leaf: 0,
        };
    }
}

/// The position of the scrub.
#[derive(Debug, Default)]
struct Scrub {
    /// The log that is being checked.
    log: String,
    /// The next place, for each log that was begun.
    begun: BTreeMap<String, At>,
}

impl Scrub {
    /// Suspects the next place: of the same log to its end, then of the next that is at rest.
    fn step(&mut self, logs: &[Arc<Log>]) {
        let first = logs.partition_point(|log| log.name() < self.log.as_str());
        let (before, after) = logs.split_at(first);
        for log in after.iter().chain(before) {
            let (core, metrics) = (&log.core, log.metrics());
            let waiting = metrics
                .ordered
                .get()
                .saturating_sub(metrics.published.get());
            if core.halt.is_halted() || waiting > BACKLOG {
                continue;
            }
            let at = self.begun.remove(log.name()).unwrap_or_default();
            let state = core.order.state();
            let published = |number: usize| {
                let shard = state.shards.get(number)?;
                let size = core.shards.get(&state, &shard.identity.name);
                let size = size.map_or(0, |shard| shard.published());
                let whole = matches!(shard.phase, Phase::Frozen { length, .. } if length == size);
                Some((size, !whole))
            };
            let Some(at) = from(at, published) else {
                continue;
            };
            if let Some(shard) = state.shards.get(at.shard)
                && let Some(shard) = core.shards.get(&state, &shard.identity.name)
            {
                core.damage.suspect(&shard.name, at.leaf);
            }
            let next = At {
                leaf: at.leaf + TILE_WIDTH,
                ..at
            };
            self.begun.insert(log.name().to_owned(), next);
            self.log = log.name().to_owned();
            return;
        }
    }
}

/// Suspects one place after the other for as long as the engine runs.
pub(crate) async fn run(engine: Arc<Engine>) {
    if !engine.merge.writes {
        // Nobody looks at what is suspected.
        return std::future::pending().await;
    }
    let mut scrub = Scrub::default();
    loop {
        tokio::time::sleep(PAUSE).await;
        scrub.step(&engine.all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundle_of_every_shard_comes_once() {
        // Rotated out, empty, rotated out exactly full, and one that grows.
        let sizes = [(600, false), (0, false), (512, false), (300, true)];
        let published = |number: usize| sizes.get(number).copied();
        let (mut at, mut all) = (At::default(), Vec::new());
        while let Some(found) = from(at, published) {
            all.push((found.shard, found.leaf));
            at = At {
                leaf: found.leaf + TILE_WIDTH,
                ..found
            };
        }
        assert_eq!(all, [(0, 0), (0, 256), (0, 512), (2, 0), (2, 256), (3, 0)]);
        assert_eq!(from(At::default(), |_| None), None);
    }
}
