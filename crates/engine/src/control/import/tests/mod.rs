//! An import ends in the log that the other Rekor had, however it is cut, repeated and interrupted.

mod races;
mod stored;

use std::sync::Arc;

use bytes::Bytes;
use logconfig::{Algorithm, LogConfig, LogName, OriginForm, ShardConfig, ShardState};
use order::keys::RESTORING;
use order::slot::IMPORTS;
use proptest::prelude::*;
use store::Objects as _;
use store::fault::{Fault, Faults};
use store::{StoreError, Transaction};
use tlog::{
    Checkpoint, EntryTimestamp, GlobalIndex, Hash, ShardTree, Signer, TreeSize, UnixMillis,
};

use super::standstill::DROP_STANDSTILL;
use super::{Beginning, ImportedSoFar, OldEntry, OldShard};
use crate::control::ChangeError;
use crate::engine::Engine;
use crate::log::Log;
use crate::tests::rig::{Rig, Rows, caller};

/// A shard of another Rekor with its entries.
#[derive(Clone)]
struct Old {
    shard: OldShard,
    entries: Vec<OldEntry>,
    root: Hash,
}

fn name() -> LogName {
    "neon".parse().unwrap()
}

fn old(tree_id: u64, before: u64, count: u64) -> Old {
    old_of((tree_id as u8, ""), tree_id, before, count)
}

