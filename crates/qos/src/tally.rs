//! Counters per tier and tenant under the queue's lock: plain numbers, exported as a whole.

use std::sync::Arc;
use std::time::Duration;

use super::admission::{RefusalReason, Refused};
use super::{Backlog, Cost, Policy, QueueTime, TenantId, TierId};

/// Counted since the start, of one tenant in one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that admission let in.
    pub accepted: u64,
    /// Entries refused, by [`RefusalReason::ALL`].
    pub refused: [u64; RefusalReason::ALL.len()],
    /// Work released to the order.
    pub share: Backlog,
}

impl Counts {
    /// Counts admission's answer for this many entries.
    pub fn admitted<T>(&mut self, entries: u64, answer: &Result<T, Refused>) {
        match answer {
            Ok(_) => self.accepted += entries,
            Err(refused) => self.refused[refused.reason as usize] += entries,
        }
    }
}

/// The counters of one tenant in one tier, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassView {
    /// The tier's name in the configuration.
    pub tier: Arc<str>,
    /// The tenant's name in the configuration.
    pub tenant: Arc<str>,
    /// The work that waits now.
    pub queue: Backlog,
    /// How long the oldest of it has been waiting.
    pub oldest: Duration,
    /// Counted since the start.
    pub counts: Counts,
}

/// The current state of quality of service.
#[derive(Clone, Debug, PartialEq)]
pub struct QosView {
    /// Tenants and tiers with anything to show.
    pub classes: Vec<ClassView>,
    /// Measured: cost (bytes, and [`Cost::PER_ENTRY`] per entry) published per second.
    pub rate: f64,
    /// Measured: from release to publication.
    pub latency: Duration,
    /// Cost of elastic work that goes into one commit now.
    pub elastic: Cost,
    /// Cost per second that backlogs flow with, while they are slowed down for others.
    pub rate_beside_others: Option<f64>,
}

/// Counters by tier and tenant.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    tiers: Vec<Vec<Counts>>,
}

impl Tally {
    /// The numbers of one tenant in one tier.
    pub fn of(&mut self, tier: TierId, tenant: TenantId) -> &mut Counts {
        if self.tiers.len() <= tier.index() {
            self.tiers.resize(tier.index() + 1, Vec::new());
        }
        let tenants = &mut self.tiers[tier.index()];
        if tenants.len() <= tenant.index() {
            tenants.resize(tenant.index() + 1, Counts::default());
        }
        &mut tenants[tenant.index()]
    }

    /// All that is not zero, with what waits.
    pub fn view(
        &self,
        now: QueueTime,
        policy: &Policy,
        waiting: impl Iterator<Item = (TierId, TenantId, Backlog, QueueTime)>,
    ) -> Vec<ClassView> {
        let waiting: Vec<_> = waiting.collect();
        let mut classes = Vec::new();
        for (tier, tenants) in (0..).zip(&self.tiers) {
            for (tenant, counts) in (0..).zip(tenants) {
                let (tier, tenant) = (TierId(tier), TenantId(tenant));
                let waits = waiting.iter().find(|w| (w.0, w.1) == (tier, tenant));
                if *counts == Counts::default() && waits.is_none() {
                    continue;
                }
                let (queue, oldest) = waits.map_or((Backlog::default(), now), |w| (w.2, w.3));
                classes.push(ClassView {
                    tier: Arc::clone(&policy.tier(tier).name),
                    tenant: Arc::clone(&policy.tenants()[tenant.index()].name),
                    queue,
                    oldest: now.since(oldest),
                    counts: *counts,
                });
            }
        }
        classes
    }
}
