//! Seals: the proof that a shard is frozen forever, and which shard follows it.
//!
//! A seal names a shard's final size and root and its successor's origin and key, signed by both keys. Its first line
//! is its type and its third line a number, so that it can never be read as a checkpoint, nor a checkpoint as a seal.

use crate::hash::Hash;
use crate::key::{Signer, VerifierKey};
use crate::note::{Note, NoteError, check_origin, lines, number, sign};

/// The first line of each seal.
const TYPE: &str = "logctl.dev/seal/v1";

/// The text of a seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The origin of the sealed shard; also the name of its key.
    pub origin: String,
    /// Its final number of leaves.
    pub size: u64,
    /// The root of its final tree.
    pub root: Hash,
    /// The origin of the shard that follows.
    pub successor_origin: String,
    /// The key of the shard that follows; its name is that shard's origin.
    pub successor_key: VerifierKey,
}

impl Seal {
    /// The text to sign, which [`Seal::parse`] reads.
    pub fn to_text(&self) -> String {
        format!(
            "{TYPE}\n{}\n{}\n{}\n{}\n{}\n",
            self.origin,
            self.size,
            self.root.to_base64(),
            self.successor_origin,
            self.successor_key
        )
    }

    /// Reads a note's text. It is not yet to be believed: see [`Seal::open`].
    ///
    /// # Errors
    /// [`NoteError`] if it is not a seal to the letter.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let lines = lines(text)?;
        let [TYPE, origin, size, root, successor_origin, successor_key] = lines.as_slice() else {
            return Err(NoteError::Malformed("not a seal"));
        };
        let key: VerifierKey = successor_key.parse()?;
        if key.to_string() != *successor_key {
            return Err(NoteError::Malformed(
                "the successor's key has another spelling",
            ));
        }
        check_origin(successor_origin, &key)?;
        if origin == successor_origin {
            return Err(NoteError::Malformed("a shard cannot follow itself"));
        }
        Ok(Self {
            origin: (*origin).to_owned(),
            size: number(size)?,
            root: Hash::from_base64(root)
                .map_err(|_| NoteError::Malformed("the root is not the base64 of a hash"))?,
            successor_origin: (*successor_origin).to_owned(),
            successor_key: key,
        })
    }

    /// The note, signed by the sealed shard's key and by its successor's.
    ///
    /// # Errors
    /// [`NoteError`] if a key does not belong to its shard, or a field does not fit on its line.
    pub fn sign(&self, sealed: &Signer, successor: &Signer) -> Result<String, NoteError> {
        check_origin(&self.origin, sealed.verifier())?;
        if self.successor_key != *successor.verifier() {
            return Err(NoteError::Malformed("the successor's key is another one"));
        }
        let text = self.to_text();
        if Self::parse(&text)? != *self {
            return Err(NoteError::Malformed("a newline inside a field"));
        }
        sign(&text, &[sealed, successor])
    }

    /// Reads the seal of the shard with this key: both signatures and the origin are checked. Whether the successor is
    /// the right one is for the caller to check.
    ///
    /// # Errors
    /// [`NoteError`] if one of the two signatures is missing or wrong, or it is another shard's seal.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        // The sealed shard's signature comes first: until it is good, the successor's key is not even read.
        note.verify(&[key])?;
        let seal = Self::parse(note.text)?;
        check_origin(&seal.origin, key)?;
        note.verify(&[&seal.successor_key])?;
        Ok(seal)
    }
}
