//! Adaptive group commit: whatever arrived while the last commit was under way goes into the next one. No fixed wait: a lone
//! writer waits for one commit, and under load the batches grow by themselves.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use super::commit::{CommitError, Placed};
use super::load::{ControlReply, Item, Load, Loader, Part, Payload};
use super::slot::{Decision, Tokens};
use super::state::State;
use crate::log::{AppendError, Appended, Core};
use crate::qos::TierId;
use crate::store::StoreError;

/// Bytes of entries in one commit, at most (one entry may pass it).
const MAX_COMMIT: usize = 1 << 20;

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    controls: VecDeque<(Decision, ControlReply)>,
    closed: bool,
}

/// The queue in front of the order.
#[derive(Default)]
pub struct Batcher {
    queue: Mutex<Queue>,
    wake: Notify,
    /// Something was taken from the queue.
    taken: Notify,
}

impl Batcher {
    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        // No code that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes waiting.
    pub fn bytes(&self) -> usize {
        self.queue().bytes
    }

    /// Queues entries. The answer comes when they are ordered and durable.
    pub(crate) fn submit(
        &self,
        tier: TierId,
        shard: Option<Arc<str>>,
        payload: Payload,
        room: usize,
    ) -> Result<
        impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>,
        AppendError,
    > {
        let (reply, answer) = oneshot::channel();
        let item = Item {
            tier,
            shard,
            payload,
            reply,
        };
        let first = {
            let mut queue = self.queue();
            if queue.closed {
                return Err(AppendError::ShuttingDown);
            }
            let bytes = item.bytes();
            if queue.bytes + bytes > room {
                return Err(AppendError::overloaded(
                    "entries arrive faster than they can be published",
                ));
            }
            queue.bytes += bytes;
            queue.items.push_back(item);
            queue.items.len() == 1
        };
        if first {
            self.wake.notify_one();
        }
        Ok(async { answer.await.unwrap_or(Err(AppendError::Unknown)) })
    }

    /// Resolves when the queue holds less than `bytes`, or takes no more.
    pub(crate) async fn room(&self, bytes: usize) {
        loop {
            let taken = self.taken.notified();
            {
                let queue = self.queue();
                if queue.closed || queue.bytes < bytes {
                    return;
                }
            }
            taken.await;
        }
    }

    /// Queues a control; it goes into the next commit.
    pub async fn control(&self, decision: Decision) -> Result<Placed, CommitError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.queue();
            if queue.closed {
                return Err(CommitError::Store(StoreError::Io(
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

    /// Takes no more; what is queued is committed.
    pub fn close(&self) {
        self.queue().closed = true;
        self.wake.notify_one();
        self.taken.notify_waiters();
    }

    /// Takes the next commit's worth; `None` when closed and empty.
    async fn next(&self, tokens: &Tokens, limit: usize) -> Option<Load> {
        loop {
            {
                let mut queue = self.queue();
                if !queue.items.is_empty() || !queue.controls.is_empty() {
                    let load = take(&mut queue, tokens, limit);
                    self.taken.notify_waiters();
                    return Some(load);
                }
                if queue.closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Commits what comes, until closed and empty.
    pub async fn run(&self, core: &Arc<Core>) {
        while let Some(load) = self.next(&core.tokens, core.store.value_limit()).await {
            let began = Instant::now();
            core.metrics.commits_in_flight.add(1);
            let answers = core.order.commit(load.mine).await;
            core.metrics.commits_in_flight.sub(1);
            let mut entries = 0;
            let mut answers = answers.into_iter();
            let state = core.order.state();
            for (parts, answer) in load.parts.into_iter().zip(answers.by_ref()) {
                match answer {
                    Ok(placed) => entries += place(core, &state, &placed, parts),
                    Err(e) => {
                        let error = core.append_error(e);
                        parts
                            .into_iter()
                            .for_each(|part| drop(part.reply.send(Err(error.clone()))));
                    }
                }
            }
            // A change that came along, ours or another replica's, runs at once.
            if state.generation != core.running.load().generation
                && let Err(e) = core.update_running().await
            {
                tracing::warn!(error = %e, log = core.name, "cannot read the configuration");
            }
            if let (Some(reply), Some(answer)) = (load.control, answers.next()) {
                let _ = reply.send(answer);
            }
            core.metrics.committed(entries, began.elapsed());
        }
    }
}

/// Answers the writers of a batch; how many entries it has.
fn place(core: &Core, state: &State, placed: &Placed, parts: Vec<Part>) -> u64 {
    let shard = state
        .shard_at(placed.start)
        .and_then(|s| Some((s.start()?, core.shards.get(state, &s.identity.name)?)));
    let mut index = placed.start;
    for part in parts {
        let answer = match &shard {
            Some((start, shard)) => Ok(Appended {
                index,
                shard: Arc::clone(&shard.name),
                leaf_index: index - start,
            }),
            None => Err(AppendError::Unknown),
        };
        index += part.entries;
        let _ = part.reply.send(answer);
    }
    index - placed.start
}

/// The next commit's worth.
fn take(queue: &mut Queue, tokens: &Tokens, limit: usize) -> Load {
    let mut loader = Loader::new(tokens, limit);
    while let Some(item) = queue.items.pop_front() {
        queue.bytes -= item.bytes();
        loader.push(item, queue.bytes);
        if loader.bytes() > MAX_COMMIT || loader.batches() + 2 > super::MAX_BATCHES {
            break;
        }
    }
    loader.finish(queue.controls.pop_front())
}
