//! The suite for coordination stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use super::{commit, failed, must, transaction};
use crate::fault::{Fault, Faults, FaultyCoordination};
use crate::{Coordination, Guard, Outcome, StoreError};

type Store = Arc<dyn Coordination>;

/// Long enough that only a missed wake-up reaches it.
const LONG: Duration = Duration::from_secs(600);

/// Everything that one handle on one store must do.
pub async fn coordination(make: impl Fn() -> Arc<dyn Coordination>) {
    values(make()).await;
    guards(make()).await;
    numbers(make()).await;
    prefixes(make()).await;
    limits(make()).await;
    atomic(make()).await;
    one_winner(make()).await;
    slots(make()).await;
    scans_are_complete(make()).await;
    ahead(make()).await;
    unknown_outcomes(make()).await;
    changes(&make(), None).await;
    time(make()).await;
}

/// Everything that several handles on the same data must do. All handles that `open` has given are dropped before the
/// data is opened again.
pub async fn coordination_shared(open: impl Fn() -> Arc<dyn Coordination>) {
    let (a, b) = (open(), open());
    assert!(commit(&a, &[], &[("shared/x", b"1")], &[]).await);
    assert_eq!(must(b.get("shared/x").await).as_deref(), Some(&b"1"[..]));
    assert!(
        !commit(
            &b,
            &[Guard::Absent("shared/x".into())],
            &[("shared/y", b"1")],
            &[]
        )
        .await
    );
    assert!(commit(&b, &[], &[], &["shared/x"]).await);
    assert_eq!(must(a.get("shared/x").await), None);

    changes(&a, Some(b.clone())).await;

    // Two handles race for the same slots.
    let taken = |store: Store, who: u8| async move {
        let mut won = Vec::new();
        for slot in 0..50 {
            let key = format!("race/{slot:04}");
            if commit(
                &store,
                &[Guard::Absent(key.clone())],
                &[(&key, &[who])],
                &[],
            )
            .await
            {
                won.push(key);
            }
        }
        won
    };
    let (won_a, won_b) = tokio::join!(
        tokio::spawn(taken(a.clone(), 0)),
        tokio::spawn(taken(b.clone(), 1))
    );
    let (won_a, won_b) = (
        won_a.unwrap_or_else(|e| failed(&e)),
        won_b.unwrap_or_else(|e| failed(&e)),
    );
    let rows = must(b.scan("race/", "", 100).await);
    assert_eq!(rows.len(), 50);
    for (key, value) in rows {
        assert_eq!(
            (won_a.contains(&key), won_b.contains(&key)),
            (value[0] == 0, value[0] == 1),
            "{key}"
        );
    }

    let before = must(a.scan("", "", usize::MAX).await);
    drop((a, b));
    assert_eq!(must(open().scan("", "", usize::MAX).await), before);
}

/// Reads that were begun and are not polled delay no other call.
async fn ahead(store: Store) {
    assert!(commit(&store, &[], &[("ahead", b"1")], &[]).await);
    let mut begun: FuturesUnordered<_> = (0..100).map(|_| store.get("ahead")).collect();
    for _ in 0..50 {
        assert!(begun.next().await.is_some());
        assert!(must(store.get("ahead").await).is_some());
    }
    assert!(commit(&store, &[], &[], &["ahead"]).await);
}

async fn values(store: Store) {
    assert_eq!(must(store.get("a").await), None);
    assert_eq!(must(store.scan("", "", 10).await), vec![]);
    for value in [&b""[..], b"x", &[0, 255, 0], "ü".as_bytes()] {
        assert!(commit(&store, &[], &[("a", value)], &[]).await);
        assert_eq!(must(store.get("a").await).as_deref(), Some(value));
    }
    assert!(commit(&store, &[], &[("a", b"1"), ("b", b"2")], &["absent"]).await);
    assert!(commit(&store, &[], &[("b", b"3"), ("c", b"4")], &["a", "b"]).await);
    let rows = must(store.scan("", "", 10).await);
    assert_eq!(
        rows,
        vec![
            ("b".into(), Bytes::from("3")),
            ("c".into(), Bytes::from("4"))
        ],
        "deletes apply first"
    );
    assert!(
        commit(&store, &[], &[], &[]).await,
        "an empty transaction holds"
    );
}

