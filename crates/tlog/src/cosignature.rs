//! Cosignatures (C2SP tlog-cosignature), with Ed25519 keys (type 0x04): what a witness or a mirror says about a
//! checkpoint, and when.
//!
//! A cosignature covers the checkpoint's text, not the log's signature. So a cosigner must never sign a text that it has
//! not checked, and a cosignature must never count for another text, another name or another type of key.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::checkpoint::Checkpoint;
use crate::key::{Vkey, format_vkey, key_id};
use crate::note::{Note, NoteError, Signature, check_name, signature_line, signature_lines};

/// The signature type of an Ed25519 cosignature.
pub(crate) const COSIGNATURE: u8 = 0x04;
/// Bytes of the time before the signature itself.
const TIME: usize = 8;

/// The public key of a cosigner. `Display` and `FromStr` are the `vkey` form with signature type 0x04.
#[derive(Clone, PartialEq, Eq)]
pub struct CosignerKey {
    name: String,
    id: u32,
    key: VerifyingKey,
}

/// A cosignature that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// When it was made, seconds since the Unix epoch.
    pub time: u64,
}

fn message(text: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

impl CosignerKey {
    /// The cosigner's name, which stands in its signature lines.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id (C2SP signed-note), which stands in its signatures.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The 32 bytes of the key. Two keys with the same bytes are one cosigner, whatever their names.
    pub fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether the signature says that it is this key's.
    pub fn made(&self, signature: &Signature<'_>) -> bool {
        signature.name == self.name && signature.id == self.id
    }

    /// Verifies this key's cosignature of a checkpoint's text.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] unless it is right. A time of 0 or beyond 2^63-1 seconds is wrong too.
    pub fn verify(&self, text: &str, signature: &Signature<'_>) -> Result<Cosignature, NoteError> {
        let bad = || NoteError::BadSignature(self.name.clone());
        let (time, bytes) = signature
            .bytes
            .split_first_chunk::<TIME>()
            .filter(|_| self.made(signature))
            .ok_or_else(bad)?;
        let time = u64::from_be_bytes(*time);
        if time == 0 || i64::try_from(time).is_err() {
            return Err(bad());
        }
        let signature = ed25519_dalek::Signature::from_slice(bytes).map_err(|_| bad())?;
        self.key
            .verify_strict(&message(text, time), &signature)
            .map_err(|_| bad())?;
        Ok(Cosignature { time })
    }

    /// This key's cosignature of a note; nothing when it has none.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] if a signature that names this key is wrong.
    pub fn find(&self, note: &Note<'_>) -> Result<Option<Cosignature>, NoteError> {
        let mut found = None;
        for signature in note.signatures.iter().filter(|s| self.made(s)) {
            found = Some(self.verify(note.text, signature)?);
        }
        Ok(found)
    }

    /// Takes this key's line out of a cosigner's answer about a checkpoint's text; lines of other keys are ignored. The line
    /// has no newline at its end.
    ///
    /// # Errors
    /// [`NoteError`] if the answer is not made of signature lines, has none of this key, or a wrong one.
    pub fn pick(&self, text: &str, answer: &str) -> Result<String, NoteError> {
        let mut line = None;
        for (signature, raw) in signature_lines(answer)?.iter().zip(answer.lines()) {
            if self.made(signature) {
                self.verify(text, signature)?;
                line = Some(raw.to_owned());
            }
        }
        line.ok_or_else(|| NoteError::Unsigned(self.name.clone()))
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_vkey(&self.name, self.id, COSIGNATURE, self.bytes()))
    }
}

impl fmt::Debug for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CosignerKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let vkey = Vkey::split(text)?;
        if vkey.kind != COSIGNATURE {
            return Err(NoteError::Key(
                "a cosigner's key is of type 4 (Ed25519 cosignature); others are not supported",
            ));
        }
        let key = vkey.ed25519()?;
        check_name(vkey.name)?;
        let id = key_id(vkey.name, COSIGNATURE, key.as_bytes());
        vkey.check(id)?;
        let name = vkey.name.to_owned();
        Ok(Self { name, id, key })
    }
}

/// A secret key that cosigns. It is wiped from memory when dropped.
pub struct Cosigner {
    key: SigningKey,
    verifier: CosignerKey,
}

impl Cosigner {
    /// The key made from a 32-byte seed (RFC 8032 section 5.1.5). It must not sign anything but cosignatures.
    ///
    /// # Errors
    /// [`NoteError::Name`] if the name is not a key name.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        let key = SigningKey::from_bytes(seed);
        let public = key.verifying_key();
        let verifier = CosignerKey {
            name: name.to_owned(),
            id: key_id(name, COSIGNATURE, public.as_bytes()),
            key: public,
        };
        Ok(Self { key, verifier })
    }

    /// The public half of the key, which checks cosignatures.
    pub fn verifier(&self) -> &CosignerKey {
        &self.verifier
    }

    /// The signature line, with its newline, over a checkpoint's text at a time in seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] if the text is not a checkpoint, or the time is 0 or beyond 2^63-1.
    pub fn cosign(&self, text: &str, time: u64) -> Result<String, NoteError> {
        Checkpoint::parse(text)?;
        if time == 0 || i64::try_from(time).is_err() {
            return Err(NoteError::Malformed("the time of a cosignature"));
        }
        let mut bytes = time.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.key.sign(&message(text, time)).to_bytes());
        let CosignerKey { name, id, .. } = &self.verifier;
        Ok(signature_line(name, *id, &bytes) + "\n")
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cosigner")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

/// The note with these signature lines after its own. Lines may end in a newline or not. They are not verified here.
///
/// # Errors
/// [`NoteError::Malformed`] if the result is not a note.
pub fn attach<'a>(
    note: &str,
    lines: impl IntoIterator<Item = &'a str>,
) -> Result<String, NoteError> {
    let mut whole = note.to_owned();
    for line in lines {
        whole.push_str(line.strip_suffix('\n').unwrap_or(line));
        whole.push('\n');
    }
    let before = Note::parse(note)?.text;
    if Note::parse(&whole)?.text != before {
        return Err(NoteError::Malformed("a signature line changes the text"));
    }
    Ok(whole)
}
