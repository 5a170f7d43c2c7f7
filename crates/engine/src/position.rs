//! The positions of the four programs, as rows of the coordination store. The programs know nothing else of each other, so
//! any of them can run in another process, or not at all.
//!
//! ```text
//! integrated/{shard}                     Position   integrate   its tiles are durable
//! root/{shard}/{size}                    Hash       integrate   of each cut that is not behind the published one
//! secondary/{name}                       Live       replicate   the incarnation whose rows count
//! storage/{name}                         Storage    replicate   the same, and whether a restore may rely on it
//! manifest/{name}                        Described  replicate   the manifest that the secondary holds
//! verified/{name}/{incarnation}/{shard}  Verified   replicate   held and checked by that secondary
//! published/{shard}                      Published  publish     before it is signed
//! handover                               a number   publish     the generation whose quorum holds all that is published
//! dist/{frontend}/{shard}                Pushed     distribute  tiles and checkpoint are there
//! ```
//!
//! A row begins with its size, so that a transaction can demand that it never goes back. What must never happen: a row is written that rests
//! on what a secondary holds, and another process has found meanwhile that its storage holds less. So each such transaction is guarded by
//! the number of `storage/{name}` ([`unmoved`]).

use logconfig::SecondaryConfig;
use order::{Generation, SlotNumber};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tlog::{GlobalIndex, Hash, TreeSize, UnixMillis};

use crate::shard::Published;
use order::keys::Keys;
use order::state::{Shard, State};
use store::record;
use store::{Coordination, Guard, StoreError};

/// A cut: a size whose tiles and root are durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Size of the tree, in entries.
    pub size: TreeSize,
    /// Root at that size.
    pub root: Hash,
    /// Slots of the order that it covers.
    pub slots: SlotNumber,
}

/// The position that a secondary said it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verified {
    /// Entries of the shard that it holds.
    pub size: TreeSize,
    /// Root at that size, computed by the secondary.
    pub root: Hash,
    /// The signature line of its cosignature (C2SP tlog-cosignature) over the checkpoint of that size, without line feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosignature: Option<String>,
    /// When the secondary said so, milliseconds since the Unix epoch.
    pub time: UnixMillis,
}

/// The incarnation of a secondary that counts. A secondary that lost its disk comes back as another incarnation, and starts from zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// The name of the incarnation, without slashes.
    pub incarnation: String,
    /// The key that it cosigns with. Its rows count while this is the one that the configuration names.
    pub vkey: String,
    /// Since when, milliseconds since the Unix epoch.
    pub since: UnixMillis,
}

/// The incarnation of a secondary that does not name its storage: a third-party mirror.
pub(crate) const UNNAMED: &str = "0";

/// The storage of a secondary that answered last, behind a number that grows with every write of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// The name of the incarnation that answered.
    pub incarnation: String,
    /// The key that the secondary cosigns with.
    pub vkey: String,
    /// It has all that any storage of this secondary ever counted for.
    pub whole: bool,
}

/// The same, as manifests record it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouched {
    /// The secondary's name in the configuration.
    pub secondary: String,
    /// The key that it cosigns with.
    pub vkey: String,
    /// The storage that it has, which is another one after a loss.
    pub incarnation: String,
    /// If there are two for one secondary, the one with the larger number counts.
    pub number: u64,
    /// It has all that any storage of this secondary ever counted for.
    pub whole: bool,
}

/// The manifest that a secondary has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// The storage that holds it.
    pub incarnation: String,
    /// The key that the secondary cosigns with.
    pub vkey: String,
    /// The newest generation that it names.
    pub generation: Generation,
    /// The life of the log that the secondary accepts; it refuses earlier ones.
    #[serde(default)]
    pub life: u64,
    /// Whether that life could not sign yet. Then another life that is restored at the same time may still win, and what this manifest says
    /// is void.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsettled: bool,
}

/// The published state of a frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pushed {
    /// Entries under the checkpoint that is there.
    pub size: TreeSize,
    /// When it was pushed, milliseconds since the Unix epoch.
    pub time: UnixMillis,
}

fn corrupt(key: &str, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{key}: {why}; run `logd fsck`"))
}

/// A row with its size in front.
pub(crate) async fn numbered<T: DeserializeOwned>(
    store: &dyn Coordination,
    key: &str,
) -> Result<Option<T>, StoreError> {
    let Some(bytes) = store.get(key).await? else {
        return Ok(None);
    };
    let (_, row) = record::decode_numbered(&bytes).map_err(|e| corrupt(key, &e))?;
    Ok(Some(row))
}

async fn plain<T: DeserializeOwned>(
    store: &dyn Coordination,
    key: &str,
) -> Result<Option<T>, StoreError> {
    let Some(bytes) = store.get(key).await? else {
        return Ok(None);
    };
    Ok(Some(record::decode(&bytes).map_err(|e| corrupt(key, &e))?))
}

/// The last cut of a shard. Where there is only what older servers wrote, what is published: it is integrated.
pub async fn integrated(
    store: &dyn Coordination,
    keys: &Keys,
    shard: &str,
) -> Result<Option<Position>, StoreError> {
    let key = keys.integrated(shard);
    if let Some(bytes) = store.get(&key).await?
        && let Some(at) = decode_integrated(&key, &bytes)?
    {
        return Ok(Some(at));
    }
    let at = published(store, keys, shard).await?;
    Ok(at.as_ref().map(of_published))
}

/// The position in a row; older servers wrote the number alone, together with the published position.
pub(crate) fn decode_integrated(key: &str, bytes: &[u8]) -> Result<Option<Position>, StoreError> {
    if bytes.len() == 8 {
        return Ok(None);
    }
    let (_, at) = record::decode_numbered(bytes).map_err(|e| corrupt(key, &e))?;
    Ok(Some(at))
}

