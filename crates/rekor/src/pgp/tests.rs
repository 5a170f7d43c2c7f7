//! Keys and signatures that GnuPG made, and what Rekor makes of them: `tests/data/SOURCE.md`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Made {
    artifact: String,
    keys: BTreeMap<String, Sent>,
    signatures: BTreeMap<String, SentSignature>,
    /// Key, signature, and what is wrong with them: all others have nothing to do with each other.
    cases: Vec<(String, String, String)>,
}

#[derive(Deserialize)]
struct Sent {
    sent: String,
    /// One of the forms that Rekor logs the key in.
    #[serde(default)]
    logged: Vec<String>,
    #[serde(default)]
    emails: Vec<String>,
}

#[derive(Deserialize)]
struct SentSignature {
    sent: String,
    logged: String,
}

static MADE: LazyLock<Made> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../tests/data/pgp.json")).unwrap());

fn decoded(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

/// Keys that Rekor accepts and this log does not.
const REFUSED: [&str; 2] = ["dsa.key", "secp256k1.key"];

impl Made {
    fn key(&self, name: &str) -> Vec<u8> {
        decoded(&self.keys[name].sent)
    }

    fn signature(&self, name: &str) -> Vec<u8> {
        decoded(&self.signatures[name].sent)
    }
}

fn verified(key: &[u8], signature: &[u8], artifact: &[u8]) -> Result<(), PgpError> {
    let detached = Detached::parse(signature)?;
    let blocks = KeyBlocks::decode(key)?;
    Ring::read(&blocks)?.verify(&detached, artifact)
}

/// The packets of an armor, in any order.
fn packets(armor: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let block = armor::decode(armor).unwrap().unwrap();
    let mut reader = packet::Reader(&block.bytes);
    let mut found = Vec::new();
    while let Some(packet) = reader.packet().unwrap() {
        found.push((packet.tag, packet.body.to_vec()));
    }
    found.sort();
    found
}

#[test]
fn keys_are_logged_as_rekor_logs_them() {
    let made = &*MADE;
    assert_eq!(made.keys.len(), 21);
    for (name, key) in &made.keys {
        let sent = decoded(&key.sent);
        let blocks = KeyBlocks::decode(&sent).unwrap();
        let ring = Ring::read(&blocks);
        if REFUSED.contains(&name.as_str()) {
            assert!(
                matches!(ring, Err(PgpError::Key(_) | PgpError::BinaryKey(_))),
                "{name}: {ring:?}"
            );
            continue;
        }
        let ring = ring.unwrap_or_else(|error| panic!("{name}: {error}"));
        let canonical = ring.canonical();
        let logged = key.logged.iter().map(|logged| decoded(logged));
        let logged: Vec<_> = logged.collect();
        if name == "names.key" {
            // Rekor writes the names of a key in another order each time.
            assert!(logged.len() > 1);
            for logged in logged {
                assert_eq!(packets(canonical.as_bytes()), packets(&logged));
            }
        } else {
            assert_eq!(logged.len(), 1);
            assert_eq!(canonical, String::from_utf8_lossy(&logged[0]), "{name}");
        }
        let mut found = ring.emails();
        found.sort_unstable();
        assert_eq!(found, key.emails, "{name}");
        let mut found = emails(canonical.as_bytes());
        found.sort_unstable();
        assert_eq!(found, key.emails, "{name}, from the leaf");
        // What is logged is read again, as the same.
        let blocks = KeyBlocks::decode(canonical.as_bytes()).unwrap();
        assert_eq!(
            Ring::read(&blocks).unwrap().canonical(),
            canonical,
            "{name}"
        );
    }
}

#[test]
fn signatures_are_logged_as_rekor_logs_them() {
    for (name, signature) in &MADE.signatures {
        let sent = decoded(&signature.sent);
        let detached = Detached::parse(&sent).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            *detached.into_canonical(),
            *decoded(&signature.logged),
            "{name}"
        );
    }
}

