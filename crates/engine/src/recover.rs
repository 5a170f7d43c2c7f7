//! The state that a restarted replica continues from: one snapshot and the slots after it, however old the log; the right edge of
//! the trees that are not whole, read back and checked against the roots that were written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tlog::{GlobalIndex, Hash, LeafIndex, TILE_WIDTH, TilePath, TreeSize, bundle, leaf_hash};

use crate::integrate::grow::Growing;
use crate::ledger::{Ledger, snapshot};
use crate::objects::LogObjects;
use crate::orphans;
use crate::position;
use crate::position::Position;
use crate::progress::Progress;
use crate::publish::publication::Publication;
use crate::publish::sign_guard::classify;
use crate::publish::sign_guard::judge;
use crate::publish::sign_guard::judge::Found;
use crate::shard::{Published, Shard};
use crate::times::{self, Times};
use order::SlotNumber;
use order::keys::{Keys, trailing_slot};
use order::mutant::{Mutant, left_out};
use order::slot::{ShardIdentity, Slot};
use order::state::{Phase, State};
use order::view::View;
use store::record;
use store::{Coordination, StoreError};
use tlog::ShardTree;

/// The longest time between two reads of other replicas' slots, if the store does not report changes.
const SLOT_POLL: Duration = Duration::from_secs(1);
/// Pause between two looks, so that a busy neighbour costs a bounded share.
const SLOT_BACKOFF: Duration = Duration::from_millis(5);

fn corrupt(what: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {why}; run `logd fsck`"))
}

/// The view at the newest snapshot, with the duplicate filter filled from the slots before it.
///
/// # Errors
/// [`StoreError::Corrupt`] when no snapshot covers the slots below the floor, which are deleted.
pub(crate) async fn view(keys: &Keys, store: &dyn Coordination) -> Result<View, StoreError> {
    let mut raised = 0;
    loop {
        let mut state = State::default();
        if let Some((key, bytes)) = snapshot::newest(store, keys).await? {
            match snapshot::read(store, keys, (&key, &bytes)).await? {
                Some(read) => state = read,
                None => continue,
            }
        }
        let snapshot = state.len;
        // The floor is raised in the transaction that writes its snapshot, so the newest one is never below a floor that was read earlier.
        if snapshot.get() < raised {
            return Err(corrupt(
                &keys.floor(),
                &format!("is {raised}, but the newest snapshot ends at slot {snapshot}"),
            ));
        }
        let mut view = View::at(state);
        let mut from = snapshot.back(view.limits.window);
        while from < snapshot && !left_out(Mutant::SnapshotWithoutFilter) {
            let rows = store.scan(&keys.slots(), &keys.slot(from), 256).await?;
            let before: Vec<_> = rows
                .into_iter()
                .filter(|(k, _)| trailing_slot(k).is_some_and(|n| n < snapshot))
                .collect();
            let Some((last, _)) = before.last() else {
                break;
            };
            from = trailing_slot(last).unwrap_or(snapshot).next();
            for (key, bytes) in before {
                let slot: Slot = record::decode(&bytes).map_err(|e| corrupt(&key, &e))?;
                view.remember(Arc::new(slot));
            }
        }
        // Another replica may have collected during the read; then there is a newer snapshot.
        let floor = match store.get(&keys.floor()).await? {
            Some(row) => record::decode_number(&row).map_err(|e| corrupt(&keys.floor(), &e))?,
            None => 0,
        };
        if floor <= snapshot.get() {
            return Ok(view);
        }
        raised = floor;
    }
}

/// The state that a restarted process continues from.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    /// The shards that are not integrated whole, oldest first; none where this process does not integrate.
    pub growing: Vec<Growing>,
    /// The shards that are not published whole and sealed, oldest first.
    pub open: Vec<String>,
    /// Done shards whose checkpoint or seal is missing.
    pub lost: Vec<String>,
    /// How many shards have begun.
    pub opened: usize,
    /// How far the cuts are, as a global index.
    pub integrated: GlobalIndex,
    /// Slots that were known when this was read.
    pub slots: SlotNumber,
    /// How many of the oldest shards are sealed, as the row says.
    pub sealed: u64,
}

