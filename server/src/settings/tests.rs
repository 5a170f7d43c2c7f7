//! Valid and invalid `logd.toml` files, and the messages about the invalid ones.

use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<Settings, String> {
    Settings::parse(text, Path::new("/etc/logd/logd.toml")).map_err(|e| e.to_string())
}

const LEAST: &str = "[data]\nlisten = '127.0.0.1:1'\n[stores]\ncoordination = 'c.db'\nobjects = '/o'\n[kek]\nfile = 'kek'\n";

#[test]
fn the_example_is_valid_and_shows_the_defaults() {
    let settings = parse(EXAMPLE).unwrap();
    let (shown, default) = (
        format!("{:?}", settings.bounds),
        format!("{:?}", Bounds::default()),
    );
    assert_eq!(shown, default, "the example names every default");
    assert_eq!(
        settings.admin.socket.as_deref(),
        Some(Path::new("/etc/logd/admin.sock"))
    );
    // The lines that are commented out are valid too.
    let all: String = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let settings = parse(&all).unwrap();
    assert!(
        settings.metrics.is_some() && settings.data.tls.is_some() && settings.data.url.is_some()
    );
    assert_eq!(settings.create, [Path::new("/etc/logd/argon.yaml")]);
    let url = |text: &str| text.parse::<BucketUrl>().unwrap();
    assert_eq!(
        settings.merge.frontends,
        [
            FolderOrBucket::Folder("/srv".into()),
            FolderOrBucket::Bucket(url("s3://cdn.example.org/logs"))
        ]
    );
    assert_eq!(settings.merge.programs, Merge::default().programs);
    let node = &settings.nodes[&"b".parse().unwrap()];
    assert_eq!(node.path.as_deref(), Some(Path::new("/mnt/b/logd")));
    let node = &settings.nodes[&"c".parse().unwrap()];
    assert_eq!(node.url, Some(BucketName(url("s3://batches"))));
    let bucket = &settings.buckets[&BucketName(url("s3://batches"))];
    assert_eq!(
        bucket.ca.as_deref(),
        Some(Path::new("/etc/logd/store-ca.pem"))
    );
    assert!(bucket.env.is_some() && !bucket.allow_http);
    assert!(settings.places().is_err(), "the authorities are not there");
    let tls = settings.admin.tls.as_ref().unwrap();
    assert_eq!(
        tls.client_ca.as_deref(),
        Some(Path::new("/etc/logd/clients-ca.pem"))
    );
    for client in &settings.admin.certificates {
        assert!(!settings.admin.permissions(&client.permissions).is_empty());
    }
    assert_eq!(settings.admin.certificates.len(), 2);
    let rules: Vec<_> = settings.admin.identity_rules().collect();
    assert_eq!(rules.len(), 1);
    assert!(rules[0].permissions.len() == 2 && rules[0].claims.len() == 3);
    assert_eq!(
        rules[0].issuer_ca.as_deref(),
        Some(Path::new("/etc/logd/issuer-ca.pem"))
    );
}

#[test]
fn few_lines_are_enough_and_paths_follow_the_file() {
    let settings = parse(LEAST).unwrap();
    assert_eq!(settings.stores.coordination, Path::new("/etc/logd/c.db"));
    assert_eq!(settings.stores.objects, Path::new("/o"));
    assert!(matches!(settings.kek, KekSource::File(path) if path == Path::new("/etc/logd/kek")));
    assert!(settings.admin.socket.is_none() && settings.metrics.is_none());
}

