//! A change of the secondaries or of the quorum: until it is handed over, the old membership binds beside the new one.

use order::Generation;
use store::StoreError;

use super::{PublishError, Publisher};
use crate::position;
use crate::publish::publication::Publication;
use crate::running::eras::Membership;

/// How many generations the base may be behind while no change concerns the secondaries.
const FAR: u64 = 64;

impl Publication {
    /// Hands over the changes of the secondaries up to a generation, whether or not the old ones have taken them.
    ///
    /// # Errors
    /// [`StoreError`]; always for a restored log that is not announced yet, and while the new secondaries do not hold everything
    /// that is published.
    pub(crate) async fn hand_over_by_force(
        &self,
        generation: Generation,
    ) -> Result<(), StoreError> {
        let state = self.ledger.state();
        if let Some(why) = self.guard.life.unannounced(&state).await? {
            return Err(StoreError::Io(format!(
                "{why}: restore it again, with --force where those secondaries are lost"
            )));
        }
        let published =
            position::published_index(&*self.ledger.store, &self.ledger.keys, &state).await?;
        let eras = self.running.eras.load_full();
        let mut next = eras.members().iter().rev();
        if let Some(next) = next.find(|of| of.generation <= generation)
            && !self
                .running
                .holds(next, next.quorum as usize, published, &state)
                .await?
        {
            return Err(StoreError::Io(format!(
                "the new secondaries do not hold what is published yet: {} of them must have verified {published} entries; run it again when they do",
                next.quorum
            )));
        }
        self.running.hand_over(generation).await
    }
}

impl Publisher {
    /// Hands a change of the secondaries or of the quorum over, as soon as it may be: see [`crate::running::eras`].
    pub(super) async fn hand_over(&self) -> Result<(), PublishError> {
        let shared = &self.shared;
        let eras = shared.running.eras.load_full();
        let Some(first) = eras.members().first() else {
            return Ok(());
        };
        // An older version wrote no base: everything that was published is under the first generation.
        if eras.base() == Generation::ZERO {
            shared.running.hand_over(first.generation).await?;
        }
        if !eras.joint() {
            // This only means that the next start reads less far back.
            if eras.newest().get() >= eras.base().get().saturating_add(FAR) {
                shared.running.hand_over(eras.newest()).await?;
            }
            return Ok(());
        }
        shared.running.update_base().await?;
        let (eras, state) = (shared.running.eras.load_full(), shared.ledger.state());
        let [base, later @ ..] = eras.members() else {
            return Ok(());
        };
        for next in later.iter().rev() {
            if self.told(base, next.generation).await?
                && shared
                    .running
                    .holds(next, next.quorum as usize, next.start, &state)
                    .await?
            {
                tracing::info!(
                    log = shared.ledger.name,
                    generation = next.generation.get(),
                    "the change of the secondaries is handed over"
                );
                return Ok(shared.running.hand_over(next.generation).await?);
            }
        }
        Ok(())
    }

    /// Whether enough secondaries of a membership (a quorum if all are ours) hold a manifest that names this generation or a later one.
    async fn told(&self, of: &Membership, generation: Generation) -> Result<bool, StoreError> {
        let (store, keys) = (&*self.shared.ledger.store, &self.shared.ledger.keys);
        let (mut told, mut foreign) = (0, 0);
        for secondary in &of.secondaries {
            let name = secondary.name.as_str();
            let Some(row) = position::manifest(store, keys, name).await? else {
                foreign += usize::from(position::foreign(store, keys, secondary).await?);
                continue;
            };
            let live = position::live(store, keys, name).await?;
            let live = live.is_none_or(|live| {
                (&live.incarnation, &live.vkey) == (&row.incarnation, &row.vkey)
            });
            if live && row.vkey == secondary.vkey && row.generation >= generation {
                told += 1;
            }
        }
        Ok(told >= of.told(foreign))
    }
}
