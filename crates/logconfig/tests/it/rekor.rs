//! The front for Sigstore's clients in a document.

use logconfig::{
    Algorithm, Duplicates, EntryKind, FirstEntry, LogConfig, OriginForm, RekorConfig, Span, diff,
    parse, rolled_back,
};
use proptest::prelude::*;

pub(crate) fn any_rekor() -> impl Strategy<Value = RekorConfig> {
    let first = prop_oneof![Just(FirstEntry::Statement), Just(FirstEntry::None)];
    let duplicates = prop_oneof![Just(Duplicates::Replay), Just(Duplicates::Conflict)];
    let kinds = proptest::sample::subsequence(EntryKind::ALL.to_vec(), 1..=4);
    let open = any::<(bool, bool)>();
    (open, kinds, duplicates, first, 1_000u64..=60_000).prop_map(
        |((v1, v2), kinds, duplicates, first_entry, hold)| RekorConfig {
            v1,
            v2,
            kinds: kinds.into_iter().collect(),
            duplicates,
            first_entry,
            hold: Span::from_millis(hold),
        },
    )
}

fn log() -> LogConfig {
    LogConfig::new("dev".parse().unwrap(), String::new(), "a".parse().unwrap())
}

#[test]
fn a_document_without_a_front_keeps_its_bytes_and_says_nothing_of_it() {
    let text = String::from_utf8(log().canonical()).unwrap();
    assert!(!text.contains("rekor"), "{text}");
    assert!(!log().to_yaml().contains("rekor"));
}

#[test]
fn a_front_opens_as_a_change_and_closes_by_a_roll_back() {
    let mut before = log();
    before.origin_form = OriginForm::Host;
    let mut next = before.clone();
    next.rekor.v2 = true;
    next.rekor.duplicates = Duplicates::Conflict;
    let words: Vec<String> = diff(&before, &next)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        words,
        [
            "rekor.v2: closed -> open",
            "rekor.duplicates: replay -> conflict"
        ]
    );
    assert!(!rolled_back(&next, &before).rekor.v2);
    let yaml = next.to_yaml();
    assert_eq!(parse(&yaml).unwrap().rekor, next.rekor, "{yaml}");
}

#[test]
fn a_front_of_the_first_api_names_its_kinds_and_needs_an_ecdsa_key() {
    let mut log = log();
    log.origin_form = OriginForm::Host;
    log.rekor.v2 = true;
    let text = String::from_utf8(log.canonical()).unwrap();
    assert!(!text.contains("v1\":") && !text.contains("kinds"), "{text}");
    let codes = |log: &LogConfig| {
        let found = log.validate().into_iter();
        found
            .map(|finding| (finding.code, finding.pointer))
            .collect::<Vec<_>>()
    };
    log.rekor.v1 = true;
    assert_eq!(codes(&log), [("needs-ecdsa", "/rekor/v1".to_owned())]);
    log.key.algorithm = Algorithm::EcdsaP256;
    // A shard that the log already has keeps its key.
    assert_eq!(codes(&log), [("needs-ecdsa", "/rekor/v1".to_owned())]);
    log.shards[0].key = log.key;
    assert_eq!(codes(&log), []);
    log.rekor.kinds = [EntryKind::Dsse, EntryKind::HashedRekord]
        .into_iter()
        .collect();
    let yaml = log.to_yaml();
    assert!(yaml.contains("kinds: [hashedrekord, dsse]"), "{yaml}");
    assert_eq!(parse(&yaml).unwrap().rekor, log.rekor, "{yaml}");
    log.rekor.kinds = [].into_iter().collect();
    assert_eq!(codes(&log), [("no-kinds", "/rekor/kinds".to_owned())]);
}

#[test]
fn a_front_holds_a_write_for_a_time_that_clients_wait() {
    for (hold, wrong) in [
        ("1s", false),
        ("60s", false),
        ("999ms", true),
        ("61s", true),
    ] {
        let text = format!(
            "apiVersion: logctl/v1\nkind: LogConfig\nlog: dev\noriginForm: host\nrekor: {{v2: true, hold: {hold}}}\n"
        );
        let found = parse(&text).err().unwrap_or_default();
        let codes: Vec<_> = found
            .iter()
            .map(|finding| (finding.code, &*finding.pointer))
            .collect();
        let expected = [("out-of-range", "/rekor/hold")];
        assert_eq!(codes, &expected[..usize::from(wrong)], "{hold}");
    }
}

#[test]
fn a_front_needs_origins_that_are_host_names() {
    let text = "apiVersion: logctl/v1\nkind: LogConfig\nlog: dev\nrekor: {v2: true}\n";
    let found = parse(text).unwrap_err();
    let codes: Vec<_> = found
        .iter()
        .map(|finding| (finding.code, &*finding.pointer))
        .collect();
    assert_eq!(codes, [("needs-hosts", "/rekor/v2")]);
}
