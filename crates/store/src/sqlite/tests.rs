use std::process::Command as Process;
use std::sync::Arc;

use super::*;
use crate::conformance::{coordination, coordination_shared};
use crate::{Guard, MemoryCoordination};

const CHILD: &str = "STORE_TEST_CHILD";

fn put(key: &str, value: Vec<u8>) -> Transaction {
    Transaction {
        puts: vec![(key.into(), value.into())],
        ..Transaction::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    let next = AtomicU64::new(0);
    coordination(|| {
        let name = next.fetch_add(1, Ordering::Relaxed).to_string();
        Arc::new(Sqlite::open(&folder.path().join(name)).unwrap())
    })
    .await;
    let path = folder.path().join("shared");
    coordination_shared(|| Arc::new(Sqlite::open(&path).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    coordination(|| Arc::new(MemoryCoordination::new())).await;
    let store = Arc::new(MemoryCoordination::new());
    coordination_shared(|| store.clone()).await;
}

/// Transactions that are queued while a commit is under way share the next one.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("db")).unwrap();
    let before = store.stats();
    let all = (0..300).map(|n| store.transact(put(&n.to_string(), vec![0; 100])));
    for outcome in futures_util::future::join_all(all).await {
        assert!(matches!(outcome, Outcome::Committed));
    }
    let after = store.stats();
    assert_eq!(after.transactions - before.transactions, 300);
    assert!(after.commits - before.commits < 150, "{after:?}");
    // Nothing to write: nothing to commit.
    let refused = Transaction {
        guards: vec![Guard::Absent("0".into())],
        ..put("x", vec![])
    };
    assert!(matches!(store.transact(refused).await, Outcome::Refused));
    assert_eq!(store.stats().commits, after.commits);
}

/// The WAL starts over again and again while commits never stop, also while others read.
#[tokio::test(flavor = "multi_thread")]
async fn the_wal_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Sqlite::open(&path).unwrap();
    let mut largest = 0;
    let mut written = 0u32;
    // Until it has started over several times, whatever that takes; it must not have grown far by then.
    let mut restarts = 0;
    let mut last = 0;
    while restarts < 3 {
        // New bytes each time: SQLite does not write bytes that are already there.
        let batch = (written..written + 8)
            .map(|n| store.transact(put(&(n % 100).to_string(), vec![n as u8; 60_000])));
        let (outcomes, rows) = tokio::join!(
            futures_util::future::join_all(batch),
            store.scan("", "", 20)
        );
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Outcome::Committed))
        );
        rows.unwrap();
        written += 8;
        let pages = store.stats().wal_pages;
        restarts += u32::from(pages < last);
        last = pages;
        largest = largest.max(pages);
        assert!(
            largest < 64 * 1024 * 1024 / connection::PAGE_BYTES,
            "{largest} pages, {restarts} restarts"
        );
    }
    let length = std::fs::metadata(folder.path().join("db-wal"))
        .unwrap()
        .len();
    // A frame is a page and 24 bytes; the file keeps the largest size it had.
    assert!(
        length >= u64::from(largest) * u64::from(connection::PAGE_BYTES),
        "the WAL was truncated: {length}"
    );
}

/// A reader that never ends cannot make the WAL grow forever, once it ends; and commits continue meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_read_delays_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Sqlite::open(&path).unwrap();
    assert!(matches!(
        store.transact(put("a", vec![1])).await,
        Outcome::Committed
    ));
    let reader = super::connection::open_reader(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM kv").unwrap();
    let round = AtomicU32::new(0);
    let write = || async {
        let round = round.fetch_add(1, Ordering::Relaxed) as u8;
        let batch = (0..16).map(|n| store.transact(put(&n.to_string(), vec![round; 60_000])));
        for outcome in futures_util::future::join_all(batch).await {
            assert!(matches!(outcome, Outcome::Committed));
        }
    };
    while store.stats().wal_pages < 9 * 1024 * 1024 / connection::PAGE_BYTES {
        write().await;
    }
    drop(reader);
    let grown = store.stats().wal_pages;
    while store.stats().wal_pages >= grown {
        write().await;
    }
}

