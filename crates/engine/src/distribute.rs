//! `distribute`: published shards → frontends. Tiles first, then the checkpoint that covers them, so that a reader of any frontend
//! finds everything that its checkpoint covers.
//!
//! Each frontend has its own pace: one that is slow or away delays only its own row. A push continues from the checkpoint that the
//! frontend has, whatever the rows say, so a frontend that was away, or lost its disk, catches up by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use logconfig::FrontendConfig;
use tlog::{Note, TilePath, TreeSize};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::position;
use crate::position::Pushed;
use crate::program::{Done, Program};
use crate::publish::publication::Publication;
use crate::publish::sign_guard::judge::{Found, FoundAt};
use crate::publish::sign_guard::{Looked, classify};
use crate::shard::signers::Verifiers;
use crate::shard::{Shard, Signed};
use mirror::Tiles;
use order::deletion::completed;
use order::state::{Phase, State};
use store::record;
use store::{Guard, Objects, Outcome, StoreError, Transaction};
use tlog::tiles_between;

/// Objects that are read and written at a time.
const AT_ONCE: usize = 64;
/// Time between checks for checkpoints that were signed again.
const CHECKPOINT_POLL: Duration = Duration::from_secs(1);
/// How long after a seal an earlier put may still come late.
const LATE: Duration = Duration::from_secs(120);
/// Time between checks whether a frontend still has the oldest and the newest of the sealed shards.
const SEALED_POLL: Duration = Duration::from_secs(10);
/// Pauses before a frontend that fails is tried again.
const FRONTEND_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(2),
};

/// The distributor of one log.
pub(crate) struct Distributor {
    pub shared: Arc<Publication>,
    /// Set when the log shuts down: push once more, then end.
    pub closing: watch::Receiver<bool>,
}

impl Distributor {
    /// Runs until the log ends. Returns its progress.
    pub(crate) async fn run(mut self) -> Done {
        let shared = Arc::clone(&self.shared);
        let mut merged = shared.progress.merged.subscribe();
        let mut pushers = JoinSet::new();
        let mut running: BTreeMap<String, (FrontendConfig, AbortHandle)> = BTreeMap::new();
        loop {
            let config = shared.running.config();
            let wanted = &config.merge.frontends;
            running.retain(|name, (frontend, task)| {
                // A task that ended by itself while its frontend stays is started again.
                let stays = wanted.contains(frontend) && !task.is_finished();
                if !stays {
                    task.abort();
                    shared.health.set_peer(Program::Distribute, name, None);
                }
                stays
            });
            for frontend in wanted {
                let name = frontend.name.as_str();
                if !running.contains_key(name) {
                    let pusher = Pusher::new(&shared, frontend.clone(), self.closing.clone());
                    let task = pushers.spawn(pusher.run());
                    running.insert(name.to_owned(), (frontend.clone(), task));
                }
            }
            tokio::select! {
                _ = shared.health.halt.halted() => return Done::default(),
                _ = merged.changed() => {}
                _ = self.closing.wait_for(|closing| *closing) => break,
            }
        }
        let mut done = Done::default();
        while let Some(pushed) = pushers.join_next().await {
            let pushed = pushed.unwrap_or_default();
            done.add(pushed.entries, pushed.positions);
        }
        done
    }
}

/// Pushes to one frontend.
struct Pusher {
    shared: Arc<Publication>,
    frontend: FrontendConfig,
    closing: watch::Receiver<bool>,
    /// Its part of each shard that does not count in `whole`.
    has: HashMap<String, Has>,
    /// How many of the oldest shards are there whole, with their seals.
    whole: usize,
    /// When the oldest and the newest of them are looked at again.
    look_at: Instant,
    done: Done,
}

/// The part of a shard that a frontend has.
#[derive(Clone, Default)]
struct Has {
    /// Entries under its checkpoint.
    size: TreeSize,
    /// That checkpoint, as this process put it.
    note: Option<Arc<Signed>>,
    /// When its seal was put, with which it is there whole.
    sealed: Option<Instant>,
    /// Its checkpoint was still there when no earlier put could come late any more.
    settled: bool,
}

