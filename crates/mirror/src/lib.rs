//! The secondary of a log: it copies logs, checks everything, and confirms that with a cosignature (C2SP tlog-mirror, draft).
//!
//! A log signs a checkpoint for its readers only when enough secondaries have cosigned it, so that the loss of every machine of
//! the log loses no entry that a reader could know of. [`Mirror`] is such a secondary. This crate knows nothing of how a log works:
//! it needs the keys of the logs, a key of its own, a folder and two stores.
//!
//! ```text
//! add_checkpoint ─▶ pending     the log commits itself to a root; nothing is cosigned yet
//! begin ─▶ write… ─▶ end        entries, each package proven to be under that root; then durable; then the cosignature
//! ```
//!
//! ```
//! use std::sync::Arc;
//!
//! use mirror::{Ended, Folder, Mirror, MirrorOptions, Tiles};
//! use ambient::Ambient;
//! use store::{MemoryCoordination, MemoryObjects, Objects as _};
//! use tlog::mirror::{AddCheckpoint, EntriesHead, origin_hash};
//! use tlog::{Checkpoint, Cosigner, ShardTree, Signer};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The log: one shard with two entries, as tiles in an object store, and a checkpoint signed with the log's replication key.
//! let origin = "example.org/log/2026";
//! let log = Signer::from_seed("example.org/log", &[1; 32])?;
//! let mut tree = ShardTree::default();
//! tree.push(b"first", &mut Vec::new());
//! tree.push(b"second", &mut Vec::new());
//! let objects = MemoryObjects::new();
//! let tiles = tree.partials().into_iter();
//! objects.put(tiles.map(|(path, bytes)| (format!("log/2026/{path}"), bytes)).collect()).await?;
//! let (size, root) = (tree.size(), tree.root());
//! let text = Checkpoint { origin: origin.into(), size, root, extensions: vec![] }.to_text();
//! let checkpoint = tlog::sign(&text, &[&log])?;
//!
//! // The secondary: it trusts that key for every origin below the key's name.
//! let folder = tempfile::tempdir()?;
//! let secondary = Mirror::open(MirrorOptions {
//!     disk: Arc::new(Folder::new(folder.path())),
//!     logs: vec![log.verifier().clone()],
//!     cosigner: Cosigner::from_seed("mirror.example.net", &[2; 32])?,
//!     rows: Arc::new(MemoryCoordination::new()),
//!     objects: Arc::new(MemoryObjects::new()),
//!     min_free: 0,
//!     ambient: Ambient::system(),
//! })
//! .await?;
//!
//! // The log commits itself to the root, then sends the entries with their proofs.
//! let request = AddCheckpoint { old: 0, proof: vec![], checkpoint };
//! secondary.add_checkpoint(&request.to_body(), 0).await?;
//! let head = EntriesHead { origin: origin.into(), start: 0, end: size, ticket: vec![] };
//! let (body, _) = Tiles { objects: &objects, folder: "log/2026" }.request(&head).await?;
//! let (head, length) = EntriesHead::read(&body)?.ok_or("no head")?;
//! let mut upload = secondary.begin(&head, 0).await?;
//! upload.write(body.slice(length..)).await?;
//! let Ended::Cosigned(line) = upload.end().await? else { panic!("more entries are missing") };
//!
//! assert!(line.starts_with("— mirror.example.net "));
//! let note = secondary.checkpoint(&origin_hash(origin)).await.ok_or("nothing is cosigned")?;
//! assert!(note.starts_with(&text) && note.ends_with(&line));
//! # Ok(())
//! # }
//! ```
//!
//! The log commits itself with its replication key, because a size that only some secondaries hold may still be lost with the
//! primary: a restore would then sign another root for it, which the shard's own key must never do. Readers know only the
//! shard's key. So once a size is published the log shows it again, with both signatures and no new entries, and that
//! checkpoint is the one that readers get; a restore asks for the newest one ([`COSIGNED`]).
//!
//! What must never happen: a cosignature before every entry below it is on disk, or over a root that the mirror has not computed
//! from the entries alone; a position that goes back; two roots for one size. A second root is kept as an alarm, and
//! the log that signed it is refused from then on.
//!
//! A log that was restored is another *life* of it. Of two lives only the later one is accepted, from the moment when its manifest is
//! accepted: nothing that an earlier life sends after that is cosigned. A life that was restored with less than the mirror has cosigned is
//! refused: an earlier life has continued.
//!
//! | module | what |
//! |---|---|
//! | `storage`, `mirror` | a secondary: its folder and incarnation; the logs that it knows |
//! | `origin/` | one mirrored shard: pending checkpoints, packages, uploads, the cosignature |
//! | `disk/` | the folder: in a file system; in memory, for tests |
//! | `files`, `rows` | entries and hashes in flat files; positions in a coordination store of its own |
//! | `lives`, `manifest` | which life of a log counts; what else a restore needs, sealed |
//! | `times` | when entries were ordered, for shards that Sigstore's clients read |
//! | `http/` | a secondary behind HTTP; with the feature `http` |
//! | `ask`, `tiles` | the log's side: requests to its peers; proofs and packages from its tiles |

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]

mod ask;
mod disk;
mod files;
#[cfg(feature = "http")]
pub mod http;
mod lives;
mod manifest;
mod mirror;
mod origin;
mod refusal;
mod rows;
mod storage;
#[cfg(test)]
mod tests;
mod tiles;
mod times;

pub use ask::{NoPeerClient, PeerAnswer, PeerClient, PeerError, PeerLife, PeerRequest};
#[cfg(any(test, feature = "testing"))]
pub use disk::MemoryDisk;
pub use disk::{Disk, DiskEntry, DiskFile, DiskWork, Folder};
pub use manifest::{MAX_MANIFEST, Settled, SignedManifest, Stamp};
pub use mirror::Mirror;
pub use origin::OriginStatus;
pub use origin::upload::{Ended, Upload};
pub use refusal::Refusal;
pub use rows::Alarm;
pub use storage::MirrorOptions;
pub use tiles::Tiles;
pub use times::{MAX_TIMES, SignedTimes, bundles};

/// Beside `checkpoint`, below the hash of an origin: the newest mirror checkpoint, for a restore. C2SP tlog-mirror has no such path; other
/// mirrors have the same at `checkpoint`.
pub const COSIGNED: &str = "cosigned-checkpoint";
