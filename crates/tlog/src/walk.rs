//! The walk through a stored tree, from its entries up to its root. Every hash tile is computed from the objects below it and compared with
//! the stored one.
//!
//! A walk reads nothing itself. [`order`] names the objects, the caller reads them and hands each to [`Walk::take`], and
//! every [`Event`] says what follows from them. At any time one tile of each level is in memory. A caller that has only
//! the bundles leaves the tiles out and gets them computed.
//!
//! If two objects contradict each other, the one above decides which of them is wrong; at the right edge the expected root decides; so one
//! damaged byte names one object. What must never happen: a difference is missed.

use std::collections::BTreeSet;
use std::mem;

use crate::bundle::{self, BundleError};
use crate::hash::{Hash, edge_root, empty_root, leaf_hash, tile_root};
use crate::tile::{TILE_WIDTH, TileKind, TilePath};

/// Levels of tiles in the largest tree.
const LEVELS: usize = 8;

/// The objects of a tree of `size` entries in the order in which a walk takes them: each tile right before the first
/// object below it, and each bundle after the leaf tile beside it.
pub fn order(size: u64) -> impl Iterator<Item = TilePath> {
    (0..size.div_ceil(TILE_WIDTH)).flat_map(move |bundle| {
        (0..LEVELS as u8)
            .rev()
            .filter(move |level| bundle.is_multiple_of(1 << (8 * level)))
            .map(move |level| (TileKind::Hashes(level), bundle >> (8 * level)))
            .chain([(TileKind::Entries, bundle)])
            .filter_map(move |(kind, index)| TilePath::at(kind, index, size))
    })
}

/// Why an object cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The object is missing.
    #[error("missing")]
    Missing,
    /// The store has it, but does not give it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A hash tile whose length does not fit its name.
    #[error("has {found} bytes instead of {expected}")]
    Bytes {
        /// Bytes that it has.
        found: usize,
        /// Bytes that its width asks for.
        expected: usize,
    },
    /// A bundle whose number of entries does not fit its name.
    #[error("has {found} entries instead of {expected}")]
    Entries {
        /// Entries that it has.
        found: usize,
        /// Entries that its width asks for.
        expected: usize,
    },
    /// It is not an entry bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// A tile or bundle as it was read. Making one is the expensive part of a walk, and may be done on another thread.
#[derive(Debug)]
pub struct Object {
    asked: TilePath,
    found: TilePath,
    hashes: Result<Vec<Hash>, Flaw>,
    /// The node over a full bundle.
    node: Option<Hash>,
}

impl Object {
    /// The object for `asked`, from the result of a read under each of its [names](TilePath::names): the name that was found, and
    /// the bytes. Of a wider tile in place of a partial one only the beginning counts.
    pub fn read(asked: TilePath, read: Option<(TilePath, &[u8])>) -> Self {
        let Some((found, bytes)) = read else {
            return Self::flawed(asked, asked, Flaw::Missing);
        };
        let hashes = hashes(found, bytes).map(|mut hashes| {
            hashes.truncate(usize::from(asked.width));
            hashes
        });
        let bundle = asked.kind == TileKind::Entries;
        let node = hashes.as_ref().ok().filter(|_| bundle).and_then(over);
        Self {
            asked,
            found,
            hashes,
            node,
        }
    }

    /// An object that cannot be used, under the name that it was found by.
    pub fn flawed(asked: TilePath, found: TilePath, flaw: Flaw) -> Self {
        Self {
            asked,
            found,
            hashes: Err(flaw),
            node: None,
        }
    }

    /// Whether it is what its name says, as far as its form goes.
    pub fn is_sound(&self) -> bool {
        self.hashes.is_ok()
    }
}

/// The hashes in a tile, or of the entries in a bundle.
///
/// # Errors
/// [`Flaw`] if the bytes do not fit the name.
pub fn hashes(path: TilePath, bytes: &[u8]) -> Result<Vec<Hash>, Flaw> {
    let width = usize::from(path.width);
    if path.kind == TileKind::Entries {
        let entries = bundle::entries(bytes)?;
        if entries.len() != width {
            let found = entries.len();
            return Err(Flaw::Entries {
                found,
                expected: width,
            });
        }
        return Ok(entries.into_iter().map(leaf_hash).collect());
    }
    let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
    if hashes.len() != width || !rest.is_empty() {
        return Err(Flaw::Bytes {
            found: bytes.len(),
            expected: width * Hash::LEN,
        });
    }
    Ok(hashes.iter().copied().map(Hash).collect())
}

/// The wrong one of two objects that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The upper one: the hashes below it lead to the expected root.
    Above,
    /// The lower one. It was named before, unless it is a bundle.
    Below,
    /// Neither leads further up.
    Either,
}

