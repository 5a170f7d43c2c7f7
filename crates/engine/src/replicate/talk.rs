//! Makes one request to a secondary, and reads the headers of the answer: its storage, the life of the log that it accepts, and
//! whether it saw two roots.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tlog::mirror::{AddCheckpoint, EntriesHead, INFO_TYPE, MirrorInfo, SIZE_TYPE};
use tokio::time::Instant;

use crate::position::UNNAMED;
use crate::publish::sign_guard;
use crate::replicate::{Copier, CopyError, LONG, SHORT};
use mirror::{PeerAnswer, PeerRequest};
use order::state::State;
use tlog::TreeSize;

/// The longest answer of a secondary.
const ANSWER: usize = 64 << 10;

impl Copier {
    pub(crate) async fn post(
        &mut self,
        path: &str,
        kind: &'static str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<PeerAnswer, CopyError> {
        let guard = Arc::clone(&self.guard);
        let life = guard.life.for_peers().await?;
        let request = PeerRequest {
            url: format!("{}/{path}", self.url),
            body: Some((kind, body)),
            timeout,
            most: ANSWER,
            life,
        };
        let answer = guard.peers.client.send(request).await?;
        self.asked_at = Instant::now();
        self.heed(&answer).await?;
        let own = life.map_or(0, |life| life.id);
        if answer.life.is_some_and(|heard| heard.id > own) {
            // Its signed manifest proves that; then this copy of the log halts, unless the other one knows less and signs nothing.
            sign_guard::outdated(&guard, &self.name, &self.url).await?;
            let why = "it says that the log was restored elsewhere, and has no manifest of a copy that may sign";
            let remedy = match guard.life.is_announced() {
                true => {
                    "If that copy was started by mistake, and its status says that it signs nothing yet, stop it; then start this secondary with a new folder that is empty but for its key"
                }
                false => {
                    "This copy may not sign yet either: stop both, and restore the log again into a new folder, with this secondary among those after --from"
                }
            };
            return Err(CopyError::Refused(format!(
                "{why}. {remedy}: see \"Restore a lost primary\" in docs/operations.md"
            )));
        }
        Ok(answer)
    }

    /// Asks the secondary, when there is nothing new to send, whether a copy of this log was restored meanwhile, and whether its storage
    /// still has what it had verified. The questions bind nobody.
    pub(crate) async fn probe(&mut self, state: &State) -> Result<(), CopyError> {
        if let Some(shard) = state.active() {
            self.size_of(&shard.identity.origin).await?;
        }
        self.has_still(state, None).await?;
        Ok(())
    }

    /// Asks for the size of the secondary's pending checkpoint of a shard, if it says that.
    async fn size_of(&mut self, origin: &str) -> Result<Option<TreeSize>, CopyError> {
        let guard = Arc::clone(&self.guard);
        let empty = tlog::empty_root();
        let empty = guard
            .keyring
            .pending_checkpoint(origin, TreeSize::ZERO, empty);
        let message = AddCheckpoint {
            old: 0,
            proof: Vec::new(),
            checkpoint: empty.await?,
        };
        let body = Bytes::from(message.to_body());
        let answer = self
            .post("add-checkpoint", "text/plain; charset=utf-8", body, SHORT)
            .await?;
        Ok(match answer.status {
            200 => Some(TreeSize::ZERO),
            409 if answer.kind.starts_with(SIZE_TYPE) => {
                let size = std::str::from_utf8(&answer.body).ok();
                let size = size.and_then(|body| body.trim_end().parse().ok());
                size.map(TreeSize::new)
            }
            _ => None,
        })
    }

    /// Whether the secondary says that it has what it had verified of the newest shard, or of the newest one before `before`. Since it gets older
    /// shards first, it has these, too. If it has less, its rows are set back. A third-party mirror may have retired that shard, which it says by
    /// refusing the question.
    pub(crate) async fn has_still(
        &mut self,
        state: &State,
        before: Option<&str>,
    ) -> Result<bool, CopyError> {
        let mut newest = None;
        for shard in state.shards.iter() {
            if before == Some(shard.identity.name.as_str()) {
                break;
            }
            let verified = self.verified(&shard.identity.name).await?;
            if let Some(had) = verified.filter(|had| *had > TreeSize::ZERO) {
                newest = Some((&shard.identity, had));
            }
        }
        let Some((shard, had)) = newest else {
            return Ok(true);
        };
        let met = self.assumed.met();
        let pending = self.size_of(&shard.origin).await?;
        if self.assumed.met() != met {
            return Ok(false);
        }
        let head = EntriesHead {
            origin: shard.origin.clone(),
            start: had.get(),
            end: had.get(),
            ticket: Vec::new(),
        };
        let mut body = Vec::new();
        head.write(&mut body);
        let answer = self
            .post("add-entries", "application/octet-stream", body.into(), LONG)
            .await?;
        if self.assumed.met() != met {
            return Ok(false);
        }
        if answer.status == 200 {
            return Ok(true);
        }
        let info = match answer.kind.starts_with(INFO_TYPE) {
            true => std::str::from_utf8(&answer.body).ok(),
            false => None,
        };
        let info = info.and_then(|body| MirrorInfo::parse(body).ok());
        // Without any checkpoint of the shard it has no entry of it, and says nothing else.
        let next = info.map(|info| TreeSize::new(info.next));
        let foreign = self.assumed.is_foreign();
        let refuses = matches!(answer.status, 400..=499) && !matches!(answer.status, 408 | 429);
        match next.or(pending.filter(|pending| *pending == TreeSize::ZERO)) {
            Some(has) if has < had => Err(self.lacks(&shard.name, had, has).await?),
            next => Ok(next.is_some() || foreign && refuses),
        }
    }

    /// Reads the headers of an answer: which storage answered, and whether it has raised an alarm.
    async fn heed(&mut self, answer: &PeerAnswer) -> Result<(), CopyError> {
        let named = answer.incarnation.as_deref().unwrap_or(UNNAMED);
        let good = (1..=64).contains(&named.len())
            && named
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !good {
            return Err(CopyError::Refused("its incarnation is not a word".into()));
        }
        // A failure between here and the secondary says nothing about its storage.
        let failed = answer.incarnation.is_none() && !matches!(answer.status, 200 | 202 | 409);
        if self.assumed.incarnation() != Some(named) && !failed {
            self.meet(named).await?;
        }
        match answer.alarm {
            None => Ok(()),
            Some(size) => Err(CopyError::Alarm(format!(
                "it has another root at size {size} and takes nothing any more ({}); see docs/operations.md",
                answer.words()
            ))),
        }
    }

    pub(crate) fn refused(&self, what: &str, answer: &PeerAnswer) -> CopyError {
        let hint = match answer.status {
            403 | 404 => "; is the log's replication key among its logs?",
            _ => "",
        };
        CopyError::Refused(format!("{what} was refused with {}{hint}", answer.words()))
    }
}