/// A shard of a Rekor with this key, whose entries end with a text.
fn old_of((key, end): (u8, &str), tree_id: u64, before: u64, count: u64) -> Old {
    let signer = Signer::from_p256("rekor.old.example", &[key; 32]).unwrap();
    let mut tree = ShardTree::default();
    let entries = (0..count).map(|n| {
        let leaf = Bytes::from(format!("entry {n} of tree {tree_id}{end}"));
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

/// Begins an import without the trail.
async fn begin(
    engine: &Arc<Engine>,
    shards: &[OldShard],
) -> Result<Vec<ImportedSoFar>, ChangeError> {
    match engine.import_beginning(&name(), shards, None).await? {
        Beginning::Known(progress) => Ok(progress),
        Beginning::New(begins) => engine.import_begun(&name(), begins).await,
    }
}

async fn add(engine: &Engine, old: &Old, from: usize, to: usize) -> Result<(), ChangeError> {
    let some = old.entries[from..to].to_vec();
    let from = TreeSize::new(from as u64);
    let (log, tree) = (name(), old.shard.tree_id);
    let added = engine.import_added(&log, tree, from, some).await;
    added.map(drop)
}

/// Imports what is missing, as the command does, in pages of so many entries.
async fn copy(engine: &Arc<Engine>, all: &[Old], page: usize) -> Result<(), ChangeError> {
    let there = begin(engine, &heads(all)).await?;
    for (old, there) in all.iter().zip(there) {
        let mut from = there.imported.get() as usize;
        while from < old.entries.len() {
            let to = (from + page).min(old.entries.len());
            add(engine, old, from, to).await?;
            from = to;
        }
    }
    Ok(())
}

/// Imports what is missing, and makes the log.
async fn import(engine: &Arc<Engine>, all: &[Old], page: usize) -> Result<(), ChangeError> {
    copy(engine, all, page).await?;
    engine.create_log(document(all), caller()).await.map(drop)
}

/// Time passes, until no run of a drop that was continued can still delete anything.
fn nobody_deletes(rig: &Rig) {
    rig.time.pass(DROP_STANDSTILL.as_millis() as i64);
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
            begin(&one, &heads(&all)).await.unwrap();
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
                let there = begin(engine, &heads(&all)).await.unwrap();
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

/// Whichever write of a drop fails, or has an outcome that nobody knows: no log is made of what is left, and another drop ends it.
#[tokio::test(start_paused = true)]
async fn whatever_fails_in_a_drop() {
    let all = two();
    let faults: [fn() -> Fault; 4] = [
        || Fault::Fail(StoreError::Io("injected".into())),
        || Fault::Unknown,
        || Fault::Lose,
        || Fault::Partial(2),
    ];
    let rig = Rig::new();
    let (engine, _) = rig.server(&Faults::new()).await;
    copy(&engine, &all, 300).await.unwrap();
    engine.shutdown().await;
    let (rows, objects) = (rig.rows.rows(), rig.objects.objects());
    let (mut failed, mut halfway) = (0, 0);
    for n in 0..5 {
        for fault in faults {
            let (rig, faults) = (rig.on(rows.clone(), objects.clone()), Faults::new());
            let (engine, _) = rig.faulty_server(&faults, &faults).await;
            // Only what concerns this log.
            let mut seen = 0;
            faults.plan(move |_, operation| {
                let hit = operation.writes() && races::concerns(operation, "neon");
                seen += u64::from(hit);
                (hit && seen == n + 1).then(fault)
            });
            failed += u64::from(engine.import_dropped(&name()).await.is_err());
            faults.clear();
            engine.shutdown().await;
            let (engine, _) = rig.server(&Faults::new()).await;
            let of_log = |path: &&String| path.starts_with("neon/");
            let left = rig.objects.objects().keys().filter(of_log).count();
            let all_there = left == objects.keys().filter(of_log).count();
            if !all_there {
                engine
                    .create_log(document(&all), caller())
                    .await
                    .unwrap_err();
                engine
                    .preview_log(document(&all), caller())
                    .await
                    .unwrap_err();
                assert!(engine.log("neon").is_none());
            }
            if left > 0 && !all_there {
                halfway += 1;
                for refused in [
                    why(begin(&engine, &heads(&all)).await),
                    why(add(&engine, &all[1], 0, 5).await),
                    why(engine.create_log(document(&all), caller()).await),
                ] {
                    assert!(refused.contains("being dropped"), "{refused}");
                }
            }
            engine.import_dropped(&name()).await.unwrap();
            assert!(!rig.objects.objects().keys().any(|path| of_log(&path)));
            nobody_deletes(&rig);
            import(&engine, &all, 100).await.unwrap();
            whole(&engine, &all).await;
            engine.shutdown().await;
        }
    }
    assert!(
        failed > 6 && halfway > 0,
        "{failed} drops met a fault, {halfway} after some objects"
    );
}

/// A row that says "whole" is not believed alone.
#[tokio::test(start_paused = true)]
async fn no_log_is_made_over_missing_objects() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    copy(&engine, &all, 300).await.unwrap();
    engine.shutdown().await;
    let (rows, objects) = (rig.rows.rows(), rig.objects.objects());
    let of_log: Vec<_> = objects
        .keys()
        .filter(|path| path.starts_with("neon/"))
        .cloned()
        .collect();
    for gone in of_log {
        let mut left = objects.clone();
        left.remove(&gone);
        let rig = rig.on(rows.clone(), left);
        let (engine, _) = rig.server(&Faults::new()).await;
        let refused = why(engine.create_log(document(&all), caller()).await);
        assert!(
            refused.contains(&format!("{gone} of an imported shard is missing")),
            "{refused}"
        );
        assert_eq!(
            why(engine.preview_log(document(&all), caller()).await),
            refused
        );
        engine.shutdown().await;
    }
    for behind in [
        "neon/7/tile/entries/001",
        "neon/9/tile/0/000.p/6",
        "neon/9/times/000",
    ] {
        let mut more = objects.clone();
        more.insert(behind.to_owned(), Bytes::from_static(b"x"));
        let rig = rig.on(rows.clone(), more);
        let (engine, _) = rig.server(&Faults::new()).await;
        let refused = why(engine.create_log(document(&all), caller()).await);
        assert!(refused.contains(behind), "{refused}");
        engine.shutdown().await;
    }
}

/// What a server has signed is not taken for an import, nor deleted as one.
#[tokio::test(start_paused = true)]
async fn a_log_under_its_row_is_left_alone() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    copy(&engine, &all, 300).await.unwrap();
    let older = rig.rows.rows();
    engine.create_log(document(&all), caller()).await.unwrap();
    let log = whole(&engine, &all).await;
    grows(&log, &all).await;
    engine.shutdown().await;
    let made = rig.objects.objects();
    // The earlier rows are put back; and the same, with what the active shard has, or the imported ones have, alone.
    let one = |keep: fn(&str) -> bool| {
        let mut objects = made.clone();
        objects.retain(|path, _| !path.starts_with("neon/") || keep(path));
        objects
    };
    for objects in [
        made.clone(),
        one(|path| !path.starts_with("neon/2026a/")),
        one(|path| !path.ends_with("checkpoint") && !path.ends_with("seal")),
    ] {
        let rig = rig.on(older.clone(), objects.clone());
        let (engine, _) = rig.server(&Faults::new()).await;
        let mut longer = two();
        longer[1] = old(9, 300, 6);
        for refused in [
            why(begin(&engine, &heads(&longer)).await),
            why(engine.create_log(document(&all), caller()).await),
            why(engine.preview_log(document(&all), caller()).await),
            why(engine.import_dropped(&name()).await),
        ] {
            assert!(refused.contains("second history"), "{refused}");
        }
        engine.shutdown().await;
        let mut after = rig.objects.objects();
        after.retain(|path, _| path.starts_with("neon/"));
        assert!(
            after
                .iter()
                .all(|(path, bytes)| objects.get(path) == Some(bytes))
        );
        let none: crate::fsck::OpenNode<'_> = &|_| Box::pin(std::future::ready(Err("none".into())));
        let report = crate::fsck::fsck(&*rig.rows, &*rig.objects, none, &mut |_| {}).await;
        let findings = report.unwrap().findings;
        assert!(
            findings
                .iter()
                .any(|found| found.place.starts_with("neon/")),
            "{findings:?}"
        );
    }
}

/// A log without a shard that accepts entries would hold its writers without end.
#[tokio::test(start_paused = true)]
async fn a_log_gets_an_active_shard() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    copy(&engine, &all, 300).await.unwrap();
    let mut none = document(&all);
    none.shards
        .retain(|shard| shard.state == ShardState::Frozen);
    let mut planned = document(&all);
    planned.shards[2].state = ShardState::Planned;
    for config in [none, planned] {
        for refused in [
            why(engine.create_log(config.clone(), caller()).await),
            why(engine.preview_log(config.clone(), caller()).await),
        ] {
            assert!(refused.contains("no shard is active"), "{refused}");
        }
    }
    assert!(engine.log("neon").is_none());
    engine.create_log(document(&all), caller()).await.unwrap();
    let log = whole(&engine, &all).await;
    grows(&log, &all).await;
    engine.shutdown().await;
}

/// A server that does not know the format, and started while the entries were copied.
#[tokio::test(start_paused = true)]
async fn an_older_server_holds_the_end_back() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    copy(&engine, &all, 300).await.unwrap();
    engine
        .formats
        .heard(IMPORTS, [(IMPORTS - 1, "old:7".to_owned())].into_iter());
    for refused in [
        why(engine.create_log(document(&all), caller()).await),
        why(engine.preview_log(document(&all), caller()).await),
    ] {
        assert!(
            refused.contains("old:7") && refused.contains("upgrade"),
            "{refused}"
        );
    }
    engine.formats.heard(IMPORTS, std::iter::empty());
    engine.create_log(document(&all), caller()).await.unwrap();
    engine.shutdown().await;
}

