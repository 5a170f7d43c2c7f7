//! The linear work of a backlog, beside the commits: its large batches become durable, and ride in the first commit after that. So
//! nobody waits for them but their writer.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::commit::CommitError;
use super::load::{Load, Parts};
use crate::log::Core;
use crate::qos::pace::Class;

/// A commit's worth, its objects durable.
#[derive(Default)]
pub(super) struct Ready {
    pub(super) load: Load,
    /// Cost of the backlogs in it.
    pub(super) elastic: u64,
    pub(super) company: bool,
}

/// A backlog whose objects are being made durable.
pub(super) struct Ahead {
    prepared: JoinHandle<Load>,
    elastic: u64,
    /// Whose it is.
    pub(super) classes: HashSet<Class>,
    /// What was taken meanwhile and belongs behind it.
    pub(super) behind: Load,
}

impl Ahead {
    pub(super) fn begin(
        core: &Arc<Core>,
        load: Load,
        elastic: u64,
        classes: HashSet<Class>,
    ) -> Self {
        let core = Arc::clone(core);
        Self {
            prepared: tokio::spawn(async move { prepared(&core, load).await }),
            elastic,
            classes,
            behind: Load::default(),
        }
    }

    /// Waits for its end, for ever if there is none. May be dropped at any time.
    pub(super) async fn end(this: &mut Option<Self>) -> Ready {
        let Some(ahead) = this else {
            return std::future::pending().await;
        };
        // Where the task is gone, so are the writers' ends of the answers.
        let mut load = (&mut ahead.prepared).await.unwrap_or_default();
        let behind = std::mem::take(&mut ahead.behind);
        let elastic = ahead.elastic;
        *this = None;
        load.append(behind);
        Ready {
            load,
            elastic,
            company: false,
        }
    }
}

/// A load whose objects are durable; empty, and its writers refused, where they can't be made so.
pub(super) async fn prepared(core: &Core, load: Load) -> Load {
    let Err(error) = core.order.prepare(&load.mine).await else {
        return load;
    };
    let parts = load.parts.into_iter();
    parts.for_each(|parts| refuse(core, parts, error.clone()));
    if let Some(reply) = load.control {
        let _ = reply.send(Err(error));
    }
    Load::default()
}

/// Tells the writers of a batch that it is not ordered, and why.
pub(super) fn refuse(core: &Core, batch: Parts, error: CommitError) {
    let error = core.append_error(error);
    let parts = batch.parts.into_iter();
    parts.for_each(|part| drop(part.reply.send(Err(error.clone()))));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::FutureExt as _;

    use super::super::batch;
    use crate::promise::tests::Rig;
    use crate::qos::{Advice, Chunk};
    use crate::store::StoreError;
    use crate::store::fault::{Fault, Faults, Operation};
    use crate::{AppendError, Log};

    const BULK: Advice = Advice {
        urgency: Some(5),
        merge_by: None,
        shard: None,
    };

    async fn submit(
        log: &Log,
        entries: u64,
    ) -> impl Future<Output = Result<u64, AppendError>> + Unpin {
        let mut bytes = bytes::BytesMut::new();
        (0..entries)
            .for_each(|n| batch::push(&mut bytes, format!("entry {n} of {entries}").as_bytes()));
        let chunk = Chunk {
            bytes: bytes.freeze(),
            entries,
            upload: None,
        };
        let ticket = log.submit_chunk(chunk, log.policy().own(), &BULK).await;
        let answer = ticket.unwrap().answer;
        Box::pin(answer.map(|answer| answer.map(|at| at.index)))
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
        let mut large = submit(&log, 4_000).await;
        while objects.operations() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let live = async |text: &'static str| log.append(Bytes::from_static(text.as_bytes())).await;
        assert_eq!(live("one").await.unwrap().index, 0);
        // What the same writer sends after it is not ordered before it, however little it is.
        let mut small = submit(&log, 2).await;
        assert_eq!(live("two").await.unwrap().index, 1);
        assert!((&mut large).now_or_never().is_none() && (&mut small).now_or_never().is_none());
        objects.clear();
        objects.release().await;
        assert_eq!((large.await.unwrap(), small.await.unwrap()), (2, 4_002));
        log.wait_published(4_003).await.unwrap();
        engine.shutdown().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_backlog_that_cannot_be_kept_is_refused_alone() {
        let (rig, objects) = (Rig::new(), Faults::new());
        let (engine, log) = rig.faulty_server(&Faults::new(), &objects).await;
        batches(&objects, Fault::Fail(StoreError::Io("injected".into())));
        let lost = submit(&log, 4_000).await;
        let live = log.append(Bytes::from_static(b"one")).await.unwrap();
        assert!(lost.await.is_err());
        assert_eq!(live.index, 0);
        objects.clear();
        assert_eq!(submit(&log, 4_000).await.await.unwrap(), 1);
        engine.shutdown().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_ends_commits_what_is_on_its_way() {
        let (rig, objects) = (Rig::new(), Faults::new());
        let (engine, log) = rig.faulty_server(&Faults::new(), &objects).await;
        batches(&objects, Fault::Stall);
        let large = submit(&log, 4_000).await;
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
