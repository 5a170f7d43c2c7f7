//! Going back to earlier settings; pure.

use crate::model::{Algorithm, LogConfig};

/// Whether a change from `running` to `next` is to settings that a roll-back would change.
#[must_use]
pub fn changes_settings(running: &LogConfig, next: &LogConfig) -> bool {
    let running = running.without_shards();
    !rolled_back(&running, next).same_settings(&running)
}

/// The settings of `earlier` with the shards of `running`: what a roll-back asks for, as a new generation.
///
/// Shards never go back. Each difference between the shards of the two has one cause, and none asks for anything to be done:
/// - a shard that was active or planned then and is frozen now stays frozen, for good;
/// - a shard that was planned then and is active now stays active;
/// - a shard that was added since stays, planned or open as it is;
/// - no shard of then is missing now, and a shard's key and origin never change.
///
/// The log's `key` goes back: it is only of shards that are created later. A shard that exists keeps its own.
///
/// Writers' tokens only ever go: one that was taken out since stays revoked, and one that was added since goes with the settings
/// it came with. A tenant that was removed since comes back without tokens.
///
/// A front of Rekor's first API stays closed if the shard that is active now has no ECDSA key.
///
/// The generation is that of `running`: the base of the change. `log`, `origin` and `originForm` are those of `running` too; they
/// never change.
#[must_use]
pub fn rolled_back(running: &LogConfig, earlier: &LogConfig) -> LogConfig {
    let mut rekor = earlier.rekor;
    rekor.v1 &= running.active_algorithm().unwrap_or(earlier.key.algorithm) == Algorithm::EcdsaP256;
    // Written out, so that the author of a new setting decides here on which side it is.
    LogConfig {
        api_version: earlier.api_version,
        kind: earlier.kind,
        log: running.log.clone(),
        generation: running.generation,
        origin: running.origin.clone(),
        origin_form: running.origin_form,
        key: earlier.key,
        shards: running.shards.clone(),
        rotate: earlier.rotate.clone(),
        qos: running.qos.rolled_back(&earlier.qos),
        merge: earlier.merge.clone(),
        witnesses: earlier.witnesses.clone(),
        rekor,
    }
}
