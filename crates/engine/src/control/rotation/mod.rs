//! Rotation by size or age: decides when a shard is due. It is the one rule that the server applies by itself.

mod watch;

use std::sync::PoisonError;

use logconfig::{RotateConfig, ShardName, Span};

use crate::clock::LIMIT_MS;
use crate::log::Log;
use order::slot::Control;
use order::state::{Intake, Phase};
use store::StoreError;
use tlog::UnixMillis;

/// A shard that is to be rotated out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The active shard, which is due to freeze.
    pub shard: ShardName,
    /// Why: `2026b had 1000000 entries`.
    pub why: String,
}

/// Why a shard with this many entries, open for this long, is to be rotated out; `None` when it is not. An empty shard never is: rotations
/// would never end.
fn overdue(
    rotate: &RotateConfig,
    shard: &str,
    entries: u64,
    open_ms: Option<u64>,
) -> Option<String> {
    if entries == 0 {
        return None;
    }
    if rotate.max_entries.is_some_and(|most| entries >= most) {
        return Some(format!("{shard} had {entries} entries"));
    }
    let longest = rotate.max_age?.duration().as_millis();
    let open = open_ms?;
    (u128::from(open) >= longest).then(|| {
        // Whole seconds are precise enough for a message.
        let open = Span::from_secs(open / 1000);
        format!("{shard} was open for {open}")
    })
}

impl Log {
    /// The active shard of a log that takes writes, and whether its age matters.
    pub fn rotating(&self) -> Option<(String, bool)> {
        let state = self.ledger.state();
        let rotate = &self.running.now.load().document.rotate;
        let wanted = rotate.max_entries.is_some() || rotate.max_age.is_some();
        if !wanted || state.intake != Intake::Open || self.health.halt.is_halted() {
            return None;
        }
        let active = state.active()?.identity.name.clone();
        Some((active, rotate.max_age.is_some()))
    }

    /// Whether the active shard is to be rotated out at `now`; `opened` is when it opened, both in milliseconds since the Unix
    /// epoch. Never while the log is frozen, about to freeze, or halted.
    pub fn overdue(&self, opened: Option<UnixMillis>, now: UnixMillis) -> Option<Overdue> {
        let (name, _) = self.rotating()?;
        let state = self.ledger.state();
        let active = state.active().filter(|shard| shard.identity.name == name)?;
        let Phase::Active { start } = active.phase else {
            return None;
        };
        let rotate = &self.running.now.load().document.rotate;
        let open = opened.map(|at| self.open_for(&name, at, now));
        let why = overdue(rotate, &name, state.size - start, open)?;
        Some(Overdue {
            shard: ShardName::try_from(name).ok()?,
            why,
        })
    }

    /// How long a shard has been open, milliseconds. One that was opened by a clock far ahead counts from this process's first check, by
    /// the steady clock; otherwise it would stay open forever.
    fn open_for(&self, shard: &str, opened: UnixMillis, now: UnixMillis) -> u64 {
        let steady = self.health.clock.steady_ms();
        let early = self.health.opened_early.lock();
        let mut early = early.unwrap_or_else(PoisonError::into_inner);
        if opened <= now + std::time::Duration::from_millis(LIMIT_MS) {
            *early = None;
            return now.get().saturating_sub(opened.get());
        }
        match &*early {
            Some((of, since)) if of == shard => steady.saturating_sub(*since),
            _ => {
                *early = Some((shard.to_owned(), steady));
                0
            }
        }
    }

    /// Notes why a rotation that is due is held back, or that none is.
    fn hold_rotation(&self, why: Option<String>) {
        let held = self.health.rotation_held.lock();
        *held.unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Why a rotation that is due is held back on this replica.
    pub fn rotation_held(&self) -> Option<String> {
        self.health.held_rotation()
    }

    /// Whether its rotations wait for keys that `logctl` cannot announce.
    pub fn requires_unusable_keys(&self) -> bool {
        self.running.now.load().document.requires_unusable_keys()
    }

    /// Whether a rotation by size or age would be held back now because the next shard is not announced.
    pub fn lacks_announcement(&self) -> bool {
        let required = self.running.now.load().document.rotate.require_announced;
        required && self.rotating().is_some() && !self.is_next_announced()
    }

    /// When a shard opened: the time of the slot that decided it.
    pub async fn opened_at(&self, shard: &str) -> Result<Option<UnixMillis>, StoreError> {
        let controls = self.controls().await?;
        Ok(controls.iter().rev().find_map(|slot| {
            let decision = slot.control.as_ref()?;
            match &decision.control {
                Control::Reconfigure {
                    open: Some(name), ..
                } if name == shard => Some(slot.time),
                _ => None,
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_size_by_age_and_never_empty() {
        let rule = |entries: Option<u64>, age: Option<&str>| RotateConfig {
            max_entries: entries,
            max_age: age.map(|age| age.parse().unwrap()),
            ..RotateConfig::default()
        };
        let day = 86_400_000;
        for (rotate, entries, open, why) in [
            (rule(None, None), u64::MAX, Some(u64::MAX), None),
            (rule(Some(3), None), 2, Some(u64::MAX), None),
            (rule(Some(3), None), 3, None, Some("s had 3 entries")),
            (
                rule(Some(3), Some("1d")),
                9,
                Some(day),
                Some("s had 9 entries"),
            ),
            (
                rule(Some(3), Some("1d")),
                1,
                Some(day),
                Some("s was open for 1d"),
            ),
            (rule(None, Some("1d")), 1, Some(day - 1), None),
            (
                rule(None, Some("1d")),
                1,
                Some(day + 5_000),
                Some("s was open for 86405s"),
            ),
            (rule(None, Some("1d")), 1, None, None),
            (rule(Some(1), Some("1s")), 0, Some(day), None),
        ] {
            assert_eq!(overdue(&rotate, "s", entries, open).as_deref(), why);
        }
    }
}
