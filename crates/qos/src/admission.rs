//! Decides which work is admitted: first the tenant's own limits, then whether the promise can be kept beside earlier ones, then memory.
//!
//! A refusal is an answer at once, with a time after which to try again (`retry_after.rs`). What must never happen: an accepted
//! promise is taken back; one tenant or tier fills all the room.

use std::fmt;
use std::time::Duration;

use super::demand::{self, Demand, Lack, Service};
use super::rate::Rate;
use super::retry_after;
use super::{Backlog, Cost, Grant, Policy, QueueTime, TenantId};

/// Part of the measured rate that is counted on.
const SURE: f64 = 0.95;

/// The reason for a refusal, by its name for writers, status and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The tenant's limit of entries per second.
    EntryRate,
    /// The tenant's limit of bytes per second.
    ByteRate,
    /// The promise cannot be kept beside the earlier ones.
    Promises,
    /// The tenant has its share of what can be promised.
    TenantShare,
    /// The tenant's waiting work in this tier fills its part of the queue.
    Queue,
}

impl RefusalReason {
    /// Every reason, in the order of their counters: a reason as a number is its place here.
    pub const ALL: [Self; 5] = [
        Self::EntryRate,
        Self::ByteRate,
        Self::Promises,
        Self::TenantShare,
        Self::Queue,
    ];

    /// Its name in an answer, and in `admission_total{reason}`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EntryRate => "entry-rate",
            Self::ByteRate => "byte-rate",
            Self::Promises => "promises",
            Self::TenantShare => "tenant-share",
            Self::Queue => "queue",
        }
    }

    /// Whether it is the tenant's own limit, not the load of the log.
    pub const fn is_limit(self) -> bool {
        matches!(self, Self::EntryRate | Self::ByteRate)
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why work may not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason for the refusal.
    pub reason: RefusalReason,
    /// When to try again.
    pub retry_after: Duration,
    /// A delay that could be promised now, in the same tier.
    pub available: Option<Duration>,
}

/// Work that asks to enter.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The tenant that asks.
    pub tenant: TenantId,
    /// The grant for its advice.
    pub grant: Grant,
    /// How many entries it has.
    pub entries: u64,
    /// Bytes of those entries together.
    pub bytes: u64,
    /// The waiting work of the same tenant in the same tier.
    pub own: Backlog,
    /// Bytes of the queue that are free.
    pub free: u64,
}

/// A promise as admission counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The time by which it must be published.
    pub deadline: QueueTime,
    /// Its row in the demand.
    pub due: QueueTime,
}

/// Two buckets as times: at which each would be full again (generic cell rate algorithm), in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Buckets {
    entries: u64,
    bytes: u64,
}

/// The state of admission.
#[derive(Clone, Debug)]
pub struct Admission {
    buckets: Vec<Buckets>,
    demand: Demand,
    rate: Rate,
    /// All floors of the policy that was asked last.
    floors: f64,
}

