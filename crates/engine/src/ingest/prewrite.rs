//! Makes the large batches of a backlog durable beside the commits. They go into the first commit after that, so only their own writer
//! waits for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::ingest::commit::{BatchWriters, Commit};
use crate::ledger::{CommitError, Ledger};
use qos::Cost;
use qos::pace::Class;

/// A commit whose objects are durable, or that has none. Only this file makes one.
#[derive(Default)]
pub(crate) struct DurableCommit(Commit);

impl DurableCommit {
    pub(crate) fn append(&mut self, behind: Self) {
        self.0.append(behind.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.proposals.is_empty()
    }

    pub(crate) fn into_commit(self) -> Commit {
        self.0
    }
}

/// The batches for one commit.
#[derive(Default)]
pub(crate) struct ReadyCommit {
    pub(crate) commit: DurableCommit,
    /// Cost of the backlogs in it.
    pub(crate) elastic: Cost,
    pub(crate) beside_others: bool,
    /// How long its objects took to become durable beside the commits.
    pub(crate) stored: Duration,
}

/// A backlog whose objects are being made durable.
pub(crate) struct Prewrite {
    prepared: JoinHandle<(DurableCommit, Duration)>,
    elastic: Cost,
    /// The tiers and tenants of the batches.
    pub(crate) classes: BTreeSet<Class>,
    /// Work that was taken meanwhile and must come after it.
    pub(crate) behind: Commit,
}

impl Prewrite {
    pub(crate) fn begin(
        ledger: &Arc<Ledger>,
        commit: Commit,
        elastic: Cost,
        classes: BTreeSet<Class>,
    ) -> Self {
        let ledger = Arc::clone(ledger);
        let began = Instant::now();
        Self {
            prepared: tokio::spawn(
                async move { (prepared(&ledger, commit).await, began.elapsed()) },
            ),
            elastic,
            classes,
            behind: Commit::default(),
        }
    }

