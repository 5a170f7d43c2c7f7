//! Repairs published objects that are lost or altered, as readers and a slow check of everything ([`scrub`]) report them.
//!
//! A task finds the damaged object ([`inspect`], [`notes`]), lists it for the operator, and rewrites it from a copy that leads to
//! the signed root ([`copies`]).
//!
//! What must never happen: bytes are written back without a check against the signed root, or readers make the server do more than one
//! check at a time.

mod copies;
mod inspect;
mod notes;
pub(crate) mod scrub;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::publish::publication::Publication;

/// Pause between two checks of objects that could not be repaired.
const AGAIN: Duration = Duration::from_secs(30);
/// Pause between any two checks: readers cannot cause more of them.
const INSPECTION_BACKOFF: Duration = Duration::from_millis(200);

/// Checks the objects that readers could not read, and repairs what it can, until the log ends.
pub(crate) async fn run(shared: Arc<Publication>) {
    let mut again = Instant::now() + AGAIN;
    loop {
        tokio::select! {
            _ = shared.health.halt.halted() => return,
            () = shared.objects.damage.look.notified() => {}
            () = tokio::time::sleep_until(again) => {}
        };
        // The pause holds even if other objects are suspected meanwhile.
        let known = Instant::now() >= again;
        if known {
            again = Instant::now() + AGAIN;
        }
        for place in shared.objects.damage.places(known) {
            if let Err(error) = inspect::inspect(&shared, &place).await {
                tracing::warn!(log = shared.ledger.name, shard = %place.0, %error, "cannot look at damaged objects");
            }
        }
        tokio::time::sleep(INSPECTION_BACKOFF).await;
    }
}
