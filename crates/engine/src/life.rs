//! Lives of a log: each restore from the secondaries begins another one.
//!
//! What must never happen: two lives both publish. The one that was restored may not be the only one: the lost primary may come back, and
//! two may be restored at the same time from the same secondaries. So before a life signs anything:
//!
//! 1. It is **announced**: N-q+1 of the N secondaries of every membership that the restore found have taken its manifest. From
//!    then on they refuse every earlier life, which therefore can't reach a quorum any more.
//! 2. A secondary that has more than the life was restored with does not accept its manifest: an earlier life has continued there. The
//!    secondary compares after it has stopped accepting that life, so nothing can happen in between.
//! 3. N-q+1 of them, and at least q, have verified what it was restored with. A secondary that takes the manifest of a life may
//!    have other entries than that life: it never verifies those, and counts for one life only. And entries that were copied from a
//!    single secondary may never have been published; they are published from now on.
//!
//! A life that learns of a later one stops for good. Lives are ordered by their time, and at random within one millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use order::Generation;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::ledger::Ledger;
use crate::position;
use crate::running::Running;
use crate::running::eras::Membership;
use mirror::PeerLife;
use order::state::State;
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};

/// Random bits at the end of a life's number.
const CHANCE: u32 = 22;

/// The life of a restored log, and the entries it began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Life {
    /// Which life it is: a number that grows.
    pub id: u64,
    /// The generation that it was restored in.
    pub generation: Generation,
    /// Entries, in all shards.
    pub entries: u64,
    /// After a forced restore: the secondaries that must have taken its manifest, by name. Without
    /// somebody else's mirrors, which take no manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<Vec<String>>,
}

/// A life that begins now, after the one numbered `before`; `random` distinguishes it from others of the same millisecond.
pub(crate) fn new(now_ms: u64, before: u64, random: u64) -> u64 {
    let chance = random & ((1 << CHANCE) - 1);
    let number = now_ms.checked_shl(CHANCE).unwrap_or(u64::MAX) | chance;
    number.max(before.saturating_add(1))
}

/// When a life began, milliseconds since the Unix epoch. Older versions wrote just that down.
pub(crate) fn began_ms(id: u64) -> u64 {
    if id >> 48 == 0 { id } else { id >> CHANCE }
}

/// The life of one log, and whether it may sign.
pub(crate) struct LogLife {
    running: Arc<Running>,
    /// The life of this log, once it was read.
    restored: OnceCell<Option<Life>>,
    /// Whether it may sign: it was not restored, or is announced.
    announced: AtomicBool,
}

impl LogLife {
    pub(crate) fn new(running: Arc<Running>) -> Self {
        Self {
            running,
            restored: OnceCell::new(),
            announced: AtomicBool::new(false),
        }
    }

    /// Whether it may sign, as far as this process knows.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.load(Relaxed)
    }

    /// The life of this log; `None` if it was never restored.
    pub(crate) async fn known(&self) -> Result<Option<&Life>, StoreError> {
        let read = async {
            let keys = &self.running.ledger.keys;
            if let Some(row) = self.running.ledger.store.get(&keys.life()).await? {
                let life = record::decode(&row);
                return life
                    .map(Some)
                    .map_err(|e| StoreError::Corrupt(format!("{}: {e}", keys.life())));
            }
            let Some(row) = self.running.ledger.store.get(&keys.restored()).await? else {
                return Ok(None);
            };
            let id = record::decode_number(&row)
                .map_err(|e| StoreError::Corrupt(format!("{}: {e}", keys.restored())))?;
            // Restored by an older version, which signed at once.
            Ok(Some(Life {
                id,
                generation: Generation::ZERO,
                entries: u64::MAX,
                forced: Some(Vec::new()),
            }))
        };
        Ok(self.restored.get_or_try_init(|| read).await?.as_ref())
    }

    /// The same, in the form for secondaries.
    pub(crate) async fn for_peers(&self) -> Result<Option<PeerLife>, StoreError> {
        let life = self.known().await?;
        Ok(life.map(|life| PeerLife {
            id: life.id,
            entries: life.entries,
        }))
    }

    /// Why this life of the log may not sign yet; `None` when it may, from then on.
    pub(crate) async fn unannounced(&self, state: &State) -> Result<Option<String>, StoreError> {
        if self.is_announced() {
            return Ok(None);
        }
        if let Some(life) = self.known().await?
            && let Some(why) = self.running.look_around(life, state).await?
        {
            return Ok(Some(why));
        }
        self.announced.store(true, Relaxed);
        Ok(None)
    }
}

