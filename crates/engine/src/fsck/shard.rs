//! A shard from its positions to what readers see: roots, tiles, checkpoint, seal.

use std::collections::{BTreeMap, HashMap, HashSet};

use tlog::{Checkpoint, Hash, Seal, TILE_WIDTH, TileKind, TilePath, VerifierKey};

use crate::fsck::rows::{all, root_size};
use crate::fsck::slots::Order;
use crate::fsck::tree::{Tree, Watched};
use crate::fsck::{Findings, LogReport, Watcher, remedy};
use crate::orphans;
use crate::publish::mark::judge;
use crate::publish::mark::judge::{Found, Known, Verdict, Whence, judge};
use crate::publish::mark::{Looked, classify};
use crate::shard::Published;
use order::keys::Keys;
use order::state::{Phase, Shard};
use store::record;
use store::{Coordination, Objects, StoreError};

/// The published positions, as they were before anything else was read.
pub(crate) struct Positions(BTreeMap<String, Position>);

struct Position {
    at: Published,
    /// The root written for that size; `None` when there is none or it cannot be read.
    root: Option<Hash>,
}

impl Positions {
    /// Entries published of a shard.
    pub(crate) fn published(&self, shard: &str) -> u64 {
        self.0.get(shard).map_or(0, |position| position.at.size)
    }

    /// The root over those.
    pub(crate) fn root(&self, shard: &str) -> Option<Hash> {
        self.0.get(shard).map(|position| position.at.root)
    }

    /// Entries published of a shard by now.
    pub(crate) async fn now(
        &self,
        store: &dyn Coordination,
        order: &Order,
        shard: &str,
    ) -> Result<u64, StoreError> {
        let row = store.get(&order.keys.published(shard)).await?;
        Ok(row
            .and_then(|row| record::decode_number(&row).ok())
            .unwrap_or(0))
    }
}

/// Reads the positions with their roots.
pub(crate) async fn positions(
    store: &dyn Coordination,
    name: &str,
    findings: &mut Findings<'_>,
) -> Result<Positions, StoreError> {
    let keys = Keys::new(name);
    let mut positions = BTreeMap::new();
    let prefix = keys.all_published();
    for (key, mut bytes) in all(store, &prefix).await? {
        let shard = key[prefix.len()..].to_owned();
        // A running server moves position and root together: until both are of one moment.
        for _ in 0..64 {
            let at = match record::decode_numbered::<Published>(&bytes) {
                Ok((number, at)) if number == at.size => at,
                Ok((number, at)) => {
                    findings.row(
                        &key,
                        format!("is guarded by {number} but says {}", at.size),
                        remedy::ROW,
                    );
                    break;
                }
                Err(error) => {
                    findings.row(&key, error, remedy::ROW);
                    break;
                }
            };
            let root_key = keys.root(&shard, at.size);
            let root = store.get(&root_key).await?;
            if let Some(again) = store.get(&key).await?
                && again != bytes
                && root.is_none()
            {
                bytes = again;
                continue;
            }
            let root = match root.as_deref().map(record::decode::<Hash>) {
                Some(Ok(root)) => Some(root),
                Some(Err(error)) => {
                    findings.row(root_key, error, remedy::ROW);
                    None
                }
                None => {
                    findings.row(
                        root_key,
                        "missing, although the shard is published at this size",
                        remedy::ROW,
                    );
                    None
                }
            };
            if let Some(root) = root
                && root != at.root
            {
                findings.row(
                    &key,
                    format!("its root is not {root}, which was written for this size"),
                    remedy::CONFLICT,
                );
            }
            positions.insert(shard, Position { at, root });
            break;
        }
    }
    Ok(Positions(positions))
}

/// Checks every shard.
pub(crate) async fn check(
    store: &dyn Coordination,
    objects: &dyn Objects,
    order: &Order,
    positions: &Positions,
    findings: &mut Findings<'_>,
    report: &mut LogReport,
    watcher: Watcher<'_>,
) -> Result<(), StoreError> {
    monotone(store, order, positions, findings).await?;
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

/// Shards of which something was signed are in the slots.
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
        findings.shards(found);
    }
    Ok(())
}

