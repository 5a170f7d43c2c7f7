//! Random transactions against a plain map, for every driver of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::{Coordination, Guard, MemoryCoordination, Outcome, Sqlite, Transaction};

fn key() -> impl Strategy<Value = String> {
    // Few and short, so that they meet.
    prop_oneof![Just(String::new()), "[ab]{1,2}", "[ab]/[ab]{0,2}"]
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => (0..4u64).prop_map(|number| Bytes::copy_from_slice(&number.to_be_bytes())),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from),
        1 => (4000..30_000usize, any::<u8>()).prop_map(|(size, byte)| Bytes::from(vec![byte; size])),
    ]
}

fn guard() -> impl Strategy<Value = Guard> {
    prop_oneof![
        key().prop_map(Guard::Absent),
        key().prop_map(Guard::Present),
        (key(), 0..4u64).prop_map(|(key, most)| Guard::AtMost(key, most)),
        (key(), key()).prop_map(|(prefix, from)| Guard::NoneFrom(prefix, from)),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    /// Sent together, so that a driver may merge them; they take effect in this order.
    Transact(Vec<Transaction>),
    Scan(String, String, usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let transaction = (
        prop::collection::vec(guard(), 0..2),
        prop::collection::vec((key(), value()), 0..3),
        prop::collection::vec(key(), 0..2),
    )
        .prop_map(|(guards, puts, deletes)| Transaction {
            guards,
            puts,
            deletes,
        });
    prop_oneof![
        6 => prop::collection::vec(transaction, 1..5).prop_map(Step::Transact),
        2 => (key(), key(), 0..6usize).prop_map(|(prefix, from, limit)| Step::Scan(prefix, from, limit)),
        1 => Just(Step::Reopen),
    ]
}

/// The traits' rules in the shortest form. `None`: the transaction is refused.
fn apply(model: &mut BTreeMap<String, Bytes>, transaction: &Transaction) -> Option<bool> {
    for guard in &transaction.guards {
        let holds = match guard {
            Guard::Absent(key) => !model.contains_key(key),
            Guard::Present(key) => model.contains_key(key),
            Guard::AtMost(key, most) => match model.get(key) {
                None => true,
                Some(value) => u64::from_be_bytes(value.get(..8)?.try_into().ok()?) <= *most,
            },
            Guard::NoneFrom(prefix, from) => !model
                .keys()
                .any(|key| key.starts_with(prefix) && key >= from),
        };
        if !holds {
            return Some(false);
        }
    }
    transaction
        .deletes
        .iter()
        .for_each(|key| drop(model.remove(key)));
    model.extend(transaction.puts.iter().cloned());
    Some(true)
}

fn check(steps: Vec<Step>, open: impl Fn() -> Arc<dyn Coordination>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut store = open();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Transact(transactions) => {
                    let expected: Vec<_> = transactions
                        .iter()
                        .map(|transaction| apply(&mut model, transaction))
                        .collect();
                    // Polled in order, so sent in order.
                    let sent = transactions
                        .into_iter()
                        .map(|transaction| store.transact(transaction));
                    for (outcome, expected) in futures_util::future::join_all(sent)
                        .await
                        .into_iter()
                        .zip(expected)
                    {
                        match expected {
                            Some(true) => {
                                assert!(matches!(outcome, Outcome::Committed), "{outcome:?}")
                            }
                            Some(false) => {
                                assert!(matches!(outcome, Outcome::Refused), "{outcome:?}")
                            }
                            None => assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}"),
                        }
                    }
                }
                Step::Scan(prefix, from, limit) => {
                    let expected: Vec<_> = model
                        .iter()
                        .filter(|(key, _)| key.starts_with(&prefix) && **key >= from)
                        .take(limit)
                        .map(|(key, value)| (key.clone(), value.clone()))
                        .collect();
                    assert_eq!(store.scan(&prefix, &from, limit).await.unwrap(), expected);
                }
                Step::Reopen => {
                    drop(store);
                    store = open();
                }
            }
            for key in ["", "a", "b/"] {
                assert_eq!(store.get(key).await.unwrap().as_ref(), model.get(key));
            }
        }
        assert_eq!(
            store.scan("", "", usize::MAX).await.unwrap(),
            model.into_iter().collect::<Vec<_>>()
        );
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn sqlite_is_a_map(steps in prop::collection::vec(step(), 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        check(steps, || Arc::new(Sqlite::open(&folder.path().join("db")).unwrap()));
    }

    #[test]
    fn memory_is_a_map(steps in prop::collection::vec(step(), 1..40)) {
        let store = Arc::new(MemoryCoordination::new());
        check(steps, || store.clone());
    }
}
