//! No change without its intent, and one outcome for each.

use order::Generation;
use std::sync::Arc;
use std::time::Duration;

use logconfig::LogConfig;
use order::keys::Keys;
use store::fault::{Fault, Faults, Operation};
use tokio::sync::oneshot;

use super::record::{Intent, Outcome, Record, Verdict};
use super::settle::Settling;
use super::trail::Came;
use super::{Audited, Unrecorded};
use crate::control::{ChangeError, Request};
use crate::engine::Engine;
use crate::log::Log;
use crate::tests::rig::{Rig, caller};
use tlog::GlobalIndex;

fn intent(operation: &str, replica: &str) -> Record {
    Record::Intent(Intent {
        operation: operation.to_owned(),
        log: "dev".to_owned(),
        action: "create".to_owned(),
        actor: "uid:7".to_owned(),
        request: tlog::Hash([0; 32]),
        reason: None,
        replica: replica.to_owned(),
        time: "2026-11-28T12:00:00Z".into(),
    })
}

async fn write(engine: &Engine, record: &Record) -> u64 {
    let bytes = serde_json::to_vec(record).unwrap();
    let system = engine.system().unwrap();
    system.append(bytes.into()).await.unwrap().index.get()
}

async fn noise(engine: &Engine) {
    for _ in 0..600 {
        let system = engine.system().unwrap();
        system.append("noise".into()).await.unwrap();
    }
}

/// The records of the trail; what is none is left out.
async fn trail(engine: &Engine) -> Vec<Record> {
    let system = engine.system().unwrap();
    let mut records = Vec::new();
    for index in GlobalIndex::ZERO.until(system.watermarks().ordered) {
        let entry = system.entry(index).await.unwrap().unwrap();
        records.extend(serde_json::from_slice::<Record>(&entry.bytes));
    }
    records
}

async fn outcomes(engine: &Engine) -> Vec<Outcome> {
    let only = |record| match record {
        Record::Outcome(outcome) => Some(outcome),
        _ => None,
    };
    trail(engine).await.into_iter().filter_map(only).collect()
}

/// The operation that created the log.
async fn decided(log: &Log) -> String {
    log.history().await.unwrap()[0].operation.clone()
}