#[test]
fn errors_name_the_line_and_the_remedy() {
    for (extra, line, needle) in [
        ("[data]\nlisten = 7", 2, "expected"),
        (
            "[data]\nlisten = '127.0.0.1:1'\nlissten = 1",
            3,
            "unknown field `lissten`",
        ),
        (
            "[data]\nlisten = '127.0.0.1:1'\nlisten = '127.0.0.1:1'",
            3,
            "duplicate key",
        ),
    ] {
        let error = parse(extra).unwrap_err();
        assert!(
            error.starts_with(&format!("/etc/logd/logd.toml:{line}: ")) && error.contains(needle),
            "{error}"
        );
    }
    for (extra, line, needle) in [
        ("[metrics]\nlisten = '0.0.0.0:1'", 8, "loopback"),
        ("[admin]\nlisten = '127.0.0.1:1'", 8, "admin.tokens"),
        (
            "[admin]\ntokens = 't'\nlisten = '10.0.0.1:1'",
            8,
            "admin.tls",
        ),
        ("[limits]\nheader_bytes = '1KiB'", 9, "8KiB"),
        ("[limits]\nmax_bodies = '64KiB'", 9, "1MiB"),
        ("[limits]\nconnections = 0", 9, "at least 1"),
        (
            "[nodes.b]\npath = '/b'\nurl = 's3://batches'",
            8,
            "either a path",
        ),
        ("[nodes.b]", 8, "either a path"),
        (
            "[nodes.b]\nurl = 's3://me:secret@b'",
            9,
            "not the URL of a bucket",
        ),
        (
            "[merge]\nfrontends = ['/srv', 'file:///srv']",
            9,
            "written as its path",
        ),
        ("[buckets.'/srv']", 8, "not the URL of a bucket"),
        ("[buckets.'s3://cdn/logs']", 8, "[buckets.\"s3://cdn\"]"),
        (
            "[buckets.'s3://cdn']\nendpoint = 'http://127.0.0.1:9'",
            8,
            "allow_http",
        ),
        (
            "[buckets.'s3://cdn']\nendpoint = 'https://me:secret@x'",
            8,
            "credentials",
        ),
        ("[buckets.'gs://cdn']\nregion = 'x'", 8, "s3:// only"),
        (
            "[buckets.'s3://cdn']\nenv = 'a-b'",
            8,
            "CDN_AWS_ACCESS_KEY_ID",
        ),
        ("[limits]\nmin_free = '16 MB'", 9, "for example 16MiB"),
        ("[limits]\nidle_timeout = 75", 9, "string"),
        ("[limits]\nidle_timeout = '75'", 9, "for example"),
        (
            "[[admin.users]]\nuid = 0\npermissions = ['root']",
            10,
            "no role named \"root\": there is no [admin.roles]; a permission looks like",
        ),
        (
            "[[admin.users]]\nuid = 0\npermissions = ['a:b']",
            10,
            "not a permission",
        ),
        (
            "[admin.roles]\noperator = ['shard:*:*']\nreader = ['*:read:*']\n[[admin.users]]\nuid = 0\npermissions = [\n'reader',\n'operater']",
            15,
            "did you mean operator?",
        ),
        (
            "[admin.roles]\nOps = ['shard:*:*']",
            8,
            "not a name for a role",
        ),
        ("[admin.roles]\nops = ['reader']", 9, "not a permission"),
        (
            "[[admin.certificates]]\nclient = 'ci'\npermissions = []",
            9,
            "spiffe://",
        ),
        (
            "[[admin.certificates]]\nclient = 'spiffe://x/ci'\npermissions = []",
            8,
            "client_ca",
        ),
        (
            "[[admin.identities]]\nname = 'x'\nissuer = 'https://example.org'\naudience = 'logd'\npermissions = ['*:read:*']",
            8,
            "pins no claim",
        ),
        (
            "[[admin.identities]]\nname = 'x'\nissuer = 'https://example.org'\naudience = 'logd'\nclaims = {sub = 'x'}\npermissions = ['reader']",
            13,
            "no role named",
        ),
        (
            "[[admin.identities]]\nname = 'x'\nissuer = 'http://example.org'\naudience = 'logd'\nclaims = {sub = 'x'}\npermissions = ['*:read:*']",
            8,
            "https://",
        ),
        (
            "[admin]\ntls = {cert = 'c', key = 'k', client_ca = 'a'}",
            8,
            "admin.certificates",
        ),
    ] {
        let error = parse(&format!("{LEAST}{extra}\n")).unwrap_err();
        assert!(
            error.starts_with(&format!("/etc/logd/logd.toml:{line}: ")) && error.contains(needle),
            "{error}"
        );
    }
    let error = parse("[data]\nlisten = '127.0.0.1:1'\n").unwrap_err();
    assert!(error.contains("missing field `stores`"), "{error}");
}

#[test]
fn sizes_have_one_spelling_of_each_unit() {
    for (text, expected) in [
        ("0B", Some(0)),
        ("7KiB", Some(7168)),
        ("16MiB", Some(16 << 20)),
        ("2GiB", Some(2 << 30)),
    ] {
        assert_eq!(
            Size::try_from(text.to_owned()).ok().map(|size| size.0),
            expected,
            "{text}"
        );
    }
    for text in [
        "",
        "B",
        "16",
        "16M",
        "16mib",
        "1.5GiB",
        "-1B",
        "16 MiB",
        "18446744073709551615GiB",
    ] {
        assert!(Size::try_from(text.to_owned()).is_err(), "{text}");
    }
}
