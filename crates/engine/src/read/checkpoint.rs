//! The checkpoint that readers of a shard get.

use std::time::Duration;

use tlog::TreeSize;
use tokio::time::Instant;

use super::ReadError;
use crate::log::Log;
use crate::position;
use crate::publish::sign_guard::classify;
use crate::publish::sign_guard::judge::Found;
use crate::shard::{Published, Shard};

/// How long a first checkpoint may take from its durable position to its signature, and the time between checks for it.
const SIGNING: Duration = Duration::from_secs(2);
const FIRST_CHECKPOINT_POLL: Duration = Duration::from_millis(20);

impl Log {
    /// The newest signed checkpoint of a shard; an empty one while it is planned or has nothing published. `None`: no such shard.
    pub async fn checkpoint(&self, shard: &str) -> Result<Option<String>, ReadError> {
        let state = self.ledger.state();
        let Some(shard) = self.shards.get(&state, shard) else {
            return Ok(None);
        };
        if let Some(signed) = self.publication.signed(&shard).await? {
            return Ok(Some(signed.note.clone()));
        }
        if let Err(halted) = self.alive() {
            return self.signed_before(&shard).await?.map(Some).ok_or(halted);
        }
        if let Some(row) =
            position::published(&*self.ledger.store, &self.ledger.keys, &shard.name).await?
            && row.size > TreeSize::ZERO
            // Its first checkpoint waits for witnesses: readers keep the empty one.
            && !self.guard.peers.unwitnessed(&shard.name)
        {
            return self.first_checkpoint(&shard, &row).await.map(Some);
        }
        Ok(Some(self.guard.sign_empty(&shard).await?.checkpoint))
    }

    /// The checkpoint for readers of a halted log: a signature stays true.
    async fn signed_before(&self, shard: &Shard) -> Result<Option<String>, ReadError> {
        let path = self.objects.path(&shard.name, "checkpoint");
        let Some(bytes) = self.objects.store.get(&path).await? else {
            return Ok(None);
        };
        Ok(match classify(&bytes, shard.verifiers()?) {
            (Found::Signed { .. }, Some(looked)) => Some(looked.note),
            _ => None,
        })
    }

    /// The first checkpoint of a shard with a durable position: its publisher is about to sign it, or its signature is not read yet.
    pub(super) async fn first_checkpoint(
        &self,
        shard: &Shard,
        row: &Published,
    ) -> Result<String, ReadError> {
        let began = Instant::now();
        loop {
            // The publisher checks a lost one.
            if shard.settled().is_none() {
                self.publication.adopt(shard, row).await?;
            }
            if let Some(signed) = shard.signed().as_ref() {
                return Ok(signed.note.clone());
            }
            if began.elapsed() > SIGNING {
                let policy = self.running.config().witnesses.policy();
                let shard = shard.name.to_string();
                return Err(match policy.is_ok_and(|policy| !policy.is_none()) {
                    true => ReadError::Unwitnessed { shard },
                    false => ReadError::Unsigned { shard },
                });
            }
            tokio::time::sleep(FIRST_CHECKPOINT_POLL).await;
        }
    }
}
