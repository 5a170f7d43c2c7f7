//! One shard: its checkpoint, its seal, its tree, and a sample of its entries by global index.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tlog::{Checkpoint, Hash, Seal, VerifierKey, empty_root, leaf_hash};
use tokio::time::Instant;

use super::listing::{Listed, State};
use super::report::{Findings, SealState, ShardReport};
use super::{AHEAD, Options, Source, SourceError, tree};

/// How long to wait before another read of what is about to be published.
const POLL: Duration = Duration::from_millis(20);

/// A shard whose checkpoint and seal are read and checked, and whose tree is not.
pub(super) struct Head<'a> {
    shard: &'a Listed,
    checkpoint: Option<Checkpoint>,
    seal: SealState,
    /// Whether to read some entries by their global index.
    by_index: bool,
    findings: Findings,
}

impl Head<'_> {
    /// The entries to audit.
    pub(super) fn size(&self) -> Option<u64> {
        self.checkpoint.as_ref().map(|checkpoint| checkpoint.size)
    }
}

/// Reads and checks a shard's checkpoint and seal. A rotated-out shard has a `successor`, and gets time to be published and sealed.
pub(super) async fn head<'a, S: Source>(
    source: &S,
    options: &Options,
    shard: &'a Listed,
    successor: Option<&Listed>,
    mut note: Option<Vec<u8>>,
) -> Result<Head<'a>, SourceError> {
    let mut findings = Findings::new(&options.log);
    let path = shard.checkpoint_path();
    let mut read = |vkey: &str| {
        let message = match vkey.parse::<VerifierKey>() {
            Ok(key) if key.name() == shard.origin => return Some(key),
            Ok(key) => format!(
                "the key of shard {} is named {}, not {}",
                shard.name,
                key.name(),
                shard.origin
            ),
            Err(error) => format!("the key of shard {}: {error}", shard.name),
        };
        findings.add("shard-key", super::listing::PATH, message);
        None
    };
    let key = read(&shard.vkey);
    let second: Option<Vec<VerifierKey>> = shard.ecdsa_vkey.iter().map(|vkey| read(vkey)).collect();
    let (Some(key), Some(second)) = (key, second) else {
        return Ok(Head {
            shard,
            checkpoint: None,
            seal: SealState::None,
            by_index: options.by_index,
            findings,
        });
    };
    let deadline = Instant::now() + options.settle;
    let (checkpoint, seal) = loop {
        let keys: Vec<&VerifierKey> = second.iter().chain([&key]).collect();
        let checkpoint = open(note.as_deref(), &keys);
        let seal = match successor {
            Some(_) => source.get(&shard.seal_path()).await?,
            None => None,
        };
        let published = match (&checkpoint, shard.length) {
            (Ok(checkpoint), Some(length)) => checkpoint.size >= length,
            _ => true,
        };
        if published && (successor.is_none() || seal.is_some()) || Instant::now() >= deadline {
            break (checkpoint, seal);
        }
        tokio::time::sleep(POLL).await;
        note = source.get(&path).await?;
    };
    let checkpoint = match checkpoint {
        Ok(checkpoint) => {
            sizes(shard, &checkpoint, &mut findings);
            Some(checkpoint)
        }
        Err((code, message)) => {
            findings.add(code, &path, message);
            None
        }
    };
    let seal = match (successor, seal) {
        (None, _) => SealState::None,
        (Some(_), None) => {
            let message = "the shard was rotated out, but has no seal".to_owned();
            findings.add("seal-missing", &shard.seal_path(), message);
            SealState::Missing
        }
        (Some(successor), Some(note)) => {
            match sealed(&note, &key, checkpoint.as_ref(), successor) {
                Ok(()) => SealState::Ok,
                Err((code, message)) => {
                    findings.add(code, &shard.seal_path(), message);
                    SealState::Invalid
                }
            }
        }
    };
    Ok(Head {
        shard,
        checkpoint,
        seal,
        by_index: options.by_index,
        findings,
    })
}

