//! Reads a request, and checks it on threads of its own.
//!
//! What must never happen: a check keeps other requests waiting, or many of them take the memory of the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Version;
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use plane_http::{HeldBytes, Phase, Watched};
use tokio::sync::Semaphore;

use super::super::refusal::Refusal;
use super::super::{DataPlane, add, advice};
use engine::Log;
use qos::TenantId;
use wire::data::codes;

/// How long a check that may take long waits for its turn.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// The fewest and the most checks that run at a time. Each holds a thread of those for blocking work, which the stores need, too.
const LEAST_TURNS: usize = 2;
const MOST_TURNS: usize = 16;

/// Bodies up to this length are read where they arrive, not on another thread.
pub(super) const INLINE: usize = 16 << 10;

/// How many reads of each kind are checked at a time.
const READS: usize = 2;

/// The turns of reads that say what they want by its content. Anybody may send them, so they take no turns from writes, nor from each other.
pub(crate) struct ReadTurns {
    /// For each entry that `log/entries/retrieve` names by its content, and for its body if it is long.
    pub(crate) retrievals: Arc<Semaphore>,
    /// For the body of `index/retrieve`, if it is long.
    pub(crate) searches: Arc<Semaphore>,
}

impl Default for ReadTurns {
    fn default() -> Self {
        let turns = || Arc::new(Semaphore::new(READS));
        Self {
            retrievals: turns(),
            searches: turns(),
        }
    }
}

/// The tenant that a request writes for.
pub(super) fn tenant(log: &Log, head: &Parts) -> Result<TenantId, Refusal> {
    advice::read(&head.headers, || log.now().get())?.tenant(log)
}

/// The whole body of a request, at most `longest` bytes, and the bytes that it holds.
pub(super) async fn body(
    plane: &DataPlane,
    watched: &Watched,
    head: &Parts,
    body: &mut Incoming,
    longest: usize,
) -> Result<(Bytes, HeldBytes), Refusal> {
    if advice::read(&head.headers, crate::clock::now_ms)?.encoded {
        return Err(Refusal::encoded("an entry"));
    }
    let announced = body.size_hint().lower();
    if announced > longest as u64 {
        return Err(Refusal::too_large(longest));
    }
    let held = watched.bodies().begin(announced as usize);
    let mut held = held.map_err(|_| Refusal::crowded())?;
    // Each API has its own error for an empty body.
    if body.size_hint().exact() == Some(0) {
        return Ok((Bytes::new(), held));
    }
    watched.enter(Phase::Body);
    let whole = add::collect(body, &mut held, longest);
    let body = match head.version {
        // The watch sees no phases in a multiplexed connection, so the body gets a timer of its own.
        Version::HTTP_2 => tokio::time::timeout(plane.body_timeout, whole)
            .await
            .map_err(|_| Refusal::slow_body())??,
        _ => whole.await?,
    };
    watched.enter(Phase::Working);
    Ok((body, held))
}

/// The checks that run at a time on a machine with so many cores. Half of them stay free for everything else, but one long check must not hold
/// up all others even on a small machine.
pub(in crate::data) fn check_turns(cores: usize) -> Semaphore {
    Semaphore::new((cores / 2).clamp(LEAST_TURNS, MOST_TURNS))
}

/// Does the work of a check on another thread, since it would keep other requests waiting. A few run at a time ([`check_turns`]).
pub(super) async fn check<T: Send + 'static>(
    plane: &DataPlane,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    in_turn(&plane.checks, Refusal::crowded, work).await
}

/// As [`check()`], for a read.
pub(super) async fn read<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    in_turn(turns, Refusal::busy_reads, work).await
}

/// Waits for a turn, and does the work in it; `none` is the answer where no turn comes in time.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    none: fn() -> Refusal,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let turn = tokio::time::timeout(CHECK_TIMEOUT, Arc::clone(turns).acquire_owned()).await;
    let turn = turn.ok().and_then(Result::ok).ok_or_else(none)?;
    let checked = tokio::task::spawn_blocking(move || {
        // The thread keeps the turn: a client that hangs up must not make room for another check.
        let _turn = turn;
        work()
    });
    checked.await.map_err(broken)
}

/// Verifies one signature on another thread: that takes longer than all the rest of a write, and would keep other requests waiting. What the
/// request holds is held until then, even if its client has gone.
pub(super) async fn verify<T: Send + 'static>(
    plane: &DataPlane,
    held: HeldBytes,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, HeldBytes), Refusal> {
    let verified = plane.verifiers.run(move || (work(), held));
    verified.await.map_err(broken)
}

/// A check that has no outcome.
fn broken<E>(_: E) -> Refusal {
    Refusal::new(
        codes::STORE_FAILED,
        "the check of the request failed in this server; see its log",
    )
}

#[cfg(test)]
mod tests {
    use super::check_turns;

    #[test]
    fn more_cores_check_more_at_a_time() {
        for (cores, at_a_time) in [(1, 2), (2, 2), (4, 2), (8, 4), (32, 16), (128, 16)] {
            assert_eq!(check_turns(cores).available_permits(), at_a_time, "{cores}");
        }
    }
}
