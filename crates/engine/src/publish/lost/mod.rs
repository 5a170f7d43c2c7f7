//! Signs the last checkpoint or the seal of a shard again, if it was lost after the shard was done.
//!
//! A shard is *done* once it is frozen, published whole, and its successor is open: its notes never change again, and only readers need
//! them. So no publication waits for this. A note that can't be signed again is listed as damage and tried later, each shard at
//! its own pace, however often readers ask for it.
//!
//! The current witnesses are asked, since the configuration of that time is gone. If they do not cosign, the checkpoint is
//! put with the cosignatures that came: readers had it before.
//!
//! What must never happen: a checkpoint replaces a newer one, or one of another history.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::position;
use crate::program::Program;
use crate::publish::publication::Publication;
use crate::publish::seal::Finished;
use crate::publish::sign_guard::judge::Found;
use crate::publish::{PublishError, note};
use crate::shard::{Shard, SignError, Signed};
use store::StoreError;
use tlog::LeafIndex;

/// Pause between the checks of two shards: there may be thousands.
const SETTLED: Duration = Duration::from_millis(10);
/// Pause between two rounds over all of them.
const ROUND: Duration = Duration::from_secs(3600);
/// Pauses before a shard is tried again.
const SHARD_BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(600),
};
/// How often the witnesses are asked for all cosignatures that the policy demands.
const TRIES: u32 = 3;

/// The shards of a log whose notes are to be signed again.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    all: Mutex<BTreeMap<String, Again>>,
    look: Notify,
}

/// How often a shard was tried, and when it is tried next.
#[derive(Clone, Copy, Debug)]
struct Again {
    tries: u32,
    due: Instant,
}

