//! Keys on several servers over one pair of stores, some of which fail.

use order::Generation;
use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::future::join_all;
use logconfig::{LogConfig, LogName, ShardName};

use crate::log::Log;
use crate::tests::rig::{Rig, caller, census};
use crate::uploads::keyed::*;
use crate::{Author, ChangeError, Request};
use store::fault::{Fault, Faults, Operation};

async fn add(log: &Log, key: &str, text: &str) -> Result<u64, AppendError> {
    let tenant = log.policy().own();
    let key = WriteKey::new("default", key);
    let entry = Bytes::from(text.to_owned());
    let advice = Advice::default();
    let ticket = log.submit_keyed(key, entry, tenant, &advice).await?;
    Ok(ticket.answer.await?.index.get())
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_sent_again_has_the_place_that_it_has() {
    let rig = Rig::new();
    let (first, log) = rig.server(&Faults::new()).await;
    let (second, other) = rig.server(&Faults::new()).await;
    assert_eq!(add(&log, "k", "one").await, Ok(0));
    log.append(Bytes::from_static(b"between")).await.unwrap();
    for log in [&log, &other] {
        assert_eq!(add(log, "k", "one").await, Ok(0));
        assert_eq!(add(log, "k", "two").await, Err(AppendError::KeyReused));
    }
    assert_eq!(
        add(&other, "l", "one").await,
        Ok(2),
        "another key, another entry"
    );
    assert_ne!(WriteKey::new("a", "k"), WriteKey::new("b", "k"));
    // Accepted entries stay accepted, whether or not the log accepts writes now.
    log.change(Request::Freeze { now: true }, caller())
        .await
        .unwrap();
    assert_eq!(add(&log, "k", "one").await, Ok(0));
    assert!(matches!(
        add(&log, "new", "x").await,
        Err(AppendError::Frozen { .. })
    ));
    first.shutdown().await;
    second.shutdown().await;
    let (third, log) = rig.server(&Faults::new()).await;
    assert_eq!(add(&log, "k", "one").await, Ok(0));
    assert_eq!(add(&log, "k", "two").await, Err(AppendError::KeyReused));
    assert_eq!(census(&log).await.values().sum::<u64>(), 3);
    third.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn of_many_at_once_on_two_servers_one_is_ordered_and_all_hear_its_place() {
    let rig = Rig::new();
    let (first, log) = rig.server(&Faults::new()).await;
    let (second, other) = rig.server(&Faults::new()).await;
    for round in 0..20 {
        let key = format!("same {round}").replace(' ', "-");
        let adds = (0..8).map(|n| add(if n % 2 == 0 { &log } else { &other }, &key, &key));
        let answers: BTreeSet<u64> = join_all(adds)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(answers.len(), 1, "{key}: {answers:?}");
        // With another body each, one is taken, and the others hear that the key is used.
        let key = format!("other-{round}");
        let texts: Vec<String> = (0..8).map(|n| format!("{key} {n}")).collect();
        let adds = texts.iter().enumerate();
        let adds = adds.map(|(n, text)| add(if n % 2 == 0 { &log } else { &other }, &key, text));
        let answers = join_all(adds).await;
        let taken = answers.iter().filter(|a| a.is_ok()).count();
        let reused = answers
            .iter()
            .filter(|a| **a == Err(AppendError::KeyReused))
            .count();
        assert_eq!((taken, reused), (1, 7), "{answers:?}");
    }
    let all = census(&log).await;
    assert_eq!(all.len(), 40);
    assert!(all.values().all(|count| *count == 1), "{all:?}");
    first.shutdown().await;
    second.shutdown().await;
}

/// A store that loses, delays or doubles what it is told: however often the writer comes again, the entry is there once.
#[tokio::test(start_paused = true)]
async fn an_outcome_that_nobody_knows_is_learned_by_sending_it_again() {
    let rig = Rig::new();
    let faults = Faults::new();
    let (engine, log) = rig.server(&faults).await;
    let mut count = 0u32;
    faults.plan(move |_, operation| match operation {
        Operation::Transact(_) => {
            count += 1;
            match count % 4 {
                0 => Some(Fault::Lose),
                2 => Some(Fault::Unknown),
                _ => None,
            }
        }
        _ => None,
    });
    let mut places = Vec::new();
    for n in 0..30 {
        let text = format!("entry {n}");
        let key = format!("key-{n}");
        let mut place = add(&log, &key, &text).await;
        while place.is_err() {
            place = add(&log, &key, &text).await;
        }
        assert_eq!(add(&log, &key, &text).await, place);
        places.push(place.unwrap());
    }
    faults.clear();
    let distinct: BTreeSet<u64> = places.iter().copied().collect();
    assert_eq!(distinct.len(), 30);
    let all = census(&log).await;
    assert!(
        all.len() == 30 && all.values().all(|count| *count == 1),
        "{all:?}"
    );
    engine.shutdown().await;
}

#[test]
fn a_repeat_is_compared_part_by_part() {
    let part = |entries: &[&[u8]]| {
        let mut bytes = BytesMut::new();
        entries.iter().for_each(|e| batch::push(&mut bytes, e));
        (entries.len() as u64, record::digest(&bytes))
    };
    let whole = Repeat {
        parts: [part(&[b"a", b"bc"]), part(&[b"d"])].into(),
        ended: true,
        hash: Sha256::new(),
        entries: 0,
    };
    let begun = Repeat {
        ended: false,
        ..whole.clone()
    };
    let take = |repeat: &Repeat, entries: &[&[u8]]| {
        let mut repeat = repeat.clone();
        entries.iter().try_for_each(|e| repeat.entry(e))?;
        repeat.end()
    };
    for repeat in [&whole, &begun] {
        assert_eq!(take(repeat, &[b"a", b"bc", b"d"]), Ok(()));
    }
    // Only an upload that broke off continues.
    let more: &[&[u8]] = &[b"a", b"bc", b"d", b"more"];
    assert_eq!(take(&begun, more), Ok(()));
    assert_eq!(take(&whole, more), Err(Reused));
    for other in [
        &[b"a".as_slice(), b"bc"][..],
        &[b"a", b"bd", b"d"],
        &[b"ab", b"c", b"d"],
        &[b"a", b"bc", b"e"],
    ] {
        assert_eq!(take(&begun, other), Err(Reused), "{other:?}");
    }
}

/// A part of a batch under a key.
async fn part(
    log: &Log,
    key: WriteKey,
    offset: u64,
    texts: &[&str],
) -> Result<Appended, AppendError> {
    let mut bytes = BytesMut::new();
    let texts = texts.iter();
    texts.for_each(|t| batch::push(&mut bytes, t.as_bytes()));
    let chunk = order::chunk::Chunk {
        entries: batch::entries(&bytes).unwrap().len() as u64,
        bytes: bytes.freeze(),
        upload: Some(order::chunk::UploadPart {
            id: key.upload(),
            offset,
        }),
    };
    let tenant = log.policy().own();
    let ticket = log.submit_chunk(chunk, tenant, &Advice::default()).await?;
    ticket.answer.await
}

/// A batch's end is one: told to every server, whoever writes it down, and no body continues behind it.
#[tokio::test(start_paused = true)]
async fn a_batch_under_a_key_has_one_end() {
    let rig = Rig::new();
    let (first, log) = rig.server(&Faults::new()).await;
    let (second, other) = rig.server(&Faults::new()).await;
    let key = WriteKey::new("default", "batch");
    part(&log, key, 0, &["a", "b"]).await.unwrap();
    // It broke off here, and continues at another server.
    let (progress, mut repeat) = other.keyed_batch(key).await.unwrap();
    assert_eq!(progress.accepted, 2);
    for entry in [b"a", b"b", b"c"] {
        repeat.entry(entry).unwrap();
    }
    assert_eq!(
        other.end_keyed_batch(key, 3).await,
        Err(AppendError::Unknown),
        "nothing ends where nothing is"
    );
    part(&other, key, 2, &["c"]).await.unwrap();
    // A body that ends before that is another.
    assert_eq!(
        log.end_keyed_batch(key, 2).await,
        Err(AppendError::KeyReused)
    );
    for log in [&other, &log, &other] {
        assert_eq!(log.end_keyed_batch(key, 3).await, Ok(()));
        let (progress, mut repeat) = log.keyed_batch(key).await.unwrap();
        assert_eq!((progress.accepted, progress.ranges.len()), (3, 1));
        for entry in [b"a", b"b", b"c"] {
            repeat.entry(entry).unwrap();
        }
        assert_eq!(repeat.end(), Ok(()));
        assert_eq!(repeat.entry(b"d"), Err(Reused));
        // One that read where it stands before the end was there.
        assert_eq!(
            part(log, key, 3, &["d"]).await.unwrap_err(),
            AppendError::UploadAt { accepted: 3 }
        );
    }
    first.shutdown().await;
    second.shutdown().await;
    assert_eq!(findings(&rig).await, []);
}

/// One body is the beginning of the other. The next part of the longer one is on its way when the shorter one ends: one of the two
/// is answered, whichever came first.
#[tokio::test(start_paused = true)]
async fn of_two_bodies_under_a_key_one_is_answered() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (first, log) = rig.server(&Faults::new()).await;
    let (second, other) = rig.server(&faults).await;
    for ends_first in [true, false] {
        let key = WriteKey::new("default", &format!("batch-{ends_first}"));
        part(&log, key, 0, &["a", "b"]).await.unwrap();
        faults.plan(|_, operation| match operation {
            Operation::Transact(t) if t.puts.iter().any(|(key, _)| key.contains("dev/slot/")) => {
                Some(Fault::Stall)
            }
            _ => None,
        });
        let goes_on = async {
            let part = part(&other, key, 2, &["c"]).await;
            (
                part,
                ends_first || other.end_keyed_batch(key, 3).await.is_ok(),
            )
        };
        let ends = async {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let early = match ends_first {
                true => log.end_keyed_batch(key, 2).await,
                false => Ok(()),
            };
            faults.clear();
            faults.release().await;
            early
        };
        let ((part, _), early) = tokio::join!(goes_on, ends);
        assert_eq!((part.is_ok(), early), (true, Ok(())));
        let (short, long) = match ends_first {
            true => (Ok(()), Err(AppendError::KeyReused)),
            false => (Err(AppendError::KeyReused), Ok(())),
        };
        for log in [&other, &log, &other] {
            assert_eq!(log.end_keyed_batch(key, 3).await, long);
            assert_eq!(log.end_keyed_batch(key, 2).await, short);
            let (progress, repeat) = log.keyed_batch(key).await.unwrap();
            let accepted = if ends_first { 2 } else { 3 };
            assert_eq!((progress.accepted, repeat.is_ended()), (accepted, true));
        }
    }
    first.shutdown().await;
    second.shutdown().await;
    assert_eq!(findings(&rig).await, []);
}

/// An entry by itself is no batch that broke off: a batch that begins with it is another write.
#[tokio::test(start_paused = true)]
async fn an_entry_is_not_the_beginning_of_a_batch() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    let key = WriteKey::new("default", "k");
    let sent = async |entries: &[&[u8]]| {
        let (_, mut repeat) = log.keyed_batch(key).await.unwrap();
        entries.iter().try_for_each(|e| repeat.entry(e))?;
        repeat.end()
    };
    for ended in [false, true] {
        assert_eq!(add(&log, "k", "one").await, Ok(0));
        assert_eq!(sent(&[b"one", b"two"]).await, Err(Reused), "{ended}");
        assert_eq!(sent(&[b"two"]).await, Err(Reused));
        // The same entry, in a batch of its own.
        assert_eq!(sent(&[b"one"]).await, Ok(()));
        assert_eq!(log.end_keyed_batch(key, 1).await, Ok(()));
    }
    engine.shutdown().await;
    assert_eq!(findings(&rig).await, []);
}

