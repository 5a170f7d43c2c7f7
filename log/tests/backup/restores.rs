//! A log that is rebuilt from its secondaries.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use log::store::{Directory, Sqlite};
use log::{Kek, Peers, Request};
use tlog::{Checkpoint, Note};

use crate::network::Way;
use crate::world::{ORIGIN, World, append, caller, create, folder, published, until};

impl World {
    fn restore(&self, to: &str, from: &[&str], force: bool) -> log::Restore {
        let dir = self.path(to);
        std::fs::create_dir_all(&dir).unwrap();
        log::Restore {
            origin: ORIGIN.to_owned(),
            from: from
                .iter()
                .map(|name| format!("http://{name}.example.org/"))
                .collect(),
            kek: Kek::from_file(&self.path("kek")).unwrap(),
            force,
            peers: Arc::clone(&self.network) as Arc<dyn Peers>,
            coordination: Arc::new(Sqlite::open(&dir.join("coordination.db")).unwrap()),
            objects: Arc::new(Directory::open(&dir.join("objects")).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_primary_is_rebuilt_and_goes_on() {
    let world = World::new();
    let engine = world.primary("primary").await;
    let log = create(&engine, &["x", "yy", "zzz"], 2).await;
    let key = log.replication_key().await.unwrap();
    let x = world.secondary("x", "x", &key).await;
    for name in ["yy", "zzz"] {
        world.secondary(name, name, &key).await;
    }
    append(&log, 600).await;
    published(&log, 600).await;
    let rotate = Request::Rotate {
        name: None,
        base: None,
        force: false,
    };
    log.change(rotate, caller()).await.unwrap();
    append(&log, 300).await;
    published(&log, 900).await;
    // One secondary is behind from here on.
    world.network.set("zzz.example.org", Way::Dead);
    append(&log, 100).await;
    published(&log, 1000).await;
    let before = log.status();
    let second = before.shards[1].name.clone();
    let old = std::fs::read_to_string(folder(&world, &second).join("checkpoint")).unwrap();
    let seal = std::fs::read(folder(&world, "a").join("seal")).unwrap();
    // What comes last is announced to one secondary, and copied by none.
    world.network.set("yy.example.org", Way::Dead);
    world.network.set("x.example.org", Way::Announced);
    log.append(Bytes::from_static(b"lost")).await.unwrap();
    until("it is announced", || {
        let last = x.status().into_iter().find(|s| s.origin.ends_with(&second));
        last.is_some_and(|s| s.pending == 401)
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    std::fs::remove_dir_all(world.path("primary")).unwrap();
    world.network.set("x.example.org", Way::Open);
    world.network.set("yy.example.org", Way::Open);

    world.network.set("zzz.example.org", Way::Open);
    let few = world.restore("few", &["zzz"], false).run().await;
    assert!(
        matches!(&few, Err(log::RestoreError::TooFew(why)) if why.contains("1 of the 3") && why.contains("2 must")),
        "{few:?}"
    );
    let twice = world.restore("few", &["x", "x"], false).run().await;
    assert!(
        matches!(twice, Err(log::RestoreError::TooFew(_))),
        "one that is named twice is one"
    );
    let other = log::Restore {
        kek: Kek::generate().unwrap(),
        ..world.restore("few", &["x", "yy"], false)
    };
    assert!(matches!(
        other.run().await,
        Err(log::RestoreError::Manifest { .. })
    ));
    let forced = world.restore("forced", &["zzz"], true).run().await.unwrap();
    assert!(forced.warnings.iter().any(|w| w.contains("forced")) && forced.shards[1].1 == 300);

    let restored = world
        .restore("restored", &["zzz", "yy"], false)
        .run()
        .await
        .unwrap();
    assert_eq!(restored.shards[0].1, 600);
    assert_eq!(
        (restored.shards[1].1, restored.warnings.len()),
        (400, 0),
        "{restored:?}"
    );
    let again = world.restore("restored", &["zzz", "yy"], false).run().await;
    assert!(matches!(again, Err(log::RestoreError::Exists(_))));

    let engine = world.primary("restored").await;
    let log = engine.log("dev").unwrap();
    published(&log, 1000).await;
    let after = log.status();
    assert_eq!(after.generation, before.generation);
    for (old, new) in before.shards.iter().zip(&after.shards) {
        assert_eq!(
            (&old.origin, &old.vkey, old.start_index),
            (&new.origin, &new.vkey, new.start_index)
        );
    }
    // What readers hold is a prefix of what they get; here it is the same.
    let at = |text: &str| Checkpoint::parse(Note::parse(text).unwrap().text).unwrap();
    let path = world
        .path("restored/objects/dev")
        .join(&second)
        .join("checkpoint");
    until("it is signed again", || path.exists()).await;
    assert_eq!(at(&std::fs::read_to_string(&path).unwrap()), at(&old));
    assert_eq!(
        std::fs::read(world.path("restored/objects/dev/a/seal")).unwrap(),
        seal
    );
    // And it goes on: writes, the quorum, the manifest, a rotation.
    append(&log, 50).await;
    published(&log, 1050).await;
    let rotate = Request::Rotate {
        name: None,
        base: None,
        force: false,
    };
    log.change(rotate, caller()).await.unwrap();
    append(&log, 10).await;
    published(&log, 1060).await;
    until("no secondary complains", || {
        let all = log.replicas().secondaries();
        all.len() == 3
            && all
                .values()
                .all(|s| s.trouble.is_none() && s.alarm.is_none())
    })
    .await;
    engine.shutdown().await;
    drop((log, engine));
    let report = fsck(&world.path("restored")).await;
    assert!(report.is_empty(), "{report:?}");
}

async fn fsck(dir: &Path) -> Vec<String> {
    let store = Sqlite::open(&dir.join("coordination.db")).unwrap();
    let objects = Directory::open(&dir.join("objects")).unwrap();
    let report = log::fsck::fsck(&store, &objects, &|_| Err("none".into()), &mut |_| {})
        .await
        .unwrap();
    report.findings.iter().map(|f| format!("{f:?}")).collect()
}