impl Lost {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Again>> {
        // No code that can panic runs under this lock.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard that is tried next.
    fn next(&self) -> Option<(String, Again)> {
        let all = self.all();
        let next = all.iter().min_by_key(|(_, again)| again.due);
        next.map(|(name, again)| (name.clone(), *again))
    }
}

impl Publication {
    /// Asks for the notes of a shard to be signed again. A shard that is already listed is tried at its own pace.
    pub(crate) fn unsettle(&self, shard: &Shard) {
        if !self.running.merge.programs.has(Program::Publish) {
            return;
        }
        let mut fresh = false;
        self.lost
            .all()
            .entry(shard.name.to_string())
            .or_insert_with(|| {
                fresh = true;
                Again {
                    tries: 0,
                    due: Instant::now(),
                }
            });
        if fresh {
            self.lost.look.notify_one();
        }
    }
}

/// Checks the notes of all shards that are done, one after the other, over and over. That includes notes that a start does not check, and notes that
/// are lost later, which perhaps only a process that does not sign would notice.
pub(crate) async fn look_at_settled(shared: Arc<Publication>) {
    shared.guard.passed().await;
    loop {
        let state = shared.ledger.state();
        for number in 0..state.shards.len() {
            if shared.health.halt.is_halted() {
                return;
            }
            let Some(done) = shared.finished(&state, number) else {
                continue;
            };
            let looked = async {
                let checkpoint = shared
                    .objects
                    .last_checkpoint(&done.shard, &done.at)
                    .await?;
                let seal = shared.objects.path(&done.shard.name, "seal");
                let sealed = shared.objects.store.get(&seal).await?.is_some();
                if checkpoint.is_err() || !sealed {
                    shared.unsettle(&done.shard);
                }
                Ok::<_, StoreError>(())
            };
            if let Err(e) = looked.await {
                tracing::warn!(log = shared.ledger.name, shard = &*done.shard.name, error = %e, "cannot look at a sealed shard");
            }
            tokio::time::sleep(SETTLED).await;
        }
        tokio::select! {
            _ = shared.health.halt.halted() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

/// Signs lost notes again, until the log ends.
pub(crate) async fn sign_again(shared: Arc<Publication>) {
    shared.guard.passed().await;
    loop {
        if shared.health.halt.is_halted() {
            return;
        }
        let next = shared.lost.next();
        let due = next.as_ref().map(|(_, again)| again.due);
        if let Some((name, Again { tries, due })) = next
            && due <= Instant::now()
        {
            // A restored log that is not announced yet signs nothing.
            if !matches!(
                shared.guard.life.unannounced(&shared.ledger.state()).await,
                Ok(None)
            ) {
                tokio::time::sleep(SHARD_BACKOFF.first).await;
                continue;
            }
            match again(&shared, &name, tries).await {
                Ok(()) => drop(shared.lost.all().remove(&name)),
                Err((_, PublishError::Halt(why))) => shared.health.halt.halt(why),
                // Nothing is lost: the secondaries must learn first what the seal says.
                Err((_, PublishError::Store(StoreError::NotYet(_)))) => {
                    let due = Instant::now() + SHARD_BACKOFF.first;
                    shared.lost.all().insert(name, Again { tries, due });
                }
                Err((path, error)) => {
                    let path = shared.objects.path(&name, path);
                    let what = format!("can't be signed again: {error}");
                    let place = (Arc::from(&*name), LeafIndex::ZERO);
                    shared.objects.damage.report(&path, what, place);
                    let pause =
                        (SHARD_BACKOFF.first * 2u32.pow(tries.min(10))).min(SHARD_BACKOFF.longest);
                    let again = Again {
                        tries: tries + 1,
                        due: Instant::now() + pause,
                    };
                    shared.lost.all().insert(name, again);
                }
            }
            continue;
        }
        let wait = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = shared.health.halt.halted() => return,
            () = shared.lost.look.notified() => {}
            () = wait => {}
        }
    }
}

/// Signs the lost notes of a shard again; returns which of them can't be, and why.
async fn again(
    shared: &Publication,
    name: &str,
    tries: u32,
) -> Result<(), (&'static str, PublishError)> {
    let state = shared.ledger.state();
    let number = state.shards.iter().rposition(|s| s.identity.name == name);
    let Some(done) = number.and_then(|number| shared.finished(&state, number)) else {
        // The shard is published first.
        return Ok(());
    };
    let checkpoint = checkpoint(shared, &done, tries + 1 < TRIES).await;
    let written = checkpoint.map_err(|error| ("checkpoint", error))?;
    if written && tries > 0 {
        let path = shared.objects.path(name, "checkpoint");
        shared.objects.damage.repaired(&path, "the shard's key");
    }
    let seal = async {
        let path = shared.objects.path(name, "seal");
        if shared.objects.store.get(&path).await?.is_none() {
            shared.seal(&done).await?;
            if tries > 0 {
                shared.objects.damage.repaired(&path, "the shard's keys");
            }
        }
        Ok(())
    };
    seal.await.map_err(|error| ("seal", error))
}

/// Whether the last checkpoint of a shard was put again. `strict`: only with all the cosignatures that the policy asks for.
async fn checkpoint(
    shared: &Publication,
    Finished { shard, at, .. }: &Finished,
    strict: bool,
) -> Result<bool, PublishError> {
    match shared.objects.last_checkpoint(shard, at).await? {
        Ok(()) => return Ok(false),
        Err(Found::Foreign { why }) => {
            // Another log's objects are left alone.
            return Err(PublishError::Sign(SignError::Note {
                shard: shard.name.to_string(),
                why: format!("there is a checkpoint of another log: {why}"),
            }));
        }
        // A checkpoint of another history halts the log here.
        Err(_) => shared.guard.may_replace(shard, at).await?,
    }
    let (store, keys) = (&*shared.ledger.store, &shared.ledger.keys);
    let signed = shard.signed();
    let row = position::published(store, keys, &shard.name).await?;
    shared
        .recall(shard, signed.as_deref(), row.as_ref())
        .await?;
    if row.is_none_or(|row| (row.size, row.root) != (at.size, at.root)) {
        let key = keys.published(&shard.name);
        let why = format!("{key} is not what this server took over; run `logd fsck`");
        return Err(StoreError::Corrupt(why).into());
    }
    let (note, rekor) = match shard.signed() {
        Some(signed) if signed.at == *at => (signed.note.clone(), signed.rekor.get().cloned()),
        _ => {
            let held = shared.running.held(&shard.name).await?;
            let (cosigned, rekor) = note(shared, shard, at, &held).await?;
            match cosigned.lacking {
                Some(lacking) if strict => return Err(PublishError::Witness(lacking)),
                Some(lacking) => {
                    tracing::warn!(
                        log = shared.ledger.name,
                        shard = &*shard.name,
                        why = lacking.why,
                        "a lost checkpoint is put again with fewer cosignatures"
                    );
                }
                None => {}
            }
            (cosigned.note, rekor)
        }
    };
    let path = shared.objects.path(&shard.name, "checkpoint");
    shared
        .objects
        .store
        .put(vec![(path, Bytes::from(note.clone()))])
        .await?;
    let at = at.clone();
    shard.advance(Signed::new(at, note, rekor));
    Ok(true)
}

#[cfg(test)]
mod tests;