async fn findings(rig: &Rig) -> Vec<crate::fsck::Finding> {
    let none: crate::fsck::OpenNode<'_> = &|_| Box::pin(std::future::ready(Err("none".into())));
    let report = crate::fsck::fsck(&*rig.rows, &*rig.objects, none, &mut |_| {}).await;
    report.unwrap().findings
}

/// Two creations of one log at once: one is made, the other is told that its configuration does not run.
#[tokio::test(start_paused = true)]
async fn of_two_creations_at_once_one_is_made() {
    let rig = Rig::new();
    let (first, _) = rig.server(&Faults::new()).await;
    let (second, _) = rig.server(&Faults::new()).await;
    let config = |log: &str, origin: &str| {
        let name = LogName::try_from(log.to_owned()).unwrap();
        let shard = ShardName::try_from("a".to_owned()).unwrap();
        LogConfig::new(name, origin.into(), shard)
    };
    let by = |key: Option<&str>| Author {
        idempotency_key: key.map(str::to_owned),
        ..caller()
    };
    for round in 0..8 {
        for key in [None, Some("k")] {
            let log = format!("log{round}-{}", key.unwrap_or("none"));
            let (one, two) = (format!("one.example/{log}"), format!("two.example/{log}"));
            let (a, b) = tokio::join!(
                first.create_log(config(&log, &one), by(key)),
                second.create_log(config(&log, &two), by(key)),
            );
            let refused = match (a, b) {
                (Ok(_), Err(e)) | (Err(e), Ok(_)) => e,
                other => panic!("{other:?}"),
            };
            match (key, refused) {
                (None, ChangeError::Conflict(why)) => {
                    assert!(why.contains("another configuration"), "{why}");
                }
                (Some(_), ChangeError::KeyReused { .. }) => {}
                other => panic!("{other:?}"),
            }
            // An origin that was not taken is free, for one log.
            let free = match first.log(&log).unwrap().config().origin == one {
                true => two,
                false => one,
            };
            for (name, may) in [("next", true), ("more", false), ("next", true)] {
                let made = second
                    .create_log(config(&format!("{name}-{log}"), &free), by(None))
                    .await;
                assert_eq!(made.is_ok(), may, "{made:?}");
            }
            // The same again is the same.
            let running = first.log(&log).unwrap().config().origin;
            let again = second
                .create_log(config(&log, &running), by(key))
                .await
                .unwrap();
            assert_eq!(again.generation, Generation::new(1));
        }
    }
    first.shutdown().await;
    second.shutdown().await;
    assert_eq!(findings(&rig).await, []);
}
