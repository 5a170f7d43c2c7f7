//! Names of logs, shards, tiers and tenants. They become path segments, key names and object prefixes, so a name that exists as a value of
//! these types is always safe to put there: it never needs escaping and never shadows a route.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::finding::Problem;

/// Longest name, in bytes.
pub const MAX_NAME: usize = 63;
/// The log that the server keeps for itself; see [`LogName::system`].
pub const SYSTEM: &str = "system";

/// Path segments that the data plane and the admin endpoint use, or that clients commonly ask any server for. Sorted.
const RESERVED: [&str; 28] = [
    "add",
    "add-batch",
    "add-checkpoint",
    "add-entries",
    "admin",
    "api",
    "checkpoint",
    "config",
    "debug",
    "entries",
    "favicon.ico",
    "healthz",
    "index",
    "log",
    "logs",
    "metrics",
    "promise",
    "readyz",
    "receipts",
    "robots.txt",
    "seal",
    "search",
    "shards",
    "sign-subtree",
    "status",
    "tile",
    "version",
    "watermarks",
];

/// JSON Schema pattern of all names.
const PATTERN: &str = "^[a-z0-9][a-z0-9.-]{0,62}$";

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It does not match `[a-z0-9][a-z0-9.-]{0,62}`.
    #[error(
        "a name is 1 to 63 characters of a-z, 0-9, '.' and '-', and starts with a letter or a digit"
    )]
    Malformed,
    /// The name of a route or of the server's own log.
    #[error("the name is reserved")]
    Reserved,
}

impl NameError {
    pub(crate) fn problem(&self, name: &str) -> Problem {
        match self {
            Self::Malformed => Problem::new(
                "bad-name",
                format!("{} is not a name: {self}", crate::finding::quote(name)),
            ),
            Self::Reserved => Problem::new(
                "reserved-name",
                format!("`{name}` is reserved for the server's own routes and logs"),
            )
            .hint("choose another name"),
        }
    }
}

/// Whether it is one label of a host name (RFC 1123), in lower case.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let letter = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=63).contains(&text.len())
        && text.bytes().all(letter)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn check(name: &str) -> Result<(), NameError> {
    let well_formed = (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && !name.starts_with(['.', '-']);
    if !well_formed {
        return Err(NameError::Malformed);
    }
    if RESERVED.binary_search(&name).is_ok() {
        return Err(NameError::Reserved);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                check(&name).map(|()| Self(name))
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::try_from(name.to_owned())
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "pattern": PATTERN })
            }
        }
    };
}

name! {
    /// A log's name. `system` is a value of this type, because the server's own log has a configuration too; documents that an
    /// operator writes may not use it ([`crate::LogConfig::validate`]).
    LogName, "log-name"
}

name! {
    /// A shard's name, unique in its log.
    ShardName, "shard-name"
}

name! {
    /// The name of a class of writes, unique in its log.
    TierName, "tier-name"
}

name! {
    /// The name of a party that writes, unique in its log.
    TenantName, "tenant-name"
}

name! {
    /// The name of a storage node, a secondary or a frontend, unique among its kind.
    NodeName, "node-name"
}

impl NodeName {
    /// The storage node that every server has.
    pub(crate) fn local() -> Self {
        Self(crate::merge::LOCAL.to_owned())
    }
}

impl TierName {
    /// A name that is written in this crate.
    pub(crate) fn shipped(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

impl TenantName {
    /// A name that is written in this crate.
    pub(crate) fn shipped(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

impl LogName {
    /// The log that orders what belongs to no single log.
    #[must_use]
    pub fn system() -> Self {
        Self(SYSTEM.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reserved_names_are_sorted_and_refused() {
        assert!(RESERVED.is_sorted());
        for name in RESERVED {
            assert_eq!(ShardName::from_str(name), Err(NameError::Reserved));
            assert_eq!(LogName::from_str(name), Err(NameError::Reserved));
        }
    }

    #[test]
    fn the_system_log_can_be_read_back() {
        let text = serde_json::to_string(&LogName::system()).unwrap();
        assert_eq!(
            serde_json::from_str::<LogName>(&text).unwrap(),
            LogName::system()
        );
    }

    #[test]
    fn length_is_bounded() {
        assert!(ShardName::from_str(&"a".repeat(63)).is_ok());
        assert_eq!(
            ShardName::from_str(&"a".repeat(64)),
            Err(NameError::Malformed)
        );
        assert_eq!(ShardName::from_str(""), Err(NameError::Malformed));
    }

    proptest! {
        /// A name is one path segment that needs no escaping and cannot leave its folder.
        #[test]
        fn names_are_safe_segments(text in "\\PC{0,70}") {
            if let Ok(name) = ShardName::try_from(text.clone()) {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(!text.contains(['/', '%', '+', ' ', '\\']) && text != "." && text != "..");
                prop_assert!(text.is_ascii() && text == text.to_lowercase());
            }
        }

        #[test]
        fn well_formed_text_is_a_name(text in "[a-z0-9][a-z0-9.-]{0,62}") {
            prop_assert_eq!(ShardName::from_str(&text).is_err(), RESERVED.contains(&text.as_str()));
        }
    }
}
