//! The check on the rotations of a log: whether one is held back, or would be.

use engine::Log;
use wire::{Diagnosis, Severity};

use super::diagnose::found;

/// The next step where keys have to be announced that Sigstore's clients do not accept.
const UNUSABLE_KEYS: &str = "`logctl` cannot announce the keys of this log, because its origins have a path (`originForm: path`): remove `rotate.requireAnnounced` from the configuration, or let a job of your own report the keys (`POST logs/NAME/announcements`)";

/// A finding about a rotation that is held back, or that would be because no shard is announced.
pub(super) fn check(log: &Log) -> Option<Diagnosis> {
    let on = format!("--log {}", log.name());
    let lacks = log.lacks_announcement();
    let first = if !lacks {
        format!(
            "plan the next shard (`logctl shard plan {on}`) and give its key (`logctl shard show NAME {on}`) to the witnesses' operators; check the secondaries (`logctl merge status {on}`)"
        )
    } else if log.requires_unusable_keys() {
        UNUSABLE_KEYS.to_owned()
    } else {
        format!(
            "`logctl shard plan --announce --exec COMMAND --seen-at URL {on}` publishes the key of the next shard and waits until it is seen"
        )
    };
    let (why, remedy) = match log.rotation_held() {
        Some(why) => (
            why,
            format!(
                "{first}. The server retries the rotation by itself. `logctl shard rotate --force {on}` opens the shard anyway: it is not published until witnesses and secondaries know it, and clients without its key refuse what it signs"
            ),
        ),
        None if lacks => (
            "no shard is announced: a rotation by size or age would wait".to_owned(),
            first,
        ),
        None => return None,
    };
    Some(found("rotation", Severity::Warning, why, remedy))
}
