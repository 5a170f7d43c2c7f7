//! Objects of logs and shards that the coordination store does not know.
//!
//! The two stores belong together, and an operator can separate them: the database is lost, or an older copy of it is put back, or its main
//! file is copied without the file beside it. The objects under a log's name were signed for readers. What must never happen: a new log, or
//! a new shard, over them. It would sign a second history.

use std::collections::{BTreeSet, HashSet};

use tlog::{Checkpoint, Note, TreeSize};

use crate::publish::sign_guard::judge::{Conflict, FoundAt};
use crate::publish::sign_guard::{SignGuard, judge};
use order::slot::ShardIdentity;
use store::{Objects, StoreError};

/// What is wrong with an orphan that [strayed](Orphan::strayed).
pub(crate) const STRAY: &str =
    "there is a checkpoint in a folder that is not its shard's; move the folder away";

/// Objects that only a shard has, the most telling first.
const PARTS: [&str; 4] = ["checkpoint", "seal", "tile", "times"];

/// An object of a shard that the coordination store does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orphan {
    /// The folder that the shard would have.
    pub(crate) shard: String,
    /// The object or folder.
    pub(crate) path: String,
    /// The signed checkpoint, when that is what it is: origin and size.
    pub(crate) signed: Option<(String, TreeSize)>,
}

impl Orphan {
    /// Whether a server has signed something of the shard.
    pub(crate) fn was_signed(&self) -> bool {
        ["/checkpoint", "/seal"]
            .iter()
            .any(|part| self.path.ends_with(part))
    }

    /// The origin of its checkpoint, if no shard of this name in the log of `sibling` has that origin: somebody copied the folder of another
    /// shard. It says nothing about how old the coordination store is.
    pub(crate) fn strayed(&self, sibling: &ShardIdentity) -> Option<&str> {
        let (origin, _) = self.signed.as_ref()?;
        let (theirs, own) = (&sibling.name, &self.shard);
        let log = sibling.origin.strip_suffix(&format!("/{theirs}"));
        let path = log.map(|log| format!("{log}/{own}"));
        let log = sibling.origin.strip_prefix(&format!("{theirs}."));
        let host = log.map(|log| format!("{own}.{log}"));
        (![path, host].contains(&Some(origin.clone()))).then_some(origin)
    }

    /// The log is known: the coordination store is older than the shard.
    pub(crate) fn older(&self) -> Conflict {
        let has = match &self.signed {
            Some((origin, size)) => format!("a signed checkpoint of {origin} at size {size}"),
            None => format!("objects of shard {}", self.shard),
        };
        let only = format!("knows no shard {}", self.shard);
        judge::older(&FoundAt::Objects(self.path.clone()), &has, &only)
    }
}

impl std::fmt::Display for Orphan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)?;
        match &self.signed {
            Some((origin, size)) if size.get() == 1 => {
                write!(f, ", a signed checkpoint of {origin} over 1 entry")
            }
            Some((origin, size)) => {
                write!(f, ", a signed checkpoint of {origin} over {size} entries")
            }
            None => Ok(()),
        }
    }
}

/// The objects in the folder of a shard.
pub(crate) async fn of_shard(
    objects: &dyn Objects,
    log: &str,
    shard: &str,
) -> Result<Option<Orphan>, StoreError> {
    let folder = format!("{log}/{shard}");
    let names = objects.names(&folder).await?;
    let Some(part) = PARTS.iter().find(|part| names.iter().any(|n| n == **part)) else {
        return Ok(None);
    };
    let path = format!("{folder}/{part}");
    let mut signed = None;
    if *part == PARTS[0]
        && let Some(bytes) = objects.get(&path).await?
        && let Ok(text) = std::str::from_utf8(&bytes)
        && let Ok(note) = Note::parse(text)
    {
        // The key is unknown here; readers of the checkpoint know it.
        let checkpoint = Checkpoint::parse(note.text).ok();
        signed = checkpoint.map(|checkpoint| (checkpoint.origin, TreeSize::new(checkpoint.size)));
    }
    Ok(Some(Orphan {
        shard: shard.to_owned(),
        path,
        signed,
    }))
}

/// The first object under the name of a log.
pub(crate) async fn of_log(objects: &dyn Objects, log: &str) -> Result<Option<Orphan>, StoreError> {
    of_others(objects, log, |_| false, 1)
        .await
        .map(|mut found| found.pop())
}

