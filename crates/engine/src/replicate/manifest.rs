//! The content of a manifest: the state of the order, the configuration and the sealed keys. A restore needs it beside the entries.
//!
//! A secondary keeps it without being able to read it: the content is sealed with the key-encryption key, the envelope around it
//! ([`SignedManifest`]) is signed with the log's replication key.

use ambient::Random;
use std::collections::BTreeMap;

use mirror::{SignedManifest, Stamp};
use serde::{Deserialize, Serialize};
use tlog::{GlobalIndex, Signer, TreeSize};

use crate::position::Vouched;
use crate::running::eras::Membership;
use crate::shard::keys::{Kek, KeyError};
use order::state::State;
use store::record;

/// The content of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The log's name in addresses and commands.
    pub log: String,
    /// The state after some slot: shards with their identities and start indexes, generation, intake.
    pub state: State,
    /// The config document that the state names, as it is stored.
    pub document: String,
    /// The old secondaries, until their change is handed over: they count beside those of the document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joint: Vec<Membership>,
    /// Which storage each secondary had last, and whether a restore may rely on it. One that is not among them never counted for
    /// anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vouched: Vec<Vouched>,
    /// Closed shards that a restore found shorter than they were closed with, by name, with that size; until it is final.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lowered: BTreeMap<String, TreeSize>,
    /// Up to which size of the log its shards may have signed other roots, after a restore by force; until it has grown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<GlobalIndex>,
    /// The sealed signing keys, by tree id, base64.
    pub keys: BTreeMap<u64, String>,
    /// The sealed replication key, base64.
    pub replication: String,
}

fn context(origin: &str) -> String {
    format!("manifest/{origin}")
}

impl Manifest {
    /// Seals it and signs its envelope.
    ///
    /// # Errors
    /// [`KeyError`] when sealing or signing fails.
    pub(crate) fn sign(
        &self,
        kek: &Kek,
        signer: &Signer,
        stamp: Stamp,
        random: &Random,
    ) -> Result<Vec<u8>, KeyError> {
        let plain = record::encode(self);
        let sealed = kek.seal_bytes(&plain, &context(signer.verifier().name()), random)?;
        SignedManifest::sign(&sealed, self.state.len.get(), stamp, signer)
            .map_err(|_| KeyError::Crypto("signing the manifest"))
    }

    /// Opens one. The key-encryption key proves that the primary made it.
    ///
    /// # Errors
    /// [`KeyError::Sealed`] for another key.
    pub fn open(signed: &SignedManifest, kek: &Kek) -> Result<Self, KeyError> {
        let plain = kek.open_bytes(signed.sealed(), &context(&signed.origin))?;
        record::decode(&plain).map_err(|_| KeyError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use order::SlotNumber;

    #[test]
    fn a_manifest_opens_for_its_key_only() {
        let random = Random::seeded(1);
        let kek = Kek::generate(&random).unwrap();
        let signer = Signer::from_seed("example.org/log", &[3; 32]).unwrap();
        let manifest = Manifest {
            log: "log".into(),
            state: State {
                len: SlotNumber::new(17),
                ..State::default()
            },
            document: "{}".into(),
            joint: Vec::new(),
            vouched: Vec::new(),
            lowered: BTreeMap::new(),
            forks: None,
            keys: BTreeMap::from([(7, "a2V5".to_owned())]),
            replication: "cmVw".into(),
        };
        let stamp = Stamp {
            settled: mirror::Settled::default(),
            restored: 5,
            entries: 70,
            edition: 3,
        };
        let bytes = manifest.sign(&kek, &signer, stamp, &random).unwrap();
        let signed = SignedManifest::parse(&bytes).unwrap();
        assert_eq!(signed.age(), (5, 17, 3));
        assert_eq!(Manifest::open(&signed, &kek).unwrap(), manifest);
        assert!(Manifest::open(&signed, &Kek::generate(&random).unwrap()).is_err());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let good = SignedManifest::parse(&bad).is_ok_and(|s| {
                s.verify(signer.verifier()).is_ok() && Manifest::open(&s, &kek).is_ok()
            });
            assert!(!good, "byte {at}");
        }
    }
}