async fn guards(store: Store) {
    assert!(commit(&store, &[], &[("there", b"v")], &[]).await);
    let (absent, present) = (
        |key: &str| Guard::Absent(key.into()),
        |key: &str| Guard::Present(key.into()),
    );
    let cases = [
        (vec![absent("gone")], true),
        (vec![absent("there")], false),
        (vec![present("there")], true),
        (vec![present("gone")], false),
        (vec![absent("gone"), present("there")], true),
        (vec![absent("gone"), present("gone")], false),
        (vec![present("there"), absent("there")], false),
        (vec![present("ther")], false),
        (vec![absent("there/")], true),
    ];
    for (n, (guards, holds)) in cases.into_iter().enumerate() {
        let key = format!("case/{n}");
        assert_eq!(
            commit(&store, &guards, &[(&key, b"")], &[]).await,
            holds,
            "{guards:?}"
        );
        assert_eq!(must(store.get(&key).await).is_some(), holds, "{guards:?}");
    }
    // A refusal touches nothing, also not what stands before the guard that fails.
    assert!(!commit(&store, &[absent("there")], &[("new", b"")], &["there"]).await);
    assert_eq!(must(store.get("new").await), None);
    assert!(must(store.get("there").await).is_some());
    // Guards see the state before the transaction's own writes.
    assert!(
        commit(
            &store,
            &[present("there"), absent("own")],
            &[("own", b"")],
            &["there"]
        )
        .await
    );
}

async fn numbers(store: Store) {
    let at_most = |key: &str, most| [Guard::AtMost(key.into(), most)];
    assert!(
        commit(&store, &at_most("n", 0), &[], &[]).await,
        "an absent number is 0"
    );
    for number in [0, 1, 255, 256, u64::MAX - 1, u64::MAX] {
        let mut value = number.to_be_bytes().to_vec();
        for longer in [false, true] {
            if longer {
                value.extend_from_slice(&[255; 9]);
            }
            assert!(commit(&store, &[], &[("n", &value)], &[]).await);
            for most in [
                0,
                number.saturating_sub(1),
                number,
                number.saturating_add(1),
                u64::MAX,
            ] {
                assert_eq!(
                    commit(&store, &at_most("n", most), &[], &[]).await,
                    number <= most,
                    "{number} <= {most}"
                );
            }
        }
    }
    for short in [&b""[..], b"1234567"] {
        assert!(commit(&store, &[], &[("n", short)], &[]).await);
        let outcome = store
            .transact(transaction(&at_most("n", u64::MAX), &[("m", b"")], &[]))
            .await;
        assert!(
            matches!(outcome, Outcome::Failed(StoreError::Corrupt(_))),
            "{outcome:?}"
        );
        assert_eq!(must(store.get("m").await), None);
    }
}

async fn prefixes(store: Store) {
    let mut keys = [
        "a",
        "a/",
        "a/0",
        "a/1",
        "a/10",
        "a/2",
        "a0",
        "aa",
        "ab/\u{10ffff}",
        "b",
        "ä",
        "\u{10ffff}",
        "A",
    ];
    let puts: Vec<_> = keys.iter().map(|key| (*key, key.as_bytes())).collect();
    assert!(commit(&store, &[], &puts, &[]).await);
    keys.sort_unstable();
    let mut starts = vec!["", "a/\0", "a/01", "c", "\u{10ffff}\u{10ffff}"];
    starts.extend(keys);
    for prefix in &starts {
        for from in &starts {
            for limit in [0, 1, 3, usize::MAX] {
                let expected: Vec<_> = keys
                    .iter()
                    .filter(|key| key.starts_with(prefix) && *key >= from)
                    .take(limit)
                    .collect();
                let rows = must(store.scan(prefix, from, limit).await);
                assert!(rows.iter().all(|(key, value)| key.as_bytes() == &value[..]));
                let found: Vec<_> = rows.iter().map(|(key, _)| key.as_str()).collect();
                assert!(
                    found.iter().eq(expected.iter().copied()),
                    "{prefix:?} {from:?} {limit}: {found:?}"
                );
            }
        }
    }
}

