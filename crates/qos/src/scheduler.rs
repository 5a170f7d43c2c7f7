//! Which work goes next: a pure data structure; time is an argument.
//!
//! 1. A tier that got less than its **floor** of what was served while it waited.
//! 2. **Critical** work.
//! 3. Promises whose slack is short, **earliest deadline first**. The caller reports promises that are late already, and they
//!    are served in step 4: serving them first would make everything behind them late as well.
//! 4. **Fair shares** by weight, over the tiers and inside a tier over the tenants; inside these by deadline.
//!
//! The pace holds elastic work back, and is meant for backlogs: a tenant with little waiting work, whose turn it is by the shares, is
//! **sparse** and is served at once, in any tier (as new flows are in fair queueing, RFC 8290 section 4.1).
//!
//! In every step, what a tier and a tenant get is charged to their share, without exception. A tenant that did not wait gets no
//! credit, so idle capacity goes to the tenants with work.
//!
//! Inside a (tenant, tier), work of about the same merge delay is a *lane*, a queue whose deadlines ascend by themselves. So
//! there is no heap of entries: giving out one entry costs O(tiers that wait + log(tenants that wait) + lanes).
//!
//! What must never happen: work is lost, handed out twice, or never handed out.

mod class;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use class::{Class, LaneKey};

use super::job::{Job, Limits, Schedule};
use super::{Cost, Policy, QueueTime, TenantId, TierId};

/// Virtual time per cost at weight 1; weights go up to 1000.
const SCALE: u64 = 1 << 10;
/// How much of its floor a tier may be owed at most, and how far ahead of its share another may get.
const MOST_OWED: Cost = Cost::new(4 << 20);
const MOST_AHEAD: Cost = Cost::new(64 << 20);

/// Cost that may wait of a tenant in a tier that is sparse still: a few dozen small entries.
const SPARSE: Cost = Cost::new(16 << 10);

/// How many wait, and how much they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many entries wait.
    pub entries: u64,
    /// Bytes of those entries together.
    pub bytes: u64,
}

#[derive(Debug)]
struct Tier<P> {
    weight: u64,
    floor: f64,
    critical: bool,
    /// Has no latency target: the pace holds it.
    elastic: bool,
    /// Its own promise: the exact delay of its main lane.
    delay: Option<Duration>,
    classes: Vec<Option<Box<Class<P>>>>,
    /// Classes that wait, by a lower bound of their virtual time.
    ready: BinaryHeap<Reverse<(u64, u16)>>,
    /// Virtual time of the class served last.
    virtual_time: u64,
    /// Its own, among the tiers.
    start: u64,
    /// Cost that is owed to it for its floor.
    owed: f64,
    jobs: usize,
}

/// The engine's scheduler: weights, floors and promises.
#[derive(Debug)]
pub struct Scheduler<P> {
    tiers: Vec<Tier<P>>,
    /// Weights of the tenants within a tier.
    weights: Vec<u64>,
    /// Tiers in which work waits.
    waiting: Vec<u16>,
    /// Promises, one row per lane, by a lower bound of the deadline of the lane's first job.
    promises: BinaryHeap<Reverse<(QueueTime, u16, u16, LaneKey)>>,
    virtual_time: u64,
    jobs: usize,
}

impl<P> Scheduler<P> {
    /// An empty one for these rules.
    pub fn new(policy: &Policy) -> Self {
        let mut scheduler = Self {
            tiers: Vec::new(),
            weights: Vec::new(),
            waiting: Vec::new(),
            promises: BinaryHeap::new(),
            virtual_time: 0,
            jobs: 0,
        };
        scheduler.configure(policy);
        scheduler
    }

    /// Takes the rules of another generation. Waiting work stays in its tier.
    pub fn configure(&mut self, policy: &Policy) {
        for (at, rule) in policy.tiers().iter().enumerate() {
            if at == self.tiers.len() {
                self.tiers.push(Tier {
                    weight: 1,
                    floor: 0.0,
                    critical: false,
                    elastic: true,
                    delay: None,
                    classes: Vec::new(),
                    ready: BinaryHeap::new(),
                    virtual_time: 0,
                    start: 0,
                    owed: 0.0,
                    jobs: 0,
                });
            }
            let tier = &mut self.tiers[at];
            tier.weight = u64::from(rule.weight.max(1));
            tier.floor = rule.floor;
            tier.critical = rule.is_critical();
            tier.elastic = rule.is_elastic();
            tier.delay = rule.max_merge_delay;
        }
        self.weights = policy
            .tenants()
            .iter()
            .map(|t| u64::from(t.weight.max(1)))
            .collect();
    }

