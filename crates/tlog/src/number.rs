//! Numbers that must not be mistaken for each other: positions in a log and in its trees, and times.
//!
//! A type per meaning, so that the compiler refuses a leaf index where a global index is asked for. None of them is made from another
//! without saying so, and what `new` takes or `get` gives is a bare number at a boundary: a row, a request, a format. Sums and differences
//! stop at the ends of the range: no number in a request can make one wrap, or end the program.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Defines a type around a `u64`: ordered, hashed and shown like its number.
#[macro_export]
macro_rules! number {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The number with which counting begins.
            pub const ZERO: Self = Self(0);

            /// Says what a bare number means.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The bare number, for a row, an answer or a format.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

/// Defines a [`number!`] that is a position in a sequence: a count moves it, and two of them are a count apart.
#[macro_export]
macro_rules! position {
    ($(#[$attribute:meta])* $name:ident) => {
        $crate::number! { $(#[$attribute])* $name }

        impl $name {
            /// The position after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// This many positions before this one, or the first.
            #[must_use]
            pub const fn back(self, count: u64) -> Self {
                Self(self.0.saturating_sub(count))
            }

            /// The positions from this one up to another, which is not among them.
            pub fn until(self, end: Self) -> impl DoubleEndedIterator<Item = Self> + Clone {
                (self.0..end.0).map(Self)
            }
        }

        impl std::ops::Add<u64> for $name {
            type Output = Self;

            fn add(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }
        }

        impl std::ops::AddAssign<u64> for $name {
            fn add_assign(&mut self, count: u64) {
                *self = *self + count;
            }
        }

        impl std::ops::Sub for $name {
            type Output = u64;

            fn sub(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }
    };
}

position! {
    /// The position of an entry in its log, over all shards, from 0; it never changes.
    #[derive(Serialize, Deserialize)]
    GlobalIndex
}

position! {
    /// The position of an entry in the tree of its shard, from 0.
    #[derive(Serialize, Deserialize)]
    LeafIndex
}

position! {
    /// The number of leaves of a tree: a leaf index is in the tree when it is below.
    #[derive(Serialize, Deserialize)]
    TreeSize
}

number! {
    /// A time: milliseconds since the Unix epoch.
    #[derive(Serialize, Deserialize)]
    UnixMillis
}

impl GlobalIndex {
    /// The index of this entry in the tree of a shard that begins at `start`; `None` if it lies before.
    pub fn leaf(self, start: Self) -> Option<LeafIndex> {
        self.0.checked_sub(start.0).map(LeafIndex)
    }

    /// The size of the tree of a shard that begins at `start`, when its log ends here.
    pub fn tree(self, start: Self) -> TreeSize {
        TreeSize(self - start)
    }
}

/// The position in the log after the last leaf of a tree that begins here.
impl std::ops::Add<TreeSize> for GlobalIndex {
    type Output = Self;

    fn add(self, size: TreeSize) -> Self {
        self + size.0
    }
}

impl LeafIndex {
    /// Whether a tree of this size has the leaf.
    pub fn is_in(self, size: TreeSize) -> bool {
        self.0 < size.0
    }
}

impl TreeSize {
    /// The index of the last leaf; `None` for the empty tree.
    pub fn last_leaf(self) -> Option<LeafIndex> {
        self.0.checked_sub(1).map(LeafIndex)
    }
}

impl UnixMillis {
    /// How long after another time this is; nothing, if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for UnixMillis {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

impl std::ops::Sub<Duration> for UnixMillis {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_and_shown_like_the_bare_one() {
        let size = TreeSize::new(7);
        assert_eq!(serde_json::to_string(&size).unwrap(), "7");
        assert_eq!(serde_json::from_str::<TreeSize>("7").unwrap(), size);
        assert_eq!(
            format!("{size} {size:04} {:?}", Some(size)),
            "7 0007 Some(7)"
        );
    }

    #[test]
    fn a_global_index_is_the_start_of_the_shard_and_the_leaf() {
        let (start, size) = (GlobalIndex::new(10), TreeSize::new(4));
        let (end, leaf) = (start + size, size.last_leaf().unwrap());
        assert_eq!(
            (end.tree(start), end.back(1).leaf(start)),
            (size, Some(leaf))
        );
        assert!(leaf.is_in(size) && !leaf.next().is_in(size));
        assert_eq!((start.leaf(end), TreeSize::ZERO.last_leaf()), (None, None));
    }

    #[test]
    fn sums_and_differences_stop_at_the_ends() {
        let (first, last) = (TreeSize::ZERO, TreeSize::new(u64::MAX));
        assert_eq!((last + 1, last.next(), first.back(1)), (last, last, first));
        assert_eq!((first - last, last - first), (0, u64::MAX));
        let (epoch, end) = (UnixMillis::ZERO, UnixMillis::new(u64::MAX));
        assert_eq!(epoch - Duration::MAX, epoch);
        assert_eq!(epoch + Duration::MAX, end);
        assert_eq!(epoch.since(end), Duration::ZERO);
    }
}