/// After a commit of unknown fate nothing is answered before its frames are overwritten.
#[tokio::test(flavor = "multi_thread")]
async fn doubt_is_settled_before_a_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("db")).unwrap();
    assert!(matches!(
        store.transact(put("a", vec![1])).await,
        Outcome::Committed
    ));
    // A reader's connection keeps the WAL from being removed when the writer's is closed.
    assert!(store.get("a").await.unwrap().is_some());
    store.shared.doubtful.store(true, Ordering::Release);
    store.send(Command::Doubt).unwrap();
    let before = store.shared.wal_pages.load(Ordering::Relaxed);
    assert_eq!(store.get("a").await.unwrap().as_deref(), Some(&[1][..]));
    assert!(!store.shared.doubtful.load(Ordering::Acquire));
    assert!(
        store.shared.wal_pages.load(Ordering::Relaxed) > before,
        "no frame was put over what is in doubt"
    );
    assert!(matches!(
        store.transact(put("a", vec![2])).await,
        Outcome::Committed
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    assert!(matches!(Sqlite::open(&path), Err(StoreError::Corrupt(_))));
    std::fs::write(folder.path().join("text"), vec![b'x'; 5000]).unwrap();
    assert!(matches!(
        Sqlite::open(&folder.path().join("text")),
        Err(StoreError::Corrupt(_))
    ));
    assert!(Sqlite::open(&folder.path().join("absent/db")).is_err());
    let ours = folder.path().join("ours");
    drop(Sqlite::open(&ours).unwrap());
    Connection::open(&ours)
        .unwrap()
        .pragma_update(None, "user_version", 2)
        .unwrap();
    assert!(matches!(Sqlite::open(&ours), Err(StoreError::Corrupt(_))));
}

#[test]
fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Sqlite::open(&path).unwrap();
    for name in ["db", "db-wal", "db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name} {mode:o}");
    }
    drop(store);
}

/// Two processes race for the same slots on one file, and each learns of the other's.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_file() {
    const SLOTS: usize = 60;
    if let Some(path) = std::env::var_os(CHILD) {
        let store = Sqlite::open(Path::new(&path)).unwrap();
        race(&store, b"child", SLOTS).await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Sqlite::open(&path).unwrap();
    let started = store.changed("slot/", Duration::from_secs(600));
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sqlite::tests::two_processes_share_a_file",
            "--nocapture",
        ])
        .env(CHILD, &path)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Only the child writes until this wakes up.
    started.await;
    race(&store, b"parent", SLOTS).await;
    #[expect(clippy::disallowed_methods, reason = "waits for another process")]
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap();
    assert!(status.success());
    let rows = store.scan("slot/", "", usize::MAX).await.unwrap();
    assert!(
        rows.iter()
            .map(|(key, _)| key.clone())
            .eq((0..rows.len()).map(|n| format!("slot/{n:06}")))
    );
    for who in [&b"child"[..], b"parent"] {
        assert_eq!(rows.iter().filter(|(_, value)| value == who).count(), SLOTS);
    }
}

/// Wins so many slots, each the first that is free.
async fn race(store: &Sqlite, who: &'static [u8], slots: usize) {
    let (mut next, mut won) = (0, 0);
    while won < slots {
        let key = format!("slot/{next:06}");
        let transaction = Transaction {
            guards: vec![Guard::Absent(key.clone())],
            ..put(&key, who.to_vec())
        };
        match store.transact(transaction).await {
            Outcome::Committed => won += 1,
            Outcome::Refused => {}
            other => panic!("{other:?}"),
        }
        next += 1;
    }
}

/// A store that was stopped is one whole file, whatever is copied with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_leaves_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("db"), folder.path().join("copy"));
    let whole = async |n: u8| {
        std::fs::copy(&path, &copy).unwrap();
        let copied = Sqlite::open(&copy).unwrap();
        assert_eq!(copied.get("a").await.unwrap().as_deref(), Some(&[n][..]));
    };
    let store = Sqlite::open(&path).unwrap();
    let first = store.transact(put("a", vec![1])).await;
    assert!(matches!(first, Outcome::Committed));
    assert!(store.get("a").await.unwrap().is_some());
    store.rest().await;
    assert!(!folder.path().join("db-wal").exists());
    assert!(!folder.path().join("db-shm").exists());
    whole(1).await;

    // It is opened again for whoever needs it, and closed by the end of the handle.
    let again = store.transact(put("a", vec![2])).await;
    assert!(matches!(again, Outcome::Committed));
    let other = Sqlite::open(&path).unwrap();
    store.rest().await;
    whole(2).await;
    let last = other.transact(put("a", vec![3])).await;
    assert!(matches!(last, Outcome::Committed));
    drop(store);
    drop(other);
    assert!(!folder.path().join("db-wal").exists());
    whole(3).await;
}