/// The times of a bundle that is not full are read before it grows: what is lost is not made up.
#[tokio::test(start_paused = true)]
async fn entries_are_not_added_behind_lost_times() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    begin(&engine, &heads(&all)).await.unwrap();
    add(&engine, &all[0], 0, 300).await.unwrap();
    add(&engine, &all[1], 0, 3).await.unwrap();
    let path = "neon/9/times/000.p/3".to_owned();
    let right = rig.objects.objects()[&path].clone();
    let mut damaged = right.to_vec();
    damaged[40] ^= 1;
    // Three entries of which the second has no time, under a digest that is right.
    let bundle = tlog::TilePath::entries(0, 3);
    let mut times = crate::times::opened("9", bundle, &right).unwrap().to_vec();
    let each = times.len() / 3;
    times[each..2 * each].fill(0);
    let zero = crate::times::sealed("9", bundle, &times);
    for wrong in [None, Some(Bytes::from(damaged)), Some(zero)] {
        rig.objects.delete(vec![path.clone()]).await.unwrap();
        let puts = wrong.into_iter().map(|bytes| (path.clone(), bytes));
        rig.objects.put(puts.collect()).await.unwrap();
        let refused = why(add(&engine, &all[1], 3, 5).await);
        assert!(refused.contains("times"), "{refused}");
    }
    rig.objects.put(vec![(path, right)]).await.unwrap();
    import(&engine, &all, 2).await.unwrap();
    whole(&engine, &all).await;
    engine.shutdown().await;
    // The same in a log that is made: nobody can sign these again.
    let path = "neon/9/times/000.p/5".to_owned();
    let bundle = tlog::TilePath::entries(0, 5);
    let right = rig.objects.objects()[&path].clone();
    let mut times = crate::times::opened("9", bundle, &right).unwrap().to_vec();
    times[each..2 * each].fill(0);
    let zero = crate::times::sealed("9", bundle, &times);
    rig.objects.put(vec![(path.clone(), zero)]).await.unwrap();
    let none: crate::fsck::OpenNode<'_> = &|_| Box::pin(std::future::ready(Err("none".into())));
    let report = crate::fsck::fsck(&*rig.rows, &*rig.objects, none, &mut |_| {}).await;
    let findings = report.unwrap().findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].place, path);
}

