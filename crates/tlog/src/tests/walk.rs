//! Walks through trees whose objects were made, and whose roots were computed, by the recursive definitions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::proofs::{TREE, entry};
use crate::walk::{Event, Flaw, Object, Walk, Wrong, order};
use crate::{Hash, TILE_WIDTH, TileKind, TilePath, bundle, leaf_hash, partial_tiles};

type Objects = BTreeMap<TilePath, Vec<u8>>;

/// The object with this name, from the definition.
fn object(path: TilePath) -> Vec<u8> {
    let range = path.index * TILE_WIDTH..path.index * TILE_WIDTH + u64::from(path.width);
    match path.kind {
        TileKind::Entries => {
            let mut bytes = Vec::new();
            range.for_each(|index| assert!(bundle::push(&mut bytes, &entry(index))));
            bytes
        }
        TileKind::Hashes(level) => {
            let leaves = 1u64 << (8 * level);
            let nodes = range.map(|node| TREE.root(node * leaves..(node + 1) * leaves).0);
            nodes.flatten().collect()
        }
    }
}

fn objects(size: u64) -> Objects {
    order(size).map(|path| (path, object(path))).collect()
}

fn walk(objects: &Objects, size: u64, watched: &BTreeSet<u64>) -> (Vec<Event>, Option<Hash>) {
    let mut walk = Walk::new(size, TREE.root(0..size), watched.iter().copied());
    let mut events = Vec::new();
    for path in order(size) {
        let mut names = path.names();
        let read = names.find_map(|name| Some((name, objects.get(&name)?.as_slice())));
        events.extend(walk.take(Object::read(path, read)));
    }
    let (last, root) = walk.finish();
    events.extend(last);
    (events, root)
}

/// The objects that the events are sure about. A tile that is the lower of two was named before, perhaps together with another
/// object that is the damaged one.
fn blamed(events: &[Event]) -> BTreeSet<TilePath> {
    let blamed = events.iter().filter_map(|event| match event {
        Event::Flawed { path, .. } => Some(*path),
        Event::Differs { above, wrong, .. } if *wrong == Wrong::Above => Some(*above),
        Event::Differs { below, wrong, .. }
            if *wrong == Wrong::Below && below.kind == TileKind::Entries =>
        {
            Some(*below)
        }
        _ => None,
    });
    blamed.collect()
}

fn settled(events: Vec<Event>) -> BTreeMap<TilePath, Vec<Hash>> {
    let settled = events.into_iter().filter_map(|event| match event {
        Event::Settled { path, hashes } => Some((path, hashes)),
        _ => None,
    });
    settled.collect()
}

fn expected(path: TilePath) -> Vec<Hash> {
    let bytes = object(path);
    match path.kind {
        TileKind::Entries => bundle::entries(&bytes)
            .unwrap()
            .into_iter()
            .map(leaf_hash)
            .collect(),
        TileKind::Hashes(_) => bytes.as_chunks().0.iter().copied().map(Hash).collect(),
    }
}

/// Sizes around the edges of tiles, and any.
fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![
        5 => 0..1500u64,
        2 => prop::sample::select(vec![255, 256, 257, 512, 65_535, 65_536, 65_537, 65_800]),
    ]
}

