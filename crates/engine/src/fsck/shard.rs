//! A shard from its positions to what readers see: roots, tiles, checkpoint, seal.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tlog::{Hash, LeafIndex, TileKind, TilePath, TreeSize};

use crate::shard::signers::Verifiers;

use crate::fsck::batches::Placed;
use crate::fsck::positions::{self, Position, Positions};
use crate::fsck::rows::{all, root_size};
use crate::fsck::slots::Order;
use crate::fsck::tree::{Tree, Watched};
use crate::fsck::{Findings, LogReport, Watcher, remedy};
use crate::orphans;
use crate::times;
use order::state::Shard;
use store::record;
use store::{Coordination, Objects, StoreError};

pub(crate) async fn check(
    store: &dyn Coordination,
    objects: &dyn Objects,
    order: &Order,
    positions: &Positions,
    findings: &mut Findings<'_>,
    report: &mut LogReport,
    watcher: Watcher<'_>,
) -> Result<(), StoreError> {
    positions::monotone(store, order, positions, findings).await?;
    unknown(store, objects, order, findings).await?;
    for (at, shard) in order.state.shards.iter().enumerate() {
        let next = order
            .state
            .shards
            .get(at + 1)
            .filter(|next| next.start().is_some());
        One {
            store,
            objects,
            order,
            shard,
            next,
        }
        .check(positions, findings, report, watcher)
        .await?;
    }
    Ok(())
}

/// Checks that every shard for which something was signed is in the slots.
async fn unknown(
    store: &dyn Coordination,
    objects: &dyn Objects,
    order: &Order,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    // After damage it is not known which shards there are.
    if !order.whole {
        return Ok(());
    }
    let shards = order.state.shards.iter().map(|s| s.identity.name.as_str());
    let known: HashSet<&str> = shards.collect();
    let found = orphans::of_others(objects, findings.log, |s| known.contains(s), usize::MAX).await;
    // A running server may have planned one since the slots were read.
    if store
        .get(&order.keys.slot(order.state.len))
        .await?
        .is_none()
    {
        let mut shards = order.state.shards.iter();
        findings.shards(found, shards.next().map(|s| &*s.identity));
    }
    Ok(())
}

/// One shard and where to find it.
pub(crate) struct One<'a> {
    pub(crate) store: &'a dyn Coordination,
    pub(crate) objects: &'a dyn Objects,
    pub(crate) order: &'a Order,
    pub(crate) shard: &'a Shard,
    /// The next shard, when it is open.
    pub(crate) next: Option<&'a Shard>,
}

