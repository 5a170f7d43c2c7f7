//! Checkpoints and seals: one spelling each, never one for the other, every change refused.

use proptest::prelude::*;

use crate::{Checkpoint, Hash, NoteError, Receipt, Seal, Signer, empty_root, leaf_hash, sign};

const ORIGIN: &str = "log.example.org/argon/2026a";
const NEXT: &str = "log.example.org/argon/2026b";
/// The example of the specification.
const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} \
    example.com/behind-the-sofa \
    Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

fn signer(name: &str, seed: u8) -> Signer {
    Signer::from_seed(name, &[seed; 32]).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.into(),
        size: 1234,
        root: leaf_hash(b"x"),
        extensions: Vec::new(),
    }
}

fn seal() -> Seal {
    Seal {
        origin: ORIGIN.into(),
        size: 1234,
        root: leaf_hash(b"x"),
        successor_origin: NEXT.into(),
        successor_key: signer(NEXT, 2).verifier().clone(),
    }
}

#[test]
fn the_example_of_the_specification() {
    let note = crate::Note::parse(EXAMPLE).unwrap();
    let checkpoint = Checkpoint::parse(note.text).unwrap();
    assert_eq!(
        (checkpoint.origin.as_str(), checkpoint.size),
        ("example.com/behind-the-sofa", 20_852_163)
    );
    assert_eq!(checkpoint.extensions, [""; 0]);
    assert_eq!(checkpoint.to_text(), note.text);
}

