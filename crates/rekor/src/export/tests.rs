//! Each row that breaks a client, as a property of what is written.

use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tlog::{Hash, Signer, VerifierKey};

use super::*;

/// The moment 2026-01-02T10:00:00.999Z, in milliseconds.
const PLANNED: u64 = 1_767_348_000_999;

fn ecdsa(host: &str, seed: u8) -> VerifierKey {
    Signer::from_p256(host, &[seed; 32])
        .unwrap()
        .verifier()
        .clone()
}

fn ed25519(host: &str, seed: u8) -> VerifierKey {
    Signer::from_seed(host, &[seed; 32])
        .unwrap()
        .verifier()
        .clone()
}

fn shard(key: &VerifierKey) -> Shard<'_> {
    Shard {
        key,
        valid_from: PLANNED,
    }
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A file as the private Sigstore of the test kit writes it, with an old log of somebody else.
fn existing_root() -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [{
            "baseUrl": "https://rekor.example.com",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}},
            "logId": {"keyId": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="},
        }],
        "certificateAuthorities": [{"uri": "https://fulcio.example.com", "subject": {"organization": "o", "commonName": "c"}}],
        "ctlogs": [{"baseUrl": "https://ct.example.com"}],
        "timestampAuthorities": [{"uri": "https://tsa.example.com"}],
    })
}

#[test]
fn a_trusted_root_is_written_as_clients_read_it() {
    let (first, second) = (
        ecdsa("2026a.log.example.org", 1),
        ed25519("2026b.log.example.org", 2),
    );
    let root = TrustedRoot::new(&[shard(&first), shard(&second)], None).unwrap();
    let entry = |url: &str, key: &[u8], details: &str, id: &Hash| {
        let mut raw_bytes = String::new();
        crate::base64::encode(key, &mut raw_bytes);
        let valid_for = json!({"start": "2026-01-02T10:00:00Z"});
        json!({
            "baseUrl": url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {"rawBytes": raw_bytes, "keyDetails": details, "validFor": valid_for},
            "logId": {"keyId": id.to_base64()},
        })
    };
    // The ids, computed as the specifications say.
    let first_id = Hash(Sha256::digest(first.bytes()).into());
    let second_id =
        Hash(Sha256::digest([b"2026b.log.example.org\n\x01", second.bytes()].concat()).into());
    assert_eq!((first.log_id(), second.log_id()), (first_id, second_id));
    assert_eq!(second_id.0[..4], second.id().to_be_bytes());
    let spki = [&ED25519_PREFIX, second.bytes()].concat();
    let expected = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [
            entry("https://2026a.log.example.org", first.bytes(), "PKIX_ECDSA_P256_SHA_256", &first_id),
            entry("https://2026b.log.example.org", &spki, "PKIX_ED25519", &second_id),
        ],
        "certificateAuthorities": [],
        "ctlogs": [],
        "timestampAuthorities": [],
    });
    assert_eq!(value(&root.to_json()), expected);
    assert_eq!(root.warnings(), [Warning::NoAuthority, Warning::NoCtLog]);
    assert!(
        shard(&first)
            .pem()
            .starts_with("-----BEGIN PUBLIC KEY-----\nMFkw")
    );
}

