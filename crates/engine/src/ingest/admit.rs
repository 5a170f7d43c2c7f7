//! Accepts or refuses a write: the log, its configuration and its memory must allow it. Accepted work waits in the batcher's queue.

use order::SlotNumber;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::ingest::answer::{AppendError, Appended};
use crate::ingest::commit::Payload;
use crate::ingest::{Ingest, full_disk};
use crate::ledger::{CommitError, Ledger};
use crate::program::Trouble;
use order::chunk::Chunk;
use order::location::Location;
use order::state::{Intake, State};
use qos::simulate::Machine;
use qos::{Advice, TenantId, Ticket};
use store::StoreError;

/// The longest that a chunk waits for room before it looks again.
const CHUNK_ROOM_POLL: Duration = Duration::from_millis(200);
/// Bytes of chunks that one tenant may have in the queue of one tier: a few commits' worth.
const CHUNKS_WAITING: usize = 24 << 20;

impl Ledger {
    pub(crate) fn frozen(&self, state: &State) -> Option<AppendError> {
        match state.intake {
            Intake::Open => None,
            Intake::Closing => Some(AppendError::Closing),
            Intake::Frozen { time, .. } => {
                let shard = state
                    .active()
                    .map(|s| s.identity.name.clone())
                    .unwrap_or_default();
                Some(AppendError::Frozen { shard, since: time })
            }
        }
    }

    pub(crate) fn append_error(&self, error: CommitError) -> AppendError {
        match error {
            // A freeze that was lifted since still refused this write.
            CommitError::Frozen => self.frozen(&self.state()).unwrap_or(AppendError::Closing),
            CommitError::Store(StoreError::Full(detail)) => AppendError::Full { detail },
            CommitError::Store(StoreError::Clock(fault)) => AppendError::overloaded(&fault),
            CommitError::Store(e) => {
                if let Some(reason) = self.halt.reason() {
                    return AppendError::Halted { reason };
                }
                tracing::warn!(error = %e, "a commit failed; nothing was written");
                // Only operators need to know which node said what.
                if let StoreError::Quorum { have, quorum, .. } = e {
                    return AppendError::overloaded(&format!(
                        "{have} of the {quorum} storage nodes that are needed took it; nothing was written"
                    ));
                }
                AppendError::overloaded("the store failed; nothing was written")
            }
            CommitError::Overtaken => AppendError::overloaded(
                "other batches filled every slot, or the storage nodes that had it were taken out; nothing was written",
            ),
            CommitError::WrongShard => AppendError::WrongShard {
                active: self
                    .state()
                    .active()
                    .map(|shard| shard.identity.name.clone()),
            },
            // Also where the log is already halted: who is told that may send the entry to another server.
            CommitError::AskAgain | CommitError::Unknown(_) => AppendError::Unknown,
            CommitError::Refused(_) | CommitError::Taken(_) => match self.halt.reason() {
                Some(reason) => AppendError::Halted { reason },
                None => AppendError::Unknown,
            },
        }
    }
}

impl Ingest {
    /// An error if no write at all is accepted now.
    pub(crate) fn takes_writes(&self) -> Result<(), AppendError> {
        if let Some(reason) = self.health.halt.reason() {
            return Err(AppendError::Halted { reason });
        }
        if let Some(refused) = self.ledger.frozen(&self.ledger.state()) {
            return Err(refused);
        }
        if !self.life.is_announced() {
            // Another copy may have been restored as well, and be the one that continues.
            return Err(AppendError::overloaded(
                "the log was restored, and accepts writes once enough of its secondaries have accepted it; `logctl status` says what it waits for",
            ));
        }
        full_disk::above_reserve(&self.health)?;
        if let Some(fault) = self.health.clock.fault() {
            return Err(AppendError::overloaded(&fault.to_string()));
        }
        Ok(())
    }

    /// Whether every live server understands batches with a place or a condition on their shard.
    pub(crate) fn knows_locations(&self) -> Result<(), AppendError> {
        match self.formats.lacking(order::slot::PLACES) {
            None => Ok(()),
            Some(server) => Err(AppendError::overloaded(&format!(
                "server {server} on these stores runs an older version, which does not understand this request; upgrade it first"
            ))),
        }
    }

    pub(crate) fn machine(&self) -> Machine<impl Fn(Duration) -> f64 + use<>> {
        let rate = self.batcher.view(&self.running.policy.load()).rate;
        Machine {
            rate: move |_| rate,
            interval: self.running.config().merge.checkpoint_interval.duration(),
            memory: self.max_pending as u64,
            admission: true,
        }
    }