/// A reader leaves no trace, and sees what a server writes meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn looking_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("db"), folder.path().join("copy"));
    assert!(Sqlite::open_to_read(&path).is_err());
    assert!(!path.exists());
    let names = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let value = async |store: &Sqlite| store.get("a").await.unwrap().map(|value| value[0]);
    let server = Sqlite::open(&path).unwrap();
    assert!(matches!(
        server.transact(put("a", vec![1])).await,
        Outcome::Committed
    ));
    drop(server);
    let (before, seen) = (names(), Sqlite::open_to_read(&path).unwrap());
    assert_eq!(value(&seen).await, Some(1));
    assert!(matches!(
        seen.transact(put("a", vec![9])).await,
        Outcome::Failed(_)
    ));
    assert_eq!(names(), before);

    // A server starts beside it.
    let server = Sqlite::open(&path).unwrap();
    for n in 2..5 {
        assert!(matches!(
            server.transact(put("a", vec![n])).await,
            Outcome::Committed
        ));
        assert_eq!(value(&seen).await, Some(n));
    }
    let beside = Sqlite::open_to_read(&path).unwrap();
    assert_eq!(value(&beside).await, Some(4));

    // The database and its WAL, copied without the index of the WAL.
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(folder.path().join("db-wal"), folder.path().join("copy-wal")).unwrap();
    let before = names();
    let copied = Sqlite::open_to_read(&copy).unwrap();
    assert_eq!(value(&copied).await, Some(4));
    assert_eq!(names(), before);
    drop((seen, beside, copied, server));
}

/// A copy of a store in use is one moment of it, whole by itself, private, and never put over anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_one_moment_and_replaces_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = (folder.path().join("db"), folder.path().join("copy"));
    let store = Arc::new(Sqlite::open(&path).unwrap());
    let ended = Arc::new(AtomicBool::new(false));
    // Both rows always say the same.
    let writing = tokio::spawn({
        let (store, ended) = (store.clone(), ended.clone());
        async move {
            let mut n = 0u64;
            while !ended.load(Ordering::Relaxed) {
                n += 1;
                let mut both = put("a", n.to_be_bytes().to_vec());
                both.puts
                    .push(("z".into(), n.to_be_bytes().to_vec().into()));
                assert!(matches!(store.transact(both).await, Outcome::Committed));
            }
        }
    });
    while store.get("z").await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let shard = CopiedShard {
        log: "dev".into(),
        shard: "a".into(),
        ordered: 7,
        published: 5,
        root: None,
    };
    for n in 0..5 {
        let to = folder.path().join(format!("copy-{n}"));
        let copy = SqliteCopy::of(&path, &to).unwrap();
        assert!(!to.exists());
        copy.finish("now", "1", std::slice::from_ref(&shard))
            .unwrap();
        let copied = Sqlite::open_to_read(&to).unwrap();
        assert!(copied.get("a").await.unwrap().is_some());
        assert_eq!(
            copied.get("a").await.unwrap(),
            copied.get("z").await.unwrap()
        );
    }
    ended.store(true, Ordering::Relaxed);
    writing.await.unwrap();

    // An existing file stays, even one that appears while the copy is made.
    let copy = SqliteCopy::of(&path, &to).unwrap();
    std::fs::write(&to, "there").unwrap();
    assert!(copy.finish("now", "1", &[]).is_err());
    assert!(SqliteCopy::of(&path, &to).is_err());
    assert_eq!(std::fs::read(&to).unwrap(), b"there");
    let one = folder.path().join("copy-0");
    assert_eq!(
        std::fs::metadata(&one).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    let part = |entry: &std::io::Result<std::fs::DirEntry>| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains(".part")
    };
    assert!(!names.iter().any(part), "leftovers");
    // It becomes a store like any other, of which another copy can be made.
    drop(store);
    assert!(matches!(
        Sqlite::open(&one)
            .unwrap()
            .transact(put("b", vec![1]))
            .await,
        Outcome::Committed
    ));
    let again = SqliteCopy::of(&one, &folder.path().join("again")).unwrap();
    again.finish("later", "2", &[]).unwrap();
    let made: String = Connection::open(folder.path().join("again"))
        .unwrap()
        .query_row("SELECT time FROM backup_made", [], |row| row.get(0))
        .unwrap();
    assert_eq!(made, "later");
}
