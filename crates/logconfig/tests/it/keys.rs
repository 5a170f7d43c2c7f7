//! Algorithms of keys, and origins that are host names.

use logconfig::{
    Algorithm, LogConfig, OriginForm, ShardState, change, diff, parse, parse_change, rolled_back,
    settings, whole, with_planned, with_rotation,
};

use crate::{render, running};

const SIGSTORE: &str = "log: argon
origin: log.example.org
originForm: host
key: {algorithm: ecdsa-p256}
";

fn sigstore() -> LogConfig {
    parse(SIGSTORE).unwrap().with_first_shard(0).unwrap()
}

fn algorithms(config: &LogConfig) -> Vec<Algorithm> {
    config.shards.iter().map(|s| s.key.algorithm).collect()
}

#[test]
fn a_shard_that_is_created_has_the_key_of_the_log() {
    use Algorithm::{EcdsaP256, Ed25519};
    let mut config = sigstore();
    assert_eq!(config.shards[0].name.as_str(), "1970a");
    assert_eq!(config.shard_origin("1970a"), "1970a.log.example.org");
    assert_eq!(
        running().shard_origin("2026a"),
        "log.example.org/argon/2026a"
    );
    config = with_planned(&config, None, 0).unwrap();
    config.key.algorithm = Ed25519;
    // One that is planned keeps its key; the next has the other.
    for _ in 0..2 {
        config = with_rotation(&config, None, 0).unwrap();
    }
    assert_eq!(algorithms(&config), [EcdsaP256, EcdsaP256, Ed25519]);
    let text = format!(
        "{SIGSTORE}shards:\n- {{name: a, state: frozen, key: {{algorithm: ed25519}}}}\n- {{name: b, state: active}}\n"
    );
    assert_eq!(algorithms(&parse(&text).unwrap()), [Ed25519, EcdsaP256]);
    assert!(config.has_hosts_or_ecdsa() && running().has_hosts_or_ecdsa());
    let plain = parse("log: argon\n").unwrap();
    let mut plain = plain.with_first_shard(0).unwrap();
    assert!(!plain.has_hosts_or_ecdsa() && !plain.is_unreadable_before_two_keys());
    plain.rekor.hold = logconfig::Span::from_secs(10);
    assert!(plain.is_unreadable_before_two_keys());
}

/// A document that an older program stored must keep its digest, and thus its bytes.
#[test]
fn a_log_without_them_is_written_as_ever() {
    let text = String::from_utf8(parse("log: argon\n").unwrap().canonical()).unwrap();
    let before = r#"{"apiVersion":"logctl/v1","kind":"LogConfig","log":"argon","origin":"argon","shards":[],"rotate":"#;
    assert!(text.starts_with(before), "{text}");
}

#[test]
fn differences_are_said_in_words() {
    let a = parse("log: argon\norigin: log.example.org\n").unwrap();
    let text: Vec<String> = diff(&a, &sigstore())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        text,
        [
            "originForm: path -> host",
            "key: ed25519 -> ecdsa-p256",
            "shard 1970a: new, active",
            "shard 1970a key: new, ecdsa-p256",
        ]
    );
}

#[test]
fn what_can_not_be_or_not_change() {
    let mut said = String::new();
    for (what, text) in [
        (
            "a path",
            SIGSTORE.replace("example.org", "example.org/argon"),
        ),
        ("a port", SIGSTORE.replace("example.org", "example.org:443")),
        ("capitals", SIGSTORE.replace("log.", "Log.")),
        ("an empty label", SIGSTORE.replace("log.", "log..")),
        ("too long", SIGSTORE.replace("log.", &"log.".repeat(50))),
        (
            "a template",
            format!("{SIGSTORE}rotate: {{name: \"{{year}}.{{letter}}\"}}\n"),
        ),
        (
            "names",
            format!("{SIGSTORE}shards: [{{name: a.b, state: active}}, {{name: a-}}]\n"),
        ),
        (
            "words",
            SIGSTORE.replace("host", "Host").replace("-p256", ""),
        ),
    ] {
        let findings = parse(&text).unwrap_err();
        said.push_str(&format!("{what}\n{}", render(&findings)));
    }
    let (log, mut next) = (sigstore(), sigstore());
    next.origin_form = OriginForm::Path;
    next.shards[0].key.algorithm = Algorithm::Ed25519;
    next.shards[0].ecdsa_vkey = Some("a+1+b".to_owned());
    let findings = change(&log, &next).unwrap_err();
    said.push_str(&format!("changes\n{}", render(&findings)));
    // A shard without `key` is read as one of the log's kind; where that is another than it has, it is said.
    let text = "log: argon\norigin: log.example.org/argon\nkey: {algorithm: ecdsa-p256}\nshards: [{name: 2026a, state: active}]\n";
    let one = parse(&text.replace("key: {algorithm: ecdsa-p256}\n", "")).unwrap();
    let findings = parse_change(text, &one).unwrap_err();
    said.push_str(&format!("an existing shard\n{}", render(&findings)));
    insta::assert_snapshot!(said);
}

#[test]
fn a_roll_back_changes_the_key_of_later_shards_only() {
    let earlier = sigstore();
    let mut now = with_rotation(&earlier, None, 0).unwrap();
    now.key.algorithm = Algorithm::Ed25519;
    let back = rolled_back(&now, &earlier);
    assert_eq!(back.key, earlier.key);
    assert_eq!(back.shards, now.shards);
    assert_eq!(back.origin_form, OriginForm::Host);
    assert_eq!(change(&now, &back).unwrap().differences.len(), 1);
}

#[test]
fn what_is_stored_does_not_grow_with_frozen_shards_of_ecdsa() {
    let mut config = sigstore();
    for _ in 0..100 {
        config = with_rotation(&config, None, 0).unwrap();
    }
    let stored = config.stored();
    assert!(stored.len() < 3000, "{}", stored.len());
    let names = config.shards.iter().map(|shard| shard.name.as_str());
    assert_eq!(whole(&stored, names).unwrap(), config.canonical());
    let known = settings(&stored).unwrap();
    assert!(known.shards.iter().all(|s| s.state == ShardState::Active));
}
