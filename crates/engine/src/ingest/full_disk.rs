//! Full disks. There are three ways to notice one, and each refuses writes with [`AppendError::Full`] (507) before anything
//! is written; reads continue.
//!
//! 1. [`watch`] compares the free space with the reserve that the operator keeps, for all logs at once.
//! 2. A program of the merge that finds a store full is stuck until it makes progress again ([`TroubleKind::Full`]).
//! 3. A commit that finds a store full is answered so (`Ledger::append_error`), and only this commit is refused.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use store::Objects;

use crate::health::Health;
use crate::ingest::answer::AppendError;
use crate::program::TroubleKind;

/// Time between looks at the free space.
const SPACE_POLL: Duration = Duration::from_millis(250);

/// Sets `low` while less than `reserve` bytes are free, as far as the store can tell.
pub(crate) async fn watch(objects: &dyn Objects, reserve: u64, low: &AtomicBool) {
    loop {
        if let Ok(Some(free)) = objects.free().await {
            let now = free < reserve;
            if now != low.swap(now, Relaxed) {
                tracing::warn!(free, reserve, low = now, "free space");
            }
        }
        tokio::time::sleep(SPACE_POLL).await;
    }
}

/// Refuses every write while the reserve is touched.
pub(super) fn above_reserve(health: &Health) -> Result<(), AppendError> {
    match health.low_space.load(Relaxed) {
        false => Ok(()),
        true => Err(AppendError::Full {
            detail: "less space is free than is kept in reserve".into(),
        }),
    }
}

/// Refuses a write while a program is stuck because a store is full: an accepted entry could not be published.
pub(super) fn no_full_store(health: &Health) -> Result<(), AppendError> {
    match health.trouble() {
        Some(trouble) if trouble.kind == TroubleKind::Full => Err(AppendError::Full {
            detail: trouble.why,
        }),
        _ => Ok(()),
    }
}