fn restore(rig: &Rig) -> crate::Restore {
    crate::Restore {
        origin: "log.example.org".to_owned(),
        from: Vec::new(),
        kek: crate::testing::fresh_kek(),
        force: true,
        peers: Arc::new(mirror::NoPeerClient),
        coordination: rig.rows.clone(),
        objects: rig.objects.clone(),
        ambient: ambient::Ambient {
            time: rig.time.time(),
            ..ambient::Ambient::unset()
        },
    }
}

/// Each would remove what the other writes.
#[tokio::test(start_paused = true)]
async fn an_import_and_a_restore_keep_apart() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    let restore = restore(&rig);
    begin(&engine, &heads(&all)).await.unwrap();
    let begun = async || restore.begin(&restore.next("neon").await?).await;
    let refused = begun().await.unwrap_err().to_string();
    assert!(refused.contains("an import into the log neon"), "{refused}");
    // As it would be if both had begun.
    let key = format!("{RESTORING}neon");
    let both = Transaction {
        puts: vec![(key.clone(), Bytes::from_static(b"x"))],
        ..Transaction::default()
    };
    store::Coordination::transact(&*rig.rows, both).await;
    for refused in [
        why(add(&engine, &all[0], 0, 3).await),
        why(engine.import_dropped(&name()).await),
    ] {
        assert!(refused.contains("`logd restore`"), "{refused}");
    }
    let alone = Transaction {
        deletes: vec![key],
        ..Transaction::default()
    };
    store::Coordination::transact(&*rig.rows, alone).await;
    add(&engine, &all[0], 0, 3).await.unwrap();
    engine.import_dropped(&name()).await.unwrap();
    begun().await.unwrap();
    for refused in [
        why(begin(&engine, &heads(&all)).await),
        why(engine.create_log(document(&[]), caller()).await),
    ] {
        assert!(refused.contains("`logd restore`"), "{refused}");
    }
    engine.shutdown().await;
}

/// A restore that was forced may leave entries out: what the other Rekor signed is over other indexes and sizes then.
#[tokio::test(start_paused = true)]
async fn what_moved_has_no_signature() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    import(&engine, &all, 300).await.unwrap();
    let log = whole(&engine, &all).await;
    let state = log.ledger.state();
    let answers = |lengths: [u64; 2]| {
        let mut state = (*state).clone();
        let mut shards = state.shards.to_vec();
        let mut start = GlobalIndex::ZERO;
        for (shard, length) in shards.iter_mut().zip(lengths) {
            let length = TreeSize::new(length);
            shard.phase = order::state::Phase::Frozen { start, length };
            start = start + length;
        }
        state.shards = Arc::new(shards);
        ["7", "9", "2026a"].map(|name| crate::read::is_as_imported(&state, name))
    };
    assert_eq!(answers([300, 5]), [true, true, true]);
    assert_eq!(answers([300, 4]), [true, false, true]);
    assert_eq!(answers([299, 5]), [false, false, true]);
    assert_eq!(answers([0, 0]), [false, false, true]);
    engine.shutdown().await;
}

