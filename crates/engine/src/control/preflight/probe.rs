//! Asks witnesses and secondaries, before a shard opens, whether they know it.
//!
//! The request is C2SP tlog-witness `add-checkpoint` with the shard's empty checkpoint, which anybody may read while the shard is planned.
//! The receiver checks origin and key first, so its answer says whether it knows them; the checkpoint binds neither it nor the log. An
//! answer is `None` where the shard is known, otherwise the reason why its checkpoints would be refused.

use std::time::Duration;

use bytes::Bytes;
use logconfig::SecondaryConfig;
use tlog::mirror::AddCheckpoint;
use tlog::{PolicyWitness, TreeSize, empty_root};

use crate::peers::Peers;
use crate::publish::sign_guard::SignGuard;
use crate::publish::witness::submission;
use crate::shard::{Shard, SignError};
use mirror::{PeerLife, PeerRequest};

/// How long a secondary may take.
const SHORT: Duration = Duration::from_secs(5);

/// Asks the witnesses of a policy, by the shard's own key.
pub(crate) async fn witnesses(
    guard: &SignGuard,
    shard: &Shard,
    witnesses: &[PolicyWitness],
    timeout: Duration,
) -> Result<Vec<Option<String>>, SignError> {
    let checkpoint = guard.sign_empty(shard).await?.checkpoint;
    let urls = witnesses.iter().map(|witness| witness.url.as_deref());
    Ok(ask(&guard.peers, urls, checkpoint, timeout, None).await)
}

/// Asks secondaries, by the log's replication key: the shard needs no key of its own yet.
pub(crate) async fn secondaries(
    guard: &SignGuard,
    origin: &str,
    secondaries: &[SecondaryConfig],
) -> Result<Vec<Option<String>>, SignError> {
    let checkpoint = guard
        .keyring
        .pending_checkpoint(origin, TreeSize::ZERO, empty_root())
        .await?;
    let urls = secondaries.iter().map(|secondary| Some(&*secondary.url));
    let life = guard.life.for_peers().await?;
    Ok(ask(&guard.peers, urls, checkpoint, SHORT, life).await)
}

async fn ask(
    peers: &Peers,
    urls: impl Iterator<Item = Option<&str>>,
    checkpoint: String,
    timeout: Duration,
    life: Option<PeerLife>,
) -> Vec<Option<String>> {
    let empty = AddCheckpoint {
        old: 0,
        proof: Vec::new(),
        checkpoint,
    };
    let body = Bytes::from(empty.to_body());
    let asked = urls.map(|url| {
        let request = url.map(|url| PeerRequest {
            life,
            ..submission(url, body.clone(), timeout)
        });
        async move {
            let Some(request) = request else {
                return Some("the policy names no URL for it".to_owned());
            };
            match peers.client.send(request).await {
                Ok(answer) if answer.alarm.is_some() => Some(answer.words()),
                Ok(answer) => match answer.status {
                    // The server already has a size of the shard, or always refuses an empty checkpoint.
                    200 | 400 | 409 | 422 => None,
                    404 => Some(format!("it does not know the log ({})", answer.words())),
                    403 => Some(format!("it does not know the key ({})", answer.words())),
                    _ => Some(answer.words()),
                },
                Err(e) => Some(e.to_string()),
            }
        }
    });
    futures_util::future::join_all(asked).await
}