/// The last parts of the keys under `prefix`, with their rows.
async fn rows<T>(
    ledger: &Ledger,
    prefix: &str,
    mut read: impl FnMut(&str, &[u8]) -> Result<T, StoreError>,
) -> Result<BTreeMap<String, T>, StoreError> {
    const SCAN_PAGE: usize = 512;
    let (mut rows, mut from) = (BTreeMap::new(), prefix.to_owned());
    loop {
        let page = ledger.store.scan(prefix, &from, SCAN_PAGE).await?;
        let full = page.len() == SCAN_PAGE;
        for (key, bytes) in page {
            let row = read(&key, &bytes)?;
            rows.insert(key[prefix.len()..].to_owned(), row);
            from = key + "\0";
        }
        if !full {
            return Ok(rows);
        }
    }
}

/// The state from which a starting process continues. `None`: another process has collected what this one was about to read; there is a
/// newer snapshot, and it starts again.
///
/// The slots are read during the whole start, because it may take long, and slots that are not read for long are collected. They are kept
/// until the start ends, in at most `most` bytes if a newer snapshot covers half of them.
pub(crate) async fn start(
    shared: &Publication,
    trees: bool,
    most: usize,
) -> Result<Option<Resumed>, StoreError> {
    let begun = shared.ledger.state().len;
    if !shared.ledger.catch_up().await? {
        return Ok(None);
    }
    let resume = async {
        shared.running.update_running().await?;
        if !orphans::refuse(&shared.guard).await? {
            return Ok(None);
        }
        shared
            .guard
            .life
            .unannounced(&shared.ledger.state())
            .await?;
        resumed(shared, trees).await
    };
    tokio::select! {
        resumed = resume => resumed,
        () = keep_up(&shared.ledger, begun, most) => Ok(None),
    }
}

/// Reads the slots that others decide. Ends when some were collected before they were read, or when they take more than `most` bytes and
/// half of those since `begun` are behind a newer snapshot.
async fn keep_up(ledger: &Ledger, begun: SlotNumber, most: usize) {
    let prefix = ledger.keys.slots();
    loop {
        ledger.store.changed(&prefix, SLOT_POLL).await;
        match ledger.catch_up().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(e) => tracing::warn!(log = ledger.name, error = %e, "cannot read the slots"),
        }
        if ledger.pending.memory() > most {
            let newest = snapshot::newest(&*ledger.store, &ledger.keys).await;
            let newest = newest.ok().flatten();
            let newest = newest.and_then(|(key, _)| trailing_slot(&key));
            let read = ledger.state().len;
            if newest.is_some_and(|at| at >= begun + (read - begun).div_ceil(2)) {
                tracing::warn!(
                    log = ledger.name,
                    begun = begun.get(),
                    read = read.get(),
                    "the log grows faster than it is read back; starting from a newer snapshot"
                );
                return;
            }
        }
        tokio::time::sleep(SLOT_BACKOFF).await;
    }
}

/// How many of the oldest shards are sealed for certain. If the row is damaged, the answer is none, and all shards are checked.
async fn sealed(ledger: &Ledger) -> Result<u64, StoreError> {
    let key = ledger.keys.sealed();
    let row = ledger.store.get(&key).await?;
    let read = row.map_or(Ok(0), |row| record::decode_counted(&row));
    Ok(read.unwrap_or_else(|e| {
        tracing::warn!(key, error = %e, "every frozen shard is looked at; run `logd fsck`");
        0
    }))
}

