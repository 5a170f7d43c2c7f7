//! Uploads on several servers and on stores with faults: each entry once, in its order, and everybody told the same.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::ledger::locations::{UploadProgress, UploadRange};
use crate::log::Log;
use crate::tests::rig::{Rig, census};
use crate::uploads::*;
use order::batch;
use store::fault::{Fault, Faults, Operation};
use tlog::{GlobalIndex, LeafIndex};

const ID: UploadId = UploadId([7; 16]);

fn chunk(offset: u64, texts: &[String]) -> Chunk {
    let mut bytes = BytesMut::new();
    texts
        .iter()
        .for_each(|text| batch::push(&mut bytes, text.as_bytes()));
    Chunk {
        bytes: bytes.freeze(),
        entries: texts.len() as u64,
        upload: Some(UploadPart { id: ID, offset }),
    }
}

fn texts(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| format!("entry {n}")).collect()
}

async fn send(log: &Log, range: std::ops::Range<u64>) -> Result<Appended, AppendError> {
    let chunk = chunk(range.start, &texts(range));
    let tenant = log.policy().own();
    let ticket = log.submit_chunk(chunk, tenant, &Advice::default()).await?;
    ticket.answer.await
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_where_it_stands() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    assert_eq!(log.upload(ID).await.unwrap(), UploadProgress::default());
    assert_eq!(send(&log, 0..10).await.unwrap().index, GlobalIndex::ZERO);
    log.append(Bytes::from_static(b"other")).await.unwrap();
    assert_eq!(
        send(&log, 10..30).await.unwrap().index,
        GlobalIndex::new(11)
    );
    assert_eq!(
        send(&log, 30..31).await.unwrap().index,
        GlobalIndex::new(31)
    );
    // Again, here and on another server: the same places.
    let (second, twin) = rig.server(&Faults::new()).await;
    for log in [&log, &twin] {
        assert_eq!(send(log, 10..30).await.unwrap().index, GlobalIndex::new(11));
        assert_eq!(
            send(log, 30..31).await.unwrap().leaf_index,
            LeafIndex::new(31)
        );
        let progress = log.upload(ID).await.unwrap();
        let range = |first, index, entries| UploadRange {
            first,
            index,
            entries,
        };
        assert_eq!(progress.accepted, 31);
        assert_eq!(
            progress.ranges,
            [
                range(0, GlobalIndex::ZERO, 10),
                range(10, GlobalIndex::new(11), 21)
            ]
        );
        // Neither past its end nor over what already exists.
        for (wrong, stands) in [(40..41, 31), (12..13, 31), (10..12, 30), (0..31, 10)] {
            let refused = send(log, wrong).await;
            assert_eq!(refused, Err(AppendError::UploadAt { accepted: stands }));
        }
    }
    assert_eq!(
        send(&twin, 31..40).await.unwrap().index,
        GlobalIndex::new(32)
    );
    assert_eq!(
        send(&log, 40..41).await.unwrap().index,
        GlobalIndex::new(41)
    );
    assert_eq!(log.status().watermarks.ordered, GlobalIndex::new(42));
    // Another tenant's upload of the same name is another one.
    assert_ne!(ID.of("a"), ID.of("b"));
    assert_eq!(log.upload(ID.of("a")).await.unwrap().accepted, 0);
    for engine in [engine, second] {
        engine.shutdown().await;
    }
}

/// Parts sent without waiting are ordered one after the other.
#[tokio::test(start_paused = true)]
async fn parts_may_be_sent_ahead() {
    let rig = Rig::new();
    let (engine, log) = rig.server(&Faults::new()).await;
    let tenant = log.policy().own();
    let mut tickets = Vec::new();
    for at in 0..20 {
        let part = chunk(at * 5, &texts(at * 5..at * 5 + 5));
        tickets.push(
            log.submit_chunk(part, tenant, &Advice::default())
                .await
                .unwrap(),
        );
    }
    for (at, ticket) in (0..).zip(tickets) {
        assert_eq!(ticket.answer.await.unwrap().index, GlobalIndex::new(at * 5));
    }
    assert_eq!(log.upload(ID).await.unwrap().ranges.len(), 1);
    engine.shutdown().await;
}

