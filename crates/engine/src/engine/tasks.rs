//! The tasks of an open log: how they are started, and how they are stopped.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::log::Log;
use crate::nodes;
use crate::program::{Done, Finished, Program, Trouble};
use crate::publish::sign_guard::SignGuard;
use crate::running::Running;
use crate::supervise::Faults;

/// How long a stop waits for copies and pushes; the next start continues them.
const PEERS: Duration = Duration::from_secs(2);
/// Pause between reads of other replicas' slots, so that a busy replica costs a bounded share.
const FOLLOW: Duration = Duration::from_millis(20);

/// A task that ends with its owner: one whose channels nobody holds any more could spin forever.
pub(super) type Task<T = ()> = AbortOnDropHandle<T>;

/// An open log and its tasks.
pub(super) struct Opened {
    pub(super) log: Arc<Log>,
    pub(super) batcher: Option<Task>,
    pub(super) promiser: Option<Task>,
    /// The programs, in the order of the pipeline: so they are stopped.
    pub(super) programs: Vec<Started>,
    pub(super) others: Vec<Task>,
}

impl Opened {
    /// Lets the committer end, then lets each program finish its work, one after the other.
    pub(super) async fn finish(self) -> Vec<Finished> {
        for task in [self.promiser, self.batcher].into_iter().flatten() {
            let _ = task.await;
        }
        let log = &self.log;
        let mut finished = Vec::new();
        for mut running in self.programs {
            running.closing.send_replace(true);
            let program = running.program;
            // A peer that does not answer must not delay a server's publication.
            let patience = match program {
                Program::Replicate | Program::Distribute if log.running.merge.writes => PEERS,
                _ => Duration::MAX,
            };
            let ended = tokio::time::timeout(patience, &mut running.task).await;
            let halted = log.health.halt.reason().map(Trouble::new);
            finished.push(Finished {
                log: log.ledger.name.clone(),
                program,
                done: ended.ok().and_then(Result::ok).unwrap_or_default(),
                trouble: halted.or_else(|| log.health.trouble_of(program)),
                peers: log.unreached(program),
            });
        }
        drop(self.others);
        finished
    }
}

/// A program of the merge at work.
pub(super) struct Started {
    program: Program,
    closing: watch::Sender<bool>,
    task: Task<Done>,
}

impl Started {
    /// Starts a program; `closed` is set when it must finish its remaining work and end. Nothing is made of the order before the stores
    /// were compared with what others hold.
    pub(super) fn start<F: Future<Output = Done> + Send + 'static>(
        program: Program,
        guard: &Arc<SignGuard>,
        run: impl FnOnce(watch::Receiver<bool>) -> F,
    ) -> Self {
        let (closing, closed) = watch::channel(false);
        let name = format!("{program} of the log {}", guard.ledger.name);
        let (guard, run) = (Arc::clone(guard), run(closed));
        let task = guard.health.faults.clone().watch(name, async move {
            guard.passed().await;
            run.await
        });
        Self {
            program,
            closing,
            task: Task::new(tokio::spawn(task)),
        }
    }
}

/// Starts the tasks of one log.
pub(super) struct Tasks<'a> {
    pub(super) name: &'a str,
    pub(super) faults: &'a Faults,
}

impl Tasks<'_> {
    /// Runs a task that is started again when it ends badly.
    pub(super) fn keep<T: Send + Sync + 'static, F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &str,
        on: &Arc<T>,
        task: impl Fn(Arc<T>) -> F + Send + 'static,
    ) -> Task {
        let (name, on) = (format!("{name} of the log {}", self.name), Arc::clone(on));
        let start = move || task(Arc::clone(&on));
        Task::new(tokio::spawn(self.faults.clone().keep(name, start)))
    }

    /// Runs a task without which the log cannot make progress.
    pub(super) fn watch(
        &self,
        name: &str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Task {
        let name = format!("{name} of the log {}", self.name);
        Task::new(tokio::spawn(self.faults.clone().watch(name, task)))
    }
}

/// Writes batches again that storage nodes missed.
pub(super) async fn repair_nodes(running: Arc<Running>) {
    nodes::repair(&running.ledger, &running.objects.nodes).await;
}

/// Reads the slots that other replicas decide.
pub(super) async fn follow(guard: Arc<SignGuard>) {
    let ledger = &guard.ledger;
    let prefix = ledger.keys.slots();
    loop {
        tokio::select! {
            () = ledger.store.changed(&prefix, Duration::from_secs(1)) => {}
            _ = ledger.halt.halted() => return,
        }
        if let Err(e) = async {
            ledger.refresh().await?;
            guard.running.update_running().await?;
            guard.life.unannounced(&ledger.state()).await.map(drop)
        }
        .await
        {
            tracing::warn!(error = %e, log = ledger.name, "cannot read the slots");
        }
        tokio::time::sleep(FOLLOW).await;
    }
}