/// Loads the positions, and with `trees` the tree of every shard that is not integrated whole. The objects of shards that were sealed long
/// ago are not read: there may be thousands. `None`: as for [`start`].
async fn resumed(shared: &Publication, trees: bool) -> Result<Option<Resumed>, StoreError> {
    // Other processes continue meanwhile: the published positions are read first, then the integrated ones, then the order.
    let keys = &shared.ledger.keys;
    let published_rows = rows(&shared.ledger, &keys.all_published(), |key, bytes| {
        let read = record::decode_numbered::<Published>(bytes);
        Ok(read.map_err(|e| corrupt(key, &e))?.1)
    })
    .await?;
    let integrated_rows = rows(
        &shared.ledger,
        &keys.all_integrated(),
        position::decode_integrated,
    )
    .await?;
    let sealed = sealed(&shared.ledger).await?;
    if !shared.ledger.catch_up().await? {
        return Ok(None);
    }
    let state = shared.ledger.state();
    let mut resumed = Resumed {
        slots: state.len,
        sealed,
        ..Resumed::default()
    };
    let frozen = |shard: &&order::state::Shard| matches!(shard.phase, Phase::Frozen { .. });
    let frozen = state.shards.iter().take_while(frozen).count();
    // The newest frozen shard is always checked: it shows whether the objects went back.
    let settled = frozen
        .saturating_sub(1)
        .min(usize::try_from(sealed).unwrap_or(0));
    // The first shard that is not integrated whole ends the run of those that are.
    let mut whole = true;
    for (n, shard) in state.shards.iter().enumerate() {
        let name = &shard.identity.name;
        let (Some(start), Some(length)) = (shard.start(), state.length(shard)) else {
            look_at_planned(shared, &state, name).await?;
            continue;
        };
        let row = published_rows.get(name);
        let Some(known) = shared.shards.get(&state, name) else {
            continue;
        };
        resumed.opened += 1;
        // Older shards first: one whose successor has published was published whole and sealed, whatever is left of its notes.
        let next = state.shards.get(n + 1);
        let after = next.is_some_and(|next| published_rows.contains_key(&next.identity.name));
        let done = after && row.is_some_and(|row| row.size == length);
        match row {
            Some(row) if n < settled && row.size == length => known.settle(row.clone()),
            _ => load_signed(shared, &known, row).await?,
        }
        let lost = known.at().is_none();
        if let Some(row) = row.filter(|_| lost && done) {
            known.settle(row.clone());
        }
        let cut = integrated_rows.get(name).cloned().flatten();
        let cut = cut.or_else(|| row.map(position::of_published));
        let published = row.map_or(TreeSize::ZERO, |r| r.size);
        let integrated = cut.as_ref().map_or(TreeSize::ZERO, |cut| cut.size);
        if integrated.max(published) > length {
            return Err(StoreError::Corrupt(format!(
                "the coordination store is damaged: {published} entries of shard {name} are published and {integrated} integrated, but only {length} are ordered; {}",
                judge::OLDER
            )));
        }
        if integrated < published {
            let key = keys.integrated(name);
            let why = format!("is {integrated}, but {published} entries are published");
            return Err(corrupt(&key, &why));
        }
        if whole {
            resumed.integrated = start + integrated;
            whole = integrated == length;
        }
        let active = matches!(shard.phase, Phase::Active { .. });
        if trees && (active || integrated < length || cut.is_none()) {
            resumed.growing.push(Growing {
                name: name.clone(),
                start,
                tree: resume(&shared.objects, name, cut.as_ref()).await?,
                full: Vec::new(),
                ahead: Vec::new(),
                cut: cut.as_ref().map(|cut| cut.size),
                times: match times::are_kept(&shard.identity) {
                    true => Some(times(&shared.objects, &shard.identity, integrated).await?),
                    false => None,
                },
            });
        }
        let path = shared.objects.path(name, "seal");
        let sealed = !lost
            && (known.settled().is_some()
                || known.signed().is_some()
                    && published == length
                    && shared.objects.store.get(&path).await?.is_some());
        if !sealed && done {
            shared.unsettle(&known);
            resumed.lost.push(name.clone());
        } else if active || !sealed {
            if !shared.guard.look_beyond(&known).await? {
                return Ok(None);
            }
            resumed.open.push(name.clone());
        }
    }
    Ok(Some(resumed))
}

/// Shows how far a log is published if it halted before that was read, as far as the rows can be read.
pub(crate) async fn show_published(ledger: &Ledger, progress: &Progress) {
    let prefix = ledger.keys.all_published();
    let read = rows(ledger, &prefix, |key, bytes| {
        let read = record::decode_numbered::<Published>(bytes);
        Ok(read.map_err(|e| corrupt(key, &e))?.1.size)
    });
    if let Ok(sizes) = read.await {
        let published = sizes
            .values()
            .fold(GlobalIndex::ZERO, |sum, size| sum + *size);
        let published = published.min(ledger.state().size);
        // Published entries are in the trees.
        if *progress.integrated.borrow() < published {
            ledger.metrics.integrated.set(published.get());
            progress.integrated.send_replace(published);
        }
        progress.published.send_replace(published);
    }
}

