//! One log on this replica: what writers, readers and operators ask of it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use tlog::bundle;

use crate::health::Health;
use crate::ingest::commit::Payload;
use crate::ingest::{Ingest, arrivals};
use crate::ledger::{CommitError, Ledger};
use crate::metrics::LogMetrics;
use crate::objects::LogObjects;
use crate::program::{Trouble, TroubleKind};
use crate::progress::Progress;
use crate::publish::signing::Signing;
use crate::running::Running;
use order::chunk::Chunk;
use order::location::Location;
use order::state::{Intake, State};
use qos::simulate::Arrival;
use qos::simulate::Machine;
use qos::{Advice, Policy, QosView, TenantId, Ticket};
use store::StoreError;

/// The longest that a chunk waits for room before it looks again.
const LOOK: Duration = Duration::from_millis(200);
/// Bytes of chunks that one tenant may have in the queue of one tier: a few commits' worth.
const CHUNKS_WAITING: usize = 24 << 20;

/// An entry's place, given once it is ordered and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Global index.
    pub index: u64,
    /// The shard it is in.
    pub shard: Arc<str>,
    /// Index in that shard's tree.
    pub leaf_index: u64,
}

/// Why an entry was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No bytes.
    #[error("the entry is empty")]
    Empty,
    /// Over 65,535 bytes.
    #[error("the entry is longer than 65535 bytes")]
    TooLarge,
    /// The log is frozen.
    #[error("shard {shard} is frozen")]
    Frozen {
        /// The shard that was active.
        shard: String,
        /// Since when, milliseconds since the Unix epoch.
        since_ms: u64,
    },
    /// The log is about to freeze.
    #[error("the log is closing")]
    Closing,
    /// The log is halted on this replica.
    #[error("the log is halted: {reason}")]
    Halted {
        /// Why.
        reason: String,
    },
    /// No space left.
    #[error("no space left: {detail}")]
    Full {
        /// Where.
        detail: String,
    },
    /// More than can be published.
    #[error("overloaded: {reason}")]
    Overloaded {
        /// What is exhausted.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// More than this tenant may send.
    #[error("over the tenant's limit: {reason}")]
    Limited {
        /// Which limit.
        reason: &'static str,
        /// When it may go on.
        retry_after: Duration,
    },
    /// The promise asked for cannot be kept beside those that were given.
    #[error("no room: {reason}")]
    NoRoom {
        /// What is exhausted.
        reason: &'static str,
        /// When there is probably room.
        retry_after: Duration,
        /// A merge delay that could be promised now.
        available: Option<Duration>,
    },
    /// The writer wants another shard than the active one.
    #[error("that shard is not the active one")]
    WrongShard {
        /// The active one.
        active: Option<String>,
    },
    /// This entry cannot be promised; it can be appended.
    #[error("no promise: {reason}")]
    Unpromisable {
        /// Why not.
        reason: &'static str,
    },
    /// The part is not where its upload stands.
    #[error("the upload stands at entry {accepted}")]
    UploadAt {
        /// Entries accepted so far; the next part's offset.
        accepted: u64,
    },
    /// The idempotency key belongs to a write with other bytes.
    #[error("this idempotency key was used for another write")]
    KeyReused,
    /// The server is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// It may or may not have been ordered.
    #[error("the outcome could not be learned")]
    Unknown,
}

impl AppendError {
    /// Refuses an entry that no leaf may have: 1 to 65,535 bytes (C2SP tlog-tiles, "Log Entries").
    pub(crate) fn of_size(entry: &[u8]) -> Result<(), Self> {
        match entry.len() {
            0 => Err(Self::Empty),
            1..=bundle::MAX_ENTRY => Ok(()),
            _ => Err(Self::TooLarge),
        }
    }

    pub(crate) fn overloaded(reason: &str) -> Self {
        Self::Overloaded {
            reason: reason.to_owned(),
            retry_after: Duration::from_secs(1),
        }
    }
}

/// A handle on one log; clones are the same log.
#[derive(Clone)]
pub struct Log {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) health: Arc<Health>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) objects: Arc<LogObjects>,
    pub(crate) running: Arc<Running>,
    pub(crate) signing: Arc<Signing>,
    pub(crate) ingest: Arc<Ingest>,
}