/// Whether a frontend's checkpoint needs no other: it has the text of the one that is signed here, with the signature of every key of the
/// shard and no fewer cosignatures. Its bytes may differ: each server that signs a position with an ECDSA key signs it differently, and
/// servers that put such checkpoints over each other's would never end.
fn as_good(there: &[u8], signed: &Signed, keys: &Verifiers) -> bool {
    if there == signed.note.as_bytes() {
        return true;
    }
    let (_, Some(Looked { note, .. })) = classify(there, keys) else {
        return false;
    };
    let both = (Note::parse(&note), Note::parse(&signed.note));
    matches!(both, (Ok(there), Ok(here)) if there.text == here.text && there.signatures.len() >= here.signatures.len())
}

impl Pusher {
    fn new(
        shared: &Arc<Publication>,
        frontend: FrontendConfig,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            frontend,
            closing,
            has: HashMap::new(),
            whole: 0,
            look_at: Instant::now(),
            done: Done::default(),
        }
    }

    async fn run(mut self) -> Done {
        let shared = Arc::clone(&self.shared);
        let mut published = shared.progress.published.subscribe();
        let mut pause = FRONTEND_BACKOFF.first;
        loop {
            let closing = *self.closing.borrow_and_update();
            published.borrow_and_update();
            let pushed = self.push().await;
            let failed = pushed.as_ref().err().map(ToString::to_string);
            if let Some(why) = &failed {
                tracing::warn!(log = shared.ledger.name, frontend = %self.frontend.name, error = why, "a frontend waits");
                // It may come back as another storage. What it has is kept: with many shards, a survey of all of them would never end between
                // two failures.
                self.look_at = Instant::now();
            }
            let wait = if failed.is_some() {
                pause = FRONTEND_BACKOFF.after(pause);
                pause
            } else {
                pause = FRONTEND_BACKOFF.first;
                CHECKPOINT_POLL
            };
            let fails = failed.is_some();
            shared
                .health
                .set_peer(Program::Distribute, self.frontend.name.as_str(), failed);
            if closing {
                return self.done;
            }
            tokio::select! {
                _ = shared.health.halt.halted() => return self.done,
                _ = published.changed(), if !fails => {}
                _ = self.closing.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Brings every shard there, oldest first. One that can't be brought keeps no other from its readers.
    async fn push(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let opened = shared.running.merge.places.frontend(&self.frontend).await;
        let place = opened.map_err(StoreError::Io)?;
        let state = shared.ledger.state();
        self.look_at_sealed(&*place, &state).await?;
        let mut failed = Ok(());
        for (n, at) in state.shards.iter().enumerate().skip(self.whole) {
            let name = &at.identity.name;
            if at.start().is_none() {
                break;
            }
            match self.has.get(name) {
                Some(has) if has.settled => {
                    if n == self.whole {
                        self.whole += 1;
                        self.has.remove(name);
                    }
                    continue;
                }
                Some(has) if has.sealed.is_some_and(|at| at.elapsed() < LATE) => continue,
                _ => {}
            }
            let Some(shard) = shared.shards.get(&state, name) else {
                continue;
            };
            match self.push_one(&*place, &state, &shard).await {
                // What this shard has here or there is at fault, not the frontend.
                Err(error @ (StoreError::Corrupt(_) | StoreError::NotYet(_)))
                    if !shared.health.halt.is_halted() =>
                {
                    failed = failed.and(Err(error));
                }
                other => other?,
            }
        }
        failed
    }

    /// Brings one shard there, until it has what is signed here.
    async fn push_one(
        &mut self,
        place: &dyn Objects,
        state: &State,
        shard: &Arc<Shard>,
    ) -> Result<(), StoreError> {
        let name = &*shard.name;
        // A put that came late may have replaced the checkpoint after the seal was there.
        let sealed = self.has.get(name).filter(|has| has.sealed.is_some());
        if let Some(mut known) = sealed.cloned() {
            known.settled = self.still_there(place, shard, &known).await?;
            if known.settled {
                self.has.insert(name.to_owned(), known);
                return Ok(());
            }
            self.has.remove(name);
        }
        while let Some(signed) = self.shared.signed(shard).await? {
            let known = match self.has.remove(name) {
                Some(known) if self.still_there(place, shard, &known).await? => Some(known),
                _ => self.survey(place, shard, &signed).await?,
            };
            // A checkpoint that is ahead was written by a process that knows more; this one continues once it knows as much.
            let Some(known) = known else { break };
            if let Some(has) = self.push_shard(place, shard, &signed, known).await? {
                self.has.insert(name.to_owned(), has);
                self.push_seal(place, state, shard).await?;
                break;
            }
            self.overtaken(shard, signed.at.size).await?;
        }
        Ok(())
    }

    /// Nothing counts of what it had: it has lost the checkpoint or the seal of a shard, and perhaps tiles with it.
    fn lost(&mut self, shard: &str) -> StoreError {
        self.has.clear();
        self.whole = 0;
        StoreError::NotYet(format!(
            "it no longer has all of shard {shard}; everything is pushed again"
        ))
    }

    /// Notices that a frontend lost its disk, or got an older one, when no other shard can show it: the others are sealed, or are not there
    /// yet.
    async fn look_at_sealed(
        &mut self,
        place: &dyn Objects,
        state: &State,
    ) -> Result<(), StoreError> {
        if self.whole == 0 || Instant::now() < self.look_at {
            return Ok(());
        }
        for at in [0, self.whole - 1] {
            let Some(shard) = state.shards.get(at) else {
                continue;
            };
            let name = &shard.identity.name;
            // It is put last: an older copy of the disk may have the checkpoint of a part.
            let path = self.shared.objects.path(name, "seal");
            if place.get(&path).await?.is_none() {
                return Err(self.lost(name));
            }
        }
        self.look_at = Instant::now() + SEALED_POLL;
        Ok(())
    }

    fn path(&self, shard: &Shard, rest: &str) -> String {
        self.shared.objects.path(&shard.name, rest)
    }

    /// Whether a frontend has the checkpoint that this process put there, or one as good; another process may have put a newer one.
    async fn still_there(
        &mut self,
        place: &dyn Objects,
        shard: &Shard,
        known: &Has,
    ) -> Result<bool, StoreError> {
        let Some(signed) = &known.note else {
            return Ok(false);
        };
        match place.get(&self.path(shard, "checkpoint")).await? {
            Some(there) => Ok(as_good(&there, signed, shard.verifiers()?)),
            None => Err(self.lost(&shard.name)),
        }
    }

    /// Reads the state of a frontend that this process does not know yet: the size of its checkpoint, if it is one of ours; `None` if it is
    /// ahead of what this process knows.
    async fn survey(
        &self,
        place: &dyn Objects,
        shard: &Shard,
        signed: &Arc<Signed>,
    ) -> Result<Option<Has>, StoreError> {
        let there = place.get(&self.path(shard, "checkpoint")).await?;
        let keys = shard.verifiers()?;
        if there.as_ref().is_some_and(|t| as_good(t, signed, keys)) {
            let ledger = &self.shared.ledger;
            let name = self.frontend.name.as_str();
            let row = position::pushed(&*ledger.store, &ledger.keys, name, &shard.name).await?;
            let told = row.is_some_and(|row| row.size >= signed.at.size);
            return Ok(Some(Has {
                size: signed.at.size,
                note: told.then(|| Arc::clone(signed)),
                ..Has::default()
            }));
        }
        let Some(there) = there else {
            return Ok(Some(Has::default()));
        };
        let (found, _) = classify(&there, keys);
        let size = match &found {
            Found::Signed { size, .. } => *size,
            // A damaged object is put again. Another log's objects are left alone.
            Found::Foreign { why } => {
                // A shard that was lost with the primary may have another key than the next one of its name.
                let (log, name) = (&self.shared.ledger.name, &shard.name);
                let mut why = format!("its checkpoint of shard {name} is not of this log: {why}");
                if self.shared.guard.life.is_restored() {
                    why += &format!(
                        "; if the log left it there before it was restored, delete the folder {log}/{name} on this frontend"
                    );
                }
                return Err(StoreError::NotYet(why));
            }
            _ => TreeSize::ZERO,
        };
        let source = FoundAt::Frontend(self.frontend.name.to_string());
        self.shared.guard.fits(shard, &source, &found).await?;
        Ok((size <= signed.at.size).then(|| Has {
            size,
            ..Has::default()
        }))
    }

    /// Called when another process has put a newer checkpoint there than the one of this size: the newest published one is pushed next.
    async fn overtaken(&self, shard: &Shard, size: TreeSize) -> Result<(), StoreError> {
        let (store, keys) = (&*self.shared.ledger.store, &self.shared.ledger.keys);
        let signed = shard.signed();
        if let Some(row) = position::published(store, keys, &shard.name).await? {
            let recalled = self.shared.recall(shard, signed.as_deref(), Some(&row));
            recalled.await?;
            self.shared.adopt(shard, &row).await?;
        }
        if shard.published() > size {
            return Ok(());
        }
        Err(StoreError::NotYet(format!(
            "another process has put more of shard {} there than is signed here",
            shard.name
        )))
    }

    async fn push_shard(
        &mut self,
        place: &dyn Objects,
        shard: &Shard,
        signed: &Arc<Signed>,
        known: Has,
    ) -> Result<Option<Has>, StoreError> {
        let size = signed.at.size;
        let has = Has {
            size,
            note: Some(Arc::clone(signed)),
            ..Has::default()
        };
        if known
            .note
            .as_ref()
            .is_some_and(|note| note.note == signed.note)
        {
            return Ok(Some(has));
        }
        let folder = format!("{}/{}", self.shared.ledger.name, shard.name);
        let tiles = Tiles {
            objects: &*self.shared.objects.store,
            folder: &folder,
        };
        let paths: Vec<TilePath> = tiles_between(known.size.get(), size.get()).collect();
        for paths in paths.chunks(AT_ONCE) {
            let (tiles, folder) = (&tiles, &folder);
            let read = paths.iter().map(|path| async move {
                let bytes = tiles.get(*path).await?;
                Ok::<_, StoreError>((format!("{folder}/{path}"), bytes))
            });
            place.put(try_join_all(read).await?).await?;
        }
        let (store, keys) = (&*self.shared.ledger.store, &self.shared.ledger.keys);
        let row = position::pushed(store, keys, self.frontend.name.as_str(), &shard.name).await?;
        if row.is_some_and(|row| row.size > size) {
            return Ok(None);
        }
        let note = Bytes::from(signed.note.clone());
        place
            .put(vec![(self.path(shard, "checkpoint"), note)])
            .await?;
        if !self.record(shard, size).await? {
            return Ok(None);
        }
        if known.size < size || known.note.is_none() {
            self.done.add(size - known.size, 1);
        }
        // Readers with the checkpoint before find the full tile where the partial one was.
        for tile in completed(&[known.size], size) {
            let partials = place.list(&self.path(shard, &format!("{tile}.p"))).await?;
            place.delete(partials).await?;
        }
        Ok(Some(has))
    }

    /// False when another process has put a newer checkpoint meanwhile.
    async fn record(&self, shard: &Shard, size: TreeSize) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let key = shared
            .ledger
            .keys
            .dist(self.frontend.name.as_str(), &shard.name);
        let pushed = Pushed {
            size,
            time: shared.ledger.clock.now(),
        };
        let transaction = Transaction {
            guards: vec![Guard::AtMost(key.clone(), size.get())],
            puts: vec![(key, record::encode_numbered(size.get(), &pushed))],
            ..Transaction::default()
        };
        match shared.ledger.store.transact(transaction).await {
            Outcome::Committed => Ok(true),
            Outcome::Refused => Ok(false),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// Pushes the seal of a shard that the frontend has completely, once there is one.
    async fn push_seal(
        &mut self,
        place: &dyn Objects,
        state: &State,
        shard: &Shard,
    ) -> Result<(), StoreError> {
        let at = state
            .shards
            .iter()
            .rev()
            .find(|at| at.identity.name == *shard.name);
        let Some(Phase::Frozen { length, .. }) = at.map(|at| at.phase) else {
            return Ok(());
        };
        let has = self.has.get_mut(&*shard.name);
        let Some(has) = has.filter(|has| has.size == length) else {
            return Ok(());
        };
        let path = self.shared.objects.path(&shard.name, "seal");
        if let Some(seal) = self.shared.objects.store.get(&path).await? {
            place.put(vec![(path, seal)]).await?;
            has.sealed = Some(Instant::now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
