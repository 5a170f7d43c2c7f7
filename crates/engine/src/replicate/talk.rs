//! One request to a secondary, and what the headers of each answer say: which storage it is, which life of the log it accepts,
//! and whether it saw two roots.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tlog::mirror::AddCheckpoint;
use tokio::time::Instant;

use crate::position::UNNAMED;
use crate::publish::sign_guard;
use crate::replicate::{Copier, CopyError, SHORT};
use mirror::{PeerAnswer, PeerRequest};
use order::state::State;

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
            // Its signed manifest proves that; then this copy of the log halts.
            sign_guard::outdated(&guard, &self.name, &self.url).await?;
            return Err(CopyError::Refused(
                "it says that the log was restored elsewhere, and has no manifest that proves it"
                    .to_owned(),
            ));
        }
        Ok(answer)
    }

    /// Asks the secondary, when there is nothing new to send, whether a copy of this log was restored meanwhile. The question binds nobody.
    pub(crate) async fn probe(&mut self, state: &State) -> Result<(), CopyError> {
        let guard = Arc::clone(&self.guard);
        let Some(shard) = state.active() else {
            return Ok(());
        };
        let empty = tlog::empty_root();
        let empty = guard
            .keyring
            .pending_checkpoint(&shard.identity.origin, 0, empty);
        let message = AddCheckpoint {
            old: 0,
            proof: Vec::new(),
            checkpoint: empty.await?,
        };
        let body = Bytes::from(message.to_body());
        self.post("add-checkpoint", "text/plain; charset=utf-8", body, SHORT)
            .await?;
        Ok(())
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
        if self.incarnation.as_deref() != Some(named) && !failed {
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