/// When a bucket would be full again after `n` more, or how long to wait for them.
fn fill(full: u64, now: QueueTime, n: u64, rate: u64, burst: u64) -> Result<u64, Duration> {
    let each = |n: u64| {
        let nanos = u128::from(n) * 1_000_000_000 / u128::from(rate.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    };
    let now = now.get().saturating_mul(1_000);
    let after = full.max(now).saturating_add(each(n));
    // More than the burst at once passes when the bucket is full.
    match after.saturating_sub(now.saturating_add(each(burst.max(n)))) {
        0 => Ok(after),
        wait => Err(Duration::from_micros(wait / 1_000)),
    }
}

impl Admission {
    /// Starts with nothing accepted and nothing measured.
    pub fn new(now: QueueTime, latency: Duration) -> Self {
        Self {
            buckets: Vec::new(),
            demand: Demand::default(),
            rate: Rate::new(now, latency),
            floors: 0.0,
        }
    }

    /// Admits work, or returns the reason why not. Admitted work must be [released](Self::release) when the scheduler hands it out.
    pub fn admit(
        &mut self,
        now: QueueTime,
        policy: &Policy,
        ask: &Ask,
    ) -> Result<Option<Promise>, Refused> {
        let filled = self.limits(now, policy, ask)?;
        self.floors = policy.floors();
        let service = self.promised();
        let promise = match ask.grant.merge_by {
            None => None,
            Some(delay) => Some(self.promise(now, delay, policy, ask, &service)?),
        };
        if ask.own.bytes + ask.bytes > ask.free {
            let missing = (ask.own.bytes + ask.bytes - ask.free) as f64 / 2.0;
            return Err(Refused {
                reason: RefusalReason::Queue,
                retry_after: retry_after::published(&service, missing),
                available: None,
            });
        }
        if let Some(filled) = filled {
            if self.buckets.len() <= ask.tenant.index() {
                self.buckets
                    .resize(ask.tenant.index() + 1, Buckets::default());
            }
            self.buckets[ask.tenant.index()] = filled;
        }
        if let Some(promise) = promise {
            let cost = Cost::of(ask.entries, ask.bytes);
            self.demand.add(promise.due, promise.deadline, cost);
        }
        Ok(promise)
    }

    /// The tenant's buckets after this, if it has any.
    fn limits(
        &self,
        now: QueueTime,
        policy: &Policy,
        ask: &Ask,
    ) -> Result<Option<Buckets>, Refused> {
        let Some(tenant) = policy.tenants().get(ask.tenant.index()) else {
            return Ok(None);
        };
        if tenant.rate.is_none() && tenant.bytes.is_none() {
            return Ok(None);
        }
        let mut buckets = self
            .buckets
            .get(ask.tenant.index())
            .copied()
            .unwrap_or_default();
        let refused = |reason, wait| Refused {
            reason,
            retry_after: retry_after::refilled(wait),
            available: None,
        };
        if let Some(rate) = tenant.rate {
            let burst = policy.tier(ask.grant.tier).burst;
            buckets.entries = fill(buckets.entries, now, ask.entries, rate, burst)
                .map_err(|wait| refused(RefusalReason::EntryRate, wait))?;
        }
        if let Some(rate) = tenant.bytes {
            // A second's worth at once.
            buckets.bytes = fill(buckets.bytes, now, ask.bytes, rate, rate)
                .map_err(|wait| refused(RefusalReason::ByteRate, wait))?;
        }
        Ok(Some(buckets))
    }

    fn promise(
        &self,
        now: QueueTime,
        delay: Duration,
        policy: &Policy,
        ask: &Ask,
        service: &Service,
    ) -> Result<Promise, Refused> {
        let deadline = now + delay;
        let due = demand::due(now, deadline);
        let (size, own) = (
            Cost::of(ask.entries, ask.bytes),
            Cost::of(ask.own.entries, ask.own.bytes),
        );
        let ahead = policy.tier(ask.grant.tier).is_critical();
        let test = self.demand.test(now, (due, ahead), size, own, service);
        let Err(Lack { share, missing }) = test else {
            let due = if ahead { demand::AHEAD } else { due };
            return Ok(Promise { deadline, due });
        };
        let most = policy.tier(ask.grant.tier).max_merge_delay;
        let offer = self.demand.offer(
            now,
            (delay, most.unwrap_or_default()),
            size,
            (own, ahead),
            service,
        );
        Err(Refused {
            reason: match share {
                true => RefusalReason::TenantShare,
                false => RefusalReason::Promises,
            },
            retry_after: retry_after::published(service, missing),
            available: offer,
        })
    }

    /// A promise is on its way: the scheduler gave it out, or its writer gave up.
    pub fn release(&mut self, due: QueueTime, cost: Cost) {
        self.demand.remove(due, cost);
    }

    /// Counts a promise in that was given elsewhere: by another replica, or before a restart.
    pub fn adopt(&mut self, now: QueueTime, deadline: QueueTime, cost: Cost) -> Promise {
        let promise = Promise {
            deadline,
            due: demand::due(now, deadline),
        };
        self.demand.add(promise.due, deadline, cost);
        promise
    }

    /// Cost of the promised work that waits.
    pub fn accepted(&self) -> Cost {
        self.demand.total()
    }

    /// Promises due until then press.
    pub fn pressing(&self, now: QueueTime) -> QueueTime {
        self.demand.pressing(now, &self.promised())
    }

    /// The part of the measured rate that can be promised: without the floors, which go to waiting tiers, and without the error of
    /// measurement.
    fn promised(&self) -> Service {
        let service = self.rate.service();
        Service {
            rate: service.rate * SURE * (1.0 - self.floors),
            ..service
        }
    }

    /// The estimator, which must be told what was published.
    pub fn rate(&mut self) -> &mut Rate {
        &mut self.rate
    }

    /// The rate and latency of the log, as measured.
    pub fn service(&self) -> Service {
        self.rate.service()
    }
}

#[cfg(test)]
mod tests;
