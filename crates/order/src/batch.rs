//! A batch's bytes: entries in C2SP bundle encoding (16-bit length, then the entry), so that they go into the bundles as they
//! are. Unlike a bundle, a batch holds any number of entries.

use bytes::BytesMut;

/// The bytes end inside an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ends inside an entry")]
pub struct Torn;

/// Appends an entry of at most 65,535 bytes; admission has checked the length.
pub fn push(out: &mut BytesMut, entry: &[u8]) {
    out.extend_from_slice(&(entry.len() as u16).to_be_bytes());
    out.extend_from_slice(entry);
}

/// The entries, in order.
pub fn entries(bytes: &[u8]) -> Result<Vec<&[u8]>, Torn> {
    let (mut rest, mut entries) = (bytes, Vec::new());
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<2>().ok_or(Torn)?;
        let (entry, tail) = tail
            .split_at_checked(usize::from(u16::from_be_bytes(*length)))
            .ok_or(Torn)?;
        entries.push(entry);
        rest = tail;
    }
    Ok(entries)
}
