//! Damage is found and named, one byte at a time; and what a crash or a running server leaves behind is no damage.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tlog::TilePath;

use crate::fsck::*;
use crate::testing::{self, author as caller};
use crate::{Engine, Log};
use store::fault::{Fault, Faults, FaultyCoordination, FaultyObjects, Operation};
use store::{MemoryCoordination, MemoryObjects};

struct Stores {
    rows: Arc<MemoryCoordination>,
    objects: Arc<MemoryObjects>,
    faults: Faults,
    engine: Arc<Engine>,
}

async fn start() -> (Stores, Arc<Log>) {
    let (rows, objects) = (
        Arc::new(MemoryCoordination::new()),
        Arc::new(MemoryObjects::new()),
    );
    let faults = Faults::new();
    let engine = Engine::open(testing::options_on(
        Arc::new(FaultyCoordination::new(rows.clone(), faults.clone())),
        Arc::new(FaultyObjects::new(objects.clone(), faults.clone())),
        testing::fresh_kek(),
    ))
    .await
    .unwrap();
    let created = engine.create_log(testing::config(), caller());
    created.await.unwrap();
    let log = engine.log("dev").unwrap();
    (
        Stores {
            rows,
            objects,
            faults,
            engine,
        },
        log,
    )
}

async fn write(log: &Log, entries: std::ops::Range<u32>) {
    for part in entries.collect::<Vec<_>>().chunks(60) {
        let all = part
            .iter()
            .map(|n| log.append(Bytes::from(format!("entry {n}"))));
        for appended in futures_util::future::join_all(all).await {
            appended.unwrap();
        }
    }
}

async fn published(log: &Log) {
    let ordered = log.status().watermarks.ordered;
    log.wait_published(ordered.back(1)).await.unwrap();
    for shard in log.status().shards.iter().rev().skip(1) {
        while log.object(&shard.name, "seal").await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    }
}

/// A part of an upload, of one entry.
async fn part(log: &Log) {
    let id = order::chunk::UploadId([3; 16]);
    let chunk = order::chunk::Chunk {
        bytes: Bytes::from_static(b"\0\x04part"),
        entries: 1,
        upload: Some(order::chunk::UploadPart { id, offset: 0 }),
    };
    let (tenant, advice) = (log.policy().own(), qos::Advice::default());
    let ticket = log.submit_chunk(chunk, tenant, &advice).await.unwrap();
    ticket.answer.await.unwrap();
}

async fn promise(log: &Log) -> crate::Promise {
    let (tenant, advice) = (log.policy().own(), qos::Advice::default());
    let entry = Bytes::from_static(b"promised");
    log.promise(entry, tenant, &advice).await.unwrap()
}

/// A promise is in at least one place, a place is what its slot says, and late copies may be deleted.
#[tokio::test(flavor = "multi_thread")]
async fn promises_and_places_are_followed() {
    let (rows, objects) = sample().await;
    let find = |kind: &str| {
        let prefix = format!("log/dev/{kind}/");
        let mut keys = rows.keys().filter(move |key| key.starts_with(&prefix));
        keys.next().unwrap().clone()
    };
    let (queued, placed) = (find("queue"), find("placed"));
    let token = queued.rsplit('/').next().unwrap();
    let batch = format!("log/dev/batch/{token}");
    for (gone, place, what) in [
        (&queued, &batch, "neither in the queue"),
        (&batch, &batch, "missing, although its entries are promised"),
        (&placed, &placed, "missing, although slot"),
    ] {
        let mut rows = rows.clone();
        rows.remove(gone).unwrap();
        let report = check(&rows, &objects).await;
        let [found] = report.findings.as_slice() else {
            panic!("{:#?}", report.findings)
        };
        assert!(
            found.place == *place && found.what.contains(what),
            "{found:?}"
        );
    }
    // A row that tells of another place than its slot.
    let mut moved = rows.clone();
    let mut row: order::location::LocationRow = record::decode(&rows[&placed]).unwrap();
    row.index += 1;
    moved.insert(placed.clone(), record::encode(&row));
    let report = check(&moved, &objects).await;
    assert!(
        report.findings[0].what.contains("is not what slot"),
        "{report:?}"
    );
    // A row of another upload about that slot is false.
    let mut foreign = rows.clone();
    foreign.insert(placed.replace("0303", "0404"), rows[&placed].clone());
    let report = check(&foreign, &objects).await;
    assert!(
        report.findings[0].what.contains("no such batch"),
        "{report:?}"
    );
    // In the bag it waits as well, dead or not; in both places it is there twice and fine.
    let promised: order::work::Promised = record::decode(&rows[&queued]).unwrap();
    let work = record::encode(&order::work::Work::Promised(promised));
    for remove in [true, false] {
        let mut rows = rows.clone();
        rows.insert(format!("log/dev/bag/{:020}/{token}", 0), work.clone());
        if remove {
            rows.remove(&queued);
        }
        let report = check(&rows, &objects).await;
        assert_eq!(report.findings, vec![]);
        assert_eq!(report.logs[0].leftovers.announcements, 0);
    }
}

