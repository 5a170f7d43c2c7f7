//! The parts that a log needs to speak Rekor's APIs: requests, the checks that they must pass, leaves, answers.
//!
//! Everything here is a function from values to values: no I/O, no clock, no randomness. A front reads a request, checks
//! it, logs the leaf, waits for a checkpoint that covers it, and writes the answer. What must never happen: a leaf that a
//! client does not find again when it rebuilds it from its own bundle, or an entry whose signature nobody can verify.
//!
//! | to | use |
//! |---|---|
//! | check a request of version 2 and make its leaf | [`v2::Request`] |
//! | answer it | [`v2::answer`], [`v2::Error`] |
//! | the same for version 1 | [`v1::Request`], [`v1::LogEntry`], [`v1::answer`], [`v1::Error`] |
//! | tell clients of the log | [`export::TrustedRoot`], [`export::SigningConfig`] |
//! | find entries of version 1 again | [`v1::Retrieve`], [`v1::Query`], [`v1::Entry::search_keys`] |
//!
//! A front of version 2 (here the entry is the first one of its log):
//!
//! ```
//! use aws_lc_rs::encoding::AsDer as _;
//! use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
//! use base64::Engine as _;
//! use base64::engine::general_purpose::STANDARD;
//! use rekor::{Inclusion, v2};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A client signs an artifact …
//! let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
//! let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"artifact");
//! let body = serde_json::json!({"hashedRekordRequestV002": {
//!     "digest": STANDARD.encode(digest),
//!     "signature": {
//!         "content": STANDARD.encode(key.sign_digest(&digest)?),
//!         "verifier": {
//!             "publicKey": {"rawBytes": STANDARD.encode(key.public_key().as_der()?.as_ref())},
//!             "keyDetails": "PKIX_ECDSA_P256_SHA_256",
//!         },
//!     },
//! }});
//!
//! // … and the log checks it, keeps the leaf, and answers with the proof.
//! let entry = v2::Request::parse(body.to_string().as_bytes())?.verify()?;
//! let root = tlog::leaf_hash(entry.leaf());
//! let checkpoint = "log.example.org\n1\n…";
//! let inclusion = Inclusion { index: 0, tree_size: 1, root, proof: &[], checkpoint };
//! let answer = v2::answer(&tlog::Hash([7; 32]), entry.leaf(), &inclusion);
//! assert!(answer.contains(r#""logIndex":"0""#));
//!
//! // A digest that was not signed is refused, in upstream's words.
//! let forged = body.to_string().replace(&STANDARD.encode(digest), &STANDARD.encode([0; 32]));
//! let error = v2::Request::parse(forged.as_bytes())?.verify().unwrap_err();
//! assert_eq!((error.status(), error.message()), (400, "invalid hashedrekord request".to_owned()));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]

mod base64;
mod certificate;
mod der;
pub mod export;
mod first;
mod inclusion;
mod json;
mod key;
mod object;
mod pem;
mod pgp;
pub mod v1;
pub mod v2;
mod verifier;

#[cfg(test)]
#[cfg(test)]
mod testing;

pub use inclusion::Inclusion;
pub use key::{HashAlgorithm, KeyError};
pub use pgp::PgpError;
pub use verifier::VerifierError;

/// The largest leaf, in bytes: tiles give its length in 16 bits.
pub const MAX_LEAF: usize = 65_535;
/// The longest reason that an error repeats: parts of it are the client's.
const MAX_REASON: usize = 200;

/// The text's beginning, as much as an error repeats.
fn shortened(text: &str) -> String {
    text.chars().take(MAX_REASON).collect()
}
