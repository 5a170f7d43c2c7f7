//! From a leaf to a published entry, for both of Rekor's APIs.
//!
//! An entry has an idempotency key of its own, made of its shard and its leaf, so a client that sends it again gets the existing entry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Version;
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use logconfig::{Duplicates, FirstEntry, RekorConfig};
use plane_http::{HeldBytes, Phase, Watched};
use tlog::{GlobalIndex, Hash};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::super::refusal::{self, Refusal};
use super::super::{DataPlane, add, advice};
use engine::{AppendError, Appended, Log, SignedOpening, WriteKey};
use qos::{Advice, TenantId};
use wire::data::codes;

/// The turns of checks that may take long, of which two run at a time (`CHECKS`), and how long a check waits for its turn (`CHECK_TIMEOUT`).
static CHECKS: Semaphore = Semaphore::const_new(2);
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Bodies up to this length are read where they arrive, not on another thread.
pub(super) const INLINE: usize = 16 << 10;

/// Writes that wait for room on this server, by log and tenant.
static WAITING: Waiting = Waiting(Mutex::new(BTreeMap::new()));
/// How many writes may wait, of all logs and tenants together.
const MOST_WAITING: usize = 2048;
/// By log: a lock, so that one opening statement is written at a time. Without it, each write that waits for the statement would sign and send
/// another one.
static OPENING: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>> = Mutex::new(BTreeMap::new());
/// The shortest and the longest pause before a write that waits for room tries again. There may be room earlier than the log estimates.
const ROOM_POLL: Duration = Duration::from_millis(200);
const LONG_ROOM_POLL: Duration = Duration::from_secs(2);

/// The urgency of a write that found no room in the first tier: the default of RFC 9218.
const PATIENT: u8 = 3;
/// A write must be ordered in this fraction (one in so many) of the time that is left; the rest is for the publication.
const ORDERED_WITHIN: u32 = 2;

/// How many writes of each log and tenant wait for room.
struct Waiting(Mutex<BTreeMap<(String, TenantId), usize>>);