/// Tree heads only grow: a process that knows the larger one may still write up to it.
#[tokio::test(start_paused = true)]
async fn a_tree_head_does_not_go_back() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    let mut longer = two();
    longer[1] = old(9, 300, 7);
    begin(&engine, &heads(&all)).await.unwrap();
    begin(&engine, &heads(&longer)).await.unwrap();
    let refused = why(begin(&engine, &heads(&all)).await);
    assert!(refused.contains("tree head over 7 entries"), "{refused}");
    engine.shutdown().await;
}

/// The active tree was empty when the import began, or the old Rekor has made a shard since: what was copied stays.
#[tokio::test(start_paused = true)]
async fn a_list_of_trees_may_grow_at_its_end() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    begin(&engine, &heads(&all[..1])).await.unwrap();
    add(&engine, &all[0], 0, 200).await.unwrap();
    let mut reversed = heads(&all);
    reversed.reverse();
    for other in [reversed, heads(&all[1..])] {
        let refused = why(begin(&engine, &other).await);
        assert!(refused.contains("does not begin with them"), "{refused}");
    }
    let there = begin(&engine, &heads(&all)).await.unwrap();
    let there: Vec<_> = there.iter().map(|shard| shard.imported.get()).collect();
    assert_eq!(there, [200, 0]);
    // It does not become shorter again: a process may still write to the later trees.
    assert!(begin(&engine, &heads(&all[..1])).await.is_err());
    import(&engine, &all, 50).await.unwrap();
    whole(&engine, &all).await;
    engine.shutdown().await;
}

/// Each entry is signed, and together they are not the tree that was signed: the refusal points to it in the request.
#[tokio::test(start_paused = true)]
async fn a_wrong_root_is_pointed_to() {
    let (rig, mut all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    let signer = Signer::from_p256("rekor.old.example", &[9; 32]).unwrap();
    let head = Checkpoint {
        origin: "rekor.old.example - 9".to_owned(),
        size: 5,
        root: Hash([1; 32]),
        extensions: Vec::new(),
    };
    all[1].shard.note = tlog::sign(&head.to_text(), &[&signer]).unwrap();
    copy(&engine, &all, 300).await.unwrap();
    let refused = engine.create_log(document(&all), caller()).await;
    let Err(ChangeError::Unverified(found)) = refused else {
        panic!("it is refused");
    };
    assert_eq!(found.pointer, "/config/shards/1");
    // So does one for an entry.
    let mut entry = all[0].entries[1].clone();
    entry.seconds += 1;
    assert!(engine.import_dropped(&name()).await.unwrap());
    begin(&engine, &heads(&all)).await.unwrap();
    let some = vec![all[0].entries[0].clone(), entry];
    let added = engine.import_added(&name(), 7, TreeSize::ZERO, some).await;
    let Err(ChangeError::Unverified(found)) = added else {
        panic!("it is refused");
    };
    assert_eq!(found.pointer, "/entries/1");
    engine.shutdown().await;
}

/// What a process still writes of a dropped import is refused, also when the next one is as far.
#[tokio::test(start_paused = true)]
async fn editions_count_on_over_a_drop() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    begin(&engine, &heads(&all)).await.unwrap();
    let before = engine.importing("neon").await.unwrap().unwrap();
    assert!(engine.import_dropped(&name()).await.unwrap());
    assert!(!engine.import_dropped(&name()).await.unwrap());
    begin(&engine, &heads(&all)).await.unwrap();
    let mut stale = before.clone();
    stale.shards[0].imported = TreeSize::new(300);
    let stale = engine.note_import("neon", Vec::new(), stale).await;
    assert!(why(stale).contains("another process"));
    assert!(
        engine
            .create_imported(&document(&all), &before, caller())
            .await
            .is_err()
    );
    let there = begin(&engine, &heads(&all)).await.unwrap();
    assert_eq!(there[0].imported, TreeSize::ZERO);
    // A plain log may have the name of an import that was dropped, and then its row is gone.
    assert!(engine.import_dropped(&name()).await.unwrap());
    let mut plain = document(&[]);
    plain.rekor.v1 = false;
    engine.create_log(plain, caller()).await.unwrap();
    assert_eq!(rig.with("importing/"), 0);
    engine.shutdown().await;
}

