use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ::engine::Places as _;
use ::store::conformance;
use object_store::memory::InMemory;

use super::*;

fn url(text: &str) -> BucketUrl {
    text.parse().unwrap()
}

fn in_memory(at: &str) -> Arc<dyn Objects> {
    Arc::new(Bucket::new(Arc::new(InMemory::new()), &url(at)))
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    for at in ["s3://bucket", "s3://bucket/a/b"] {
        conformance::objects(|| in_memory(at)).await;
        let bucket = Arc::new(InMemory::new());
        let open = || -> Arc<dyn Objects> { Arc::new(Bucket::new(bucket.clone(), &url(at))) };
        conformance::objects_shared(open).await;
    }
}

/// Two logs, or a log and somebody else, in one bucket do not see each other.
#[tokio::test]
async fn a_prefix_is_a_wall() {
    let bucket = Arc::new(InMemory::new());
    let at = |prefix: &str| Bucket::new(bucket.clone(), &url(prefix));
    let (logs, other) = (at("s3://bucket/logs"), at("s3://bucket/logs2"));
    logs.put(vec![("dev/x".into(), Bytes::from("1"))])
        .await
        .unwrap();
    assert_eq!(other.get("dev/x").await.unwrap(), None);
    assert!(other.list("").await.unwrap().is_empty());
    assert_eq!(logs.list("").await.unwrap(), ["dev/x"]);
    let all = at("s3://bucket");
    assert_eq!(all.list("logs").await.unwrap(), ["logs/dev/x"]);
    other.delete(vec!["dev/x".into()]).await.unwrap();
    assert!(logs.get("dev/x").await.unwrap().is_some());
}

#[tokio::test]
async fn what_readers_are_told() {
    let bucket = Arc::new(InMemory::new());
    let store = Bucket::new(bucket.clone(), &url("s3://bucket/cdn"));
    for (path, kind, cache) in [
        ("dev/2026a/checkpoint", TEXT, NEVER),
        ("dev/2026a/seal", TEXT, IMMUTABLE),
        ("dev/2026a/tile/0/000", BYTES, IMMUTABLE),
        ("dev/2026a/tile/entries/x001/002.p/7", BYTES, IMMUTABLE),
    ] {
        store
            .put(vec![(path.into(), Bytes::from("x"))])
            .await
            .unwrap();
        let key = Path::from(format!("cdn/{path}"));
        let told = bucket.get(&key).await.unwrap().attributes;
        let expected = [
            (Attribute::ContentType, kind),
            (Attribute::CacheControl, cache),
        ];
        assert_eq!(told, Attributes::from_iter(expected), "{path}");
    }
}

fn places(nodes: &[(&str, &str)], allowed: &[&str]) -> AllPlaces {
    let nodes = nodes.iter().map(|(name, at)| ((*name).to_owned(), url(at)));
    let allowed = allowed.iter().map(|at| url(at));
    let folders = ::engine::Folders::default();
    AllPlaces::new(
        folders,
        nodes.collect(),
        allowed.collect(),
        Default::default(),
    )
    .unwrap()
}

fn frontend(url: &str) -> logconfig::FrontendConfig {
    logconfig::FrontendConfig {
        name: "cdn".parse().unwrap(),
        url: url.to_owned(),
    }
}

#[tokio::test]
async fn only_what_is_allowed_is_opened() {
    let none = places(&[], &[]);
    let refused = none.frontend(&frontend("s3://bucket/cdn")).await;
    assert!(refused.is_err_and(|why| why.contains("[merge] frontends")));
    let some = places(&[("c", "s3://batches/a")], &["s3://bucket/cdn"]);
    assert!(some.frontend(&frontend("s3://bucket/cdn")).await.is_ok());
    assert!(some.frontend(&frontend("s3://bucket/cdn/a")).await.is_ok());
    for outside in [
        "s3://bucket",
        "s3://bucket/cdnx",
        "s3://batches/a",
        "file:///srv/x",
    ] {
        assert!(
            some.frontend(&frontend(outside)).await.is_err(),
            "{outside}"
        );
    }
    assert!(some.node("c").await.is_ok());
    assert!(
        some.node("d")
            .await
            .is_err_and(|why| why.contains("[nodes.d]"))
    );
}

fn clients() -> Clients {
    Clients::new([None].into_iter()).unwrap()
}

fn environment(of: &[(&str, &str)]) -> Vec<(String, String)> {
    let of = of.iter();
    of.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Requests come to an end, and what is said of it is the cause and no secret.
#[tokio::test]
async fn a_server_that_is_away_is_said_in_time() {
    let asked = Arc::new(AtomicU64::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counted = Arc::clone(&asked);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Relaxed);
            drop(stream);
        }
    });
    let settings = BucketSettings {
        endpoint: Some(format!("http://{address}")),
        allow_http: true,
        env: Some("EU_".to_owned()),
        ..BucketSettings::default()
    };
    let environment = environment(&[
        ("EU_AWS_ACCESS_KEY_ID", "AKIASECRET"),
        ("EU_AWS_SECRET_ACCESS_KEY", "SECRET"),
        ("EU_AWS_ENDPOINT_URL_S3", "http://192.0.2.1"),
    ]);
    let at = url("s3://bucket");
    let store = clients().open_with(&at, &settings, &environment).unwrap();
    let bucket = Bucket::new(store, &at);
    let error = bucket.get("x").await.unwrap_err().to_string();
    assert!(error.contains("reading x: "), "{error}");
    let asked = asked.load(Relaxed);
    assert!((2..=8).contains(&asked), "{asked} connections");
    serving.abort();
    let _ = serving.await;
    let error = bucket.put(vec![("x".into(), Bytes::new())]).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("Connection refused"), "{error}");
    assert!(!error.contains("SECRET"), "{error}");
}

/// The environment cannot allow plain HTTP: only logd.toml can.
#[tokio::test]
async fn plain_http_only_where_it_was_said() {
    let environment = environment(&[
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ]);
    let at = url("s3://bucket");
    let settings = BucketSettings::default();
    let store = clients().open_with(&at, &settings, &environment).unwrap();
    let error = Bucket::new(store, &at).get("x").await.unwrap_err();
    assert!(!error.to_string().contains("refused"), "{error}");
}

#[test]
fn each_kind_opens_with_its_own_variables() {
    let key = "c2VjcmV0";
    for (at, variables) in [
        (
            "s3://bucket",
            environment(&[("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")]),
        ),
        (
            "gs://bucket",
            environment(&[("GOOGLE_SKIP_SIGNATURE", "true")]),
        ),
        (
            "az://bucket",
            environment(&[
                ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
                ("AZURE_STORAGE_ACCOUNT_KEY", key),
            ]),
        ),
    ] {
        let opened = clients().open_with(&url(at), &BucketSettings::default(), &variables);
        assert!(opened.is_ok(), "{at}: {opened:?}");
    }
    let none = clients().open_with(
        &url("az://bucket"),
        &BucketSettings::default(),
        &environment(&[]),
    );
    assert!(
        none.is_err_and(|why| !why.is_empty()),
        "no account is named"
    );
    let half = environment(&[("AWS_ACCESS_KEY_ID", "k")]);
    let none = clients().open_with(&url("s3://bucket"), &BucketSettings::default(), &half);
    assert!(none.is_err());
}
