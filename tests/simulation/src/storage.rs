//! Storage nodes: stores of large batches, each with troubles of its own, and the judge of what may be missing on them.
//!
//! A batch that an injury took from its last node is missing with a cause; if the servers halt for another one, the log has lost it itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt as _;
use logconfig::{LOCAL, LogConfig, StorageConfig, StorageNode};
use store::{MemoryObjects, Objects, record};
use tlog::Hash;

use crate::judge::Judge;
use crate::nodes::{Ailment, Loss, Named, Nodes};
use crate::random::Dice;
use crate::remote::Remote;
use crate::writer::LOG;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A storage node. The first one is the servers' own store, which only loses batches here.
struct Node {
    at: Arc<Remote>,
    /// What injuries took from it.
    lost: Mutex<BTreeMap<String, Bytes>>,
}

/// What operators did with the nodes.
#[derive(Default)]
struct Operated {
    /// The smallest write quorum that any document had.
    quorum: u32,
    /// Nodes that a change names whose outcome nobody knows.
    uncertain: u32,
    /// Changes under way, by the nodes that they name.
    under_way: Vec<u32>,
    /// Nodes that were thrown away; no document names them again.
    discarded: u32,
    /// The newest generation that a change of nodes was answered with.
    generation: u64,
    /// Batches that injuries took from the last node that had them.
    gone: BTreeSet<String>,
}

/// The storage nodes of one life.
pub struct Storage {
    judge: Arc<Judge>,
    /// By path: the digest of what its author put there.
    written: Mutex<BTreeMap<String, Hash>>,
    plan: Nodes,
    nodes: Vec<Arc<Node>>,
    operated: Mutex<Operated>,
}

impl Node {
    /// The batches of the log that it has.
    fn batches(&self) -> BTreeMap<String, Bytes> {
        let mut all = self.at.disk().objects();
        let folder = format!("log/{LOG}/batch/");
        all.retain(|path, _| path.starts_with(&folder));
        all
    }

    /// Whether it lacks a batch that an injury took and that another node still has.
    fn is_hurt(&self, others: &BTreeMap<String, Bytes>) -> bool {
        let (own, lost) = (self.batches(), lock(&self.lost));
        lost.iter()
            .any(|(path, bytes)| own.get(path) != Some(bytes) && others.get(path) == Some(bytes))
    }
}

/// Bit n of nodes by their number.
fn bit(at: usize) -> u32 {
    1 << at
}

impl Storage {
    /// Sound nodes without batches; `local` is the servers' own store.
    pub fn new(plan: Nodes, local: &Arc<MemoryObjects>, judge: &Arc<Judge>) -> Arc<Self> {
        let node = |n: u32| {
            let (name, disk) = match n {
                0 => (LOCAL.to_owned(), Arc::clone(local)),
                n => (format!("node-{n}"), Arc::default()),
            };
            Arc::new(Node {
                at: Remote::new(name, disk),
                lost: Mutex::default(),
            })
        };
        Arc::new(Self {
            judge: Arc::clone(judge),
            written: Mutex::default(),
            plan,
            nodes: (0..plan.count).map(node).collect(),
            operated: Mutex::new(Operated {
                quorum: plan.first.quorum,
                ..Operated::default()
            }),
        })
    }

    /// A server put an object on a node. A batch is what its author wrote, also where it is put once more.
    pub fn put(&self, who: &str, path: &str, bytes: &Bytes) {
        if !path.starts_with(&format!("log/{LOG}/batch/")) {
            return;
        }
        let digest = record::digest(bytes);
        let mut written = lock(&self.written);
        let first = *written.entry(path.to_owned()).or_insert(digest);
        drop(written);
        if first != digest {
            let what = format!("{who}, {path}: {first}, then {digest}");
            let rule = "a batch is what its author wrote";
            self.judge.object(rule, what);
        }
    }

    /// The bytes of the largest batch that is no object, where the store's own limit does not count.
    pub fn values(&self) -> Option<usize> {
        Some(self.plan.values).filter(|values| *values > 0)
    }

    /// Names the first nodes in a document.
    pub fn describe(&self, config: &mut LogConfig) {
        if let Some(first) = self.config(self.plan.first) {
            config.merge.storage = first;
        }
    }

    /// These nodes in a document, without those that were thrown away; nothing if too few are left.
    pub fn config(&self, named: Named) -> Option<StorageConfig> {
        let discarded = lock(&self.operated).discarded;
        let nodes = self.nodes.iter().enumerate();
        let nodes = nodes.filter(|(at, _)| named.nodes & !discarded & bit(*at) != 0);
        let nodes = nodes.filter_map(|(_, node)| node.at.name.parse().ok());
        let nodes: Vec<_> = nodes.map(|name| StorageNode { name }).collect();
        let quorum = named.quorum;
        (quorum > 0 && nodes.len() >= quorum as usize).then_some(StorageConfig { quorum, nodes })
    }

    /// A change that names these nodes is sent.
    pub fn asked(&self, named: Named) {
        let mut operated = lock(&self.operated);
        operated.quorum = operated.quorum.min(named.quorum);
        operated.under_way.push(named.nodes);
    }

    /// That change has an answer that is final, with the generation after it, or none.
    pub fn answered(&self, named: Named, is_final: bool, generation: Option<u64>) {
        let mut operated = lock(&self.operated);
        let mut under_way = operated.under_way.iter();
        if let Some(at) = under_way.position(|nodes| *nodes == named.nodes) {
            operated.under_way.remove(at);
        }
        if !is_final {
            operated.uncertain |= named.nodes;
        }
        operated.generation = operated.generation.max(generation.unwrap_or(0));
    }

