//! What a restore needs beside the entries: the state of the order, the configuration and the sealed keys.
//!
//! A secondary keeps it without being able to read it: the payload is sealed with the key-encryption key, the envelope is
//! signed with the log's replication key. Anybody may read a manifest and send it to a secondary again, so the envelope has everything
//! that orders it among others: the life of the log, the number of slots, and, for manifests after the same slot, the edition.
//! An older one never replaces a newer one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tlog::{Note, NoteError, Signer, VerifierKey};

use crate::eras::Membership;
use crate::position::Vouched;
use crate::shard::keys::{Kek, KeyError};
use order::state::State;
use store::record;

/// The first line of each manifest's note, and of those that older versions wrote, which had no edition.
const TYPE: &str = "logctl.dev/manifest/v2";
const OLDER: &str = "logctl.dev/manifest/v1";
/// The longest manifest, bytes.
pub const MAX_MANIFEST: usize = 16 << 20;

/// What is in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The log's name.
    pub log: String,
    /// The state after some slot: shards with their identities and start indexes, generation, gate.
    pub state: State,
    /// The config document that the state names, as it is stored.
    pub document: String,
    /// The secondaries of before, where their change is not handed over yet: they bind beside those of the document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joint: Vec<Membership>,
    /// Which storage each secondary had last, and whether a restore may rely on it. One that is not among them never counted for
    /// anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouched: Vec<Vouched>,
    /// The sealed signing keys, by tree id, base64.
    pub keys: BTreeMap<u64, String>,
    /// The sealed replication key, base64.
    pub replication: String,
}

/// What an envelope says beside the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The life of the log; 0 where it was never restored.
    pub restored: u64,
    /// The entries that this life was restored with; the largest number where that is not known.
    pub entries: u64,
    /// Grows with what changes without a slot.
    pub edition: u64,
}

/// A manifest in its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    /// The log's origin: the name of the replication key.
    pub origin: String,
    /// Grows with the order.
    pub number: u64,
    /// The life of the log: when it was last restored; 0 if never.
    pub restored: u64,
    /// The entries that this life was restored with, where the envelope says it.
    pub entries: Option<u64>,
    /// Of manifests with one number the larger one is newer; 0 in those of older versions.
    pub edition: u64,
    note: String,
    sealed: Vec<u8>,
}

fn context(origin: &str) -> String {
    format!("manifest/{origin}")
}

fn text(origin: &str, numbers: &[u64], sealed: &[u8]) -> String {
    let digest = record::digest(sealed).to_base64();
    let kind = if numbers.len() > 2 { TYPE } else { OLDER };
    let numbers: String = numbers.iter().map(|number| format!("{number}\n")).collect();
    format!("{kind}\n{origin}\n{numbers}{digest}\n")
}

impl Manifest {
    /// Seals and signs it.
    ///
    /// # Errors
    /// [`KeyError`] when sealing fails.
    pub fn sign(&self, kek: &Kek, signer: &Signer, stamp: Stamp) -> Result<Vec<u8>, KeyError> {
        let origin = signer.verifier().name();
        let plain = record::encode(self);
        let sealed = kek.seal_bytes(&plain, &context(origin))?;
        let numbers = [self.state.len, stamp.restored, stamp.entries, stamp.edition];
        let note = tlog::sign(&text(origin, &numbers, &sealed), &[signer])
            .map_err(|_| KeyError::Crypto("signing the manifest"))?;
        let length = u32::try_from(note.len()).map_err(|_| KeyError::Crypto("length"))?;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(note.as_bytes());
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }
}

impl SignedManifest {
    /// Takes an envelope apart. Nothing of it is to be believed yet.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] if it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("not a manifest");
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(malformed.clone())?;
        let length = u32::from_be_bytes(*length) as usize;
        let (note, sealed) = rest.split_at_checked(length).ok_or(malformed.clone())?;
        let note = std::str::from_utf8(note).map_err(|_| malformed.clone())?;
        let parsed = Note::parse(note)?;
        let mut lines = parsed.text.lines().skip(1);
        let origin = lines.next();
        let numbers: Vec<u64> = lines.map_while(|line| line.parse().ok()).take(4).collect();
        let (number, restored, entries, edition) = match *numbers {
            [number, restored] => (number, restored, None, 0),
            [number, restored, entries, edition] => (number, restored, Some(entries), edition),
            _ => return Err(malformed),
        };
        let Some(origin) = origin.filter(|origin| parsed.text == text(origin, &numbers, sealed))
        else {
            return Err(malformed);
        };
        Ok(Self {
            origin: origin.to_owned(),
            number,
            restored,
            entries,
            edition,
            note: note.to_owned(),
            sealed: sealed.to_vec(),
        })
    }

    /// What orders it among others of its log.
    pub fn age(&self) -> (u64, u64, u64) {
        (self.restored, self.number, self.edition)
    }

    /// Checks the signature of the log's replication key.
    ///
    /// # Errors
    /// [`NoteError`] unless it is good.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        Note::parse(&self.note)?.verify(&[key])?;
        Ok(())
    }

    /// Opens it. The key-encryption key proves that the primary made it.
    ///
    /// # Errors
    /// [`KeyError::Sealed`] for another key.
    pub fn open(&self, kek: &Kek) -> Result<Manifest, KeyError> {
        let plain = kek.open_bytes(&self.sealed, &context(&self.origin))?;
        record::decode(&plain).map_err(|_| KeyError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_opens_for_its_key_only() {
        let kek = Kek::generate().unwrap();
        let signer = Signer::from_seed("example.org/log", &[3; 32]).unwrap();
        let manifest = Manifest {
            log: "log".into(),
            state: State {
                len: 17,
                ..State::default()
            },
            document: "{}".into(),
            joint: Vec::new(),
            vouched: Vec::new(),
            keys: BTreeMap::from([(7, "a2V5".to_owned())]),
            replication: "cmVw".into(),
        };
        let stamp = Stamp {
            restored: 5,
            entries: 70,
            edition: 3,
        };
        let bytes = manifest.sign(&kek, &signer, stamp).unwrap();
        let signed = SignedManifest::parse(&bytes).unwrap();
        assert_eq!(
            (signed.origin.as_str(), signed.number, signed.restored),
            ("example.org/log", 17, 5)
        );
        assert_eq!((signed.entries, signed.edition), (Some(70), 3));
        signed.verify(signer.verifier()).unwrap();
        assert_eq!(signed.open(&kek).unwrap(), manifest);
        assert!(signed.open(&Kek::generate().unwrap()).is_err());
        let other = Signer::from_seed("example.org/log", &[4; 32]).unwrap();
        assert!(signed.verify(other.verifier()).is_err());
        assert!(tlog::Checkpoint::parse(tlog::Note::parse(&signed.note).unwrap().text).is_err());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let good = SignedManifest::parse(&bad)
                .is_ok_and(|s| s.verify(signer.verifier()).is_ok() && s.open(&kek).is_ok());
            assert!(!good, "byte {at}");
        }
    }

    #[test]
    fn an_envelope_of_an_older_version_is_read() {
        let signer = Signer::from_seed("example.org/log", &[3; 32]).unwrap();
        let note = tlog::sign(&text("example.org/log", &[17, 5], b"sealed"), &[&signer]).unwrap();
        assert!(note.starts_with(OLDER));
        let mut bytes = u32::try_from(note.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(note.as_bytes());
        bytes.extend_from_slice(b"sealed");
        let signed = SignedManifest::parse(&bytes).unwrap();
        signed.verify(signer.verifier()).unwrap();
        assert_eq!((signed.age(), signed.entries), ((5, 17, 0), None));
    }
}