impl Running {
    async fn look_around(&self, life: &Life, state: &State) -> Result<Option<String>, StoreError> {
        let (store, keys) = (&*self.ledger.store, &self.ledger.keys);
        let row = store.get(&keys.announced()).await?;
        if row.is_some_and(|row| {
            record::decode_numbered::<u64>(&row).is_ok_and(|(_, id)| id >= life.id)
        }) {
            return Ok(None);
        }
        match &life.forced {
            Some(names) => {
                let mut missing = Vec::new();
                for name in names {
                    let row = position::manifest(store, keys, name).await?;
                    if row.is_none_or(|row| row.life < life.id) {
                        missing.push(name.as_str());
                    }
                }
                if !missing.is_empty() {
                    return Ok(Some(format!(
                        "the restored log signs nothing before the secondaries that it was restored from have taken it: {} (missing)",
                        missing.join(", ")
                    )));
                }
            }
            None => {
                let eras = self.eras.load_full();
                let members = eras.members().iter();
                for of in members.filter(|of| of.generation <= life.generation) {
                    if let Some(why) = self.ledger.unannounced_to(of, life).await? {
                        return Ok(Some(why));
                    }
                    // For two lives with different entries to pass, one secondary would have to verify both, which it never does.
                    let count = of.enough().max(of.quorum as usize);
                    if !self.holds(of, count, life.entries, state).await? {
                        return Ok(Some(format!(
                            "the restored log signs nothing before {count} of its {} secondaries have verified the {} entries that it was restored with",
                            of.secondaries.len(),
                            life.entries
                        )));
                    }
                }
            }
        }
        let transaction = Transaction {
            guards: vec![Guard::AtMost(keys.announced(), life.id)],
            puts: vec![(keys.announced(), record::encode_numbered(life.id, &life.id))],
            ..Transaction::default()
        };
        match store.transact(transaction).await {
            Outcome::Committed | Outcome::Refused => Ok(None),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// Whether this many of a membership have verified everything before a global index.
    pub(crate) async fn holds(
        &self,
        of: &Membership,
        count: usize,
        index: u64,
        state: &State,
    ) -> Result<bool, StoreError> {
        let Some((last, size)) = position::end(state, index) else {
            return Ok(true);
        };
        let held = self.held(&last.identity.name).await?;
        let has = |held: &&position::Held| held.verified.as_ref().is_some_and(|v| v.size >= size);
        let have = held.iter().filter(|held| of.names(held)).filter(has);
        Ok(have.count() >= count)
    }
}

impl Ledger {
    /// Why too few secondaries of a membership have taken this life, if they are too few.
    async fn unannounced_to(
        &self,
        of: &Membership,
        life: &Life,
    ) -> Result<Option<String>, StoreError> {
        let (store, keys) = (&*self.store, &self.keys);
        let mut missing = Vec::new();
        for secondary in &of.secondaries {
            let row = position::manifest(store, keys, secondary.name.as_str()).await?;
            // Another operator's mirror refuses no earlier life, so it never counts here; a restore does not count it either.
            let taken = row.is_some_and(|row| row.vkey == secondary.vkey && row.life >= life.id);
            if !taken {
                missing.push(secondary.name.as_str());
            }
        }
        let have = of.secondaries.len() - missing.len();
        Ok((have < of.enough()).then(|| {
            format!(
                "the restored log signs nothing before {} of its {} secondaries have taken it, so that no other copy of it can publish: {have} have (missing: {}; one that runs an older version of logd does not count)",
                of.enough(),
                of.secondaries.len(),
                missing.join(", ")
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_ordered_by_time_then_by_chance_and_always_grow() {
        let now = 1_790_000_000_123;
        let life = new(now, 0, u64::MAX);
        assert_eq!(began_ms(life), now);
        assert!(new(now + 1, 0, 0) > life);
        // A clock that was set back, and what an older version wrote.
        assert_eq!(new(5, life, 7), life + 1);
        assert_eq!(began_ms(now), now);
        assert!(life > now);
        assert_ne!(
            new(now, 0, 1),
            new(now, 0, 2),
            "two of one millisecond are two"
        );
    }
}
