//! The times of the entries of a bundle, in memory: [`crate::times`] says how they are kept.

use std::sync::OnceLock;

use tlog::{LeafIndex, TILE_WIDTH, UnixMillis};

/// Bytes of one time.
pub(crate) const LEN: usize = size_of::<u64>();
/// The longest signature of an ECDSA key over P-256, in DER.
pub(crate) const MAX_SIGNATURE: usize = 72;

/// When an entry was ordered, and the signed entry timestamp over that: of an imported entry the one that was given, of another one the
/// first that was made since the times were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryTime {
    pub(crate) time: UnixMillis,
    pub(crate) signature: OnceLock<Vec<u8>>,
}

impl EntryTime {
    /// Reads the bytes of one entry; `None` where its time is not known.
    fn read(one: &[u8]) -> Option<Self> {
        let (time, rest) = one.split_first_chunk()?;
        let time = UnixMillis::new(u64::from_be_bytes(*time));
        let signature = match rest.split_first() {
            Some((length, signature)) => signature.get(..usize::from(*length))?.to_vec().into(),
            None => OnceLock::new(),
        };
        (time > UnixMillis::ZERO).then_some(Self { time, signature })
    }
}

/// The times of the entries of a bundle, in memory.
#[derive(Debug)]
pub(crate) struct EntryTimes(Vec<Option<EntryTime>>);

impl EntryTimes {
    /// Reads the times in an object, in which an entry has `each` bytes.
    pub(crate) fn read(times: &[u8], each: usize) -> Self {
        Self(times.chunks_exact(each).map(EntryTime::read).collect())
    }

    /// The time of an entry; `None` where it is not known.
    pub(crate) fn of(&self, leaf: LeafIndex) -> Option<&EntryTime> {
        let at = usize::try_from(leaf.get() % TILE_WIDTH).ok()?;
        self.0.get(at)?.as_ref()
    }

    /// About how many bytes of memory it takes, once all entries are asked for.
    pub(crate) fn weight(&self) -> usize {
        (size_of::<Option<EntryTime>>() + MAX_SIGNATURE) * self.0.len()
    }
}
