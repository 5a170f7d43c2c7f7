//! An import ends in the log that the other Rekor had, however it is cut, repeated and interrupted.

use std::sync::Arc;

use bytes::Bytes;
use logconfig::{Algorithm, LogConfig, LogName, OriginForm, ShardConfig, ShardState};
use proptest::prelude::*;
use store::StoreError;
use store::fault::{Fault, Faults};
use tlog::{Checkpoint, EntryTimestamp, GlobalIndex, Hash, ShardTree, Signer, TreeSize};

use super::{OldEntry, OldShard};
use crate::control::ChangeError;
use crate::engine::Engine;
use crate::log::Log;
use crate::tests::rig::{Rig, caller};

/// A shard of another Rekor with its entries.
struct Old {
    shard: OldShard,
    entries: Vec<OldEntry>,
    root: Hash,
}

fn name() -> LogName {
    "neon".parse().unwrap()
}

fn old(tree_id: u64, before: u64, count: u64) -> Old {
    let signer = Signer::from_p256("rekor.old.example", &[tree_id as u8; 32]).unwrap();
    let mut tree = ShardTree::default();
    let entries = (0..count).map(|n| {
        let leaf = Bytes::from(format!("entry {n} of tree {tree_id}"));
        tree.push(&leaf, &mut Vec::new());
        let seconds = 1_600_000_000 + n / 7;
        let signed = EntryTimestamp {
            log_id: signer.verifier().log_id(),
            index: before + n,
            time: seconds,
            leaf: &leaf,
        };
        OldEntry {
            timestamp: signed.sign(&signer).unwrap(),
            leaf: leaf.clone(),
            seconds,
        }
    });
    let entries = entries.collect();
    let root = tree.root();
    let head = Checkpoint {
        origin: format!("rekor.old.example - {tree_id}"),
        size: count,
        root,
        extensions: Vec::new(),
    };
    let shard = OldShard {
        tree_id,
        key: signer.verifier().bytes().to_vec(),
        note: tlog::sign(&head.to_text(), &[&signer]).unwrap(),
    };
    Old {
        shard,
        entries,
        root,
    }
}

/// Two shards, the first with more than a bundle.
fn two() -> [Old; 2] {
    [old(7, 0, 300), old(9, 300, 5)]
}

fn heads(all: &[Old]) -> Vec<OldShard> {
    all.iter().map(|old| old.shard.clone()).collect()
}

fn document(all: &[Old]) -> LogConfig {
    let mut config = LogConfig::new(
        name(),
        "log.example.org".to_owned(),
        "2026a".parse().unwrap(),
    );
    config.origin_form = OriginForm::Host;
    config.key.algorithm = Algorithm::EcdsaP256;
    config.shards[0].key = config.key;
    config.rekor.v1 = true;
    for (at, old) in all.iter().enumerate() {
        let name = old.shard.tree_id.to_string().parse().unwrap();
        config
            .shards
            .insert(at, ShardConfig::new(name, ShardState::Frozen));
    }
    config
}

async fn add(engine: &Engine, old: &Old, from: usize, to: usize) -> Result<(), ChangeError> {
    let some = old.entries[from..to].to_vec();
    let from = TreeSize::new(from as u64);
    let (log, tree) = (name(), old.shard.tree_id);
    let added = engine.import_added(&log, tree, from, some).await;
    added.map(drop)
}

/// Imports what is missing, as the command does, in pages of so many entries, and makes the log.
async fn import(engine: &Arc<Engine>, all: &[Old], page: usize) -> Result<(), ChangeError> {
    let there = engine.import_begun(&name(), &heads(all)).await?;
    for (old, there) in all.iter().zip(there) {
        let mut from = there.imported.get() as usize;
        while from < old.entries.len() {
            let to = (from + page).min(old.entries.len());
            add(engine, old, from, to).await?;
            from = to;
        }
    }
    engine.create_log(document(all), caller()).await.map(drop)
}