#[test]
fn texts_that_are_not_checkpoints() {
    let root = empty_root().to_base64();
    assert!(Checkpoint::parse(&format!("o\n0\n{root}\n")).is_ok());
    assert!(Checkpoint::parse(&format!("o o+\n{}\n{root}\nextension\n", u64::MAX)).is_ok());
    for bad in [
        String::new(),
        "\n".into(),
        "o\n0\n".into(),
        format!("o\n0\n{root}"),
        format!("o\n0\n{root}\n\n"),
        format!("o\n0\n{root}\next\n\n"),
        format!("o\n0\n{root}\n\next\n"),
        format!("\n0\n{root}\n"),
        format!("o\n\n{root}\n"),
        format!("o\n00\n{root}\n"),
        format!("o\n01\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n-1\n{root}\n"),
        format!("o\n1 \n{root}\n"),
        format!("o\n0x1\n{root}\n"),
        format!("o\n\u{661}\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        format!("o\n1\n{}\n", root.trim_end_matches('=')),
        format!("o\n1\n{}\n", empty_root()),
        format!("o\n1\nAAAA{root}\n"),
        format!("o\n1\n {root}\n"),
    ] {
        assert!(
            matches!(Checkpoint::parse(&bad), Err(NoteError::Malformed(_))),
            "{bad:?}"
        );
    }
}

#[test]
fn only_its_own_key_signs_and_opens_a_checkpoint() {
    let (own, other) = (signer(ORIGIN, 1), signer(NEXT, 2));
    let note = checkpoint().sign(&own).unwrap();
    assert_eq!(Checkpoint::open(&note, own.verifier()), Ok(checkpoint()));
    let origin = |expected: &str, found: &str| NoteError::Origin {
        expected: expected.into(),
        found: found.into(),
    };
    assert_eq!(checkpoint().sign(&other), Err(origin(NEXT, ORIGIN)));
    assert_eq!(
        Checkpoint::open(&note, other.verifier()),
        Err(NoteError::Unsigned(NEXT.into()))
    );
    // The same name with another key is another key.
    assert!(Checkpoint::open(&note, signer(ORIGIN, 3).verifier()).is_err());
    // Signed by the right key, but about another log.
    let foreign = sign(
        &Checkpoint {
            origin: NEXT.into(),
            ..checkpoint()
        }
        .to_text(),
        &[&own],
    )
    .unwrap();
    assert_eq!(
        Checkpoint::open(&foreign, own.verifier()),
        Err(origin(ORIGIN, NEXT))
    );
    // A witness's signature beside the log's is ignored.
    let witnessed = sign(&checkpoint().to_text(), &[&other, &own]).unwrap();
    assert_eq!(
        Checkpoint::open(&witnessed, own.verifier()),
        Ok(checkpoint())
    );
    for extensions in [
        vec!["a\nb".to_owned()],
        vec![String::new()],
        vec!["a\n".to_owned()],
        vec!["\u{7}".to_owned()],
    ] {
        assert!(
            Checkpoint {
                extensions,
                ..checkpoint()
            }
            .sign(&own)
            .is_err()
        );
    }
}

#[test]
fn a_seal_needs_both_keys() {
    let (own, next, third) = (signer(ORIGIN, 1), signer(NEXT, 2), signer("third", 3));
    let note = seal().sign(&own, &next).unwrap();
    assert_eq!(Seal::open(&note, own.verifier()), Ok(seal()));
    assert!(note.starts_with("logctl.dev/seal/v1\nlog.example.org/argon/2026a\n1234\n"));
    assert_eq!(
        Seal::open(&note, next.verifier()).map_err(|e| e.to_string()),
        Err(format!("the origin is `{ORIGIN}`, not `{NEXT}`"))
    );
    assert!(
        seal().sign(&own, &third).is_err()
            && seal().sign(&third, &next).is_err()
            && seal().sign(&next, &own).is_err()
    );
    let text = seal().to_text();
    let only = |signers: &[&Signer]| Seal::open(&sign(&text, signers).unwrap(), own.verifier());
    assert_eq!(only(&[&own]), Err(NoteError::Unsigned(NEXT.into())));
    assert_eq!(only(&[&next]), Err(NoteError::Unsigned(ORIGIN.into())));
    assert_eq!(only(&[&next, &third, &own]), Ok(seal()));
    let itself = Seal {
        successor_origin: ORIGIN.into(),
        successor_key: own.verifier().clone(),
        ..seal()
    };
    assert!(itself.sign(&own, &own).is_err());
    let misnamed = Seal {
        successor_origin: "third".into(),
        ..seal()
    };
    assert!(misnamed.sign(&own, &next).is_err());
}

#[test]
fn seals_and_checkpoints_are_never_mistaken() {
    assert!(Checkpoint::parse(&seal().to_text()).is_err());
    // Not even with an origin that is a number.
    assert!(
        Checkpoint::parse(
            &Seal {
                origin: "5".into(),
                ..seal()
            }
            .to_text()
        )
        .is_err()
    );
    assert!(Seal::parse(&checkpoint().to_text()).is_err());
    let extensions = vec![
        leaf_hash(b"x").to_base64(),
        NEXT.into(),
        signer(NEXT, 2).verifier().to_string(),
    ];
    let near = Checkpoint {
        origin: "logctl.dev/seal/v1".into(),
        extensions,
        ..checkpoint()
    };
    assert!(Seal::parse(&near.to_text()).is_err());
}

fn receipt() -> Receipt {
    Receipt {
        origin: ORIGIN.into(),
        deadline: 1_763_737_200_123,
        leaf: leaf_hash(b"x"),
        promise: "80198f2b3c4d5e6f708192a3b4c5d6e7-0".into(),
    }
}

#[test]
fn a_receipt_is_its_shards_and_to_the_letter() {
    let (own, next) = (signer(ORIGIN, 1), signer(NEXT, 2));
    let note = receipt().sign(&own).unwrap();
    let text = format!(
        "logctl.dev/receipt/v1\n{ORIGIN}\n1763737200123\n{}\n80198f2b3c4d5e6f708192a3b4c5d6e7-0\n",
        leaf_hash(b"x").to_base64()
    );
    assert!(
        note.starts_with(&format!("{text}\n\u{2014} {ORIGIN} ")),
        "{note}"
    );
    assert_eq!(Receipt::open(&note, own.verifier()), Ok(receipt()));
    assert!(Receipt::open(&note, next.verifier()).is_err());
    assert!(receipt().sign(&next).is_err(), "another shard's key");
    // Signed with the right key, but for another origin.
    let foreign = Receipt {
        origin: NEXT.into(),
        ..receipt()
    };
    let note = sign(&foreign.to_text(), &[&own]).unwrap();
    assert!(Receipt::open(&note, own.verifier()).is_err());
    for promise in ["", "a b", "A", "a\nb", "a/b", &"a".repeat(65)] {
        let odd = Receipt {
            promise: promise.into(),
            ..receipt()
        };
        assert!(odd.sign(&own).is_err(), "{promise:?}");
    }
    for (what, bad) in [
        ("a leading zero", text.replace("\n17637", "\n017637")),
        ("no number", text.replace("1763737200123", "soon")),
        (
            "no hash",
            text.replace(&leaf_hash(b"x").to_base64(), "AAAA"),
        ),
        ("another type", text.replace("receipt/v1", "receipt/v2")),
        ("one line more", format!("{text}more\n")),
    ] {
        assert!(Receipt::parse(&bad).is_err(), "{what}");
    }
}

#[test]
fn receipts_are_never_mistaken() {
    let mut numbers = receipt();
    for text in [receipt().to_text(), {
        numbers.origin = "5".into();
        numbers.to_text()
    }] {
        assert!(Checkpoint::parse(&text).is_err() && Seal::parse(&text).is_err());
    }
    assert!(Receipt::parse(&seal().to_text()).is_err());
    let near = Checkpoint {
        origin: "logctl.dev/receipt/v1".into(),
        extensions: vec![leaf_hash(b"x").to_base64(), "a".into()],
        ..checkpoint()
    };
    assert!(Receipt::parse(&near.to_text()).is_err());
}

#[test]
fn every_flipped_bit_is_refused() {
    let (own, next) = (signer(ORIGIN, 1), signer(NEXT, 2));
    let notes = [
        checkpoint().sign(&own).unwrap(),
        seal().sign(&own, &next).unwrap(),
        receipt().sign(&own).unwrap(),
    ];
    for note in &notes {
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut bad = note.clone().into_bytes();
                bad[at] ^= 1 << bit;
                let Ok(bad) = String::from_utf8(bad) else {
                    continue;
                };
                assert!(
                    Checkpoint::open(&bad, own.verifier()).is_err(),
                    "byte {at} bit {bit}"
                );
                assert!(
                    Seal::open(&bad, own.verifier()).is_err(),
                    "byte {at} bit {bit}"
                );
                assert!(
                    Receipt::open(&bad, own.verifier()).is_err(),
                    "byte {at} bit {bit}"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn checkpoints_round_trip(origin in "[^\\s+\\x00-\\x1f]{1,20}", size: u64, root: [u8; 32], extensions in prop::collection::vec("[ -~]{1,9}", 0..3)) {
        let checkpoint = Checkpoint { origin: origin.clone(), size, root: Hash(root), extensions };
        let text = checkpoint.to_text();
        prop_assert_eq!(&Checkpoint::parse(&text).unwrap(), &checkpoint);
        let theirs = tlog_tiles::Checkpoint::from_reader(&mut format!("{text}\n").as_bytes(), false).unwrap();
        prop_assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), (origin.as_str(), size, root));
        let own = signer(&origin, 1);
        prop_assert_eq!(Checkpoint::open(&checkpoint.sign(&own).unwrap(), own.verifier()), Ok(checkpoint));
    }

    #[test]
    fn receipts_round_trip(deadline: u64, leaf: [u8; 32], promise in "[a-z0-9-]{1,64}") {
        let receipt = Receipt { deadline, leaf: Hash(leaf), promise, ..receipt() };
        prop_assert_eq!(&Receipt::parse(&receipt.to_text()).unwrap(), &receipt);
        let own = signer(ORIGIN, 1);
        prop_assert_eq!(Receipt::open(&receipt.sign(&own).unwrap(), own.verifier()), Ok(receipt));
    }

    #[test]
    fn what_parses_is_canonical(text in "o\n[0-9]{1,3}\n47DEQpj8HBSa\\+/TImW\\+5JCeuQeRkm5NMpJWZG3hSu[EF][U-W]=\n([a ]{0,2}\n)?") {
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_text(), text);
        }
    }
}