/// The objects under the name of a log, except those of known shards; at most `most`.
pub(crate) async fn of_others(
    objects: &dyn Objects,
    log: &str,
    known: impl Fn(&str) -> bool,
    most: usize,
) -> Result<Vec<Orphan>, StoreError> {
    let shards: BTreeSet<String> = objects.names(log).await?.into_iter().collect();
    let mut found = Vec::new();
    for shard in shards.iter().filter(|shard| !known(shard)) {
        found.extend(of_shard(objects, log, shard).await?);
        if found.len() >= most {
            break;
        }
    }
    Ok(found)
}

/// Refuses a store of a log that does not know all its shards. `false`: the slots that would show it were collected before they were read.
///
/// # Errors
/// [`StoreError::Corrupt`] names the first.
pub(crate) async fn refuse(guard: &SignGuard) -> Result<bool, StoreError> {
    let (ledger, objects) = (&guard.ledger, &guard.objects);
    let shards = || -> HashSet<String> {
        let state = ledger.state();
        let names = state.shards.iter().map(|s| s.identity.name.clone());
        names.collect()
    };
    let known = shards();
    let mut found = of_others(
        &*objects.store,
        &ledger.name,
        |s| known.contains(s),
        usize::MAX,
    )
    .await?;
    found.retain(|orphan| {
        let state = ledger.state();
        let origin = state
            .shards
            .first()
            .and_then(|s| orphan.strayed(&s.identity));
        if let Some(origin) = origin {
            tracing::warn!(log = ledger.name, folder = orphan.path, origin, "{STRAY}");
        }
        origin.is_none()
    });
    if found.is_empty() {
        return Ok(true);
    }
    // Another process may have opened it since.
    if !ledger.catch_up().await? {
        return Ok(false);
    }
    let known = shards();
    match found.iter().find(|orphan| !known.contains(&orphan.shard)) {
        None => Ok(true),
        Some(orphan) => {
            let older = orphan.older();
            guard.stop(&older);
            Err(StoreError::Corrupt(older.to_string()))
        }
    }
}

/// The refusal to create a log over objects of its name.
pub(crate) fn occupied(log: &str, orphan: &Orphan) -> String {
    format!(
        "the object store holds {orphan}, but the coordination store knows no log {log}: it is new, or an older copy, or only a part of \
         one; a new log of that name would sign a second history. Put the coordination store back whole (the database and the -wal \
         file beside it), or rebuild the log from its secondaries with `logd restore`; for a new log, choose another name or an \
         empty object store"
    )
}

