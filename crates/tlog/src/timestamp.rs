//! The signed entry timestamp of Rekor's first API: a shard says that it has an entry, under which index and since when.
//!
//! Its text is JSON, so it can never be read as a checkpoint, a seal or a receipt.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;
use crate::hex::hex;
use crate::key::{Signer, VerifierKey};
use crate::note::NoteError;

/// What a signed entry timestamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryTimestamp<'a> {
    /// SHA-256 of the shard's ECDSA key, as `SubjectPublicKeyInfo` in DER.
    pub log_id: Hash,
    /// The entry's index in the whole log.
    pub index: u64,
    /// When the entry was ordered, in seconds since the Unix epoch.
    pub time: u64,
    /// The bytes of the entry.
    pub leaf: &'a [u8],
}

impl EntryTimestamp<'_> {
    /// The text that is signed: canonical JSON (RFC 8785).
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(160 + self.leaf.len().div_ceil(3) * 4);
        text.push_str(r#"{"body":""#);
        STANDARD.encode_string(self.leaf, &mut text);
        text.push_str(r#"","integratedTime":"#);
        text.push_str(&self.time.to_string());
        text.push_str(r#","logID":""#);
        text.push_str(&hex(&self.log_id.0));
        text.push_str(r#"","logIndex":"#);
        text.push_str(&self.index.to_string());
        text.push('}');
        text
    }

    /// The signature over the text: ASN.1 DER, over its SHA-256, of an ECDSA key.
    ///
    /// # Errors
    /// [`NoteError`] where the key is not the one of `log_id`, or the cryptography fails.
    pub fn sign(&self, signer: &Signer) -> Result<Vec<u8>, NoteError> {
        if signer.verifier().log_id() != self.log_id {
            return Err(NoteError::Key("the timestamp is another shard's"));
        }
        signer.sign(&self.to_text())
    }

    /// Whether a signature over the text is one of this key, which must be that of `log_id`.
    pub fn is_signed_by(&self, key: &VerifierKey, signature: &[u8]) -> bool {
        key.log_id() == self.log_id && key.verifies(&self.to_text(), signature)
    }
}
