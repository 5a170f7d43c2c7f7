//! Changes on probation: confirmed, reverted, and never both.

use std::sync::Arc;

use engine::audit::{Record, Verdict};
use server_admin::{Change, Host as _, HostError, Mode};
use tlog::GlobalIndex;
use wire::{Action, FreezeRequest, OperationState, RotateRequest};

use super::{caller, host, settle_on, trail, until};
use crate::testing::engine;

/// A caller on a connection of their own.
fn on(connection: u64, key: &str) -> server_admin::Caller {
    server_admin::Caller {
        connection: Some(connection),
        ..caller(key)
    }
}

#[tokio::test]
async fn a_change_is_kept_once_it_is_confirmed_over_another_connection() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let made = settle_on(&host, 77, Some(3600), on(1, "try"))
        .await
        .unwrap();
    assert_eq!(made.state, OperationState::Unconfirmed);
    let by = made.confirm_by.clone().unwrap();
    let again = settle_on(&host, 77, Some(3600), on(1, "other key")).await;
    assert_eq!(again.unwrap().state, OperationState::Unchanged);

    // Meanwhile settings wait, whoever asks; shards do not.
    for within in [None, Some(60)] {
        let other = settle_on(&host, 78, within, on(2, &format!("{within:?}"))).await;
        assert!(
            matches!(&other, Err(HostError::Conflict(why)) if why.contains(&made.id)),
            "{other:?}"
        );
    }
    let rotate = Change::Rotate {
        request: RotateRequest::default(),
        base: None,
    };
    let rotated = host.apply("dev", rotate, Mode::Apply, on(2, "r")).await;
    assert_eq!(rotated.unwrap().state, OperationState::Done);

    let before = trail(&engine).await.len();
    let same = host.confirm(&made.id, on(1, "c")).await;
    assert!(matches!(same, Err(HostError::Conflict(_))), "{same:?}");
    let found = host.operation(&made.id).await.unwrap();
    assert_eq!(
        (found.state, found.confirm_by),
        (OperationState::Unconfirmed, Some(by))
    );
    let kept = host.confirm(&made.id, on(2, "c")).await.unwrap();
    assert_eq!(
        (kept.state, kept.confirm_by.clone(), kept.id.clone()),
        (OperationState::Done, None, made.id.clone())
    );
    super::proven(&kept.audit.unwrap());
    let records = trail(&engine).await;
    let [Record::Intent(intent), Record::Outcome(outcome)] = &records[before..] else {
        panic!("{records:?}")
    };
    assert_eq!(
        (
            intent.action.as_str(),
            &intent.operation,
            outcome.intent.get()
        ),
        ("confirm", &made.id, before as u64)
    );
    // Twice is once, and then the settings are free again.
    let twice = host.confirm(&made.id, on(1, "c")).await.unwrap();
    assert_eq!(twice.state, OperationState::Done);
    assert_eq!(trail(&engine).await.len(), before + 2);
    let next = settle_on(&host, 79, None, on(1, "next")).await.unwrap();
    assert_eq!(next.state, OperationState::Done);
    let none = host.confirm(&next.id, on(2, "c")).await;
    assert!(matches!(none, Err(HostError::Conflict(_))), "{none:?}");
    for id in ["0f".repeat(16).as_str(), "nonsense", ""] {
        let unknown = host.confirm(id, on(2, "c")).await;
        assert!(
            matches!(unknown, Err(HostError::NotFound(_))),
            "{unknown:?}"
        );
    }
}

#[tokio::test]
async fn nobody_tries_out_shards_or_for_a_week() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let running = host.config("dev").await.unwrap();
    let planned = logconfig::with_planned(&running.config, None, 0).unwrap();
    let change = Change::Configure {
        document: Box::new(planned),
        base: running.etag.parse().unwrap(),
        confirm_within: Some(std::time::Duration::from_secs(60)),
    };
    for mode in [Mode::Preview, Mode::Apply] {
        match host.apply("dev", change.clone(), mode, caller("s")).await {
            Err(HostError::Invalid(findings)) => {
                assert_eq!(findings[0].code, "shards-on-probation");
            }
            other => panic!("{other:?}"),
        }
    }
    for within in [0, 7 * 86_400] {
        let long = settle_on(&host, 77, Some(within), caller(&format!("{within}"))).await;
        assert!(matches!(long, Err(HostError::Invalid(_))), "{long:?}");
    }
    assert_eq!(host.config("dev").await.unwrap(), running);
}

