//! Checkpoints (C2SP tlog-checkpoint): what a log says about itself, signed.
//!
//! A checkpoint must never be read before its signature and its origin are checked, and never be written in a form
//! that reads back as another one. Whether two checkpoints are consistent is for their holder to check.

use crate::hash::Hash;
use crate::key::{Signer, VerifierKey};
use crate::note::{Note, NoteError, check_origin, lines, number, sign};

/// The text of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log, as a schema-less URL; also the name of its key.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The root of the tree of `size` leaves.
    pub root: Hash,
    /// Further lines, none empty. Not recommended; kept so that other logs' checkpoints survive a round trip.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The note's text: origin, size, root and extensions, a line each.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            self.root.to_base64()
        );
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads a note's text. It is not yet to be believed: see [`Checkpoint::open`].
    ///
    /// # Errors
    /// [`NoteError::Malformed`] if it is not a checkpoint to the letter.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let lines = lines(text)?;
        let [origin, size, root, extensions @ ..] = lines.as_slice() else {
            return Err(NoteError::Malformed("fewer than three lines"));
        };
        Ok(Self {
            origin: (*origin).to_owned(),
            size: number(size)?,
            root: Hash::from_base64(root)
                .map_err(|_| NoteError::Malformed("the root is not the base64 of a hash"))?,
            extensions: extensions.iter().map(|line| (*line).to_owned()).collect(),
        })
    }

    /// The signed note. The key's name must be the origin.
    ///
    /// # Errors
    /// [`NoteError`] if it is another log's key, or a field does not fit on its line.
    pub fn sign(&self, signer: &Signer) -> Result<String, NoteError> {
        self.sign_all(&[signer])
    }

    /// The note signed by each key in turn, all of them named after the origin.
    ///
    /// # Errors
    /// [`NoteError`] as of [`Checkpoint::sign`].
    pub fn sign_all(&self, signers: &[&Signer]) -> Result<String, NoteError> {
        for signer in signers {
            check_origin(&self.origin, signer.verifier())?;
        }
        let text = self.to_text();
        if Self::parse(&text)? != *self {
            return Err(NoteError::Malformed("a newline inside a field"));
        }
        sign(&text, signers)
    }

    /// Reads a signed checkpoint of the log with this key: signature and origin are checked. Other signatures, as of
    /// witnesses, are ignored.
    ///
    /// # Errors
    /// [`NoteError`] if it is not signed by that key, is not a checkpoint, or names another origin.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        Self::open_all(note, &[key])
    }

    /// Reads a checkpoint of a log with several keys of one name, each of which must have signed it.
    ///
    /// # Errors
    /// [`NoteError`] as of [`Checkpoint::open`].
    pub fn open_all(note: &str, keys: &[&VerifierKey]) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        let signed = note.verify(keys)?;
        let checkpoint = Self::parse(note.text)?;
        for (at, key) in keys.iter().enumerate() {
            if !signed.contains(&at) {
                return Err(NoteError::Unsigned(key.name().to_owned()));
            }
            check_origin(&checkpoint.origin, key)?;
        }
        Ok(checkpoint)
    }
}