/// Published entries count as integrated.
pub(crate) fn of_published(at: &Published) -> Position {
    Position {
        size: at.size,
        root: at.root,
        slots: SlotNumber::ZERO,
    }
}

/// The root of a cut, as long as it is not behind the published position.
pub async fn root(
    store: &dyn Coordination,
    keys: &Keys,
    shard: &str,
    size: TreeSize,
) -> Result<Option<Hash>, StoreError> {
    plain(store, &keys.root(shard, size)).await
}

/// The published position of a shard.
pub async fn published(
    store: &dyn Coordination,
    keys: &Keys,
    shard: &str,
) -> Result<Option<Published>, StoreError> {
    numbered(store, &keys.published(shard)).await
}

/// The live incarnation of a secondary.
pub async fn live(
    store: &dyn Coordination,
    keys: &Keys,
    secondary: &str,
) -> Result<Option<Live>, StoreError> {
    plain(store, &keys.secondary(secondary)).await
}

/// The storage of a secondary that answered last, with the row's number.
pub async fn storage(
    store: &dyn Coordination,
    keys: &Keys,
    secondary: &str,
) -> Result<(u64, Option<Storage>), StoreError> {
    let key = keys.storage(secondary);
    let Some(bytes) = store.get(&key).await? else {
        return Ok((0, None));
    };
    let (number, row) = record::decode_numbered(&bytes).map_err(|e| corrupt(&key, &e))?;
    Ok((number, Some(row)))
}

/// The storages of all secondaries.
pub async fn storages(store: &dyn Coordination, keys: &Keys) -> Result<Vec<Vouched>, StoreError> {
    let prefix = keys.storages();
    let rows = store.scan(&prefix, &prefix, 10_000).await?;
    let decoded = rows.into_iter().map(|(key, bytes)| {
        let (number, row) =
            record::decode_numbered::<Storage>(&bytes).map_err(|e| corrupt(&key, &e))?;
        Ok(Vouched {
            secondary: key[prefix.len()..].to_owned(),
            vkey: row.vkey,
            incarnation: row.incarnation,
            number,
            whole: row.whole,
        })
    });
    decoded.collect()
}

/// Whether a secondary is a third-party mirror: it has cosigned, does not say which storage it has, and keeps no manifest.
pub(crate) async fn foreign(
    store: &dyn Coordination,
    keys: &Keys,
    secondary: &SecondaryConfig,
) -> Result<bool, StoreError> {
    let name = secondary.name.as_str();
    let live = live(store, keys, name).await?;
    let unnamed =
        live.is_some_and(|live| (&*live.incarnation, &live.vkey) == (UNNAMED, &secondary.vkey));
    Ok(unnamed && manifest(store, keys, name).await?.is_none())
}

/// The end of everything before a global index: the shard of the last entry, and how many of that shard's entries are before the index.
/// Older shards are copied and published first.
pub(crate) fn end(state: &State, index: GlobalIndex) -> Option<(&Shard, TreeSize)> {
    let before = |shard: &&Shard| shard.start().is_some_and(|start| start < index);
    let last = state.shards.iter().rev().find(before)?;
    let size = index.tree(last.start().unwrap_or_default());
    Some((last, size.min(state.length(last).unwrap_or(size))))
}

/// The position of a shard that an incarnation of a secondary has verified.
pub async fn verified(
    store: &dyn Coordination,
    keys: &Keys,
    secondary: &str,
    incarnation: &str,
    shard: &str,
) -> Result<Option<Verified>, StoreError> {
    numbered(store, &keys.verified(secondary, incarnation, shard)).await
}

/// Reads how much of a shard a frontend has.
pub async fn pushed(
    store: &dyn Coordination,
    keys: &Keys,
    frontend: &str,
    shard: &str,
) -> Result<Option<Pushed>, StoreError> {
    numbered(store, &keys.dist(frontend, shard)).await
}

/// How far the log is published, as a global index. Shards are published oldest first.
pub(crate) async fn published_index(
    store: &dyn Coordination,
    keys: &Keys,
    state: &State,
) -> Result<GlobalIndex, StoreError> {
    for shard in state.shards.iter().rev() {
        if let Some(start) = shard.start()
            && let Some(row) = published(store, keys, &shard.identity.name).await?
        {
            return Ok(start + row.size);
        }
    }
    Ok(GlobalIndex::ZERO)
}

/// The guard by which the rows of a secondary still count when a transaction is committed that rests on them: since the storage's row had
/// this number, which is read before them, nobody has found that its storage is another one or an older copy of itself.
pub(crate) fn unmoved(keys: &Keys, secondary: &str, storage: u64) -> Guard {
    Guard::AtMost(keys.storage(secondary), storage)
}

/// The manifest that a secondary holds.
pub(crate) async fn manifest(
    store: &dyn Coordination,
    keys: &Keys,
    secondary: &str,
) -> Result<Option<Described>, StoreError> {
    numbered(store, &keys.manifest(secondary)).await
}

/// A secondary that a binding membership names, and what its live incarnation has verified of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondaryHolding {
    /// The secondary's name in the configuration.
    pub secondary: String,
    /// The key that it cosigns with.
    pub vkey: String,
    /// Its live incarnation; none while it never answered, or answers with another key than the configured one.
    pub live: Option<Live>,
    /// The position that this incarnation has verified.
    pub verified: Option<Verified>,
    /// The number of the storage's row before all that was read.
    pub storage: u64,
}