fn no_node(name: &str) -> crate::Opening<'static> {
    Box::pin(std::future::ready(Err(format!("no node {name}"))))
}

async fn check(rows: &BTreeMap<String, Bytes>, objects: &BTreeMap<String, Bytes>) -> Report {
    let (rows, objects) = (
        MemoryCoordination::with(rows.clone()),
        MemoryObjects::with(objects.clone()),
    );
    fsck(&rows, &objects, &no_node, &mut |_| {}).await.unwrap()
}

/// A log with two sealed shards, one growing, and work that is ordered but not published: small and large batches.
async fn sample() -> (BTreeMap<String, Bytes>, BTreeMap<String, Bytes>) {
    let (stores, log) = start().await;
    write(&log, 0..600).await;
    log.change(crate::testing::rotation(), caller())
        .await
        .unwrap();
    write(&log, 600..900).await;
    log.change(crate::testing::rotation(), caller())
        .await
        .unwrap();
    write(&log, 900..1299).await;
    part(&log).await;
    published(&log).await;
    stores.faults.plan(|_, operation| match operation {
        // Promised work stays in the queue.
        Operation::Transact(t) if t.deletes.iter().any(|key| key.contains("/queue/")) => {
            Some(Fault::Lose)
        }
        Operation::Put(objects) if objects.iter().any(|(path, _)| path.starts_with("dev/")) => {
            Some(Fault::full())
        }
        _ => None,
    });
    promise(&log).await;
    log.append(Bytes::from(vec![7; 65_535])).await.unwrap();
    // The first failed publication closes admission; what is already ordered stays unpublished.
    (stores.rows.rows(), stores.objects.objects())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_byte_is_found_and_named() {
    let (rows, objects) = sample().await;
    let clean = check(&rows, &objects).await;
    assert_eq!(clean.findings, vec![]);
    let dev = clean.logs.iter().find(|log| log.name == "dev").unwrap();
    assert_eq!((dev.ordered, dev.published, dev.shards), (1301, 1300, 3));
    assert_eq!(dev.leftovers.rows + dev.leftovers.announcements, 0);

    let mut kinds = BTreeMap::<String, u32>::new();
    for (n, (key, bytes)) in rows.iter().enumerate() {
        let kind = key
            .split('/')
            .nth(if key.starts_with("log/") { 2 } else { 0 })
            .unwrap();
        // A server's rows about itself are not data of a log. A sealed key cannot be opened here: only its version byte can be judged.
        let at = match kind {
            "replica" | "runs" => continue,
            "key" | "integrated" => 0,
            _ => n * 7919 % bytes.len(),
        };
        // Nothing of a published batch is needed.
        if kind == "batch" && dev.leftovers.batches > 0 {
            continue;
        }
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (n % 8);
        let mut rows = rows.clone();
        rows.insert(key.clone(), damaged.into());
        let report = check(&rows, &objects).await;
        assert!(
            report.findings.iter().any(|found| found.place == *key),
            "{key} byte {at}: {:#?}",
            report.findings
        );
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    for (n, (path, bytes)) in objects.iter().enumerate() {
        let mut damaged = bytes.to_vec();
        let at = n * 7919 % bytes.len();
        damaged[at] ^= 1 << (n % 8);
        let mut objects = objects.clone();
        objects.insert(path.clone(), damaged.into());
        let report = check(&rows, &objects).await;
        let places: Vec<_> = report
            .findings
            .iter()
            .map(|found| found.place.as_str())
            .collect();
        assert_eq!(places, [path], "byte {at}: {:#?}", report.findings);
        let kind = path
            .split('/')
            .skip(2)
            .take(2)
            .collect::<Vec<_>>()
            .join("/");
        *kinds.entry(kind).or_default() += 1;
    }
    // The sample must not lose a kind unnoticed.
    for kind in [
        "slot",
        "queue",
        "placed",
        "history",
        "operation",
        "document",
        "key",
        "published",
        "integrated",
        "root",
        "logs",
    ] {
        assert!(kinds.contains_key(kind), "{kind}: {kinds:?}");
    }
    for kind in [
        "tile/0",
        "tile/1",
        "tile/entries",
        "checkpoint",
        "seal",
        "batch",
    ] {
        assert!(
            kinds.keys().any(|have| have.starts_with(kind)),
            "{kind}: {kinds:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() {
    let (rows, objects) = sample().await;
    // The system log publishes when it likes: its objects may be ahead of its rows here.
    for path in objects.keys().filter(|path| !path.starts_with("system/")) {
        let mut less = objects.clone();
        less.remove(path);
        let report = check(&rows, &less).await;
        let places: Vec<_> = report
            .findings
            .iter()
            .map(|found| found.place.as_str())
            .collect();
        let unfinished = report.logs.iter().any(|log| {
            log.unfinished
                .iter()
                .any(|what| what.starts_with(path.as_str()))
        });
        let tile = path
            .split_once("/tile/")
            .and_then(|(_, tile)| format!("tile/{tile}").parse::<TilePath>().ok());
        // An older partial tile may go; a crash may come before the seal, or before the first checkpoint.
        if tile.is_some_and(|tile| tile.is_partial()) && places.is_empty() || unfinished {
            continue;
        }
        assert_eq!(places, [path], "{:#?}", report.findings);
    }
    for key in rows.keys().filter(|key| {
        ["/slot/", "/root/", "/history/", "/operation/", "/document/"]
            .iter()
            .any(|kind| key.contains(kind))
    }) {
        let mut less = rows.clone();
        less.remove(key);
        // The last slot leaves no gap behind it, but positions and history that have no slot.
        let report = check(&less, &objects).await;
        let last = rows
            .keys()
            .rfind(|other| other.starts_with(key.rsplit_once('/').unwrap().0))
            == Some(key);
        let named = report.findings.iter().any(|found| found.place == *key);
        assert!(
            named || (last && key.contains("/slot/")),
            "{key}: {:#?}",
            report.findings
        );
    }
}

/// The server writes, rotates, publishes and collects, and fsck finds nothing wrong with any moment of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_raises_no_alarm() {
    let (stores, log) = start().await;
    let writer = tokio::spawn(async move {
        for round in 0..12 {
            write(&log, round * 120..(round + 1) * 120).await;
            futures_util::future::join_all((0..5).map(|_| promise(&log))).await;
            if round % 3 == 2 {
                log.change(crate::testing::rotation(), caller())
                    .await
                    .unwrap();
            }
        }
        while !log.promised().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    });
    let mut rounds = 0;
    while !writer.is_finished() || rounds == 0 {
        let report = fsck(&*stores.rows, &*stores.objects, &no_node, &mut |_| {})
            .await
            .unwrap();
        assert_eq!(report.findings, vec![]);
        rounds += 1;
    }
    writer.await.unwrap();
    stores.engine.shutdown().await;
    let report = fsck(&*stores.rows, &*stores.objects, &no_node, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(report.findings, vec![]);
    let dev = report.logs.iter().find(|log| log.name == "dev").unwrap();
    assert_eq!(
        (dev.ordered, dev.published, dev.unfinished.len()),
        (1500, 1500, 0)
    );
}

/// Stopped before any write, the stores are as a crash there leaves them: that is no damage.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_no_damage() {
    for stop in (0..60).step_by(3) {
        let (stores, log) = start().await;
        stores.faults.plan(move |number, operation| {
            (number >= stop && operation.writes()).then_some(Fault::Lose)
        });
        // The outcome of these does not matter here.
        let all = (0..40).map(|n| log.append(Bytes::from(format!("entry {n}"))));
        let writes = async {
            futures_util::future::join_all(all).await;
            let _ = log.change(crate::testing::rotation(), caller()).await;
        };
        let stopped = async {
            while stores.faults.operations() < stop + 5 {
                tokio::task::yield_now().await;
            }
        };
        futures_util::future::select(Box::pin(writes), Box::pin(stopped)).await;
        let report = check(&stores.rows.rows(), &stores.objects.objects()).await;
        assert_eq!(report.findings, vec![], "stopped at operation {stop}");
    }
}
