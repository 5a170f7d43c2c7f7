//! `replicate`: cuts → secondaries, each at its own pace (C2SP tlog-mirror, draft).
//!
//! One task per secondary, so that a slow or dead one delays only its own row. What must never happen: a `verified` row without a
//! cosignature that this process checked, or for another incarnation than the one that answered.
//!
//! - [`upload`] copies one shard to one secondary; [`talk`] makes one request and reads the headers of the answer;
//! - [`times`] sends the times of entries behind them;
//! - [`storage`] decides which storage of a secondary counts; [`describe`] sends the manifest;
//! - [`assumed`] is what a copier assumes that its secondary has.

mod assumed;
mod describe;
pub(crate) mod manifest;
mod storage;
mod talk;
#[cfg(test)]
mod tests;
mod times;
mod upload;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use logconfig::SecondaryConfig;
use tlog::CosignerKey;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use self::assumed::Assumed;
use self::describe::Sent;
use crate::backoff::Backoff;
use crate::position;
use crate::program::{Done, Program, Trouble};
use crate::publish::sign_guard::SignGuard;
use crate::shard::SignError;
use mirror::PeerError;
use order::state::Phase;
use store::StoreError;

/// How long a secondary may take for a checkpoint (`SHORT`), and for entries, which it must sync (`LONG`).
const SHORT: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(60);
/// Pauses after a failure.
const SECONDARY_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(15),
};
/// How many answers in a row may bring no progress before this counts as a failure.
const STUBBORN: u32 = 6;
/// Time between two published checkpoints that a secondary is shown, so that a busy log costs it little.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// A secondary that got no request for this long is asked whether the log continues elsewhere. Also the shortest time between two questions for the
/// manifest.
const PROBED_AFTER: Duration = Duration::from_secs(10);

/// Why a copy is stuck.
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
    /// Another copy of this log has taken over.
    #[error("{0}")]
    Superseded(String),
    #[error("{0}")]
    Refused(String),
}

/// The copier of one log.
pub(crate) struct Replicator {
    /// Signs what secondaries get, and knows the log.
    pub guard: Arc<SignGuard>,
    /// Set when the log shuts down, or when it is to finish its work: bring each secondary that answers to the last cut, then end.
    pub closing: watch::Receiver<bool>,
}

/// A secondary, and the task that copies to it. The task ends with the replicator, because it would repeat its passes without a pause once nobody
/// could close it.
type Worker = (SecondaryConfig, AbortOnDropHandle<Done>);