#[test]
fn every_pair_has_rekors_verdict() {
    let made = &*MADE;
    let artifact = decoded(&made.artifact);
    let verdicts: BTreeMap<_, _> = made.cases.iter().map(|(k, s, e)| ((k, s), e)).collect();
    let mut accepted = 0;
    for key in made.keys.keys() {
        if REFUSED.contains(&key.as_str()) {
            continue;
        }
        for signature in made.signatures.keys() {
            let verdict = verified(&made.key(key), &made.signature(signature), &artifact);
            let rekors = verdicts.get(&(key, signature)).map(|it| it.as_str());
            let expected = match rekors {
                None => Err(PgpError::UnknownIssuer),
                Some("") if signature.contains("sha1.sig") => {
                    Err(PgpError::Unsupported("SHA-1 for artifacts"))
                }
                Some("") if signature.contains("sha224") => {
                    Err(PgpError::Unsupported("hash function or public key type"))
                }
                Some("") => Ok(()),
                Some("openpgp: key expired") => Err(PgpError::KeyExpired),
                Some("openpgp: signature made by revoked key") => Err(PgpError::Revoked),
                Some(text) if text.contains("critical notation") => Err(PgpError::CriticalNotation),
                Some(text) if text.contains("verification failure") => {
                    assert_eq!(text, verdict.unwrap_err().to_string(), "{key} {signature}");
                    continue;
                }
                Some(text) => panic!("{text}"),
            };
            assert_eq!(verdict, expected, "{key} {signature}");
            if verdict.is_ok() {
                accepted += 1;
                let other = verified(&made.key(key), &made.signature(signature), b"another");
                assert!(matches!(other, Err(PgpError::Unverified(_))), "{other:?}");
            }
        }
    }
    assert_eq!(accepted, 61);
}

#[test]
fn what_is_cut_off_is_refused() {
    let made = &*MADE;
    let artifact = decoded(&made.artifact);
    for (key, signature) in [("rsa.bin", "rsa.sig"), ("ed25519.key", "ed25519.asc")] {
        let (key, signature) = (made.key(key), made.signature(signature));
        assert_eq!(verified(&key, &signature, &artifact), Ok(()));
        // A line break at the end is none of an armor's.
        for end in 0..signature.len() - 1 {
            let cut = verified(&key, &signature[..end], &artifact);
            assert!(
                cut.is_err() || signature[end..].starts_with(b"-----"),
                "{end}"
            );
        }
        for end in 0..key.len() - 8 {
            // Without its last subkey a key is one still.
            if let Ok(()) = verified(&key[..end], &signature, &artifact) {
                let blocks = KeyBlocks::decode(&key[..end]).unwrap();
                let short = Ring::read(&blocks).unwrap().canonical();
                assert!(short.len() < key.len() * 2);
            }
        }
    }
}

#[test]
fn private_keys_and_what_is_no_key_are_refused() {
    let armored = String::from_utf8(MADE.key("rsa.key")).unwrap();
    for (sent, expected) in [
        (armored.replace("PUBLIC", "PRIVATE"), PgpError::KeyType),
        (armored.replace("-----END PGP", "-----END"), PgpError::NoKey),
        (String::new(), PgpError::ShortKey),
        (
            "no key, but longer".to_owned(),
            PgpError::BinaryKey("invalid data: tag byte does not have MSB set"),
        ),
    ] {
        let blocks = KeyBlocks::decode(sent.as_bytes());
        let error = blocks
            .and_then(|blocks| Ring::read(&blocks).map(|_| ()))
            .unwrap_err();
        assert_eq!(error, expected, "{sent}");
    }
    let message = armored.replace("PUBLIC KEY BLOCK", "MESSAGE");
    let error = Detached::parse(message.as_bytes()).unwrap_err();
    assert_eq!(error, PgpError::SignatureType);
}

#[test]
fn a_signing_subkey_must_answer_its_primary_key() {
    let made = &*MADE;
    let artifact = decoded(&made.artifact);
    let signature = made.signature("subkey.asc");
    // Somebody else's subkey behind an own key: no signature binds it to that.
    let stolen = |armored: &str| armor::decode(&made.key(armored)).unwrap().unwrap().bytes;
    let (own, theirs) = (stolen("ed25519.key"), stolen("subkey.key"));
    let mut reader = packet::Reader(&theirs);
    let mut start = 0;
    while let Some(found) = reader.packet().unwrap() {
        if found.tag == packet::PUBLIC_SUBKEY {
            break;
        }
        start = theirs.len() - reader.0.len();
    }
    let spliced = [&own, &theirs[start..]].concat();
    let verdict = verified(&spliced, &signature, &artifact);
    assert_eq!(
        verdict,
        Err(PgpError::BinaryKey("invalid data: self-signature invalid"))
    );
}