    pub(crate) fn append(
        &self,
        entry: Bytes,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<> {
        let tenant = self.running.policy.load().own();
        let ticket = self.submit(entry, tenant, &Advice::default());
        async move { ticket?.answer.await }
    }

    pub(crate) fn submit(
        &self,
        entry: Bytes,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        AppendError::of_size(&entry)?;
        self.enqueue(Payload::Entry(entry), tenant, advice)
    }

    /// Queues a chunk, as soon as there is room; a part of an upload with its place and the first slot that may have it.
    pub(crate) async fn enqueue_chunk(
        &self,
        chunk: Chunk,
        upload: Option<(Location, SlotNumber)>,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        loop {
            let released = self.batcher.wait_released(CHUNK_ROOM_POLL);
            let payload = Payload::Chunk {
                bytes: chunk.bytes.clone(),
                entries: chunk.entries,
                upload,
            };
            match self.enqueue(payload, tenant, advice) {
                Err(AppendError::NoRoom { .. }) => released.await,
                Err(AppendError::Limited { retry_after, .. }) => {
                    tokio::time::sleep(retry_after).await;
                }
                other => return other,
            }
        }
    }

    pub(crate) fn takes(&self, advice: &Advice) -> Result<(), AppendError> {
        self.admit()?;
        self.wanted_shard(advice).map(drop)
    }

    /// The shard that a writer insists on, if it is the active one.
    fn wanted_shard(&self, advice: &Advice) -> Result<Option<Arc<str>>, AppendError> {
        let Some(wanted) = &advice.shard else {
            return Ok(None);
        };
        let state = self.ledger.state();
        let active = state.active().map(|s| s.identity.name.as_str());
        if active != Some(wanted) {
            return Err(AppendError::WrongShard {
                active: active.map(str::to_owned),
            });
        }
        Ok(Some(Arc::from(wanted.as_str())))
    }

    pub(crate) fn enqueue(
        &self,
        payload: Payload,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        let room = self.admit()?;
        if advice.shard.is_some() || payload.has_location() {
            self.knows_locations()?;
        }
        let shard = self.wanted_shard(advice)?;
        let policy = self.running.policy.load();
        let grant = policy.grant(tenant, advice);
        let most_waiting = match &payload {
            Payload::Entry(_) | Payload::Placed { .. } => usize::MAX,
            // More would only use memory: chunks that wait outside wait in the network.
            Payload::Chunk { .. } => CHUNKS_WAITING,
        };
        let answer =
            self.batcher
                .submit(&policy, tenant, grant, shard, payload, (room, most_waiting))?;
        Ok(Ticket {
            granted: policy.granted(grant),
            answer,
        })
    }

    /// The room for more unpublished bytes, or why there is none.
    fn admit(&self) -> Result<usize, AppendError> {
        self.takes_writes()?;
        full_disk::no_full_store(&self.health)?;
        let pending = self.progress.pending.memory();
        if pending >= self.max_pending {
            return Err(match self.health.trouble() {
                Some(Trouble { why, .. }) => {
                    AppendError::overloaded(&format!("publication is stuck: {why}"))
                }
                None => AppendError::overloaded("entries arrive faster than they can be published"),
            });
        }
        Ok(self.max_pending - pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::rig::Rig;
    use store::fault::{Fault, Faults};

    /// Work that a slow commit has taken from the queue is memory like any other: the queue does not fill a second time beside it.
    #[tokio::test(start_paused = true)]
    async fn a_slow_commit_holds_what_it_has_taken() {
        const ENTRY: usize = 60_000;
        let mut rig = Rig::new();
        rig.max_pending = 1 << 20;
        let faults = Faults::new();
        let (engine, log) = rig.server(&faults).await;
        faults.every_write(Fault::Stall);
        let (mut taken, mut waiting) = (0, Vec::new());
        for _ in 0..4 {
            loop {
                let (entry, tenant) = (Bytes::from(vec![7; ENTRY]), log.policy().own());
                let Ok(ticket) = log.submit(entry, tenant, &Advice::default()) else {
                    break;
                };
                taken += ENTRY;
                waiting.push(ticket.answer);
            }
            // The committer takes what it may.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(taken <= rig.max_pending, "{taken} of {}", rig.max_pending);
        assert!(taken > rig.max_pending / 2, "{taken}");
        faults.clear();
        faults.release().await;
        for answer in waiting {
            answer.await.unwrap();
        }
        engine.shutdown().await;
    }
    /// Chunks that a slow commit has taken are memory, but they no longer wait: as many as before may wait beside them, or the next
    /// commit would find less than it may take.
    #[tokio::test(start_paused = true)]
    async fn as_many_chunks_wait_beside_a_slow_commit() {
        const CHUNK: usize = 512 << 10;
        let (rig, faults) = (Rig::new(), Faults::new());
        let (engine, log) = rig.server(&faults).await;
        faults.every_write(Fault::Stall);
        let mut encoded = bytes::BytesMut::new();
        order::batch::push(&mut encoded, &[7; 60_000]);
        let chunk = encoded.repeat(CHUNK / encoded.len());
        let entries = (CHUNK / encoded.len()) as u64;
        // A backlog, of which nothing is promised.
        let advice = Advice {
            urgency: Some(5),
            ..Advice::default()
        };
        let mut answers = Vec::new();
        let mut fill = || {
            loop {
                let payload = Payload::Chunk {
                    bytes: chunk.clone().into(),
                    entries,
                    upload: None,
                };
                let tenant = log.policy().own();
                let Ok(ticket) = log.ingest.enqueue(payload, tenant, &advice) else {
                    break;
                };
                answers.push(ticket.answer);
            }
        };
        let waiting = || {
            let view = log.ingest.batcher.view(&log.policy());
            view.classes.iter().map(|class| class.queue.bytes).sum()
        };
        fill();
        let full: u64 = waiting();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let left: u64 = waiting();
        assert!(left < full, "{left} of {full} wait");
        fill();
        assert_eq!(waiting(), full);
        faults.clear();
        faults.release().await;
        for answer in answers {
            answer.await.unwrap();
        }
        engine.shutdown().await;
    }
}
