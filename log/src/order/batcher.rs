//! Adaptive group commit: whatever arrived while the last commit was under way goes into the next one. No fixed wait: a lone
//! writer waits for one commit, and under load the batches grow by themselves.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, oneshot};

use super::batch;
use super::commit::{CommitError, Mine, Placed, now_ms};
use super::slot::{BatchRef, Decision, Tokens, Work};
use crate::log::{AppendError, Appended, Core};
use crate::record;
use crate::store::StoreError;

/// Bytes of entries in one commit, at most (one entry may pass it).
const MAX_COMMIT: usize = 1 << 20;

type Reply = oneshot::Sender<Result<Appended, AppendError>>;
type ControlReply = oneshot::Sender<Result<Placed, CommitError>>;

#[derive(Default)]
struct Queue {
    entries: VecDeque<(Bytes, Reply)>,
    bytes: usize,
    controls: VecDeque<(Decision, ControlReply)>,
    closed: bool,
}

/// The queue in front of the order.
#[derive(Default)]
pub struct Batcher {
    queue: Mutex<Queue>,
    wake: Notify,
}

/// What one commit takes from the queue.
struct Load {
    mine: Vec<Mine>,
    replies: Vec<Vec<Reply>>,
    control: Option<(usize, ControlReply)>,
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

    /// Queues an entry. The answer comes when it is ordered and durable.
    pub fn append(
        &self,
        entry: Bytes,
        room: usize,
    ) -> Result<impl Future<Output = Result<Appended, AppendError>> + Send + 'static, AppendError>
    {
        let (reply, answer) = oneshot::channel();
        let first = {
            let mut queue = self.queue();
            if queue.closed {
                return Err(AppendError::ShuttingDown);
            }
            if queue.bytes + entry.len() > room {
                return Err(AppendError::overloaded(
                    "entries arrive faster than they can be published",
                ));
            }
            queue.bytes += entry.len();
            queue.entries.push_back((entry, reply));
            queue.entries.len() == 1
        };
        if first {
            self.wake.notify_one();
        }
        Ok(async { answer.await.unwrap_or(Err(AppendError::Unknown)) })
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
    }

    /// Takes the next commit's worth; `None` when closed and empty.
    async fn next(&self, tokens: &Tokens, limit: usize) -> Option<Load> {
        loop {
            {
                let mut queue = self.queue();
                if !queue.entries.is_empty() || !queue.controls.is_empty() {
                    return Some(take(&mut queue, tokens, limit));
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
            for (replies, answer) in load.replies.into_iter().zip(answers.by_ref()) {
                match answer {
                    Ok(placed) => {
                        entries += replies.len() as u64;
                        let shard = state.shard_at(placed.start).and_then(|s| {
                            Some((s.start()?, core.shards.get(&state, &s.identity.name)?))
                        });
                        for (index, reply) in (placed.start..).zip(replies) {
                            let answer = match &shard {
                                Some((start, shard)) => Ok(Appended {
                                    index,
                                    shard: Arc::clone(&shard.name),
                                    leaf_index: index - start,
                                }),
                                None => Err(AppendError::Unknown),
                            };
                            let _ = reply.send(answer);
                        }
                    }
                    Err(e) => {
                        let error = core.append_error(e);
                        replies
                            .into_iter()
                            .for_each(|reply| drop(reply.send(Err(error.clone()))));
                    }
                }
            }
            // A change that came along, ours or another replica's, runs at once.
            if state.generation != core.running.load().generation
                && let Err(e) = core.update_running().await
            {
                tracing::warn!(error = %e, log = core.name, "cannot read the configuration");
            }
            if let (Some((_, reply)), Some(answer)) = (load.control, answers.next()) {
                let _ = reply.send(answer);
            }
            core.metrics.committed(entries, began.elapsed());
        }
    }
}

/// Batches of at most `limit` bytes, and at most one control, last.
fn take(queue: &mut Queue, tokens: &Tokens, limit: usize) -> Load {
    let mut load = Load {
        mine: Vec::new(),
        replies: Vec::new(),
        control: None,
    };
    let (mut bytes, mut replies, mut total) = (BytesMut::new(), Vec::new(), 0);
    while let Some((entry, reply)) = queue.entries.pop_front() {
        queue.bytes -= entry.len();
        let length = entry.len() + 2;
        if !bytes.is_empty() && bytes.len() + length > limit {
            load.push(
                tokens,
                std::mem::take(&mut bytes),
                std::mem::take(&mut replies),
                limit,
            );
        }
        if bytes.is_empty() {
            bytes.reserve(length.max(limit.min(queue.bytes + 2 * queue.entries.len() + length)));
        }
        batch::push(&mut bytes, &entry);
        replies.push(reply);
        total += length;
        if total > MAX_COMMIT || load.mine.len() + 2 > super::MAX_BATCHES {
            break;
        }
    }
    if !replies.is_empty() {
        load.push(tokens, bytes, replies, limit);
    }
    if let Some((decision, reply)) = queue.controls.pop_front() {
        load.control = Some((load.mine.len(), reply));
        load.mine.push(Mine {
            work: Work::Control(decision),
            bytes: Bytes::new(),
        });
    }
    load
}

impl Load {
    fn push(&mut self, tokens: &Tokens, bytes: BytesMut, replies: Vec<Reply>, limit: usize) {
        let bytes = bytes.freeze();
        let token = tokens.make(now_ms());
        let batch = BatchRef {
            token,
            entries: replies.len() as u64,
            digest: record::digest(&bytes),
            object: bytes.len() > limit,
        };
        self.mine.push(Mine {
            work: Work::Batch(batch),
            bytes,
        });
        self.replies.push(replies);
    }
}
