//! Seals, and the shards that are still to be published or sealed.
//!
//! A seal says forever that a shard has ended, and names the key of its successor. So it is signed only when a restore from the secondaries
//! would know both. What must never happen: a log is restored without a change that a seal speaks of, and the sealed shard grows.

use std::sync::Arc;

use bytes::Bytes;
use order::mutant::{Mutant, left_out};
use order::state::{Phase, State};
use store::{Guard, Outcome, StoreError, Transaction, record};
use tlog::Seal;

use super::{PublishError, Publisher};
use crate::publish::publication::Publication;
use crate::shard::{Published, Shard, SignError};

/// How many newly sealed shards are recorded at a time, in one transaction. A start checks about this many again.
const SEALED: u64 = 16;

/// A shard that has ended and is published whole.
pub(crate) struct Finished {
    pub(crate) shard: Arc<Shard>,
    successor: Arc<Shard>,
    /// Its final size and root.
    pub(crate) at: Published,
}

/// The content of the seal of a shard that ended at `at`.
pub(crate) fn seal_of(shard: &Shard, at: &Published, successor: &Shard) -> Result<Seal, SignError> {
    Ok(Seal {
        origin: shard.identity.origin.clone(),
        size: at.size.get(),
        root: at.root,
        successor_origin: successor.identity.origin.clone(),
        successor_key: successor.verifier()?,
    })
}

impl Publication {
    /// The shard with this number, if it has ended and is published whole.
    pub(crate) fn finished(&self, state: &State, number: usize) -> Option<Finished> {
        let (at, next) = (state.shards.get(number)?, state.shards.get(number + 1)?);
        let Phase::Frozen { length, .. } = at.phase else {
            return None;
        };
        next.start()?;
        let shard = self.shards.get(state, &at.identity.name)?;
        let whole = |at: &Published| at.size == length || left_out(Mutant::SealBeforeTheEnd);
        let end = shard.at().filter(whole)?;
        Some(Finished {
            shard,
            successor: self.shards.get(state, &next.identity.name)?,
            at: end,
        })
    }