impl One<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.shard.identity.name
    }

    async fn check(
        &self,
        positions: &Positions,
        findings: &mut Findings<'_>,
        report: &mut LogReport,
        watcher: Watcher<'_>,
    ) -> Result<(), StoreError> {
        let log = report.name.clone();
        let folder = format!("{log}/{}", self.name());
        let keys = match Verifiers::of(&self.shard.identity) {
            Ok(keys) => Some(keys),
            Err(error) => {
                findings.row(
                    self.order.keys.slots(),
                    format!("shard {}: {error}", self.name()),
                    remedy::ROW,
                );
                None
            }
        };
        let mut roots = self.roots(findings).await?;
        let position = positions.of(self.name());
        let size = position.map_or(TreeSize::ZERO, |position| position.at.size);
        if let Some(Position { at, root }) = position {
            let key = if root.is_some() {
                self.order.keys.root(self.name(), size)
            } else {
                self.order.keys.published(self.name())
            };
            let root = root.unwrap_or(at.root);
            roots.entry(size).or_default().push(Watched {
                place: key,
                root,
                object: false,
            });
        }
        let checkpoint = self
            .checkpoint(
                &folder,
                keys.as_ref(),
                position.map(|position| (position.at.size, position.at.root)),
                findings,
                report,
            )
            .await?;
        if let Some(checkpoint) = &checkpoint {
            let place = format!("{folder}/checkpoint");
            roots
                .entry(TreeSize::new(checkpoint.size))
                .or_default()
                .push(Watched {
                    place,
                    root: checkpoint.root,
                    object: true,
                });
        }
        self.beyond(&folder, findings).await?;
        let mut timed = BTreeSet::new();
        let partials = self
            .listing(&folder, size, findings, report, &mut timed)
            .await;
        self.times(&folder, size, &timed, findings).await?;
        let batches = self.batches(size);
        let expected = position.map(|position| position.root.unwrap_or(position.at.root));
        let tree = Tree {
            objects: self.objects,
            log: &log,
            shard: self.name(),
            size,
            expected,
            roots,
            partials,
            batches,
        };
        report.objects += tree.check(findings, watcher).await;
        report.published += size.get();
        self.seal(
            &folder,
            keys.as_ref().map(|keys| &keys.ed25519),
            position,
            checkpoint.as_ref(),
            findings,
            report,
        )
        .await
    }

    /// Roots that were written, by size.
    async fn roots(
        &self,
        findings: &mut Findings<'_>,
    ) -> Result<BTreeMap<TreeSize, Vec<Watched>>, StoreError> {
        let mut roots = BTreeMap::<TreeSize, Vec<Watched>>::new();
        for (key, bytes) in all(self.store, &self.order.keys.roots(self.name())).await? {
            match (root_size(&key), record::decode::<Hash>(&bytes)) {
                (Some(size), Ok(root)) => {
                    roots.entry(size).or_default().push(Watched {
                        place: key,
                        root,
                        object: false,
                    });
                }
                (_, Err(error)) => findings.row(key, error, remedy::ROW),
                (None, Ok(_)) => findings.row(key, "is not the key of a root", remedy::ROW),
            }
        }
        Ok(roots)
    }

    /// The slots' batches that are published: their entries must be the ones that were ordered.
    fn batches(&self, size: TreeSize) -> Vec<Placed> {
        let Some(start) = self.shard.start() else {
            return Vec::new();
        };
        let end = start + size;
        let mut placed = Vec::new();
        for slot in self.order.slots.values() {
            for (at, batch) in slot.placed() {
                if at >= start && at + batch.entries <= end {
                    placed.push(Placed {
                        first: LeafIndex::new(at - start),
                        entries: batch.entries,
                        digest: batch.digest,
                        slot: slot.number,
                    });
                }
            }
        }
        placed
    }

    /// The times of the entries. A shard that is older than they are has none for its first bundles, and one without an ECDSA key none at all.
    async fn times(
        &self,
        folder: &str,
        size: TreeSize,
        timed: &BTreeSet<TilePath>,
        findings: &mut Findings<'_>,
    ) -> Result<(), StoreError> {
        let identity = &self.shard.identity;
        let first = match identity.imported {
            Some(_) => Some(0),
            None => timed.iter().map(|bundle| bundle.index).min(),
        };
        let Some(first) = first.filter(|_| times::are_kept(identity)) else {
            return Ok(());
        };
        for bundle in mirror::bundles(first, size.get()) {
            let Some(found) = bundle.names().find(|name| timed.contains(name)) else {
                let path = format!("{folder}/{}", times::path(bundle));
                findings.object(path, "missing", remedy::TIMES);
                continue;
            };
            let path = format!("{folder}/{}", times::path(found));
            let object = match self.objects.get(&path).await {
                Ok(Some(object)) => object,
                // A running server removes partial ones.
                Ok(None) => continue,
                Err(error) => {
                    findings.object(path, error, remedy::READ);
                    continue;
                }
            };
            let (each, width) = (times::each(identity), usize::from(bundle.width));
            let opened = times::opened(self.name(), found, &object);
            match opened {
                None => findings.object(path, "does not match its digest", remedy::TIMES),
                Some(times)
                    if identity.imported.is_some() && !times::are_whole(&times, each, width) =>
                {
                    findings.object(path, "lacks the time of an imported entry", remedy::TIMES);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Partial tiles by the tile they are part of; counts what does not belong here.
    async fn listing(
        &self,
        folder: &str,
        size: TreeSize,
        findings: &mut Findings<'_>,
        report: &mut LogReport,
        timed: &mut BTreeSet<TilePath>,
    ) -> BTreeMap<(TileKind, u64), Vec<u16>> {
        let mut partials = BTreeMap::<_, Vec<u16>>::new();
        let paths = match self.objects.list(folder).await {
            Ok(paths) => paths,
            Err(error) => {
                findings.object(folder, error, remedy::READ);
                return partials;
            }
        };
        for path in paths {
            let rest = &path[folder.len() + 1..];
            if rest == "checkpoint" || rest == "seal" {
                continue;
            }
            if let Some(bundle) = times::bundle(rest) {
                let at = TilePath::at(bundle.kind, bundle.index, size.get());
                if at.is_none_or(|at| at.width < bundle.width) {
                    report.leftovers.objects += 1;
                } else {
                    timed.insert(bundle);
                }
                continue;
            }
            match rest.parse::<TilePath>() {
                Ok(tile)
                    if TilePath::at(tile.kind, tile.index, size.get())
                        .is_none_or(|at| at.width < tile.width) =>
                {
                    // Written for a position that was never reached, or is being reached now.
                    report.leftovers.objects += 1;
                }
                Ok(tile) if tile.is_partial() => partials
                    .entry((tile.kind, tile.index))
                    .or_default()
                    .push(tile.width),
                Ok(_) => {}
                Err(_) => report.leftovers.objects += 1,
            }
        }
        partials
    }
}