    /// Waits for the end of the prewrite, forever if there is none. Work behind it joins the same commit, or is the next to be made
    /// durable. May be dropped at any time.
    pub(crate) async fn end(this: &mut Option<Self>, ledger: &Arc<Ledger>) -> ReadyCommit {
        let Some(ahead) = this else {
            return std::future::pending().await;
        };
        // If the task is gone, nobody waits for the answers either.
        let (mut commit, stored) = (&mut ahead.prepared).await.unwrap_or_default();
        let (behind, elastic) = (std::mem::take(&mut ahead.behind), ahead.elastic);
        if behind.has_objects() {
            let classes = std::mem::take(&mut ahead.classes);
            *ahead = Self::begin(ledger, behind, Cost::ZERO, classes);
        } else {
            commit.append(DurableCommit(behind));
            *this = None;
        }
        ReadyCommit {
            commit,
            elastic,
            beside_others: false,
            stored,
        }
    }
}

/// Makes the objects of a commit durable. On a failure the commit is empty and its writers are refused.
pub(crate) async fn prepared(ledger: &Ledger, mut commit: Commit) -> DurableCommit {
    let Err(error) = ledger.prepare(&mut commit.proposals).await else {
        return DurableCommit(commit);
    };
    let batches = commit.batches.into_iter();
    batches.for_each(|batch| refuse(ledger, batch, error.clone()));
    if let Some(reply) = commit.control {
        let _ = reply.send(Err(error));
    }
    DurableCommit::default()
}

/// Tells the writers of a batch that it is not ordered, and why.
pub(crate) fn refuse(ledger: &Ledger, batch: BatchWriters, error: CommitError) {
    let error = ledger.append_error(error);
    let writers = batch.writers.into_iter();
    writers.for_each(|writer| drop(writer.reply.send(Err(error.clone()))));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::Duration;
    use tlog::GlobalIndex;

    use bytes::Bytes;
    use futures_util::FutureExt as _;

    use crate::tests::rig::{Rig, caller};
    use crate::{AppendError, Log, Request};
    use order::batch;
    use order::chunk::Chunk;
    use qos::Advice;
    use store::StoreError;
    use store::fault::{Fault, Faults, Operation};

    const BULK: Advice = Advice {
        urgency: Some(5),
        merge_by: None,
        shard: None,
    };

    /// Entries of so many bytes each.
    async fn submit(
        log: &Log,
        entries: &[usize],
    ) -> impl Future<Output = Result<u64, AppendError>> + Unpin {
        let mut bytes = bytes::BytesMut::new();
        for length in entries {
            batch::push(&mut bytes, &vec![b'x'; *length]);
        }
        let chunk = Chunk {
            bytes: bytes.freeze(),
            entries: entries.len() as u64,
            upload: None,
        };
        let ticket = log.submit_chunk(chunk, log.policy().own(), &BULK).await;
        let answer = ticket.unwrap().answer;
        Box::pin(answer.map(|answer| answer.map(|at| at.index.get())))
    }

    fn batches(faults: &Faults, fault: Fault) {
        faults.plan(move |_, operation| match operation {
            Operation::Put(objects) if objects[0].0.contains("batch/") => Some(fault.clone()),
            _ => None,
        });
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_backlog_but_its_writer() {
        let (rig, objects) = (Rig::new(), Faults::new());
        let (engine, log) = rig.faulty_server(&Faults::new(), &objects).await;
        batches(&objects, Fault::Stall);
        let mut large = submit(&log, &[20; 4_000]).await;
        while objects.operations() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let live = async |text: &'static str| log.append(Bytes::from_static(text.as_bytes())).await;
        assert_eq!(live("one").await.unwrap().index, GlobalIndex::ZERO);
        // Later entries of the same writer are not ordered before it, however small they are.
        let mut small = submit(&log, &[20; 2]).await;
        assert_eq!(live("two").await.unwrap().index, GlobalIndex::new(1));
        assert!((&mut large).now_or_never().is_none() && (&mut small).now_or_never().is_none());
        objects.clear();
        objects.release().await;
        assert_eq!((large.await.unwrap(), small.await.unwrap()), (2, 4_002));
        log.wait_published(GlobalIndex::new(4_003)).await.unwrap();
        engine.shutdown().await;
    }

    /// A tier that is owed its floor passes the pace, with large batches too: they are durable before they are ordered like any other.
    #[tokio::test(start_paused = true)]
    async fn what_is_owed_behind_a_backlog_is_durable_before_it_is_ordered() {
        let (rig, objects) = (Rig::new(), Faults::new());
        let (engine, log) = rig.faulty_server(&Faults::new(), &objects).await;
        let puts = Arc::new(AtomicU64::new(0));
        let (counted, stalls) = (Arc::clone(&puts), Arc::new(AtomicU64::new(1)));
        objects.plan(move |_, operation| match operation {
            Operation::Put(objects) if objects[0].0.contains("batch/") => {
                counted.fetch_add(objects.len() as u64, SeqCst);
                (stalls.swap(0, SeqCst) > 0).then_some(Fault::Stall)
            }
            _ => None,
        });
        let first = submit(&log, &[10; 8_000]).await;
        while puts.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let second = submit(&log, &[50_000, 50_000]).await;
        let bulk = || {
            let classes = log.qos().classes;
            classes.into_iter().find(|c| &*c.tier == "bulk").unwrap()
        };
        while bulk().queue.entries > 0 {
            log.append(Bytes::from(vec![7; 60_000])).await.unwrap();
        }
        assert_eq!(puts.load(SeqCst), 1, "it waits behind the first");
        objects.release().await;
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert!(first < second);
        assert_eq!(puts.load(SeqCst), 2);
        engine.shutdown().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_backlog_that_cannot_be_kept_is_refused_alone() {
        let (rig, objects) = (Rig::new(), Faults::new());
        let (engine, log) = rig.faulty_server(&Faults::new(), &objects).await;
        batches(&objects, Fault::Fail(StoreError::Io("injected".into())));
        let lost = submit(&log, &[20; 4_000]).await;
        let live = log.append(Bytes::from_static(b"one")).await.unwrap();
        assert!(lost.await.is_err());
        assert_eq!(live.index, GlobalIndex::ZERO);
        objects.clear();
        assert_eq!(submit(&log, &[20; 4_000]).await.await.unwrap(), 1);
        engine.shutdown().await;
    }

    /// Objects of a batch that is then refused are deleted.
    #[tokio::test(start_paused = true)]
    async fn a_backlog_that_comes_too_late_leaves_nothing_behind() {
        let (rig, objects) = (Rig::new(), Faults::new());
        let (engine, log) = rig.faulty_server(&Faults::new(), &objects).await;
        batches(&objects, Fault::Stall);
        let late = submit(&log, &[20; 4_000]).await;
        while objects.operations() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let freeze = Request::Freeze { now: true };
        log.change(freeze, caller()).await.unwrap();
        objects.clear();
        objects.release().await;
        assert!(matches!(late.await, Err(AppendError::Frozen { .. })));
        let left = || {
            let objects = rig.objects.objects();
            let left = objects.keys().filter(|path| path.contains("batch/"));
            left.count()
        };
        let gone = async {
            while left() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(60), gone);
        in_time.await.expect("its object is deleted");
        engine.shutdown().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_ends_commits_what_is_on_its_way() {
        let (rig, objects) = (Rig::new(), Faults::new());
        let (engine, log) = rig.faulty_server(&Faults::new(), &objects).await;
        batches(&objects, Fault::Stall);
        let large = submit(&log, &[20; 4_000]).await;
        while objects.operations() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut end = Box::pin(engine.shutdown());
        tokio::select! {
            _ = &mut end => panic!("it ended before its work was done"),
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        objects.clear();
        objects.release().await;
        assert_eq!(large.await.unwrap(), 0);
        end.await;
    }
}