/// A large part is sent to two servers at once. The later one is told the location of the other, and its object is deleted.
#[tokio::test(start_paused = true)]
async fn a_part_that_comes_twice_leaves_no_object() {
    let (rig, faults) = (Rig::new(), Faults::new());
    let (first, log) = rig.server(&Faults::new()).await;
    let (second, twin) = rig.server(&faults).await;
    let texts = [0, 1].map(|n| format!("{n}").repeat(40_000)).to_vec();
    let send = async |log: Arc<Log>| {
        let tenant = log.policy().own();
        let part = chunk(0, &texts);
        let ticket = log.submit_chunk(part, tenant, &Advice::default()).await;
        ticket.unwrap().answer.await.unwrap()
    };
    let objects = || {
        let prefix = order::keys::Keys::new("dev").batches();
        let all = rig.objects.objects();
        all.keys().filter(|path| path.starts_with(&prefix)).count()
    };
    faults.plan(|_, operation| match operation {
        Operation::Transact(t) if t.puts.iter().any(|(key, _)| key.contains("dev/slot/")) => {
            Some(Fault::Stall)
        }
        _ => None,
    });
    let late = send(Arc::clone(&twin));
    let early = async {
        while objects() < 1 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let placed = send(Arc::clone(&log)).await;
        faults.clear();
        faults.release().await;
        placed
    };
    let (late, early) = tokio::join!(late, early);
    assert_eq!((late.index.get(), early.index.get()), (0, 0));
    log.wait_published(GlobalIndex::new(1)).await.unwrap();
    // Files are deleted in the background.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(objects(), 0);
    for engine in [first, second] {
        engine.shutdown().await;
    }
}

/// A client sends one stream over and over through two servers, cut differently each time, while the store of both fails.
#[tokio::test(start_paused = true)]
async fn nothing_twice_and_nothing_passed_over() {
    for seed in 1..=10u64 {
        let rig = Rig::new();
        let (all_faults, total) = ([Faults::new(), Faults::new()], 120);
        let mut servers = Vec::new();
        for faults in &all_faults {
            servers.push(rig.server(faults).await);
        }
        let mut clients = Vec::new();
        for (who, (_, log)) in (0..).zip(&servers) {
            let mut dice = seed * 31 + who;
            let mut next = move || {
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                dice
            };
            let mut fault = next;
            all_faults[usize::try_from(who).unwrap()].plan(move |_, operation| {
                let slot = matches!(operation, Operation::Transact(t) if t.puts.iter().any(|(k, _)| k.contains("dev/slot/")));
                let roll = fault();
                (slot && roll % 10 < 4).then(|| match roll / 16 % 4 {
                    0 => Fault::Lose,
                    1 => Fault::Unknown,
                    2 => Fault::Hold,
                    _ => Fault::Fail(StoreError::Io("injected".into())),
                })
            });
            let log = Arc::clone(log);
            clients.push(tokio::spawn(async move {
                loop {
                    let accepted = log.upload(ID).await.unwrap().accepted;
                    if accepted == total {
                        return;
                    }
                    let end = total.min(accepted + 1 + next() % 9);
                    match send(&log, accepted..end).await {
                        Ok(_) | Err(AppendError::UploadAt { .. }) => {}
                        Err(AppendError::Unknown | AppendError::Overloaded { .. }) => {}
                        Err(e) => panic!("seed {seed}: {e}"),
                    }
                }
            }));
        }
        for client in clients {
            client.await.unwrap();
        }
        for faults in &all_faults {
            faults.clear();
            faults.release().await;
        }
        let log = &servers[0].1;
        log.append(Bytes::from_static(b"after")).await.unwrap();
        let census = census(log).await;
        assert_eq!(census.len() as u64, total + 1, "seed {seed}: passed over");
        assert!(census.values().all(|n| *n == 1), "seed {seed}: twice");
        let mut expected = 0;
        for range in log.upload(ID).await.unwrap().ranges {
            assert_eq!(range.first, expected);
            for at in 0..range.entries {
                let entry = log.entry(range.index + at).await.unwrap().unwrap();
                assert_eq!(
                    entry.bytes,
                    format!("entry {}", range.first + at),
                    "seed {seed}"
                );
            }
            expected += range.entries;
        }
        for (engine, _) in servers {
            engine.shutdown().await;
        }
    }
}