async fn limits(store: Store) {
    let limit = store.value_limit();
    let largest: Vec<u8> = (0..limit).map(|at| (at % 251) as u8).collect();
    assert!(
        commit(
            &store,
            &[],
            &[("large", &largest), ("large2", &largest)],
            &[]
        )
        .await
    );
    assert_eq!(
        must(store.get("large").await).as_deref(),
        Some(&largest[..])
    );
    let over = vec![0; limit + 1];
    let outcome = store
        .transact(transaction(
            &[],
            &[("other", b""), ("large", &over)],
            &["large2"],
        ))
        .await;
    let Outcome::Failed(StoreError::TooLarge { size, limit: named }) = outcome else {
        return failed(&outcome);
    };
    assert_eq!((size, named), (limit + 1, limit));
    assert_eq!(must(store.get("other").await), None);
    assert_eq!(
        must(store.get("large").await).as_deref(),
        Some(&largest[..])
    );
    assert!(must(store.get("large2").await).is_some());
}

/// A reader never sees one half of a transaction.
async fn atomic(store: Store) {
    let done = AtomicBool::new(false);
    let write = async {
        for n in 0..100u64 {
            let (value, key) = (n.to_be_bytes(), format!("pair/{n}"));
            let last = format!("pair/{}", n.wrapping_sub(1));
            let puts: [(&str, &[u8]); 3] = [("pair/x", &value), ("pair/y", &value), (&key, b"")];
            assert!(commit(&store, &[], &puts, &[&last]).await);
        }
        done.store(true, Ordering::SeqCst);
    };
    let read = async {
        let mut last = Bytes::new();
        while !done.load(Ordering::SeqCst) {
            let rows = must(store.scan("pair/", "", 10).await);
            if let [(_, _), (_, x), (_, y)] = &rows[..] {
                assert_eq!(x, y);
                assert!(*x >= last, "a later read saw an earlier state");
                last = x.clone();
            } else {
                assert_eq!(rows, vec![]);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, read);
}

async fn one_winner(store: Store) {
    for round in 0..10 {
        let key = format!("round/{round}");
        let attempts = (0..32u8).map(|who| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move {
                commit(
                    &store,
                    &[Guard::Absent(key.clone())],
                    &[(&key, &[who])],
                    &[],
                )
                .await
            })
        });
        let outcomes: Vec<bool> = join_all(attempts)
            .await
            .into_iter()
            .map(|joined| joined.unwrap_or_else(|error| failed(&error)))
            .collect();
        let winners: Vec<usize> = (0..32).filter(|who| outcomes[*who]).collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(
            must(store.get(&key).await).as_deref(),
            Some(&[winners[0] as u8][..])
        );
    }
}

/// The engine's own pattern: everybody tries to put the next slot, and whoever loses tries the one after.
async fn slots(store: Store) {
    let writers = (0..8u8).map(|who| {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut next, mut own) = (0u32, 0);
            while own < 12 {
                let key = format!("slot/{next:04}");
                own += u32::from(
                    commit(
                        &store,
                        &[Guard::Absent(key.clone())],
                        &[(&key, &[who])],
                        &[],
                    )
                    .await,
                );
                next += 1;
            }
        })
    });
    for joined in join_all(writers).await {
        joined.unwrap_or_else(|error| failed(&error));
    }
    let rows = must(store.scan("slot/", "", 1000).await);
    let numbers: Vec<_> = (0..96).map(|number| format!("slot/{number:04}")).collect();
    assert!(
        rows.iter().map(|(key, _)| key).eq(&numbers),
        "each slot is there once, none is missing"
    );
    for who in 0..8 {
        assert_eq!(rows.iter().filter(|(_, value)| value[0] == who).count(), 12);
    }
}