#[test]
fn the_signatures_that_a_request_has_verified_are_bounded() {
    let made = &*MADE;
    let key = armor::decode(&made.key("ed25519.key"))
        .unwrap()
        .unwrap()
        .bytes;
    let many = key.repeat(100);
    let blocks = KeyBlocks::decode(&many).unwrap();
    let error = Ring::read(&blocks).unwrap_err();
    assert_eq!(
        error,
        PgpError::BinaryKey("invalid data: too many signatures")
    );
}

/// A search costs no verification, and finds the key of each entry.
#[test]
fn a_key_is_searched_for_without_verifying_its_signatures() {
    let made = &*MADE;
    for name in made.keys.keys() {
        let key = made.key(name);
        let blocks = KeyBlocks::decode(&key).unwrap();
        if let Ok(ring) = Ring::read(&blocks) {
            assert_eq!(Ring::unverified(&blocks), Ok(ring.canonical()), "{name}");
        }
    }
    let mut key = armor::decode(&made.key("ed25519.key"))
        .unwrap()
        .unwrap()
        .bytes;
    // The last byte of its last signature.
    *key.last_mut().unwrap() ^= 1;
    let blocks = KeyBlocks::decode(&key).unwrap();
    let wrong = PgpError::BinaryKey("invalid data: self-signature invalid");
    assert_eq!(Ring::read(&blocks).unwrap_err(), wrong);
    assert!(Ring::unverified(&blocks).is_ok());
    // What is not verified is counted, since each costs time anyway.
    let many = key.repeat(100);
    let blocks = KeyBlocks::decode(&many).unwrap();
    let many = PgpError::BinaryKey("invalid data: too many signatures");
    assert_eq!(Ring::unverified(&blocks).unwrap_err(), many);
}

#[test]
fn an_address_is_what_rekor_takes_for_one() {
    for (name, expected) in [
        (
            "Name <a.b+c@sub.example.org>",
            Some("a.b+c@sub.example.org"),
        ),
        ("<a@example.org>", Some("a@example.org")),
        ("a@example.org", None),
        (
            "Name (x <y@example.org>) <a@example.org>",
            Some("a@example.org"),
        ),
        ("Name (x <y@example.org>", None),
        ("Name < a@example.org > more", Some("a@example.org")),
        ("Name <a@example.org", Some("a@example.org")),
        ("Name <a@localhost>", None),
        ("Name <a@b@example.org>", None),
        ("Name <a@example.1>", None),
        ("Name <.a@example.org>", None),
        ("Name <jörg@bücher.example>", Some("jörg@bücher.example")),
        ("", None),
    ] {
        let found = emails_of(name);
        assert_eq!(found.as_deref(), expected, "{name}");
    }
}

fn emails_of(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    packet::write(packet::USER_ID, &[name.as_bytes()], &mut bytes);
    let armor = armor::encode("PGP PUBLIC KEY BLOCK", &bytes);
    emails(armor.as_bytes()).pop()
}

proptest! {
    /// Bytes are changed where GnuPG put others: the same verdict each time, and no signature of another artifact.
    #[test]
    fn changed_bytes_are_refused_or_mean_the_same(
        pair in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let made = &*MADE;
        let artifact = decoded(&made.artifact);
        let bare = |sent: Vec<u8>| match armor::decode(&sent).unwrap() {
            Some(block) => block.bytes,
            None => sent,
        };
        let (key, signature, _) = pair.get(&made.cases);
        let (mut key, mut signature) = (bare(made.key(key)), bare(made.signature(signature)));
        for (in_key, at, byte) in edits {
            let bytes = if in_key { &mut key } else { &mut signature };
            *at.get_mut(bytes) = byte;
        }
        let verdict = verified(&key, &signature, &artifact);
        prop_assert_eq!(verified(&key, &signature, &artifact), verdict);
        prop_assert!(verified(&key, &signature, b"another").is_err());
    }

    #[test]
    fn no_bytes_make_the_readers_fall(bytes: Vec<u8>) {
        let _ = verified(&bytes, &bytes, &bytes);
        let _ = signature::Signature::parse(&bytes);
        let _ = key::Key::parse(&bytes);
    }
}
