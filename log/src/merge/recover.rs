//! Where a restarted replica takes up the work: one snapshot and what follows, however old the log; the right edge of the trees
//! that are not whole, read back and checked against the roots that were published.

use std::collections::HashMap;
use std::sync::Arc;

use tlog::{Hash, TILE_WIDTH, TilePath, bundle, leaf_hash};

use super::fetch::Growing;
use super::tree::ShardTree;
use crate::log::Core;
use crate::order::WINDOW;
use crate::order::keys::{Keys, trailing_number};
use crate::order::slot::Slot;
use crate::order::state::{State, View};
use crate::record;
use crate::shard::{Published, Signed};
use crate::store::{Coordination, StoreError};

fn corrupt(what: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {why}; run `logd fsck`"))
}

/// The view at the newest snapshot, with the duplicate filter filled from the slots before it.
pub async fn view(keys: &Keys, store: &dyn Coordination) -> Result<View, StoreError> {
    loop {
        let newest = store
            .scan(&keys.snapshots(), &keys.snapshots(), 64)
            .await?
            .pop();
        let mut state = State::default();
        if let Some((key, bytes)) = newest {
            state = record::decode(&bytes).map_err(|e| corrupt(&key, &e))?;
        }
        let snapshot = state.len;
        let mut view = View::at(state);
        let mut from = snapshot.saturating_sub(WINDOW);
        while from < snapshot {
            let rows = store.scan(&keys.slots(), &keys.slot(from), 256).await?;
            let before: Vec<_> = rows
                .into_iter()
                .filter(|(k, _)| trailing_number(k).is_some_and(|n| n < snapshot))
                .collect();
            let Some((last, _)) = before.last() else {
                break;
            };
            from = trailing_number(last).unwrap_or(snapshot) + 1;
            for (key, bytes) in before {
                let slot: Slot = record::decode(&bytes).map_err(|e| corrupt(&key, &e))?;
                view.remember(Arc::new(slot));
            }
        }
        // Another replica may have collected while this one read: then a newer snapshot is there.
        let floor = match store.get(&keys.floor()).await? {
            Some(row) => record::decode_number(&row).map_err(|e| corrupt(&keys.floor(), &e))?,
            None => 0,
        };
        if floor <= snapshot {
            return Ok(view);
        }
    }
}

/// Loads the published positions and resumes the tree of every shard that is not published whole, oldest first.
pub async fn trees(core: &Core) -> Result<Vec<Growing>, StoreError> {
    let keys = &core.order.keys;
    let state = core.order.state();
    let prefix = keys.all_published();
    let mut rows: HashMap<String, Published> = HashMap::new();
    let mut from = prefix.clone();
    loop {
        let page = core.store.scan(&prefix, &from, 512).await?;
        let full = page.len() == 512;
        for (key, bytes) in page {
            let (_, row) = record::decode_numbered(&bytes).map_err(|e| corrupt(&key, &e))?;
            rows.insert(key[prefix.len()..].to_owned(), row);
            from = key + "\0";
        }
        if !full {
            break;
        }
    }
    let mut growing = Vec::new();
    for shard in state.shards.iter() {
        let (Some(start), Some(length)) = (shard.start(), state.length(shard)) else {
            continue;
        };
        let name = &shard.identity.name;
        let row = rows.get(name);
        if let Some(row) = row {
            load_signed(core, &state, name, row).await?;
        }
        let published = row.map_or(0, |r| r.size);
        if published > length {
            return Err(StoreError::Corrupt(format!(
                "shard {name}: {published} entries are published but only {length} are ordered: the coordination store is older than the objects; restore a newer one"
            )));
        }
        let signed = core
            .shards
            .get(&state, name)
            .is_some_and(|s| s.signed.load().is_some());
        let sealed = signed
            && published == length
            && core
                .objects
                .get(&core.object_path(name, "seal"))
                .await?
                .is_some();
        let active = matches!(shard.phase, crate::order::state::Phase::Active { .. });
        if active || !sealed {
            let tree = resume(core, name, row).await?;
            core.last_cut.lock().await.insert(name.clone(), published);
            let cut = signed.then_some(published);
            growing.push(Growing {
                name: name.clone(),
                start,
                tree,
                full: Vec::new(),
                cut,
            });
        }
    }
    Ok(growing)
}

/// The checkpoint of a published position: the object where it is current, else signed again (Ed25519 is deterministic).
async fn load_signed(
    core: &Core,
    state: &State,
    name: &str,
    row: &Published,
) -> Result<(), StoreError> {
    let Some(shard) = core.shards.get(state, name) else {
        return Ok(());
    };
    let path = core.object_path(name, "checkpoint");
    let key = shard.verifier().map_err(|e| corrupt(name, &e))?;
    let object = core
        .objects
        .get(&path)
        .await?
        .and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    if let Some(note) = object
        && let Ok(checkpoint) = tlog::Checkpoint::open(&note, &key)
    {
        if checkpoint.size == row.size && checkpoint.root != row.root {
            return Err(corrupt(
                &path,
                &"its root is not the one that was published",
            ));
        }
        if checkpoint.size == row.size {
            shard.signed.store(Some(Arc::new(Signed {
                at: row.clone(),
                note,
            })));
        }
    }
    Ok(())
}

/// The tree of a shard at its published size, checked against the published root.
async fn resume(core: &Core, name: &str, row: Option<&Published>) -> Result<ShardTree, StoreError> {
    let Some(row) = row.filter(|r| r.size > 0) else {
        return Ok(ShardTree::default());
    };
    let mut tiles: HashMap<TilePath, Vec<Hash>> = HashMap::new();
    let mut bundle_bytes = Vec::new();
    for path in tlog::partial_tiles(row.size) {
        let object = core.object_path(name, &path.to_string());
        // The partial tile may have gone because another replica completed it meanwhile: the full one begins with it.
        let full = core.object_path(name, &TilePath { width: 256, ..path }.to_string());
        let bytes = match core.objects.get(&object).await? {
            Some(bytes) => bytes,
            None => core
                .objects
                .get(&full)
                .await?
                .ok_or_else(|| corrupt(&object, &"missing"))?,
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
        row.size / TILE_WIDTH,
        ((row.size % TILE_WIDTH) as u16).max(1),
    );
    let leaves = TilePath {
        kind: tlog::TileKind::Hashes(0),
        ..edge
    };
    if let (Some(from_entries), Some(from_tile)) = (tiles.get(&edge), tiles.get(&leaves))
        && from_entries != from_tile
    {
        let path = core.object_path(name, &edge.to_string());
        return Err(corrupt(
            &path,
            &"the entries do not match the level-0 tile beside it",
        ));
    }
    let tree = ShardTree::resume(row.size, bundle_bytes, |path| {
        tiles
            .remove(&path)
            .ok_or_else(|| corrupt(&path.to_string(), &"missing"))
    })?;
    if tree.root() != row.root {
        let folder = core.object_path(name, "tile");
        return Err(corrupt(
            &folder,
            &format!(
                "the tiles at size {} do not lead to the published root {}",
                row.size, row.root
            ),
        ));
    }
    Ok(tree)
}
