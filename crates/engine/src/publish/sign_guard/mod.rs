//! Guards the signatures: the newest known checkpoint of a shard (the high-water mark), and the one place through which a shard signs.
//!
//! A coordination store may be an old copy, objects may be another log's, and neither shows by itself. So before it signs anything or
//! takes a write, this process compares with the store everything that it can see of the shards that may still be signed:
//! the checkpoint and the next full bundle in the object store, and the answers of frontends, secondaries and witnesses. A contradiction
//! is a HALT that names its remedy ([`judge`]).
//!
//! What must never happen: two roots signed for one size, or a signature beside a history that others hold and the store has lost.

mod ask;
pub(crate) mod judge;
mod look;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tlog::{EntryTimestamp, Hash, Opening, Receipt, Seal, TreeSize, empty_root};
use tokio::sync::watch;

pub(crate) use ask::{ask, outdated, settled_there};
pub(crate) use look::{Looked, classify};

use self::judge::{Conflict, Found, FoundAt, Known, Verdict, judge};
use crate::health::Health;
use crate::keyring::KeyRing;
use crate::ledger::Ledger;
use crate::life::LogLife;
use crate::objects::LogObjects;
use crate::peers::Peers;
use crate::running::Running;
use crate::shard::keys::Kek;
use crate::shard::signers::{Notes, SignedOpening, Signers};
use crate::shard::{Published, Shard, Shards, SignError};
use mirror::Tiles;
use order::mutant::{Mutant, left_out};
use order::state;
use order::state::State;
use store::StoreError;

/// A permit to use a shard's key.
struct Cleared(());

/// Signs for one log. Every signature of a shard's key is made here.
pub(crate) struct SignGuard {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) objects: Arc<LogObjects>,
    pub(crate) running: Arc<Running>,
    pub(crate) health: Arc<Health>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) keyring: KeyRing,
    pub(crate) peers: Peers,
    pub(crate) life: Arc<LogLife>,
    compared: Compared,
}

/// The comparisons and signatures of one log in this process.
struct Compared {
    /// Whether all peers that answer were asked.
    passed: watch::Sender<bool>,
    shards: Mutex<HashMap<String, Seen>>,
    index: Mutex<Index>,
}

/// The position of each shard in the list of shards. Made once for a list, so that finding a shard in a long list needs no search.
#[derive(Default)]
struct Index {
    list: Arc<Vec<state::Shard>>,
    at: HashMap<String, usize>,
}

impl Index {
    fn find<'a>(
        &mut self,
        list: &'a Arc<Vec<state::Shard>>,
        name: &str,
    ) -> Option<&'a state::Shard> {
        if !Arc::ptr_eq(&self.list, list) {
            let names = list.iter().map(|shard| shard.identity.name.clone());
            self.at = names.zip(0..).collect();
            self.list = Arc::clone(list);
        }
        list.get(*self.at.get(name)?)
    }
}

#[derive(Default)]
struct Seen {
    /// Its keys, opened at the first use.
    signers: Option<Arc<Signers>>,
    /// Whether its checkpoint object was compared.
    looked: bool,
    /// The size and root that this process signed last.
    last: Option<(TreeSize, Hash)>,
    /// Findings that are not compared yet, because they are ahead of this replica's trees or the trees could not be read. They are compared
    /// before anything of that size is signed.
    later: Vec<(FoundAt, Found)>,
}

impl Default for Compared {
    fn default() -> Self {
        Self {
            passed: watch::Sender::new(false),
            shards: Mutex::default(),
            index: Mutex::default(),
        }
    }
}