#[tokio::test(start_paused = true)]
async fn without_its_intent_nothing_is_changed() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (engine, log) = rig.server(&faults).await;
    let audited = Audited::new(Arc::clone(&engine));
    let slots = Keys::new("system").slots();
    faults.plan(move |_, operation| match operation {
        Operation::Transact(t) if t.puts.iter().any(|(key, _)| key.starts_with(&slots)) => {
            Some(Fault::full())
        }
        _ => None,
    });
    let before = log.running_etag();
    let rotate = crate::testing::rotation();
    let full = |error: &ChangeError| matches!(error, ChangeError::Unrecorded(Unrecorded::Full(_)));
    for request in [rotate.clone(), Request::Freeze { now: true }] {
        let error = audited.change(&log, request, caller()).await.unwrap_err();
        assert!(full(&error), "{error}");
    }
    let name = "new".parse().unwrap();
    let config = LogConfig::new(name, "example.org/new".into(), "a".parse().unwrap());
    let error = audited.create(config.clone(), caller()).await.unwrap_err();
    assert!(full(&error), "{error}");
    let error = audited.create_by_itself(config.clone()).await.unwrap_err();
    assert!(full(&error), "{error}");
    let by_itself = audited.by_itself(&log, rotate.clone(), "rotate/a".into());
    let error = by_itself.await.unwrap_err();
    assert!(full(&error), "{error}");
    assert_eq!(log.history().await.unwrap().len(), 1);
    assert_eq!(log.running_etag(), before);
    assert!(engine.log("new").is_none());
    assert_eq!(rig.with("logs/new"), 0);
    faults.clear();
    let (made, recorded) = audited.change(&log, rotate, caller()).await.unwrap();
    audited.create_by_itself(config).await.unwrap();
    let said: Vec<_> = trail(&engine).await;
    let [
        Record::Intent(one),
        Record::Outcome(_),
        Record::Intent(two),
        Record::Outcome(_),
    ] = &said[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!(
        (&one.operation, one.action.as_str()),
        (&made.operation, "rotate")
    );
    assert_eq!((two.log.as_str(), two.actor.as_str()), ("new", "server"));
    assert_eq!(recorded.receipt.unwrap().index, recorded.intent);
    engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn intents_of_a_dead_process_are_settled_from_the_history() {
    let (engine, log) = Rig::new().server(&Faults::new()).await;
    let decided = decided(&log).await;
    let own = engine.replica_id().to_owned();
    for (operation, replica) in [(&*decided, "dead"), ("0f", "dead"), ("1f", &own)] {
        write(&engine, &intent(operation, replica)).await;
    }
    let system = engine.system().unwrap();
    system.append("not a record".into()).await.unwrap();
    let (audited, mut settling) = (Audited::new(Arc::clone(&engine)), Settling::default());
    audited.look(&mut settling).await.unwrap();
    let outcomes = outcomes(&engine).await;
    let said: Vec<_> = outcomes
        .iter()
        .map(|outcome| (&*outcome.operation, outcome.intent.get(), outcome.result))
        .collect();
    assert_eq!(
        said,
        [
            (&*decided, 0, Verdict::Decided),
            ("0f", 1, Verdict::NotDecided)
        ]
    );
    // Once settled, always settled.
    let (other, mut again) = (Audited::new(Arc::clone(&engine)), Settling::default());
    other.look(&mut again).await.unwrap();
    assert!(system.entry(GlobalIndex::new(6)).await.unwrap().is_none());
    // An intent of a living process whose outcome the trail did not take, however much has come behind it.
    noise(&engine).await;
    audited.look(&mut settling).await.unwrap();
    let last = async || {
        let last = GlobalIndex::new(system.watermarks().ordered - GlobalIndex::new(1));
        let record = system.entry(last).await.unwrap().unwrap();
        match serde_json::from_slice(&record.bytes).unwrap() {
            Record::Outcome(outcome) => (last, outcome),
            other => panic!("{other:?}"),
        }
    };
    let (at, outcome) = last().await;
    assert_eq!(
        (outcome.intent.get(), outcome.result),
        (2, Verdict::NotDecided)
    );
    audited.look(&mut settling).await.unwrap();
    assert_eq!(last().await.0, at);
    // A dead one that is further back than anything that is looked at for its own sake.
    let early = write(&engine, &intent("2f", "dead")).await;
    noise(&engine).await;
    let (late, mut started) = (Audited::new(Arc::clone(&engine)), Settling::default());
    assert!(engine.audit_settled().await.unwrap() > GlobalIndex::new(2));
    late.look(&mut started).await.unwrap();
    assert_eq!(last().await.1.intent, GlobalIndex::new(early));
    engine.shutdown().await;
}

/// Intents are looked for as long as the server runs, not at its start alone.
#[tokio::test(start_paused = true)]
async fn an_intent_that_is_lost_later_is_settled_as_well() {
    let (engine, _) = Rig::new().server(&Faults::new()).await;
    let (audited, mut settling) = (Audited::new(Arc::clone(&engine)), Settling::default());
    audited.look(&mut settling).await.unwrap();
    write(&engine, &intent("0f", "dead")).await;
    audited.look(&mut settling).await.unwrap();
    let trail = trail(&engine).await;
    let [Record::Intent(_), Record::Outcome(outcome)] = &trail[..] else {
        panic!("{trail:?}");
    };
    assert_eq!(
        (outcome.intent.get(), outcome.result),
        (0, Verdict::NotDecided)
    );
    engine.shutdown().await;
}

/// The task begins again after a panic, from what is written down.
#[tokio::test(start_paused = true)]
async fn a_panic_does_not_end_the_settling() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (engine, _) = rig.server(&faults).await;
    write(&engine, &intent("0f", "dead")).await;
    let (panicked, was) = oneshot::channel();
    let mut once = Some(panicked);
    faults.plan(move |_, operation| {
        if matches!(operation, Operation::Get("audit/settled"))
            && let Some(panicked) = once.take()
        {
            panicked.send(()).unwrap();
            panic!("a defect");
        }
        None
    });
    let mut settling = tokio::spawn(Audited::new(Arc::clone(&engine)).settle());
    was.await.unwrap();
    let settled = async {
        loop {
            if let [outcome] = &outcomes(&engine).await[..] {
                return (outcome.intent, outcome.result);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        settled = settled => assert_eq!(settled, (GlobalIndex::ZERO, Verdict::NotDecided)),
        ended = &mut settling => panic!("{ended:?}"),
    }
    settling.abort();
    engine.shutdown().await;
}

/// A server is stopped until another one has settled its intents. Its later outcomes count only if they are new.
#[tokio::test(start_paused = true)]
async fn an_intent_has_one_outcome_whoever_writes_it() {
    let (engine, log) = Rig::new().server(&Faults::new()).await;
    for operation in ["0f", "1f", &decided(&log).await] {
        write(&engine, &intent(operation, "stopped")).await;
    }
    let (audited, mut settling) = (Audited::new(Arc::clone(&engine)), Settling::default());
    let says = async |intent: u64, came: Came| {
        audited
            .outcome("0f", "dev", GlobalIndex::new(intent), came)
            .await
    };
    says(2, Came::decided(Generation::new(1))).await;
    audited.look(&mut settling).await.unwrap();
    for _ in 0..2 {
        says(0, Came::refused("too late".to_owned())).await;
        says(1, Came::decided(Generation::new(7))).await;
        says(2, Came::refused("not any more".to_owned())).await;
    }
    let outcomes = outcomes(&engine).await;
    let said: Vec<_> = outcomes
        .iter()
        .map(|o| (o.intent.get(), o.result))
        .collect();
    assert_eq!(
        said,
        [
            (2, Verdict::Decided),
            (0, Verdict::NotDecided),
            (1, Verdict::NotDecided),
            (1, Verdict::Decided)
        ]
    );
    engine.shutdown().await;
}

/// What is announced may be decided after its server was taken for dead. The trail says so, also where that server never comes back.
#[tokio::test(start_paused = true)]
async fn a_change_that_is_decided_after_all_is_settled_again() {
    let (engine, log) = Rig::new().server(&Faults::new()).await;
    let (audited, mut settling) = (Audited::new(Arc::clone(&engine)), Settling::default());
    let mut expected = Vec::new();
    for (at, restarts) in (0..).zip([false, true]) {
        let mut caller = caller();
        caller.idempotency_key = Some(format!("key {at}"));
        let operation = caller.operation("dev").unwrap().to_string();
        let now = [Request::Freeze { now: true }, Request::Unfreeze][at].clone();
        let Record::Intent(mut announced) = intent(&operation, "dead") else {
            panic!();
        };
        announced.action = now.word().to_owned();
        // A key that is used again, for another request, is another change.
        write(&engine, &Record::Intent(announced.clone())).await;
        announced.request = now.digest();
        let index = write(&engine, &Record::Intent(announced)).await;
        audited.look(&mut settling).await.unwrap();
        log.change_unaudited(now, caller).await.unwrap();
        if restarts {
            settling = Settling::default();
        }
        for _ in 0..2 {
            audited.look(&mut settling).await.unwrap();
        }
        expected.extend([
            (index - 1, Verdict::NotDecided),
            (index, Verdict::NotDecided),
            (index, Verdict::Decided),
        ]);
    }
    let outcomes = outcomes(&engine).await;
    let said: Vec<_> = outcomes
        .iter()
        .map(|o| (o.intent.get(), o.result))
        .collect();
    assert_eq!(said, expected);
    engine.shutdown().await;
}
