//! Signed notes (C2SP signed-note); [`crate::key`] has the keys.
//!
//! The text of a note means nothing until a known key has signed it. So a note with a bad signature of a known key is
//! refused whole, and the parser accepts exactly the one form that `sign` makes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::key::{Signer, VerifierKey};

/// The em dash and space before each signature.
const MARK: &str = "\u{2014} ";

/// The most signatures a note may carry: the specification asks for at least 16, witnesses add one each.
pub const MAX_SIGNATURES: usize = 100;

/// Why a key or a note is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// A key name that is empty or has spaces, control characters or a plus sign.
    #[error("`{0}` is not a key name: it must be non-empty, without spaces and plus signs")]
    Name(String),
    /// Not a verifier key: `<name>+<8 hex digits>+<base64>`, with the right key id.
    #[error("not a verifier key: {0}")]
    Key(&'static str),
    /// Not a signed note, or not the text it should be.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// The cryptographic library did not sign.
    #[error("{0} can't sign")]
    Signing(String),
    /// None of the keys that had to sign it did.
    #[error("the note is not signed by {0}")]
    Unsigned(String),
    /// A known key's signature is wrong.
    #[error("the signature of {0} is wrong")]
    BadSignature(String),
    /// The note speaks of another log than the key.
    #[error("the origin is `{found}`, not `{expected}`")]
    Origin {
        /// The origin that the key stands for.
        expected: String,
        /// The origin in the text.
        found: String,
    },
}

pub(crate) fn check_name(name: &str) -> Result<(), NoteError> {
    let good =
        !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c < ' ' || c == '+');
    if good {
        Ok(())
    } else {
        Err(NoteError::Name(name.to_owned()))
    }
}

/// Valid UTF-8 is given; of the ASCII control characters only newlines are allowed.
fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Malformed("a control character"));
    }
    Ok(())
}

/// A signature line, without its newline.
pub(crate) fn signature_line(name: &str, id: u32, signature: &[u8]) -> String {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend_from_slice(signature);
    format!("{MARK}{name} {}", STANDARD.encode(bytes))
}

/// Signs a text, which must end in a newline, with each key in turn. The result is the whole note. Only with Ed25519 keys alone
/// does the same text become the same note each time.
///
/// # Errors
/// [`NoteError::Malformed`] if the text cannot be a note's text, or there is no or more than [`MAX_SIGNATURES`] keys;
/// [`NoteError::Signing`] where the cryptography fails.
pub fn sign(text: &str, signers: &[&Signer]) -> Result<String, NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("the text does not end in a newline"));
    }
    check_characters(text)?;
    if signers.is_empty() || signers.len() > MAX_SIGNATURES {
        return Err(NoteError::Malformed("the number of signatures"));
    }
    let mut note = format!("{text}\n");
    for signer in signers {
        let VerifierKey { name, id, .. } = signer.verifier();
        note.push_str(&signature_line(name, *id, &signer.sign(text)?));
        note.push('\n');
    }
    Ok(note)
}

/// One signature line, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The name of the key.
    pub name: &'a str,
    /// The id of the key.
    pub id: u32,
    /// The signature itself; its form depends on the type of the key.
    pub bytes: Vec<u8>,
}

/// A note, taken apart but not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// The signed text, with its final newline. Not to be believed before [`Note::verify`].
    pub text: &'a str,
    /// The signatures, in order: at least one.
    pub signatures: Vec<Signature<'a>>,
}

impl<'a> Note<'a> {
    /// Takes a note apart at its last blank line.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] if it is not a note to the letter.
    pub fn parse(note: &'a str) -> Result<Self, NoteError> {
        check_characters(note)?;
        let blank = note
            .rfind("\n\n")
            .ok_or(NoteError::Malformed("no blank line before the signatures"))?;
        let (text, rest) = note.split_at(blank + 1);
        let signatures = signature_lines(&rest[1..])?;
        Ok(Self { text, signatures })
    }

    /// Verifies the signatures of the given keys; those of other keys are ignored. The answer lists which of the keys
    /// signed, by position, each once.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] if a signature that names one of the keys is wrong, [`NoteError::Unsigned`] if
    /// none of them signed.
    pub fn verify(&self, keys: &[&VerifierKey]) -> Result<Vec<usize>, NoteError> {
        let mut signed = vec![false; keys.len()];
        for signature in &self.signatures {
            let mut known = false;
            let mut good = false;
            for (key, signed) in keys.iter().zip(&mut signed) {
                if key.name == signature.name && key.id == signature.id {
                    known = true;
                    if key.verifies(self.text, &signature.bytes) {
                        good = true;
                        *signed = true;
                    }
                }
            }
            if known && !good {
                return Err(NoteError::BadSignature(signature.name.to_owned()));
            }
        }
        let signed: Vec<usize> = (0..keys.len()).filter(|at| signed[*at]).collect();
        if signed.is_empty() {
            let names: Vec<&str> = keys.iter().map(|key| key.name()).collect();
            return Err(NoteError::Unsigned(names.join(" or ")));
        }
        Ok(signed)
    }
}

/// Reads signature lines that stand alone, as a cosigner answers them: each ends in a newline, there is at least one.
///
/// # Errors
/// [`NoteError::Malformed`] if it is anything else, or more than [`MAX_SIGNATURES`].
pub fn signature_lines(text: &str) -> Result<Vec<Signature<'_>>, NoteError> {
    check_characters(text)?;
    let lines = text
        .strip_suffix('\n')
        .ok_or(NoteError::Malformed("no signature line"))?;
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        if signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::Malformed("too many signatures"));
        }
        signatures.push(signature(line).ok_or(NoteError::Malformed("not a signature line"))?);
    }
    Ok(signatures)
}

fn signature(line: &str) -> Option<Signature<'_>> {
    let (name, base64) = line.strip_prefix(MARK)?.split_once(' ')?;
    check_name(name).ok()?;
    let bytes = STANDARD.decode(base64).ok()?;
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    if bytes.is_empty() {
        return None;
    }
    Some(Signature {
        name,
        id: u32::from_be_bytes(*id),
        bytes: bytes.to_vec(),
    })
}

/// The lines of a text that ends in a newline, none of them empty.
pub(crate) fn lines(text: &str) -> Result<Vec<&str>, NoteError> {
    let body = text
        .strip_suffix('\n')
        .ok_or(NoteError::Malformed("the text does not end in a newline"))?;
    let lines: Vec<&str> = body.split('\n').collect();
    if lines.iter().any(|line| line.is_empty()) {
        return Err(NoteError::Malformed("an empty line"));
    }
    Ok(lines)
}

/// A decimal number in its only spelling: no sign, no leading zeros.
pub(crate) fn number(text: &str) -> Result<u64, NoteError> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let number = if canonical { text.parse().ok() } else { None };
    number.ok_or(NoteError::Malformed("the size is not a decimal number"))
}

/// The text's origin must be the name of the key that speaks for it.
pub(crate) fn check_origin(origin: &str, key: &VerifierKey) -> Result<(), NoteError> {
    if origin != key.name() {
        return Err(NoteError::Origin {
            expected: key.name().to_owned(),
            found: origin.to_owned(),
        });
    }
    Ok(())
}