impl Compared {
    fn shards(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard called `name` of a state.
    fn listed<'a>(&self, state: &'a State, name: &str) -> Option<&'a state::Shard> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.find(&state.shards, name)
    }

    /// Notes that all peers that answer were compared.
    fn pass(&self) {
        self.passed.send_replace(true);
    }

    /// Keeps a finding that cannot be compared yet. Of the findings about what this process had signed, it keeps only the first.
    fn keep(&self, shard: &str, source: FoundAt, found: Found) {
        let mut shards = self.shards();
        let later = &mut shards.entry(shard.to_owned()).or_default().later;
        let own = source == FoundAt::Process;
        let covers = |(of, kept): &(FoundAt, Found)| *of == source && (own || *kept == found);
        if !later.iter().any(covers) {
            later.push((source, found));
        }
    }

    /// The findings that must be compared before this size is signed. They stay in the list.
    fn due(&self, shard: &str, size: TreeSize) -> Vec<(FoundAt, Found)> {
        let shards = self.shards();
        let later = shards.get(shard).map(|seen| &*seen.later);
        let all = later.unwrap_or_default().iter();
        let due = all.filter(|(_, found)| found.size().is_none_or(|at| at <= size));
        due.cloned().collect()
    }

    /// Drops a kept finding that was compared and fits.
    fn settled(&self, shard: &str, compared: &(FoundAt, Found)) {
        if let Some(seen) = self.shards().get_mut(shard) {
            seen.later.retain(|kept| kept != compared);
        }
    }
}

/// The receipts of one shard.
pub(crate) struct Receipts(Arc<Signers>);

impl Receipts {
    pub(crate) fn sign(&self, receipt: &Receipt) -> Result<String, tlog::NoteError> {
        receipt.sign(&self.0.ed25519)
    }
}

impl SignGuard {
    pub(crate) fn new(
        running: &Arc<Running>,
        health: Arc<Health>,
        shards: Arc<Shards>,
        life: Arc<LogLife>,
        kek: Arc<Kek>,
    ) -> Self {
        Self {
            ledger: Arc::clone(&running.ledger),
            objects: Arc::clone(&running.objects),
            running: Arc::clone(running),
            health,
            keyring: KeyRing::new(Arc::clone(running), Arc::clone(&shards), kek),
            peers: Peers::new(Arc::clone(&running.merge.peers)),
            shards,
            life,
            compared: Compared::default(),
        }
    }

    /// Resolves when what this process can see of this log was compared, or the log is halted.
    pub(crate) async fn compared(&self) {
        let mut passed = self.compared.passed.subscribe();
        tokio::select! {
            _ = passed.wait_for(|passed| *passed) => {}
            _ = self.health.halt.halted() => {}
        }
    }

    /// Resolves when what this process can see of all logs was compared, or the log is halted.
    pub(crate) async fn passed(&self) {
        self.compared().await;
        tokio::select! {
            () = self.health.halt.store_compared() => {}
            _ = self.health.halt.halted() => {}
        }
    }

    /// Halts the log if the verdict says so.
    pub(crate) fn enforce(&self, verdict: Verdict) -> Result<Verdict, SignError> {
        match verdict {
            Verdict::Halt(Conflict::Older { .. } | Conflict::Differs { .. })
                if left_out(Mutant::OlderStoreIsBelieved) =>
            {
                Ok(Verdict::Fits)
            }
            Verdict::Halt(conflict) => Err(self.stop(&conflict)),
            other => Ok(other),
        }
    }

    /// Halts the log, or all logs of the store if it is proven that the store is an older copy, or was one and then continued.
    pub(crate) fn stop(&self, conflict: &Conflict) -> SignError {
        let (halt, why) = (&self.health.halt, conflict.to_string());
        let of_store = match conflict {
            Conflict::Older { source, .. } | Conflict::Differs { source, .. } => match source {
                FoundAt::Objects(_) | FoundAt::Process => true,
                // A restore may have lost entries of this log; the other logs of the store lost none.
                FoundAt::Frontend(_) | FoundAt::Secondary(_) => !self.life.is_restored(),
                // The word of a witness proves nothing about the other logs.
                FoundAt::Witness(_) => false,
            },
            _ => false,
        };
        if of_store {
            halt.halt_store(&self.ledger.name, why.clone());
        } else if !halt.is_halted() {
            halt.halt(why.clone());
        }
        SignError::Halted(why)
    }

    /// The checkpoint of a position whose row is durable, and what else is signed over it: all or nothing.
    pub(crate) async fn sign_checkpoint(
        &self,
        shard: &Shard,
        at: &Published,
    ) -> Result<Notes, SignError> {
        let cleared = self.clear(shard, Some((at.size, at.root))).await?;
        let signers = self.signers(shard, cleared).await?;
        shard.notes(&signers, at.size, at.root)
    }