/// A planned shard has signed nothing. Objects of another log under its name are a matter for when it opens.
async fn look_at_planned(
    shared: &Publication,
    state: &State,
    name: &str,
) -> Result<(), StoreError> {
    let path = shared.objects.path(name, "checkpoint");
    if let Some(shard) = shared.shards.get(state, name)
        && let Some(bytes) = shared.objects.store.get(&path).await?
        && let (Found::Signed { .. }, _) = classify(&bytes, shard.verifiers()?)
    {
        shared.guard.look(&shard).await?;
    }
    Ok(())
}

/// The checkpoint of a shard: the object if it is current; otherwise it is signed again. A checkpoint that contradicts the row halts the
/// log.
async fn load_signed(
    shared: &Publication,
    shard: &Shard,
    row: Option<&Published>,
) -> Result<(), StoreError> {
    let looked = shared.guard.look_at(shard, row.cloned(), true).await?;
    if let (Some(looked), Some(row)) = (looked, row) {
        looked.take_over(shard, row);
    }
    Ok(())
}

/// The times of a shard's entries at its last cut. One from before there were times has none for its earlier entries.
pub(crate) async fn times(
    objects: &LogObjects,
    shard: &ShardIdentity,
    size: TreeSize,
) -> Result<Times, StoreError> {
    let last = size.get().saturating_sub(1);
    let stored = match size.get() % TILE_WIDTH {
        0 => None,
        _ => {
            objects
                .times(&shard.name, LeafIndex::new(last), size)
                .await?
        }
    };
    Ok(Times::resume(size, stored.as_deref(), times::each(shard)))
}

