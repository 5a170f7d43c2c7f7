//! Entry bundles (C2SP tlog-tiles): up to 256 entries, each behind its length as a big-endian `u16`.
//!
//! A bundle is what auditors hash, so reading one must never skip, invent or merge entries: every byte is accounted
//! for, or the bundle is refused.

use crate::tile::TILE_WIDTH;

/// The most bytes an entry can have.
pub const MAX_ENTRY: usize = 65_535;

/// Why bytes are not an entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The bundle ends inside an entry or its length.
    #[error("the bundle ends inside entry {0}")]
    Truncated(usize),
    /// More than 256 entries.
    #[error("the bundle holds more than {TILE_WIDTH} entries")]
    TooMany,
}

/// Appends an entry to a bundle. An entry of more than [`MAX_ENTRY`] bytes has no encoding: nothing is appended, and
/// the answer is `false`.
pub fn push(out: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else {
        return false;
    };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(entry);
    true
}

/// The entries of a bundle, in order.
///
/// # Errors
/// [`BundleError`] if the bytes are not exactly a sequence of at most 256 entries.
pub fn entries(bytes: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::with_capacity(TILE_WIDTH as usize);
    let mut rest = bytes;
    while !rest.is_empty() {
        if entries.len() == TILE_WIDTH as usize {
            return Err(BundleError::TooMany);
        }
        let truncated = BundleError::Truncated(entries.len());
        let (length, tail) = rest.split_first_chunk::<2>().ok_or(truncated)?;
        let (entry, tail) = tail
            .split_at_checked(usize::from(u16::from_be_bytes(*length)))
            .ok_or(truncated)?;
        entries.push(entry);
        rest = tail;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn limits() {
        let mut out = Vec::new();
        assert!(push(&mut out, &vec![7; MAX_ENTRY]));
        let whole = out.clone();
        assert!(!push(&mut out, &vec![7; MAX_ENTRY + 1]));
        assert_eq!(
            out, whole,
            "nothing is written for an entry without an encoding"
        );
        assert_eq!(entries(&whole).unwrap(), [&[7; MAX_ENTRY][..]]);
        let mut many = Vec::new();
        for _ in 0..256 {
            push(&mut many, b"");
        }
        assert_eq!(entries(&many).unwrap().len(), 256);
        push(&mut many, b"");
        assert_eq!(entries(&many), Err(BundleError::TooMany));
    }

    proptest! {
        #[test]
        fn round_trip_and_every_cut_is_noticed(list in vec(vec(any::<u8>(), 0..20), 0..20)) {
            let mut out = Vec::new();
            let mut ends = vec![0];
            for entry in &list {
                prop_assert!(push(&mut out, entry));
                ends.push(out.len());
            }
            prop_assert_eq!(entries(&out).unwrap(), list.iter().map(Vec::as_slice).collect::<Vec<_>>());
            for cut in 0..out.len() {
                let read = entries(&out[..cut]);
                prop_assert_eq!(read.is_ok(), ends.contains(&cut));
            }
        }

        #[test]
        fn what_reads_is_exactly_the_bytes(bytes in vec(0u8..4, 0..64)) {
            if let Ok(list) = entries(&bytes) {
                let mut out = Vec::new();
                for entry in list {
                    push(&mut out, entry);
                }
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
