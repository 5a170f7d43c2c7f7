//! `logctl import`: a file of entries into a log, as fast as the log takes them.
//!
//! [`entries`] reads the file in large pieces and writes bundle encoding, without an allocation per entry; [`feed`] keeps entries that are
//! not acknowledged yet; [`send`] sends it, and resumes after a broken connection at the position that the server reports.
//!
//! [`source`] is an old Rekor, for `logctl import rekor`: [`rekor`] asks it, [`waits`] tells the user when it does not answer, [`save`] writes its
//! answers to a folder, [`folder`] reads them, and [`shard`] is what both describe.
//!
//! What must never happen: an entry is in the log twice or is skipped because the connection broke; memory grows with the file.

pub(crate) mod entries;
pub(crate) mod feed;
pub(crate) mod folder;
pub(crate) mod meter;
mod plain;
mod rekor;
pub(crate) mod save;
pub(crate) mod send;
pub(crate) mod shard;
pub(crate) mod source;
pub(crate) mod waits;

use wire::data::Range;

/// The state of an import that has not come to its end.
const UNSEEN: &str = "readers see none of the imported entries";

/// Names an upload: 32 lowercase hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UploadId(String);

/// A text that is not the name of an upload.
#[derive(Debug, thiserror::Error)]
#[error("the name of an upload is 32 lowercase hex digits, as `logctl import` printed it")]
pub(crate) struct NotAnUpload;

impl UploadId {
    /// A new random id.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(tlog::hex(&bytes)))
    }

    /// The text that the server knows it by.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for UploadId {
    type Err = NotAnUpload;

    fn from_str(text: &str) -> Result<Self, NotAnUpload> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnUpload)
        }
    }
}

/// Adds ranges after those that are known; neighbours become one.
pub(crate) fn join(all: &mut Vec<Range>, more: impl IntoIterator<Item = Range>) {
    for next in more {
        match all.last_mut() {
            Some(last)
                if last.first + last.entries == next.first
                    && last.index + last.entries == next.index =>
            {
                last.entries += next.entries;
            }
            _ => all.push(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::GlobalIndex;

    #[test]
    fn names_are_random_and_have_one_spelling() {
        let (one, other) = (UploadId::random().unwrap(), UploadId::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.as_str().parse::<UploadId>().unwrap(), one);
        for wrong in ["", "0", &"A".repeat(32), &"g".repeat(32), &"0".repeat(33)] {
            assert!(wrong.parse::<UploadId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn neighbours_become_one() {
        let range = |first, index, entries| Range {
            first,
            index,
            entries,
        };
        let mut all = vec![range(0, GlobalIndex::new(10), 5)];
        join(
            &mut all,
            [
                range(5, GlobalIndex::new(15), 1),
                range(6, GlobalIndex::new(20), 2),
                range(9, GlobalIndex::new(22), 1),
            ],
        );
        assert_eq!(
            all,
            [
                range(0, GlobalIndex::new(10), 6),
                range(6, GlobalIndex::new(20), 2),
                range(9, GlobalIndex::new(22), 1)
            ]
        );
    }
}
