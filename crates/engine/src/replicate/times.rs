//! Sends the times of entries to a secondary, in shards that Sigstore's clients read, behind the entries themselves.
//!
//! Nothing waits for this: a secondary without the last times still counts, and after a restore from it Rekor's first API has no answer for
//! those entries, rather than one with another time.

use std::sync::Arc;
use std::time::Duration;

use tlog::mirror::origin_hash;
use tlog::{LeafIndex, TILE_WIDTH, TilePath, TreeSize};
use tokio::time::Instant;

use crate::replicate::{Copier, CopyError, SHORT};
use crate::times;
use mirror::{PeerRequest, SignedTimes};
use order::slot::ShardIdentity;
use order::state::State;

/// Time between two notes about a bundle that is not full.
const OPEN_EVERY: Duration = Duration::from_secs(1);
/// The longest answer, in bytes, to the question how far the times are; at worst it is an error page of a proxy.
const ANSWER: usize = 64 << 10;
/// The most bundles in one pass, during which no entries are copied, and the time after which no further bundle is begun.
const BUNDLES: usize = 32;
const PASS_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failure. Entries are copied meanwhile.
const TIMES_BACKOFF: Duration = Duration::from_secs(30);

/// How far the times of a shard are at the secondary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed {
    /// The next bundle to send.
    next: u64,
    /// How many entries of it were sent, and when.
    width: u16,
    at: Option<Instant>,
    /// Set where the secondary keeps no times, or has all.
    done: bool,
}

impl Copier {
    /// Sends the times of what the secondary has verified. Returns whether there are more to send. A failure does not hold up the entries.
    pub(super) async fn send_times(&mut self, state: &State) -> Result<bool, CopyError> {
        if self
            .times_failed
            .is_some_and(|at| at.elapsed() < TIMES_BACKOFF)
        {
            return Ok(false);
        }
        match self.send_all_times(state).await {
            Err(why @ (CopyError::Refused(_) | CopyError::Peer(_) | CopyError::Store(_))) => {
                tracing::warn!(
                    log = self.guard.ledger.name,
                    secondary = self.name,
                    %why,
                    "the times of entries are sent again later"
                );
                self.times_failed = Some(Instant::now());
                Ok(false)
            }
            sent => sent,
        }
    }

    async fn send_all_times(&mut self, state: &State) -> Result<bool, CopyError> {
        for shard in state.shards.iter() {
            let identity = &shard.identity;
            if shard.start().is_none() {
                break;
            }
            if !times::are_kept(identity)
                || self
                    .assumed
                    .timed
                    .get(&identity.name)
                    .is_some_and(|t| t.done)
            {
                continue;
            }
            let Some(size) = self.verified(&identity.name).await? else {
                continue;
            };
            let met = self.assumed.met();
            let more = self.send_times_of(identity, size).await?;
            if self.assumed.met() != met || more {
                return Ok(!self.ending);
            }
            let whole = state
                .active()
                .is_none_or(|at| at.identity.name != identity.name)
                && state.length(shard) == Some(size);
            let known = self.assumed.timed.get_mut(&identity.name);
            if let Some(known) = known.filter(|known| whole && known.reaches(size)) {
                known.done = true;
            }
        }
        Ok(false)
    }

    async fn send_times_of(
        &mut self,
        shard: &ShardIdentity,
        size: TreeSize,
    ) -> Result<bool, CopyError> {
        let guard = Arc::clone(&self.guard);
        let mut known = match self.assumed.timed.get(&shard.name) {
            Some(known) => *known,
            None => self.timed_there(&shard.origin, size).await?,
        };
        let (met, began) = (self.assumed.met(), Instant::now());
        for (number, bundle) in mirror::bundles(known.next, size.get()).enumerate() {
            if number == BUNDLES || began.elapsed() > PASS_TIMEOUT {
                return Ok(true);
            }
            let is_new = bundle.index > known.next || bundle.width > known.width;
            let recent = known.at.is_some_and(|at| at.elapsed() < OPEN_EVERY);
            let waits = bundle.is_partial() && recent && !self.ending;
            if known.done || !is_new || waits {
                break;
            }
            let first = LeafIndex::new(bundle.index * TILE_WIDTH);
            let times = guard.objects.times(&shard.name, first, size).await?;
            let length = usize::from(bundle.width) * times::each(shard);
            // A shard from before there were times has none for its first bundles.
            if let Some(times) = times.filter(|times| times.len() >= length) {
                let signer = guard.keyring.replication().await?;
                let note = SignedTimes::sign(&shard.origin, bundle, &times[..length], signer);
                let note = note.map_err(|e| CopyError::Refused(e.to_string()))?;
                let answer = self
                    .post("times", "text/plain; charset=utf-8", note.into(), SHORT)
                    .await?;
                if self.assumed.met() != met {
                    return Ok(false);
                }
                match answer.status {
                    200 => {}
                    422 => tracing::warn!(
                        log = guard.ledger.name,
                        secondary = self.name,
                        shard = shard.name,
                        why = answer.words(),
                        "the secondary keeps the times that it has"
                    ),
                    // An older version, or a third-party mirror. A proxy in front of a secondary says nothing about it.
                    status @ 400..=499
                        if !matches!(status, 408 | 429) && self.assumed.gave(&answer) =>
                    {
                        known.done = true;
                    }
                    _ => return Err(self.refused("the times of entries", &answer)),
                }
            }
            known = known.after(bundle);
            self.assumed.timed.insert(shard.name.clone(), known);
        }
        self.assumed.timed.insert(shard.name.clone(), known);
        Ok(false)
    }

    /// How far the times are, according to the secondary.
    async fn timed_there(&self, origin: &str, size: TreeSize) -> Result<Timed, CopyError> {
        let request = PeerRequest {
            url: format!("{}/times/{}", self.url, origin_hash(origin)),
            body: None,
            timeout: SHORT,
            most: ANSWER,
            life: None,
        };
        let answer = self.guard.peers.client.send(request).await?;
        let last = std::str::from_utf8(&answer.body).ok();
        let last = last.and_then(|body| body.trim_end().parse::<u64>().ok());
        let next = match answer.status {
            200 => last.unwrap_or(0).min(size.get() / TILE_WIDTH),
            404 => 0,
            _ => return Err(self.refused("the question for times", &answer)),
        };
        Ok(Timed {
            next,
            width: 0,
            at: None,
            done: false,
        })
    }
}

impl Timed {
    fn after(self, bundle: TilePath) -> Self {
        match bundle.is_partial() {
            true => Self {
                next: bundle.index,
                width: bundle.width,
                at: Some(Instant::now()),
                ..self
            },
            false => Self {
                next: bundle.index + 1,
                width: 0,
                ..self
            },
        }
    }

    /// Whether all entries up to a size were sent.
    fn reaches(&self, size: TreeSize) -> bool {
        self.next * TILE_WIDTH + u64::from(self.width) >= size.get()
    }
}
