//! Cosignatures and policies.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::{Checkpoint, Cosigner, CosignerKey, Hash, Note, NoteError, Policy, Signer, attach};

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint {
        origin: "example.com/log".into(),
        size,
        root: Hash([7; 32]),
        extensions: Vec::new(),
    }
}

fn cosigner(name: &str, seed: u8) -> Cosigner {
    Cosigner::from_seed(name, &[seed; 32]).unwrap()
}

#[test]
fn a_cosignature_is_what_the_specification_says() {
    let text = checkpoint(9).to_text();
    let witness = cosigner("witness.example.com/w1", 3);
    let line = witness.cosign(&text, 1_679_315_147).unwrap();
    // The message and the line, put together by hand.
    let message = format!(
        "cosignature/v1\ntime 1679315147\nexample.com/log\n9\n{}\n",
        Hash([7; 32]).to_base64()
    );
    let signature = SigningKey::from_bytes(&[3; 32])
        .sign(message.as_bytes())
        .to_bytes();
    let mut bytes = witness.verifier().id().to_be_bytes().to_vec();
    bytes.extend(1_679_315_147u64.to_be_bytes());
    bytes.extend(signature);
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    assert_eq!(line, format!("\u{2014} witness.example.com/w1 {base64}\n"));

    let log = Signer::from_seed("example.com/log", &[1; 32]).unwrap();
    let note = attach(&checkpoint(9).sign(&log).unwrap(), [&*line]).unwrap();
    let parsed = Note::parse(&note).unwrap();
    assert_eq!(
        witness.verifier().find(&parsed).unwrap().unwrap().time,
        1_679_315_147
    );
    assert_eq!(
        Checkpoint::open(&note, log.verifier()).unwrap(),
        checkpoint(9)
    );
    assert_eq!(
        witness.verifier().pick(&text, &line).as_deref(),
        Ok(line.trim_end())
    );
    assert_eq!(cosigner("other", 4).verifier().find(&parsed), Ok(None));
    assert!(matches!(
        cosigner("other", 4).verifier().pick(&text, &line),
        Err(NoteError::Unsigned(_))
    ));
}

#[test]
fn keys_of_cosigners_are_of_their_own_type() {
    let witness = cosigner("w", 3);
    let vkey = witness.verifier().to_string();
    assert_eq!(vkey.parse::<CosignerKey>().as_ref(), Ok(witness.verifier()));
    assert!(vkey.parse::<crate::VerifierKey>().is_err());
    let log = Signer::from_seed("w", &[3; 32]).unwrap();
    assert!(log.verifier().to_string().parse::<CosignerKey>().is_err());
    assert_ne!(log.verifier().id(), witness.verifier().id());
    assert!(Cosigner::from_seed("a b", &[0; 32]).is_err());
    assert!(
        !format!("{witness:?}").contains("030303"),
        "a secret key is not printed"
    );
    assert!(witness.cosign("not a checkpoint\n", 1).is_err());
    for time in [0, 1 << 63] {
        assert!(witness.cosign(&checkpoint(1).to_text(), time).is_err());
    }
}

proptest! {
    #[test]
    fn every_changed_byte_is_refused(time in 1..=i64::MAX as u64, at: Index, bit in 0..8, size: u64) {
        let text = checkpoint(size).to_text();
        let witness = cosigner("w", 5);
        let line = witness.cosign(&text, time).unwrap();
        let note = format!("{text}\n{line}");
        let mut parsed = Note::parse(&note).unwrap();
        prop_assert_eq!(witness.verifier().find(&parsed).unwrap().map(|c| c.time), Some(time));
        let bytes = &mut parsed.signatures[0].bytes;
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        prop_assert!(witness.verifier().find(&parsed).is_err());
        let other = checkpoint(size ^ 1).to_text();
        prop_assert!(witness.verifier().pick(&other, &line).is_err());
    }

    #[test]
    fn lines_never_change_a_text(lines in prop::collection::vec("\\PC{0,9}(\\n\\n)?\\PC{0,9}", 0..3)) {
        let log = Signer::from_seed("example.com/log", &[1; 32]).unwrap();
        let note = checkpoint(3).sign(&log).unwrap();
        if let Ok(whole) = attach(&note, lines.iter().map(String::as_str)) {
            prop_assert_eq!(Checkpoint::open(&whole, log.verifier()), Ok(checkpoint(3)));
        }
    }
}