    /// The waiting work of one tenant in one tier.
    pub fn backlog(&self, tier: TierId, tenant: TenantId) -> Backlog {
        let class = self
            .tiers
            .get(tier.index())
            .and_then(|t| t.classes.get(tenant.index()));
        class
            .and_then(Option::as_deref)
            .map_or(Backlog::default(), |c| c.backlog)
    }

    /// All waiting work by tier and tenant, and since when the oldest of it waits.
    pub fn backlogs(&self) -> impl Iterator<Item = (TierId, TenantId, Backlog, QueueTime)> + '_ {
        self.waiting.iter().flat_map(|tier| {
            let classes = self.tiers[usize::from(*tier)].classes.iter();
            (0u16..).zip(classes).filter_map(|(tenant, class)| {
                let class = class.as_deref()?;
                let oldest = class.oldest()?;
                Some((TierId(*tier), TenantId(tenant), class.backlog, oldest))
            })
        })
    }

    /// Whether work waits that the pace does not hold: in a tier with a latency target, or of a sparse tenant.
    pub fn fast_waits(&mut self) -> bool {
        let tiers = &mut self.tiers;
        let mut waiting = self.waiting.iter();
        waiting.any(|at| !tiers[usize::from(*at)].is_held())
    }

    /// Charges a service to shares and floors, and takes the job's tier off the waiting ones when it was the last.
    fn charge(&mut self, at: u16, job: &Job<P>, held: bool, limits: &mut Limits) {
        let cost = job.cost();
        for other in &self.waiting {
            let tier = &mut self.tiers[usize::from(*other)];
            tier.owed = (tier.owed + tier.floor * cost.as_f64()).min(MOST_OWED.as_f64());
        }
        let tier = &mut self.tiers[usize::from(at)];
        tier.owed = (tier.owed - cost.as_f64()).max(0.0);
        let most = self.virtual_time + virtual_time(MOST_AHEAD, tier.weight);
        tier.start = (tier.start + virtual_time(cost, tier.weight)).min(most.max(tier.start));
        tier.jobs -= 1;
        self.jobs -= 1;
        if tier.jobs == 0 {
            tier.owed = 0.0;
            self.waiting.retain(|t| *t != at);
        }
        limits.total -= cost;
        if held {
            limits.elastic -= cost;
            limits.spent += cost;
        }
    }

    /// The tier that is owed its floor, else critical work.
    fn ranked(&mut self) -> Option<u16> {
        let tiers = &mut self.tiers;
        let owed = self.waiting.iter().copied().find(|at| {
            let tier = &mut tiers[usize::from(*at)];
            tier.owed >= 1.0 && tier.owed >= tier.first_cost().as_f64()
        });
        let tier = |at: &u16| &self.tiers[usize::from(*at)];
        let critical = || self.waiting.iter().filter(|at| tier(at).critical);
        owed.or_else(|| critical().min_by_key(|at| (tier(at).start, **at)).copied())
    }

    /// The tier whose share is least served, of those that are not held.
    fn fair(&mut self, limits: &Limits) -> Option<u16> {
        let Self { tiers, waiting, .. } = self;
        let may_go = waiting.iter().filter_map(|at| {
            let tier = &mut tiers[usize::from(*at)];
            (limits.elastic > Cost::ZERO || !tier.is_held()).then_some((tier.start, *at))
        });
        may_go.min().map(|(_, at)| at)
    }

    /// The lane of the first promise that presses.
    fn pressing(&mut self, now: QueueTime, until: QueueTime) -> Option<(u16, u16, LaneKey)> {
        while let Some(Reverse((bound, tier, tenant, lane))) = self.promises.peek().copied() {
            if bound > until {
                return None;
            }
            let class = self.tiers[usize::from(tier)].classes[usize::from(tenant)].as_deref_mut();
            let Some(first) = class.and_then(|c| c.first_due(lane, now)) else {
                self.promises.pop();
                continue;
            };
            if first == bound {
                return Some((tier, tenant, lane));
            }
            // The row was of a job that went already.
            self.promises.pop();
            self.promises.push(Reverse((first, tier, tenant, lane)));
        }
        None
    }
}

