//! The merge: what is refused, what a difference says, and that older documents stay what they were.

use logconfig::{
    Announced, Duplicates, FrontendConfig, LogConfig, MergeConfig, NodeName, SecondaryConfig, Seen,
    Span, StorageConfig, StorageNode, WitnessConfig, diff, parse, rolled_back,
};
use proptest::collection::btree_set;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tlog::{Cosigner, Signer};

use crate::{render, running};

/// A verifier key of a cosigner.
pub(crate) fn vkey(name: &str) -> String {
    let seed = Sha256::digest(name).into();
    let cosigner = Cosigner::from_seed(name, &seed).unwrap();
    cosigner.verifier().to_string()
}

/// A verifier key of a log.
fn log_vkey(name: &str) -> String {
    let signer = Signer::from_seed(name, &Sha256::digest(name).into()).unwrap();
    signer.verifier().to_string()
}

const BAD: &[(&str, &str)] = &[
    ("storage", "merge: {storage: {quorum: 2}}"),
    ("no quorum", "merge: {storage: {quorum: 0}}"),
    ("no nodes", "merge: {storage: {nodes: []}}"),
    (
        "nodes",
        "merge: {storage: {quorum: 3, nodes: [{name: local}, {name: b}, {name: local}, {name: B}]}}",
    ),
    ("a quorum of nobody", "merge: {backupQuorum: 1}"),
    (
        "a quorum of too few",
        "merge: {backupQuorum: 2, secondaries: [{name: ams, url: \"https://a.example.org\", vkey: \"MIRROR\"}]}",
    ),
    (
        "a mistake in the list hides what rests on it",
        "merge: {backupQuorum: 2, secondaries: [{name: ams, url: \"https://a.example.org\"}]}",
    ),
    ("negative", "merge: {backupQuorum: -1}"),
    (
        "one secondary twice",
        "merge: {secondaries: [{name: ams, url: \"https://a\", vkey: \"MIRROR\"}, {name: ams, url: \"https://a\", vkey: \"MIRROR\"}]}",
    ),
    (
        "keys",
        "merge: {secondaries: [{name: a, url: \"https://a\", vkey: \"LOG\"}, {name: b, url: \"https://b\", vkey: nope}, {name: c, url: \"https://c\", vkey: \"OTHER\"}]}",
    ),
    (
        "urls",
        "merge: {secondaries: [{name: a, url: ams.example.org, vkey: \"MIRROR\"}, {name: b, url: \"https://me:secret@b\", vkey: \"WITNESS\"}]}",
    ),
    (
        "frontends",
        "merge: {frontends: [{name: a, url: \"s3://key:secret@bucket\"}, {name: s, url: \"s3://bucket/a/../b\"}, {name: h, url: \"https://s3.example.org/bucket\"}, {name: g, url: \"gs://bucket/logs\"}, {name: b, url: \"file:///srv/../etc\"}, {name: c, url: \"file://srv\"}, {name: c, url: \"file:///srv/c\"}, {name: d, url: \"file:///srv/c\"}]}",
    ),
    ("policy", "witnesses: {policy: \"witness a\", timeout: 90s}"),
    (
        "policy without a quorum",
        "witnesses: {policy: \"witness a WITNESS https://a.example.org\"}",
    ),
    (
        "policy that cannot be met",
        "witnesses: {policy: \"witness a WITNESS\\nquorum a\"}",
    ),
    (
        "a witness with a bad URL",
        "witnesses: {policy: \"witness a WITNESS ftp://a\\nquorum a\"}",
    ),
    (
        "what a terminal would obey",
        "witnesses: {policy: \"quorum \\u202e\"}",
    ),
    (
        "words",
        "merge: {storage: {node: []}, secondarys: [], frontends: {}}\nwitness: {}",
    ),
];

