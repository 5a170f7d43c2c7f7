//! The host over a real engine: what the wire says, and what the audit trail holds.

use std::sync::Arc;

use admin_api::{Action, OperationState};
use log::Engine;
use server_admin::{Caller, Change, Host as _, HostError, Mode};

use super::audit::{Audit, Intent, Outcome, Record, Verdict};
use super::host::EngineHost;
use crate::testing::engine;

fn caller(key: &str) -> Caller {
    Caller {
        actor: "uid:7".to_owned(),
        idempotency_key: Some(key.to_owned()),
        connection: None,
    }
}

fn host(engine: &Arc<Engine>) -> Arc<EngineHost> {
    EngineHost::new(
        Arc::clone(engine),
        Audit::new(Arc::clone(engine)),
        "http://test".to_owned(),
    )
}

async fn trail(engine: &Engine) -> Vec<Record> {
    let system = engine.system().unwrap();
    let mut records = Vec::new();
    while let Some(entry) = system.entry(records.len() as u64).await.unwrap() {
        records.push(serde_json::from_slice(&entry.bytes).unwrap());
    }
    records
}

#[tokio::test]
async fn a_rotation_is_recorded_before_and_after_and_repeats_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let rotate = || Change::Rotate {
        name: None,
        base: None,
    };

    let planned = host
        .apply("dev", rotate(), Mode::Preview, caller("k"))
        .await
        .unwrap();
    assert_eq!(
        (planned.state, planned.audit_index),
        (OperationState::Planned, None)
    );
    assert_eq!(trail(&engine).await, []);

    let done = host
        .apply("dev", rotate(), Mode::Apply, caller("k"))
        .await
        .unwrap();
    assert_eq!(
        (done.action, done.state, done.generation),
        (Action::Rotate, OperationState::Done, 2)
    );
    assert_eq!(
        (done.audit_index, done.actor.as_deref()),
        (Some(0), Some("uid:7"))
    );
    let records = trail(&engine).await;
    let [Record::Intent(intent), Record::Outcome(outcome)] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!(
        (
            &intent.operation,
            intent.actor.as_str(),
            intent.log.as_str()
        ),
        (&done.id, "uid:7", "dev")
    );
    assert_eq!(
        (&outcome.operation, outcome.result, outcome.generation),
        (&done.id, Verdict::Decided, Some(2))
    );

    let again = host
        .apply("dev", rotate(), Mode::Apply, caller("k"))
        .await
        .unwrap();
    assert_eq!(
        (again.id, again.generation, again.audit_index),
        (done.id.clone(), 2, Some(0))
    );
    assert_eq!(host.status("dev").await.unwrap().shards.len(), 2);

    let found = host.operation(&done.id).await.unwrap();
    assert_eq!(
        (found.state, found.etag, found.audit_index),
        (OperationState::Done, done.etag, Some(0))
    );
    let all = host.operations(None).await.unwrap();
    assert_eq!(
        all.iter().map(|o| o.action).collect::<Vec<_>>(),
        [Action::Rotate, Action::Create]
    );
    assert_eq!(host.history("dev").await.unwrap()[0].operation, done.id);
    let freed = host
        .apply(
            "dev",
            Change::Freeze { now: true },
            Mode::Apply,
            caller("k"),
        )
        .await;
    assert!(
        matches!(freed, Err(HostError::KeyReused { .. })),
        "{freed:?}"
    );
}

#[tokio::test]
async fn a_base_that_never_ran_is_stale_but_content_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let running = host.config("dev").await.unwrap();
    assert_eq!(running.etag, host.status("dev").await.unwrap().etag);
    for etag in ["g1-00000000", "g7-00000000", "g7"] {
        let base: server_admin::Base = etag.parse().unwrap();
        let same = Change::Configure {
            document: Box::new(running.config.clone()),
            base: base.clone(),
            confirm_within: None,
        };
        let outcome = host
            .apply("dev", same, Mode::Apply, caller(etag))
            .await
            .unwrap();
        assert_eq!(outcome.state, OperationState::Unchanged, "{etag}");
        let mut next = running.config.clone();
        next.merge.checkpoint_interval = "77ms".parse().unwrap();
        let change = Change::Configure {
            document: Box::new(next),
            base,
            confirm_within: None,
        };
        match host
            .apply("dev", change, Mode::Apply, caller(&format!("{etag}-2")))
            .await
        {
            Err(HostError::Stale {
                current_etag,
                differences,
                ..
            }) => {
                // Nothing is known of a state that never was, so nothing moved since it.
                assert_eq!(
                    (current_etag, differences.len()),
                    (running.etag.clone(), 0),
                    "{etag}"
                );
            }
            other => panic!("{etag}: {other:?}"),
        }
    }
    let results: Vec<Verdict> = trail(&engine)
        .await
        .into_iter()
        .filter_map(|record| {
            if let Record::Outcome(outcome) = record {
                Some(outcome.result)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(results, [Verdict::Unchanged, Verdict::Refused].repeat(3));
    let unknown = host
        .apply("nope", Change::Unfreeze, Mode::Apply, caller("x"))
        .await;
    assert!(
        matches!(unknown, Err(HostError::NotFound(_))),
        "{unknown:?}"
    );
    let frozen = host
        .apply(
            "system",
            Change::Freeze { now: true },
            Mode::Apply,
            caller("x"),
        )
        .await;
    assert!(matches!(frozen, Err(HostError::Conflict(_))), "{frozen:?}");
}

#[tokio::test]
async fn intents_of_a_dead_process_are_settled_from_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let decided = engine.log("dev").unwrap().history().await.unwrap()[0]
        .operation
        .clone();
    let lost = |operation: &str, replica: &str| {
        Record::Intent(Intent {
            operation: operation.to_owned(),
            log: "dev".to_owned(),
            action: "rotate".to_owned(),
            actor: "uid:7".to_owned(),
            request: tlog::Hash([0; 32]),
            replica: replica.to_owned(),
            time: crate::rfc3339::now(),
        })
    };
    let system = engine.system().unwrap();
    let own = engine.replica_id().to_owned();
    for record in [lost(&decided, "dead"), lost("0f", "dead"), lost("1f", &own)] {
        system
            .append(serde_json::to_vec(&record).unwrap().into())
            .await
            .unwrap();
    }
    system.append("not a record".into()).await.unwrap();
    Audit::new(Arc::clone(&engine)).settle().await;
    let mut outcomes = Vec::new();
    for index in 4.. {
        let Some(entry) = system.entry(index).await.unwrap() else {
            break;
        };
        let Record::Outcome(Outcome {
            operation,
            intent,
            result,
            ..
        }) = serde_json::from_slice(&entry.bytes).unwrap()
        else {
            panic!("not an outcome");
        };
        outcomes.push((operation, intent, result));
    }
    assert_eq!(
        outcomes,
        [
            (decided, 0, Verdict::Decided),
            ("0f".to_owned(), 1, Verdict::NotDecided)
        ]
    );
    // Once settled, always settled.
    Audit::new(Arc::clone(&engine)).settle().await;
    assert!(system.entry(6).await.unwrap().is_none());
}
