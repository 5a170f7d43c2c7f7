//! Signed notes: known notes, agreement with another implementation, and every change refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};

use crate::{MAX_SIGNATURES, Note, NoteError, Signer, VerifierKey, sign};

/// The well-known example of Go's note package.
const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SECRET: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE: &str = "\u{2014} PeterNeumann \
    x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
/// The example of the specification.
const QUASIMODO: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u{e8} subito \
    sera.\n\n\u{2014} quasimodo.example/salvatore \
    NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

fn peter() -> Signer {
    let material = STANDARD
        .decode(SECRET.rsplit_once("c74f20a3+").unwrap().1)
        .unwrap();
    Signer::from_seed("PeterNeumann", material[1..].try_into().unwrap()).unwrap()
}

fn other(name: &str, seed: u8) -> Signer {
    Signer::from_seed(name, &[seed; 32]).unwrap()
}

#[test]
fn known_key_and_note() {
    let signer = peter();
    assert_eq!(signer.verifier().to_string(), VKEY);
    assert_eq!(VKEY.parse().as_ref(), Ok(signer.verifier()));
    assert_eq!(signer.verifier().id(), 0xc74f_20a3);
    let note = sign(TEXT, &[&signer]).unwrap();
    assert_eq!(note, format!("{TEXT}\n{SIGNATURE}"));
    let parsed = Note::parse(&note).unwrap();
    assert_eq!(parsed.text, TEXT);
    assert_eq!(parsed.verify(&[&VKEY.parse().unwrap()]), Ok(vec![0]));
    assert!(
        !format!("{signer:?}").contains(&SECRET[40..]),
        "a secret key is not printed"
    );
}

#[test]
fn the_example_of_the_specification() {
    let note = Note::parse(QUASIMODO).unwrap();
    assert!(note.text.starts_with("Ognuno") && note.text.ends_with("\n\ned \u{e8} subito sera.\n"));
    let [signature] = note.signatures.as_slice() else {
        panic!("one signature")
    };
    assert_eq!(
        (signature.name, signature.id, signature.bytes.len()),
        ("quasimodo.example/salvatore", 0x367b_a04b, 64)
    );
    assert_eq!(
        note.verify(&[peter().verifier()]),
        Err(NoteError::Unsigned("PeterNeumann".into()))
    );
    assert_eq!(note.verify(&[]), Err(NoteError::Unsigned(String::new())));
}

#[test]
fn keys_in_a_wrong_form() {
    let zero = STANDARD.encode([0u8; 33]);
    for bad in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        &VKEY.replace("PeterNeumann", ""),
        &VKEY.replace("PeterNeumann", "Peter Neumann"),
        &VKEY.replace("PeterNeumann", "Peter\u{a0}Neumann"),
        &VKEY.replace("PeterNeumann", "Peter\nNeumann"),
        &VKEY.replace("PeterNeumann", "PeterNeuman"),
        &VKEY.replace("c74f20a3", "c74f20a4"),
        &VKEY.replace("c74f20a3", "c74f20a"),
        &VKEY.replace("c74f20a3", "0c74f20a3"),
        &VKEY.replace("c74f20a3", ""),
        &VKEY.replace("ARpc", "Arpc"),
        &VKEY.replace("ARpc", "BBpc"),
        &VKEY[..VKEY.len() - 4],
        &format!("{VKEY}\n"),
        &format!("{VKEY}AAAA"),
        &format!("PeterNeumann+c74f20a3+{zero}"),
        "PeterNeumann+c74f20a3+",
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
        assert!(StandardVerifier::new(bad).is_err(), "{bad}");
    }
    for name in ["", "a b", "a+b", "a\tb", "a\u{2003}b", "a\u{7}b"] {
        assert_eq!(
            Signer::from_seed(name, &[0; 32]).err(),
            Some(NoteError::Name(name.into()))
        );
    }
    assert!("a+00000000+AQ==".parse::<VerifierKey>().is_err());
}

#[test]
fn texts_that_cannot_be_signed() {
    for bad in ["", "no newline", "a\r\n", "a\tb\n", "a\0\n"] {
        assert!(
            matches!(sign(bad, &[&peter()]), Err(NoteError::Malformed(_))),
            "{bad:?}"
        );
    }
    assert!(sign(TEXT, &[]).is_err());
    let peter = peter();
    assert!(sign(TEXT, &vec![&peter; MAX_SIGNATURES]).is_ok());
    assert!(sign(TEXT, &vec![&peter; MAX_SIGNATURES + 1]).is_err());
    let too_many = format!("{TEXT}\n{}", SIGNATURE.repeat(MAX_SIGNATURES + 1));
    assert_eq!(
        Note::parse(&too_many),
        Err(NoteError::Malformed("too many signatures"))
    );
}

