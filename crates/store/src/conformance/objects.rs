//! The suite for object stores.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use super::{failed, must};
use crate::fault::{Fault, Faults, FaultyObjects};
use crate::{Objects, StoreError};

type Store = Arc<dyn Objects>;

/// Everything that one handle on one store must do.
pub async fn objects(make: impl Fn() -> Arc<dyn Objects>) {
    values(make()).await;
    listing(make()).await;
    paths(make()).await;
    together(make()).await;
    ahead(make()).await;
    pruning(make()).await;
    faults(make()).await;
}

/// Everything that several handles on the same data must do. All handles that `open` has given are dropped before the
/// data is opened again.
pub async fn objects_shared(open: impl Fn() -> Arc<dyn Objects>) {
    let (a, b) = (open(), open());
    must(a.put(vec![("shared/x".into(), Bytes::from("1"))]).await);
    assert_eq!(must(b.get("shared/x").await).as_deref(), Some(&b"1"[..]));
    // Both may write the same deterministic bytes at once.
    let same = || {
        (0..40)
            .map(|n| (format!("both/{n}"), Bytes::from(vec![n; 3000])))
            .collect::<Vec<_>>()
    };
    let (first, second) = tokio::join!(a.put(same()), b.put(same()));
    must(first);
    must(second);
    must(b.delete(vec!["shared/x".into()]).await);
    assert_eq!(must(a.get("shared/x").await), None);
    drop((a, b));
    let again = open();
    let mut found = must(again.list("").await);
    found.sort_unstable();
    let mut expected: Vec<_> = same().into_iter().map(|(path, _)| path).collect();
    expected.sort_unstable();
    assert_eq!(
        found, expected,
        "nothing is lost, and nothing temporary is shown"
    );
    for (path, bytes) in same() {
        assert_eq!(must(again.get(&path).await), Some(bytes));
    }
}

/// Calls that were begun and are not polled delay no other call.
async fn ahead(store: Store) {
    must(store.put(vec![("ahead".into(), Bytes::from("1"))]).await);
    let mut begun: FuturesUnordered<_> = (0..100).map(|_| store.get("ahead")).collect();
    for _ in 0..50 {
        assert!(begun.next().await.is_some());
        assert!(must(store.get("ahead").await).is_some());
    }
    must(store.delete(vec!["ahead".into()]).await);
}

async fn values(store: Store) {
    assert_eq!(must(store.get("a").await), None);
    must(store.put(vec![]).await);
    for bytes in [
        Bytes::new(),
        Bytes::from("x"),
        Bytes::from(vec![0xa5; 1_000_000]),
    ] {
        for path in ["a", "b/c/d.p/5", "b/c/d", "ä", ".hidden", "..."] {
            must(store.put(vec![(path.into(), bytes.clone())]).await);
            assert_eq!(must(store.get(path).await), Some(bytes.clone()), "{path}");
        }
    }
    assert_eq!(must(store.get("b").await), None, "a folder is no object");
    assert_eq!(must(store.get("b/c").await), None);
    assert_eq!(
        must(store.get("a/x").await),
        None,
        "nor is an object a folder"
    );
    must(
        store
            .delete(vec![
                "a".into(),
                "absent".into(),
                "absent/too".into(),
                "b".into(),
            ])
            .await,
    );
    assert_eq!(must(store.get("a").await), None);
    assert!(must(store.get("b/c/d").await).is_some());
    must(store.delete(vec![]).await);
    if let Some(free) = must(store.free().await) {
        assert!(free > 0);
    }
}