/// A result that follows from the objects taken so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An object that cannot be used.
    Flawed {
        /// As it was found, or asked for.
        path: TilePath,
        /// The fault of the object.
        flaw: Flaw,
    },
    /// A hash in a tile is not the one that the object below it leads to.
    Differs {
        /// The tile that holds the hash.
        above: TilePath,
        /// Which of its hashes, from 0.
        at: usize,
        /// The bundle or the tile below.
        below: TilePath,
        /// Which of the two to blame.
        wrong: Wrong,
    },
    /// A hash tile or a bundle is final; a bundle is reported only if it is intact.
    Settled {
        /// With its width in this tree.
        path: TilePath,
        /// The hashes in the tile, or of the entries.
        hashes: Vec<Hash>,
    },
    /// The root at a size that was asked for.
    Root {
        /// Size of the tree, in entries.
        size: u64,
        /// The root that they lead to.
        root: Hash,
    },
}

/// A hash in a tile, computed from the objects below.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// `None` if nothing below could be used.
    hash: Option<Hash>,
    /// Whether an event has named what it was computed from.
    named: bool,
}

/// The current tile of one level.
#[derive(Debug, Default)]
struct Level {
    /// The tile as it is stored.
    tile: Option<Object>,
    /// Its hashes, computed from the level below.
    nodes: Vec<Node>,
}

impl Level {
    fn stored(&self) -> Option<&[Hash]> {
        self.tile.as_ref()?.hashes.as_deref().ok()
    }

    /// The hashes from below; where nothing below could be used, as stored.
    fn computed(&self) -> Option<Vec<Hash>> {
        let nodes = self.nodes.iter().enumerate();
        let stored = |at| self.stored()?.get(at).copied();
        nodes
            .map(|(at, node)| node.hash.or_else(|| stored(at)))
            .collect()
    }
}

/// One walk through one tree.
#[derive(Debug)]
pub struct Walk {
    size: u64,
    root: Hash,
    watched: BTreeSet<u64>,
    levels: [Level; LEVELS],
    /// The leaves of the last, partial bundle; `None` if they are not known.
    last: Option<Vec<Hash>>,
    /// Whether everything leads to the expected root: known at the end.
    leads: bool,
    events: Vec<Event>,
}

impl Walk {
    /// A walk through the tree of `size` entries that should have this root. It reports the roots at the `watched` sizes.
    pub fn new(size: u64, root: Hash, watched: impl IntoIterator<Item = u64>) -> Self {
        Self {
            size,
            root,
            watched: watched.into_iter().collect(),
            levels: Default::default(),
            last: Some(Vec::new()),
            leads: false,
            events: Vec::new(),
        }
    }

    /// Takes the next object, in the [order] of the walk.
    pub fn take(&mut self, object: Object) -> Vec<Event> {
        if let Err(flaw) = &object.hashes {
            self.events.push(Event::Flawed {
                path: object.found,
                flaw: flaw.clone(),
            });
        }
        match object.asked.kind {
            TileKind::Hashes(level) => {
                if let Some(level) = self.levels.get_mut(usize::from(level)) {
                    level.tile = Some(object);
                }
            }
            TileKind::Entries => self.leaves(object),
        }
        mem::take(&mut self.events)
    }

    /// Ends the walk when everything was taken: settles the tiles of the right edge, and returns the root that all entries lead to; `None`
    /// if too much is missing.
    pub fn finish(mut self) -> (Vec<Event>, Option<Hash>) {
        let root = self.last.as_ref().and_then(|last| self.edge(last));
        self.leads = root == Some(self.root);
        for level in 1..LEVELS {
            if !self.levels[level].nodes.is_empty() {
                self.settle(level, (self.size >> (8 * level)) / TILE_WIDTH);
            }
        }
        if self.watched.contains(&0) {
            self.events.push(Event::Root {
                size: 0,
                root: empty_root(),
            });
        }
        (self.events, root)
    }

