//! A log whose origins are host names, with shards of Ed25519 and of ECDSA: everything that verifies a log takes it.

use std::path::PathBuf;
use std::sync::Arc;

use engine::{ChangeError, Engine, Log, ReadError, Request};
use logconfig::{Algorithm, LogConfig, OriginForm};
use tlog::{Checkpoint, GlobalIndex, Note, Seal, TreeSize, VerifierKey};

use crate::world::{World, append, caller, configure, cosigner, fsck, published, until};

const ORIGIN: &str = "log.example.org";

async fn create(engine: &Arc<Engine>, witness: &str) -> Arc<Log> {
    let mut config = LogConfig::new("dev".parse().unwrap(), ORIGIN.into(), "a".parse().unwrap());
    config.origin_form = OriginForm::Host;
    config.merge.checkpoint_interval = logconfig::Span::from_millis(10);
    config.merge.secondaries = vec![logconfig::SecondaryConfig {
        name: "x".parse().unwrap(),
        url: "http://x.example.org".to_owned(),
        vkey: cosigner("x").verifier().to_string(),
    }];
    config.merge.backup_quorum = 1;
    config.witnesses.policy = format!("{witness}quorum w\n");
    engine.create_log_unaudited(config, caller()).await.unwrap();
    engine.log("dev").unwrap()
}

/// Plans a shard, so that its witness may know it, and opens it.
async fn rotate(log: &Log, name: &str) {
    let name: Option<logconfig::ShardName> = Some(name.parse().unwrap());
    let (base, force) = (None, false);
    let shards = log.config().shards;
    if shards
        .iter()
        .all(|shard| Some(&shard.name) != name.as_ref())
    {
        let name = name.clone();
        let request = Request::PlanShard { name, base };
        log.change_unaudited(request, caller()).await.unwrap();
    }
    let request = Request::Rotate { name, base, force };
    log.change_unaudited(request, caller()).await.unwrap();
}

/// The Ed25519 key of a shard, and its ECDSA key if it has one.
fn keys(log: &Log, shard: &str) -> Vec<VerifierKey> {
    let shards = log.status().shards;
    let shard = shards.into_iter().find(|s| s.name == shard).unwrap();
    let vkeys = [Some(shard.vkey), shard.ecdsa_vkey];
    let keys = vkeys.into_iter().flatten();
    keys.map(|vkey| vkey.parse().unwrap()).collect()
}