#[test]
fn findings_of_bad_settings() {
    let text: String = BAD
        .iter()
        .map(|(name, settings)| {
            let changed = &vkey("a").replacen('a', "b", 1);
            let settings = settings
                .replace("MIRROR", &vkey("ams.example.org"))
                .replace("WITNESS", &vkey("witness"))
                .replace("LOG", &log_vkey("log"))
                .replace("OTHER", changed);
            let findings = parse(&format!("log: argon\n{settings}\n")).expect_err(name);
            format!("{name}:\n{}\n", render(&findings))
        })
        .collect();
    insta::assert_snapshot!(text);
}

#[test]
fn there_are_bounds() {
    let name = |n: usize| format!("n{n}").parse::<NodeName>().unwrap();
    let config = |nodes: usize, peers: usize| {
        let mut config = running();
        config.merge.storage.nodes = (0..nodes).map(|n| StorageNode { name: name(n) }).collect();
        config.merge.secondaries = (0..peers).map(|n| secondary(&name(n))).collect();
        config.merge.frontends = (0..peers).map(|n| frontend(&name(n))).collect();
        config
    };
    assert_eq!(config(16, 32).validate(), []);
    let findings = config(17, 33).validate();
    let found: Vec<_> = findings
        .iter()
        .map(|f| (f.code, f.pointer.as_str()))
        .collect();
    let pointers = [
        "/merge/storage/nodes",
        "/merge/secondaries",
        "/merge/frontends",
    ];
    assert_eq!(found, pointers.map(|pointer| ("too-many", pointer)));
}

/// A document of a server that knew none of these settings is read, and written again byte for byte.
#[test]
fn a_document_of_before_keeps_its_bytes_and_its_tag() {
    let config = running();
    let bytes = String::from_utf8(config.canonical()).unwrap();
    assert!(
        bytes.ends_with("\"merge\":{\"checkpointInterval\":\"200ms\",\"idleRepublish\":\"1m\"}}")
    );
    let read: LogConfig = serde_json::from_str(&bytes).unwrap();
    assert_eq!(read.canonical(), config.canonical());
    assert_eq!(read.merge, MergeConfig::default());
    assert_eq!(read.etag(7), config.etag(7));
    let spelled = parse(&read.to_yaml()).unwrap();
    assert_eq!(spelled.etag(7), config.etag(7));
}

/// Every setting in use.
pub(crate) fn example() -> LogConfig {
    let mut config = running();
    let name = |name: &str| name.parse::<NodeName>().unwrap();
    config
        .merge
        .storage
        .nodes
        .push(StorageNode { name: name("b") });
    config.merge.storage.quorum = 2;
    config.merge.secondaries = vec![secondary(&name("ams")), secondary(&name("fra"))];
    config.merge.backup_quorum = 1;
    config.merge.frontends = vec![frontend(&name("cdn"))];
    config.witnesses.policy = format!(
        "# who watches\nwitness w {} https://w.example.org\n\nquorum w\n",
        vkey("w.example.org/w")
    );
    config.rekor.duplicates = Duplicates::Conflict;
    let last = config.shards.last_mut().unwrap();
    last.announced = Some(Announced {
        key: "2sm2M9oVbG2eFwl5JsvKTq5mCxLXvVlBJKpUYYwBjfM=".to_owned(),
        seen: vec![
            Seen {
                at: "https://example.org/trusted_root.json".to_owned(),
                since: "2026-11-30T12:00:00Z".to_owned(),
                gone: None,
            },
            Seen {
                at: "https://mirror.example.org/".to_owned(),
                since: "2026-11-30T12:00:00Z".to_owned(),
                gone: Some("2026-12-01T12:00:00Z".to_owned()),
            },
        ],
    });
    config
}

#[test]
fn yaml_for_people() {
    let config = example();
    assert_eq!(config.validate(), []);
    let text = config.to_yaml();
    assert_eq!(parse(&text).unwrap(), config);
    insta::assert_snapshot!(text.split_once("merge:").unwrap().1);
}