/// The log has the shards as they were.
async fn whole(engine: &Engine, all: &[Old]) -> Arc<Log> {
    let log = engine.log("neon").unwrap();
    let count: usize = all.iter().map(|old| old.entries.len()).sum();
    let last = GlobalIndex::new(count as u64 - 1);
    log.wait_published(last).await.unwrap();
    let mut index = GlobalIndex::ZERO;
    for old in all {
        let tree = log.rekor_tree(&old.shard.tree_id.to_string()).await;
        let tree = tree.unwrap().unwrap();
        assert_eq!((tree.root, &tree.note), (old.root, &old.shard.note));
        for entry in &old.entries {
            let found = log.rekor_entry(index).await.unwrap().unwrap();
            assert_eq!(found.leaf, entry.leaf);
            assert_eq!(
                (found.time.get(), &found.timestamp),
                (entry.seconds * 1000, &entry.timestamp)
            );
            assert_eq!(found.tree_id, old.shard.tree_id);
            index = index + TreeSize::new(1);
        }
    }
    log
}

/// The log continues behind the imported entries.
async fn grows(log: &Log, all: &[Old]) {
    let count: usize = all.iter().map(|old| old.entries.len()).sum();
    let added = log.append(Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(added.index.get(), count as u64);
    log.wait_published(added.index).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Pages of any lengths, sent in order, with some of them sent again from earlier on: by two servers in turn, and over a restart.
    #[test]
    fn however_it_is_cut(steps in prop::collection::vec((1usize..90, 0usize..40, any::<bool>()), 1..20), restart in 0usize..20) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (rig, all) = (Rig::new(), two());
            let (one, _) = rig.server(&Faults::new()).await;
            let (mut other, _) = rig.server(&Faults::new()).await;
            one.import_begun(&name(), &heads(&all)).await.unwrap();
            let (mut at, old) = (0, &all[0]);
            for (n, (length, again, first)) in steps.into_iter().enumerate() {
                if n == restart {
                    other.shutdown().await;
                    other = rig.server(&Faults::new()).await.0;
                }
                let engine = if first { &one } else { &other };
                let from = at - again.min(at);
                let to = (from + length).min(old.entries.len());
                add(engine, old, from, to).await.unwrap();
                at = at.max(to);
                let there = engine.import_begun(&name(), &heads(&all)).await.unwrap();
                prop_assert_eq!(there[0].imported.get(), at as u64);
            }
            import(&other, &all, 64).await.unwrap();
            let log = whole(&other, &all).await;
            grows(&log, &all).await;
            other.shutdown().await;
            one.shutdown().await;
            let (engine, _) = rig.server(&Faults::new()).await;
            let log = whole(&engine, &all).await;
            prop_assert_eq!(log.status().reason, None);
            engine.shutdown().await;
            Ok(())
        })?;
    }
}

/// Whichever write of it fails, or has an outcome that nobody knows, the import is the same when it is run again.
#[tokio::test(start_paused = true)]
async fn whatever_fails_in_between() {
    let all = two();
    let faults: [fn() -> Fault; 3] = [
        || Fault::Fail(StoreError::Io("injected".into())),
        || Fault::Unknown,
        || Fault::Lose,
    ];
    let mut failed = 0;
    for n in 0..24 {
        for fault in faults {
            let (rig, faults) = (Rig::new(), Faults::new());
            let (engine, _) = rig.faulty_server(&faults, &faults).await;
            faults.nth_write(n, fault());
            failed += u64::from(import(&engine, &all, 100).await.is_err());
            faults.clear();
            if engine.log("neon").is_none() {
                import(&engine, &all, 70).await.unwrap();
            }
            grows(&engine.log("neon").unwrap(), &all).await;
            engine.shutdown().await;
            let (engine, _) = rig.server(&Faults::new()).await;
            whole(&engine, &all).await;
            engine.shutdown().await;
        }
    }
    assert!(failed > 12, "only {failed} imports met a fault");
}