/// The refusal to plan a shard over objects of its name, in a log that has this shard.
pub(crate) fn shard_occupied(orphan: &Orphan, sibling: &ShardIdentity) -> String {
    match orphan.strayed(sibling) {
        Some(_) => format!("the object store holds {orphan}: {STRAY}, or choose another name"),
        None => orphan.older().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use tlog::GlobalIndex;

    use bytes::Bytes;
    use logconfig::{LogConfig, LogName, ShardName};

    use crate::testing;
    use crate::tests::rig::{Rig, caller};
    use crate::{ChangeError, Engine, Log, Request};
    use store::fault::Faults;
    use store::{Key, MemoryCoordination, Objects as _};

    fn named(log: &str, origin: &str) -> LogConfig {
        let name = LogName::try_from(log.to_owned()).unwrap();
        LogConfig::new(
            name,
            origin.into(),
            ShardName::try_from("b".to_owned()).unwrap(),
        )
    }

    /// A log with a published entry, stopped, and what its coordination store held.
    async fn published() -> (Rig, BTreeMap<Key, Bytes>) {
        let rig = Rig::new();
        let (engine, log) = rig.server(&Faults::new()).await;
        append(&log).await;
        engine.shutdown().await;
        let rows = rig.rows.rows();
        (rig, rows)
    }

    async fn append(log: &Log) {
        let at = log.append(Bytes::from_static(b"x")).await.unwrap();
        log.wait_published(at.index).await.unwrap();
    }

    fn with(rig: &mut Rig, rows: BTreeMap<Key, Bytes>) {
        rig.rows = Arc::new(MemoryCoordination::with(rows));
    }

    fn of_dev(key: &str) -> bool {
        key.starts_with("log/dev/") || key == "logs/dev" || key == "origin/example.org/dev"
    }

    async fn open(rig: &Rig) -> Result<Arc<Engine>, crate::EngineError> {
        let kek = testing::fresh_kek();
        Engine::open(testing::options_on(
            rig.rows.clone(),
            rig.objects.clone(),
            kek,
        ))
        .await
    }

    fn conflict<T>(outcome: Result<T, ChangeError>) -> String {
        match outcome {
            Err(ChangeError::Conflict(why)) => why,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("made all the same"),
        }
    }

    /// The coordination store is lost, or only a part of it was copied: no new log begins over what was signed.
    #[tokio::test(flavor = "multi_thread")]
    async fn no_log_is_made_over_objects() {
        let (mut rig, rows) = published().await;
        let before = rig.objects.objects();
        with(&mut rig, BTreeMap::new());
        let why = open(&rig).await.err().unwrap().to_string();
        assert!(
            why.contains("system/1/checkpoint") && why.contains("-wal"),
            "{why}"
        );
        assert!(rig.rows.rows().is_empty(), "nothing is left behind");

        // The system log is known, the other one is not.
        with(
            &mut rig,
            rows.into_iter().filter(|(key, _)| !of_dev(key)).collect(),
        );
        let engine = open(&rig).await.unwrap();
        let config = named("dev", "example.org/dev");
        let why = conflict(engine.preview_log(config.clone(), caller()).await);
        assert!(
            why.contains("dev/a/checkpoint, a signed checkpoint of example.org/dev/a over 1 entry"),
            "{why}"
        );
        assert_eq!(conflict(engine.create_log(config, caller()).await), why);
        assert!(!rig.rows.rows().keys().any(|key| of_dev(key)));
        engine
            .create_log(named("other", "example.org/other"), caller())
            .await
            .unwrap();
        engine.shutdown().await;
        let mut after = rig.objects.objects();
        after.retain(|path, _| path.starts_with("dev/"));
        assert!(
            after.iter().all(|(path, bytes)| before[path] == *bytes),
            "nothing was written over"
        );
    }

    /// A creation that a crash cut short is finished by the next one, but not if there are objects already.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_creation_that_was_cut_short_is_finished() {
        let (mut rig, mut rows) = published().await;
        rows.retain(|key, _| !key.starts_with("log/dev/"));
        with(&mut rig, rows);
        let engine = open(&rig).await.unwrap();
        let config = named("dev", "example.org/dev");
        conflict(engine.create_log(config.clone(), caller()).await);
        let paths = rig.objects.list("dev").await.unwrap();
        rig.objects.delete(paths).await.unwrap();
        engine.shutdown().await;
        let engine = open(&rig).await.unwrap();
        engine.create_log(config, caller()).await.unwrap();
        append(&engine.log("dev").unwrap()).await;
        engine.shutdown().await;
    }

    /// Two logs never have one origin, even when the rows that record its owner do not exist yet.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_origin_is_given_once() {
        let (mut rig, mut rows) = published().await;
        let second = named("second", "example.org/dev");
        for strip in [false, true] {
            if strip {
                rows.retain(|key, _| !key.starts_with("origin/"));
            }
            with(&mut rig, rows.clone());
            let (engine, _) = rig.server(&Faults::new()).await;
            for why in [
                conflict(engine.preview_log(second.clone(), caller()).await),
                conflict(engine.create_log(second.clone(), caller()).await),
            ] {
                assert!(why.contains("the log dev has the origin"), "{why}");
            }
            engine.shutdown().await;
        }
        // A log that another process is creating at the moment.
        let other = store::record::encode(&"third".to_owned());
        rows.insert("origin/example.org/second".into(), other);
        with(&mut rig, rows);
        let (engine, _) = rig.server(&Faults::new()).await;
        let second = named("second", "example.org/second");
        let why = conflict(engine.create_log(second, caller()).await);
        assert!(why.contains("the log third"), "{why}");
        engine.shutdown().await;
    }

    /// An operator copied a shard's folder beside it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_copy_of_another_shards_folder_halts_nothing() {
        let (rig, _) = published().await;
        let note = rig.objects.objects()["dev/a/checkpoint"].clone();
        let copy = vec![("dev/a.bak/checkpoint".to_owned(), note)];
        rig.objects.put(copy).await.unwrap();
        let (engine, log) = rig.server(&Faults::new()).await;
        append(&log).await;
        append(&engine.system().unwrap()).await;
        // `fsck` and a plan of that name say what it is.
        let plan = Request::PlanShard {
            name: Some(ShardName::try_from("a.bak".to_owned()).unwrap()),
            base: None,
        };
        let why = conflict(log.change(plan, caller()).await);
        assert!(why.contains("not its shard's"), "{why}");
        engine.shutdown().await;
        let none: crate::fsck::OpenNode<'_> = &|_| Box::pin(std::future::ready(Err("none".into())));
        let report = crate::fsck::fsck(&*rig.rows, &*rig.objects, none, &mut |_| {}).await;
        let findings = report.unwrap().findings;
        let remedies: Vec<_> = findings.iter().map(|found| found.remedy).collect();
        assert_eq!(remedies, [crate::fsck::remedy::STRAY], "{findings:?}");
    }

    /// An older coordination store, from before a rotation: the shard that was opened since is not opened again.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_shard_that_the_store_does_not_know_halts_its_log() {
        let (mut rig, rows) = published().await;
        let name = ShardName::try_from("b".to_owned()).unwrap();
        let plan = || Request::PlanShard {
            name: Some(name.clone()),
            base: None,
        };
        with(&mut rig, rows.clone());
        let (engine, log) = rig.server(&Faults::new()).await;
        let note = Bytes::from_static(b"example.org/dev/b\n7\nroot\n");
        rig.objects
            .put(vec![("dev/b/checkpoint".into(), note)])
            .await
            .unwrap();
        let why = conflict(log.change(plan(), caller()).await);
        assert!(why.contains("dev/b/checkpoint"), "{why}");
        rig.objects
            .delete(vec!["dev/b/checkpoint".into()])
            .await
            .unwrap();
        let rotate = Request::Rotate {
            name: Some(name.clone()),
            base: None,
            force: false,
        };
        log.change(rotate, caller()).await.unwrap();
        append(&log).await;
        engine.shutdown().await;

        let newer = rig.rows.rows();
        with(&mut rig, rows);
        let (engine, log) = rig.server(&Faults::new()).await;
        let why = log.status().reason.unwrap_or_default();
        assert!(
            why.contains("dev/b/checkpoint") && why.contains(OLDER),
            "{why}"
        );
        assert!(log.append(Bytes::from_static(b"y")).await.is_err());
        assert_eq!(
            log.status().watermarks.published,
            GlobalIndex::new(1),
            "what is known is shown"
        );
        engine.shutdown().await;
        // Every check reports it with the same sentence and remedy.
        let nodes =
            |_: &str| -> crate::Opening<'_> { Box::pin(std::future::ready(Err(String::new()))) };
        let report = crate::fsck::fsck(&*rig.rows, &*rig.objects, &nodes, &mut |_| {})
            .await
            .unwrap();
        assert!(report.findings.len() > 1, "{report:#?}");
        for finding in &report.findings {
            assert!(finding.what.starts_with(OLDER), "{finding:?}");
            assert_eq!(finding.remedy, super::judge::OLDER, "{finding:?}");
        }
        let said = |finding: &crate::fsck::Finding| format!("{}; {}", finding.what, finding.remedy);
        assert!(report.findings.iter().any(|f| said(f) == why), "{why}");
        with(&mut rig, newer);
        let (engine, log) = rig.server(&Faults::new()).await;
        append(&log).await;
        engine.shutdown().await;
    }

    const OLDER: &str = "the coordination store is older than what was made from it";

    /// `fsck` names signed objects of logs and shards that the coordination store does not know.
    #[tokio::test(flavor = "multi_thread")]
    async fn fsck_names_them() {
        let (rig, mut rows) = published().await;
        let note = Bytes::from_static(b"example.org/dev/b\n7\nroot\n");
        rig.objects
            .put(vec![("dev/b/checkpoint".into(), note)])
            .await
            .unwrap();
        let nodes =
            |_: &str| -> crate::Opening<'_> { Box::pin(std::future::ready(Err(String::new()))) };
        let unknown = "the coordination store does not know";
        for (keep, place, said) in [
            (true, "dev/b/checkpoint", OLDER),
            (false, "dev/a/checkpoint", unknown),
        ] {
            rows.retain(|key, _| keep || !of_dev(key));
            let coordination = MemoryCoordination::with(rows.clone());
            let report = crate::fsck::fsck(&coordination, &*rig.objects, &nodes, &mut |_| {})
                .await
                .unwrap();
            let found = report.findings.iter().find(|f| f.place == place);
            let what = &found.unwrap_or_else(|| panic!("{report:#?}")).what;
            assert!(what.contains(said), "{what}");
        }
    }
}
