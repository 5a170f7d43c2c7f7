//! ECDSA keys of notes: what another implementation signs and reads, several lines of one name, and every change refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::{Checkpoint, CosignerKey, Hash, Note, NoteError, Policy, Signer, VerifierKey, sign};

const NAME: &str = "2026a.log.example.org";

fn signers() -> [Signer; 2] {
    [
        Signer::from_p256(NAME, &[7; 32]).unwrap(),
        Signer::from_seed(NAME, &[7; 32]).unwrap(),
    ]
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: NAME.into(),
        size: 3,
        root: Hash([9; 32]),
        extensions: Vec::new(),
    }
}

/// The vkey of an oracle's key, put together by hand.
fn vkey(name: &str, key: &SigningKey) -> String {
    let spki = key.verifying_key().to_public_key_der().unwrap();
    let id = tlog_id(spki.as_bytes());
    let material = STANDARD.encode([&[2], spki.as_bytes()].concat());
    format!("{name}+{id}+{material}")
}

fn tlog_id(spki: &[u8]) -> String {
    crate::hex(&Sha256::digest(spki)[..4])
}

proptest! {
    #[test]
    fn another_implementation_agrees(secret in prop::array::uniform32(1u8..255), text in "([ -~\u{e8}]{0,9}\n){1,4}") {
        let ours = Signer::from_p256(NAME, &secret).unwrap();
        let theirs = SigningKey::from_slice(&secret).unwrap();
        prop_assert_eq!(ours.verifier().to_string(), vkey(NAME, &theirs));
        prop_assert_eq!(&vkey(NAME, &theirs).parse::<VerifierKey>().unwrap(), ours.verifier());
        // The other implementation verifies our signature.
        let note = sign(&text, &[&ours]).unwrap();
        let parsed = Note::parse(&note).unwrap();
        let signature = DerSignature::from_bytes(&parsed.signatures[0].bytes).unwrap();
        let key = VerifyingKey::from_public_key_der(ours.verifier().bytes()).unwrap();
        prop_assert!(key.verify(text.as_bytes(), &signature).is_ok());
        // We verify the signature of the other implementation.
        let signature: DerSignature = theirs.sign(text.as_bytes());
        let id = &Sha256::digest(ours.verifier().bytes())[..4];
        let line = STANDARD.encode([id, signature.as_bytes()].concat());
        let note = format!("{text}\n\u{2014} {NAME} {line}\n");
        prop_assert_eq!(Note::parse(&note).unwrap().verify(&[ours.verifier()]), Ok(vec![0]));
        let other = format!("{text}x\n\n\u{2014} {NAME} {line}\n");
        prop_assert_eq!(Note::parse(&other).unwrap().verify(&[ours.verifier()]), Err(NoteError::BadSignature(NAME.into())));
    }
}

#[test]
fn a_checkpoint_with_two_lines_of_one_name() {
    let [ecdsa, ed25519] = &signers();
    let note = checkpoint().sign_all(&[ecdsa, ed25519]).unwrap();
    let keys = [ecdsa.verifier(), ed25519.verifier()];
    assert_ne!(keys[0].id(), keys[1].id());
    let parsed = Note::parse(&note).unwrap();
    let ids: Vec<u32> = parsed.signatures.iter().map(|s| s.id).collect();
    assert_eq!(
        ids,
        [keys[0].id(), keys[1].id()],
        "in the order of the keys"
    );
    assert_eq!(parsed.verify(&keys), Ok(vec![0, 1]));
    for key in keys {
        assert_eq!(Checkpoint::open(&note, key), Ok(checkpoint()));
    }
    assert_eq!(Checkpoint::open_all(&note, &keys), Ok(checkpoint()));
    let alone = checkpoint().sign(ed25519).unwrap();
    assert_eq!(
        Checkpoint::open_all(&alone, &keys),
        Err(NoteError::Unsigned(NAME.into()))
    );
    assert_eq!(
        Checkpoint::open_all(&alone, &[]),
        Err(NoteError::Unsigned(String::new()))
    );
    let other_key = Signer::from_seed("another.log.example.org", &[7; 32]).unwrap();
    assert!(checkpoint().sign_all(&[ecdsa, &other_key]).is_err());
    // The same text is signed differently each time, and both notes hold.
    let again = checkpoint().sign_all(&[ecdsa, ed25519]).unwrap();
    assert_ne!(note, again);
    assert_eq!(Checkpoint::open_all(&again, &keys), Ok(checkpoint()));
    assert!(
        !format!("{ecdsa:?}").contains("070707"),
        "a secret key is not printed"
    );
}

#[test]
fn keys_in_a_wrong_form() {
    let good = signers()[0].verifier().to_string();
    assert!(good.parse::<VerifierKey>().is_ok());
    assert!(good.parse::<CosignerKey>().is_err());
    let der = signers()[0].verifier().bytes().to_vec();
    let of = |der: &[u8]| {
        let material = STANDARD.encode([&[2], der].concat());
        format!("{NAME}+{}+{material}", tlog_id(der))
    };
    assert_eq!(of(&der), good);
    let key = VerifyingKey::from_public_key_der(&der).unwrap();
    let compressed = key.to_sec1_point(true);
    for bad in [
        of(&der[..90]),
        of(&[&der[..], &[0]].concat()),
        of(&der[26..]),
        of(&[&der[..26], compressed.as_bytes()].concat()),
        of(&[&der[..26], &[4], &[0; 64]].concat()),
        of(&[&der[..26], &[4], &[1; 64]].concat()),
        of(&[&[0x31], &der[1..]].concat()),
        of(&[]),
        good.replacen('+', "+0", 1),
        good.replace(&tlog_id(&der), "00000000"),
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
    // Of an ECDSA key the id says nothing about the name, which the signature line says.
    let renamed = good.replace(NAME, "other").parse::<VerifierKey>().unwrap();
    let note = checkpoint().sign(&signers()[0]).unwrap();
    assert_eq!(
        Note::parse(&note).unwrap().verify(&[&renamed]),
        Err(NoteError::Unsigned("other".into()))
    );
    for secret in [[0; 32], [0xff; 32]] {
        assert!(Signer::from_p256(NAME, &secret).is_err());
    }
    assert!(Signer::from_p256("a b", &[1; 32]).is_err());
}

#[test]
fn every_flipped_bit_is_refused() {
    let signer = &signers()[0];
    let note = checkpoint().sign(signer).unwrap();
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut bad = note.clone().into_bytes();
            bad[at] ^= 1 << bit;
            let Ok(bad) = String::from_utf8(bad) else {
                continue;
            };
            let opened = Checkpoint::open(&bad, signer.verifier());
            assert!(opened.is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_policy_knows_logs_with_ecdsa_keys() {
    let [ecdsa, ed25519] = signers();
    let (ecdsa, ed25519) = (ecdsa.verifier(), ed25519.verifier());
    let policy = Policy::parse(&format!("log {ecdsa}\nlog {ed25519}\nquorum none\n")).unwrap();
    let logs: Vec<_> = policy.logs.iter().map(|(key, _)| key).collect();
    assert_eq!(logs, [ecdsa, ed25519]);
    let twice = format!("log {ecdsa}\nlog {ecdsa}\nquorum none\n");
    assert!(Policy::parse(&twice).is_err());
    let witness = format!("witness w {ecdsa}\nquorum none\n");
    assert!(
        Policy::parse(&witness).is_err(),
        "no cosigner has such a key"
    );
}
