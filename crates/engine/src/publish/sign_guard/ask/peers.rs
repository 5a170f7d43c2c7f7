//! One peer of each kind, asked what it holds: a frontend, a secondary, a witness.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use logconfig::{FrontendConfig, SecondaryConfig};
use tlog::mirror::{AddCheckpoint, SIZE_TYPE, origin_hash};
use tlog::{Checkpoint, CosignerKey, Note, PolicyWitness, TreeSize, UnixMillis, VerifierKey};
use tokio::time::Instant;

use super::{PEERS_TIMEOUT, Said};
use crate::publish::sign_guard::SignGuard;
use crate::publish::sign_guard::judge::{Found, Order};
use crate::publish::sign_guard::look::classify;
use crate::publish::witness::submission;
use crate::running::Running;
use crate::shard::{Shard, SignError};
use mirror::{COSIGNED, MAX_MANIFEST, SignedManifest};
use mirror::{PeerAnswer, PeerRequest};
use order::SlotNumber;

/// This long before that time is up, the answers that a peer has given so far count, even if the rest are missing.
const MARGIN: Duration = Duration::from_millis(100);
/// The longest checkpoint that is read, bytes.
const NOTE: usize = 64 << 10;

/// A part of what one of them says, if it comes by then.
async fn by<T>(until: Instant, part: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let part = tokio::time::timeout_at(until, part).await;
    part.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

/// Collects the parts of an answer. A missing part hides none of the others.
fn heard(
    source: &str,
    parts: impl IntoIterator<Item = Result<Option<Said>, String>>,
) -> Result<Vec<Said>, String> {
    let (mut all, mut failed) = (Vec::new(), None);
    for part in parts {
        match part {
            Ok(said) => all.extend(said),
            Err(why) => failed = Some(why),
        }
    }
    match failed {
        Some(why) if all.is_empty() => return Err(why),
        Some(why) => tracing::warn!(
            source,
            why,
            "only a part of what this peer holds was compared"
        ),
        None => {}
    }
    Ok(all)
}

/// Asks a frontend for its checkpoints, which the shards' own keys sign.
pub(super) async fn frontend(
    running: &Running,
    frontend: FrontendConfig,
    shards: Arc<[Arc<Shard>]>,
    until: Instant,
) -> Result<Vec<Said>, String> {
    let places = Arc::clone(&running.merge.places);
    if let Some(why) = places.refuses_frontend(&frontend).await {
        // Another process pushes there.
        tracing::debug!(log = running.ledger.name, frontend = %frontend.name, why, "not looked at");
        return Ok(Vec::new());
    }
    let name = frontend.name.to_string();
    let place = places.frontend(&frontend).await?;
    let mut parts = Vec::new();
    for shard in &*shards {
        let part = async {
            let path = running.objects.path(&shard.name, "checkpoint");
            let Some(bytes) = place.get(&path).await.map_err(|e| e.to_string())? else {
                return Ok(None);
            };
            let keys = shard.verifiers().map_err(|e| e.to_string())?;
            // Another log's objects, or damaged ones, are left to the task that pushes there.
            Ok(match classify(&bytes, keys) {
                (found @ Found::Signed { .. }, _) => Some(Said::Shard(Arc::clone(shard), found)),
                _ => None,
            })
        };
        parts.push(by(until - MARGIN, part).await);
    }
    heard(&name, parts)
}

async fn get(guard: &SignGuard, url: String, most: usize) -> Result<Option<PeerAnswer>, String> {
    let request = PeerRequest {
        url,
        body: None,
        timeout: PEERS_TIMEOUT,
        most,
        life: None,
    };
    match guard.peers.client.send(request).await {
        Ok(answer) if answer.status == 200 => Ok(Some(answer)),
        // The peer has none of it, or keeps no such copies.
        Ok(answer) if matches!(answer.status, 404 | 405) => Ok(None),
        Ok(answer) => Err(answer.words()),
        Err(e) => Err(e.to_string()),
    }
}

/// Asks a secondary for its cosigned checkpoints and its last manifest.
pub(super) async fn secondary(
    guard: &SignGuard,
    secondary: &SecondaryConfig,
    replication: &VerifierKey,
    shards: Arc<[Arc<Shard>]>,
    until: Instant,
) -> Result<Vec<Said>, String> {
    let url = secondary.url.trim_end_matches('/');
    let cosigner: CosignerKey = secondary
        .vkey
        .parse()
        .map_err(|e: tlog::NoteError| e.to_string())?;
    let copies = shards.iter().map(|shard| {
        let cosigner = &cosigner;
        let copy = async move {
            let hash = origin_hash(&shard.identity.origin);
            let newest = get(guard, format!("{url}/{hash}/{COSIGNED}"), NOTE).await?;
            let newest = match newest {
                Some(answer) => Some(answer),
                // A third-party mirror serves it as its only one.
                None => get(guard, format!("{url}/{hash}/checkpoint"), NOTE).await?,
            };
            let Some(answer) = newest else {
                return Ok(None);
            };
            let found = copied(shard, cosigner, replication, &answer.body);
            if let Err(why) = &found {
                tracing::warn!(
                    log = guard.ledger.name,
                    shard = &*shard.name,
                    url,
                    why,
                    "its checkpoint is not looked at"
                );
            }
            Ok(found
                .ok()
                .map(|found| Said::Shard(Arc::clone(shard), found)))
        };
        by(until - 2 * MARGIN, copy)
    });
    let copies = join_all(copies).await;
    // The manifest is asked for after the copies: a secondary accepts a life of the log before any copy of that life.
    let order = by(until - MARGIN, manifest(guard, url, replication)).await;
    if let (Err(why), true) = (&order, copies.iter().any(Result::is_ok)) {
        tracing::warn!(
            log = guard.ledger.name,
            url,
            why,
            "its manifest is not looked at"
        );
    }
    heard(url, copies.into_iter().chain([order]))
}

/// A mirror's checkpoint: signed by the replication key, or by the shard's own, and cosigned by the secondary.
fn copied(
    shard: &Shard,
    cosigner: &CosignerKey,
    replication: &VerifierKey,
    body: &Bytes,
) -> Result<Found, String> {
    let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
    let note = Note::parse(text).map_err(|e| e.to_string())?;
    let own = shard.verifier().map_err(|e| e.to_string())?;
    note.verify(&[replication, &own])
        .map_err(|e| e.to_string())?;
    let cosigned = cosigner.find(&note).map_err(|e| e.to_string())?;
    let cosigned = cosigned.ok_or("it is not cosigned under the configured key")?;
    let checkpoint = Checkpoint::parse(note.text).map_err(|e| e.to_string())?;
    if checkpoint.origin != shard.identity.origin {
        return Err(format!("its origin is {}", checkpoint.origin));
    }
    Ok(Found::Copied {
        size: TreeSize::new(checkpoint.size),
        root: checkpoint.root,
        // To the end of that second.
        time: UnixMillis::new(cosigned.time.saturating_mul(1000).saturating_add(999)),
    })
}

/// The order according to a secondary's manifest.
pub(super) async fn manifest(
    guard: &SignGuard,
    url: &str,
    replication: &VerifierKey,
) -> Result<Option<Said>, String> {
    let hash = origin_hash(&guard.running.config().origin);
    let Some(answer) = get(guard, format!("{url}/manifest/{hash}"), MAX_MANIFEST).await? else {
        return Ok(None);
    };
    let signed = SignedManifest::parse(&answer.body).map_err(|e| e.to_string())?;
    signed.verify(replication).map_err(|e| e.to_string())?;
    Ok(Some(Said::Order(Order {
        life: signed.restored,
        settled: signed.settled,
        slots: SlotNumber::new(signed.number),
    })))
}

/// The checkpoints of these shards without entries, to ask witnesses with. A shard whose key is not at hand is not asked about, which its
/// signatures say; a store that does not answer is asked again.
pub(super) async fn empties(
    guard: &SignGuard,
    shards: &[Arc<Shard>],
) -> Result<Vec<(Arc<Shard>, String)>, SignError> {
    let mut all = Vec::new();
    for shard in shards {
        match guard.sign_empty(shard).await {
            Ok(notes) => all.push((Arc::clone(shard), notes.checkpoint)),
            Err(SignError::Store(e)) => return Err(e.into()),
            Err(error) => {
                tracing::warn!(log = guard.ledger.name, shard = &*shard.name, %error, "its witnesses are not asked");
            }
        }
    }
    Ok(all)
}

/// The sizes that a witness has cosigned: it names its size if the request starts from another one.
pub(super) async fn witness(
    guard: &SignGuard,
    witness: &PolicyWitness,
    empty: Arc<[(Arc<Shard>, String)]>,
    until: Instant,
) -> Result<Vec<Said>, String> {
    let Some(url) = &witness.url else {
        return Ok(Vec::new());
    };
    let asked = empty.iter().map(|(shard, note)| {
        by(until - MARGIN, async move {
            let empty = AddCheckpoint {
                old: 0,
                proof: Vec::new(),
                checkpoint: note.clone(),
            };
            let request = submission(url, Bytes::from(empty.to_body()), PEERS_TIMEOUT);
            let answer = guard.peers.client.send(request).await;
            let answer = answer.map_err(|e| e.to_string())?;
            if answer.status != 409 || !answer.kind.starts_with(SIZE_TYPE) {
                return Ok(None);
            }
            let size = std::str::from_utf8(&answer.body).ok();
            let size = size
                .and_then(|body| body.trim_end().parse().ok())
                .map(TreeSize::new);
            Ok::<_, String>(
                size.map(|size| Said::Shard(Arc::clone(shard), Found::Witnessed { size })),
            )
        })
    });
    heard(&witness.name, join_all(asked).await)
}