async fn listing(store: Store) {
    let list = |prefix: &'static str| {
        let store = store.clone();
        async move {
            let mut found = must(store.list(prefix).await);
            found.sort_unstable();
            found
        }
    };
    assert_eq!(list("").await, Vec::<String>::new());
    assert_eq!(list("absent").await, Vec::<String>::new());
    let mut paths = ["x", "y/1", "y/2", "y/z/3", "yy/4", "y.p/5"];
    must(
        store
            .put(
                paths
                    .iter()
                    .map(|path| ((*path).into(), Bytes::from(*path)))
                    .collect(),
            )
            .await,
    );
    paths.sort_unstable();
    assert_eq!(list("").await, paths);
    assert_eq!(
        list("y").await,
        ["y/1", "y/2", "y/z/3"],
        "a folder, not a prefix of names"
    );
    assert_eq!(list("y/").await, ["y/1", "y/2", "y/z/3"]);
    for (prefix, below) in [
        ("", &["x", "y", "y.p", "yy"][..]),
        ("y", &["1", "2", "z"]),
        ("y/z/", &["3"]),
        ("absent", &[]),
    ] {
        let mut names = must(store.names(prefix).await);
        names.sort_unstable();
        assert_eq!(names, below, "{prefix}");
    }
    assert_eq!(list("y/z").await, ["y/z/3"]);
    assert_eq!(list("x").await, Vec::<String>::new(), "not a folder");
    must(store.delete(vec!["y/1".into(), "y/z/3".into()]).await);
    assert_eq!(list("y").await, ["y/2"]);
    assert_eq!(list("").await, ["x", "y.p/5", "y/2", "yy/4"]);
}

async fn paths(store: Store) {
    let long = "x".repeat(256);
    let bad = [
        "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "a\0b",
        ".tmp-x", "a/.tmp-x", &long,
    ];
    for path in bad {
        let put = store
            .put(vec![
                ("good".into(), Bytes::new()),
                (path.into(), Bytes::new()),
            ])
            .await;
        assert!(matches!(put, Err(StoreError::Io(_))), "{path:?}");
        assert!(store.get(path).await.is_err(), "{path:?}");
        assert!(store.delete(vec![path.into()]).await.is_err(), "{path:?}");
        assert_eq!(
            must(store.get("good").await),
            None,
            "all paths are checked before anything is written"
        );
    }
    for prefix in ["..", "../x", "/a", "a//b"] {
        assert!(store.list(prefix).await.is_err(), "{prefix:?}");
    }
}

/// Many at once, and many puts at once, into folders that do not exist yet.
async fn together(store: Store) {
    let puts = (0..16u8).map(|who| {
        let objects: Vec<_> = (0..20)
            .map(|n| {
                (
                    format!("f{}/g/{who}/{n}", who % 3),
                    Bytes::from(vec![who; n * 100]),
                )
            })
            .collect();
        let store = store.clone();
        tokio::spawn(async move {
            must(store.put(objects.clone()).await);
            for (path, bytes) in objects {
                assert_eq!(must(store.get(&path).await), Some(bytes));
            }
        })
    });
    for joined in join_all(puts).await {
        joined.unwrap_or_else(|error| failed(&error));
    }
    assert_eq!(must(store.list("").await).len(), 320);
}

/// Folders come and go under puts that use them.
async fn pruning(store: Store) {
    let tasks = (0..4u8).map(|who| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..15u8 {
                let path = format!("a/b/c/{who}");
                must(store.put(vec![(path.clone(), Bytes::from(vec![n]))]).await);
                assert_eq!(must(store.get(&path).await).as_deref(), Some(&[n][..]));
                must(store.delete(vec![path]).await);
            }
        })
    });
    for joined in join_all(tasks).await {
        joined.unwrap_or_else(|error| failed(&error));
    }
    assert_eq!(must(store.list("").await), Vec::<String>::new());
}

/// After an error each object is whole or absent.
async fn faults(inner: Store) {
    let faults = Faults::new();
    let store = FaultyObjects::new(inner, faults.clone());
    let objects: Vec<_> = (0..5u8)
        .map(|n| (format!("f/{n}"), Bytes::from(vec![n; 100])))
        .collect();
    for (fault, there) in [
        (Fault::Lose, 0),
        (Fault::full(), 0),
        (Fault::Partial(2), 2),
        (Fault::Hold, 2),
        (Fault::Unknown, 5),
    ] {
        faults.nth_write(0, fault.clone());
        assert!(store.put(objects.clone()).await.is_err(), "{fault:?}");
        let found = must(store.list("f").await);
        assert_eq!(found.len(), there, "{fault:?}");
        for (path, bytes) in &objects {
            let got = must(store.get(path).await);
            assert!(got.is_none() || got.as_ref() == Some(bytes));
        }
    }
    must(
        store
            .delete(objects.iter().map(|(path, _)| path.clone()).collect())
            .await,
    );
    faults.release().await;
    assert_eq!(
        must(store.list("f").await).len(),
        5,
        "a put that was held back arrives late"
    );
}