#[test]
fn differences_in_words() {
    let before = example();
    let mut after = before.clone();
    after.merge.storage.quorum = 1;
    after.merge.storage.nodes.swap(0, 1);
    after.merge.backup_quorum = 2;
    after.merge.secondaries[0].url = "https://other.example.org".to_owned();
    after.merge.secondaries[1].name = "lon".parse().unwrap();
    after.merge.frontends.clear();
    after.witnesses = WitnessConfig {
        timeout: Span::from_secs(3),
        ..WitnessConfig::default()
    };
    let text: String = diff(&before, &after)
        .iter()
        .map(|d| format!("{d}\n"))
        .collect();
    insta::assert_snapshot!(text);
    let back = rolled_back(&after, &before);
    assert_eq!(
        (back.merge, back.witnesses),
        (before.merge, before.witnesses)
    );
}

fn secondary(name: &NodeName) -> SecondaryConfig {
    SecondaryConfig {
        name: name.clone(),
        url: format!("https://{name}.example.org"),
        vkey: vkey(&format!("{name}.example.org")),
    }
}

fn frontend(name: &NodeName) -> FrontendConfig {
    FrontendConfig {
        name: name.clone(),
        url: format!("file:///srv/{name}"),
    }
}

fn any_names(most: usize) -> impl Strategy<Value = Vec<NodeName>> {
    btree_set("[a-z][a-z0-9]{0,5}", 0..most).prop_map(|names| {
        let names = names.into_iter().filter_map(|name| name.parse().ok());
        names.collect()
    })
}

pub(crate) fn any_peers() -> impl Strategy<Value = MergeConfig> {
    (any_names(5), any_names(4), any_names(4), any::<[u32; 2]>()).prop_map(
        |(nodes, secondaries, frontends, [quorum, backup])| {
            let mut storage = StorageConfig::default();
            storage
                .nodes
                .extend(nodes.into_iter().map(|name| StorageNode { name }));
            storage.nodes.dedup_by(|a, b| a == b);
            storage.quorum = 1 + quorum % storage.nodes.len() as u32;
            MergeConfig {
                storage,
                backup_quorum: backup % (secondaries.len() as u32 + 1),
                secondaries: secondaries.iter().map(secondary).collect(),
                frontends: frontends.iter().map(frontend).collect(),
                ..MergeConfig::default()
            }
        },
    )
}

/// Policies of all shapes of text: block scalars, quoted ones, none.
pub(crate) fn any_witnesses() -> impl Strategy<Value = WitnessConfig> {
    let comment = prop_oneof![
        "# [ -~]{0,9}",
        " *# \\PC{0,9}",
        "[\t ]{0,2}",
        Just(String::new())
    ];
    let rules = prop_oneof![Just(false), Just(true)];
    (
        proptest::collection::vec(comment, 0..4),
        rules,
        any::<bool>(),
        100u64..=60_000,
    )
        .prop_map(|(comments, rules, ended, timeout)| {
            let mut lines = comments;
            if rules {
                lines.push(format!("witness w {} https://w.example.org", vkey("w")));
                lines.push("quorum w".to_owned());
            } else if !lines.iter().all(|line| line.trim().is_empty()) {
                lines.push("quorum none".to_owned());
            }
            let end = if ended { "\n" } else { "" };
            WitnessConfig {
                policy: lines.join("\n") + end,
                timeout: Span::from_millis(timeout),
            }
        })
}

/// An edit that may or may not be allowed.
pub(crate) fn edit(config: &mut LogConfig, at: usize, to: u8) {
    let merge = &mut config.merge;
    match at % 6 {
        0 => merge.storage.quorum = u32::from(to % 4),
        1 => merge.backup_quorum = u32::from(to % 4),
        2 => drop(merge.secondaries.pop()),
        3 => merge.storage.nodes.reverse(),
        4 => merge
            .frontends
            .push(frontend(&format!("f{to}").parse().unwrap())),
        _ => config.witnesses.policy.push('\n'),
    }
}
