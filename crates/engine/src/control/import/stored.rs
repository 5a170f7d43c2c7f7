//! The objects of an import as they are stored, read once more before a log is made of them.
//!
//! The row has the root of what was added, as the process knew it that added it. The objects may be others: a disk has damaged them, or a process
//! that stood still has written those of an earlier import, which was dropped, over them. Once there is a log, its readers would find out.
//!
//! What is read stays read while the row is the same, so a request that is repeated since its answer took too long does not begin again.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use store::{Objects, StoreError};
use tlog::walk::{self, Event, Object, Walk, Wrong};
use tlog::{EntryTimestamp, LeafIndex, TILE_WIDTH, TileKind, TilePath, VerifierKey, bundle};

use super::{Importing, ImportingShard, unverified};
use crate::control::ChangeError;
use crate::engine::Engine;
use crate::entry_times::EntryTimes;
use crate::times;

/// How many objects are read ahead. A bundle has up to 17 MB.
const AHEAD: usize = 4;

/// What is wrong with a stored shard.
enum Flaw {
    Store(StoreError),
    /// An object, below its shard, and what it is.
    Object(String, String),
    /// All objects belong together, but to another root.
    Root(String),
}

impl From<StoreError> for Flaw {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Engine {
    /// Refuses to make a log of shards whose objects do not lead to the roots that the old Rekor signed.
    pub(in crate::control) async fn is_stored_as_signed(
        &self,
        name: &str,
        importing: &Importing,
    ) -> Result<(), ChangeError> {
        let (log, importing) = (name.to_owned(), importing.clone());
        let (reviewed, objects) = (Arc::clone(&self.reviewed), Arc::clone(&self.objects));
        // Not in the request's own task, which ends when the caller does not wait any longer.
        let review = tokio::spawn(async move {
            let mut reviewed = reviewed.lock().await;
            if reviewed.get(&log) == Some(&importing.edition) {
                return Ok(());
            }
            let mut first = 0;
            for (at, shard) in importing.shards.iter().enumerate() {
                if let Err(flaw) = review(&*objects, &log, shard, first).await {
                    return Err(refusal(flaw, &log, (at, shard)));
                }
                first += shard.size.get();
            }
            reviewed.insert(log, importing.edition);
            Ok(())
        });
        review.await.unwrap_or_else(|error| {
            let why = format!("reading the imported shards was interrupted: {error}");
            Err(StoreError::Io(why).into())
        })
    }
}

fn refusal(flaw: Flaw, log: &str, (at, shard): (usize, &ImportingShard)) -> ChangeError {
    let tree = shard.tree_id;
    let remedy = format!(
        "so no log is made with it; drop the import with `logctl import rekor --drop --log {log}`, and import again"
    );
    match flaw {
        Flaw::Store(error) => error.into(),
        Flaw::Object(path, what) => ChangeError::Conflict(format!(
            "the object {log}/{tree}/{path} of an imported shard {what}, {remedy}"
        )),
        Flaw::Root(root) => unverified(
            format!(
                "the stored entries of tree {tree} have the root {root}, but the tree head says {}, {remedy}",
                shard.root
            ),
            format!("/config/shards/{at}"),
        ),
    }
}

/// Reads all objects of a shard, whose entries have the indexes from `first` on.
async fn review(
    objects: &dyn Objects,
    log: &str,
    shard: &ImportingShard,
    first: u64,
) -> Result<(), Flaw> {
    let size = shard.size.get();
    let folder = format!("{log}/{}/", shard.tree_id);
    let mut walk = Walk::new(size, shard.root, []);
    let read = futures_util::stream::iter(walk::order(size))
        .map(|path| read(objects, &folder, path))
        .buffered(AHEAD);
    futures_util::pin_mut!(read);
    while let Some(next) = read.next().await {
        let (path, bytes) = next?;
        let found = (path, &bytes[..]);
        flaw_of(walk.take(Object::read(path, Some(found))))?;
        if path.kind == TileKind::Entries {
            let times = read_times(objects, &folder, path).await?;
            check_times(shard, first, (path, &bytes), &times)
                .map_err(|what| Flaw::Object(times::path(path), what.to_owned()))?;
        }
    }
    let (events, root) = walk.finish();
    flaw_of(events)?;
    match root {
        Some(root) if root == shard.root => Ok(()),
        Some(root) => Err(Flaw::Root(root.to_string())),
        None => Err(Flaw::Root("of no tree".to_owned())),
    }
}

fn missing(path: String) -> Flaw {
    Flaw::Object(path, "is missing".to_owned())
}

async fn read(
    objects: &dyn Objects,
    folder: &str,
    path: TilePath,
) -> Result<(TilePath, Bytes), Flaw> {
    let bytes = objects.get(&format!("{folder}{path}")).await?;
    let bytes = bytes.ok_or_else(|| missing(path.to_string()))?;
    Ok((path, bytes))
}

async fn read_times(objects: &dyn Objects, folder: &str, path: TilePath) -> Result<Bytes, Flaw> {
    let path = times::path(path);
    let bytes = objects.get(&format!("{folder}{path}")).await?;
    bytes.ok_or_else(|| missing(path))
}

/// The first fault that a walk has found.
fn flaw_of(events: Vec<Event>) -> Result<(), Flaw> {
    for event in events {
        match event {
            Event::Flawed { path, flaw } => {
                return Err(Flaw::Object(
                    path.to_string(),
                    format!("is damaged ({flaw})"),
                ));
            }
            Event::Differs {
                above,
                below,
                wrong,
                ..
            } => {
                let (path, other) = match wrong {
                    Wrong::Below => (below, above),
                    Wrong::Above | Wrong::Either => (above, below),
                };
                let what = format!("does not match {other}");
                return Err(Flaw::Object(path.to_string(), what));
            }
            Event::Settled { .. } | Event::Root { .. } => {}
        }
    }
    Ok(())
}

/// Checks that each entry of a bundle has a time, and the last one a signature of this Rekor: one import writes all times of a bundle.
fn check_times(
    shard: &ImportingShard,
    first: u64,
    (path, entries): (TilePath, &Bytes),
    object: &Bytes,
) -> Result<(), &'static str> {
    let identity = shard.identity();
    let (each, width) = (times::each(&identity), usize::from(path.width));
    let times = times::opened(&identity.name, path, object).ok_or("is damaged")?;
    if !times::are_whole(&times, each, width) {
        return Err("lacks the time of an entry");
    }
    let entries = bundle::entries(entries).unwrap_or_default();
    let last = path.index * TILE_WIDTH + u64::from(path.width) - 1;
    let times = EntryTimes::read(&times, each);
    let (Some(leaf), Some(one)) = (entries.last(), times.of(LeafIndex::new(last))) else {
        return Err("is damaged");
    };
    let key: VerifierKey = shard.from.vkey.parse().map_err(|_| "is of no key")?;
    let signed = EntryTimestamp {
        log_id: key.log_id(),
        index: first + last,
        time: one.time.get() / 1000,
        leaf,
    };
    let signature = one.signature.get().map(Vec::as_slice);
    match signed.is_signed_by(&key, signature.unwrap_or_default()) {
        true => Ok(()),
        false => Err("has a time that the old Rekor did not sign"),
    }
}