#[test]
fn a_merge_keeps_what_is_not_the_logs() {
    let existing = existing_root();
    let (first, second) = (
        ecdsa("2026a.log.example.org", 1),
        ecdsa("2026b.log.example.org", 2),
    );
    let one = TrustedRoot::new(&[shard(&first)], Some(&existing.to_string())).unwrap();
    assert_eq!(one.warnings(), []);
    // A stale entry of ours under a wrong id is known by its key.
    let mut stale = value(&one.to_json());
    stale["tlogs"][1]["logId"]["keyId"] = json!("AAAAAA==");
    stale["tlogs"][1]["publicKey"]["validFor"]["end"] = json!("2026-02-01T00:00:00Z");
    let shards = [shard(&first), shard(&second)];
    let both = TrustedRoot::new(&shards, Some(&stale.to_string())).unwrap();
    assert_eq!(
        both,
        TrustedRoot::new(&shards, Some(&existing.to_string())).unwrap()
    );
    let found = value(&both.to_json());
    for kept in ["certificateAuthorities", "ctlogs", "timestampAuthorities"] {
        assert_eq!(found[kept], existing[kept]);
    }
    assert_eq!(found["tlogs"][0], existing["tlogs"][0]);
    let urls: Vec<_> = found["tlogs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|log| log["baseUrl"].as_str().unwrap())
        .collect();
    assert_eq!(
        urls,
        [
            "https://rekor.example.com",
            "https://2026a.log.example.org",
            "https://2026b.log.example.org"
        ]
    );
}

#[test]
fn a_newer_media_type_is_written_as_the_one_that_all_read() {
    let key = ecdsa("a.example.org", 1);
    for known in [
        "application/vnd.dev.sigstore.trustedroot.v0.1+json",
        "application/vnd.dev.sigstore.trustedroot.v0.2+json",
    ] {
        let mut existing = existing_root();
        existing["mediaType"] = json!(known);
        let root = TrustedRoot::new(&[shard(&key)], Some(&existing.to_string())).unwrap();
        assert_eq!(
            value(&root.to_json())["mediaType"],
            existing_root()["mediaType"]
        );
    }
    let mut unknown = existing_root();
    unknown["mediaType"] = json!("text/plain");
    let mut member = existing_root();
    member["more"] = json!(1);
    for bad in [
        unknown.to_string(),
        member.to_string(),
        "{}".to_owned(),
        "?".to_owned(),
    ] {
        let error = TrustedRoot::new(&[shard(&key)], Some(&bad)).unwrap_err();
        assert!(
            matches!(
                error,
                ExportError::Merge {
                    kind: "TrustedRoot",
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn what_clients_dislike_about_other_logs_is_said() {
    for (pointer, wrong) in [
        ("/tlogs/0/baseUrl", json!("rekor.example.com")),
        ("/tlogs/0/publicKey/validFor", json!(null)),
        ("/tlogs/0/logId/keyId", json!("AAAAAA==")),
    ] {
        let mut existing = existing_root();
        *existing.pointer_mut(pointer).unwrap() = wrong;
        let root = TrustedRoot::new(&[], Some(&existing.to_string())).unwrap();
        assert!(
            matches!(root.warnings()[..], [Warning::Foreign { .. }]),
            "{pointer}: {:?}",
            root.warnings()
        );
    }
    let mut existing = existing_root();
    existing["tlogs"][0]["checkpointKeyId"] = json!({"keyId": "AAAAAA=="});
    let twice = existing["tlogs"][0].clone();
    existing["tlogs"].as_array_mut().unwrap().push(twice);
    let root = TrustedRoot::new(&[], Some(&existing.to_string())).unwrap();
    assert_eq!(root.warnings().len(), 3, "{:?}", root.warnings());
}

#[test]
fn shards_that_clients_would_reject_are_refused() {
    for origin in [
        "log.example.org/2026a",
        "log.example.org:8080",
        "lög.example.org",
    ] {
        let key = ecdsa(origin, 1);
        let error = Err(ExportError::Origin(origin.to_owned()));
        assert_eq!(TrustedRoot::new(&[shard(&key)], None), error);
        assert_eq!(
            monitor_config(&[shard(&key)], 2, None),
            Err(ExportError::Origin(origin.to_owned()))
        );
    }
    let (one, two) = (ecdsa("a.example.org", 1), ecdsa("b.example.org", 1));
    let same = ExportError::SameKey("a.example.org".to_owned(), "b.example.org".to_owned());
    assert_eq!(
        TrustedRoot::new(&[shard(&one), shard(&two)], None),
        Err(same)
    );
    let late = Shard {
        key: &one,
        valid_from: u64::MAX,
    };
    assert_eq!(
        TrustedRoot::new(&[late], None),
        Err(ExportError::Time(u64::MAX))
    );
}

const V1: WriteUrl<'_> = WriteUrl {
    version: 1,
    url: "https://log.example.org/one",
    since: PLANNED,
};
const V2: WriteUrl<'_> = WriteUrl {
    version: 2,
    url: "https://log.example.org/two",
    since: PLANNED,
};

fn existing_config() -> Value {
    let service = |url: &str, version: u8| json!({"url": url, "majorApiVersion": version, "validFor": {"start": "2020-01-01T00:00:00Z"}, "operator": "other"});
    json!({
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": [service("https://fulcio.example.com", 1)],
        "oidcUrls": [service("https://oidc.example.com", 1)],
        "rekorTlogUrls": [service("https://rekor.example.com", 1), service("https://other.example.com", 2)],
        "rekorTlogConfig": {"selector": "EXACT", "count": 2},
        "tsaUrls": [service("https://tsa.example.com/api/v1/timestamp", 1)],
        "tsaConfig": {"selector": "ALL"},
    })
}

#[test]
fn a_signing_config_has_one_url_for_each_version_highest_first() {
    let config = SigningConfig::new(&[V1, V2], "example.org", None, PLANNED).unwrap();
    let service = |url: &str, version: u8| json!({"url": url, "majorApiVersion": version, "validFor": {"start": "2026-01-02T10:00:00Z"}, "operator": "example.org"});
    let expected = json!({
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": [],
        "oidcUrls": [],
        "rekorTlogUrls": [service(V2.url, 2), service(V1.url, 1)],
        "rekorTlogConfig": {"selector": "ANY"},
        "tsaUrls": [],
        "tsaConfig": {"selector": "ANY"},
    });
    assert_eq!(value(&config.to_json()), expected);
    assert_eq!(config.warnings(), [Warning::NoAuthorityUrl]);

    let existing = existing_config();
    let merged =
        SigningConfig::new(&[V2], "example.org", Some(&existing.to_string()), PLANNED).unwrap();
    assert_eq!(merged.warnings(), []);
    let found = value(&merged.to_json());
    for kept in ["caUrls", "oidcUrls", "tsaUrls"] {
        assert_eq!(found[kept], existing[kept]);
    }
    assert_eq!(
        found["rekorTlogUrls"],
        json!([service(V2.url, 2), existing["rekorTlogUrls"][0]])
    );
    assert_eq!(
        (&found["rekorTlogConfig"], &found["tsaConfig"]),
        (&json!({"selector": "ANY"}), &json!({"selector": "ANY"}))
    );
    let again = SigningConfig::new(&[V2], "example.org", Some(&merged.to_json()), PLANNED).unwrap();
    assert_eq!(again.to_json(), merged.to_json());
}

#[test]
fn a_signing_config_that_breaks_a_client_is_refused() {
    let new = |urls: &[WriteUrl<'_>], operator, now| {
        SigningConfig::new(urls, operator, None, now).map(drop)
    };
    for url in [
        "https://log.example.org/",
        "log.example.org",
        "ftp://log.example.org",
        "https://",
        "https:///x",
        "https://a b",
        "https://a?b",
    ] {
        assert_eq!(
            new(&[WriteUrl { url, ..V2 }], "o", PLANNED),
            Err(ExportError::Url(url.to_owned())),
            "{url}"
        );
    }
    assert_eq!(
        new(
            &[WriteUrl {
                url: "http://127.0.0.1:8080/argon",
                ..V2
            }],
            "o",
            PLANNED
        ),
        Ok(())
    );
    assert_eq!(new(&[V2], "", PLANNED), Err(ExportError::Operator));
    assert_eq!(
        new(&[V2, V1, V2], "o", PLANNED),
        Err(ExportError::TwoUrls(2))
    );
    assert_eq!(
        new(&[WriteUrl { version: 3, ..V2 }], "o", PLANNED),
        Err(ExportError::Version(3))
    );
    let future = |url: &str, start: &str| {
        Err(ExportError::Future {
            url: url.to_owned(),
            start: start.to_owned(),
        })
    };
    assert_eq!(
        new(&[V2], "o", PLANNED - 1000),
        future(V2.url, "2026-01-02T10:00:00Z")
    );
    for (list, start) in [
        ("caUrls", "2030-01-01T00:00:00Z"),
        ("tsaUrls", "2026-01-02T12:00:00.5+01:00"),
    ] {
        let mut existing = existing_config();
        existing[list][0]["validFor"]["start"] = json!(start);
        let url = existing[list][0]["url"].as_str().unwrap();
        assert_eq!(
            SigningConfig::new(&[V2], "o", Some(&existing.to_string()), PLANNED).map(drop),
            future(url, start)
        );
    }
    let mut undated = existing_config();
    undated["oidcUrls"][0]["validFor"]["start"] = json!("soon");
    let mut old = existing_config();
    old["mediaType"] = json!("application/vnd.dev.sigstore.signingconfig.v0.1+json");
    for bad in [undated.to_string(), old.to_string(), "{}".to_owned()] {
        let error = SigningConfig::new(&[V2], "o", Some(&bad), PLANNED).unwrap_err();
        assert!(
            matches!(
                error,
                ExportError::Merge {
                    kind: "SigningConfig",
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_client_trust_config_has_both_files_and_gives_them_back() {
    let key = ecdsa("a.example.org", 1);
    let root = TrustedRoot::new(&[shard(&key)], Some(&existing_root().to_string())).unwrap();
    let config =
        SigningConfig::new(&[V2], "o", Some(&existing_config().to_string()), PLANNED).unwrap();
    let text = client_trust_config(&root, &config);
    let expected = json!({
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": value(&root.to_json()),
        "signingConfig": value(&config.to_json()),
    });
    assert_eq!(value(&text), expected);
    let (root_text, config_text) = split_client_trust_config(&text).unwrap();
    assert_eq!(TrustedRoot::new(&[shard(&key)], Some(root_text)), Ok(root));
    assert_eq!(
        SigningConfig::new(&[V2], "o", Some(config_text), PLANNED),
        Ok(config)
    );
    assert!(split_client_trust_config(root_text).is_err());
}

#[test]
fn a_monitor_is_told_where_each_shard_is_read() {
    let (first, second) = (
        ecdsa("2026a.log.example.org", 1),
        ecdsa("2026b.log.example.org", 2),
    );
    let log = |host: &str| json!({"readUrl": format!("https://{host}"), "logOrigin": host, "majorApiVersion": 2});
    let other = log("rekor.example.com");
    let existing = json!({"rekorLogs": [log("2026a.log.example.org"), other]}).to_string();
    let expected =
        json!({"rekorLogs": [other, log("2026a.log.example.org"), log("2026b.log.example.org")]});
    let text = monitor_config(&[shard(&first), shard(&second)], 2, Some(&existing)).unwrap();
    assert_eq!(value(&text), expected);
    assert_eq!(
        monitor_config(&[shard(&first), shard(&second)], 2, Some(&text)).unwrap(),
        text
    );
    assert_eq!(
        monitor_config(&[], 2, None).unwrap(),
        "{\n  \"rekorLogs\": []\n}\n"
    );
    assert_eq!(monitor_config(&[], 3, None), Err(ExportError::Version(3)));
}

/// The members that clients know of an entry of `tlogs`.
const KNOWN: [&str; 10] = [
    "baseUrl",
    "hashAlgorithm",
    "publicKey",
    "rawBytes",
    "keyDetails",
    "validFor",
    "start",
    "logId",
    "keyId",
    "tlogs",
];

fn members(value: &Value, check: &mut impl FnMut(&str)) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                check(name);
                members(value, check);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| members(value, check)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn no_shard_breaks_a_client(times in prop::collection::vec(0_u64..4_102_444_800_000, 1..5), merge: bool) {
        let keys: Vec<_> = (1..).zip(&times).map(|(n, _)| {
            let host = format!("s{n}.example.org");
            if n % 2 == 0 { ed25519(&host, n) } else { ecdsa(&host, n) }
        }).collect();
        let shards: Vec<_> = keys.iter().zip(&times).map(|(key, time)| Shard { key, valid_from: *time }).collect();
        let existing = existing_root().to_string();
        let root = TrustedRoot::new(&shards, merge.then_some(existing.as_str())).unwrap();
        let text = root.to_json();
        // Merging with itself changes no byte.
        prop_assert_eq!(&TrustedRoot::new(&shards, Some(&text)).unwrap().to_json(), &text);
        let found = value(&text);
        let ours = &found["tlogs"].as_array().unwrap()[usize::from(merge)..];
        prop_assert_eq!(ours.len(), shards.len());
        for (entry, shard) in ours.iter().zip(&shards) {
            members(entry, &mut |name| assert!(KNOWN.contains(&name), "{name}"));
            let start: Timestamp = entry["publicKey"]["validFor"]["start"].as_str().unwrap().parse().unwrap();
            let early = shard.valid_from - u64::try_from(start.as_millisecond()).unwrap();
            prop_assert!(early < 1000);
            let id = crate::base64::decode_standard(entry["logId"]["keyId"].as_str().unwrap()).unwrap();
            prop_assert_eq!(&id[..4], &shard.key.id().to_be_bytes());
            prop_assert_eq!(id.len(), 32);
            prop_assert_eq!(entry["baseUrl"].as_str().unwrap(), format!("https://{}", shard.key.name()));
        }
    }
}

#[test]
fn a_start_that_was_published_never_moves_forward() {
    let key = ecdsa("2026a.log.example.org", 1);
    let root = |valid_from: u64, merge: Option<&str>| {
        let shard = Shard {
            key: &key,
            valid_from,
        };
        TrustedRoot::new(&[shard], merge).unwrap().to_json()
    };
    let before = root(PLANNED, None);
    // As of a log that was restored a day later, and of one that knows better.
    assert_eq!(root(PLANNED + 86_400_000, Some(&before)), before);
    let earlier = root(PLANNED - 86_400_000, None);
    assert_eq!(root(PLANNED - 86_400_000, Some(&before)), earlier);
}
