//! The envelope of every structured row in the coordination store: `v1 <16 hex of SHA-256> <JSON>`.
//!
//! Readable with any SQL shell at three in the morning, and a flipped byte is noticed before it is believed. Rows that a
//! [`Guard::AtMost`](crate::Guard::AtMost) compares begin with their number, as eight big-endian bytes.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tlog::Hash;

const PREFIX: &[u8] = b"v1 ";
const SUM: usize = 16;

/// Why a row could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The checksum does not match: a byte changed after it was written.
    #[error("checksum does not match: the stored bytes changed")]
    Checksum,
    /// Not in this envelope, or of a version this program does not know.
    #[error("not a v1 record: written by a newer version, or damaged")]
    Envelope,
    /// The envelope is whole but the contents are not understood.
    #[error("record not understood: {0}")]
    Contents(String),
}

/// SHA-256 of plain bytes (no RFC 6962 prefix).
pub fn digest(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

/// Wraps a value as JSON in a record with a checksum.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    // Our own record types hold strings, integers and lists only; serde_json cannot fail on them.
    let json = serde_json::to_vec(value).unwrap_or_default();
    let sum = digest(&json).to_string();
    let mut out = Vec::with_capacity(PREFIX.len() + SUM + 1 + json.len());
    out.extend_from_slice(PREFIX);
    out.extend_from_slice(&sum.as_bytes()[..SUM]);
    out.push(b' ');
    out.extend_from_slice(&json);
    Bytes::from(out)
}

/// Bytes that a value's JSON takes, without the envelope.
pub fn json_size<T: Serialize>(value: &T) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // As in `encode`: neither the value nor the counter can fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// Bytes of a record whose JSON has this many.
pub const fn size(json: usize) -> usize {
    PREFIX.len() + SUM + 1 + json
}

/// Unwraps a value, checking the checksum.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    let rest = bytes.strip_prefix(PREFIX).ok_or(RecordError::Envelope)?;
    let (sum, json) = rest.split_at_checked(SUM).ok_or(RecordError::Envelope)?;
    let json = json.strip_prefix(b" ").ok_or(RecordError::Envelope)?;
    if digest(json).to_string().as_bytes()[..SUM] != *sum {
        return Err(RecordError::Checksum);
    }
    serde_json::from_slice(json).map_err(|e| RecordError::Contents(e.to_string()))
}

/// Whether a record's JSON begins with these bytes; cheaper than decoding it, and nothing is checked.
pub fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let json = bytes.get(PREFIX.len() + SUM + 1..);
    json.is_some_and(|json| json.starts_with(with))
}

/// A number as a row of its own.
pub fn encode_number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The number in front of a row.
pub fn decode_number(bytes: &[u8]) -> Result<u64, RecordError> {
    let head = bytes.first_chunk::<8>().ok_or(RecordError::Envelope)?;
    Ok(u64::from_be_bytes(*head))
}

/// A record behind its guard number.
pub fn encode_numbered<T: Serialize>(number: u64, value: &T) -> Bytes {
    let mut out = number.to_be_bytes().to_vec();
    out.extend_from_slice(&encode(value));
    Bytes::from(out)
}

/// The record behind a guard number.
pub fn decode_numbered<T: DeserializeOwned>(bytes: &[u8]) -> Result<(u64, T), RecordError> {
    let number = decode_number(bytes)?;
    Ok((number, decode(&bytes[8..])?))
}

/// A number with its record behind it, so that a flipped byte is noticed.
pub fn encode_counted(number: u64) -> Bytes {
    encode_numbered(number, &number)
}

/// The number, as long as its record agrees.
pub fn decode_counted(bytes: &[u8]) -> Result<u64, RecordError> {
    match decode_numbered::<u64>(bytes)? {
        (number, behind) if number == behind => Ok(number),
        _ => Err(RecordError::Checksum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let whole = encode(&("slot", 7u64, "x"));
        assert_eq!(
            decode::<(String, u64, String)>(&whole).unwrap(),
            ("slot".into(), 7, "x".into())
        );
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bad = whole.to_vec();
                bad[at] ^= 1 << bit;
                assert!(
                    decode::<(String, u64, String)>(&bad).is_err(),
                    "byte {at} bit {bit}"
                );
            }
        }
        for cut in 0..whole.len() {
            assert!(decode::<(String, u64, String)>(&whole[..cut]).is_err());
        }
    }
}
