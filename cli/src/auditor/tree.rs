//! One shard's tree: its files, walked from the entries up to the root of its checkpoint.
//!
//! Hashing runs beside fetching, on the threads for blocking work.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use tlog::walk::{self, Event, Flaw, Object, Walk, Wrong};
use tlog::{Hash, TILE_WIDTH, TileKind, TilePath};

use super::report::Findings;
use super::{AHEAD, Source, SourceError};

/// Counters of the files and entries that were read.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) entries: u64,
    pub(super) bundles: u64,
    pub(super) tiles: u64,
    /// The leaf hashes asked for, as far as they are known.
    pub(super) samples: Vec<(u64, Hash)>,
}

/// The first of the tile's names that is there, and its bytes.
pub(super) async fn read<S: Source>(
    source: &S,
    shard: &str,
    tile: TilePath,
) -> Result<Option<(TilePath, Vec<u8>)>, SourceError> {
    for name in tile.names() {
        if let Some(bytes) = source.get(&format!("{shard}/{name}")).await? {
            return Ok(Some((name, bytes)));
        }
    }
    Ok(None)
}

async fn fetch<S: Source>(
    source: &S,
    shard: &str,
    tile: TilePath,
) -> Result<(TilePath, Object), SourceError> {
    let read = read(source, shard, tile).await?;
    let hashing = tokio::task::spawn_blocking(move || {
        let read = read.as_ref().map(|(name, bytes)| (*name, &bytes[..]));
        Object::read(tile, read)
    });
    let object = hashing.await;
    object
        .map(|object| (tile, object))
        .map_err(|error| SourceError::new(&format!("{shard}/{tile}"), error))
}

/// Audits the tree of a shard, up to `size` entries, against the root of its checkpoint.
pub(super) async fn audit<S: Source>(
    source: &S,
    shard: &str,
    size: u64,
    root: Hash,
    samples: &BTreeSet<u64>,
    findings: &mut Findings,
    advance: &mut (dyn FnMut(u64) + Send),
) -> Result<Walked, SourceError> {
    let mut audit = Audit {
        shard,
        samples,
        walked: Walked::default(),
        findings,
    };
    let mut walk = Walk::new(size, root, None);
    let mut fetched = std::pin::pin!(
        stream::iter(walk::order(size))
            .map(|tile| fetch(source, shard, tile))
            .buffered(2 * AHEAD)
    );
    while let Some(fetched) = fetched.next().await {
        let (tile, object) = fetched?;
        let width = u64::from(tile.width);
        let sound = u64::from(object.is_sound());
        audit.say(walk.take(object));
        match tile.kind {
            TileKind::Hashes(_) => audit.walked.tiles += sound,
            TileKind::Entries => {
                audit.walked.bundles += sound;
                audit.walked.entries += sound * width;
                advance(width);
            }
        }
        if audit.findings.full() {
            return Ok(audit.walked);
        }
    }
    let (events, computed) = walk.finish();
    audit.say(events);
    if let Some(computed) = computed.filter(|computed| *computed != root) {
        let message = format!(
            "the root of {size} entries is {root}, but the tiles and bundles give {computed}"
        );
        let path = format!("{shard}/checkpoint");
        audit.findings.add("root-mismatch", &path, message);
    }
    Ok(audit.walked)
}

struct Audit<'a> {
    shard: &'a str,
    samples: &'a BTreeSet<u64>,
    walked: Walked,
    findings: &'a mut Findings,
}

impl Audit<'_> {
    /// Makes findings and samples of the walk's events.
    fn say(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Flawed { path, flaw } => self.flawed(path, &flaw),
                Event::Differs {
                    above,
                    at,
                    below,
                    wrong,
                } => self.differs(above, at, below, wrong),
                Event::Settled { path, hashes } if path.kind == TileKind::Hashes(0) => {
                    let first = path.index * TILE_WIDTH;
                    let wanted = self.samples.range(first..first + hashes.len() as u64);
                    let wanted = wanted.map(|leaf| (*leaf, hashes[(leaf - first) as usize]));
                    self.walked.samples.extend(wanted);
                }
                Event::Settled { .. } | Event::Root { .. } => {}
            }
        }
    }

    fn add(&mut self, code: &'static str, path: TilePath, message: String) {
        let path = format!("{}/{path}", self.shard);
        self.findings.add(code, &path, message);
    }

    fn flawed(&mut self, path: TilePath, flaw: &Flaw) {
        let (code, message) = match (flaw, path.kind) {
            (Flaw::Missing, _) => (
                "missing",
                "the checkpoint covers it, but it is not there".to_owned(),
            ),
            (Flaw::Bundle(error), _) => ("bundle-malformed", error.to_string()),
            (flaw, TileKind::Entries) => ("bundle-malformed", format!("it {flaw}")),
            (flaw, TileKind::Hashes(_)) => ("tile-malformed", format!("it {flaw}")),
        };
        self.add(code, path, message);
    }

    fn differs(&mut self, above: TilePath, at: usize, below: TilePath, wrong: Wrong) {
        let entry = below.index * TILE_WIDTH + at as u64;
        let shard = self.shard;
        match (below.kind, wrong) {
            (TileKind::Entries, Wrong::Below) => {
                let message = format!("entry {entry} does not match hash {at} of {shard}/{above}");
                self.add("bundle-mismatch", below, message);
            }
            (TileKind::Entries, _) => {
                let message = format!("hash {at} does not match entry {entry}");
                self.add("tile-mismatch", above, message);
            }
            (TileKind::Hashes(_), _) => {
                let message = format!("hash {at} does not match {shard}/{below}");
                self.add("tile-mismatch", above, message);
            }
        }
    }
}