/// Two replicas watch; the settings go back once, the shards that came since stay.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_confirms_is_taken_back_once() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (engine(&folder).await, engine(&folder).await);
    let (asked, other) = (host(&first), host(&second));
    let before = asked.config("dev").await.unwrap().config;
    let made = settle_on(&asked, 77, Some(1), on(1, "try")).await.unwrap();
    let rotate = Change::Rotate {
        request: RotateRequest::default(),
        base: None,
    };
    other
        .apply("dev", rotate, Mode::Apply, on(2, "r"))
        .await
        .unwrap();
    let watching =
        [&asked, &other].map(|host| tokio::spawn(Arc::clone(&host.audited).watch_probations()));
    let reverted = until("reverted", async || {
        let found = other.operation(&made.id).await.unwrap();
        (found.state == OperationState::Reverted).then_some(found)
    })
    .await;
    let by = reverted.reverted_by.unwrap();
    let revert = other.operation(&by).await.unwrap();
    assert_eq!(
        (revert.action, revert.actor.as_deref(), revert.generation),
        (Action::Revert, Some("auto"), 4)
    );
    let history = other.history("dev").await.unwrap();
    assert_eq!(history[0].takes_back.as_ref(), Some(&made.id));
    let late = asked.confirm(&made.id, on(3, "c")).await;
    assert!(
        matches!(&late, Err(HostError::Conflict(why)) if why.contains("too late")),
        "{late:?}"
    );
    first.log("dev").unwrap().refresh().await.unwrap();
    let after = asked.config("dev").await.unwrap().config;
    assert_eq!(after.merge, before.merge);
    assert_eq!(after.shards.len(), 2);
    let history = asked.history("dev").await.unwrap();
    assert!(history[0].summary.contains(&made.id), "{history:?}");
    // One replica took it back, and one try was decided: only one that a busy store ended is followed by another.
    let tries = until("the outcome is recorded", async || {
        let records = trail(&first).await;
        let verdict = |at: usize| {
            records.iter().find_map(|record| match record {
                Record::Outcome(outcome) if outcome.intent == GlobalIndex::new(at as u64) => {
                    Some(outcome.result)
                }
                _ => None,
            })
        };
        let tries = records.iter().enumerate().filter_map(|(at, record)| {
            let Record::Intent(intent) = record else {
                return None;
            };
            (intent.action == "revert").then(|| (intent.replica.clone(), verdict(at)))
        });
        let tries: Vec<_> = tries.collect();
        let decided = |one: &(String, Option<Verdict>)| one.1 == Some(Verdict::Decided);
        tries.iter().any(decided).then_some(tries)
    })
    .await;
    let ((by, last), earlier) = tries.split_last().unwrap();
    assert_eq!(*last, Some(Verdict::Decided), "{tries:?}");
    assert!(
        earlier
            .iter()
            .all(|(other, came)| other == by && matches!(came, None | Some(Verdict::Unknown))),
        "{tries:?}"
    );
    let reverts = history.iter().filter(|item| item.action == Action::Revert);
    assert_eq!(reverts.count(), 1, "{history:?}");
    // The settings are free again.
    let next = settle_on(&asked, 79, None, on(1, "next")).await.unwrap();
    assert_eq!(next.generation, 5);
    watching.iter().for_each(tokio::task::JoinHandle::abort);
}

/// The order decides no settings of a frozen log: whoever freezes it is told, and the revert comes with the unfreeze.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_log_reverts_when_it_is_unfrozen() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let before = host.config("dev").await.unwrap().config;
    let made = settle_on(&host, 77, Some(1), on(1, "try")).await.unwrap();
    let freeze = || Change::Freeze(FreezeRequest { now: false });
    for mode in [Mode::Preview, Mode::Apply] {
        let frozen = host.apply("dev", freeze(), mode, on(2, "f")).await.unwrap();
        let [warning] = frozen.warnings.as_slice() else {
            panic!("{frozen:?}")
        };
        assert_eq!(warning.code, "frozen-on-probation");
        assert!(warning.message.contains(&made.id), "{}", warning.message);
    }
    let watching = tokio::spawn(Arc::clone(&host.audited).watch_probations());
    let unfreeze = Change::Unfreeze;
    host.apply("dev", unfreeze, Mode::Apply, on(2, "u"))
        .await
        .unwrap();
    until("reverted", async || {
        let found = host.operation(&made.id).await.unwrap();
        (found.state == OperationState::Reverted).then_some(())
    })
    .await;
    assert_eq!(host.config("dev").await.unwrap().config.merge, before.merge);
    let again = host.apply("dev", freeze(), Mode::Preview, on(2, "g"));
    assert_eq!(again.await.unwrap().warnings, []);
    watching.abort();
}

/// Whoever sees that a change on probation is bad does not have to wait: the settings before it may be applied at once.
#[tokio::test]
async fn a_change_on_probation_is_taken_back_before_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let before = host.config("dev").await.unwrap().config;
    let millis = u64::try_from(before.merge.checkpoint_interval.duration().as_millis()).unwrap();
    let made = settle_on(&host, 77, Some(3600), on(1, "try"))
        .await
        .unwrap();
    let shown = host.status("dev").await.unwrap().reason.unwrap();
    assert!(shown.contains(&made.id), "{shown}");
    // Other settings wait, and the refusal names both ways.
    match settle_on(&host, 78, None, on(1, "other")).await {
        Err(HostError::Conflict(why)) => {
            assert!(
                why.contains("op confirm") && why.contains("config rollback"),
                "{why}"
            );
        }
        other => panic!("{other:?}"),
    }
    let back = settle_on(&host, millis, None, on(1, "back")).await.unwrap();
    let found = host.operation(&made.id).await.unwrap();
    assert_eq!(
        (found.state, found.reverted_by),
        (OperationState::Reverted, Some(back.id.clone()))
    );
    // Whoever reads the history sees which change is gone, whatever the caller gave as the reason.
    let history = host.history("dev").await.unwrap();
    let taken = history.iter().filter_map(|item| item.takes_back.clone());
    assert_eq!(taken.collect::<Vec<_>>(), std::slice::from_ref(&made.id));
    assert_eq!(history[0].takes_back.as_ref(), Some(&made.id));
    assert_eq!(history[0].operation, back.id);
    let late = host.confirm(&made.id, on(2, "c")).await;
    assert!(matches!(late, Err(HostError::Conflict(_))), "{late:?}");
    assert_eq!(host.config("dev").await.unwrap().config.merge, before.merge);
    assert_eq!(host.status("dev").await.unwrap().reason, None);
    let next = settle_on(&host, 79, None, on(1, "next")).await.unwrap();
    assert_eq!(next.state, OperationState::Done);
}
