//! A change of the secondaries or of the quorum: until it is handed over, the old membership binds beside the new one.

use order::Generation;
use store::StoreError;

use super::{PublishError, Publisher};
use crate::position;
use crate::publish::publication::Publication;

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
            return Err(StoreError::NotYet(format!(
                "{why}: restore it again, with --force where those secondaries are lost"
            )));
        }
        let published =
            position::published_index(&*self.ledger.store, &self.ledger.keys, &state).await?;
        let eras = self.running.eras.load_full();
        let mut next = eras.members().iter().rev();
        let mut counted = Vec::new();
        if let Some(next) = next.find(|of| of.generation <= generation) {
            let quorum = next.quorum as usize;
            let holding = self.running.holding(next, quorum, published, &state);
            counted = holding.await?.ok_or_else(|| {
                StoreError::NotYet(format!(
                    "the new secondaries do not hold what is published yet: {quorum} of them must have verified {published} entries; run it again when they do"
                ))
            })?;
        }
        if !self.running.hand_over(generation, counted).await? {
            return Err(StoreError::NotYet(
                "a new secondary answered from another storage meanwhile; run it again".into(),
            ));
        }
        Ok(())
    }
}

impl Publisher {
    /// Hands over a change of the secondaries or of the quorum as soon as that is allowed: see [`crate::running::eras`].
    pub(super) async fn hand_over(&self) -> Result<(), PublishError> {
        let shared = &self.shared;
        let eras = shared.running.eras.load_full();
        let Some(first) = eras.members().first() else {
            return Ok(());
        };
        // An older version wrote no base: everything that was published is under the first generation.
        if eras.base() == Generation::ZERO {
            shared
                .running
                .hand_over(first.generation, Vec::new())
                .await?;
        }
        if !eras.joint() {
            // The new base only lets the next start read less far back.
            if eras.newest().get() >= eras.base().get().saturating_add(FAR) {
                let told = shared.running.told_up_to(first).await?.min(eras.newest());
                if told > eras.base() {
                    shared.running.hand_over(told, Vec::new()).await?;
                }
            }
            return Ok(());
        }
        shared.running.update_base().await?;
        let (eras, state) = (shared.running.eras.load_full(), shared.ledger.state());
        let [base, later @ ..] = eras.members() else {
            return Ok(());
        };
        for next in later.iter().rev() {
            let Some(mut counted) = shared.running.told(base, next.generation).await? else {
                continue;
            };
            let quorum = next.quorum as usize;
            let holding = shared.running.holding(next, quorum, next.start, &state);
            let Some(holding) = holding.await? else {
                continue;
            };
            counted.extend(holding);
            // Otherwise a secondary has meanwhile lost what it was counted for, and the next pass counts again.
            if shared.running.hand_over(next.generation, counted).await? {
                tracing::info!(
                    log = shared.ledger.name,
                    generation = next.generation.get(),
                    "the change of the secondaries is handed over"
                );
            }
            return Ok(());
        }
        Ok(())
    }
}