/// A scan returns all that is there for its whole duration, while others come and go around it.
async fn scans_are_complete(store: Store) {
    let stay: Vec<_> = (0..100).map(|n| format!("row/{n:03}/stays")).collect();
    for part in stay.chunks(25) {
        let puts: Vec<_> = part.iter().map(|key| (key.as_str(), &b"x"[..])).collect();
        assert!(commit(&store, &[], &puts, &[]).await);
    }
    let busy = AtomicUsize::new(2);
    let come_and_go = |seed: usize| {
        let (store, busy) = (&store, &busy);
        async move {
            for n in 0..60 {
                let key = format!("row/{:03}/comes", (n * 37 + seed * 50) % 100);
                assert!(commit(store, &[], &[(&key, &[7; 500])], &[]).await);
                assert!(commit(store, &[], &[], &[&key]).await);
            }
            busy.fetch_sub(1, Ordering::SeqCst);
        }
    };
    let scan = async {
        while busy.load(Ordering::SeqCst) > 0 {
            let rows = must(store.scan("row/", "", usize::MAX).await);
            assert!(rows.is_sorted_by(|(a, _), (b, _)| a < b));
            let found: Vec<_> = rows
                .into_iter()
                .map(|(key, _)| key)
                .filter(|key| key.ends_with("stays"))
                .collect();
            assert_eq!(found, stay);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(come_and_go(0), come_and_go(1), scan);
}

/// After an unknown outcome, a read shows all of the transaction or nothing.
async fn unknown_outcomes(inner: Store) {
    let faults = Faults::new();
    let store: Store = Arc::new(FaultyCoordination::new(inner, faults.clone()));
    let state = || async {
        let rows = must(store.scan("u/", "", 10).await);
        assert!(rows.is_empty() || rows.len() == 3, "{rows:?}");
        let values: Vec<u8> = rows.iter().map(|(_, value)| value[0]).collect();
        assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
        values.first().copied()
    };
    let put = |value: u8| {
        let puts: Vec<_> = ["u/a", "u/b", "u/c"]
            .iter()
            .map(|key| (*key, vec![value]))
            .collect();
        let puts: Vec<_> = puts.iter().map(|(key, value)| (*key, &value[..])).collect();
        store.transact(transaction(&[], &puts, &[]))
    };
    let cases = [
        (Fault::Lose, None),
        (Fault::Unknown, Some(2)),
        (Fault::Hold, Some(2)),
        (Fault::full(), Some(2)),
        (Fault::Unknown, Some(5)),
    ];
    for (n, (fault, after)) in cases.into_iter().enumerate() {
        faults.nth_write(0, fault.clone());
        let outcome = put(n as u8 + 1).await;
        assert!(
            matches!(outcome, Outcome::Unknown(_) | Outcome::Failed(_)),
            "{fault:?}: {outcome:?}"
        );
        assert_eq!(state().await, after, "{fault:?}");
    }
    // The zombie arrives late, and whole.
    assert_eq!(faults.held(), 1);
    faults.release().await;
    assert_eq!(state().await, Some(3));
}

async fn changes(watcher: &Store, writer: Option<Store>) {
    let writer = writer.unwrap_or_else(|| watcher.clone());
    // Registered when asked for: what happens before the first poll counts.
    for n in 0..3u8 {
        let wait = watcher.changed("watch/", LONG);
        assert!(commit(&writer, &[], &[("watch/x", &[n])], &[]).await);
        wait.await;
        // A delete is a change, and the empty prefix means everything.
        let wait = watcher.changed("", LONG);
        assert!(commit(&writer, &[], &[], &["watch/x"]).await);
        wait.await;
    }
    // Many wait, all are woken, and one that gives up early disturbs nobody.
    let waiting: Vec<_> = (0..100).map(|_| watcher.changed("watch/", LONG)).collect();
    drop(watcher.changed("watch/", LONG));
    assert!(commit(&writer, &[], &[("watch/x", b"")], &[]).await);
    join_all(waiting).await;
    // Nothing changes: the time ends the wait.
    watcher.changed("quiet/", Duration::from_millis(1)).await;
}

async fn time(store: Store) {
    let before = must(crate::system::now());
    let now = must(store.now().await);
    // A store elsewhere may be off a little.
    assert!(now.get().abs_diff(before.get()) < 60_000, "{now} {before}");
}
