//! Receipts: the signed promise to publish an entry by a deadline, given before the entry has a place in the log.
//!
//! Its first line is its type and its third line a number, so that it can never be read as a checkpoint or a seal, nor one of
//! those as a receipt.

use crate::hash::Hash;
use crate::key::{Signer, VerifierKey};
use crate::note::{Note, NoteError, check_origin, lines, number, sign};

/// The first line of each receipt.
const TYPE: &str = "logctl.dev/receipt/v1";

/// The longest name of a promise, bytes.
const MAX_PROMISE: usize = 64;

/// The text of a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The origin of the shard that was active; also the name of its key. The entry may be published in a later shard of the log.
    pub origin: String,
    /// The entry is published by then: milliseconds since the Unix epoch.
    pub deadline: u64,
    /// The entry's leaf hash.
    pub leaf: Hash,
    /// The id with which to ask the log: 1 to 64 lowercase letters, digits and hyphens.
    pub promise: String,
}

impl Receipt {
    /// The text to sign, which [`Receipt::parse`] reads.
    pub fn to_text(&self) -> String {
        let leaf = self.leaf.to_base64();
        format!(
            "{TYPE}\n{}\n{}\n{leaf}\n{}\n",
            self.origin, self.deadline, self.promise
        )
    }

    /// Reads a note's text. It is not yet to be believed: see [`Receipt::open`].
    ///
    /// # Errors
    /// [`NoteError`] if it is not a receipt to the letter.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let lines = lines(text)?;
        let [TYPE, origin, deadline, leaf, promise] = lines.as_slice() else {
            return Err(NoteError::Malformed("not a receipt"));
        };
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if promise.is_empty() || promise.len() > MAX_PROMISE || !promise.bytes().all(plain) {
            return Err(NoteError::Malformed("the promise is not a name"));
        }
        Ok(Self {
            origin: (*origin).to_owned(),
            deadline: number(deadline)?,
            leaf: Hash::from_base64(leaf)
                .map_err(|_| NoteError::Malformed("the leaf is not the base64 of a hash"))?,
            promise: (*promise).to_owned(),
        })
    }

    /// The note, signed by the key of the active shard.
    ///
    /// # Errors
    /// [`NoteError`] if the key does not belong to the origin, or a field does not fit on its line.
    pub fn sign(&self, signer: &Signer) -> Result<String, NoteError> {
        check_origin(&self.origin, signer.verifier())?;
        let text = self.to_text();
        if Self::parse(&text)? != *self {
            return Err(NoteError::Malformed("a newline inside a field"));
        }
        sign(&text, &[signer])
    }

    /// Reads the receipt of the shard with this key: signature and origin are checked.
    ///
    /// # Errors
    /// [`NoteError`] if the signature is missing or wrong, or it is another shard's receipt.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        note.verify(&[key])?;
        let receipt = Self::parse(note.text)?;
        check_origin(&receipt.origin, key)?;
        Ok(receipt)
    }
}
