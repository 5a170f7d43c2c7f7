//! The outside auditor: recomputes a log from what any reader can fetch, and believes none of it.
//!
//! It is pure over a [`Source`]. From the checkpoint of each shard, whose signature it checks with the key in the
//! shard list, it goes down: entry bundles are hashed to leaves, leaves compared with the tiles, each tile recomputed
//! from the one below, the root compared with the checkpoint. A log that grows meanwhile is fine: only the size of the
//! checkpoint read first is audited. Memory does not grow with the log.
//!
//! What must never happen: a difference is missed, or blamed on the wrong file without need. If a bundle, its tile and the tile above
//! disagree, two of them agree, and the third is named.

mod inclusion;
mod listing;
mod report;
mod shard;
mod tree;

#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

pub(crate) use inclusion::{included, key_of};
use listing::{Listed, State};
use report::Findings;
pub(crate) use report::{Finding, Report, SealState, ShardReport, Totals};

/// How many files are fetched ahead, in pairs. With the largest entries a pair is 16 MiB.
const AHEAD: usize = 16;

/// How often the shard list is read again because a rotation came between it and the checkpoints.
const ROUNDS: usize = 10;

/// The source of the files of one log.
pub trait Source: Sync {
    /// The file at a path below the log's public address, as `2026a/tile/0/000`; `None` if there is no such file.
    fn get(&self, path: &str) -> impl Future<Output = Result<Option<Vec<u8>>, SourceError>> + Send;
}

/// A file could not be fetched, so that nothing is known about it. The audit ends.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct SourceError {
    /// The path asked for.
    pub path: String,
    /// Why the server could not be read.
    #[source]
    pub source: Box<dyn StdError + Send + Sync>,
}

impl SourceError {
    /// An error of any kind, or a text, about a path.
    pub fn new(path: &str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The log's name: findings name files as `<log>/<shard>/…`.
    pub(crate) log: String,
    /// The shards to audit; all of them if empty. The list itself is always checked whole.
    pub(crate) shards: Vec<String>,
    /// How long a shard that was rotated out may still take until it is published and sealed.
    pub(crate) settle: Duration,
    /// Whether entries are also served by their global index (`entries/N`), of which a sample is then compared.
    pub(crate) by_index: bool,
}

/// Audits a log from the outside. `progress` is told the entries done and to do.
///
/// Faults of the log are in the report.
///
/// # Errors
/// [`SourceError`] if a file could not be fetched (one that does not exist is a finding instead).
pub(crate) async fn audit<S: Source>(
    source: &S,
    options: &Options,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Report, SourceError> {
    let mut findings = Findings::new(&options.log);
    let Some(Snapshot {
        listed,
        checkpoints,
    }) = snapshot(source, &mut findings).await?
    else {
        return Ok(Report::new(Vec::new(), findings));
    };
    listing::check(&listed, &mut findings);
    for name in &options.shards {
        if !listed.iter().any(|shard| shard.name == *name) {
            findings.add(
                "no-such-shard",
                listing::PATH,
                format!("shard {name} is not in the list"),
            );
        }
    }
    let mut heads = Vec::new();
    for (at, (shard, note)) in listed.iter().zip(checkpoints).enumerate() {
        if options.shards.is_empty() || options.shards.contains(&shard.name) {
            let opened = listed[at + 1..]
                .iter()
                .filter(|later| later.state != State::Planned);
            let rotated_out = shard.state == State::Frozen && opened.count() > 0;
            let successor = listed.get(at + 1).filter(|_| rotated_out);
            heads.push(shard::head(source, options, shard, successor, note).await?);
        }
    }
    let total = heads
        .iter()
        .filter_map(shard::Head::size)
        .fold(0, u64::saturating_add);
    let mut done = 0;
    progress(done, total);
    let mut reports = Vec::new();
    for head in heads {
        let mut advance = |entries| {
            done += entries;
            progress(done, total);
        };
        reports.push(shard::audit(source, head, &mut advance).await?);
    }
    Ok(Report::new(reports, findings))
}

/// The shard list and each shard's checkpoint.
struct Snapshot {
    listed: Vec<Listed>,
    checkpoints: Vec<Option<Vec<u8>>>,
}

/// Reads the list and the checkpoints while no shard changes its state. `None`: there is no usable list.
async fn snapshot<S: Source>(
    source: &S,
    findings: &mut Findings,
) -> Result<Option<Snapshot>, SourceError> {
    let mut bytes = source.get(listing::PATH).await?;
    let mut rounds = ROUNDS;
    loop {
        let listed = match listing::parse(bytes.as_deref()) {
            Ok(listed) => listed,
            Err(message) => {
                findings.add("list-invalid", listing::PATH, message);
                return Ok(None);
            }
        };
        let paths = listed.iter().map(Listed::checkpoint_path);
        let checkpoints = stream::iter(paths)
            .map(|path| async move { source.get(&path).await })
            .buffered(AHEAD)
            .try_collect()
            .await?;
        let again = source.get(listing::PATH).await?;
        let unchanged = listing::parse(again.as_deref())
            .is_ok_and(|again| listing::same_states(&again, &listed));
        rounds -= 1;
        if unchanged || rounds == 0 {
            return Ok(Some(Snapshot {
                listed,
                checkpoints,
            }));
        }
        bytes = again;
    }
}