/// `published ≤ integrated ≤ ordered` in each shard, and a shard is published only after the ones before it.
async fn monotone(
    store: &dyn Coordination,
    order: &Order,
    positions: &Positions,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let state = &order.state;
    let mut unpublished = None;
    for shard in state.shards.iter() {
        let name = &shard.identity.name;
        let key = order.keys.published(name);
        let published = positions.published(name);
        let length = state.length(shard).unwrap_or(0);
        // Read after the slots were: with a running server it may be ahead of them.
        let still = order.whole && store.get(&order.keys.slot(state.len)).await?.is_none();
        match store
            .get(&order.keys.integrated(name))
            .await?
            .as_deref()
            .map(record::decode_number)
        {
            Some(Ok(integrated)) if still && integrated > length => {
                let what = format!("is {integrated}, but {length} entries are ordered");
                findings.row(order.keys.integrated(name), what, remedy::ROW);
            }
            Some(Ok(integrated)) if integrated >= published => {}
            None if published == 0 => {}
            Some(Ok(integrated)) => {
                let what = format!("is {integrated}, but {published} entries are published");
                findings.row(order.keys.integrated(name), what, remedy::ROW);
            }
            Some(Err(error)) => findings.row(order.keys.integrated(name), error, remedy::ROW),
            None => findings.row(order.keys.integrated(name), "missing", remedy::ROW),
        }
        // After damage the length is not known.
        if order.whole && published > length {
            findings.row(
                &key,
                format!("{published} entries are published but {length} are ordered"),
                remedy::CONFLICT,
            );
        }
        if let Some(before) = unpublished.filter(|_| order.whole && published > 0) {
            findings.row(
                &key,
                format!("is published before shard {before} is, which is older"),
                remedy::ROW,
            );
        }
        // Read before the slots were: a running server may have closed the shard since.
        if published < length && positions.now(store, order, name).await? < length {
            unpublished = unpublished.or(Some(name));
        }
    }
    for name in positions.0.keys().filter(|_| order.whole) {
        if !state
            .shards
            .iter()
            .any(|shard| shard.identity.name == *name)
        {
            findings.row(
                order.keys.published(name),
                "is of a shard that the slots do not know",
                remedy::ROW,
            );
        }
    }
    Ok(())
}

/// One shard and where to find it.
struct One<'a> {
    store: &'a dyn Coordination,
    objects: &'a dyn Objects,
    order: &'a Order,
    shard: &'a Shard,
    /// The next shard, when it is open.
    next: Option<&'a Shard>,
}