/// The place of one write that waits.
struct Place(&'static Waiting, (String, TenantId));

impl Waiting {
    fn by(&self) -> MutexGuard<'_, BTreeMap<(String, TenantId), usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a write; `None` if too many wait. A tenant of a log never gets more places than it leaves free for others.
    fn enter(&'static self, log: &str, tenant: TenantId) -> Option<Place> {
        let mut by = self.by();
        let free = MOST_WAITING.saturating_sub(by.values().sum());
        let key = (log.to_owned(), tenant);
        let own = by.get(&key).copied().unwrap_or(0);
        (own < free).then(|| {
            by.insert(key.clone(), own + 1);
            Place(self, key)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self(waiting, key) = self;
        let mut by = waiting.by();
        if let Some(own) = by.get_mut(key) {
            *own -= 1;
            if *own == 0 {
                by.remove(key);
            }
        }
    }
}

/// How often a write follows its log to the next shard, when its own is rotated out before it is ordered.
const ROTATIONS: usize = 8;

/// Makes the leaf of an opening statement in the form of an API; `None` if it is no entry there.
type Opening = fn(&SignedOpening) -> Option<Vec<u8>>;

/// Why an entry is not ordered.
#[derive(Debug)]
pub(super) enum Unordered {
    /// The log refused it.
    Refused(Refusal),
    /// The shard has it already, and repeats are conflicts here.
    Exists(Appended),
    /// The log accepts no entries any more.
    Frozen,
    /// It may be sent again.
    Unavailable,
}

impl From<Refusal> for Unordered {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The key under which a shard has a leaf once.
pub(super) fn key(shard: &str, leaf: &Hash) -> WriteKey {
    WriteKey::new("", &format!("rekor {shard} {leaf}"))
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

/// Does the work of a check on another thread, since it would keep other requests waiting. A few run at a time.
pub(super) async fn check<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let turn = tokio::time::timeout(CHECK_TIMEOUT, CHECKS.acquire()).await;
    let turn = turn
        .ok()
        .and_then(Result::ok)
        .ok_or_else(Refusal::crowded)?;
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

/// The tenant that a request writes for.
pub(super) fn tenant(log: &Log, head: &Parts) -> Result<TenantId, Refusal> {
    advice::read(&head.headers, || log.now().get())?.tenant(log)
}

/// Orders a leaf and waits for a checkpoint that covers it, as long as the log holds a write; the entry's global index.
pub(super) async fn published(
    log: &Log,
    leaf: Bytes,
    tenant: TenantId,
    opening: Opening,
) -> Result<GlobalIndex, Unordered> {
    let rekor = log.rekor();
    let hold = rekor.hold.duration();
    let published = async {
        let until = Instant::now() + hold;
        let index = ordered(log, leaf, tenant, rekor, opening, until).await?;
        let covered = log.wait_published(index).await;
        covered.map_err(|error| refusal::read(log.name(), &error))?;
        Ok::<_, Unordered>(index)
    };
    let published = tokio::time::timeout(hold, published).await;
    published.map_err(|_| unpublished(hold))?
}

/// The advice for a write that is held until `until`: a publication in time or, once its first tier is full, a later one.
fn wish(until: Instant, urgency: Option<u8>) -> Advice {
    let left = until.saturating_duration_since(Instant::now());
    Advice {
        urgency,
        merge_by: Some(left / ORDERED_WITHIN),
        ..Advice::default()
    }
}

/// Whether this tenant's patient writes are promised a later publication than its other writes. A tenant may have only urgent tiers.
fn has_later_tier(log: &Log, tenant: TenantId) -> bool {
    let policy = log.policy();
    let most = |urgency| {
        let advice = Advice {
            urgency,
            ..Advice::default()
        };
        policy.grant(tenant, &advice).merge_by
    };
    matches!((most(None), most(Some(PATIENT))), (Some(first), Some(later)) if later > first)
}

/// Orders a leaf as soon as there is room for it, before `until`; returns its global index. Since the write is held anyway, it accepts a less urgent
/// tier and a later promise if the first tier is full. A refusal that lasts beyond `until` is returned as it is, and so is any refusal while enough
/// other writes wait: each of them holds a connection and asks the store again and again.
async fn ordered(
    log: &Log,
    leaf: Bytes,
    tenant: TenantId,
    rekor: RekorConfig,
    opening: Opening,
    until: Instant,
) -> Result<GlobalIndex, Unordered> {
    let for_now = [codes::OVERLOADED, codes::NO_ROOM, codes::LIMITED];
    let (mut place, mut urgency) = (None, None);
    loop {
        let wish = || wish(until, urgency);
        let refusal = match submitted(log, leaf.clone(), tenant, rekor, opening, wish).await {
            Err(Unordered::Refused(refusal)) if for_now.contains(&refusal.code) => refusal,
            done => return done,
        };
        if refusal.code == codes::NO_ROOM && urgency.is_none() && has_later_tier(log, tenant) {
            urgency = Some(PATIENT);
            continue;
        }
        if place.is_none() {
            place = WAITING.enter(log.name(), tenant);
        }
        let after = refusal.retry_after;
        match after.map(|after| after.clamp(ROOM_POLL, LONG_ROOM_POLL)) {
            Some(after) if place.is_some() && Instant::now() + after < until => {
                tokio::time::sleep(after).await;
            }
            _ => return Err(refusal.into()),
        }
    }
}

/// Submits a leaf to the active shard, unless the shard has it.
async fn submitted(
    log: &Log,
    leaf: Bytes,
    tenant: TenantId,
    rekor: RekorConfig,
    opening: Opening,
    wish: impl Fn() -> Advice,
) -> Result<GlobalIndex, Unordered> {
    let hash = tlog::leaf_hash(&leaf);
    for _ in 0..ROTATIONS {
        let shard = log.active_shard();
        let key = key(shard.as_deref().unwrap_or_default(), &hash);
        if let (FirstEntry::Statement, Some(shard)) = (rekor.first_entry, &shard) {
            opened(log, shard, tenant, &wish, opening).await?;
        }
        if rekor.duplicates == Duplicates::Conflict {
            let there = log.keyed_entry(key).await;
            let there = there.map_err(|error| refusal::read(log.name(), &error.into()))?;
            if let Some(there) = there {
                // The client asks for it next.
                let covered = log.wait_published(there.index).await;
                covered.map_err(|error| refusal::read(log.name(), &error))?;
                return Err(Unordered::Exists(there));
            }
        }
        let advice = Advice { shard, ..wish() };
        let written = match log.submit_keyed(key, leaf.clone(), tenant, &advice).await {
            Ok(ticket) => ticket.answer.await,
            Err(error) => Err(error),
        };
        match written {
            Ok(appended) => return Ok(appended.index),
            // The shard was rotated out before the entry was ordered.
            Err(AppendError::WrongShard { .. }) => {}
            Err(error) => return Err(unordered(log, error)),
        }
    }
    Err(Unordered::Unavailable)
}

/// Makes the opening statement the first entry of a shard that has none: Go's clients leave out an index of 0, which sigstore-python
/// then refuses. Every server that is about to write a first entry submits the statement before it, as part of that write, and the log
/// orders only one of them.
async fn opened(
    log: &Log,
    shard: &str,
    tenant: TenantId,
    wish: &impl Fn() -> Advice,
    opening: Opening,
) -> Result<(), Unordered> {
    if !log.is_unopened() {
        return Ok(());
    }
    let turn = {
        let mut logs = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(logs.entry(log.name().to_owned()).or_default())
    };
    let _turn = turn.lock().await;
    if !log.is_unopened() {
        return Ok(());
    }
    // Nothing is signed for a log that accepts no entries.
    let taken = log.takes(&Advice::default());
    taken.map_err(|error| unordered(log, error))?;
    let signed = log.opening().await;
    let signed = signed.map_err(|error| refusal::read(log.name(), &error.into()))?;
    let Some(signed) = signed else {
        return Ok(());
    };
    let Some(leaf) = opening(&signed) else {
        tracing::error!(
            log = log.name(),
            shard,
            "cannot make an entry of the opening statement; the shard begins without one"
        );
        return Ok(());
    };
    let key = WriteKey::new("", &format!("rekor {shard} opening"));
    let advice = Advice {
        shard: Some(shard.to_owned()),
        ..wish()
    };
    let written = match log.submit_keyed(key, leaf.into(), tenant, &advice).await {
        Ok(ticket) => ticket.answer.await.map(drop),
        Err(error) => Err(error),
    };
    match written {
        // Another server's statement is there, or the shard was rotated out, which the write of the entry itself finds too.
        Ok(()) | Err(AppendError::KeyReused | AppendError::WrongShard { .. }) => Ok(()),
        Err(error) => Err(unordered(log, error)),
    }
}

fn unordered(log: &Log, error: AppendError) -> Unordered {
    match error {
        // Clients try again after 503, and a frozen log stays frozen.
        AppendError::Frozen { .. } => Unordered::Frozen,
        // A client that sends it again gets the existing entry, so an unknown outcome asks for a repeat. A log that closes may open again.
        AppendError::Unknown | AppendError::Closing => Unordered::Unavailable,
        error => refusal::append(log.name(), error).into(),
    }
}

/// The entry is ordered, or about to be.
fn unpublished(hold: Duration) -> Refusal {
    let seconds = hold.as_secs();
    let detail = format!(
        "no published checkpoint covers the entry after {seconds} s; send the same request again: the entry is written once, unless its shard was rotated out meanwhile"
    );
    Refusal::new(codes::UNSIGNED, detail).later(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tenant_takes_the_places_of_others() {
        static PLACES: Waiting = Waiting(Mutex::new(BTreeMap::new()));
        let take = |log, tenant| -> Vec<Place> {
            std::iter::from_fn(|| PLACES.enter(log, TenantId(tenant))).collect()
        };
        let first = take("a", 1);
        assert_eq!(first.len(), MOST_WAITING / 2);
        let (second, third) = (take("a", 2), take("b", 1));
        assert_eq!(second.len(), MOST_WAITING / 4);
        assert_eq!(third.len(), MOST_WAITING / 8);
        drop((first, second, third));
        assert!(PLACES.by().is_empty());
    }
}
