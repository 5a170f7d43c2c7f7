//! OpenPGP (RFC 9580): keys and detached signatures of version 4, as far as entries of the first API need them.
//!
//! Rekor reads a key with a library, and logs it as that library writes it: without the packets that the library does not use, and with headers of
//! its own. An entry is found by the hash of the logged key, so a key must be written here byte for byte as in Rekor. What must never happen: a
//! signature or key that Rekor refuses is accepted. The opposite may happen: versions 3, 5 and 6, private keys, DSA, curves other than NIST's and
//! Ed25519, and artifacts signed with SHA-1 are refused here.
//!
//! All input comes from unauthenticated senders. A key and a signature are at most as large as a leaf, nothing in them is compressed, a signature
//! lies in another one at most once, and a request's keys have at most 128 signatures inside that are verified. A search verifies none.
//!
//! Whether a key was valid is judged at the time that the signature names: the result must not depend on the day of the check.

mod armor;
mod email;
mod key;
mod packet;
mod read;
mod ring;
mod signature;

#[cfg(test)]
mod tests;

pub(crate) use email::emails;
pub(crate) use ring::{KeyBlocks, Ring};
pub(crate) use signature::Detached;

/// Why an OpenPGP key or signature cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PgpError {
    /// An armored key cannot be read, or has a form that is not accepted; says what is wrong.
    #[error("error reading PGP public key: openpgp: {0}")]
    Key(&'static str),
    /// A key without armor cannot be read, or has a form that is not accepted; says what is wrong.
    #[error("error reading binary PGP public key: openpgp: {0}")]
    BinaryKey(&'static str),
    /// The key is shorter than any key.
    #[error("unable to read PGP public key: EOF")]
    ShortKey,
    /// The armor has something other than a public key.
    #[error("invalid PGP type detected")]
    KeyType,
    /// There is no key at all.
    #[error("no PGP public keys could be read")]
    NoKey,
    /// The signature cannot be read, or has a form that is not accepted; says what is wrong.
    #[error("invalid PGP signature: openpgp: {0}")]
    Signature(&'static str),
    /// The armor has something other than a signature.
    #[error("invalid PGP signature provided")]
    SignatureType,
    /// No signature names one of the keys that may sign.
    #[error("openpgp: signature made by unknown entity")]
    UnknownIssuer,
    /// The key that the signature names did not make it; says the kind of that key.
    #[error("openpgp: invalid signature: {0} verification failure")]
    Unverified(&'static str),
    /// The signature uses a hash function or a key that is not accepted.
    #[error("openpgp: unsupported feature: {0}")]
    Unsupported(&'static str),
    /// The signature or the key has a part that is marked as critical and is not understood here.
    #[error("openpgp: invalid signature: unknown critical notation")]
    CriticalNotation,
    /// The key, or the identity or subkey that counts, was revoked when the signature was made, or is compromised.
    #[error("openpgp: signature made by revoked key")]
    Revoked,
    /// The key had expired when the signature was made, or did not exist.
    #[error("openpgp: key expired")]
    KeyExpired,
    /// A signature of the key had expired when the artifact's was made.
    #[error("openpgp: signature expired")]
    SignatureExpired,
}