impl One<'_> {
    fn name(&self) -> &str {
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
        let vkey = self.shard.identity.vkey.parse::<VerifierKey>();
        let vkey = match vkey {
            Ok(key) => Some(key),
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
        let position = positions.0.get(self.name());
        let size = position.map_or(0, |position| position.at.size);
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
                vkey.as_ref(),
                position.map(|position| (position.at.size, position.at.root)),
                findings,
                report,
            )
            .await?;
        if let Some(checkpoint) = &checkpoint {
            let place = format!("{folder}/checkpoint");
            roots.entry(checkpoint.size).or_default().push(Watched {
                place,
                root: checkpoint.root,
                object: true,
            });
        }
        self.beyond(&folder, findings).await?;
        let partials = self.listing(&folder, size, findings, report).await;
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
        report.published += size;
        self.seal(
            &folder,
            vkey.as_ref(),
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
    ) -> Result<HashMap<u64, Vec<Watched>>, StoreError> {
        let mut roots = HashMap::<u64, Vec<Watched>>::new();
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
    fn batches(&self, size: u64) -> Vec<crate::fsck::batches::Placed> {
        let Some(start) = self.shard.start() else {
            return Vec::new();
        };
        let end = start + size;
        let mut placed = Vec::new();
        for slot in self.order.slots.values() {
            for (at, batch) in slot.placed() {
                if at >= start && at + batch.entries <= end {
                    placed.push(crate::fsck::batches::Placed {
                        first: at - start,
                        entries: batch.entries,
                        digest: batch.digest,
                        slot: slot.number,
                    });
                }
            }
        }
        placed
    }

    async fn read(&self, path: &str, findings: &mut Findings<'_>) -> Option<String> {
        match self.objects.get(path).await {
            Ok(bytes) => match String::from_utf8(bytes?.to_vec()) {
                Ok(text) => Some(text),
                Err(_) => {
                    findings.object(path, "is not text", remedy::CHECKPOINT);
                    None
                }
            },
            Err(error) => {
                findings.object(path, error, remedy::READ);
                None
            }
        }
    }

    async fn checkpoint(
        &self,
        folder: &str,
        key: Option<&VerifierKey>,
        published: Option<(u64, Hash)>,
        findings: &mut Findings<'_>,
        report: &mut LogReport,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let path = format!("{folder}/checkpoint");
        let size = published.map_or(0, |(size, _)| size);
        let Some(note) = self.read(&path, findings).await else {
            if published.is_some() && !findings.names(&path) {
                self.unfinished(folder, &path, "missing", findings, report)
                    .await;
            }
            return Ok(None);
        };
        let Some(key) = key else { return Ok(None) };
        let (found, looked) = classify(note.as_bytes(), key);
        if let Found::Damaged { why } = &found {
            findings.object(path, why, remedy::CHECKPOINT);
            return Ok(None);
        }
        let whence = Whence::Objects(path.clone());
        let mut known = Known {
            published,
            ..Known::default()
        };
        let mut verdict = judge(self.name(), &whence, &found, &known);
        if matches!(verdict, Verdict::Halt(_)) {
            // A running server may have published more since.
            let row = self
                .store
                .get(&self.order.keys.published(self.name()))
                .await?;
            let row = row.and_then(|row| record::decode_numbered::<Published>(&row).ok());
            known.published = row.map(|(_, row)| (row.size, row.root)).or(published);
            verdict = judge(self.name(), &whence, &found, &known);
        }
        if let Verdict::Halt(conflict) = verdict {
            findings.object(path, conflict.cause(), conflict.remedy());
            return Ok(None);
        }
        let Some(Looked { checkpoint, .. }) = looked else {
            return Ok(None);
        };
        if checkpoint.size < size {
            let what = format!("covers {} of {size} published entries", checkpoint.size);
            self.unfinished(folder, &path, &what, findings, report)
                .await;
        }
        // A running server has published more since: what its roots are, nobody has looked up.
        if checkpoint.size > size {
            return Ok(None);
        }
        Ok(Some(checkpoint))
    }

    /// A full bundle that what is ordered cannot fill: the coordination store is an older one.
    async fn beyond(&self, folder: &str, findings: &mut Findings<'_>) -> Result<(), StoreError> {
        let Some(ordered) = self
            .order
            .state
            .length(self.shard)
            .filter(|_| self.order.whole)
        else {
            return Ok(());
        };
        let index = ordered / TILE_WIDTH;
        let path = format!("{folder}/{}", TilePath::entries(index, 256));
        // What cannot be read is found out when the tree is.
        if !matches!(self.objects.get(&path).await, Ok(Some(_))) {
            return Ok(());
        }
        // A running server may have ordered more since.
        let next = self.order.keys.slot(self.order.state.len);
        if self.store.get(&next).await?.is_some() {
            return Ok(());
        }
        let found = Found::Bundle {
            end: (index + 1) * TILE_WIDTH,
        };
        let known = Known {
            ordered,
            ..Known::default()
        };
        let whence = Whence::Objects(path.clone());
        if let Verdict::Halt(conflict) = judge(self.name(), &whence, &found, &known) {
            findings.object(path, conflict.cause(), conflict.remedy());
        }
        Ok(())
    }

    /// A checkpoint that lags behind its position: a crash leaves that, and the next start signs; but the seal comes last.
    async fn unfinished(
        &self,
        folder: &str,
        path: &str,
        what: &str,
        findings: &mut Findings<'_>,
        report: &mut LogReport,
    ) {
        if matches!(
            self.objects.get(&format!("{folder}/seal")).await,
            Ok(Some(_))
        ) {
            findings.object(
                path,
                format!("{what}, although the shard is sealed"),
                remedy::CHECKPOINT,
            );
        } else {
            report.unfinished.push(format!("{path}: {what}"));
        }
    }

    /// Partial tiles by the tile they are part of; counts what does not belong here.
    async fn listing(
        &self,
        folder: &str,
        size: u64,
        findings: &mut Findings<'_>,
        report: &mut LogReport,
    ) -> HashMap<(TileKind, u64), Vec<u16>> {
        let mut partials = HashMap::<_, Vec<u16>>::new();
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
            match rest.parse::<TilePath>() {
                Ok(tile)
                    if TilePath::at(tile.kind, tile.index, size)
                        .is_none_or(|at| at.width < tile.width) =>
                {
                    // Written for a position that never came, or that comes now.
                    report.litter.objects += 1;
                }
                Ok(tile) if tile.is_partial() => partials
                    .entry((tile.kind, tile.index))
                    .or_default()
                    .push(tile.width),
                Ok(_) => {}
                Err(_) => report.litter.objects += 1,
            }
        }
        partials
    }

    async fn seal(
        &self,
        folder: &str,
        key: Option<&VerifierKey>,
        position: Option<&Position>,
        checkpoint: Option<&Checkpoint>,
        findings: &mut Findings<'_>,
        report: &mut LogReport,
    ) -> Result<(), StoreError> {
        let path = format!("{folder}/seal");
        let Some(key) = key else { return Ok(()) };
        let size = position.map_or(0, |position| position.at.size);
        let closed = match self.shard.phase {
            Phase::Frozen { length, .. } => Some(length),
            _ => None,
        };
        let Some(note) = self.read(&path, findings).await else {
            if position.is_some()
                && closed == Some(size)
                && self.next.is_some()
                && !findings.names(&path)
            {
                report.unfinished.push(format!("{path}: missing"));
            }
            return Ok(());
        };
        let seal = match Seal::open(&note, key) {
            Ok(seal) => seal,
            Err(error) => {
                findings.object(path, error, remedy::SEAL);
                return Ok(());
            }
        };
        // A running server may have rotated since the slots were read.
        let open = closed.is_none() || self.next.is_none();
        let moved = open
            && self
                .store
                .get(&self.order.keys.slot(self.order.state.len))
                .await?
                .is_some();
        if !self.order.whole || moved {
            return Ok(());
        }
        if closed.is_none() {
            let (has, only) = (
                format!("a seal of shard {} over {} entries", self.name(), seal.size),
                format!("has shard {} open", self.name()),
            );
            let conflict = judge::older(&Whence::Objects(path.clone()), &has, &only);
            findings.object(path, conflict.cause(), conflict.remedy());
            return Ok(());
        }
        let successor = self
            .next
            .map(|next| (next.identity.origin.as_str(), next.identity.vkey.as_str()));
        let vkey = seal.successor_key.to_string();
        // It may also have published the rest and sealed since the positions were read.
        let root = checkpoint
            .filter(|_| closed == Some(size))
            .map(|checkpoint| checkpoint.root);
        if closed != Some(seal.size) || root.is_some_and(|root| root != seal.root) {
            findings.object(
                path,
                format!(
                    "seals {} entries under {}, which is not how the shard ended",
                    seal.size, seal.root
                ),
                remedy::CONFLICT,
            );
        } else if successor != Some((&seal.successor_origin, &vkey)) {
            findings.object(
                path,
                format!(
                    "names the successor {}, which is not the next shard",
                    seal.successor_origin
                ),
                remedy::CONFLICT,
            );
        }
        Ok(())
    }
}