    /// A bundle against the leaf tile taken before it.
    fn leaves(&mut self, bundle: Object) {
        let TilePath { index, width, .. } = bundle.asked;
        let tile = self.levels[0].tile.take();
        let flawed = tile.as_ref().is_some_and(|tile| !tile.is_sound()) || !bundle.is_sound();
        let (mut named, mut intact) = (flawed, bundle.is_sound());
        let mut node = bundle.node;
        let leaves = match (bundle.hashes, tile.map(|tile| (tile.found, tile.hashes))) {
            (Ok(entries), Some((above, Ok(stored)))) if entries != stored => {
                let wrong = if self.leads_up(0, index, &entries) {
                    Wrong::Above
                } else if self.leads_up(0, index, &stored) {
                    Wrong::Below
                } else {
                    Wrong::Either
                };
                let at = differences(&entries, &stored).next().unwrap_or(0);
                self.events.push(Event::Differs {
                    above,
                    at,
                    below: bundle.found,
                    wrong,
                });
                named = true;
                intact = wrong == Wrong::Above;
                if intact {
                    Some(entries)
                } else {
                    node = over(&stored);
                    Some(stored)
                }
            }
            (Ok(entries), _) => Some(entries),
            (Err(_), Some((_, Ok(stored)))) => {
                node = over(&stored);
                Some(stored)
            }
            (Err(_), _) => None,
        };
        if let Some(leaves) = &leaves {
            let first = index * TILE_WIDTH;
            for &size in self.watched.range(first + 1..=first + u64::from(width)) {
                if let Some(root) = self.edge(&leaves[..(size - first) as usize]) {
                    self.events.push(Event::Root { size, root });
                }
            }
            let mut settled = |path| {
                self.events.push(Event::Settled {
                    path,
                    hashes: leaves.clone(),
                });
            };
            settled(TilePath::hashes(0, index, width));
            if intact {
                settled(TilePath::entries(index, width));
            }
        }
        if u64::from(width) == TILE_WIDTH {
            self.push(1, index, Node { hash: node, named });
        } else {
            self.last = leaves;
        }
    }

    /// A tile is complete: `index` is its own on the level below `level`.
    fn push(&mut self, level: usize, index: u64, node: Node) {
        let Some(parent) = self.levels.get_mut(level) else {
            return;
        };
        parent.nodes.push(node);
        if parent.nodes.len() as u64 == TILE_WIDTH {
            let index = index / TILE_WIDTH;
            let node = self.settle(level, index);
            self.push(level + 1, index, node);
        }
    }

    /// Compares a tile with the objects below it, and returns the node over it.
    fn settle(&mut self, at: usize, index: u64) -> Node {
        let level = mem::take(&mut self.levels[at]);
        let mut named = level.tile.as_ref().is_some_and(|tile| !tile.is_sound());
        let hashes = match (level.computed(), level.stored(), &level.tile) {
            (Some(computed), Some(stored), Some(tile)) if computed != stored => {
                let differ: Vec<usize> = differences(&computed, stored).collect();
                let wrong = if self.leads_up(at, index, &computed) {
                    Wrong::Above
                } else if differ.iter().all(|at| level.nodes[*at].named) {
                    Wrong::Below
                } else {
                    Wrong::Either
                };
                let below = |hash: usize| {
                    let child = index * TILE_WIDTH + hash as u64;
                    TilePath::hashes(at as u8 - 1, child, TILE_WIDTH as u16)
                };
                self.events
                    .extend(differ.into_iter().map(|at| Event::Differs {
                        above: tile.found,
                        at,
                        below: below(at),
                        wrong,
                    }));
                named = true;
                if wrong == Wrong::Above {
                    computed
                } else {
                    stored.to_vec()
                }
            }
            (Some(computed), ..) => computed,
            (None, ..) => {
                let named = true;
                return Node { hash: None, named };
            }
        };
        let hash = over(&hashes);
        let path = TilePath::hashes(at as u8, index, hashes.len() as u16);
        self.events.push(Event::Settled { path, hashes });
        Node { hash, named }
    }

    /// Whether these hashes, as a tile, lead to what is above: to the stored tile one level up, or to the expected root.
    fn leads_up(&self, level: usize, index: u64, hashes: &[Hash]) -> bool {
        match over(hashes) {
            Some(node) => {
                let above = self.levels.get(level + 1).and_then(Level::stored);
                let at = (index % TILE_WIDTH) as usize;
                above.is_some_and(|above| above.get(at) == Some(&node))
            }
            None if level == 0 => self.edge(hashes) == Some(self.root),
            None => self.leads,
        }
    }

    /// The root of everything taken so far, with these leaves after it.
    fn edge(&self, leaves: &[Hash]) -> Option<Hash> {
        let above: Option<Vec<_>> = self.levels[1..].iter().map(Level::computed).collect();
        let levels = above?;
        Some(edge_root(
            [leaves].into_iter().chain(levels.iter().map(Vec::as_slice)),
        ))
    }
}

/// The node over a full tile.
fn over(hashes: impl AsRef<[Hash]>) -> Option<Hash> {
    <&[Hash; TILE_WIDTH as usize]>::try_from(hashes.as_ref())
        .ok()
        .map(tile_root)
}

fn differences<'a>(one: &'a [Hash], other: &'a [Hash]) -> impl Iterator<Item = usize> + 'a {
    let pairs = one.iter().zip(other).enumerate();
    pairs.filter(|(_, (a, b))| a != b).map(|(at, _)| at)
}