fn why(outcome: Result<impl std::fmt::Debug, ChangeError>) -> String {
    match outcome.unwrap_err() {
        ChangeError::Invalid(findings) => findings[0].message.clone(),
        error => error.to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    // Without an import, a log has no frozen shards.
    let early = why(engine.create_log(document(&all), caller()).await);
    assert!(early.contains("unless they are imported"), "{early}");
    // Heads that nobody signed, of another tree, of another key, twice, of nothing.
    let [mut unsigned, mut other, mut key] = [0; 3].map(|_| all[0].shard.clone());
    unsigned.note = unsigned.note.replacen("300", "301", 1);
    other.tree_id = 8;
    key.key = all[1].shard.key.clone();
    let twice = vec![all[0].shard.clone(), all[0].shard.clone()];
    let empty = old(5, 0, 0).shard;
    for (heads, said) in [
        (vec![unsigned], "tree head"),
        (vec![other], "does not end with"),
        (vec![key], "tree head"),
        (twice, "twice"),
        (vec![empty], "no entries"),
        (Vec::new(), "from 1 to"),
    ] {
        let why = why(engine.import_begun(&name(), &heads).await);
        assert!(why.contains(said), "{why}");
    }
    engine.import_begun(&name(), &heads(&all)).await.unwrap();
    // Entries behind a gap, over the end, of no tree, and in another's place.
    assert!(why(add(&engine, &all[0], 3, 5).await).contains("do not continue"));
    let long = TreeSize::new(0);
    let entries = [&all[0].entries[..], &all[0].entries[..1]].concat();
    let over = engine.import_added(&name(), 7, long, entries).await;
    assert!(why(over).contains("do not continue"));
    let unknown = engine.import_added(&name(), 8, long, Vec::new()).await;
    assert!(why(unknown).contains("not part"));
    let mut wrong = all[0].entries[..3].to_vec();
    wrong.swap(0, 1);
    let swapped = engine.import_added(&name(), 7, long, wrong).await;
    assert!(why(swapped).contains("entry 0 of tree 7"));
    for change in [
        (|entry: &mut OldEntry| entry.seconds += 1) as fn(&mut OldEntry),
        |entry| entry.leaf = Bytes::from_static(b"other"),
        |entry| entry.leaf = Bytes::from(vec![b'x'; 65_536]),
        |entry| entry.timestamp[10] ^= 1,
        |entry| entry.timestamp = vec![0; 200],
        |entry| entry.seconds = 0,
    ] {
        let mut entry = all[0].entries[0].clone();
        change(&mut entry);
        let refused = engine.import_added(&name(), 7, long, vec![entry]).await;
        assert!(why(refused).contains("entry 0 of tree 7"));
    }
    // Not whole, and another document than the import.
    add(&engine, &all[0], 0, 300).await.unwrap();
    let partial = why(engine.create_log(document(&all), caller()).await);
    assert!(partial.contains("only 0 of its 5"), "{partial}");
    let fewer = why(engine.create_log(document(&all[..1]), caller()).await);
    assert!(fewer.contains("other frozen shards"), "{fewer}");
    add(&engine, &all[1], 0, 5).await.unwrap();
    let mut length = document(&all);
    length.shards[0].length = Some(299);
    assert!(why(engine.create_log(length, caller()).await).contains("was imported with 300"));
    assert!(engine.log("neon").is_none());
    engine.preview_log(document(&all), caller()).await.unwrap();
    engine.create_log(document(&all), caller()).await.unwrap();
    // Nothing is added to a log that is made, and nothing dropped of it.
    assert!(why(add(&engine, &all[1], 0, 5).await).contains("made already"));
    assert!(!engine.import_dropped(&name()).await.unwrap());
    let other = why(engine.import_begun(&name(), &[old(11, 0, 3).shard]).await);
    assert!(other.contains("there is a log"), "{other}");
    whole(&engine, &all).await;
    engine.shutdown().await;
}

/// Nothing is left of an import that was dropped, and another one begins where it was.
#[tokio::test(start_paused = true)]
async fn a_dropped_import_leaves_nothing() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    engine.import_begun(&name(), &heads(&all)).await.unwrap();
    add(&engine, &all[0], 0, 280).await.unwrap();
    let another = why(engine.import_begun(&name(), &heads(&all[..1])).await);
    assert!(another.contains("--drop"), "{another}");
    assert!(engine.import_dropped(&name()).await.unwrap());
    assert_eq!(rig.with("importing/"), 0);
    assert!(
        !rig.objects
            .objects()
            .keys()
            .any(|path| path.starts_with("neon/"))
    );
    let one = [old(7, 0, 20)];
    import(&engine, &one, 8).await.unwrap();
    let log = whole(&engine, &one).await;
    grows(&log, &one).await;
    engine.shutdown().await;
}
