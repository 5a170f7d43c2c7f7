//! The opening statement of a shard: the first thing that its ECDSA key signs, for the shard's first entry.
//!
//! Its first line is its type and its third line a number, so that it can never be read as a checkpoint, a seal or a receipt.

use crate::key::Signer;
use crate::note::NoteError;

/// The first line of each statement.
const TYPE: &str = "logctl.dev/opening/v1";

/// The beginning of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The origin of the shard; also the name of its key.
    pub origin: String,
    /// The global index of its first entry.
    pub start: u64,
    /// The origin of the shard before it.
    pub predecessor: Option<String>,
}

impl Opening {
    /// The text that is signed.
    pub fn to_text(&self) -> String {
        let predecessor = self.predecessor.as_deref().unwrap_or("-");
        format!("{TYPE}\n{}\n{}\n{predecessor}\n", self.origin, self.start)
    }

    /// The signature over the text: ASN.1 DER, over its SHA-256, of an ECDSA key.
    ///
    /// # Errors
    /// [`NoteError`] where the key is another shard's, or the cryptography fails.
    pub fn sign(&self, signer: &Signer) -> Result<Vec<u8>, NoteError> {
        crate::note::check_origin(&self.origin, signer.verifier())?;
        signer.sign(&self.to_text())
    }
}
