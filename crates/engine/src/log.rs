//! One log on this replica: the handle for writers, readers and operators. This file has the parts, and one line for each question that a
//! part answers; reads are in [`crate::read`], changes in [`crate::control`], and views of the whole in [`crate::status`].

use order::Generation;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use logconfig::RekorConfig;
use tlog::{GlobalIndex, UnixMillis, VerifierKey};

use crate::damage::Damaged;
use crate::health::Health;
use crate::ingest::answer::{AppendError, Appended};
use crate::ingest::{Ingest, arrivals};
use crate::ledger::Ledger;
use crate::ledger::locations::UploadProgress;
use crate::ledger::queue::PromisedBacklog;
use crate::metrics::LogMetrics;
use crate::objects::LogObjects;
use crate::peers::Peers;
use crate::program::Program;
use crate::progress::Progress;
use crate::promise::{Placement, Promise, PromiseId, Promiser};
use crate::publish::publication::Publication;
use crate::publish::sign_guard::SignGuard;
use crate::running::Running;
use crate::shard::signers::SignedOpening;
use crate::shard::{Shards, SignError};
use crate::uploads::Uploads;
use crate::uploads::keyed::{Repeat, WriteKey};
use order::chunk::{Chunk, UploadId};
use qos::simulate::{Arrival, Machine};
use qos::{Advice, Policy, QosView, TenantId, Ticket};
use store::StoreError;

/// A handle on one log; clones are the same log.
#[derive(Clone)]
pub struct Log {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) health: Arc<Health>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) objects: Arc<LogObjects>,
    pub(crate) running: Arc<Running>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) guard: Arc<SignGuard>,
    pub(crate) publication: Arc<Publication>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) promiser: Arc<Promiser>,
}

impl Log {
    /// The name that its configuration document has.
    pub fn name(&self) -> &str {
        &self.ledger.name
    }

    /// The wall clock of this server, which may be wrong.
    pub fn now(&self) -> UnixMillis {
        self.ledger.clock.now()
    }

    /// Whether it has a configuration. A halted log may not be able to read it, but is still shown.
    pub(crate) fn is_created(&self) -> bool {
        self.running.now.load().generation > Generation::ZERO || self.health.halt.is_halted()
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

    /// Its front for Sigstore's clients, as the generation that runs has it; no copy of the document.
    pub fn rekor(&self) -> RekorConfig {
        self.running.now.load().document.rekor
    }

    /// Whether the active shard has no entry yet, as far as this server knows.
    pub fn is_unopened(&self) -> bool {
        let state = self.ledger.state();
        state
            .active()
            .is_some_and(|shard| shard.start() == Some(state.size))
    }

    /// The opening statement of the active shard, to be its first entry; `None` once it has one, and for a key of Ed25519 alone.
    ///
    /// # Errors
    /// [`SignError`] when it can't be signed.
    pub async fn opening(&self) -> Result<Option<SignedOpening>, SignError> {
        self.guard.opening().await
    }

    /// The name of the active shard, as far as this server knows; a freeze leaves it as it is.
    pub fn active_shard(&self) -> Option<String> {
        Some(self.ledger.state().active()?.identity.name.clone())
    }

    /// Its counters, which the server exports.
    pub fn metrics(&self) -> &LogMetrics {
        &self.progress.metrics
    }

    /// The rules of the generation that runs.
    pub fn policy(&self) -> Arc<Policy> {
        self.running.policy.load_full()
    }

    /// The current state of quality of service: waiting, admitted, refused and served work, by tier and tenant.
    pub fn qos(&self) -> QosView {
        self.ingest.batcher.view(&self.running.policy.load())
    }

    /// Arrivals at all replicas since this duration ago, including refused entries: at most seven days back, by second and up to
    /// the last full minute. [`simulate`](qos::simulate::simulate) replays them.
    pub async fn arrivals(&self, since: Duration) -> Result<Vec<Arrival>, StoreError> {
        arrivals::read(&self.ledger, since).await
    }

    /// The log as [`simulate`](qos::simulate::simulate) takes it: at the rate measured here, or assumed while nothing was.
    pub fn machine(&self) -> Machine<impl Fn(Duration) -> f64 + use<>> {
        self.ingest.machine()
    }

    /// Appends an entry, for the anonymous tenant and without advice. The answer means: ordered and durable on disk; it
    /// survives kill and power loss, and never moves.
    pub fn append(
        &self,
        entry: Bytes,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<> {
        self.ingest.append(entry)
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
        self.ingest.submit(entry, tenant, advice)
    }

    /// Submits a run of entries, which become contiguous leaves; the answer's index is that of the first. If a single entry would be
    /// refused for lack of room, this waits instead: the sender of a stream is slowed down because its stream is not read.
    pub async fn submit_chunk(
        &self,
        chunk: Chunk,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        self.uploads.submit_chunk(chunk, tenant, advice).await
    }

    /// Whether a write could be accepted now, for callers that do not have its bytes yet. A write that is refused here is refused whatever
    /// its bytes are.
    ///
    /// # Errors
    /// [`AppendError`]: why not.
    pub fn takes(&self, advice: &Advice) -> Result<(), AppendError> {
        self.ingest.takes(advice)
    }

    /// The accepted part of an upload, for a writer that resumes it.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn upload(&self, id: UploadId) -> Result<UploadProgress, StoreError> {
        self.ledger.parts(id, None, |_| ()).await
    }

    /// Submits an entry under a key. The same entry again, while the key is kept, has the place of the first one.
    ///
    /// # Errors
    /// [`AppendError::KeyReused`] for another entry under a key that has one; the others are as [`Log::submit`]'s.
    pub async fn submit_keyed(
        &self,
        key: WriteKey,
        entry: Bytes,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<
        Ticket<impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<>>,
        AppendError,
    > {
        self.uploads.submit_keyed(key, entry, tenant, advice).await
    }

    /// The location of the entry that was written under a key, while the key is kept.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn keyed_entry(&self, key: WriteKey) -> Result<Option<Appended>, StoreError> {
        self.uploads.keyed_entry(key).await
    }

    /// Records that a batch under a key ends after this many entries, all of which are ordered.
    ///
    /// # Errors
    /// [`AppendError::KeyReused`] if another body continued, or ended earlier; [`AppendError::Unknown`] when that can't be
    /// learned.
    pub async fn end_keyed_batch(&self, key: WriteKey, entries: u64) -> Result<(), AppendError> {
        self.uploads.end_keyed_batch(key, entries).await
    }

    /// The accepted part of a batch under a key, and what its repeat must be.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn keyed_batch(&self, key: WriteKey) -> Result<(UploadProgress, Repeat), StoreError> {
        self.uploads.keyed_batch(key).await
    }

