//! The form of a writer's token and of its hash. The secret's bytes come from the caller.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The beginning of every writer's token, by which a leaked one is recognised.
pub const TOKEN_PREFIX: &str = "logw_";

/// The text of a token: the prefix and the bytes in base64url without padding (RFC 4648, 5).
#[must_use]
pub fn token_text(secret: &[u8; 32]) -> String {
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(secret))
}

/// The hash that a document holds for a token: SHA-256 of its text, lowercase hex.
#[must_use]
pub fn token_hash(text: &str) -> String {
    tlog::hex(&Sha256::digest(text.as_bytes()))
}

/// Whether a text has the form of [`token_hash`].
#[must_use]
pub fn is_token_hash(text: &str) -> bool {
    tlog::unhex::<32>(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_their_hashes() {
        let text = token_text(&[0xff; 32]);
        assert_eq!(text, format!("logw_{}8", "_".repeat(42)));
        assert!(is_token_hash(&token_hash(&text)));
        // FIPS 180-4, the message "abc".
        assert_eq!(
            token_hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        for text in [
            "",
            "BA7816BF",
            &"g".repeat(64),
            &"A".repeat(64),
            &"a".repeat(65),
        ] {
            assert!(!is_token_hash(text), "{text}");
        }
    }
}
