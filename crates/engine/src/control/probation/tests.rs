//! Rows that land late, and confirmations and reversals at the same moment.

use std::sync::Arc;

use super::*;
use crate::Engine;
use crate::control::audit::Audited;
use crate::control::{Action, Author, ChangeOutcome};
use crate::tests::rig::{Rig, caller};
use store::fault::{Fault, Faults, Operation};

const FROM: (String, Option<u64>) = (String::new(), None);

fn token(number: u8) -> Token {
    Token::from_bytes([number; 16])
}

/// The author of a change puts its row again on a later base, while another process is about to delete the row of the earlier one.
#[tokio::test(start_paused = true)]
async fn a_row_that_was_put_again_is_not_forgotten() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (engine, log) = rig.server(&faults).await;
    let one = token(1);
    log.put_on_probation(one, Generation::new(1), 60_000, &FROM)
        .await
        .unwrap();
    let seen = log.probations().await.unwrap().pop().unwrap();
    log.put_on_probation(one, Generation::new(2), 60_000, &FROM)
        .await
        .unwrap();
    log.forget_probation(&seen).await.unwrap();
    let left = log.probations().await.unwrap();
    assert_eq!(
        left.iter().map(|p| p.base).collect::<Vec<_>>(),
        [Generation::new(2)]
    );
    // A copy that lands late does not bring the earlier base back, and its author does not continue without its row.
    let late = log
        .put_on_probation(one, Generation::new(1), 60_000, &FROM)
        .await;
    assert!(matches!(late, Err(ChangeError::Conflict(_))), "{late:?}");
    assert_eq!(log.probations().await.unwrap(), left);
    log.forget_probation(&left[0]).await.unwrap();
    assert_eq!(log.probations().await.unwrap(), []);
    engine.shutdown().await;
}

/// A confirmed change stays confirmed, whatever lands later.
#[tokio::test(start_paused = true)]
async fn a_late_copy_does_not_put_a_confirmed_change_on_probation() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (engine, log) = rig.server(&faults).await;
    faults.plan(|_, operation| match operation {
        Operation::Transact(t) if t.puts.iter().any(|(key, _)| key.contains("/probation/")) => {
            Some(Fault::Hold)
        }
        _ => None,
    });
    let two = token(2);
    let held = log
        .put_on_probation(two, Generation::new(1), 60_000, &FROM)
        .await;
    assert!(held.is_err());
    faults.clear();
    log.put_on_probation(two, Generation::new(1), 60_000, &FROM)
        .await
        .unwrap();
    assert!(log.keep(two).await.unwrap());
    faults.release().await;
    assert_eq!(log.probations().await.unwrap(), []);
    assert_eq!(log.trial(two).await.unwrap(), Some(Trial::Kept));
    engine.shutdown().await;
}

/// Confirm and revert at the same moment, on two replicas: one of them has it, always.
#[tokio::test(flavor = "multi_thread")]
async fn confirmed_or_taken_back_never_both() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (first, here) = rig.server(&faults).await;
    let (second, there) = rig.server(&faults).await;
    let (mut kept, mut reverted) = (0, 0);
    for round in 0..30 {
        let mut next = here.config();
        next.merge.checkpoint_interval = logconfig::Span::from_millis(100 + round);
        let request = Request::OnProbation {
            next: Box::new(next),
            base: None,
            within_ms: 3_600_000,
            from: FROM,
        };
        let made = here.change(request, caller()).await.unwrap();
        let token: Token = made.operation.parse().unwrap();
        let probation = there.probations().await.unwrap().pop().unwrap();
        let (keeps, reverts) = tokio::join!(
            async {
                if round % 2 == 0 {
                    tokio::task::yield_now().await;
                }
                here.keep(token).await.unwrap()
            },
            there.begin_revert(&probation, "other")
        );
        assert_ne!(keeps, reverts.unwrap(), "round {round}");
        if keeps {
            kept += 1;
            assert_eq!(there.trial(token).await.unwrap(), Some(Trial::Kept));
        } else {
            reverted += 1;
            assert!(!here.keep(token).await.unwrap());
            let auto = || Author {
                actor: "auto".to_owned(),
                idempotency_key: Some(format!("revert/{token}")),
                reason: None,
            };
            let ask = || Request::Revert {
                operation: token,
                base: probation.base,
            };
            // Both replicas continue it, as after the death of the one that began: once.
            let (one, two) = tokio::join!(here.change(ask(), auto()), there.change(ask(), auto()));
            let (one, two) = (one.unwrap(), two.unwrap());
            assert_eq!(
                (&one.operation, one.generation),
                (&two.operation, two.generation)
            );
            there.end_revert(token, &one.operation).await.unwrap();
            here.end_revert(token, &one.operation).await.unwrap();
            assert_eq!(
                here.trial(token).await.unwrap(),
                Some(Trial::Reverted(one.operation))
            );
            here.refresh().await.unwrap();
        }
        assert_eq!(here.probations().await.unwrap(), []);
    }
    assert_eq!(kept + reverted, 30);
    let reverts = here.history().await.unwrap();
    let reverts = reverts.iter().filter(|r| r.action == Action::Revert);
    assert_eq!(reverts.count(), reverted);
    first.shutdown().await;
    second.shutdown().await;
}

