use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Dir;
use rustix::io::Errno;

use super::*;
use crate::MemoryObjects;
use crate::conformance::{objects, objects_shared};

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    let next = AtomicU64::new(0);
    objects(|| {
        let name = next.fetch_add(1, Ordering::Relaxed).to_string();
        Arc::new(Directory::open(&folder.path().join("new").join(name)).unwrap())
    })
    .await;
    let path = folder.path().join("shared");
    objects_shared(|| Arc::new(Directory::open(&path).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    objects(|| Arc::new(MemoryObjects::new())).await;
    let store = Arc::new(MemoryObjects::new());
    objects_shared(|| store.clone()).await;
}

#[tokio::test]
async fn symbolic_links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "x").unwrap();
    let store = Directory::open(&folder.path().join("root")).unwrap();
    let link = |name: &str, to: &Path| {
        std::os::unix::fs::symlink(to, folder.path().join("root").join(name)).unwrap()
    };
    link("folder", &outside);
    link("file", &outside.join("secret"));
    assert!(!matches!(store.get("folder/secret").await, Ok(Some(_))));
    assert!(!matches!(store.get("file").await, Ok(Some(_))));
    assert!(
        store
            .put(vec![("folder/new".into(), Bytes::new())])
            .await
            .is_err()
    );
    assert!(!outside.join("new").exists());
    // The link itself may be replaced; what it points to stays.
    store
        .put(vec![("file".into(), Bytes::from("y"))])
        .await
        .unwrap();
    assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"x");
    let _ = store.delete(vec!["folder/secret".into()]).await;
    assert!(outside.join("secret").exists());
    assert_eq!(store.list("").await.unwrap(), ["file"]);
}

/// Synced together or one by one, the outcome is the same: all are there, or an error and nothing half.
#[tokio::test]
async fn many_objects_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for together in [false, true] {
        let root = folder.path().join(together.to_string());
        let store = Directory::open(&root).unwrap();
        let put = async |objects: Vec<(String, Bytes)>| match together {
            true => store.inner.put_together(&objects),
            false => store.put(objects).await,
        };
        let object = |i: u32| {
            (
                format!("a/{}/{i}", i % 7),
                Bytes::from(vec![i as u8; 9_000]),
            )
        };
        put((0..300).map(object).collect()).await.unwrap();
        put((200..310).map(object).collect()).await.unwrap();
        for (path, bytes) in (0..310).map(object) {
            assert_eq!(store.get(&path).await.unwrap(), Some(bytes), "{path}");
        }
        // A folder in the place of an object is never replaced.
        let bad = [object(400), ("a/3".into(), Bytes::new()), object(401)];
        put(bad.to_vec()).await.unwrap_err();
        let left = Dir::read_from(store.inner.scratch().unwrap().folder()).unwrap();
        let left = left.filter(|entry| {
            let name = entry.as_ref().unwrap().file_name().to_bytes().to_vec();
            !matches!(&*name, b"." | b"..")
        });
        assert_eq!(left.count(), 0, "temporary files");
    }
}