fn witnesses(count: u8) -> String {
    (0..count)
        .map(|at| {
            format!(
                "witness W{at} {} https://w{at}.example/\n",
                cosigner(&format!("w{at}"), at).verifier()
            )
        })
        .collect()
}

#[test]
fn the_policy_of_the_specification() {
    let log = Signer::from_seed("example.com/log", &[99; 32]).unwrap();
    let text = format!(
        "# two operators\nlog {}\n{}\n\tgroup X 2 W0 W1 W2\n  group Y any W3 W4 W5\ngroup both all X Y \t\nquorum both",
        log.verifier(),
        witnesses(6)
    );
    let policy = Policy::parse(&text).unwrap();
    assert_eq!((policy.logs.len(), policy.witnesses.len()), (1, 6));
    assert_eq!(
        policy.witnesses[3].url.as_deref(),
        Some("https://w3.example/")
    );
    for set in 0u8..64 {
        let votes = |mask: u8| (set & mask).count_ones();
        let expected = votes(0b111) >= 2 && votes(0b11_1000) >= 1;
        assert_eq!(
            policy.satisfied(|at| set >> at & 1 == 1),
            expected,
            "{set:06b}"
        );
    }
    assert!(Policy::none().satisfied(|_| false) && Policy::none().is_none());
    assert!(Policy::parse("quorum none\n").unwrap().is_none());
    let one = Policy::parse(&format!("{}quorum W1\n", witnesses(2))).unwrap();
    assert!(one.satisfied(|at| at == 1) && !one.satisfied(|at| at == 0));
}

/// C2SP signed-note, "Verifying": keys of unknown algorithms are ignored. A witness that has one never counts.
#[test]
fn a_key_of_an_unknown_algorithm_never_counts() {
    // Type 6: ML-DSA-44.
    let vkey = format!("pq.example+01234567+{}", STANDARD.encode([6; 1313]));
    let other = format!("pq2.example+01234567+{}", STANDARD.encode([6; 1313]));
    let text = format!("log {vkey}\n{}witness PQ {other}\n", witnesses(1));
    let policy = Policy::parse(&format!("{text}group G any W0 PQ\nquorum G")).unwrap();
    assert_eq!((policy.logs.len(), policy.witnesses.len()), (0, 1));
    assert_eq!(policy.unknown, ["PQ"]);
    assert!(policy.satisfied(|_| true) && !policy.satisfied(|_| false));
    let policy = Policy::parse(&format!("{text}group G all W0 PQ\nquorum G")).unwrap();
    assert!(!policy.satisfied(|_| true));
    let twice = format!("{text}witness PQ3 {other}\nquorum none");
    assert!(Policy::parse(&twice).unwrap_err().problem.contains("twice"));
}

/// C2SP tlog-policy: a policy is bytes; a comment may have any.
#[test]
fn comments_are_bytes() {
    let policy = Policy::from_bytes(b" # caf\xe9\nquorum none").unwrap();
    assert!(policy.is_none());
    let error = Policy::from_bytes(b"\nquorum caf\xe9").unwrap_err();
    assert_eq!(error.line, 2);
    assert!(Policy::from_bytes(b"# \x01\nquorum none").is_err());
}

