//! Two servers change one import: the one stands still before any of its operations, until the other has made its change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use store::Transaction;
use store::fault::{Fault, Faults, Operation};

use super::*;

/// Whether an operation has a key or path of this log.
pub(super) fn concerns(operation: &Operation<'_>, log: &str) -> bool {
    let of = |key: &str| {
        let mut parts = key.split('/');
        parts.any(|part| part == log)
    };
    match operation {
        Operation::Get(key) | Operation::Scan(key) => of(key),
        Operation::Transact(Transaction { puts, deletes, .. }) => {
            puts.iter().any(|(key, _)| of(key)) || deletes.iter().any(|key| of(key))
        }
        Operation::Put(puts) => puts.iter().any(|(path, _)| of(path)),
        Operation::Delete(paths) => paths.iter().any(|path| of(path)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Drop,
    Create,
    /// Adds what is missing, and makes the log.
    Import,
    /// The same under a larger tree head.
    Longer,
    /// Drops and begins it.
    Again,
    /// Drops it, imports it from the start, and makes the log.
    Second,
}

const STEPS: [Step; 6] = [
    Step::Drop,
    Step::Create,
    Step::Import,
    Step::Longer,
    Step::Again,
    Step::Second,
];

/// The trees, and the longer one of the last: each signature differs from the last, so they are made once.
fn trees() -> &'static [Old; 3] {
    static TREES: OnceLock<[Old; 3]> = OnceLock::new();
    TREES.get_or_init(|| {
        let more = old(9, 3, 7);
        let mut less = old(9, 3, 5);
        less.entries = more.entries[..5].to_vec();
        [old(7, 0, 3), less, more]
    })
}

fn few() -> [Old; 2] {
    let [one, less, _] = trees();
    [one.clone(), less.clone()]
}

fn longer() -> [Old; 2] {
    let [one, _, more] = trees();
    [one.clone(), more.clone()]
}

async fn step(engine: &Arc<Engine>, step: Step) -> Result<(), ChangeError> {
    match step {
        Step::Drop => engine.import_dropped(&name()).await.map(drop),
        Step::Create => engine
            .create_log(document(&few()), caller())
            .await
            .map(drop),
        Step::Import => import(engine, &few(), 4).await,
        Step::Longer => import(engine, &longer(), 4).await,
        Step::Again => {
            engine.import_dropped(&name()).await?;
            begin(engine, &heads(&few())).await.map(drop)
        }
        Step::Second => {
            engine.import_dropped(&name()).await?;
            import(engine, &few(), 2).await
        }
    }
}

/// Whatever each of them comes to: a log is whole and grows, or there is none, and the import can be dropped and made again.
async fn race(rows: &Rows, objects: &Rows, rig: &Rig, slow: Step, quick: Step, at: u64) -> bool {
    let rig = rig.on(rows.clone(), objects.clone());
    let (faults, stalled) = (Faults::new(), Arc::new(AtomicBool::new(false)));
    let (one, _) = rig.faulty_server(&faults, &faults).await;
    let (other, _) = rig.server(&Faults::new()).await;
    let (mut seen, flag) = (0, Arc::clone(&stalled));
    faults.plan(move |_, operation| {
        let ours = concerns(operation, "neon");
        seen += u64::from(ours);
        let hit = ours && seen == at + 1;
        flag.fetch_or(hit, Ordering::SeqCst);
        hit.then_some(Fault::Stall)
    });
    let engine = Arc::clone(&one);
    let running = tokio::spawn(async move { step(&engine, slow).await });
    while !stalled.load(Ordering::SeqCst) && !running.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let met = !running.is_finished();
    let quicker = step(&other, quick).await;
    faults.release().await;
    faults.clear();
    let slower = running.await.unwrap();
    let what = format!("{slow:?} at {at}: {slower:?}, {quick:?}: {quicker:?}");
    other.shutdown().await;
    one.shutdown().await;
    let (engine, _) = rig.server(&Faults::new()).await;
    if engine.log("neon").is_none() {
        engine.import_dropped(&name()).await.unwrap();
        nobody_deletes(&rig);
        let again = import(&engine, &few(), 4).await;
        again.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    let log = engine.log("neon").unwrap();
    assert_eq!(log.status().reason, None, "{what}");
    let all = match log.config().shards[1].length {
        Some(7) => longer(),
        _ => few(),
    };
    let log = tokio::time::timeout(Duration::from_secs(60), whole(&engine, &all)).await;
    let log = log.expect(&what);
    grows(&log, &all).await;
    engine.shutdown().await;
    met
}

async fn races(slow: Step) {
    let rig = Rig::new();
    let (engine, _) = rig.server(&Faults::new()).await;
    let all = few();
    begin(&engine, &heads(&all)).await.unwrap();
    add(&engine, &all[0], 0, 3).await.unwrap();
    add(&engine, &all[1], 0, 2).await.unwrap();
    let partial = (rig.rows.rows(), rig.objects.objects());
    add(&engine, &all[1], 2, 5).await.unwrap();
    engine.shutdown().await;
    let complete = (rig.rows.rows(), rig.objects.objects());
    // What neither adds is the same from both.
    let adds = matches!(slow, Step::Import | Step::Longer);
    for (rows, objects) in [Some(complete), adds.then_some(partial)]
        .into_iter()
        .flatten()
    {
        for quick in STEPS {
            let mut at = 0;
            while race(&rows, &objects, &rig, slow, quick, at).await && at < 60 {
                at += 1;
            }
            assert!(at > 2, "{slow:?} did only {at} operations");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_drop() {
    races(Step::Drop).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_creation() {
    races(Step::Create).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_import() {
    races(Step::Import).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_import_of_more() {
    races(Step::Longer).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_second_import() {
    races(Step::Second).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_drop_and_beginning() {
    races(Step::Again).await;
}
