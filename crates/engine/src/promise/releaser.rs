//! The releaser: moves promised work from the queue into the bag when its turn comes, and ensures that it is decided. Every replica runs one, and any
//! one of them is enough.
//!
//! The scheduler decides whose turn it is, as for all other work: the first rows of each tier wait there as one job, by their earliest
//! deadline. So promised work has its tier's weight and floor and is paced with it.
//!
//! It never rejects: while the log is frozen the work waits, and an announcement that no longer counts goes back to the queue.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::ingest::batcher::Batcher;
use crate::ledger::Ledger;
use crate::promise::Promiser;
use order::deletion::Mark;
use order::keys::{CLOCK, trailing_slot};
use order::location::LocationRow;
use order::mutant::{Mutant, left_out};
use order::state::Intake;
use order::work::Promised;
use order::writes;
use order::{SlotNumber, StoreAge, deletion};
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};
use tlog::UnixMillis;

/// Rows released at once.
const ROWS: usize = 64;
/// Bytes released at once (one row may pass it).
const BYTES: u64 = 1 << 20;
/// Time between checks for rows that other replicas put into the queue, and for announcements that died.
const QUEUE_POLL: Duration = Duration::from_millis(500);
/// Pause after a check that another replica's write caused, so that a busy replica costs a bounded share.
const QUEUE_BACKOFF: Duration = Duration::from_millis(20);
/// Proposals made for one release; then others have it in their bag.
const ROUNDS: usize = 8;

/// How long the location of a batch is kept for its author.
pub(crate) const LOCATION_RETENTION: Duration = Duration::from_secs(7 * 86_400);
/// Time between two turns of the sweep of locations.
const SWEEP: Duration = Duration::from_secs(30);
/// Steps in one turn: enough for a log with a front, in which each of a thousand entries a second has a location.
const SWEEP_STEPS: usize = 16;
/// Rows looked at in one step.
const SWEEP_ROWS: usize = 2048;
/// Time between two marks of the age of slots.
const MARK: Duration = Duration::from_secs(3_600);
/// More marks than are made within [`LOCATION_RETENTION`].
const MARKS: usize = 1024;

/// The turns that were asked for: by tier, the deadline that was named.
#[derive(Default)]
struct Turns {
    asked: HashMap<String, UnixMillis>,
    waiting: FuturesUnordered<BoxFuture<'static, (String, bool)>>,
}

impl Turns {
    /// Asks for a turn for the first rows of a tier, unless one that is as urgent was asked for already.
    fn ask(&mut self, batcher: &Batcher, rows: &[Promised]) {
        let rows = fill(rows);
        let Some(first) = rows.first() else { return };
        let asked = self.asked.get(&first.tier);
        if asked.is_some_and(|deadline| *deadline <= first.deadline) {
            return;
        }
        self.asked.insert(first.tier.clone(), first.deadline);
        let tier = first.tier.clone();
        let turn = batcher.turn(rows);
        self.waiting
            .push(Box::pin(async move { (tier, turn.await.is_ok()) }));
    }

    /// Resolves with the tier whose turn it is, or with `None` if the batcher takes no more work; never, while no turn is waited for.
    async fn next(&mut self) -> Option<String> {
        let Some((tier, given)) = self.waiting.next().await else {
            return std::future::pending().await;
        };
        self.asked.remove(&tier);
        given.then_some(tier)
    }
}