/// Reads a shard as readers do: its checkpoint is signed by all its keys, witness and secondary.
async fn read(log: &Log, shard: &str) -> (String, Checkpoint) {
    let keys = keys(log, shard);
    let note = log.checkpoint(shard).await.unwrap().unwrap();
    let checkpoint = Checkpoint::open_all(&note, &keys.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(checkpoint.origin, format!("{shard}.{ORIGIN}"));
    let parsed = Note::parse(&note).unwrap();
    for name in ["w", "x"] {
        let cosigned = cosigner(name).verifier().find(&parsed).unwrap();
        assert!(cosigned.is_some(), "{name}: {note}");
    }
    (note, checkpoint)
}

/// The note for Rekor's first API says what the checkpoint says, in one line of the ECDSA key.
async fn rekor(log: &Log, shard: &str, checkpoint: &Checkpoint) {
    let (tree, keys) = (
        log.rekor_tree(shard).await.unwrap().unwrap(),
        keys(log, shard),
    );
    assert_eq!(
        (tree.size.get(), tree.root),
        (checkpoint.size, checkpoint.root)
    );
    let note = Note::parse(&tree.note).unwrap();
    assert_eq!(note.verify(&[&keys[1]]), Ok(vec![0]));
    assert_eq!(note.signatures.len(), 1);
    let of = Checkpoint::parse(note.text).unwrap();
    let shards = log.status().shards;
    let tree = shards.iter().find(|s| s.name == shard).unwrap().tree_id;
    assert_eq!(of.origin, format!("{shard}.{ORIGIN} - {tree}"));
    assert_eq!((of.size, of.root), (checkpoint.size, checkpoint.root));
}

/// The times of the entries of `b` and `c`, which no restart changes; `a` has no ECDSA key, and none of its entries is answered.
async fn timed(log: &Log) -> Vec<u64> {
    let none = log.rekor_entry(GlobalIndex::new(299)).await;
    assert!(matches!(none, Err(ReadError::NoEcdsa(_))), "{none:?}");
    let mut times = Vec::new();
    for index in (300..900).map(GlobalIndex::new) {
        let entry = log.rekor_entry(index).await.unwrap().unwrap();
        let key = &keys(log, if index.get() < 600 { "b" } else { "c" })[1];
        assert_eq!((entry.index, entry.log_id), (index, key.log_id()));
        assert_eq!(entry.leaf_index.get(), index.get() % 300);
        times.push(entry.time.get());
    }
    assert!(
        times.is_sorted() && times[0] > 1_700_000_000_000,
        "{times:?}"
    );
    times
}

fn path(world: &World, primary: &str, rest: &str) -> PathBuf {
    world.path(primary).join("objects/dev").join(rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_hosts_with_shards_of_both_kinds() {
    let world = World::new();
    let witness = world.witness("w");
    for w in world.network.witnesses.lock().unwrap().values_mut() {
        w.apart = Some(Default::default());
    }
    let engine = world.primary("primary").await;
    let log = create(&engine, &witness).await;
    let key = log.replication_key().await.unwrap();
    // The operator of a secondary is told the origin that it has to know.
    let (name, base, force) = (Some("b".parse().unwrap()), None, false);
    let Err(ChangeError::Invalid(findings)) =
        log.preview(Request::Rotate { name, base, force }).await
    else {
        panic!("a secondary that is not there knows no shard")
    };
    let found = findings
        .iter()
        .find(|f| f.code == "secondary-does-not-know");
    let hint = found.and_then(|found| found.hint.as_deref()).unwrap();
    assert!(hint.contains(&format!(" b.{ORIGIN} ")), "{hint}");
    let x = world.secondary("x", "x", &key).await;
    append(&log, 300).await;
    published(&log, 300).await;
    configure(&log, |config| config.key.algorithm = Algorithm::EcdsaP256).await;
    for (n, shard) in ["b", "c"].iter().enumerate() {
        rotate(&log, shard).await;
        append(&log, 300).await;
        published(&log, 600 + 300 * n as u64).await;
    }
    let algorithms = log
        .config()
        .shards
        .iter()
        .map(|s| s.key.algorithm)
        .collect::<Vec<_>>();
    assert_eq!(
        algorithms,
        [
            Algorithm::Ed25519,
            Algorithm::EcdsaP256,
            Algorithm::EcdsaP256
        ]
    );
    let seal = path(&world, "primary", "b/seal");
    until("it is sealed", || seal.exists()).await;
    let seal = Seal::open(&std::fs::read_to_string(seal).unwrap(), &keys(&log, "b")[0]).unwrap();
    assert_eq!(
        (seal.size, seal.successor_origin),
        (300, format!("c.{ORIGIN}"))
    );
    assert!(matches!(
        log.change_unaudited(Request::PlanShard { name: Some("d.e".parse().unwrap()), base: None }, caller()).await,
        Err(ChangeError::Invalid(findings)) if findings[0].code == "not-a-label"
    ));
    let planned = Request::PlanShard {
        name: Some("d".parse().unwrap()),
        base: None,
    };
    log.change_unaudited(planned, caller()).await.unwrap();
    let mut all = Vec::new();
    for shard in ["a", "b", "c"] {
        all.push(read(&log, shard).await);
    }
    rekor(&log, "b", &all[1].1).await;
    rekor(&log, "c", &all[2].1).await;
    // One that is planned is signed over nothing.
    let empty = log.checkpoint("d").await.unwrap().unwrap();
    let of_d = keys(&log, "d");
    let opened = Checkpoint::open_all(&empty, &of_d.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(opened.size, 0);
    rekor(&log, "d", &opened).await;
    assert!(matches!(
        log.rekor_tree("a").await,
        Err(ReadError::NoEcdsa(_))
    ));
    assert_eq!(log.rekor_tree("z").await.unwrap(), None);
    let timed = timed(&log).await;
    // The secondary shows its readers the lines of the shard's keys.
    until("it is shown", || {
        let status = x.status();
        status
            .iter()
            .filter(|s| s.mirrored == TreeSize::new(300))
            .count()
            == 3
    })
    .await;
    log.change_unaudited(Request::Freeze { now: false }, caller())
        .await
        .unwrap();
    let (before, frozen) = (log.status(), read(&log, "c").await);
    engine.shutdown().await;
    drop((log, engine));

    // After a restart every note is the one that was stored first.
    let engine = world.primary("primary").await;
    let log = engine.log("dev").unwrap();
    published(&log, 900).await;
    for (shard, before) in ["a", "b"].iter().zip(&all) {
        assert_eq!(&read(&log, shard).await, before);
    }
    rekor(&log, "b", &all[1].1).await;
    assert_eq!(self::timed(&log).await, timed);
    assert_eq!(read(&log, "c").await, frozen);
    log.change_unaudited(Request::Unfreeze, caller())
        .await
        .unwrap();
    append(&log, 30).await;
    published(&log, 930).await;
    let grown = read(&log, "c").await.1;
    assert_eq!(grown.size, 330);
    rekor(&log, "c", &grown).await;
    engine.shutdown().await;
    drop((log, engine));
    assert_eq!(fsck(&world.path("primary")).await, [""; 0]);

    // A final checkpoint that lost the line of a key is the shard's, and signed again.
    let checkpoint = path(&world, "primary", "b/checkpoint");
    let parsed = Note::parse(&all[1].0).unwrap();
    let ecdsa = format!("\n{}\n", all[1].0.lines().nth(4).unwrap());
    let without = all[1].0.replacen(&ecdsa, "\n", 1);
    assert_eq!(
        Note::parse(&without).unwrap().signatures.len() + 1,
        parsed.signatures.len()
    );
    std::fs::write(&checkpoint, &without).unwrap();
    let report = fsck(&world.path("primary")).await;
    assert!(
        report.len() == 1 && report[0].contains("lacks the signature"),
        "{report:?}"
    );
    let engine = world.primary("primary").await;
    let log = engine.log("dev").unwrap();
    let _ = log.checkpoint("b").await;
    until("it is signed again", || {
        std::fs::read_to_string(&checkpoint).unwrap() != without
    })
    .await;
    assert_eq!(read(&log, "b").await.1, all[1].1);
    engine.shutdown().await;
    drop((log, engine));
    assert_eq!(fsck(&world.path("primary")).await, [""; 0]);

    // Rebuilt from its secondary it has the same keys, of both kinds.
    std::fs::remove_dir_all(world.path("primary")).unwrap();
    let restore = engine::Restore {
        origin: ORIGIN.to_owned(),
        ..world.restore("restored", &["x"], false)
    };
    restore.run().await.unwrap();
    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    published(&log, 930).await;
    for (old, new) in before.shards.iter().zip(log.status().shards) {
        assert_eq!((&old.vkey, &old.ecdsa_vkey), (&new.vkey, &new.ecdsa_vkey));
    }
    append(&log, 30).await;
    published(&log, 960).await;
    rotate(&log, "d").await;
    append(&log, 30).await;
    published(&log, 990).await;
    for shard in ["a", "b", "c", "d"] {
        read(&log, shard).await;
    }
    assert_eq!(self::timed(&log).await, timed);
    for index in 900..990 {
        let entry = log.rekor_entry(GlobalIndex::new(index)).await.unwrap();
        assert!(entry.unwrap().time.get() >= timed[599]);
    }
    engine.shutdown().await;
    drop((log, engine));
    assert_eq!(fsck(&world.path("restored")).await, [""; 0]);
}