    /// A node is ill from now on.
    pub fn ails(&self, at: usize, ailment: Ailment) {
        if let Some(node) = self.nodes.get(at).filter(|_| at > 0) {
            node.at.ails(Some(ailment));
        }
    }

    /// A node is well again.
    pub fn heal(&self, at: usize) {
        if let Some(node) = self.nodes.get(at) {
            node.at.ails(None);
        }
    }

    /// All nodes are well again.
    pub fn heal_all(&self) {
        (0..self.nodes.len()).for_each(|at| self.heal(at));
    }

    /// A node loses something. In most lives so much that the write quorum makes up for it, and no more.
    pub fn loses(&self, at: usize, loss: Loss, dice: &mut Dice) -> usize {
        let Some(node) = self.nodes.get(at) else {
            return 0;
        };
        let mut others = BTreeMap::new();
        let beside = || self.nodes.iter().enumerate().filter(|(n, _)| *n != at);
        beside().for_each(|(_, other)| others.extend(other.batches()));
        let own = node.batches();
        let mut all = own.clone();
        all.extend(others.clone());
        let hurt = beside().filter(|(_, other)| other.is_hurt(&all)).count();
        let mut operated = lock(&self.operated);
        let bearable = hurt + 1 < operated.quorum as usize || self.plan.reckless;
        let mut taken: Vec<(&String, &Bytes)> = own
            .iter()
            .filter(|(path, bytes)| bearable || others.get(*path) == Some(*bytes))
            .collect();
        match loss {
            Loss::Disk => {}
            Loss::Half => taken.retain(|_| dice.chance(500_000)),
            Loss::Bit => taken = dice.pick(&taken).copied().into_iter().collect(),
        }
        let whole = loss == Loss::Disk && taken.len() == own.len() && at > 0;
        if whole {
            // Whoever has the old one open finds it gone.
            node.at.replace(Arc::default());
        }
        let disk = node.at.disk();
        for (path, bytes) in &taken {
            let flipped = (loss == Loss::Bit).then(|| flipped(bytes, dice)).flatten();
            let done = match flipped {
                Some(flipped) => disk.put(vec![((*path).clone(), flipped)]),
                None => disk.delete(vec![(*path).clone()]),
            };
            let _ = done.now_or_never();
            // What was there first: a batch may be damaged twice.
            let mut lost = lock(&node.lost);
            lost.entry((*path).clone())
                .or_insert_with(|| (*bytes).clone());
            drop(lost);
            if others.get(*path) != Some(*bytes) {
                operated.gone.insert((*path).clone());
            }
        }
        taken.len()
    }

    /// An operator throws a node away that the status of a log at this generation does not list any more.
    pub fn discard(&self, at: usize, generation: u64, listed: impl Fn(&str) -> bool) -> bool {
        let Some(node) = self.nodes.get(at).filter(|_| at > 0) else {
            return false;
        };
        let mut operated = lock(&self.operated);
        let wanted = operated.under_way.iter().any(|nodes| nodes & bit(at) != 0);
        let wanted = wanted || (operated.uncertain | operated.discarded) & bit(at) != 0;
        if wanted || generation < operated.generation || listed(&node.at.name) {
            return false;
        }
        operated.discarded |= bit(at);
        node.at.replace(Arc::default());
        node.at.ails(Some(Ailment::Away));
        true
    }

    /// Whether a halt is about a batch of which injuries took as many copies as the write quorum asks for, the last one among them.
    pub fn explains(&self, why: &str) -> bool {
        let operated = lock(&self.operated);
        operated.gone.iter().any(|path| {
            let token = path.rsplit('/').next().unwrap_or(path);
            let copies = |node: &&Arc<Node>| lock(&node.lost).contains_key(path);
            let copies = self.nodes.iter().filter(copies).count();
            why.contains(token) && copies >= operated.quorum as usize
        })
    }

    /// Operators find the disks again, and put back what is nowhere.
    pub fn put_back(&self) {
        let gone = lock(&self.operated).gone.clone();
        for path in gone {
            for node in &self.nodes {
                let bytes = lock(&node.lost).get(&path).cloned();
                let objects = bytes.map(|bytes| (path.clone(), bytes));
                let _ = node.at.disk().put(Vec::from_iter(objects)).now_or_never();
            }
        }
    }

    /// An older document may name nodes that were thrown away: they are there again, and empty.
    pub fn found_again(&self) {
        let mut operated = lock(&self.operated);
        (operated.discarded, operated.uncertain, operated.generation) = (0, 0, 0);
        drop(operated);
        self.heal_all();
    }

    /// The disk of a node, without its process.
    pub fn disk_of(&self, name: &str) -> Result<Arc<dyn Objects>, String> {
        let node = self.nodes.iter().find(|node| node.at.name == name);
        let node = node.ok_or_else(|| format!("no node is called {name}"))?;
        Ok(node.at.disk())
    }

    /// The servers' own store is this one from now on.
    pub fn adopt(&self, local: &Arc<MemoryObjects>) {
        if let Some(first) = self.nodes.first() {
            first.at.replace(Arc::clone(local));
        }
    }

    /// The node of a name.
    pub fn named(&self, name: &str) -> Option<&Arc<Remote>> {
        let mut nodes = self.nodes.iter().map(|node| &node.at);
        nodes.find(|node| node.name == name)
    }
}

fn flipped(bytes: &Bytes, dice: &mut Dice) -> Option<Bytes> {
    let last = bytes.len().checked_sub(1)?;
    let at = usize::try_from(dice.between(0, last as u64)).unwrap_or(0);
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << dice.between(0, 7);
    Some(Bytes::from(bytes))
}