/// A log with other settings on probation for an hour; also what they replaced, and the operation.
async fn on_trial(rig: &Rig, faults: &Faults) -> (Arc<Engine>, Arc<Log>, LogConfig, Probation) {
    let (engine, log) = rig.server(faults).await;
    let before = log.config();
    let mut next = before.clone();
    next.merge.checkpoint_interval = logconfig::Span::from_millis(77);
    let request = Request::OnProbation {
        next: Box::new(next),
        base: None,
        within_ms: 3_600_000,
        from: FROM,
    };
    log.change(request, caller()).await.unwrap();
    let probation = log.on_probation().await.unwrap().unwrap();
    (engine, log, before, probation)
}

fn back(before: &LogConfig) -> Request {
    Request::Configure {
        next: Box::new(before.clone()),
        base: None,
    }
}

/// Waits, by the clock of the stores, for the end of a probation.
async fn ended(rig: &Rig, log: &Log, operation: Token) -> Trial {
    for _ in 0..600 {
        match log.trial(operation).await.unwrap().unwrap() {
            Trial::Pending(_) => {}
            end => return end,
        }
        rig.time.pass(100);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("still on probation after a minute");
}

/// A roll-back that was refused after it had begun, or whose server died, stops nobody from rolling back.
#[tokio::test(start_paused = true)]
async fn a_roll_back_that_came_to_nothing_is_made_again() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (engine, log, before, probation) = on_trial(&rig, &faults).await;
    log.begin_early_end(&probation, token(9), Hash([9; 32]))
        .await
        .unwrap();
    assert!(!log.keep(probation.operation).await.unwrap());
    let made = log.change(back(&before), caller()).await.unwrap();
    assert_eq!(log.config().merge, before.merge);
    assert_eq!(
        log.trial(probation.operation).await.unwrap(),
        Some(Trial::Reverted(made.operation))
    );
    engine.shutdown().await;
}

/// Nor does it leave the change running for the rest of its time: nobody can confirm it any more, so a server takes it back soon.
#[tokio::test(start_paused = true)]
async fn a_roll_back_that_came_to_nothing_is_made_by_a_server() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (engine, log, before, probation) = on_trial(&rig, &faults).await;
    let watch = Audited::new(Arc::clone(&engine));
    let watch = tokio::spawn(watch.watch_probations());
    log.begin_early_end(&probation, token(9), Hash([9; 32]))
        .await
        .unwrap();
    // The author has its time first.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_ne!(log.config().merge, before.merge);
    let end = ended(&rig, &log, probation.operation).await;
    assert!(matches!(end, Trial::Reverted(_)), "{end:?}");
    assert_eq!(log.config().merge, before.merge);
    watch.abort();
    engine.shutdown().await;
}

/// The roll-back was refused, and its author used the key for another change: that one has taken nothing back.
#[tokio::test(start_paused = true)]
async fn a_roll_back_whose_key_was_used_for_another_change_is_made_by_a_server() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (engine, log, before, probation) = on_trial(&rig, &faults).await;
    let author = Author {
        idempotency_key: Some("job-7".to_owned()),
        ..caller()
    };
    let by = author.operation(log.name()).unwrap();
    let request = back(&before).digest();
    log.begin_early_end(&probation, by, request).await.unwrap();
    let rotated = log
        .change(crate::testing::rotation(), author)
        .await
        .unwrap();
    assert_eq!(rotated.operation, by.to_string());
    assert!(log.taken_back().await.unwrap().is_empty());
    let watch = Audited::new(Arc::clone(&engine));
    let watch = tokio::spawn(watch.watch_probations());
    let end = ended(&rig, &log, probation.operation).await;
    assert!(
        matches!(&end, Trial::Reverted(other) if *other != rotated.operation),
        "{end:?}"
    );
    assert_eq!(log.config().merge, before.merge);
    watch.abort();
    engine.shutdown().await;
}

/// The server died, or the store failed, after a roll-back was decided and before that was written down: settings are free at once, and
/// the verdict names the roll-back.
#[tokio::test(start_paused = true)]
async fn a_roll_back_that_was_not_written_down_locks_nothing() {
    for watched in [true, false] {
        let (rig, faults) = (Rig::new(), Faults::new());
        let (engine, log, before, probation) = on_trial(&rig, &faults).await;
        faults.plan(|_, operation| match operation {
            Operation::Transact(t)
                if t.puts
                    .iter()
                    .any(|(key, _)| key.contains("/probation-ended/")) =>
            {
                Some(Fault::Lose)
            }
            _ => None,
        });
        let made = log.change(back(&before), caller()).await.unwrap();
        faults.clear();
        let pending = log.trial(probation.operation).await.unwrap();
        assert!(matches!(pending, Some(Trial::Pending(_))), "{pending:?}");
        assert_eq!(log.on_probation().await.unwrap(), None);
        let mut next = log.config();
        if watched {
            let watch = Audited::new(Arc::clone(&engine));
            let watch = tokio::spawn(watch.watch_probations());
            ended(&rig, &log, probation.operation).await;
            watch.abort();
        } else {
            next.merge.checkpoint_interval = logconfig::Span::from_millis(78);
            log.change(back(&next), caller()).await.unwrap();
        }
        assert_eq!(
            log.trial(probation.operation).await.unwrap(),
            Some(Trial::Reverted(made.operation))
        );
        assert_eq!(log.config().merge, next.merge);
        // A server that had begun to reverse it, and comes late, does not take back what came after it.
        let late = Request::Revert {
            operation: probation.operation,
            base: probation.base,
        };
        let late = log.change(late, caller()).await.unwrap();
        assert_eq!(late.outcome, ChangeOutcome::Unchanged);
        assert_eq!(log.config().merge, next.merge);
        engine.shutdown().await;
    }
}