/// An import that one run began to drop, and another one has dropped.
async fn continued_drop(engine: &Arc<Engine>, all: &[Old]) {
    copy(engine, all, 300).await.unwrap();
    let mut dropping = engine.importing("neon").await.unwrap().unwrap();
    dropping.stage = super::Stage::Dropping;
    engine
        .note_import("neon", Vec::new(), dropping)
        .await
        .unwrap();
    assert!(engine.import_dropped(&name()).await.unwrap());
}

/// A log that is made without the import may have folders of the same names, for instance a restored one that was imported once.
#[tokio::test(start_paused = true)]
async fn a_continued_drop_delays_every_log_of_that_name() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    continued_drop(&engine, &all).await;
    let restore = restore(&rig);
    let mut plain = document(&[]);
    plain.rekor.v1 = false;
    let refused = why(engine.create_log(plain.clone(), caller()).await);
    assert!(refused.contains("can be created in 600 s"), "{refused}");
    let begun = async || restore.begin(&restore.next("neon").await?).await;
    let refused = begun().await.unwrap_err().to_string();
    assert!(refused.contains("command again in 600 s"), "{refused}");
    nobody_deletes(&rig);
    begun().await.unwrap();
    engine.shutdown().await;

    let rig = Rig::new();
    let (engine, _) = rig.server(&Faults::new()).await;
    continued_drop(&engine, &all).await;
    nobody_deletes(&rig);
    engine.create_log(plain, caller()).await.unwrap();
    engine.shutdown().await;
}

/// What a clock wrote that was years ahead delays a log by the same ten minutes, counted from when somebody notices.
#[tokio::test(start_paused = true)]
async fn a_drop_that_was_continued_in_the_future_delays_nothing_for_long() {
    for is_copied in [false, true] {
        let (rig, all) = (Rig::new(), two());
        let (engine, _) = rig.server(&Faults::new()).await;
        continued_drop(&engine, &all).await;
        if is_copied {
            copy(&engine, &all, 300).await.unwrap();
        }
        let mut row = super::known(&*rig.rows, "neon").await.unwrap().unwrap();
        let continued = row.continued.unwrap().get();
        row.continued = Some(UnixMillis::new(continued + (1 << 40)));
        engine.note_import("neon", Vec::new(), row).await.unwrap();
        let plain = || {
            let mut plain = document(&[]);
            plain.rekor.v1 = false;
            plain
        };
        let refused = match is_copied {
            // A preview, since without one the command asks for nothing.
            true => why(engine.preview_log(document(&all), caller()).await),
            false => why(engine.create_log(plain(), caller()).await),
        };
        assert!(refused.contains("can be created in 600 s"), "{refused}");
        rig.time.pass(60_000);
        let made = || engine.create_log(if is_copied { document(&all) } else { plain() }, caller());
        let refused = why(made().await);
        assert!(refused.contains("can be created in 540 s"), "{refused}");
        rig.time.pass(540_000);
        made().await.unwrap();
        engine.shutdown().await;
    }
}

/// A drop that was interrupted may still delete what it has listed: when another run continues it, the log is made only after a while, however
/// soon it is imported again.
#[tokio::test(start_paused = true)]
async fn a_continued_drop_delays_the_log() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    continued_drop(&engine, &all).await;
    copy(&engine, &all, 300).await.unwrap();
    for refused in [
        why(engine.create_log(document(&all), caller()).await),
        why(engine.preview_log(document(&all), caller()).await),
    ] {
        assert!(refused.contains("can be created in"), "{refused}");
        // `logctl` knows by these words that the same command can succeed later.
        let words = "wait until then, and run the same `logctl import rekor` command again";
        assert!(refused.contains(words), "{refused}");
    }
    nobody_deletes(&rig);
    engine.create_log(document(&all), caller()).await.unwrap();
    whole(&engine, &all).await;
    engine.shutdown().await;
}