type Problem = (&'static str, String);

fn text(note: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(note).map_err(|_| "not text in UTF-8".to_owned())
}

fn open(note: Option<&[u8]>, keys: &[&VerifierKey]) -> Result<Checkpoint, Problem> {
    let note = note.ok_or(("missing", "the shard has no checkpoint".to_owned()))?;
    let opened = text(note)
        .and_then(|note| Checkpoint::open_all(note, keys).map_err(|error| error.to_string()));
    opened.map_err(|message| ("checkpoint-invalid", message))
}

/// The checkpoint's size against the shard's state.
fn sizes(shard: &Listed, checkpoint: &Checkpoint, findings: &mut Findings) {
    let (path, size) = (shard.checkpoint_path(), checkpoint.size);
    match (shard.state, shard.length) {
        (State::Planned, _) if size > 0 => {
            findings.add(
                "size-mismatch",
                &path,
                format!("the shard is not open yet, but has {size} entries"),
            );
        }
        (State::Frozen, Some(length)) if size != length => {
            let message = format!(
                "the shard is frozen at {length} entries, but its checkpoint covers {size}"
            );
            findings.add(
                if size < length {
                    "unpublished"
                } else {
                    "size-mismatch"
                },
                &path,
                message,
            );
        }
        _ => {}
    }
}

fn sealed(
    note: &[u8],
    key: &VerifierKey,
    checkpoint: Option<&Checkpoint>,
    successor: &Listed,
) -> Result<(), Problem> {
    let opened =
        text(note).and_then(|note| Seal::open(note, key).map_err(|error| error.to_string()));
    let seal = opened.map_err(|message| ("seal-invalid", message))?;
    let mismatch = |message| Err(("seal-mismatch", message));
    if let Some(Checkpoint { size, root, .. }) = checkpoint {
        if seal.size != *size {
            return mismatch(format!(
                "sealed with {} entries, but the checkpoint covers {size}",
                seal.size
            ));
        }
        if seal.root != *root {
            return mismatch(format!(
                "sealed with root {}, but the checkpoint has {root}",
                seal.root
            ));
        }
    }
    if seal.successor_origin != successor.origin {
        let next = &successor.origin;
        return mismatch(format!(
            "sealed in favour of {}, but {next} follows",
            seal.successor_origin
        ));
    }
    if seal.successor_key.to_string() != successor.vkey {
        return mismatch(format!(
            "sealed in favour of another key of {}",
            successor.origin
        ));
    }
    Ok(())
}

/// Audits the shard's tree and samples its entries. `advance` is told how many entries are done.
pub(super) async fn audit<S: Source>(
    source: &S,
    head: Head<'_>,
    advance: &mut (dyn FnMut(u64) + Send),
) -> Result<ShardReport, SourceError> {
    let Head {
        shard,
        checkpoint,
        seal,
        by_index,
        mut findings,
    } = head;
    let mut report = ShardReport {
        name: shard.name.clone(),
        state: shard.state.name(),
        size: checkpoint.as_ref().map(|checkpoint| checkpoint.size),
        root: checkpoint.as_ref().map(|checkpoint| checkpoint.root),
        entries: 0,
        bundles: 0,
        tiles: 0,
        samples: 0,
        seal,
        findings: Vec::new(),
        stopped: false,
    };
    match checkpoint {
        Some(Checkpoint { size: 0, root, .. }) if root != empty_root() => {
            let message = format!(
                "the root is {root}, but that of an empty tree is {}",
                empty_root()
            );
            findings.add("root-mismatch", &shard.checkpoint_path(), message);
        }
        Some(Checkpoint { size, root, .. }) if size > 0 => {
            let samples = sample(size, &root);
            let walked = tree::audit(
                source,
                &shard.name,
                size,
                root,
                &samples,
                &mut findings,
                advance,
            )
            .await?;
            (report.entries, report.bundles, report.tiles) =
                (walked.entries, walked.bundles, walked.tiles);
            if let Some(start) = shard.start_index.filter(|_| by_index) {
                match entries(source, start, &walked.samples, &mut findings).await {
                    Ok(samples) => report.samples = samples,
                    // A server that notices the damage itself refuses to serve entries from it. The findings are reported.
                    Err(_) if !findings.list.is_empty() => report.stopped = true,
                    Err(error) => return Err(error),
                }
            }
        }
        _ => {}
    }
    report.stopped |= findings.full();
    report.findings = findings.list;
    Ok(report)
}

/// The first, the last and some entries between, chosen by the root so that a server cannot know them beforehand.
fn sample(size: u64, root: &Hash) -> BTreeSet<u64> {
    let (words, _) = root.0.as_chunks::<8>();
    let between = words.iter().map(|word| u64::from_be_bytes(*word) % size);
    between.chain([0, size - 1]).collect()
}

/// Reads entries by their global index and compares them with their leaf hashes. Returns the number that was read.
async fn entries<S: Source>(
    source: &S,
    start: u64,
    leaves: &[(u64, Hash)],
    findings: &mut Findings,
) -> Result<u64, SourceError> {
    let mut read = 0;
    let mut answers = std::pin::pin!(
        stream::iter(leaves)
            .filter_map(
                |(leaf, hash)| async move { Some((*leaf, hash, start.checked_add(*leaf)?)) }
            )
            .map(|(leaf, hash, index)| async move {
                let path = format!("entries/{index}");
                source
                    .get(&path)
                    .await
                    .map(|entry| (leaf, hash, path, entry))
            })
            .buffered(AHEAD)
    );
    while let Some(answer) = answers.next().await {
        match answer? {
            (_, hash, _, Some(entry)) if leaf_hash(&entry) == *hash => {}
            (leaf, _, path, Some(_)) => {
                findings.add(
                    "entry-mismatch",
                    &path,
                    format!("not the bytes of entry {leaf} in the shard's bundle"),
                );
            }
            (leaf, _, path, None) => {
                findings.add(
                    "missing",
                    &path,
                    format!("entry {leaf} of the shard is not there"),
                );
            }
        }
        read += 1;
    }
    Ok(read)
}
