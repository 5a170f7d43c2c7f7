//! Waits for room in a log, for a write that is held anyway until it is published.
//!
//! What must never happen: the waiting writes of one tenant take all places, and those of other tenants are refused.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::refusal::Refusal;
use engine::Log;
use qos::{Advice, TenantId};
use wire::data::codes;

/// Writes that wait for room on this server, by log and tenant.
static WAITING: Waiting = Waiting(Mutex::new(BTreeMap::new()));
/// How many writes of all logs and tenants together may wait.
const MOST_WAITING: usize = 2048;
/// The shortest and the longest pause before a write that waits for room tries again. There may be room earlier than the log estimates.
const ROOM_POLL: Duration = Duration::from_millis(200);
const LONG_ROOM_POLL: Duration = Duration::from_secs(2);

/// The urgency of a write that found no room in the first tier: the default of RFC 9218.
const PATIENT: u8 = 3;
/// A write must be ordered in this fraction (one in so many) of the time that is left; the rest is for the publication.
const ORDERED_WITHIN: u32 = 2;

/// How many writes of each log and tenant wait for room.
struct Waiting(Mutex<BTreeMap<(String, TenantId), usize>>);

/// The place of one write that waits.
struct Place(&'static Waiting, (String, TenantId));

impl Waiting {
    fn by(&self) -> MutexGuard<'_, BTreeMap<(String, TenantId), usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a write; `None` if too many wait. A tenant of a log never gets more places than it leaves free for others.
    fn enter(&'static self, log: &str, tenant: TenantId) -> Option<Place> {
        let mut by = self.by();
        let free = MOST_WAITING.saturating_sub(by.values().sum());
        let key = (log.to_owned(), tenant);
        let own = by.get(&key).copied().unwrap_or(0);
        (own < free).then(|| {
            by.insert(key.clone(), own + 1);
            Place(self, key)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self(waiting, key) = self;
        let mut by = waiting.by();
        if let Some(own) = by.get_mut(key) {
            *own -= 1;
            if *own == 0 {
                by.remove(key);
            }
        }
    }
}

/// The wait of one write that is held until `until`. It accepts a less urgent tier and a later promise once the first tier is full.
pub(super) struct Wait<'a> {
    log: &'a Log,
    tenant: TenantId,
    until: Instant,
    urgency: Option<u8>,
    place: Option<Place>,
}

impl<'a> Wait<'a> {
    pub(super) fn new(log: &'a Log, tenant: TenantId, until: Instant) -> Self {
        Self {
            log,
            tenant,
            until,
            urgency: None,
            place: None,
        }
    }

    /// The advice for the next attempt: a publication in time or, once the first tier is full, a later one.
    pub(super) fn wish(&self) -> Advice {
        let left = self.until.saturating_duration_since(Instant::now());
        Advice {
            urgency: self.urgency,
            merge_by: Some(left / ORDERED_WITHIN),
            ..Advice::default()
        }
    }

    /// Waits after a refusal, until the write is tried again. A refusal that lasts beyond `until` is returned as it is, and so is any refusal while
    /// enough other writes wait: each of them holds a connection and asks the store again and again.
    pub(super) async fn for_room(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        let (log, tenant) = (self.log, self.tenant);
        if ![codes::OVERLOADED, codes::NO_ROOM, codes::LIMITED].contains(&refusal.code) {
            return Err(refusal);
        }
        let first = refusal.code == codes::NO_ROOM && self.urgency.is_none();
        if first && has_later_tier(log, tenant) {
            self.urgency = Some(PATIENT);
            return Ok(());
        }
        if self.place.is_none() {
            self.place = WAITING.enter(log.name(), tenant);
        }
        let after = refusal.retry_after;
        match after.map(|after| after.clamp(ROOM_POLL, LONG_ROOM_POLL)) {
            Some(after) if self.place.is_some() && Instant::now() + after < self.until => {
                tokio::time::sleep(after).await;
                Ok(())
            }
            _ => Err(refusal),
        }
    }
}

/// Whether this tenant's patient writes are promised a later publication than its other writes. A tenant may have only urgent tiers.
fn has_later_tier(log: &Log, tenant: TenantId) -> bool {
    let policy = log.policy();
    let most = |urgency| {
        let advice = Advice {
            urgency,
            ..Advice::default()
        };
        policy.grant(tenant, &advice).merge_by
    };
    matches!((most(None), most(Some(PATIENT))), (Some(first), Some(later)) if later > first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tenant_takes_the_places_of_others() {
        static PLACES: Waiting = Waiting(Mutex::new(BTreeMap::new()));
        let take = |log, tenant| -> Vec<Place> {
            std::iter::from_fn(|| PLACES.enter(log, TenantId(tenant))).collect()
        };
        let first = take("a", 1);
        assert_eq!(first.len(), MOST_WAITING / 2);
        let (second, third) = (take("a", 2), take("b", 1));
        assert_eq!(second.len(), MOST_WAITING / 4);
        assert_eq!(third.len(), MOST_WAITING / 8);
        drop((first, second, third));
        assert!(PLACES.by().is_empty());
    }
}
