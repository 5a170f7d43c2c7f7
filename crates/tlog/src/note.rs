//! Signed notes (C2SP signed-note), with Ed25519 keys (type 0x01).
//!
//! The text of a note means nothing until a known key has signed it. So a note with a bad signature of a known key is
//! refused whole, and the parser accepts exactly the one form that `sign` makes. Secret keys are never printed.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// The signature type of Ed25519 over the note's text.
pub(crate) const ED25519: u8 = 0x01;

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

/// The public key of a signer: its name, its id and the key itself. `Display` and `FromStr` are the `vkey` form.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, key: VerifyingKey) -> Result<Self, NoteError> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, ED25519, &key),
            key,
        })
    }

    /// The key's name; for a log's own key the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id: the first four bytes of the SHA-256 of name, newline, type and key.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The 32 bytes of the key.
    pub fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .and_then(|signature| self.key.verify_strict(text.as_bytes(), &signature))
            .is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_vkey(&self.name, self.id, ED25519, &self.key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        // The base64 may contain a plus sign, the name and the id may not.
        let (name, id, key) =
            parse_vkey(text, ED25519, "only Ed25519 keys (type 1) are supported")?;
        let name = name.to_owned();
        Ok(Self { name, id, key })
    }
}

/// Whether this is a vkey of a signature type other than `kind`: well formed, and a key that is unknown here. A note verifier
/// ignores those (C2SP signed-note, "Verifying").
pub(crate) fn is_unknown_vkey(text: &str, kind: u8) -> bool {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let id = id.len() == 8 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    let material = STANDARD.decode(material);
    let other = material.is_ok_and(|bytes| bytes.len() > 1 && bytes[0] != kind);
    id && other && check_name(name).is_ok()
}

/// Takes a vkey apart: name, id and Ed25519 key of signature type `kind`; `other` is what is said of another type.
pub(crate) fn parse_vkey<'a>(
    text: &'a str,
    kind: u8,
    other: &'static str,
) -> Result<(&'a str, u32, VerifyingKey), NoteError> {
    // The base64 may contain a plus sign, the name and the id may not.
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::Key("expected name, id and key"));
    };
    if id.len() != 8 || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(NoteError::Key("the id is not 8 hexadecimal digits"));
    }
    let id = u32::from_str_radix(id, 16)
        .map_err(|_| NoteError::Key("the id is not 8 hexadecimal digits"))?;
    let material = STANDARD
        .decode(material)
        .map_err(|_| NoteError::Key("the key is not base64"))?;
    let key = match material.split_first() {
        Some((found, key)) if *found == kind => key
            .try_into()
            .map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?,
        Some(_) => return Err(NoteError::Key(other)),
        None => return Err(NoteError::Key("the key is empty")),
    };
    let key =
        VerifyingKey::from_bytes(key).map_err(|_| NoteError::Key("not a point of the curve"))?;
    check_name(name)?;
    if key_id(name, kind, &key) != id {
        return Err(NoteError::Key(
            "the id does not belong to this name and key",
        ));
    }
    Ok((name, id, key))
}

/// The first four bytes of the SHA-256 of name, newline, signature type and key.
pub(crate) fn key_id(name: &str, kind: u8, key: &VerifyingKey) -> u32 {
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', kind])
        .chain_update(key.as_bytes())
        .finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The vkey form of an Ed25519 key of signature type `kind`.
pub(crate) fn format_vkey(name: &str, id: u32, kind: u8, key: &VerifyingKey) -> String {
    let mut material = [kind; 33];
    material[1..].copy_from_slice(key.as_bytes());
    format!("{name}+{id:08x}+{}", STANDARD.encode(material))
}

/// A signature line, without its newline.
pub(crate) fn signature_line(name: &str, id: u32, signature: &[u8]) -> String {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend_from_slice(signature);
    format!("{MARK}{name} {}", STANDARD.encode(bytes))
}

/// A secret key that signs notes. It is wiped from memory when dropped.
pub struct Signer {
    key: SigningKey,
    verifier: VerifierKey,
}

impl Signer {
    /// The Ed25519 key made from a 32-byte seed (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// [`NoteError::Name`] if the name is not a key name.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, key.verifying_key())?;
        Ok(Self { key, verifier })
    }

    /// The public half of the key, which checks signatures.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

/// Signs a text, which must end in a newline, with each key in turn. The result is the whole note.
///
/// # Errors
/// [`NoteError::Malformed`] if the text cannot be a note's text, or there is no or more than [`MAX_SIGNATURES`] keys.
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
        let signature = signer.key.sign(text.as_bytes()).to_bytes();
        note.push_str(&signature_line(
            &signer.verifier.name,
            signer.verifier.id,
            &signature,
        ));
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
