//! Back to earlier settings. Pure.

use crate::model::LogConfig;

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
/// - a shard that came since stays, planned or open as it is;
/// - no shard of then is missing now, and a shard's key and origin never change.
///
/// Only settings on the shard itself (its key algorithm, one day its storage) could ever want another shard, and there is one
/// value for each today. Should that change, the roll-back must plan and open a new shard with the settings of then.
///
/// Writers' tokens only ever go: one that was taken out since stays revoked, and one that was added since goes with the settings
/// it came with. A tenant that was removed since comes back without tokens.
///
/// The generation is that of `running`: the base of the change. `log` and `origin` are those of `running` too; they never change.
#[must_use]
pub fn rolled_back(running: &LogConfig, earlier: &LogConfig) -> LogConfig {
    // Written out: whoever adds a setting decides here on which side it is.
    LogConfig {
        api_version: earlier.api_version,
        kind: earlier.kind,
        log: running.log.clone(),
        generation: running.generation,
        origin: running.origin.clone(),
        shards: running.shards.clone(),
        rotate: earlier.rotate.clone(),
        qos: running.qos.rolled_back(&earlier.qos),
        merge: earlier.merge.clone(),
        witnesses: earlier.witnesses.clone(),
    }
}
