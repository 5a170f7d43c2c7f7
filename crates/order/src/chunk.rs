//! Runs of entries, and the uploads that they are parts of: what writers hand to the order beside single entries.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::token::Token;
use store::record;

/// A contiguous run of entries, ordered as one.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The entries in C2SP bundle encoding, each of 1 to 65,535 bytes; [`Chunk::MAX_BYTES`] at most.
    pub bytes: Bytes,
    /// How many they are.
    pub entries: u64,
    /// The upload and the part of it that this is, if any.
    pub upload: Option<UploadPart>,
}

impl Chunk {
    /// The most bytes of one chunk.
    pub const MAX_BYTES: usize = 1 << 20;
}

/// A part of a resumable upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadPart {
    /// The upload that the part belongs to.
    pub id: UploadId,
    /// How many entries of it come before this part.
    pub offset: u64,
}

/// Names an upload; chosen by the client, 32 lowercase hex digits as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadId(pub [u8; 16]);

impl UploadId {
    /// The upload of one tenant: another tenant that knows its id neither sees nor changes it.
    pub fn of(self, tenant: &str) -> Self {
        let mut text = self.0.to_vec();
        text.extend_from_slice(tenant.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&record::digest(&text).0[..16]);
        Self(bytes)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&tlog::hex(&self.0))
    }
}

impl FromStr for UploadId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The same text as a token's.
        text.parse::<Token>().map(|token| Self(token.to_bytes()))
    }
}

impl TryFrom<String> for UploadId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<UploadId> for String {
    fn from(id: UploadId) -> Self {
        id.to_string()
    }
}
