//! Checks around a change: is the audit trail the one that this user has seen before, and is the change in it?
//!
//! The trail is checked before the change, so that a server other than the pinned one is not changed, and again with the proof that comes
//! with the answer.
//!
//! What must never happen: a trail that was rewritten passes for the pinned one; or a change is reported as not made because its proof was
//! bad.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tlog::{Checkpoint, Hash, TileSet, VerifierKey, consistency_proof, consistency_tiles};
use wire::AuditReceipt;

use super::{Server, Session, now};
use crate::client::{Deadline, Trail};
use crate::error::{Error, TrailFault, count};
use crate::pins::{Compared, Pins, Seen};

/// The time limit for the tiles of a proof: a change must not wait long for them.
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long a replica may be behind the one that was asked before.
pub(super) const SETTLE: Duration = Duration::from_secs(5);

/// The pins before a change, once the served trail has been found to contain them. The proof of the change is later than these, even if
/// others change something meanwhile.
///
/// # Errors
/// When the pins can't be read, or the trail is another one: nothing is changed then.
pub(super) async fn before(session: &Session<'_>, server: &Server) -> Result<Pins, Error> {
    let mut pins = load(server)?;
    match holds(session, server, &mut pins).await {
        Ok(_) => Ok(pins),
        Err(Error::Trail {
            fault,
            message,
            evidence,
        }) => Err(Error::Trail {
            fault,
            message: format!("{message}; nothing was changed"),
            evidence,
        }),
        Err(error) => Err(error),
    }
}

/// The pins of the endpoint.
pub(super) fn load(server: &Server) -> Result<Pins, Error> {
    match &server.settings.admin {
        Some(endpoint) => Pins::load(&endpoint.address),
        None => Err(Error::Bug("an endpoint without an address".into())),
    }
}

/// Whether the served trail is the pinned one: `false` when that cannot be checked now, because nothing is pinned or the caller may not
/// read the trail.
///
/// # Errors
/// [`Error::Trail`] when it is another one.
pub(super) async fn holds(
    session: &Session<'_>,
    server: &Server,
    pins: &mut Pins,
) -> Result<bool, Error> {
    // Earlier shards of the trail are frozen; `audit verify` checks them.
    let Some(pinned) = pins.shards.last().cloned() else {
        return Ok(false);
    };
    let trail = server.admin.trail(Deadline::after(PROOF_TIMEOUT));
    let listed = match trail.object("shards").await {
        Ok(Some(list)) => keys(&list).remove(&pinned.shard),
        _ => None,
    };
    let vkey = listed.as_deref().unwrap_or(&pinned.vkey);
    let least = pinned.all().map(|seen| seen.size).max().unwrap_or(0);
    if vkey != pinned.vkey {
        let seen = pinned.pinned.clone();
        return pins.compare(&pinned.shard, vkey, &seen).map(|_| true);
    }
    let settle = Deadline::after(SETTLE.min(session.timeout));
    loop {
        let trail = server.admin.trail(Deadline::after(PROOF_TIMEOUT));
        let Some(seen) = head(&trail, &pinned.shard, vkey).await? else {
            return Ok(false);
        };
        if seen.size >= least || !settle.pause(Duration::from_millis(100)).await {
            step(&trail, pins, &pinned.shard, vkey, seen).await?;
            return Ok(true);
        }
    }
}

/// The key of each shard in a trail's list of shards.
pub(super) fn keys(list: &[u8]) -> HashMap<String, String> {
    let list: Value = serde_json::from_slice(list).unwrap_or_default();
    let text = |shard: &Value, field: &str| shard[field].as_str().map(str::to_owned);
    let shards = list.as_array().into_iter().flatten();
    shards
        .filter_map(|shard| Some((text(shard, "name")?, text(shard, "vkey")?)))
        .collect()
}

/// Checks the proof that came with a change, and pins its checkpoint. `audited`: whether the server says that it keeps a trail.
///
/// # Errors
/// [`Error::Trail`] when the proof is wrong or the trail is another one. Everything else is only a warning.
pub(super) async fn receipt(
    session: &Session<'_>,
    server: &Server,
    mut pins: Pins,
    operation: Option<&str>,
    receipt: Option<&AuditReceipt>,
    audited: bool,
) -> Result<(), Error> {
    let Some(receipt) = receipt else {
        if audited || !pins.shards.is_empty() {
            session.ui.warn(
                "the server gave no proof that this is in its audit trail; `logctl audit verify` looks at the whole trail",
            );
        }
        return Ok(());
    };
    let seen = proven(receipt, operation)?;
    let trail = server.admin.trail(Deadline::after(PROOF_TIMEOUT));
    // A trail that continues in another shard still has the one that was pinned.
    if pins.shard(&receipt.shard).is_none() {
        for pinned in pins.shards.clone() {
            if let Some(seen) = head(&trail, &pinned.shard, &pinned.vkey).await? {
                step(&trail, &mut pins, &pinned.shard, &pinned.vkey, seen).await?;
            }
        }
    }
    let first = pins.shards.is_empty();
    step(
        &trail,
        &mut pins,
        &receipt.shard,
        &receipt.vkey,
        seen.clone(),
    )
    .await?;
    if !pins.are_kept() {
        session.ui.warn(
            "neither XDG_STATE_HOME nor HOME is set: there is nowhere to pin the audit trail, so a rewrite would not be noticed",
        );
        return Ok(());
    }
    if let Err(error) = pins.save() {
        session
            .ui
            .warn(&format!("the audit trail is not pinned: {error}"));
    } else if first {
        session.ui.note(&format!(
            "first contact: pinned the audit trail of {} at {}; from now on a rewrite is noticed",
            pins.endpoint,
            count(usize::try_from(seen.size).unwrap_or(usize::MAX), "entry")
        ));
    }
    Ok(())
}