/// The pages of an import leave partial tiles, which nobody deletes before the log is made.
#[tokio::test(start_paused = true)]
async fn partial_tiles_go_once_the_log_is_made() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    copy(&engine, &all, 90).await.unwrap();
    let there = |path: &str| rig.objects.objects().contains_key(path);
    let stale = ["neon/7/tile/0/000.p/90", "neon/7/times/001.p/14"];
    assert!(stale.iter().all(|path| there(path)));
    engine.create_log(document(&all), caller()).await.unwrap();
    assert!(!stale.iter().any(|path| there(path)));
    whole(&engine, &all).await;
    engine.shutdown().await;
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
        (Vec::new(), "has 1 to"),
    ] {
        let why = why(begin(&engine, &heads).await);
        assert!(why.contains(said), "{why}");
    }
    begin(&engine, &heads(&all)).await.unwrap();
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
    assert!(
        partial.contains("only 0 of the 5 entries of tree 9"),
        "{partial}"
    );
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
    assert!(why(add(&engine, &all[1], 0, 5).await).contains("created already"));
    assert!(!engine.import_dropped(&name()).await.unwrap());
    let other = why(begin(&engine, &[old(11, 0, 3).shard]).await);
    assert!(other.contains("already exists"), "{other}");
    // The log does not grow with the old Rekor, and a repetition with another document is refused.
    let mut longer = two();
    longer[1] = old(9, 300, 7);
    let grown = why(begin(&engine, &heads(&longer)).await);
    assert!(
        grown.contains("created with 5 entries of tree 9, but the tree has 7 now"),
        "{grown}"
    );
    let fewer = why(begin(&engine, &heads(&all[..1])).await);
    assert!(fewer.contains("created with 2 imported shards"), "{fewer}");
    let again = |document: LogConfig| {
        let (engine, heads) = (Arc::clone(&engine), heads(&all));
        async move {
            let name = name();
            let began = engine.import_beginning(&name, &heads, Some(&document));
            began.await.map(drop)
        }
    };
    again(document(&all)).await.unwrap();
    let mut another = document(&all);
    another.rekor.v1 = false;
    assert!(why(again(another).await).contains("another configuration"));
    whole(&engine, &all).await;
    engine.shutdown().await;
}

/// With the document, all is refused at the beginning that would be refused at the end, and nothing is written.
#[tokio::test(start_paused = true)]
async fn what_cannot_end_does_not_begin() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    let with = async |document: LogConfig| {
        let (name, heads) = (name(), heads(&all));
        let began = engine.import_beginning(&name, &heads, Some(&document));
        began.await.map(drop)
    };
    let mut other = document(&[]);
    other.log = "argon".parse().unwrap();
    other.origin = "taken.example.org".to_owned();
    engine.create_log(other.clone(), caller()).await.unwrap();
    let mut taken = document(&all);
    taken.origin.clone_from(&other.origin);
    let mut length = document(&all);
    length.shards[0].length = Some(299);
    let mut twice = document(&all);
    twice.shards[2].name = twice.shards[0].name.clone();
    let mut log = document(&all);
    log.log = other.log.clone();
    for (document, said) in [
        (taken, "has the origin"),
        (length, "was imported with 300"),
        (twice, "7"),
        (log, "the document is of the log argon"),
        (document(&all[..1]), "other frozen shards"),
    ] {
        let refused = why(with(document).await);
        assert!(refused.contains(said), "{refused}");
    }
    with(document(&all)).await.unwrap();
    assert_eq!(rig.with("importing/"), 0);
    // One that has begun is looked at in the same way.
    begin(&engine, &heads(&all)).await.unwrap();
    let refused = why(with(document(&all[..1])).await);
    assert!(refused.contains("other frozen shards"), "{refused}");
    with(document(&all)).await.unwrap();
    engine.shutdown().await;
}

/// Nothing is left of an import that was dropped, and another one begins where it was.
#[tokio::test(start_paused = true)]
async fn a_dropped_import_leaves_nothing() {
    let (rig, all) = (Rig::new(), two());
    let (engine, _) = rig.server(&Faults::new()).await;
    begin(&engine, &heads(&all)).await.unwrap();
    add(&engine, &all[0], 0, 280).await.unwrap();
    let another = why(begin(&engine, &heads(&all[..1])).await);
    assert!(another.contains("--drop"), "{another}");
    assert!(engine.import_dropped(&name()).await.unwrap());
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