    /// The shard that an ordered entry is in.
    pub fn shard_of(&self, index: GlobalIndex) -> Option<Arc<str>> {
        Some(self.ingest.appended(index)?.shard)
    }

    /// The number of the tree that an ordered entry is in.
    pub fn tree_of(&self, index: GlobalIndex) -> Option<u64> {
        Some(self.ledger.state().shard_at(index)?.identity.tree_id)
    }

    /// Promises to publish an entry: it is durable when this answers, survives kill and power loss, and the receipt says by when
    /// it is published.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was promised, and unless it is [`AppendError::Unknown`] nothing was written.
    pub async fn promise(
        &self,
        entry: Bytes,
        tenant: TenantId,
        advice: &Advice,
    ) -> Result<Promise, AppendError> {
        self.promiser.promise(entry, tenant, advice).await
    }

    /// The state of promised work; `None` if this log never promised it, or so long ago that its row has been deleted.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn placement(&self, promise: PromiseId) -> Result<Option<Placement>, StoreError> {
        self.promiser.placement(promise).await
    }

    /// Promised work that is not ordered yet, by tier and tenant.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn promised(
        &self,
    ) -> Result<BTreeMap<(String, String), PromisedBacklog>, StoreError> {
        self.ledger.waiting().await
    }

    /// The guarantee that would be lost if a change of the secondaries were handed over although the old ones have not accepted it; `None`
    /// if no change waits. The number is the generation that would be handed over.
    pub fn held_by_before(&self) -> Option<(Generation, String)> {
        self.running.held_by_before()
    }

    /// The public half of the replication key: what a secondary is configured with.
    ///
    /// # Errors
    /// [`SignError`] when it can't be read or made.
    pub async fn replication_key(&self) -> Result<VerifierKey, SignError> {
        Ok(self.guard.keyring.replication().await?.verifier().clone())
    }

    /// Secondaries and witnesses, as this process knows them.
    pub fn peers(&self) -> &Peers {
        &self.guard.peers
    }

    /// The peers that a program does not reach, with the reasons.
    pub(crate) fn unreached(&self, program: Program) -> Vec<(String, String)> {
        match program {
            Program::Replicate => self.guard.peers.unreached(),
            _ => self.health.unreached(program),
        }
    }

    /// Published objects that were found damaged since this process started, those that were repaired too; a bounded list.
    pub fn damaged(&self) -> Vec<Damaged> {
        self.objects.damage.list()
    }

    /// How many published objects are known to be damaged now, and are not in the list for lack of room too.
    pub fn damaged_count(&self) -> usize {
        self.objects.damage.count()
    }

    /// Reads that were refused because of damaged objects, and objects that were written again.
    pub fn damage_counts(&self) -> (u64, u64) {
        (
            self.objects.damage.reads.get(),
            self.objects.damage.repairs.get(),
        )
    }
}