impl<P> Tier<P> {
    /// Whether the pace holds the work whose turn it is.
    fn is_held(&mut self) -> bool {
        self.elastic && {
            let turn = self.turn().map(usize::from);
            let class = turn.and_then(|at| self.classes[at].as_deref());
            class.is_some_and(|class| !class.is_sparse())
        }
    }

    /// Cost of the job whose turn it is: what a floor must have saved up for.
    fn first_cost(&mut self) -> Cost {
        let class = self.turn().map(usize::from);
        class
            .and_then(|at| self.classes[at].as_deref())
            .map_or(Cost::MAX, Class::first_cost)
    }

    /// The class whose turn it is.
    fn turn(&mut self) -> Option<u16> {
        while let Some(Reverse((bound, at))) = self.ready.peek().copied() {
            let class = self.classes[usize::from(at)].as_deref_mut();
            match class {
                Some(class) if class.jobs > 0 => {
                    if class.start == bound {
                        return Some(at);
                    }
                    let start = class.start;
                    self.ready.pop();
                    self.ready.push(Reverse((start, at)));
                }
                Some(class) => {
                    class.ready = false;
                    self.ready.pop();
                }
                None => drop(self.ready.pop()),
            }
        }
        None
    }
}

/// How far work of this cost moves a share of this weight.
fn virtual_time(cost: Cost, weight: u64) -> u64 {
    cost.get() * SCALE / weight
}

impl<P> Schedule<P> for Scheduler<P> {
    fn push(&mut self, now: QueueTime, job: Job<P>) {
        let (tier_at, tenant_at) = (job.tier.0, job.tenant.0);
        let tier = &mut self.tiers[job.tier.index()];
        if tier.jobs == 0 {
            // A newcomer starts where the others are: nothing is saved up while idle.
            tier.start = tier.start.max(self.virtual_time);
            self.waiting.push(tier_at);
        }
        tier.jobs += 1;
        self.jobs += 1;
        let weight = self.weights.get(job.tenant.index()).copied().unwrap_or(1);
        if tier.classes.len() <= job.tenant.index() {
            tier.classes.resize_with(job.tenant.index() + 1, || None);
        }
        let class = tier.classes[job.tenant.index()].get_or_insert_default();
        class.weight = weight;
        if class.jobs == 0 {
            class.start = class.start.max(tier.virtual_time);
            if !class.ready {
                class.ready = true;
                tier.ready.push(Reverse((class.start, tenant_at)));
            }
        }
        if let Some((due, lane)) = class.push(now, tier.delay, job) {
            self.promises.push(Reverse((due, tier_at, tenant_at, lane)));
        }
    }

    fn next(&mut self, now: QueueTime, limits: &mut Limits) -> Option<Job<P>> {
        if self.jobs == 0 || limits.total == Cost::ZERO {
            return None;
        }
        let least = |t: &u16| self.tiers[usize::from(*t)].start;
        let least = self.waiting.iter().map(least).min();
        self.virtual_time = self.virtual_time.max(least.unwrap_or(0));
        let (at, tenant, lane) = match self.ranked() {
            Some(at) => (at, self.tiers[usize::from(at)].turn()?, None),
            None => match self.pressing(now, limits.urgent_until) {
                Some((at, tenant, lane)) => (at, tenant, Some(lane)),
                None => {
                    let at = self.fair(limits)?;
                    (at, self.tiers[usize::from(at)].turn()?, None)
                }
            },
        };
        let tier = &mut self.tiers[usize::from(at)];
        let class = tier.classes[usize::from(tenant)].as_deref_mut()?;
        let held = tier.elastic && !class.is_sparse();
        if lane.is_none() {
            tier.virtual_time = tier.virtual_time.max(class.start);
        }
        let job = class.pop(lane)?;
        self.charge(at, &job, held, limits);
        Some(job)
    }

    fn len(&self) -> usize {
        self.jobs
    }
}

#[cfg(test)]
mod tests;
