//! The jobs of the scheduler: a payload and its properties. All times are microseconds on one monotonic clock.

use super::{TenantId, TierId};

/// Cost of an entry beside its bytes: hashing, the index in the answer, the tiles above it.
pub const ENTRY_COST: u64 = 128;

/// Work to be scheduled.
#[derive(Clone, Debug)]
pub struct Job<P> {
    /// The tier that it waits in.
    pub tier: TierId,
    /// The tenant that it is charged to.
    pub tenant: TenantId,
    /// How many entries it is, at least 1.
    pub entries: u64,
    /// How many bytes they are.
    pub bytes: u64,
    /// When it came; its wait counts from then.
    pub arrived: u64,
    /// When it must be published; `None`: no promise.
    pub deadline: Option<u64>,
    /// What the scheduler hands out again, unseen.
    pub payload: P,
}

impl<P> Job<P> {
    /// Its cost for the log, in the unit of all shares and rates.
    pub fn cost(&self) -> u64 {
        cost(self.entries, self.bytes)
    }
}

/// The cost for the log of this many entries with this many bytes altogether.
pub fn cost(entries: u64, bytes: u64) -> u64 {
    bytes + entries * ENTRY_COST
}

/// How much one release may take. `next` subtracts the work that it hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Cost that may be released altogether.
    pub total: u64,
    /// Cost of elastic work in it: of tiers without a latency target, when no promise presses.
    pub elastic: u64,
    /// Cost of elastic work that was given out, what passed the limit included.
    pub spent: u64,
    /// Promises due until then go before everything but critical work.
    pub urgent_until: u64,
}

impl Limits {
    /// No limits but for what is urgent until a time.
    pub fn none(urgent_until: u64) -> Self {
        Self {
            total: u64::MAX,
            elastic: u64::MAX,
            spent: 0,
            urgent_until,
        }
    }
}

/// Decides which work goes next. The engine uses [`super::Scheduler`]; the simulation accepts any.
pub trait Schedule<P> {
    /// Takes work that `next` hands out later.
    fn push(&mut self, now: u64, job: Job<P>);

    /// Gives the next work out, if the limits allow any. One job may pass a limit that is not zero.
    fn next(&mut self, now: u64, limits: &mut Limits) -> Option<Job<P>>;

    /// How many jobs wait in all.
    fn len(&self) -> usize;

    /// Whether no job waits at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