impl Ledger {
    pub(crate) fn frozen(&self, state: &State) -> Option<AppendError> {
        match state.gate {
            Intake::Open => None,
            Intake::Closing => Some(AppendError::Closing),
            Intake::Frozen { time, .. } => {
                let shard = state
                    .active()
                    .map(|s| s.identity.name.clone())
                    .unwrap_or_default();
                Some(AppendError::Frozen {
                    shard,
                    since_ms: time,
                })
            }
        }
    }
}

impl Ingest {
    /// Why nothing is taken now, whatever it is.
    pub(crate) fn takes_writes(&self) -> Result<(), AppendError> {
        if let Some(reason) = self.health.halt.reason() {
            return Err(AppendError::Halted { reason });
        }
        if let Some(refused) = self.ledger.frozen(&self.ledger.state()) {
            return Err(refused);
        }
        if !self.signing.announced.load(Relaxed) {
            // Another copy may have been restored as well, and be the one that goes on.
            return Err(AppendError::overloaded(
                "the log was restored, and takes writes once its secondaries have taken it; see `logctl status`",
            ));
        }
        if self.health.low_space.load(Relaxed) {
            return Err(AppendError::Full {
                detail: "less space is free than is kept in reserve".into(),
            });
        }
        if let Some(fault) = self.health.clock.fault() {
            return Err(AppendError::overloaded(&fault.to_string()));
        }
        Ok(())
    }
}

impl Ledger {
    pub(crate) fn append_error(&self, error: CommitError) -> AppendError {
        match error {
            // A freeze that was lifted since still refused this write.
            CommitError::Frozen => self.frozen(&self.state()).unwrap_or(AppendError::Closing),
            CommitError::Store(StoreError::Full(detail)) => AppendError::Full { detail },
            CommitError::Store(StoreError::Clock(fault)) => AppendError::overloaded(&fault),
            CommitError::Store(e) => {
                tracing::warn!(error = %e, "a commit failed; nothing was written");
                // Which node said what is for operators.
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
            CommitError::Refused(_)
            | CommitError::Taken(_)
            | CommitError::AskAgain
            | CommitError::Unknown(_) => match self.halt.reason() {
                Some(reason) => AppendError::Halted { reason },
                None => AppendError::Unknown,
            },
        }
    }
}

impl Log {
    /// The log's name.
    pub fn name(&self) -> &str {
        &self.ledger.name
    }

    /// Whether it has a configuration. A halted one may not be able to read it, and is there to be looked at.
    pub(crate) fn is_created(&self) -> bool {
        self.running.now.load().generation > 0 || self.health.halt.is_halted()
    }

    /// Whether its operator deleted it. Its data is kept, and it is frozen.
    pub fn is_deleted(&self) -> bool {
        self.ledger.state().deleted
    }

    /// The entity tag of the configuration that orders entries here, `g7-1a2b3c4d`; no copy, no formatting. An entry that was
    /// acknowledged was ordered under this configuration or one before it.
    pub fn etag(&self) -> Bytes {
        self.ledger.etag()
    }

    /// Counters.
    pub fn metrics(&self) -> &LogMetrics {
        &self.progress.metrics
    }

    /// The rules of the generation that runs.
    pub fn policy(&self) -> Arc<Policy> {
        self.running.policy.load_full()
    }

    /// Quality of service as it stands: what waits, what was let in, refused and served, by tier and tenant.
    pub fn qos(&self) -> QosView {
        self.ingest.batcher.view(&self.running.policy.load())
    }

    /// What came in the last so many seconds, to all replicas, refused entries too: at most [`arrivals::KEPT`] back, by second
    /// and up to the last full minute. What [`simulate`](qos::simulate::simulate) replays.
    pub async fn arrivals(&self, since: Duration) -> Result<Vec<Arrival>, StoreError> {
        arrivals::read(&self.ledger, since).await
    }

    /// The log as [`simulate`](qos::simulate::simulate) takes it: at the rate measured here, or assumed while nothing was.
    pub fn machine(&self) -> Machine<impl Fn(u64) -> f64 + use<>> {
        let rate = self.qos().rate;
        Machine {
            rate: move |_| rate,
            interval: self.running.config().merge.checkpoint_interval.duration(),
            memory: self.ingest.max_pending as u64,
            admission: true,
        }
    }