/// The tree of a shard at its last cut, checked against the root of that.
pub(crate) async fn resume(
    objects: &LogObjects,
    name: &str,
    row: Option<&Position>,
) -> Result<ShardTree, StoreError> {
    let Some(row) = row.filter(|r| r.size > TreeSize::ZERO) else {
        return Ok(ShardTree::default());
    };
    let mut tiles: HashMap<TilePath, Vec<Hash>> = HashMap::new();
    let mut bundle_bytes = Vec::new();
    for path in tlog::partial_tiles(row.size.get()) {
        let object = objects.path(name, &path.to_string());
        // The partial tile may have gone because another replica completed it meanwhile: the full one begins with it.
        let full = objects.path(name, &TilePath { width: 256, ..path }.to_string());
        let bytes = match objects.store.get(&object).await? {
            Some(bytes) => bytes,
            None => objects
                .store
                .get(&full)
                .await?
                .ok_or_else(|| {
                    StoreError::Corrupt(format!(
                        "the objects are older than the coordination store, or not whole: {object} is missing; {}",
                        judge::BEHIND
                    ))
                })?,
        };
        let width = usize::from(path.width);
        if path.kind == tlog::TileKind::Entries {
            let entries = bundle::entries(&bytes).map_err(|e| corrupt(&object, &e))?;
            let entries = entries
                .get(..width)
                .ok_or_else(|| corrupt(&object, &"too short"))?;
            for entry in entries {
                bundle::push(&mut bundle_bytes, entry);
            }
            let leaves: Vec<Hash> = entries.iter().map(|e| leaf_hash(e)).collect();
            tiles.insert(path, leaves);
        } else {
            let bytes = bytes
                .get(..width * 32)
                .ok_or_else(|| corrupt(&object, &"too short"))?;
            let hashes = bytes.as_chunks::<32>().0.iter().map(|c| Hash(*c)).collect();
            tiles.insert(path, hashes);
        }
    }
    let edge = TilePath::entries(
        row.size.get() / TILE_WIDTH,
        ((row.size.get() % TILE_WIDTH) as u16).max(1),
    );
    let leaves = TilePath {
        kind: tlog::TileKind::Hashes(0),
        ..edge
    };
    if let (Some(from_entries), Some(from_tile)) = (tiles.get(&edge), tiles.get(&leaves))
        && from_entries != from_tile
    {
        let path = objects.path(name, &edge.to_string());
        return Err(corrupt(
            &path,
            &"the entries do not match the level-0 tile beside it",
        ));
    }
    let tree = ShardTree::resume(row.size.get(), bundle_bytes, |path| {
        tiles
            .remove(&path)
            .ok_or_else(|| corrupt(&path.to_string(), &"missing"))
    })?;
    if tree.root() != row.root {
        let folder = objects.path(name, "tile");
        return Err(corrupt(
            &folder,
            &format!(
                "the tiles at size {} do not lead to the root {} of the last cut",
                row.size, row.root
            ),
        ));
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use tlog::GlobalIndex;

    use bytes::Bytes;

    use super::view;
    use crate::tests::rig::Rig;
    use order::keys::Keys;
    use store::fault::{Fault, Faults, Operation};
    use store::record;
    use store::{Coordination as _, MemoryCoordination, Outcome, StoreError, Transaction};

    /// A floor that no snapshot reaches is damage: the read ends and names it, and does not look for a newer snapshot without end.
    #[tokio::test]
    async fn a_floor_above_every_snapshot_is_reported() {
        let (keys, store) = (Keys::new("dev"), MemoryCoordination::new());
        let put = Transaction {
            puts: vec![(keys.floor(), record::encode_number(7))],
            ..Transaction::default()
        };
        assert!(matches!(store.transact(put).await, Outcome::Committed));
        let error = view(&keys, &store).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
        assert!(error.to_string().contains(&keys.floor()), "{error}");
    }

    /// While a server starts, another one may collect slots behind its snapshot that it has not read yet.
    #[tokio::test(start_paused = true)]
    async fn slots_that_are_collected_while_a_server_starts() {
        let (rig, keys, faults) = (Rig::new(), Keys::new("dev"), Faults::new());
        let (engine, log) = rig.server(&Faults::new()).await;
        let floor = || {
            let rows = rig.rows.rows();
            let row = rows.get(&keys.floor());
            row.map_or(0, |row| record::decode_number(row).unwrap())
        };
        let collect = async |beyond: u64| {
            while floor() <= beyond {
                let at = log.append(Bytes::from_static(b"x")).await.unwrap();
                log.wait_published(at.index).await.unwrap();
            }
        };
        collect(0).await;
        // It has found that its snapshot is not below the floor, and reads on.
        let (mut looked, row, slots) = (false, keys.floor(), keys.slots());
        let reads_on = Arc::new(AtomicBool::new(false));
        let stalled = Arc::clone(&reads_on);
        faults.plan(move |_, operation| match operation {
            Operation::Get(key) if *key == row => {
                looked = true;
                None
            }
            Operation::Scan(prefix) if *prefix == slots && looked => {
                stalled.store(true, SeqCst);
                Some(Fault::Stall)
            }
            _ => None,
        });
        let mut starting = Box::pin(rig.server(&faults));
        let meanwhile = async {
            while !reads_on.load(SeqCst) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            collect(log.ledger.state().len.get()).await;
            faults.clear();
            faults.release().await;
        };
        let ((other, second), ()) = tokio::join!(&mut starting, meanwhile);
        let known = log.status().watermarks.ordered;
        assert_eq!(
            second.append(Bytes::from_static(b"y")).await.unwrap().index,
            known
        );
        other.shutdown().await;
        engine.shutdown().await;
    }

    /// Under another key-encryption key a log accepts nothing, so that no key is sealed with it; under its own it continues.
    #[tokio::test(start_paused = true)]
    async fn another_key_encryption_key_halts_before_anything_is_taken() {
        let (rig, other) = (Rig::new(), Rig::new());
        let (engine, log) = rig.server(&Faults::new()).await;
        log.append(Bytes::from_static(b"x")).await.unwrap();
        engine.shutdown().await;
        let wrong = Rig {
            time: rig.time.clone(),
            rows: Arc::clone(&rig.rows),
            objects: Arc::clone(&rig.objects),
            kek: other.kek,
            max_pending: rig.max_pending,
        };
        let (engine, log) = wrong.server(&Faults::new()).await;
        // Writes before the halt wait for the comparison.
        assert!(log.append(Bytes::from_static(b"y")).await.is_err());
        let why = log.status().reason.unwrap();
        assert!(why.contains("[kek]"), "{why}");
        // Nothing is sealed with the other key, whichever task asks for it.
        let key = log.ledger.keys.replication();
        assert!(log.guard.keyring.replication().await.is_err());
        assert_eq!(wrong.with(&key), 0);
        engine.shutdown().await;
        let (engine, log) = rig.server(&Faults::new()).await;
        let at = log.append(Bytes::from_static(b"y")).await.unwrap();
        assert_eq!(at.index, GlobalIndex::new(1));
        log.wait_published(GlobalIndex::new(1)).await.unwrap();
        engine.shutdown().await;
    }

    /// A log that is being made runs under a stand-in for its configuration, whose origin is not its own. A key that was sealed for that one
    /// opened at no later start.
    #[tokio::test(start_paused = true)]
    async fn a_log_without_a_configuration_has_no_replication_key() {
        let rig = Rig::new();
        let (engine, _log) = rig.server(&Faults::new()).await;
        engine.open_log("young").await.unwrap();
        let young = engine.opened("young").unwrap();
        assert!(young.guard.keyring.replication().await.is_err());
        assert_eq!(rig.with(&young.ledger.keys.replication()), 0);
        engine.shutdown().await;
    }

    /// A long start keeps up with a growing log; if it cannot, it starts again. In neither case does the log open halted.
    #[tokio::test(start_paused = true)]
    async fn a_start_that_takes_long_does_not_halt() {
        for keeps_up in [true, false] {
            let (rig, keys, faults) = (Rig::new(), Keys::new("dev"), Faults::new());
            let (engine, log) = rig.server(&Faults::new()).await;
            let at = log.append(Bytes::from_static(b"x")).await.unwrap();
            log.wait_published(at.index).await.unwrap();
            let (positions, slots) = (keys.all_published(), keys.slots());
            let looks = Arc::new(AtomicBool::new(false));
            let looking = Arc::clone(&looks);
            faults.plan(move |_, operation| match operation {
                Operation::Scan(prefix) if *prefix == positions => {
                    looking.store(true, SeqCst);
                    Some(Fault::Stall)
                }
                Operation::Scan(prefix) if *prefix == slots && !keeps_up => {
                    looking.load(SeqCst).then_some(Fault::Stall)
                }
                _ => None,
            });
            let mut starting = Box::pin(rig.server(&faults));
            let meanwhile = async {
                while !looks.load(SeqCst) {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                let known = log.ledger.state().len;
                let floor = || {
                    let rows = rig.rows.rows();
                    let row = rows.get(&keys.floor());
                    row.map_or(0, |row| record::decode_number(row).unwrap())
                };
                while floor() <= known.get() {
                    let at = log.append(Bytes::from_static(b"x")).await.unwrap();
                    log.wait_published(at.index).await.unwrap();
                }
                faults.clear();
                faults.release().await;
            };
            let ((other, second), ()) = tokio::join!(&mut starting, meanwhile);
            assert_eq!(second.status().reason, None);
            let known = log.status().watermarks.ordered;
            let next = second.append(Bytes::from_static(b"y")).await.unwrap();
            assert_eq!(next.index, known);
            other.shutdown().await;
            engine.shutdown().await;
        }
    }

    /// A start that takes very long keeps no more in memory than its share: it begins again from a newer snapshot.
    #[tokio::test(start_paused = true)]
    async fn what_a_long_start_keeps_is_bounded() {
        let (mut rig, keys, faults) = (Rig::new(), Keys::new("dev"), Faults::new());
        let (engine, log) = rig.server(&Faults::new()).await;
        rig.max_pending = 1 << 20;
        // Its first reads fail; its repeated reads succeed.
        let (positions, mut first) = (keys.all_published(), true);
        faults.plan(move |_, operation| match operation {
            Operation::Scan(prefix) if *prefix == positions => {
                std::mem::take(&mut first).then_some(Fault::Stall)
            }
            _ => None,
        });
        let mut starting = Box::pin(rig.server(&faults));
        let (other, second) = loop {
            tokio::select! {
                opened = &mut starting => break opened,
                at = log.append(Bytes::from_static(b"x")) => {
                    let index = at.unwrap().index;
                    assert!(index < GlobalIndex::new(20_000), "it does not begin anew");
                    log.wait_published(index).await.unwrap();
                }
            }
        };
        second.append(Bytes::from_static(b"y")).await.unwrap();
        other.shutdown().await;
        engine.shutdown().await;
    }
}
