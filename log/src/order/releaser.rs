//! The releaser: moves promised work from the queue into the bag while there is room behind the order, and sees to it that it is
//! decided. Every replica runs one; none is needed in particular.
//!
//! It never rejects: while the log is frozen the work waits, and an announcement that died goes back to the queue.

use std::sync::Arc;
use std::time::Duration;

use super::commit::now_ms;
use super::place::PlacedRow;
use super::slot::Promised;
use super::state::Gate;
use crate::log::Core;
use crate::record;
use crate::store::{Outcome, StoreError, Transaction};

/// Rows released at once.
const ROWS: usize = 64;
/// Bytes released at once (one row may pass it).
const BYTES: u64 = 1 << 20;
/// Bytes of ordered entries that may wait for publication before more is released: urgent work can overtake only what is not
/// ordered yet.
const WINDOW_BYTES: usize = 4 << 20;
/// Time between looks for what other replicas put into the queue, and for announcements that died.
const LOOK: Duration = Duration::from_millis(500);
/// Pause after a look that another replica's write caused, so that a busy neighbour costs a bounded share.
const PAUSE: Duration = Duration::from_millis(20);
/// Proposals made for one release; then others have it in their bag.
const ROUNDS: usize = 8;

/// How long the place of a batch is kept for its author.
pub const KEEP_PLACES: Duration = Duration::from_secs(7 * 86_400);
/// Time between two steps of the sweep of places.
const SWEEP: Duration = Duration::from_secs(30);
/// Rows looked at in one step.
const SWEEP_ROWS: usize = 2048;

/// Runs until the log ends.
pub(crate) async fn run(core: Arc<Core>) {
    let prefix = core.order.keys.queue();
    if let Err(e) = core.promiser.adopt(&core).await {
        tracing::warn!(error = %e, log = core.name, "cannot count what was promised before");
    }
    let (mut cursor, mut swept) = (core.order.keys.all_placed(), tokio::time::Instant::now());
    loop {
        match pass(&core).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(e) => {
                core.metrics.failure("release", &e);
                tracing::warn!(error = %e, log = core.name, "cannot release promised work; trying again");
                tokio::time::sleep(LOOK).await;
            }
        }
        core.promiser.settle(&core, now_ms());
        if swept.elapsed() > SWEEP {
            match core.order.waiting().await {
                Ok(waiting) => core.promiser.holds(waiting.values().map(|w| w.bytes).sum()),
                Err(e) => {
                    tracing::warn!(error = %e, log = core.name, "cannot count promised work");
                }
            }
            swept = tokio::time::Instant::now();
            match sweep_places(&core, &cursor, now_ms()).await {
                Ok(next) => cursor = next,
                Err(e) => tracing::warn!(error = %e, log = core.name, "cannot sweep old places"),
            }
        }
        tokio::select! {
            () = core.promiser.queued.notified() => {}
            () = core.store.changed(&prefix, LOOK) => tokio::time::sleep(PAUSE).await,
            _ = core.halt.halted() => return,
        }
    }
}

/// One look at bag and queue. Answers whether there may be more to do at once.
async fn pass(core: &Core) -> Result<bool, StoreError> {
    let order = &core.order;
    let bag = order.announced().await?;
    for (key, promised) in &bag.dead {
        // Dead as this replica sees it; what it has not read yet makes it no less dead.
        order.settle_row(key, promised).await?;
    }
    let mut live = bag.live;
    let mut released = false;
    let frozen = matches!(order.state().gate, Gate::Frozen { .. });
    if !frozen
        && core.pending.bytes() < WINDOW_BYTES.min(core.max_pending / 2)
        && core.trouble().is_none()
    {
        let next = choose(core).await?;
        if !next.is_empty() {
            order.refresh().await?;
            match order.release(&next).await {
                Outcome::Committed => {
                    released = true;
                    live.extend(next);
                }
                // Another replica was first, or a late copy of ordered work is in the way.
                Outcome::Refused => {
                    for promised in &next {
                        order
                            .settle_row(&order.keys.queued(promised), promised)
                            .await?;
                    }
                }
                Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e),
            }
        }
    }
    if frozen {
        return Ok(false);
    }
    for _ in 0..ROUNDS {
        live.retain(|p| !order.has(p.batch.token));
        if live.is_empty() || core.halt.is_halted() {
            break;
        }
        order.help().await?;
    }
    Ok(released && !core.halt.is_halted())
}

/// What goes next: of each tier's earliest deadlines the earliest.
async fn choose(core: &Core) -> Result<Vec<Promised>, StoreError> {
    let mut heads: Vec<Promised> = Vec::new();
    let mut tier = None;
    while let Some((name, rows)) = core.order.next_tier(tier.as_deref(), ROWS).await? {
        heads.extend(rows);
        tier = Some(name);
    }
    heads.sort_by_key(|p| (p.deadline, p.batch.token));
    let mut bytes = 0;
    heads.truncate(ROWS);
    let fits = |p: &Promised| {
        bytes += p.bytes;
        bytes == p.bytes || bytes <= BYTES
    };
    Ok(heads.into_iter().take_while(fits).collect())
}

/// One step of the sweep: of the next rows those go that are older than [`KEEP_PLACES`] and whose slot is collected, so that no
/// late copy of their work can land any more. Answers where the next step begins.
pub(crate) async fn sweep_places(
    core: &Core,
    from: &str,
    now_ms: u64,
) -> Result<String, StoreError> {
    let keys = &core.order.keys;
    let prefix = keys.all_placed();
    let floor = core.order.floor().await?;
    let old = now_ms.saturating_sub(u64::try_from(KEEP_PLACES.as_millis()).unwrap_or(u64::MAX));
    let rows = core.store.scan(&prefix, from, SWEEP_ROWS).await?;
    let next = match rows.last() {
        Some((last, _)) if rows.len() == SWEEP_ROWS => format!("{last}\0"),
        _ => prefix,
    };
    let gone = |bytes: &[u8]| {
        record::decode::<PlacedRow>(bytes).is_ok_and(|row| row.time < old && row.slot < floor)
    };
    let deletes: Vec<String> = rows
        .into_iter()
        .filter(|(_, bytes)| gone(bytes))
        .map(|(key, _)| key)
        .collect();
    for chunk in deletes.chunks(512) {
        let transaction = Transaction {
            deletes: chunk.to_vec(),
            ..Transaction::default()
        };
        if let Outcome::Failed(e) | Outcome::Unknown(e) = core.store.transact(transaction).await {
            return Err(e);
        }
    }
    Ok(next)
}