    /// Appends an entry, for the anonymous tenant and without advice. The answer means: ordered and durable on disk; it
    /// survives kill and power loss, and never moves.
    pub fn append(
        &self,
        entry: Bytes,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<> {
        let tenant = self.running.policy.load().own();
        let ticket = self.submit(entry, tenant, &Advice::default());
        async move { ticket?.answer.await }
    }

    /// Submits an entry: granted and queued, or refused, at once. The answer is as [`Log::append`]'s.
    pub fn submit(
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

    /// Submits a run of entries, which become contiguous leaves; the answer's index is that of the first. Where an entry would
    /// be refused for want of room, this waits: a stream's sender is slowed down by not being read.
    pub async fn submit_chunk(
        &self,
        chunk: Chunk,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        if chunk.entries == 0 || chunk.bytes.is_empty() {
            return Err(AppendError::Empty);
        }
        if chunk.bytes.len() > Chunk::MAX_BYTES {
            return Err(AppendError::TooLarge);
        }
        let ticket = match chunk.upload {
            Some(part) => {
                let ticket = self.submit_part(part, chunk, tenant, advice).await?;
                (ticket.granted, Either::Left(ticket.answer))
            }
            None => {
                let ticket = self.enqueue_chunk(chunk, None, tenant, advice).await?;
                (ticket.granted, Either::Right(ticket.answer))
            }
        };
        let (granted, answer) = ticket;
        Ok(Ticket { granted, answer })
    }

    /// Queues a chunk, as soon as there is room; a part of an upload with its place and the first slot that may have it.
    pub(crate) async fn enqueue_chunk(
        &self,
        chunk: Chunk,
        upload: Option<(Location, u64)>,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        loop {
            let taken = self.ingest.batcher.taken(LOOK);
            let payload = Payload::Chunk {
                bytes: chunk.bytes.clone(),
                entries: chunk.entries,
                upload,
            };
            match self.enqueue(payload, tenant, advice) {
                Err(AppendError::NoRoom { .. }) => taken.await,
                Err(AppendError::Limited { retry_after, .. }) => {
                    tokio::time::sleep(retry_after).await;
                }
                other => return other,
            }
        }
    }

    /// Whether a write may be taken as things stand, for those who ask before they have its bytes. What is refused here is refused
    /// whatever the bytes are.
    ///
    /// # Errors
    /// [`AppendError`]: why not.
    pub fn takes(&self, advice: &Advice) -> Result<(), AppendError> {
        self.admit()?;
        self.wanted_shard(advice).map(drop)
    }

    /// The shard that a writer insists on, where it is the active one.
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
        if advice.shard.is_some() || payload.has_place() {
            self.ingest.knows_places()?;
        }
        let shard = self.wanted_shard(advice)?;
        let policy = self.running.policy.load();
        let grant = policy.grant(tenant, advice);
        let room = match &payload {
            Payload::Entry(_) | Payload::Placed { .. } => room,
            // More would only take memory: what waits outside is as far as the network.
            Payload::Chunk { .. } => room.min(CHUNKS_WAITING),
        };
        let answer = self
            .ingest
            .batcher
            .submit(&policy, tenant, grant, shard, payload, room)?;
        Ok(Ticket {
            granted: policy.granted(grant),
            answer,
        })
    }

    /// The room for more unpublished bytes, or why there is none.
    fn admit(&self) -> Result<usize, AppendError> {
        self.ingest.takes_writes()?;
        let pending = self.progress.pending.memory();
        if pending >= self.ingest.max_pending {
            return Err(match self.health.trouble() {
                Some(trouble) if trouble.kind == TroubleKind::Full => AppendError::Full {
                    detail: trouble.why,
                },
                Some(Trouble { why, .. }) => {
                    AppendError::overloaded(&format!("publication is stuck: {why}"))
                }
                None => AppendError::overloaded("entries arrive faster than they can be published"),
            });
        }
        if let Some(trouble) = self.health.trouble()
            && trouble.kind == TroubleKind::Full
        {
            return Err(AppendError::Full {
                detail: trouble.why,
            });
        }
        Ok(self.ingest.max_pending - pending)
    }
}
