//! Secrets that this endpoint hands out: 256 random bits as text, of which only a hash is ever kept.

use ambient::Random;
use std::fmt;

use sha2::{Digest, Sha256};
use tlog::hex;

use crate::error::Error;

/// Begins every secret, so that scanners for leaked secrets find one.
pub(super) const PREFIX: &str = "logctl_";
/// Begins every hash in a file, and every pinned key.
pub(super) const HASH_PREFIX: &str = "sha256:";
/// Hex digits of 256 bits.
const DIGITS: usize = 64;

/// The text of a token or a session. It is shown once; `Debug` hides it.
pub struct Secret(String);

impl Secret {
    /// A new one of this kind.
    pub(super) fn new(kind: Kind<'_>, random: &Random) -> Result<Self, Error> {
        let bits: [u8; 32] = random.bytes().map_err(Error::Randomness)?;
        let random = hex(&bits);
        Ok(Self(match kind {
            Kind::Filed => format!("{PREFIX}{random}"),
            Kind::Session => format!("{PREFIX}s_{random}"),
            Kind::Managed { name } => format!("{PREFIX}t_{name}_{random}"),
        }))
    }

    /// The text to send as `Authorization: Bearer …`.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The kind of a secret, as its text shows. It only decides where to look it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A token of the token file: `logctl_…`.
    Filed,
    Session,
    /// A token in the host's memory, which is found by its name: `logctl_t_NAME_…`.
    Managed {
        name: &'a str,
    },
}

impl<'a> Kind<'a> {
    /// The kind of this text; `None` if it cannot be a secret of ours.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        if let Some(rest) = rest.strip_prefix("s_") {
            return is_random(rest).then_some(Self::Session);
        }
        if let Some(rest) = rest.strip_prefix("t_") {
            let (name, random) = rest.rsplit_once('_')?;
            return (is_random(random) && is_shared_name(name)).then_some(Self::Managed { name });
        }
        Some(Self::Filed)
    }
}

fn is_random(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name of a token in the token file.
pub(super) fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

/// The name of a token in the host's memory: without the sign that ends it in the token's text.
pub(super) fn is_shared_name(name: &str) -> bool {
    is_name(name) && !name.contains('_')
}

pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_secret_shows_its_kind(name in "[a-z0-9][a-z0-9.-]{0,62}") {
            for kind in [Kind::Filed, Kind::Session, Kind::Managed { name: &name }] {
                let secret = Secret::new(kind, &Random::seeded(1)).unwrap();
                prop_assert_eq!(Kind::of(secret.expose()), Some(kind));
                let debug = format!("{secret:?}");
                prop_assert!(!debug.contains(&secret.expose()[secret.expose().len() - 64..]));
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "(logctl_)?([st]_)?[a-z_]{0,4}.{0,70}") {
            let _ = Kind::of(&text);
        }
    }
}
