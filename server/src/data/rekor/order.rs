//! From a leaf to a published entry, for both of Rekor's APIs.
//!
//! An entry has an idempotency key of its own, made of its shard and its leaf, so a client that sends it again gets the existing entry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use logconfig::{Duplicates, FirstEntry, RekorConfig};
use tlog::{GlobalIndex, Hash};
use tokio::time::Instant;

use super::super::refusal::{self, Refusal};
use super::room::Wait;
use engine::{AppendError, Appended, Log, SignedOpening, WriteKey};
use qos::{Advice, TenantId};
use wire::data::codes;

/// By log: a lock, so that one opening statement is written at a time. Without it, each write that waits for the statement would sign and send
/// another one.
static OPENING: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>> = Mutex::new(BTreeMap::new());
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

/// Orders a leaf as soon as there is room for it, before `until`; returns its global index.
async fn ordered(
    log: &Log,
    leaf: Bytes,
    tenant: TenantId,
    rekor: RekorConfig,
    opening: Opening,
    until: Instant,
) -> Result<GlobalIndex, Unordered> {
    let mut wait = Wait::new(log, tenant, until);
    loop {
        let wish = || wait.wish();
        match submitted(log, leaf.clone(), tenant, rekor, opening, wish).await {
            Err(Unordered::Refused(refusal)) => wait.for_room(refusal).await?,
            done => return done,
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