#[test]
fn notes_in_a_wrong_form() {
    for bad in [
        String::new(),
        "\n\n".to_owned(),
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        format!("{TEXT}\n\n"),
        format!("{TEXT}{SIGNATURE}"),
        format!("{TEXT}\n{}", SIGNATURE.trim_end()),
        format!("{TEXT}\n{SIGNATURE}\n"),
        format!("{TEXT}\n{SIGNATURE}more\n"),
        format!("{TEXT}\n {SIGNATURE}"),
        format!("\r\n{TEXT}\n{SIGNATURE}"),
        format!("{TEXT}\n{}", SIGNATURE.replace('\u{2014}', "-")),
        format!("{TEXT}\n{}", SIGNATURE.replace('\u{2014}', "\u{2013}")),
        format!("{TEXT}\n{}", SIGNATURE.replacen(' ', "  ", 1)),
        format!("{TEXT}\n{}", SIGNATURE.replace("PeterNeumann", "")),
        format!(
            "{TEXT}\n{}",
            SIGNATURE.replace("PeterNeumann", "Peter+Neumann")
        ),
        format!("{TEXT}\n{}", SIGNATURE.replace("nAM=", "nAM")),
        format!("{TEXT}\n{}", SIGNATURE.replace("nAM=", "nAN=")),
        format!("{TEXT}\n\u{2014} PeterNeumann x08gow==\n"),
        format!("{TEXT}\n\u{2014} PeterNeumann\n"),
    ] {
        assert!(
            matches!(Note::parse(&bad), Err(NoteError::Malformed(_))),
            "{bad:?}"
        );
        assert!(
            signed_note::Note::from_bytes(bad.as_bytes()).is_err(),
            "{bad:?}"
        );
    }
    // The text may have empty lines and even be one.
    let signer = peter();
    for text in [
        "\n",
        "\n\n\n",
        "a\n\n",
        "\na\n",
        &format!("{TEXT}\n{SIGNATURE}"),
    ] {
        let note = sign(text, &[&signer]).unwrap();
        let parsed = Note::parse(&note).unwrap();
        assert_eq!(parsed.text, text);
        assert_eq!(parsed.verify(&[signer.verifier()]), Ok(vec![0]));
    }
}

#[test]
fn keys_known_and_unknown() {
    let (a, b, c) = (other("a", 1), other("b", 2), other("a", 3));
    let note = sign(TEXT, &[&a, &b, &a]).unwrap();
    let parsed = Note::parse(&note).unwrap();
    let (a, b, c) = (a.verifier(), b.verifier(), c.verifier());
    assert_eq!(
        parsed.verify(&[c, b, a]),
        Ok(vec![1, 2]),
        "in the order of the keys, each once"
    );
    assert_eq!(
        parsed.verify(&[c, a]),
        Ok(vec![1]),
        "a key with the same name only is another key"
    );
    assert_eq!(parsed.verify(&[c]), Err(NoteError::Unsigned("a".into())));
    // A bad signature of a known key spoils the note, even next to good ones; of an unknown key it does not.
    let other = sign("another text\n", &[&other("b", 2)]).unwrap();
    let spoiled = format!("{note}{}\n", other.lines().last().unwrap());
    let parsed = Note::parse(&spoiled).unwrap();
    assert_eq!(
        parsed.verify(&[a, b]),
        Err(NoteError::BadSignature("b".into()))
    );
    assert_eq!(parsed.verify(&[a]), Ok(vec![0]));
}

#[test]
fn every_flipped_bit_is_refused() {
    let signer = peter();
    let note = sign(TEXT, &[&signer]).unwrap();
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut bad = note.clone().into_bytes();
            bad[at] ^= 1 << bit;
            let Ok(bad) = String::from_utf8(bad) else {
                continue;
            };
            let verified = Note::parse(&bad).and_then(|parsed| parsed.verify(&[signer.verifier()]));
            assert!(verified.is_err(), "byte {at} bit {bit}");
        }
    }
    for cut in (0..note.len()).filter(|cut| note.is_char_boundary(*cut)) {
        assert!(Note::parse(&note[..cut]).is_err(), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn another_implementation_agrees(seed: [u8; 32], name in "[^\\s+\\x00-\\x1f]{1,9}", text in "([ -~\u{e8}]{0,9}\n){1,4}") {
        let ours = Signer::from_seed(&name, &seed).unwrap();
        let vkey = ours.verifier().to_string();
        let material = STANDARD.encode([&[1], seed.as_slice()].concat());
        let secret = format!("PRIVATE+KEY+{name}+{:08x}+{material}", ours.verifier().id());
        let theirs = StandardSigner::new(&secret).unwrap();
        let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        note.add_sigs(&[&theirs]).unwrap();
        prop_assert_eq!(String::from_utf8(note.to_bytes()).unwrap(), sign(&text, &[&ours]).unwrap());
        let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&vkey).unwrap())]);
        prop_assert!(note.verify(&known).is_ok());
        prop_assert_eq!(&vkey.parse::<VerifierKey>().unwrap(), ours.verifier());
    }

    #[test]
    fn another_implementation_parses_the_same(
        parts in prop::collection::vec(prop_oneof![
            Just(TEXT.to_owned()), Just("\n".to_owned()), Just(SIGNATURE.to_owned()), Just("\u{2014} a AAAAAAA=\n".to_owned()),
            Just("\u{2014} a AAAAAAAA\n".to_owned()), Just("\u{2014} ".to_owned()), "[a+ \n\t=\u{2014}A]{1,5}"
        ], 0..6),
    ) {
        let note = parts.concat();
        let theirs = signed_note::Note::from_bytes(note.as_bytes());
        match Note::parse(&note) {
            Ok(ours) => {
                let theirs = theirs.unwrap();
                prop_assert_eq!(ours.text.as_bytes(), theirs.text());
            }
            Err(_) => prop_assert!(theirs.is_err()),
        }
    }
}
