//! Quality of service: writers give advice, the server decides, and turns what it accepts into deadlines.
//!
//! - [`policy`] the configuration as tables, and the one rule that turns advice into a grant;
//! - [`admission`] which work is admitted: limits, the test of the promises ([`demand`]) against the measured [`rate`], memory; what a refusal says in
//!   `Retry-After` is in `retry_after.rs`;
//! - [`scheduler`] which [`job`] goes next; [`pace`] how much of it, and when;
//! - [`simulate`] what would have become of the [`simulate::Arrival`]s of a log under another configuration.
//!
//! All of it is pure: time is an argument, a [`QueueTime`] of a monotonic clock, so that a clock that jumps changes nothing.
//!
//! What must never happen: a promise is silently dropped, or the work of a tier is not accounted for.
//!
//! A write on its way, under the tiers that a new log has:
//!
//! ```
//! use std::time::Duration;
//! use logconfig::QosConfig;
//! use qos::{Admission, Advice, Ask, Backlog, Job, Limits, Names, Policy, QueueTime, Schedule, Scheduler};
//!
//! let second = Duration::from_secs(1);
//! let policy = Policy::new(&QosConfig::default(), second, &mut Names::default());
//! let tenant = policy.tenant(None, tlog::UnixMillis::ZERO).unwrap();
//!
//! // The writer asks for 10 ms; the checkpoint interval makes two seconds of it.
//! let advice = Advice { merge_by: Some(Duration::from_millis(10)), ..Advice::default() };
//! let grant = policy.grant(tenant, &advice);
//! assert_eq!(grant.merge_by, Some(2 * second));
//!
//! let (now, entries, bytes) = (QueueTime::ZERO, 1, 300);
//! let mut admission = Admission::new(now, Duration::ZERO);
//! let ask = Ask { tenant, grant, entries, bytes, own: Backlog::default(), free: 64 << 20 };
//! let promise = admission.admit(now, &policy, &ask).unwrap().unwrap();
//! assert_eq!(promise.deadline, now + 2 * second);
//!
//! let mut scheduler = Scheduler::new(&policy);
//! let deadline = Some(promise.deadline);
//! scheduler.push(now, Job { tier: grant.tier, tenant, entries, bytes, arrived: now, deadline, payload: "entry" });
//! let job = scheduler.next(now, &mut Limits::none(now)).unwrap();
//! admission.release(promise.due, job.cost());
//! assert_eq!(job.payload, "entry");
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]

pub mod admission;
pub mod demand;
pub mod job;
mod number;
pub mod pace;
pub mod policy;
pub mod rate;
mod retry_after;
pub mod scheduler;
pub mod simulate;
pub mod tally;

use std::sync::Arc;
use std::time::Duration;

pub use admission::{Admission, Ask, RefusalReason};
pub use job::{Job, Limits, Schedule};
pub use number::{Cost, QueueTime};
pub use pace::{CommittedWork, FastWork, Pace};
pub use policy::{Denied, Grant, Names, Policy, TenantRule, TierRule};
pub use scheduler::{Backlog, Scheduler};
pub use tally::{ClassView, Counts, QosView};

/// A writer's requests. All of it is advice: the tenant's policy clamps it, and the [`Ticket`] says what was granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// `Priority: u=N` (RFC 9218), 0 (most urgent) to 7.
    pub urgency: Option<u8>,
    /// The longest acceptable merge delay.
    pub merge_by: Option<Duration>,
    /// Refuse the entry unless this shard is the active one when it is ordered.
    pub shard: Option<String>,
}

/// A tenant of one log on this replica. Names keep their number for the life of the process, whatever the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub u16);

/// A tier of one log on this replica. Names keep their number for the life of the process, whatever the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TierId(pub u16);

impl TenantId {
    /// Its place in tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl TierId {
    /// Its place in tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The quality of service that a writer was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Name of the tier.
    pub tier: Arc<str>,
    /// The entry is published within this, from its acceptance; `None`: no promise.
    pub merge_by: Option<Duration>,
}

/// An accepted write: what was granted, and the answer that comes once it is ordered and durable.
#[derive(Debug)]
pub struct Ticket<F> {
    /// The quality of service that the writer was granted.
    pub granted: Granted,
    /// Resolves to the place of the entry, or of a chunk's first entry.
    pub answer: F,
}