    /// Whether this process may sign for a shard: it has compared what it can see of it, and the log is not halted.
    pub(crate) async fn may_sign(&self, shard: &Shard) -> Result<(), SignError> {
        self.clear(shard, None).await.map(drop)
    }

    /// The checkpoint of a shard without entries: every history has the same one.
    pub(crate) async fn sign_empty(&self, shard: &Shard) -> Result<Notes, SignError> {
        let signers = self.signers(shard, Cleared(())).await?;
        shard.notes(&signers, TreeSize::ZERO, empty_root())
    }

    /// Signs receipts of promised work.
    pub(crate) async fn receipts(&self, shard: &Shard) -> Result<Receipts, SignError> {
        let cleared = self.clear(shard, None).await?;
        Ok(Receipts(self.signers(shard, cleared).await?))
    }

    /// The note for Rekor's first API over a position whose checkpoint readers already have; `None` where the shard's key is Ed25519 alone.
    pub(crate) async fn sign_rekor_note(
        &self,
        shard: &Shard,
        at: &Published,
    ) -> Result<Option<String>, SignError> {
        let cleared = self.clear(shard, None).await?;
        let signers = self.signers(shard, cleared).await?;
        Ok(shard.notes(&signers, at.size, at.root)?.rekor)
    }

    /// The signed entry timestamp of a published entry; `None` where the shard's key is Ed25519 alone.
    pub(crate) async fn sign_entry(
        &self,
        shard: &Shard,
        entry: &EntryTimestamp<'_>,
    ) -> Result<Option<Vec<u8>>, SignError> {
        let cleared = self.clear(shard, None).await?;
        let signers = self.signers(shard, cleared).await?;
        signers.sign_entry(entry).map_err(|e| shard.note_error(&e))
    }

    /// The opening statement of the active shard, while it has no entry; `None` also where its key is Ed25519 alone.
    pub(crate) async fn opening(&self) -> Result<Option<SignedOpening>, SignError> {
        let state = self.ledger.state();
        let Some(active) = state.active() else {
            return Ok(None);
        };
        let start = active.start().unwrap_or(state.size);
        if start != state.size {
            return Ok(None);
        }
        let Some(shard) = self.shards.get(&state, &active.identity.name) else {
            return Ok(None);
        };
        let opened = state.shards.iter().filter(|other| other.start().is_some());
        let before = opened
            .rev()
            .find(|other| other.identity.name != active.identity.name);
        let opening = Opening {
            origin: active.identity.origin.clone(),
            start: start.get(),
            predecessor: before.map(|other| other.identity.origin.clone()),
        };
        let cleared = self.clear(&shard, None).await?;
        let signers = self.signers(&shard, cleared).await?;
        signers
            .open_shard(&opening)
            .map_err(|e| shard.note_error(&e))
    }

    /// The seal of a shard, by its own key and its successor's.
    pub(crate) async fn sign_seal(
        &self,
        shard: &Shard,
        successor: &Shard,
        seal: &Seal,
    ) -> Result<String, SignError> {
        let own = self
            .clear(shard, Some((TreeSize::new(seal.size), seal.root)))
            .await?;
        let own = self.signers(shard, own).await?;
        let other = self.clear(successor, None).await?;
        let other = self.signers(successor, other).await?;
        let seal = seal.sign(&own.ed25519, &other.ed25519);
        seal.map_err(|e| shard.note_error(&e))
    }

    /// The signers; their keys are read from the store and opened at the first use.
    async fn signers(&self, shard: &Shard, _: Cleared) -> Result<Arc<Signers>, SignError> {
        let name = &*shard.name;
        let known = self
            .compared
            .shards()
            .get(name)
            .and_then(|seen| seen.signers.clone());
        if let Some(signers) = known {
            return Ok(signers);
        }
        let (keys, store) = (&self.ledger.keys, &*self.ledger.store);
        let secrets = shard.secrets(keys, store, &self.keyring.kek).await?;
        let identity = &shard.identity;
        let signers = Signers::open(&identity.origin, &secrets);
        let signers = signers.map_err(|e| shard.note_error(&e))?;
        if signers.vkeys() != (identity.vkey.clone(), identity.ecdsa.clone()) {
            return Err(SignError::Sealed {
                shard: name.to_owned(),
                why: "the stored keys are not those that this shard was planned with".into(),
            });
        }
        let signers = Arc::new(signers);
        let mut shards = self.compared.shards();
        shards.entry(name.to_owned()).or_default().signers = Some(Arc::clone(&signers));
        Ok(signers)
    }

