//! The jobs of the scheduler: a payload and its properties.

use super::{Cost, QueueTime, TenantId, TierId};

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
    pub arrived: QueueTime,
    /// When it must be published; `None`: no promise.
    pub deadline: Option<QueueTime>,
    /// The payload, which the scheduler hands out again without reading it.
    pub payload: P,
}

impl<P> Job<P> {
    /// Its cost for the log, in the unit of all shares and rates.
    pub fn cost(&self) -> Cost {
        Cost::of(self.entries, self.bytes)
    }
}

/// How much one release may take. `next` subtracts the work that it hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Cost that may be released altogether.
    pub total: Cost,
    /// Cost of elastic work in it: of tiers without a latency target, when no promise presses.
    pub elastic: Cost,
    /// Cost of elastic work that was given out, what passed the limit included.
    pub spent: Cost,
    /// Promises due until then go before everything but critical work.
    pub urgent_until: QueueTime,
}

impl Limits {
    /// No limits but for what is urgent until a time.
    pub fn none(urgent_until: QueueTime) -> Self {
        Self {
            total: Cost::MAX,
            elastic: Cost::MAX,
            spent: Cost::ZERO,
            urgent_until,
        }
    }
}

/// Decides which work goes next. The engine uses [`super::Scheduler`]; the simulation accepts any.
pub trait Schedule<P> {
    /// Takes work that `next` hands out later.
    fn push(&mut self, now: QueueTime, job: Job<P>);

    /// Gives the next work out, if the limits allow any. One job may pass a limit that is not zero.
    fn next(&mut self, now: QueueTime, limits: &mut Limits) -> Option<Job<P>>;

    /// How many jobs wait in all.
    fn len(&self) -> usize;

    /// Whether no job waits at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