#[test]
fn bad_policies_name_the_line() {
    let two = witnesses(2);
    let key = cosigner("w0", 0).verifier().to_string();
    let log = Signer::from_seed("example.com/log", &[99; 32]).unwrap();
    let log = log.verifier().to_string();
    for (text, line, needle) in [
        (String::new(), 2, "no quorum"),
        ("quorum none\nquorum none".into(), 2, "second"),
        ("quorum W".into(), 1, "not defined"),
        ("quorum".into(), 1, "expected"),
        ("Quorum none".into(), 1, "not one of"),
        ("witness none x".into(), 1, "verifier key"),
        (format!("witness none {key}"), 1, "reserved"),
        (
            format!("witness A {key}\nwitness B {key}"),
            2,
            "has the key of A",
        ),
        (format!("{two}group W0 any W1"), 3, "defined twice"),
        (format!("{two}group G 3 W0 W1"), 3, "3 of 2"),
        (format!("{two}group G 0 W0 W1"), 3, "0 of 2"),
        (format!("{two}group G all"), 3, "0 of 0"),
        (format!("{two}group G some W0"), 3, "not all, any"),
        (format!("{two}group G any none"), 3, "not defined"),
        (format!("{two}group G all W0 W0"), 3, "twice"),
        (format!("{two}group G all W0\ngroup H all W0"), 4, "twice"),
        (format!("{two}group G all G"), 3, "not defined"),
        ("quorum none\r\n".into(), 1, "control"),
        (format!("witness W {log}"), 1, "type 4"),
        (format!("log {key}"), 1, "type 1"),
        (format!("{}quorum none", witnesses(65)), 65, "more than 64"),
    ] {
        let error = Policy::parse(&text).unwrap_err();
        assert!(
            error.line == line && error.problem.contains(needle),
            "{text:?}: {error}"
        );
    }
}

/// `quorum` by the words of the specification: a name is witnessed when it is a witness that cosigned, or a group of which
/// enough members are.
fn witnessed(
    name: &str,
    groups: &[(String, usize, Vec<String>)],
    cosigned: &HashSet<String>,
) -> bool {
    match groups.iter().find(|(group, ..)| group == name) {
        None => cosigned.contains(name),
        Some((_, needed, members)) => {
            members
                .iter()
                .filter(|m| witnessed(m, groups, cosigned))
                .count()
                >= *needed
        }
    }
}

proptest! {
    #[test]
    fn any_policy_agrees_with_the_definition(
        count in 1..9u8, picks in prop::collection::vec((any::<u16>(), any::<Index>()), 0..5), set: u16,
    ) {
        let mut free: Vec<String> = (0..count).map(|at| format!("W{at}")).collect();
        let (mut text, mut groups) = (witnesses(count), Vec::new());
        for (at, (mask, needed)) in picks.into_iter().enumerate() {
            let (members, rest): (Vec<_>, Vec<_>) = free.into_iter().enumerate().partition(|(at, _)| mask >> at & 1 == 1);
            free = rest.into_iter().map(|(_, name)| name).collect();
            let members: Vec<String> = members.into_iter().map(|(_, name)| name).collect();
            if members.is_empty() { continue; }
            let needed = 1 + needed.index(members.len());
            text.push_str(&format!("group G{at} {needed} {}\n", members.join(" ")));
            groups.push((format!("G{at}"), needed, members));
            free.push(format!("G{at}"));
        }
        let quorum = free.last().unwrap().clone();
        text.push_str(&format!("quorum {quorum}\n"));
        let policy = Policy::parse(&text).unwrap();
        let cosigned: HashSet<String> = (0..count).filter(|at| set >> at & 1 == 1).map(|at| format!("W{at}")).collect();
        prop_assert_eq!(policy.satisfied(|at| set >> at & 1 == 1), witnessed(&quorum, &groups, &cosigned));
    }

    #[test]
    fn whatever_comes_is_no_panic(text in "((log|witness|group|quorum|#|x)( [a-zA-Z0-9+]{1,4}){0,4}\\n){0,6}") {
        let _ = Policy::parse(&text);
    }
}