    /// Whether a shard may sign, and that position where there is one.
    async fn clear(
        &self,
        shard: &Shard,
        at: Option<(TreeSize, Hash)>,
    ) -> Result<Cleared, SignError> {
        self.passed().await;
        if let Some(why) = self.health.halt.reason() {
            return Err(SignError::Halted(why));
        }
        let looked = self
            .compared
            .shards()
            .get(&*shard.name)
            .is_some_and(|s| s.looked);
        if !looked {
            self.look(shard).await?;
        }
        let Some((size, root)) = at else {
            return Ok(Cleared(()));
        };
        for kept in self.compared.due(&shard.name, size) {
            self.compare(shard, &kept, (size, root)).await?;
            self.compared.settled(&shard.name, &kept);
        }
        let verdict = {
            let mut shards = self.compared.shards();
            let seen = shards.entry(shard.name.to_string()).or_default();
            let verdict = match seen.last {
                Some((last, of)) => {
                    let known = Known {
                        published: Some((size, root)),
                        ..Known::default()
                    };
                    let last = Found::Signed {
                        size: last,
                        root: of,
                    };
                    judge(&shard.name, &FoundAt::Process, &last, &known)
                }
                None => Verdict::Fits,
            };
            if verdict == Verdict::Fits {
                seen.last = Some((size, root));
            }
            verdict
        };
        self.enforce(verdict)?;
        Ok(Cleared(()))
    }

    /// Compares the findings that were kept with a position of this replica that has reached their size.
    async fn compare(
        &self,
        shard: &Shard,
        (source, found): &(FoundAt, Found),
        at: (TreeSize, Hash),
    ) -> Result<(), SignError> {
        let here = match found.size() {
            Some(size) => self.root_here(&shard.name, size, at).await?,
            None => None,
        };
        let known = Known {
            ordered: at.0,
            published: Some(at),
            here,
            ..Known::default()
        };
        match self.enforce(judge(&shard.name, source, found, &known))? {
            Verdict::Later => Err(SignError::Store(StoreError::NotYet(format!(
                "what {source} has of shard {} cannot be compared yet",
                shard.name
            )))),
            _ => Ok(()),
        }
    }

    /// The root at the size that this process had signed, under a position that another process published. If damage prevents the read, it is
    /// repaired once that position is taken over: nothing is signed before the comparison.
    pub(crate) async fn remembered(
        &self,
        shard: &Shard,
        (size, found): (TreeSize, &Found),
        cut: (TreeSize, Hash),
    ) -> Result<Option<Hash>, StoreError> {
        match self.root_here(&shard.name, size, cut).await {
            Err(StoreError::Corrupt(why)) => {
                tracing::warn!(
                    log = self.ledger.name,
                    shard = &*shard.name,
                    why,
                    "what this server had signed cannot be compared yet"
                );
                let found = found.clone();
                self.compared.keep(&shard.name, FoundAt::Process, found);
                Ok(None)
            }
            root => root,
        }
    }

    /// The root of a shard at a size in this replica's own history: under the root of `cut`, a position of this replica. `None` if that position is
    /// not as far. What another history wrote beside these tiles is never used.
    pub(crate) async fn root_here(
        &self,
        shard: &Arc<str>,
        size: TreeSize,
        cut: (TreeSize, Hash),
    ) -> Result<Option<Hash>, StoreError> {
        let Some(last) = size.last_leaf() else {
            return Ok(Some(empty_root()));
        };
        if size >= cut.0 {
            return Ok((size == cut.0).then_some(cut.1));
        }
        let folder = format!("{}/{shard}", self.ledger.name);
        let tiles = Tiles {
            objects: &*self.objects.store,
            folder: &folder,
        };
        let root = tiles.root_under(size, cut).await;
        if let Err(StoreError::Corrupt(_)) = &root {
            // Nothing is signed before this can be read: it is repaired like damage that a reader meets.
            self.objects.damage.suspect(shard, last);
        }
        root.map(Some)
    }
}
