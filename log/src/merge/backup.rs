//! `backup`: cuts → secondaries, each at its own pace (C2SP tlog-mirror, draft).
//!
//! One task per secondary, so that one that is slow or dead slows only its own row. What must never happen: a `verified` row
//! without a cosignature that was checked here, or one of an incarnation that is not the one that answered.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use config::SecondaryConfig;
use tlog::CosignerKey;
use tlog::mirror::{AddCheckpoint, EntriesHead, INFO_TYPE, MirrorInfo, SIZE_TYPE};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::copy::Tiles;
use super::eras::Membership;
use super::life::began_ms;
use super::mark;
use super::peers::{PeerAnswer, PeerError, PeerRequest};
use super::position::{self, Described, Live, Position, Verified};
use super::program::{Done, Program, Trouble};
use crate::document;
use crate::log::Core;
use crate::mirror::Manifest;
use crate::order::commit::now_ms;
use crate::order::keys::trailing_number;
use crate::order::state::{Phase, Shard, State};
use crate::record;
use crate::shard::SignError;
use crate::store::{Guard, Outcome, StoreError, Transaction};

/// How long a secondary may take for a checkpoint, and for entries, which it syncs.
const SHORT: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(60);
/// Pauses after a failure: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));
/// The longest answer of a secondary.
const ANSWER: usize = 64 << 10;
/// Answers in a row that bring no progress before this is a failure.
const STUBBORN: u32 = 6;
/// Time between two published checkpoints that a secondary is shown, so that a busy log costs it little.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// Sealed keys read at a time.
const KEYS: usize = 512;
/// What a secondary is called that does not say which storage it has.
const UNNAMED: &str = "0";

/// Why a copy does not get on.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("ALARM: {0}")]
    Alarm(String),
    /// Another copy of this log goes on.
    #[error("{0}")]
    Superseded(String),
    #[error("{0}")]
    Refused(String),
}

/// The copier of one log.
pub struct Backup {
    /// The log. What was verified is told through `core.merged`.
    pub core: Arc<Core>,
    /// Set when the log shuts down, or when it is to do only what there is to do: bring each secondary that answers to the last
    /// cut, then end.
    pub closing: watch::Receiver<bool>,
}

type Worker = (SecondaryConfig, JoinHandle<Done>);

impl Backup {
    /// Runs until the log ends. Answers what it did.
    pub async fn run(mut self) -> Done {
        let mut moved = self.core.merged.subscribe();
        let mut workers: BTreeMap<String, Worker> = BTreeMap::new();
        let mut done = Done::default();
        loop {
            moved.borrow_and_update();
            self.match_config(&mut workers);
            tokio::select! {
                _ = self.core.halt.halted() => break,
                _ = self.closing.wait_for(|closing| *closing) => break,
                _ = moved.changed() => {}
            }
        }
        for (_, (_, worker)) in std::mem::take(&mut workers) {
            if let Ok(one) = worker.await {
                done.add(one.entries, one.positions);
            }
        }
        done
    }

    /// One task for each secondary that the configuration names, or named before a change that is not handed over.
    fn match_config(&self, workers: &mut BTreeMap<String, Worker>) {
        let named = &self.core.eras.load().secondaries();
        workers.retain(|_, (known, worker)| {
            // One that ended by itself while its secondary stays is started again.
            let stays = named.contains(known) && !worker.is_finished();
            if !stays {
                // Whatever it was doing is repeated by the next one, or by nobody.
                worker.abort();
            }
            stays
        });
        self.core
            .replicas
            .keep(|name| named.iter().any(|s| s.name.as_str() == name));
        for secondary in named {
            let name = secondary.name.to_string();
            if workers.contains_key(&name) {
                continue;
            }
            let key = match secondary.vkey.parse::<CosignerKey>() {
                Ok(key) => key,
                Err(e) => {
                    tracing::error!(secondary = name, error = %e, "its vkey is not usable");
                    continue;
                }
            };
            let copier = Copier {
                core: Arc::clone(&self.core),
                name: name.clone(),
                url: secondary.url.trim_end_matches('/').to_owned(),
                vkey: secondary.vkey.clone(),
                key,
                incarnation: None,
                pending: HashMap::new(),
                whole: HashSet::new(),
                shown: HashMap::new(),
                shown_at: None,
                unshown: false,
                manifest: None,
                done: Done::default(),
            };
            let worker = tokio::spawn(copier.run(self.closing.clone()));
            workers.insert(name, (secondary.clone(), worker));
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.core.set_trouble(Program::Backup, None);
    }
}

/// What a manifest is of. Another is sent when this changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    generation: u64,
    shards: Arc<Vec<Shard>>,
    /// The first generation whose secondaries it lists.
    base: u64,
    /// The storage that has it.
    incarnation: String,
}

