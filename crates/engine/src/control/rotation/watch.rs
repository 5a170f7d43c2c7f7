//! Rotates shards by size and by age (`rotate` in the configuration).
//!
//! What must never happen: two rotations for one threshold. Every replica checks; the request names the shard that is full, so
//! all of them request the same operation, and it does nothing once that shard is no longer the active one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Overdue;
use crate::control::audit::Audited;
use crate::control::{ChangeError, Request};
use crate::log::Log;
use order::Generation;
use tlog::UnixMillis;

/// Pause between checks, which read memory only.
const ROTATION_POLL: Duration = Duration::from_millis(200);
/// A replica waits this long for each replica before it, so that one intent is recorded and not one by each.
const TURN: Duration = Duration::from_secs(1);
/// Pause after a rotation that failed.
const RETRY: Duration = Duration::from_secs(10);

/// The active shard of a log, as this process knows it.
struct Watched {
    shard: String,
    /// When it opened, once looked up; `None` where its age does not matter.
    opened: Option<UnixMillis>,
    /// When this replica acts on it, once it is due.
    act: Option<Instant>,
    /// The generation that refused the rotation last. Another one may allow it: a key was announced since, for example.
    refused: Option<Generation>,
}

impl Watched {
    fn of(shard: String) -> Self {
        Self {
            shard,
            opened: None,
            act: None,
            refused: None,
        }
    }
}

/// Why a rotation that is due is held back, for `logctl status` and metrics.
fn held(error: &ChangeError) -> String {
    let why = match error {
        ChangeError::Invalid(findings) => {
            let list: Vec<_> = findings.iter().map(|f| f.message.as_str()).collect();
            list.join("; ")
        }
        other => other.to_string(),
    };
    format!("the rotation that is due is held back: {why}")
}

impl Audited {
    /// Rotates shards that are due, until the process ends.
    pub async fn watch_shards(self: Arc<Self>) {
        let mut watched: HashMap<String, Watched> = HashMap::new();
        loop {
            tokio::time::sleep(ROTATION_POLL).await;
            for log in self.engine.logs().into_iter().chain(self.engine.system()) {
                let Some((shard, by_age)) = log.rotating() else {
                    watched.remove(log.name());
                    log.hold_rotation(None);
                    continue;
                };
                let known = watched
                    .entry(log.name().to_owned())
                    .or_insert_with(|| Watched::of(String::new()));
                if known.shard != shard {
                    *known = Watched::of(shard);
                }
                self.rotate_if_due(&log, known, by_age).await;
            }
        }
    }

    async fn rotate_if_due(&self, log: &Arc<Log>, known: &mut Watched, by_age: bool) {
        if by_age && known.opened.is_none() {
            known.opened = log.opened_at(&known.shard).await.ok().flatten();
        }
        let clock = self.engine.clock.now();
        if log.overdue(known.opened, clock).is_none() {
            known.act = None;
            log.hold_rotation(None);
            return;
        }
        if known.refused.is_some_and(|then| then != log.generation()) {
            (known.refused, known.act) = (None, None);
        }
        let act = match known.act {
            Some(act) => act,
            None => *known.act.insert(Instant::now() + self.turn().await),
        };
        if Instant::now() < act {
            return;
        }
        // Read again right before the change: another replica may have made it.
        if log.refresh().await.is_err() {
            return;
        }
        if let Some(overdue) = log.overdue(known.opened, clock)
            && overdue.shard.as_str() == known.shard
        {
            let Overdue { shard, why } = overdue;
            let key = format!("rotate/{shard}");
            let request = Request::RotateOut { shard, why };
            // Read before the preview, so that a change during the preview leads to another look.
            let generation = log.generation();
            // Previewed first: a refused rotation must not leave an intent with every try.
            if let Err(error) = log.preview(request.clone()).await {
                let why = held(&error);
                if log.rotation_held().as_ref() != Some(&why) {
                    tracing::warn!(log = log.name(), why, "a rotation is due");
                }
                log.hold_rotation(Some(why));
                known.refused = Some(generation);
                known.act = Some(Instant::now() + RETRY);
                return;
            }
            match self.by_itself(log, request, key).await {
                Ok(_) => log.hold_rotation(None),
                Err(error) => {
                    tracing::warn!(log = log.name(), %error, "cannot rotate a shard out yet");
                    known.act = Some(Instant::now() + RETRY);
                }
            }
        }
    }

    /// How long this replica waits for the replicas before it: the first live one acts at once.
    async fn turn(&self) -> Duration {
        let me = self.engine.replica_id();
        let live = self.engine.replicas(None).await.unwrap_or_default();
        let before = live.iter().filter(|replica| *replica.id < *me).count();
        TURN * u32::try_from(before).unwrap_or(u32::MAX)
    }
}