    /// Whether a restore from the secondaries would know that this shard, which has a successor, has ended. It must know that from the
    /// secondaries of each membership that is not handed over, because after the hand-over a restore asks only the next membership.
    pub(crate) async fn may_seal(&self, shard: &Shard) -> Result<bool, StoreError> {
        self.running.update_eras().await?;
        let (eras, state) = (self.running.eras.load_full(), self.ledger.state());
        // Another restore may find entries that this shard lacks.
        if self
            .guard
            .life
            .lowered(&state)
            .await?
            .contains_key(&*shard.name)
        {
            return Ok(false);
        }
        let ended = shard.ended(state.generation);
        for of in eras.members() {
            if self.running.told(of, ended).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Seals a shard that is done. Deterministic, so writing it twice is harmless.
    ///
    /// # Errors
    /// Among others [`StoreError::NotYet`], while a restore from the secondaries might not know that the shard has ended.
    pub(crate) async fn seal(&self, of: &Finished) -> Result<(), PublishError> {
        if !self.may_seal(&of.shard).await? {
            let name = &of.shard.name;
            let why = format!(
                "too few secondaries have accepted the manifest that names the successor of shard {name}"
            );
            return Err(StoreError::NotYet(why).into());
        }
        let seal = seal_of(&of.shard, &of.at, &of.successor)?;
        let note = self
            .guard
            .sign_seal(&of.shard, &of.successor, &seal)
            .await?;
        let path = self.objects.path(&of.shard.name, "seal");
        self.objects
            .store
            .put(vec![(path, Bytes::from(note))])
            .await?;
        Ok(())
    }
}

impl Publisher {
    /// Adds the shards that opened since the last call. A shard that already has a checkpoint may still lack its seal, whichever process published
    /// it.
    pub(super) fn open_shards(&mut self, state: &State) {
        let begun = state.shards.iter().take_while(|s| s.start().is_some());
        let opened = begun.count();
        // The last one may have been unfrozen, and gets its seal when it has a successor.
        let from = self.opened.saturating_sub(1);
        for (n, shard) in state.shards.iter().enumerate().take(opened).skip(from) {
            let name = &shard.identity.name;
            let rests = n < self.opened
                && opened == self.opened
                && !matches!(shard.phase, Phase::Active { .. });
            if !rests && !self.open.contains(name) {
                self.open.push(name.clone());
            }
        }
        self.opened = self.opened.max(opened);
    }

    /// Writes down how many of the oldest shards need no more checks, once [`SEALED`] more of them do not.
    pub(super) async fn note_sealed(&mut self, state: &State) -> Result<(), StoreError> {
        let mut shards = state.shards.iter();
        let Some(first) = self.open.first() else {
            return Ok(());
        };
        let before = shards.rposition(|at| at.identity.name == *first);
        let sealed = before.unwrap_or(0) as u64;
        if sealed < self.sealed + SEALED {
            return Ok(());
        }
        let key = self.shared.ledger.keys.sealed();
        let transaction = Transaction {
            guards: vec![Guard::AtMost(key.clone(), sealed)],
            puts: vec![(key, record::encode_counted(sealed))],
            ..Transaction::default()
        };
        match self.shared.ledger.store.transact(transaction).await {
            // Refused: another process has written a larger number.
            Outcome::Committed | Outcome::Refused => self.sealed = sealed,
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e),
        }
        Ok(())
    }

    /// Seals a shard that was rotated out and is published whole; returns false while that must wait. Only readers need the seal, so nothing waits
    /// for one that cannot be written.
    pub(super) async fn seal(&self, state: &State, shard: &Shard) -> Result<bool, PublishError> {
        let shared = &self.shared;
        let mut shards = state.shards.iter();
        let number = shards.rposition(|s| s.identity.name == *shard.name);
        let Some(done) = number.and_then(|number| shared.finished(state, number)) else {
            return Ok(true);
        };
        match shared.seal(&done).await {
            Err(PublishError::Halt(why)) => Err(PublishError::Halt(why)),
            Err(PublishError::Store(StoreError::NotYet(why))) => {
                tracing::debug!(log = shared.ledger.name, why, "the seal waits");
                Ok(false)
            }
            Err(error) => {
                tracing::warn!(log = shared.ledger.name, shard = &*shard.name, %error, "cannot write the seal; trying again later");
                shared.unsettle(shard);
                Ok(true)
            }
            Ok(()) => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::tests::rig::{Rig, caller};
    use store::fault::Faults;

    /// If another process took a shard over whole while its publisher was held up, the shard is checked until it is sealed.
    #[tokio::test(start_paused = true)]
    async fn shards_that_are_whole_already_are_sealed() {
        let rig = Rig::new();
        let (engine, log) = rig.server(&Faults::new()).await;
        for _ in 0..3 {
            let at = log.append(Bytes::from_static(b"x")).await.unwrap();
            log.wait_published(at.index).await.unwrap();
            let rotate = crate::testing::rotation();
            log.change(rotate, caller()).await.unwrap();
        }
        let at = log.append(Bytes::from_static(b"x")).await.unwrap();
        log.wait_published(at.index).await.unwrap();
        let state = log.ledger.state();
        let names: Vec<_> = state.shards.iter().map(|at| &*at.identity.name).collect();
        let mut publisher = Publisher {
            closing: watch::channel(false).1,
            steps: mpsc::unbounded_channel().1,
            unpublished: VecDeque::new(),
            sweep_owed: false,
            published: Arc::clone(&state),
            // It knows of the first, which is not done here.
            open: vec![names[0].to_owned()],
            sealed: 0,
            opened: 1,
            shared: Arc::clone(&log.publication),
        };
        publisher.open_shards(&state);
        assert_eq!(publisher.open, names);
        publisher.open_shards(&state);
        assert_eq!(publisher.open, names, "each once");
        // All of them are, and none begins.
        publisher.publish().await.unwrap();
        assert_eq!(publisher.open, names[3..]);
        publisher.open_shards(&state);
        assert_eq!(publisher.open, names[3..]);
        engine.shutdown().await;
    }
}