/// Runs until the log ends.
pub(crate) async fn run(promiser: Arc<Promiser>) {
    let ingest = &promiser.ingest;
    let prefix = ingest.ledger.keys.queue();
    if let Err(e) = promiser.adopt(&ingest.ledger, &ingest.batcher).await {
        tracing::warn!(error = %e, log = ingest.ledger.name, "cannot count what was promised before");
    }
    let places = ingest.ledger.keys.all_placed();
    let (mut cursor, mut swept) = (places.clone(), tokio::time::Instant::now());
    let (mut turns, mut turn) = (Turns::default(), None);
    loop {
        // Asked for before the rows are read, so that nothing is missed.
        let changed = ingest.ledger.store.changed(&prefix, QUEUE_POLL);
        if let Err(e) = pass(&promiser, &mut turns, turn.take()).await {
            ingest.progress.metrics.failure("release", &e);
            tracing::warn!(error = %e, log = ingest.ledger.name, "cannot release promised work; trying again");
            tokio::time::sleep(QUEUE_POLL).await;
        }
        if swept.elapsed() > SWEEP {
            match ingest.ledger.waiting().await {
                Ok(waiting) => promiser.holds(waiting.values().map(|w| w.bytes).sum()),
                Err(e) => {
                    tracing::warn!(error = %e, log = ingest.ledger.name, "cannot count promised work");
                }
            }
            swept = tokio::time::Instant::now();
            for _ in 0..SWEEP_STEPS {
                match sweep_locations(&ingest.ledger, &cursor).await {
                    Ok(next) => cursor = next,
                    Err(e) => {
                        tracing::warn!(error = %e, log = ingest.ledger.name, "cannot sweep old places");
                        break;
                    }
                }
                if cursor == places {
                    break;
                }
            }
        }
        tokio::select! {
            given = turns.next() => match given {
                Some(tier) => turn = Some(tier),
                // The batcher takes no more work.
                None => tokio::time::sleep(QUEUE_BACKOFF).await,
            },
            () = promiser.queued.notified() => {}
            () = ingest.ledger.promised.notified() => {}
            () = changed => tokio::time::sleep(QUEUE_BACKOFF).await,
            _ = ingest.health.halt.halted() => return,
        }
    }
}

/// One pass over bag and queue: to release work when it is a tier's `turn`, or to ask for turns.
async fn pass(
    promiser: &Promiser,
    turns: &mut Turns,
    turn: Option<String>,
) -> Result<(), StoreError> {
    let ingest = &promiser.ingest;
    let order = &ingest.ledger;
    let bag = order.announced().await?;
    for (key, promised) in &bag.dead {
        // As this replica sees it, the announcement no longer counts, and slots that it has not read yet cannot change that.
        order.settle_row(key, promised).await?;
    }
    let mut live = bag.live;
    if ingest.health.clock.fault().is_some() {
        return Ok(()); // Nothing is proposed until the clock is right.
    }
    if !matches!(order.state().intake, Intake::Frozen { .. }) {
        if let Some(tier) = turn {
            live.extend(release(&ingest.ledger, &tier).await?);
        }
        for _ in 0..ROUNDS {
            live.retain(|p| order.index_of(p.batch.token).is_none());
            if live.is_empty() || ingest.health.halt.is_halted() {
                break;
            }
            order.help().await?;
        }
        if ingest.health.trouble().is_none() {
            for rows in order.queued(ROWS).await? {
                turns.ask(&ingest.batcher, &rows);
            }
        }
    }
    promiser.settle(&ingest.ledger, &ingest.batcher).await
}

/// Moves the first rows of a tier into the bag; returns what is there now.
async fn release(ledger: &Ledger, tier: &str) -> Result<Vec<Promised>, StoreError> {
    let rows = ledger.queued_in(tier, ROWS).await?;
    let rows = fill(&rows);
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    ledger.refresh().await?;
    match ledger.release(rows).await {
        Outcome::Committed => return Ok(rows.to_vec()),
        // Another replica was first, or a late copy of ordered work is in the way.
        Outcome::Refused => {
            for promised in rows {
                let key = ledger.keys.queued(promised);
                ledger.settle_row(&key, promised).await?;
            }
        }
        Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e),
    }
    Ok(Vec::new())
}

/// The first rows, as many as are released at once.
fn fill(rows: &[Promised]) -> &[Promised] {
    let mut bytes = 0;
    let fits = |p: &&Promised| {
        bytes += p.bytes;
        bytes == p.bytes || bytes <= BYTES
    };
    &rows[..rows.iter().take_while(fits).count()]
}

