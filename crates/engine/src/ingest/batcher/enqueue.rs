//! From a request into the queue: admission, and the place in the scheduler where the work waits.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Batcher, at};
use crate::ingest::answer::{AppendError, Appended};
use crate::ingest::commit::{Item, Payload};
use crate::ingest::release::QueuedWork;
use crate::ledger::{CommitError, Placed};
use order::slot::Decision;
use order::work::Promised;
use qos::admission::{Promise, Refused};
use qos::{Ask, Backlog, Cost, Grant, Job, Policy, Schedule, TenantId};
use store::StoreError;

impl Batcher {
    /// Queues entries, or says why not. The answer comes when they are ordered and durable. `room` is for all work that is not published,
    /// `most_waiting` for what is in the queue.
    pub(crate) fn submit(
        &self,
        policy: &Policy,
        tenant: TenantId,
        grant: Grant,
        shard: Option<Arc<str>>,
        payload: Payload,
        (room, most_waiting): (usize, usize),
    ) -> Result<
        impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>,
        AppendError,
    > {
        let (reply, answer) = oneshot::channel();
        let item = Item {
            tier: grant.tier,
            shard,
            payload,
            reply,
            under_way: None,
        };
        let (bytes, memory, entries) = (item.bytes(), item.memory(), item.entries());
        let patient = matches!(item.payload, Payload::Chunk { .. });
        let (now, second) = (self.now(), self.clock.now().get() / 1_000);
        let parked = {
            let mut queue = self.queue();
            let queue = &mut *queue;
            if queue.closed {
                return Err(AppendError::ShuttingDown);
            }
            // A commit that takes long holds what it has taken, while the queue fills again. That waits no longer.
            let held = queue.memory + queue.under_way.load(Relaxed);
            let free = room
                .saturating_sub(held)
                .min(most_waiting.saturating_sub(queue.memory));
            let ask = Ask {
                tenant,
                grant,
                entries,
                bytes: bytes as u64,
                own: queue.scheduler.backlog(grant.tier, tenant),
                free: free as u64,
            };
            let admitted = queue.admission.admit(now, policy, &ask);
            // A chunk without room is submitted again by its sender, so it is counted only once.
            if admitted.is_ok() || !patient {
                let class = (grant.tier, tenant);
                queue.arrivals.arrived(second, class, entries, bytes as u64);
                let counts = queue.tally.of(grant.tier, tenant);
                counts.admitted(entries, &admitted);
            }
            let promise = admitted?;
            queue.memory += memory;
            let job = Job {
                tier: grant.tier,
                tenant,
                entries,
                bytes: bytes as u64,
                arrived: now,
                deadline: promise.map(|p| p.deadline),
                payload: QueuedWork::Write(item, promise),
            };
            queue.scheduler.push(now, job);
            std::mem::take(&mut queue.parked)
        };
        if parked {
            self.wake.notify_one();
        }
        Ok(async { answer.await.unwrap_or(Err(AppendError::Unknown)) })
    }

    /// Asks admission for one entry that is to wait in the durable queue, of which `free` bytes are left. An admitted entry counts as
    /// accepted work until [`Batcher::settled`].
    pub(crate) fn promise(
        &self,
        policy: &Policy,
        tenant: TenantId,
        grant: Grant,
        bytes: u64,
        free: u64,
    ) -> Result<Option<Promise>, AppendError> {
        let ask = Ask {
            tenant,
            grant,
            entries: 1,
            bytes,
            own: Backlog::default(),
            free,
        };
        let mut queue = self.queue();
        let queue = &mut *queue;
        let admitted = queue.admission.admit(self.now(), policy, &ask);
        let counts = queue.tally.of(grant.tier, tenant);
        counts.admitted(1, &admitted);
        Ok(admitted?)
    }

    /// Counts promised work that another process admitted.
    pub(crate) fn adopt(&self, left: Duration, cost: Cost) -> Promise {
        let now = self.now();
        self.queue().admission.adopt(now, now + left, cost)
    }

    /// Asks for a turn of promised work, rows of one tier with the earliest deadline first. Resolves when it may be released; an error says
    /// that the queue accepts no more.
    pub(crate) fn turn(&self, rows: &[Promised]) -> oneshot::Receiver<()> {
        let (go, turn) = oneshot::channel();
        let Some(first) = rows.first() else {
            return turn;
        };
        let (now, today) = (self.now(), self.clock.now());
        let parked = {
            let mut queue = self.queue();
            if queue.closed {
                return turn;
            }
            let (tier, tenant) = queue.names.class(&first.tier, &first.tenant);
            let job = Job {
                tier,
                tenant,
                entries: rows.iter().map(|r| r.batch.entries).sum(),
                bytes: rows.iter().map(|r| r.bytes).sum(),
                arrived: now,
                deadline: Some(at(now, today, first.deadline)),
                payload: QueuedWork::Turn(go),
            };
            queue.scheduler.push(now, job);
            std::mem::take(&mut queue.parked)
        };
        if parked {
            self.wake.notify_one();
        }
        turn
    }

    /// Cost of the promised work that is planned for.
    #[cfg(test)]
    pub(crate) fn accepted(&self) -> Cost {
        self.queue().admission.accepted()
    }

    /// Notes that promised work no longer waits.
    pub(crate) fn settled(&self, promise: &Promise, cost: Cost) {
        self.queue().admission.release(promise.due, cost);
    }

    /// Queues a control; it goes into the next commit.
    pub(crate) async fn control(&self, decision: Decision) -> Result<Placed, CommitError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.queue();
            if queue.closed {
                return Err(CommitError::Store(StoreError::NotYet(
                    "this server is shutting down".into(),
                )));
            }
            queue.controls.push_back((decision, reply));
        }
        self.wake.notify_one();
        answer
            .await
            .unwrap_or_else(|_| Err(CommitError::Unknown("the committer stopped".into())))
    }
}

impl From<Refused> for AppendError {
    fn from(refused: Refused) -> Self {
        let Refused {
            reason,
            retry_after,
            available,
        } = refused;
        if reason.is_limit() {
            Self::Limited {
                reason,
                retry_after,
            }
        } else {
            Self::NoRoom {
                reason,
                retry_after,
                available,
            }
        }
    }
}