/// Compares one checkpoint with the pins and moves them, with a proof if one is available.
pub(super) async fn step(
    trail: &Trail<'_>,
    pins: &mut Pins,
    shard: &str,
    vkey: &str,
    now: Seen,
) -> Result<(), Error> {
    match pins.compare(shard, vkey, &now)? {
        Compared::First => pins.advance(shard, vkey, now),
        Compared::Same => {}
        Compared::Later(earlier) => {
            let mut all = true;
            for seen in &earlier {
                match extends(trail, shard, seen, &now).await {
                    Some(true) => {}
                    Some(false) => return Err(pins.rewritten(seen, &now)),
                    None => all = false,
                }
            }
            if all {
                pins.advance(shard, vkey, now);
            } else {
                pins.note(shard, now);
            }
        }
    }
    Ok(())
}

/// The newest checkpoint of a shard of the trail, its signature checked; `None` when it can't be had.
pub(super) async fn head(
    trail: &Trail<'_>,
    shard: &str,
    vkey: &str,
) -> Result<Option<Seen>, Error> {
    let Ok(Some(note)) = trail.object(&format!("{shard}/checkpoint")).await else {
        return Ok(None);
    };
    let note = String::from_utf8(note).unwrap_or_default();
    let checkpoint = opened(&note, vkey)?;
    Ok(Some(seen(&checkpoint)))
}

/// Whether the tree of `now` begins with that of `earlier`, by its tiles. `None` when they are not available.
async fn extends(trail: &Trail<'_>, shard: &str, earlier: &Seen, now: &Seen) -> Option<bool> {
    if earlier.size == 0 || earlier.size == now.size {
        return Some(earlier.size == 0 || earlier.root == now.root);
    }
    let mut tiles = TileSet::new();
    for tile in consistency_tiles(earlier.size, now.size) {
        let mut found = None;
        // A partial tile may be gone when the full one is there.
        for path in [tile, tile.full()] {
            if let Some(bytes) = trail.object(&format!("{shard}/{path}")).await.ok()? {
                found = Some((path, bytes));
                break;
            }
        }
        let (path, bytes) = found?;
        // Bytes that are no tile prove nothing, and that is no proof of a rewrite either: `audit verify` names the file.
        tiles.insert(path, &bytes).ok()?;
    }
    let proof = consistency_proof(earlier.size, now.size, &tiles).ok()?;
    let checked =
        tlog::verify_consistency(earlier.size, now.size, &proof, &earlier.root, &now.root);
    Some(checked.is_ok())
}

/// The checkpoint that a receipt proves its entry against.
fn proven(receipt: &AuditReceipt, operation: Option<&str>) -> Result<Seen, Error> {
    let wrong = |why: String| {
        let message = format!("the server's proof that this is in its audit trail is wrong: {why}");
        Error::trail(TrailFault::BadProof, message)
    };
    let checkpoint = opened(&receipt.checkpoint, &receipt.vkey)?;
    let proof: Vec<Hash> = receipt
        .proof
        .iter()
        .map(|hash| hash.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| wrong("it has a malformed hash".into()))?;
    let leaf = tlog::leaf_hash(receipt.entry.as_bytes());
    tlog::verify_inclusion(
        receipt.leaf_index.get(),
        checkpoint.size,
        &leaf,
        &proof,
        &checkpoint.root,
    )
    .map_err(|error| wrong(error.to_string()))?;
    // A proof about something else proves nothing about this.
    if let Some(operation) = operation {
        let entry: Value = serde_json::from_str(&receipt.entry).unwrap_or_default();
        if entry["operation"] != operation {
            return Err(wrong(format!("it is not about operation {operation}")));
        }
    }
    Ok(seen(&checkpoint))
}

fn opened(note: &str, vkey: &str) -> Result<Checkpoint, Error> {
    let wrong = |error: tlog::NoteError| {
        let message = format!("the checkpoint of the audit trail is wrong: {error}");
        Error::trail(TrailFault::BadProof, message)
    };
    let key: VerifierKey = vkey.parse().map_err(wrong)?;
    Checkpoint::open(note, &key).map_err(wrong)
}

fn seen(checkpoint: &Checkpoint) -> Seen {
    Seen {
        size: checkpoint.size,
        root: checkpoint.root,
        at: super::rfc3339(now()),
    }
}