/// One step of the sweep: of the next rows, those older than [`LOCATION_RETENTION`] are deleted, as far as that is safe ([`writes::forgotten`]).
/// Their age is measured by the store, so that no clock change makes a row older. Returns where the next step begins.
pub(crate) async fn sweep_locations(ledger: &Ledger, from: &str) -> Result<String, StoreError> {
    let keys = &ledger.keys;
    let prefix = keys.all_placed();
    let swept = number(ledger, &keys.forgotten()).await?;
    let floor = ledger.floor().await?;
    let rows = ledger.store.scan(&prefix, from, SWEEP_ROWS).await?;
    let next = match rows.last() {
        Some((last, _)) if rows.len() == SWEEP_ROWS => format!("{last}\0"),
        _ => prefix,
    };
    if rows.is_empty() {
        return Ok(next);
    }
    let old = mark(ledger).await?;
    let places = rows.into_iter().filter_map(|(key, bytes)| {
        let row = record::decode::<LocationRow>(&bytes).ok()?;
        let aged = match left_out(Mutant::PlacesGoByTheWallClock) {
            true => row.time + LOCATION_RETENTION < ledger.clock.now(),
            false => row.slot < old,
        };
        aged.then_some((key, row))
    });
    let places: Vec<_> = places.collect();
    if places.is_empty() {
        return Ok(next);
    }
    let mut left = HashSet::new();
    let show = |p: &Promised| left.extend([keys.placed_promise(p.batch.token)]);
    ledger.each_promised(show).await?;
    let deletes = writes::forgotten(floor, places, &left);
    for (swept, chunk) in (swept..).zip(deletes.chunks(512)) {
        // A part of an upload may be ordered again once its location is forgotten. A deletion that lands late must not delete the new location.
        let transaction = Transaction {
            guards: vec![Guard::AtMost(keys.forgotten(), swept)],
            puts: vec![(keys.forgotten(), record::encode_counted(swept + 1))],
            deletes: chunk.to_vec(),
        };
        match ledger.store.transact(transaction).await {
            Outcome::Committed => {}
            Outcome::Refused => break, // Another replica sweeps.
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e),
        }
    }
    Ok(next)
}

async fn number(ledger: &Ledger, key: &str) -> Result<u64, StoreError> {
    let row = ledger.store.get(key).await?;
    row.map_or(Ok(0), |row| {
        record::decode_counted(&row)
            .map_err(|e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`")))
    })
}

/// Returns a number below which every slot was decided longer ago than locations are kept. Every hour it writes a mark: the number of slots, and the
/// age of the store. A mark that says no more than a later one is deleted.
async fn mark(ledger: &Ledger) -> Result<SlotNumber, StoreError> {
    let keys = &ledger.keys;
    let age = StoreAge::new(number(ledger, CLOCK).await?);
    let rows = ledger
        .store
        .scan(&keys.marks(), &keys.marks(), MARKS)
        .await?;
    let marks = rows.iter().filter_map(|(key, row)| {
        Some((
            trailing_slot(key)?,
            StoreAge::new(record::decode_counted(row).ok()?),
        ))
    });
    let marks: Vec<Mark> = marks.collect();
    let keep = match left_out(Mutant::KeysForgottenEarly) {
        true => Duration::ZERO,
        false => LOCATION_RETENTION,
    };
    let aged = deletion::aged(&marks, age, keep);
    let len = ledger.state().len;
    let mut transaction = Transaction::default();
    let last = marks.last();
    if last.is_none_or(|(slots, at)| *slots < len && age >= *at + MARK) {
        let key = keys.mark(len);
        transaction.guards.push(Guard::Absent(key.clone()));
        transaction
            .puts
            .push((key, record::encode_counted(age.get())));
    }
    let idle = marks.iter().filter(|(slots, _)| *slots < aged);
    transaction.deletes = idle.map(|(slots, _)| keys.mark(*slots)).collect();
    if !transaction.puts.is_empty() || !transaction.deletes.is_empty() {
        match ledger.store.transact(transaction).await {
            Outcome::Committed | Outcome::Refused => {}
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e),
        }
    }
    Ok(aged)
}
