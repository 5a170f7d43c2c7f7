//! What a restore needs beside the entries: the state of the order, the configuration and the sealed keys.
//!
//! A secondary keeps it without being able to read it: the payload is sealed with the key-encryption key, the envelope is
//! signed with the log's replication key and carries a number that only grows, so that an old one never replaces a newer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tlog::{Note, NoteError, Signer, VerifierKey};

use crate::merge::eras::Membership;
use crate::order::state::State;
use crate::record;
use crate::shard::keys::{Kek, KeyError};

/// The first line of each manifest's note.
const TYPE: &str = "logctl.dev/manifest/v1";
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
    /// The sealed signing keys, by tree id, base64.
    pub keys: BTreeMap<u64, String>,
    /// The sealed replication key, base64.
    pub replication: String,
}

/// A manifest in its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    /// The log's origin: the name of the replication key.
    pub origin: String,
    /// Grows with the order.
    pub number: u64,
    /// When the log was last restored, milliseconds since the Unix epoch; 0 if never.
    pub restored: u64,
    note: String,
    sealed: Vec<u8>,
}

fn context(origin: &str) -> String {
    format!("manifest/{origin}")
}

fn text(origin: &str, number: u64, restored: u64, sealed: &[u8]) -> String {
    let digest = record::digest(sealed).to_base64();
    format!("{TYPE}\n{origin}\n{number}\n{restored}\n{digest}\n")
}

impl Manifest {
    /// Seals and signs it. `restored` tells whoever keeps it when the log was last restored, in milliseconds; 0 is never.
    ///
    /// # Errors
    /// [`KeyError`] when sealing fails.
    pub fn sign(&self, kek: &Kek, signer: &Signer, restored: u64) -> Result<Vec<u8>, KeyError> {
        let origin = signer.verifier().name();
        let plain = record::encode(self);
        let sealed = kek.seal_bytes(&plain, &context(origin))?;
        let note = tlog::sign(&text(origin, self.state.len, restored, &sealed), &[signer])
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
        let mut numbers = lines.map_while(|line| line.parse::<u64>().ok());
        let (Some(origin), Some(number), Some(restored)) = (origin, numbers.next(), numbers.next())
        else {
            return Err(malformed);
        };
        if parsed.text != text(origin, number, restored, sealed) {
            return Err(malformed);
        }
        Ok(Self {
            origin: origin.to_owned(),
            number,
            restored,
            note: note.to_owned(),
            sealed: sealed.to_vec(),
        })
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
            keys: BTreeMap::from([(7, "a2V5".to_owned())]),
            replication: "cmVw".into(),
        };
        let bytes = manifest.sign(&kek, &signer, 5).unwrap();
        let signed = SignedManifest::parse(&bytes).unwrap();
        assert_eq!(
            (signed.origin.as_str(), signed.number, signed.restored),
            ("example.org/log", 17, 5)
        );
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
}
