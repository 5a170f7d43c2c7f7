//! The keys by which an entry is found again: a table beside the tree, which can be built from its leaves, except for the
//! subjects of in-toto statements, whose payload the log drops.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::rekord;
use crate::base64;
use crate::first::{self, First};
use crate::pgp;
use crate::verifier::Verifier;

/// The most keys of one entry; further ones are left out.
pub const MAX_KEYS: usize = 4096;
/// The longest key, in bytes; longer ones are left out.
const MAX_LENGTH: usize = 512;
/// The most digests of one subject; further ones are left out.
const MAX_DIGESTS: usize = 16;
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An entry's keys, in lower case.
#[derive(Default)]
pub(super) struct Keys {
    all: BTreeSet<String>,
    /// Those that do not follow from the leaf.
    unlogged: Vec<String>,
}

impl Keys {
    fn add(&mut self, key: &str) {
        if self.all.len() < MAX_KEYS && (1..=MAX_LENGTH).contains(&key.len()) {
            self.all.insert(key.to_lowercase());
        }
    }

    /// The key's hash without a prefix, which is what clients search for, and the names of a certificate.
    pub(super) fn verifier(&mut self, verifier: &Verifier) {
        self.add(&tlog::hex(&Sha256::digest(&verifier.pem)));
        verifier.names().iter().for_each(|name| self.add(name));
    }

    /// The same for an envelope's verifier, whose hash upstream writes with a prefix: here it is found both ways.
    pub(super) fn envelope_verifier(&mut self, verifier: &Verifier) {
        self.hash("sha256", &tlog::hex(&Sha256::digest(&verifier.pem)));
        self.verifier(verifier);
    }

    /// The same for a key of another form, as the leaf has it.
    pub(super) fn canonical(&mut self, key: &[u8], names: &[impl AsRef<str>]) {
        self.add(&tlog::hex(&Sha256::digest(key)));
        names.iter().for_each(|name| self.add(name.as_ref()));
    }

    /// The hash of an artifact, a payload or an envelope.
    pub(super) fn hash(&mut self, algorithm: &str, value: &str) {
        self.add(&format!("{algorithm}:{value}"));
    }

    /// The digests of a statement's subjects and of SLSA's materials, after all keys that the leaf has.
    pub(super) fn payload(&mut self, kind: &str, payload: &[u8]) {
        if kind != IN_TOTO {
            return;
        }
        // Read apart: a predicate of another shape must not hide the subjects.
        let subjects = serde_json::from_slice::<Statement>(payload).map(|it| it.subject);
        let materials =
            serde_json::from_slice::<Provenance>(payload).map(|it| it.predicate.materials);
        let digests = [subjects, materials]
            .into_iter()
            .flatten()
            .flat_map(|list| list.0);
        let logged = self.all.clone();
        for (algorithm, value) in digests.flat_map(|subject| subject.digest.0) {
            self.hash(&algorithm, &value);
        }
        self.unlogged = self.all.difference(&logged).cloned().collect();
    }

    /// All keys, and those that do not follow from the leaf.
    pub(super) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        (self.all.into_iter().collect(), self.unlogged)
    }
}

/// The keys of an entry that is in the log, from its leaf: all but those of a statement's subjects. `None` if it is not an entry of version
/// 1.
pub fn search_keys(leaf: &[u8]) -> Option<Vec<String>> {
    let entry: Value = serde_json::from_slice(leaf).ok()?;
    let spec = &entry["spec"];
    let mut keys = Keys::default();
    // A log may have imported entries with keys and certificates that it does not accept, such as those that an older Rekor did.
    let verifier = |value: &Value| Verifier::parse(&base64::decode_standard(value.as_str()?)?).ok();
    let hash = |keys: &mut Keys, hash: &Value| {
        keys.hash(hash["algorithm"].as_str()?, hash["value"].as_str()?);
        Some(())
    };
    match entry["kind"].as_str()? {
        "hashedrekord" | "rekord" => {
            let key = &spec["signature"]["publicKey"]["content"];
            match spec["signature"]["format"].as_str() {
                None | Some(rekord::X509) => {
                    if let Some(verifier) = verifier(key) {
                        keys.verifier(&verifier);
                    }
                }
                // Keys of other forms are in the leaf as Rekor hashes them.
                format => {
                    let key = base64::decode_standard(key.as_str()?)?;
                    let emails = match format {
                        Some(rekord::PGP) => pgp::emails(&key),
                        _ => Vec::new(),
                    };
                    keys.canonical(&key, &emails);
                }
            }
            hash(&mut keys, &spec["data"]["hash"])?;
        }
        "dsse" => {
            for line in spec["signatures"].as_array()? {
                if let Some(verifier) = verifier(&line["verifier"]) {
                    keys.envelope_verifier(&verifier);
                }
            }
            hash(&mut keys, &spec["envelopeHash"])?;
            hash(&mut keys, &spec["payloadHash"])?;
        }
        "intoto" => {
            for line in spec["content"]["envelope"]["signatures"].as_array()? {
                if let Some(verifier) = verifier(&line["publicKey"]) {
                    keys.envelope_verifier(&verifier);
                }
            }
            hash(&mut keys, &spec["content"]["payloadHash"])?;
        }
        _ => return None,
    }
    Some(keys.into_parts().0)
}

#[derive(Deserialize)]
struct Statement {
    #[serde(default)]
    subject: First<Subject, MAX_KEYS>,
}

#[derive(Deserialize)]
struct Provenance {
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Predicate {
    #[serde(default)]
    materials: First<Subject, MAX_KEYS>,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default, deserialize_with = "first::members")]
    digest: First<(String, String), MAX_DIGESTS>,
}