impl Replicator {
    /// Runs until the log ends. Returns its progress.
    pub(crate) async fn run(mut self) -> Done {
        let mut moved = self.guard.running.progress.merged.subscribe();
        let mut workers: BTreeMap<String, Worker> = BTreeMap::new();
        let mut done = Done::default();
        loop {
            moved.borrow_and_update();
            self.match_config(&mut workers);
            tokio::select! {
                _ = self.guard.health.halt.halted() => break,
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
        let named = &self.guard.running.eras.load().secondaries();
        workers.retain(|_, (known, worker)| {
            // A task that ended by itself while its secondary stays is started again.
            let stays = named.contains(known) && !worker.is_finished();
            if !stays {
                // The next task repeats what it was doing, if it is still needed.
                worker.abort();
            }
            stays
        });
        self.guard
            .peers
            .keep(|name| named.iter().any(|s| s.name.as_str() == name));
        for secondary in named {
            let name = secondary.name.to_string();
            if workers.contains_key(&name) {
                continue;
            }
            let key = match secondary.vkey.parse::<CosignerKey>() {
                Ok(key) => key,
                Err(e) => {
                    tracing::error!(secondary = name, error = %e, "the vkey of this secondary in the configuration is not a valid key; nothing is copied to it");
                    continue;
                }
            };
            let copier = Copier {
                guard: Arc::clone(&self.guard),
                name: name.clone(),
                url: secondary.url.trim_end_matches('/').to_owned(),
                vkey: secondary.vkey.clone(),
                key,
                assumed: Assumed::default(),
                shown_at: None,
                unshown: false,
                times_failed: None,
                ending: false,
                asked_at: Instant::now(),
                done: Done::default(),
            };
            let worker = AbortOnDropHandle::new(tokio::spawn(copier.run(self.closing.clone())));
            workers.insert(name, (secondary.clone(), worker));
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.guard.health.set_trouble(Program::Replicate, None);
    }
}

/// The copier to one secondary.
struct Copier {
    guard: Arc<SignGuard>,
    name: String,
    url: String,
    vkey: String,
    key: CosignerKey,
    /// What it is believed to have.
    assumed: Assumed,
    /// When it was last shown a published size.
    shown_at: Option<Instant>,
    /// Whether it has not been shown a published checkpoint yet.
    unshown: bool,
    /// When sending times last failed.
    times_failed: Option<Instant>,
    /// Set for the last passes before the log ends.
    ending: bool,
    /// When it answered last.
    asked_at: Instant,
    done: Done,
}

impl Copier {
    async fn run(mut self, mut closing: watch::Receiver<bool>) -> Done {
        let guard = Arc::clone(&self.guard);
        let mut moved = guard.running.progress.merged.subscribe();
        let mut published = guard.running.progress.published.subscribe();
        let mut pause = SECONDARY_BACKOFF.first;
        loop {
            moved.borrow_and_update();
            published.borrow_and_update();
            self.ending = *closing.borrow_and_update();
            let elsewhere = async {
                if guard.running.merge.programs.has(Program::Integrate) {
                    std::future::pending::<()>().await;
                }
                let prefix = guard.ledger.keys.all_integrated();
                guard
                    .ledger
                    .store
                    .changed(&prefix, Duration::from_secs(1))
                    .await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            tokio::pin!(elsewhere);
            let met = self.assumed.met();
            let passed = tokio::select! {
                passed = self.pass() => passed,
                _ = guard.health.halt.halted() => return self.done,
            };
            let wait = match passed {
                Ok(true) => continue,
                Ok(false) => {
                    pause = SECONDARY_BACKOFF.first;
                    self.tell(None);
                    None
                }
                Err(CopyError::Superseded(why)) => {
                    guard.health.halt.halt(why);
                    return self.done;
                }
                Err(e) => {
                    self.tell(Some(e));
                    // What failed before was another storage, or an older copy that is known as one now.
                    if self.assumed.met() != met {
                        pause = SECONDARY_BACKOFF.first;
                    }
                    let this = pause;
                    pause = SECONDARY_BACKOFF.after(pause);
                    Some(this)
                }
            };
            if self.ending {
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
                        let probe = PROBED_AFTER.saturating_sub(self.asked_at.elapsed());
                        let check = self.assumed.manifest.as_ref().map(Sent::asked_in);
                        let probe = probe.min(check.unwrap_or(PROBED_AFTER));
                        tokio::select! {
                            _ = moved.changed() => {}
                            () = tokio::time::sleep(probe) => {}
                            () = &mut elsewhere => {}
                            () = show => {}
                        }
                    }
                }
            };
            tokio::select! {
                _ = guard.health.halt.halted() => return self.done,
                _ = closing.changed() => {}
                () = moves => {}
            }
        }
    }

    /// Reports the state: as a log line when it changes, in the status always.
    fn tell(&self, error: Option<CopyError>) {
        let trouble = error.as_ref().map(ToString::to_string);
        self.guard.peers.secondary(&self.name, |state| {
            if state.trouble != trouble {
                match &trouble {
                    Some(why)
                        if error
                            .as_ref()
                            .is_some_and(|e| matches!(e, CopyError::Alarm(_))) =>
                    {
                        tracing::error!(
                            log = self.guard.ledger.name,
                            secondary = self.name,
                            why,
                            "ALARM from a secondary"
                        );
                    }
                    Some(why) => tracing::warn!(
                        log = self.guard.ledger.name,
                        secondary = self.name,
                        why,
                        "copying to a secondary is stuck"
                    ),
                    None => tracing::info!(
                        log = self.guard.ledger.name,
                        secondary = self.name,
                        "a secondary makes progress again"
                    ),
                }
            }
            if let Some(CopyError::Alarm(why)) = &error {
                state.alarm = Some(why.clone());
            } else if error.is_none() {
                state.alarm = None;
            }
            state.trouble = trouble.clone();
            state.incarnation = self.assumed.incarnation().map(str::to_owned);
        });
        let trouble = trouble.map(|why| Trouble::new(format!("secondary {}: {why}", self.name)));
        self.guard.health.set_trouble(Program::Replicate, trouble);
    }

    /// Brings the secondary to the last cut of each shard, oldest first. Returns whether something moved.
    async fn pass(&mut self) -> Result<bool, CopyError> {
        let guard = Arc::clone(&self.guard);
        let (store, keys) = (&*guard.ledger.store, &guard.ledger.keys);
        let state = guard.ledger.state();
        let mut moved = false;
        self.unshown = false;
        self.recall().await?;
        if guard.running.eras.load().joint() {
            guard.running.update_base().await?;
        }
        // An older copy of its storage may be bound to what an earlier life of the log announced; only the manifest frees it.
        let unanswered = self.check_manifest().await?;
        // The manifest is sent even without new entries: a planned shard has a key that must not be lost, and a change is handed over with
        // it.
        self.send_manifest(&state).await?;
        let met = self.assumed.met();
        for shard in state.shards.iter() {
            let name = &shard.identity.name;
            if shard.start().is_none() {
                break;
            }
            let whole = self.assumed.has_whole(name);
            if whole && self.assumed.shown(name) == state.length(shard) {
                continue;
            }
            self.show(&state, name, &shard.identity.origin).await?;
            if self.assumed.met() != met {
                // The new storage has none of the older shards, and no manifest.
                return Ok(true);
            }
            if whole {
                continue;
            }
            let Some(cut) = position::integrated(store, keys, name).await? else {
                break;
            };
            let verified = self.verified(name).await?;
            if verified.is_none_or(|size| size < cut.size) {
                self.send_manifest(&state).await?;
                if self.assumed.met() == met {
                    self.copy(
                        name,
                        &shard.identity.origin,
                        &cut,
                        verified.unwrap_or_default(),
                    )
                    .await?;
                }
                if self.assumed.met() != met {
                    return Ok(true);
                }
                moved = true;
            }
            let whole = matches!(shard.phase, Phase::Frozen { length, .. } if length == cut.size);
            if !whole {
                // Older shards first, so that no shard is there without all earlier ones.
                break;
            }
            self.assumed.got_whole(name);
        }
        // If the storage is whole now, the next pass sends a manifest that says so.
        moved |= self.vouch().await?;
        if !moved {
            moved = self.send_times(&state).await?;
        }
        if self.asked_at.elapsed() >= PROBED_AFTER {
            self.probe(&state).await?;
        }
        match unanswered {
            Some(error) => Err(error),
            None => Ok(moved),
        }
    }
}