/// Discarded files are reused for the next objects, except those to which there is another link.
#[tokio::test]
async fn discarded_files_are_written_again() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let store = Directory::open(&root).unwrap();
    let inode = |name: &str| std::fs::metadata(root.join(name)).unwrap().ino();
    let put = |name: &str, bytes: Vec<u8>| store.put(vec![(name.to_owned(), bytes.into())]);
    put("batch/linked", vec![1; 50_000]).await.unwrap();
    put("batch/old", vec![2; 50_000]).await.unwrap();
    let linked = folder.path().join("linked");
    std::fs::hard_link(root.join("batch/linked"), &linked).unwrap();
    let (kept, old) = (inode("batch/linked"), inode("batch/old"));
    let discarded = ["batch/linked", "batch/old", "batch/absent"];
    let discarded = discarded.map(str::to_owned).to_vec();
    store.discard(discarded.clone()).await.unwrap();
    for path in &discarded {
        assert_eq!(store.get(path).await.unwrap(), None, "{path}");
    }
    let mut names = (0..).map(|n| format!("tile/{n}"));
    loop {
        // Only one that is as long uses no more than it needs.
        let name = names.next().unwrap();
        put("small", vec![4; 49_999]).await.unwrap();
        assert_ne!(inode("small"), old);
        let bytes = vec![3; 50_000 + name.len()];
        put(&name, bytes.clone()).await.unwrap();
        assert_eq!(store.get(&name).await.unwrap().unwrap(), bytes);
        assert_ne!(inode(&name), kept);
        if inode(&name) == old {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(std::fs::read(&linked).unwrap(), vec![1; 50_000]);
    let batches = store.list("batch").await.unwrap();
    assert!(batches.is_empty(), "{batches:?}");
}

/// Temporary files of a dead process go, those of a living one stay.
#[tokio::test]
async fn leftovers_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let count = || std::fs::read_dir(folder.path()).unwrap().count();
    let dead = folder.path().join(".tmp-1-0123456789abcdef");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("5"), "half").unwrap();
    let first = Directory::open(folder.path()).unwrap();
    assert!(!dead.exists());
    assert_eq!(count(), 1);
    let second = Directory::open(folder.path()).unwrap();
    assert_eq!(count(), 2);
    for store in [&first, &second] {
        store
            .put(vec![("a/b".into(), Bytes::from("x"))])
            .await
            .unwrap();
        assert_eq!(store.list("").await.unwrap(), ["a/b"]);
    }
    drop(first);
    drop(second);
    assert_eq!(count(), 1, "only the object's folder is left");
}

/// A failed write leaves neither the object nor a temporary file, and says what is full.
#[tokio::test]
async fn a_failed_put_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Directory::open(folder.path()).unwrap();
    store
        .put(vec![("a".into(), Bytes::from("x"))])
        .await
        .unwrap();
    // A file is where a folder is needed.
    assert!(
        store
            .put(vec![("a/b".into(), Bytes::from("y"))])
            .await
            .is_err()
    );
    assert_eq!(store.get("a").await.unwrap(), Some(Bytes::from("x")));
    let temporary: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for path in temporary.iter().filter(|path| path.is_dir()) {
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
    }
    assert!(matches!(
        failure("writing", "x", Errno::NOSPC),
        StoreError::Full(_)
    ));
    assert!(matches!(
        failure("writing", "x", Errno::DQUOT),
        StoreError::Full(_)
    ));
    assert!(matches!(
        failure("writing", "x", Errno::FBIG),
        StoreError::Full(_)
    ));
}

/// A folder that is only read may be one that nothing can be made in.
#[tokio::test]
async fn reading_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Directory::open_to_read(&folder.path().join("absent")).is_err());
    let store = Directory::open(folder.path()).unwrap();
    store
        .put(vec![("a/b".into(), Bytes::from("x"))])
        .await
        .unwrap();
    drop(store);
    let count = || std::fs::read_dir(folder.path()).unwrap().count();
    let before = count();
    let store = Directory::open_to_read(folder.path()).unwrap();
    assert_eq!(count(), before);
    assert_eq!(store.get("a/b").await.unwrap(), Some(Bytes::from("x")));
    assert_eq!(store.list("").await.unwrap(), ["a/b"]);
    assert!(
        store
            .put(vec![("c".into(), Bytes::from("x"))])
            .await
            .is_err()
    );
    assert!(store.delete(vec!["a/b".into()]).await.is_err());
    assert!(store.discard(vec!["a/b".into()]).await.is_err());
    assert_eq!(store.names("a").await.unwrap(), ["b"]);
}

/// Deleting the last object of a folder removes the folder, so that partial tiles leave nothing behind.
#[tokio::test]
async fn empty_folders_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = Directory::open(folder.path()).unwrap();
    let paths = ["s/tile/0/000.p/1", "s/tile/0/000.p/2", "s/tile/0/000"];
    store
        .put(
            paths
                .iter()
                .map(|path| ((*path).into(), Bytes::from("x")))
                .collect(),
        )
        .await
        .unwrap();
    store.delete(vec![paths[0].into()]).await.unwrap();
    assert!(folder.path().join("s/tile/0/000.p").exists());
    store.delete(vec![paths[1].into()]).await.unwrap();
    assert!(!folder.path().join("s/tile/0/000.p").exists());
    assert!(folder.path().join(paths[2]).exists());
}
