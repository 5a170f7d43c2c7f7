//! Eager writers: they send the same to two servers at once, give up soon, and ask again for what they wrote hours before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{AppendError, Appended, Chunk, Log, UploadPart, WriteKey};
use qos::Advice;
use tlog::UnixMillis;

use super::{LOG, Session, Written, placed};
use crate::random::Dice;
use crate::recall::KEPT;
use crate::server::Running;
use crate::world::World;

/// Sends something under way to another server, too.
struct Double {
    world: Arc<World>,
    dice: Dice,
}

impl Session {
    fn double(&mut self) -> Double {
        Double {
            world: Arc::clone(&self.world),
            dice: self.dice.fork(&format!("double-{}", self.sent)),
        }
    }

    /// An entry that was written before under a key, if it is asked for again now.
    pub(super) fn earlier(&mut self) -> Option<Written> {
        if !self.eager || !self.dice.chance(250_000) {
            return None;
        }
        let age = self.world.trace.age();
        self.written.retain(|one| one.at + KEPT > age);
        self.dice.pick(&self.written).cloned()
    }

    /// Keeps an entry, to ask for it again.
    pub(super) fn keep(&mut self, key: WriteKey, name: &str, entry: &Bytes, at: Duration) {
        if self.eager {
            let (name, entry) = (name.to_owned(), entry.clone());
            self.written.push(Written {
                key,
                name,
                entry,
                at,
            });
        }
    }

    /// Sends an entry with a key to another server at the same time.
    pub(super) fn twice_keyed(&mut self, key: WriteKey, entry: &Bytes) {
        if !self.eager || !self.dice.chance(300_000) {
            return;
        }
        let (double, entry) = (self.double(), entry.clone());
        let world = Arc::clone(&self.world);
        world.employ(double.keyed(key, entry));
    }

    /// Sends a part of an upload to another server at the same time; perhaps it ends elsewhere.
    pub(super) fn twice_part(&mut self, part: UploadPart, entries: &[Bytes]) {
        if !self.eager || entries.is_empty() || !self.dice.chance(300_000) {
            return;
        }
        let last = match self.dice.chance(500_000) {
            true => entries.len() as u64,
            false => self.dice.between(1, entries.len() as u64),
        };
        let entries = entries[..usize::try_from(last).unwrap_or(1)].to_vec();
        let double = self.double();
        let world = Arc::clone(&self.world);
        world.employ(double.part(part, entries));
    }
}

impl Double {
    async fn server(&mut self) -> Option<(Running, Arc<Log>)> {
        let late = self.dice.span(1, 200);
        tokio::time::sleep(late).await;
        let running = self.world.any_server(&mut self.dice)?;
        let log = running.engine.log(LOG)?;
        Some((running, log))
    }

    /// The answer, if one comes.
    async fn answer<T>(
        running: &Running,
        answer: impl Future<Output = Result<T, AppendError>>,
    ) -> Option<Result<T, AppendError>> {
        let answer = async {
            let answer = answer.await;
            running.process.until_running().await;
            answer
        };
        tokio::select! {
            biased;
            () = running.process.dead() => None,
            () = tokio::time::sleep(Duration::from_secs(60)) => None,
            answer = answer => Some(answer),
        }
    }

    async fn keyed(mut self, key: WriteKey, entry: Bytes) {
        let Some((running, log)) = self.server().await else {
            return;
        };
        let answer = async {
            let tenant = log
                .policy()
                .tenant(None, UnixMillis::ZERO)
                .map_err(|_| AppendError::Closing)?;
            let advice = Advice::default();
            let ticket = log.submit_keyed(key, entry.clone(), tenant, &advice);
            ticket.await?.answer.await
        };
        match Self::answer(&running, answer).await {
            Some(Ok(at)) => placed(&self.world, &entry, &at),
            Some(Err(AppendError::KeyReused)) => {
                let what = "a double: the same entry under the same key".to_owned();
                let rule = "a repeat is not another write";
                self.world.judge.object(rule, what);
            }
            _ => {}
        }
    }

    async fn part(mut self, part: UploadPart, entries: Vec<Bytes>) {
        let Some((running, log)) = self.server().await else {
            return;
        };
        let mut bytes = Vec::new();
        for entry in &entries {
            let _ = tlog::bundle::push(&mut bytes, entry);
        }
        let chunk = Chunk {
            bytes: Bytes::from(bytes),
            entries: entries.len() as u64,
            upload: Some(part),
        };
        let answer = async {
            let tenant = log
                .policy()
                .tenant(None, UnixMillis::ZERO)
                .map_err(|_| AppendError::Closing)?;
            let advice = Advice::default();
            log.submit_chunk(chunk, tenant, &advice).await?.answer.await
        };
        if let Some(Ok(at)) = Self::answer(&running, answer).await {
            for (nth, entry) in (0..).zip(&entries) {
                let at = Appended {
                    index: at.index + nth,
                    leaf_index: at.leaf_index + nth,
                    shard: Arc::clone(&at.shard),
                };
                placed(&self.world, entry, &at);
            }
        }
    }
}