impl Sent {
    /// States share their list of shards until it changes, so thousands of them are not compared with every copy.
    fn same(&self, other: &Self) -> bool {
        let Self {
            generation,
            shards,
            base,
            incarnation,
        } = self;
        (generation, base, incarnation) == (&other.generation, &other.base, &other.incarnation)
            && (Arc::ptr_eq(shards, &other.shards) || *shards == other.shards)
    }
}

/// The copier to one secondary.
struct Copier {
    core: Arc<Core>,
    name: String,
    url: String,
    vkey: String,
    key: CosignerKey,
    /// The storage that answered last.
    incarnation: Option<String>,
    /// The size of the pending checkpoint that it is believed to have, by shard.
    pending: HashMap<String, u64>,
    /// Shards that it has all of.
    whole: HashSet<String>,
    /// The published sizes that it was shown, by shard.
    shown: HashMap<String, u64>,
    /// When it was shown one last.
    shown_at: Option<Instant>,
    /// Something is published that it was not shown yet.
    unshown: bool,
    /// What the manifest that it has is of.
    manifest: Option<Sent>,
    done: Done,
}

impl Copier {
    async fn run(mut self, mut closing: watch::Receiver<bool>) -> Done {
        let core = Arc::clone(&self.core);
        let mut moved = core.merged.subscribe();
        let mut published = core.published.subscribe();
        let mut pause = PAUSE.0;
        loop {
            moved.borrow_and_update();
            published.borrow_and_update();
            let ending = *closing.borrow_and_update();
            let elsewhere = async {
                if core.merge.programs.has(Program::Fetch) {
                    std::future::pending::<()>().await;
                }
                let prefix = core.order.keys.all_integrated();
                core.store.changed(&prefix, Duration::from_secs(1)).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            tokio::pin!(elsewhere);
            let passed = tokio::select! {
                passed = self.pass() => passed,
                _ = core.halt.halted() => return self.done,
            };
            let wait = match passed {
                Ok(true) => continue,
                Ok(false) => {
                    pause = PAUSE.0;
                    self.tell(None);
                    None
                }
                Err(CopyError::Superseded(why)) => {
                    core.halt.halt(why);
                    return self.done;
                }
                Err(e) => {
                    self.tell(Some(e));
                    let this = pause;
                    pause = (pause * 2).min(PAUSE.1);
                    Some(this)
                }
            };
            if ending {
                return self.done;
            }
            let moves = async {
                match wait {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => {
                        let since = self.shown_at.map_or(SHOWN_EVERY, |at| at.elapsed());
                        let show = async {
                            if !self.unshown {
                                let _ = published.changed().await;
                            }
                            tokio::time::sleep(SHOWN_EVERY.saturating_sub(since)).await;
                        };
                        tokio::select! {
                            _ = moved.changed() => {}
                            () = &mut elsewhere => {}
                            () = show => {}
                        }
                    }
                }
            };
            tokio::select! {
                _ = core.halt.halted() => return self.done,
                _ = closing.changed() => {}
                () = moves => {}
            }
        }
    }

    /// Says how it goes: in the log when that changes, in the status always.
    fn tell(&self, error: Option<CopyError>) {
        let trouble = error.as_ref().map(ToString::to_string);
        self.core.replicas.secondary(&self.name, |state| {
            if state.trouble != trouble {
                match &trouble {
                    Some(why)
                        if error
                            .as_ref()
                            .is_some_and(|e| matches!(e, CopyError::Alarm(_))) =>
                    {
                        tracing::error!(
                            log = self.core.name,
                            secondary = self.name,
                            why,
                            "ALARM from a secondary"
                        );
                    }
                    Some(why) => tracing::warn!(
                        log = self.core.name,
                        secondary = self.name,
                        why,
                        "a secondary does not get on"
                    ),
                    None => tracing::info!(
                        log = self.core.name,
                        secondary = self.name,
                        "a secondary gets on again"
                    ),
                }
            }
            if let Some(CopyError::Alarm(why)) = &error {
                state.alarm = Some(why.clone());
            } else if error.is_none() {
                state.alarm = None;
            }
            state.trouble = trouble.clone();
            state.incarnation = self.incarnation.clone();
        });
        let trouble = trouble.map(|why| Trouble::new(format!("secondary {}: {why}", self.name)));
        self.core.set_trouble(Program::Backup, trouble);
    }

    /// Brings the secondary to the last cut of each shard, oldest first. Answers whether something moved.
    async fn pass(&mut self) -> Result<bool, CopyError> {
        let core = Arc::clone(&self.core);
        let (store, keys) = (&*core.store, &core.order.keys);
        let state = core.order.state();
        let mut moved = false;
        self.unshown = false;
        if core.eras.load().joint() {
            core.update_base().await?;
        }
        // Also without new entries: a planned shard has a key that must not be lost, and a change is handed over by it.
        self.send_manifest(&state).await?;
        for shard in state.shards.iter() {
            let name = &shard.identity.name;
            if shard.start().is_none() {
                break;
            }
            let whole = self.whole.contains(name);
            if whole && self.shown.get(name).copied() == state.length(shard) {
                continue;
            }
            self.show(&state, name, &shard.identity.origin).await?;
            if whole {
                continue;
            }
            let Some(cut) = position::integrated(store, keys, name).await? else {
                break;
            };
            let verified = self.verified(name).await?;
            if verified.is_none_or(|size| size < cut.size) {
                self.send_manifest(&state).await?;
                self.copy(name, &shard.identity.origin, &cut, verified.unwrap_or(0))
                    .await?;
                moved = true;
            }
            let whole = matches!(shard.phase, Phase::Frozen { length, .. } if length == cut.size);
            if !whole {
                // Older shards first, so that no later one is there without all before it.
                break;
            }
            self.whole.insert(name.clone());
        }
        Ok(moved)
    }

    /// Shows it what is published, signed by the shard's own key as well, so that its readers can verify what it serves: the same
    /// checkpoint again, and no entries. Only while that is its newest pending checkpoint, since no pending one may go back.
    async fn show(&mut self, state: &State, name: &str, origin: &str) -> Result<(), CopyError> {
        let core = Arc::clone(&self.core);
        let Some(signed) = core.shards.get(state, name).and_then(|s| s.signed()) else {
            return Ok(());
        };
        let (size, root) = (signed.at.size, signed.at.root);
        let shown = self.shown.get(name).is_some_and(|shown| *shown >= size);
        if shown || size == 0 || self.pending.get(name) != Some(&size) {
            return Ok(());
        }
        if self.shown_at.is_some_and(|at| at.elapsed() < SHOWN_EVERY) {
            self.unshown = true;
            return Ok(());
        }
        let own = format!("\u{2014} {origin} ");
        let lines = signed.note.lines().filter(|line| line.starts_with(&own));
        let checkpoint = core.pending_checkpoint(origin, size, root).await?;
        let checkpoint = tlog::attach(&checkpoint, lines)
            .map_err(|e| CopyError::Refused(format!("the published checkpoint: {e}")))?;
        let message = AddCheckpoint {
            old: size,
            proof: Vec::new(),
            checkpoint,
        };
        let body = Bytes::from(message.to_body());
        self.shown_at = Some(Instant::now());
        let answer = self
            .post("add-checkpoint", "text/plain; charset=utf-8", body, SHORT)
            .await?;
        if answer.status == 200 {
            let head = EntriesHead {
                origin: origin.to_owned(),
                start: size,
                end: size,
                ticket: Vec::new(),
            };
            let mut body = Vec::new();
            head.write(&mut body);
            self.post("add-entries", "application/octet-stream", body.into(), LONG)
                .await?;
        }
        // Where another replica was ahead, the next size is shown instead.
        self.shown.insert(name.to_owned(), size);
        Ok(())
    }

    /// What the storage that answers has verified of a shard, as the row says.
    async fn verified(&self, shard: &str) -> Result<Option<u64>, StoreError> {
        let Some(incarnation) = &self.incarnation else {
            return Ok(None);
        };
        let (store, keys) = (&*self.core.store, &self.core.order.keys);
        let live = position::live(store, keys, &self.name).await?;
        if live.is_none_or(|live| live.incarnation != *incarnation || live.vkey != self.vkey) {
            return Ok(None);
        }
        let row = position::verified(store, keys, &self.name, incarnation, shard).await?;
        Ok(row.map(|row| row.size))
    }

    async fn post(
        &mut self,
        path: &str,
        kind: &'static str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<PeerAnswer, CopyError> {
        let core = Arc::clone(&self.core);
        let life = core.peer_life().await?;
        let request = PeerRequest {
            url: format!("{}/{path}", self.url),
            body: Some((kind, body)),
            timeout,
            most: ANSWER,
            life,
        };
        let answer = core.replicas.peers.send(request).await?;
        self.heed(&answer).await?;
        let own = life.map_or(0, |life| life.id);
        if let Some(later) = answer.life.filter(|heard| heard.id > own) {
            return Err(CopyError::Superseded(format!(
                "this log was restored elsewhere at {} (Unix time, seconds), as secondary {} says, which takes nothing of this copy any more: this copy is of an earlier life of the log. Stop this server for good, and send its writers and readers to the restored log; see \"Restore\" in docs/operations.md",
                began_ms(later.id) / 1000,
                self.name
            )));
        }
        Ok(answer)
    }

    /// What each answer says beside itself: which storage answered, and whether it is alarmed.
    async fn heed(&mut self, answer: &PeerAnswer) -> Result<(), CopyError> {
        let named = answer.incarnation.as_deref().unwrap_or(UNNAMED);
        let good = (1..=64).contains(&named.len())
            && named
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !good {
            return Err(CopyError::Refused("its incarnation is not a word".into()));
        }
        // Something in between says nothing of the storage behind it.
        let failed = answer.incarnation.is_none() && !matches!(answer.status, 200 | 202 | 409);
        if self.incarnation.as_deref() != Some(named) && !failed {
            self.meet(named).await?;
        }
        match answer.alarm {
            None => Ok(()),
            Some(size) => Err(CopyError::Alarm(format!(
                "it has another root at size {size} and takes nothing any more ({}); see docs/operations.md",
                answer.words()
            ))),
        }
    }

    /// Another storage answers than the one before. What that had counts for nothing from now on, not only when this one has
    /// verified something.
    async fn meet(&mut self, named: &str) -> Result<(), CopyError> {
        let core = Arc::clone(&self.core);
        let (store, keys) = (&*core.store, &core.order.keys);
        let live = position::live(store, keys, &self.name).await?;
        if let Some(old) = live.filter(|live| live.incarnation != named) {
            tracing::warn!(
                log = core.name,
                secondary = self.name,
                incarnation = named,
                before = old.incarnation,
                "another incarnation answers: it counts when it has verified what is published"
            );
            let now = Live {
                incarnation: named.to_owned(),
                vkey: self.vkey.clone(),
                since: now_ms(),
            };
            let prefix = keys.verified(&self.name, &old.incarnation, "");
            let rows = store.scan(&prefix, &prefix, 10_000).await?;
            let gone = keys.gone(&self.name, &old.incarnation);
            let mut deletes: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
            // One that comes back is heard again.
            deletes.push(keys.gone(&self.name, named));
            let transaction = Transaction {
                puts: vec![
                    (keys.secondary(&self.name), record::encode(&now)),
                    (gone, record::encode_number(now.since)),
                ],
                deletes,
                ..Transaction::default()
            };
            match core.store.transact(transaction).await {
                Outcome::Committed => core.merged.send_modify(|count| *count += 1),
                Outcome::Refused => {}
                Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
            }
        }
        self.incarnation = Some(named.to_owned());
        self.know_nothing();
        Ok(())
    }

    /// What it was believed to have is asked for again.
    fn know_nothing(&mut self) {
        self.pending.clear();
        self.whole.clear();
        self.shown.clear();
        self.manifest = None;
    }

    /// What a restore needs beside the entries; sent before the first entry of what it describes.
    async fn send_manifest(&mut self, state: &State) -> Result<(), CopyError> {
        let core = Arc::clone(&self.core);
        core.update_eras().await?;
        let eras = core.eras.load_full();
        let members = eras.members();
        let mut of = Sent {
            generation: state.generation,
            shards: Arc::clone(&state.shards),
            base: members.first().map_or(0, |base| base.generation),
            incarnation: self.incarnation.clone().unwrap_or_default(),
        };
        if self.manifest.as_ref().is_some_and(|sent| sent.same(&of)) {
            return Ok(());
        }
        let manifest = manifest(&core, state, members).await?;
        let signer = core.replication().await?;
        let restored = match core.store.get(&core.order.keys.restored()).await? {
            Some(row) => record::decode_number(&row)
                .map_err(|e| StoreError::Corrupt(format!("when it was restored: {e}")))?,
            None => 0,
        };
        let bytes = manifest
            .sign(&core.kek, signer, restored)
            .map_err(|e| CopyError::Refused(e.to_string()))?;
        let answer = self
            .post("manifest", "application/octet-stream", bytes.into(), SHORT)
            .await?;
        match answer.status {
            200 => {
                let heard = answer.life.map_or(0, |life| life.id);
                self.took(state.len, state.generation, heard).await?;
            }
            // An earlier life of this log went on there.
            409 if let Some(there) = answer.life => {
                let entries = core.life().await?.map_or(0, |life| life.entries);
                let why = format!(
                    "secondary {} has verified {} entries of this log, which was restored with {entries}",
                    self.name, there.entries
                );
                if core.announced.load(Relaxed) {
                    return Err(CopyError::Refused(format!(
                        "{why}: another copy of the log may have published what it has more. Keep its folder, and look at \"Restore\" in docs/operations.md before anything else"
                    )));
                }
                return Err(CopyError::Superseded(format!(
                    "{why}: another copy of the log went on, and nothing is signed here. Stop this server, make sure that the other copy is stopped too, and restore the log again into a new folder, with this secondary among those after --from; see \"Restore\" in docs/operations.md"
                )));
            }
            // A secondary of somebody else keeps no manifests.
            404 | 405 if answer.incarnation.is_none() => {}
            // Another replica of this log was faster; or the log goes on elsewhere, and this store is an older one.
            409 if answer.kind.starts_with(SIZE_TYPE) => {
                mark::outdated(&core, &self.name, &self.url).await?;
            }
            _ => return Err(self.refused("the manifest", &answer)),
        }
        of.incarnation = self.incarnation.clone().unwrap_or_default();
        self.manifest = Some(of);
        Ok(())
    }

    /// Writes down which manifest the secondary holds; `number` is that of the manifest.
    async fn took(&self, number: u64, generation: u64, life: u64) -> Result<(), CopyError> {
        let core = &self.core;
        let row = Described {
            incarnation: self.incarnation.clone().unwrap_or_default(),
            vkey: self.vkey.clone(),
            generation,
            life,
        };
        let key = core.order.keys.manifest(&self.name);
        let transaction = Transaction {
            guards: vec![Guard::AtMost(key.clone(), number)],
            puts: vec![(key, record::encode_numbered(number, &row))],
            ..Transaction::default()
        };
        match core.store.transact(transaction).await {
            // Refused: another replica of this log was further.
            Outcome::Committed | Outcome::Refused => {}
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
        }
        core.merged.send_modify(|count| *count += 1);
        Ok(())
    }

    fn refused(&self, what: &str, answer: &PeerAnswer) -> CopyError {
        let hint = match answer.status {
            403 | 404 => "; is the log's replication key among its logs?",
            _ => "",
        };
        CopyError::Refused(format!("{what} was refused with {}{hint}", answer.words()))
    }

    /// Copies a shard up to a cut.
    async fn copy(
        &mut self,
        shard: &str,
        origin: &str,
        cut: &Position,
        have: u64,
    ) -> Result<(), CopyError> {
        let core = Arc::clone(&self.core);
        let folder = format!("{}/{shard}", core.name);
        let tiles = Tiles {
            objects: &*core.objects,
            folder: &folder,
        };
        let mut head = EntriesHead {
            origin: origin.to_owned(),
            start: have,
            end: cut.size,
            ticket: Vec::new(),
        };
        self.commit(shard, origin, cut, &tiles).await?;
        let mut stubborn = 0;
        let mut ahead: Option<(EntriesHead, Bytes)> = None;
        loop {
            let body = match ahead.take() {
                Some((prepared, body)) if prepared == head => body,
                _ => tiles.request(&head).await?.0,
            };
            let next = sent(&head);
            // While this one is on its way, the next is made: it is nearly always the right one.
            let prepare = EntriesHead {
                start: next,
                ..head.clone()
            };
            let more = next < head.end;
            let (answer, prepared) = tokio::join!(
                self.post("add-entries", "application/octet-stream", body, LONG),
                async {
                    match more {
                        true => tiles.request(&prepare).await.ok().map(|(body, _)| body),
                        false => None,
                    }
                }
            );
            let answer = answer?;
            ahead = prepared.map(|body| (prepare, body));
            let before = head.start;
            match answer.status {
                200 => {
                    let text = self.pending_text(origin, cut);
                    let body = String::from_utf8_lossy(&answer.body);
                    let line = self.key.pick(&text, &body).map_err(|e| {
                        CopyError::Refused(format!("its cosignature does not count: {e}"))
                    })?;
                    return self.record(shard, cut, line, have).await;
                }
                202 | 409 if answer.kind.starts_with(INFO_TYPE) => {
                    let info = std::str::from_utf8(&answer.body)
                        .ok()
                        .and_then(|body| MirrorInfo::parse(body).ok())
                        .ok_or_else(|| self.refused("entries", &answer))?;
                    if info.size != cut.size {
                        // It has forgotten this checkpoint, or another replica of this log is ahead.
                        self.pending.insert(shard.to_owned(), info.size);
                        return Err(CopyError::Refused(format!(
                            "it wants entries up to size {} instead of {}",
                            info.size, cut.size
                        )));
                    }
                    if info.next < have {
                        return Err(self.forgot(shard, have, info.next).await?);
                    }
                    head.ticket = info.ticket;
                    head.start = info.next.min(cut.size);
                }
                _ => return Err(self.refused("an upload", &answer)),
            }
            stubborn = if head.start > before { 0 } else { stubborn + 1 };
            if stubborn > STUBBORN {
                return Err(CopyError::Refused(
                    "it does not get beyond one entry".into(),
                ));
            }
        }
    }

    /// A storage that has less than it had verified is an older copy of itself: it counts when it has verified all of it again.
    async fn forgot(&mut self, shard: &str, had: u64, has: u64) -> Result<CopyError, CopyError> {
        let core = Arc::clone(&self.core);
        let incarnation = self.incarnation.as_deref().unwrap_or_default();
        // Of the other shards it may have less, too, and of the manifest an older one.
        let prefix = core.order.keys.verified(&self.name, incarnation, "");
        let rows = core.store.scan(&prefix, &prefix, 10_000).await?;
        let transaction = Transaction {
            deletes: rows.into_iter().map(|(key, _)| key).collect(),
            ..Transaction::default()
        };
        match core.store.transact(transaction).await {
            Outcome::Committed | Outcome::Refused => {}
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
        }
        self.know_nothing();
        core.merged.send_modify(|count| *count += 1);
        Ok(CopyError::Refused(format!(
            "it has {has} of the {had} entries of shard {shard} that it had verified: its storage is an older copy, and is filled again"
        )))
    }

    fn pending_text(&self, origin: &str, cut: &Position) -> String {
        tlog::Checkpoint {
            origin: origin.to_owned(),
            size: cut.size,
            root: cut.root,
            extensions: Vec::new(),
        }
        .to_text()
    }

    /// Commits this log to a cut: makes it the pending checkpoint.
    async fn commit(
        &mut self,
        shard: &str,
        origin: &str,
        cut: &Position,
        tiles: &Tiles<'_>,
    ) -> Result<(), CopyError> {
        let core = Arc::clone(&self.core);
        let checkpoint = core.pending_checkpoint(origin, cut.size, cut.root).await?;
        for _ in 0..STUBBORN {
            let old = self.pending.get(shard).copied().unwrap_or(0);
            if old > cut.size {
                return Err(CopyError::Refused(format!(
                    "it has size {old} of shard {shard}, this replica is at {}: it waits until the cut is there",
                    cut.size
                )));
            }
            let message = AddCheckpoint {
                old,
                proof: tiles.consistency(old, cut.size).await?,
                checkpoint: checkpoint.clone(),
            };
            let body = Bytes::from(message.to_body());
            let answer = self
                .post("add-checkpoint", "text/plain; charset=utf-8", body, SHORT)
                .await?;
            match answer.status {
                200 => {
                    self.pending.insert(shard.to_owned(), cut.size);
                    return Ok(());
                }
                409 if answer.kind.starts_with(SIZE_TYPE) => {
                    let size = std::str::from_utf8(&answer.body)
                        .ok()
                        .and_then(|body| body.trim_end().parse().ok())
                        .ok_or_else(|| self.refused("a checkpoint", &answer))?;
                    self.pending.insert(shard.to_owned(), size);
                }
                422 if old > 0 && old < cut.size => {
                    self.confront(origin, old, tiles).await?;
                    return Err(self.refused("a checkpoint", &answer));
                }
                _ => return Err(self.refused("a checkpoint", &answer)),
            }
        }
        Err(CopyError::Refused("its size keeps changing".into()))
    }

    /// It does not follow from what it has: shown the root that this log has at that very size, it can tell whether they differ.
    async fn confront(
        &mut self,
        origin: &str,
        size: u64,
        tiles: &Tiles<'_>,
    ) -> Result<(), CopyError> {
        let core = Arc::clone(&self.core);
        let root = tiles.root(size).await?;
        let message = AddCheckpoint {
            old: size,
            proof: Vec::new(),
            checkpoint: core.pending_checkpoint(origin, size, root).await?,
        };
        let body = Bytes::from(message.to_body());
        self.post("add-checkpoint", "text/plain; charset=utf-8", body, SHORT)
            .await?;
        Ok(())
    }

    /// Writes down what was verified.
    async fn record(
        &mut self,
        shard: &str,
        cut: &Position,
        line: String,
        before: u64,
    ) -> Result<(), CopyError> {
        let core = Arc::clone(&self.core);
        let (store, keys) = (&*core.store, &core.order.keys);
        let incarnation = self.incarnation.clone().unwrap_or_default();
        let storage = incarnation.clone();
        let verified = Verified {
            size: cut.size,
            root: cut.root,
            cosignature: Some(line),
            time: now_ms(),
        };
        let key = keys.verified(&self.name, &incarnation, shard);
        let mut transaction = Transaction {
            guards: vec![
                Guard::AtMost(key.clone(), cut.size),
                // Another process has met a newer storage since.
                Guard::Absent(keys.gone(&self.name, &incarnation)),
            ],
            puts: vec![(key, record::encode_numbered(cut.size, &verified))],
            ..Transaction::default()
        };
        let live = position::live(store, keys, &self.name).await?;
        let same = live
            .as_ref()
            .is_some_and(|live| live.incarnation == incarnation && live.vkey == self.vkey);
        if !same {
            let now = Live {
                incarnation,
                vkey: self.vkey.clone(),
                since: now_ms(),
            };
            transaction
                .puts
                .push((keys.secondary(&self.name), record::encode(&now)));
        }
        match core.store.transact(transaction).await {
            Outcome::Committed => {}
            Outcome::Refused if store.get(&keys.gone(&self.name, &storage)).await?.is_some() => {
                // Whichever answers next is met anew.
                self.incarnation = None;
                return Err(CopyError::Refused(format!(
                    "another storage than {storage} answered meanwhile"
                )));
            }
            // Another replica of this log was faster and further.
            Outcome::Refused => return Ok(()),
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
        }
        self.done.add(cut.size.saturating_sub(before), 1);
        core.merged.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// The entry after the last one that a request with this head carries, unless its entries are large.
fn sent(head: &EntriesHead) -> u64 {
    tlog::mirror::packages(head.start, head.end)
        .take(tlog::mirror::MAX_PACKAGES as usize)
        .last()
        .map_or(head.end, |package| package.end)
}

/// Everything beside the entries that a restore needs.
async fn manifest(
    core: &Core,
    state: &State,
    members: &[Membership],
) -> Result<Manifest, CopyError> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (store, keys) = (&*core.store, &core.order.keys);
    let missing = |key: &str| StoreError::Corrupt(format!("{key} is missing; run `logd fsck`"));
    let get = async |key: String| store.get(&key).await?.ok_or_else(|| missing(&key));
    let document = document::read(store, keys, &state.document).await?;
    let document = String::from_utf8(document.to_vec())
        .map_err(|e| StoreError::Corrupt(format!("the configuration: {e}")))?;
    let mut sealed = BTreeMap::new();
    let ids: HashSet<u64> = state.shards.iter().map(|s| s.identity.tree_id).collect();
    let (prefix, mut from) = (keys.signing_keys(), keys.signing_keys());
    loop {
        let page = store.scan(&prefix, &from, KEYS).await?;
        let full = page.len() == KEYS;
        for (key, row) in page {
            // Beside them there may be keys of proposals that lost.
            if let Some(id) = trailing_number(&key).filter(|id| ids.contains(id)) {
                sealed.insert(id, STANDARD.encode(&row));
            }
            from = format!("{key}\0");
        }
        if !full {
            break;
        }
    }
    if let Some(lost) = ids.iter().find(|id| !sealed.contains_key(id)) {
        return Err(missing(&keys.signing_key(*lost)).into());
    }
    // Made, if it was not there.
    core.replication().await?;
    let now = members
        .iter()
        .rposition(|of| of.generation <= state.generation);
    Ok(Manifest {
        log: core.name.clone(),
        state: state.clone(),
        joint: members[..now.unwrap_or(0)].to_vec(),
        document,
        keys: sealed,
        replication: STANDARD.encode(get(keys.replication()).await?),
    })
}