#[test]
fn the_order_is_from_above_to_below_and_from_left_to_right() {
    let path = |text: &str| text.parse::<TilePath>().unwrap();
    let begins: Vec<_> = order(65_800).take(6).collect();
    assert_eq!(
        begins,
        [
            "tile/2/000.p/1",
            "tile/1/000",
            "tile/0/000",
            "tile/entries/000",
            "tile/0/001",
            "tile/entries/001"
        ]
        .map(path)
    );
    assert_eq!(order(0).count(), 0);
    // A size that no log has must not be counted through.
    assert_eq!(order(u64::MAX).next(), Some(path("tile/7/000.p/255")));
    for size in [1, 255, 256, 300, 65_536, 65_800] {
        let all: BTreeSet<_> = order(size).collect();
        assert_eq!(all.len(), order(size).count(), "each once");
        let partial: BTreeSet<_> = all
            .iter()
            .filter(|path| path.is_partial())
            .copied()
            .collect();
        assert_eq!(partial, partial_tiles(size).into_iter().collect(), "{size}");
        let hashes = all
            .iter()
            .filter(|path| path.kind != TileKind::Entries)
            .map(|path| u64::from(path.width));
        let levels = (0..8).map(|level| size >> (8 * level)).sum::<u64>();
        assert_eq!(hashes.sum::<u64>(), levels, "{size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// A sound tree: no complaint, the roots are those of the definition, and so is every tile, read or not.
    #[test]
    fn a_sound_tree(size in sizes(), at in vec(any::<Index>(), 0..4), tiles: bool) {
        let watched: BTreeSet<u64> = at.iter().map(|at| at.index(size as usize + 1) as u64).collect();
        let mut objects = objects(size);
        let all: BTreeSet<_> = objects.keys().copied().collect();
        let mut walk = Walk::new(size, TREE.root(0..size), watched.iter().copied());
        objects.retain(|path, _| tiles || path.kind == TileKind::Entries);
        let mut events = Vec::new();
        for path in order(size).filter(|path| objects.contains_key(path)) {
            events.extend(walk.take(Object::read(path, Some((path, &objects[&path])))));
        }
        let (last, root) = walk.finish();
        events.extend(last);
        prop_assert_eq!(root, Some(TREE.root(0..size)));
        let (roots, events): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| matches!(event, Event::Root { .. }));
        let wanted = watched.iter().map(|&size| Event::Root { size, root: TREE.root(0..size) });
        prop_assert!(roots.len() == watched.len() && wanted.into_iter().all(|root| roots.contains(&root)));
        prop_assert_eq!(events.len(), all.len(), "nothing else is said");
        let settled = settled(events);
        prop_assert_eq!(settled.keys().copied().collect::<BTreeSet<_>>(), all);
        for (path, hashes) in settled {
            prop_assert_eq!(hashes, expected(path), "{}", path);
        }
    }

    /// One damaged object is named, and no other; what the walk then says of every tile and of the root is right.
    #[test]
    fn one_damaged_object(size in sizes().prop_filter("empty", |size| *size > 0), which: Index, at: Index, gone in 0..4, bit in 0..8u8) {
        let mut objects = objects(size);
        let path = *which.get(&objects.keys().copied().collect::<Vec<_>>());
        let bytes = objects.get_mut(&path).unwrap();
        let at = at.index(bytes.len());
        match gone {
            0 => drop(objects.remove(&path)),
            1 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << bit,
        }
        let (events, root) = walk(&objects, size, &BTreeSet::new());
        prop_assert_eq!(blamed(&events), BTreeSet::from([path]));
        prop_assert_eq!(root, Some(TREE.root(0..size)));
        for (path, hashes) in settled(events) {
            prop_assert_eq!(hashes, expected(path), "{}", path);
        }
    }

    /// However much is damaged: only what is damaged is blamed, and something is said unless all is well.
    #[test]
    fn much_damage(size in sizes().prop_filter("empty", |size| *size > 0), which in vec((any::<Index>(), any::<Index>(), any::<bool>()), 0..6)) {
        let mut objects = objects(size);
        let sound = objects.clone();
        let all: Vec<_> = objects.keys().copied().collect();
        for (which, at, gone) in which {
            let path = which.get(&all);
            let Some(bytes) = objects.get_mut(path) else { continue };
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
            if gone {
                objects.remove(path);
            }
        }
        let (events, root) = walk(&objects, size, &BTreeSet::new());
        for path in blamed(&events) {
            prop_assert_ne!(objects.get(&path), sound.get(&path), "{} is blamed", path);
        }
        let silent = events.iter().all(|event| matches!(event, Event::Settled { .. }));
        prop_assert_eq!(silent && root == Some(TREE.root(0..size)), objects == sound);
    }
}

/// Of a full tile in place of a partial one only the beginning counts; but all of it must have the form of a tile.
#[test]
fn a_full_tile_in_place_of_a_partial_one() {
    let mut objects = objects(300);
    for partial in partial_tiles(300) {
        objects.remove(&partial);
        objects.insert(partial.full(), object(partial.full()));
    }
    let (events, root) = walk(&objects, 300, &BTreeSet::new());
    assert_eq!(
        (blamed(&events), root),
        (BTreeSet::new(), Some(TREE.root(0..300)))
    );
    let last = TilePath::hashes(0, 1, 256);
    objects.get_mut(&last).unwrap().pop();
    let (events, _) = walk(&objects, 300, &BTreeSet::new());
    let flaw = Flaw::Bytes {
        found: 8191,
        expected: 8192,
    };
    assert!(events.contains(&Event::Flawed { path: last, flaw }));
}

/// All objects agree with each other, and with another history than the one that was signed.
#[test]
fn another_history_has_another_root() {
    for size in [130, 300, 512] {
        let mut walk = Walk::new(size, leaf_hash(b"other"), None);
        let events: Vec<_> = order(size)
            .flat_map(|path| walk.take(Object::read(path, Some((path, &object(path))))))
            .collect();
        assert!(
            events
                .iter()
                .all(|event| matches!(event, Event::Settled { .. }))
        );
        assert_eq!(walk.finish().1, Some(TREE.root(0..size)));
    }
}

/// A bundle and the tile beside it agree with each other, and not with the tile above: that is told once, and everything
/// further up is judged by what is stored. If one of the two has been named before, the tile above is not suspected.
#[test]
fn two_objects_against_the_one_above() {
    const SIZE: u64 = 65_800;
    let mut objects = objects(SIZE);
    let (bundle, leaves) = (TilePath::entries(7, 256), TilePath::hashes(0, 7, 256));
    let above = TilePath::hashes(1, 0, 256);
    objects.get_mut(&bundle).unwrap()[9] ^= 1;
    let altered = objects[&bundle].clone();
    let hashes = crate::walk::hashes(bundle, &altered).unwrap();
    objects.insert(leaves, crate::tile_bytes(&hashes));
    let differs = |wrong| Event::Differs {
        above,
        at: 7,
        below: leaves,
        wrong,
    };
    let complaints = |objects: &Objects| {
        let (events, root) = walk(objects, SIZE, &BTreeSet::new());
        assert_eq!(root, Some(TREE.root(0..SIZE)));
        let (settled, complaints): (Vec<_>, Vec<_>) = events
            .into_iter()
            .partition(|event| matches!(event, Event::Settled { .. }));
        assert_eq!(self::settled(settled)[&above], expected(above));
        complaints
    };
    assert_eq!(complaints(&objects), [differs(Wrong::Either)]);
    objects.remove(&bundle);
    let flaw = Flaw::Missing;
    let missing = Event::Flawed { path: bundle, flaw };
    assert_eq!(complaints(&objects), [missing, differs(Wrong::Below)]);
}
