//! `Retry-After`: the time after which a refused writer should try again. It follows from the backlog, so that writers come back when there
//! is room, not earlier.
//!
//! [`Refused`](super::admission::Refused) carries it to the data plane; `later` in `crates/http/src/reply.rs` rounds it up to whole seconds
//! and writes the header. Refusals that do not depend on the load say one second (`AppendError::overloaded` in the engine).

use std::time::Duration;

use super::demand::Service;

/// The shortest time that a refusal asks for.
pub(super) const SHORTEST: Duration = Duration::from_millis(50);
/// The longest time that a refusal asks for.
const LONGEST: Duration = Duration::from_secs(3600);

/// For a tenant that is over its own limit: the time until its bucket has room for the work.
pub(super) fn refilled(wait: Duration) -> Duration {
    wait.clamp(SHORTEST, LONGEST)
}

/// For work without room: the time in which the log, at its measured rate, publishes the cost that is in the way.
pub(super) fn published(service: &Service, missing: f64) -> Duration {
    service.time(missing).clamp(SHORTEST, LONGEST)
}
