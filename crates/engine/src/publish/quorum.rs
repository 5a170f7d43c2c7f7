//! Decides which size may be published. Pure.
//!
//! What must never happen: publishing a size that fewer secondaries hold than one of its quorums demands, or a size behind the published
//! one.

use order::mutant::{Mutant, left_out};
use tlog::TreeSize;

/// How many secondaries of one membership must hold a size that ends behind its first entry, and what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quorum {
    /// Sizes up to this one do not need it.
    pub above: TreeSize,
    /// How many must hold larger sizes.
    pub quorum: usize,
    /// The sizes that its secondaries have verified.
    pub verified: Vec<TreeSize>,
}

impl Quorum {
    /// Whether this quorum allows this size to be published.
    fn allows(&self, size: TreeSize) -> bool {
        size <= self.above
            || self.holding(size) >= self.quorum
            || left_out(Mutant::QuorumIsNotAwaited)
    }

    /// How many hold this size.
    pub(crate) fn holding(&self, size: TreeSize) -> usize {
        self.verified.iter().filter(|at| **at >= size).count()
    }
}

/// The size to publish: the largest that every quorum allows, of those that the secondaries have verified or that are integrated;
/// never more than is integrated, never less than is published. Every size but `published` is a cut, so the answer is one.
pub(crate) fn publishable(
    quorums: &[Quorum],
    integrated: TreeSize,
    published: TreeSize,
) -> TreeSize {
    let cuts = quorums.iter().flat_map(|of| &of.verified).copied();
    // A secondary may be ahead of a primary that was set back; there is nothing here to publish yet.
    let cuts = cuts.filter(|at| *at <= integrated).chain([integrated]);
    let allowed = cuts.filter(|size| quorums.iter().all(|of| of.allows(*size)));
    allowed.max().unwrap_or(TreeSize::ZERO).max(published)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(quorum: usize, verified: &[u64]) -> Quorum {
        Quorum {
            above: TreeSize::ZERO,
            quorum,
            verified: verified.iter().copied().map(TreeSize::new).collect(),
        }
    }

    fn publishable(quorums: &[Quorum], integrated: u64, published: u64) -> u64 {
        let (integrated, published) = (TreeSize::new(integrated), TreeSize::new(published));
        super::publishable(quorums, integrated, published).get()
    }

    #[test]
    fn examples() {
        let publishable = |quorum, integrated, published, verified: &[u64]| {
            super::tests::publishable(&[one(quorum, verified)], integrated, published)
        };
        assert_eq!(publishable(0, 90, 50, &[]), 90);
        assert_eq!(publishable(1, 90, 50, &[60, 80, 70]), 80);
        assert_eq!(publishable(2, 90, 50, &[60, 80, 70]), 70);
        assert_eq!(publishable(3, 90, 50, &[60, 80, 70]), 60);
        // Raised above the secondaries that are there: nothing moves, nothing goes back.
        assert_eq!(publishable(4, 90, 50, &[60, 80, 70]), 50);
        assert_eq!(publishable(1, 90, 0, &[]), 0);
        // A secondary that lost its disk.
        assert_eq!(publishable(2, 90, 70, &[80, 10]), 70);
        // An empty shard needs no copy.
        assert_eq!(publishable(1, 0, 0, &[]), 0);
        // Ahead of a primary that was set back.
        assert_eq!(publishable(1, 90, 50, &[95]), 90);
    }

    #[test]
    fn a_change_binds_what_comes_after_it() {
        // The old secondary has 60, the new ones 80 and 90; the change came behind entry 70.
        let (old, mut new) = (one(1, &[60]), one(1, &[80, 90]));
        new.above = TreeSize::new(70);
        assert_eq!(publishable(&[old.clone(), new.clone()], 90, 50), 60);
        // Handed over.
        assert_eq!(publishable(&[new.clone()], 90, 50), 90);
        // Raised: what was ordered before needs the old quorum only.
        let old = one(1, &[70, 90]);
        let raised = Quorum {
            quorum: 2,
            ..old.clone()
        };
        let raised = Quorum {
            above: TreeSize::new(80),
            ..raised
        };
        assert_eq!(publishable(&[old.clone(), raised.clone()], 90, 50), 70);
        let cut = one(1, &[70, 80]);
        assert_eq!(publishable(&[cut, raised], 90, 50), 80);
    }

    fn quorums() -> impl Strategy<Value = Vec<Quorum>> {
        let verified = proptest::collection::vec(0u64..120, 0..5);
        let one = (0u64..100, 0usize..5, verified).prop_map(|(above, quorum, verified)| Quorum {
            above: TreeSize::new(above),
            ..one(quorum, &verified)
        });
        proptest::collection::vec(one, 1..4).prop_map(|mut all| {
            all[0].above = TreeSize::ZERO;
            all
        })
    }

    proptest! {
        #[test]
        fn never_less_than_published_never_more_than_each_quorum_holds(
            quorums in quorums(),
            integrated in 0u64..100,
            published in 0u64..100,
        ) {
            let published = published.min(integrated);
            let size = publishable(&quorums, integrated, published);
            prop_assert!(published <= size && size <= integrated);
            let allowed = |size: u64| quorums.iter().all(|of| of.allows(TreeSize::new(size)));
            let cut = |size: u64| {
                size == integrated || quorums.iter().any(|of| of.verified.contains(&TreeSize::new(size)))
            };
            if size > published {
                prop_assert!(allowed(size) && cut(size));
            }
            // The size is as large as possible: too few secondaries hold any larger cut.
            for larger in size + 1..=integrated {
                prop_assert!(!(cut(larger) && allowed(larger)));
            }
            // A higher quorum never publishes more, and neither does an additional quorum.
            let mut higher = quorums.clone();
            higher[0].quorum += 1;
            prop_assert!(publishable(&higher, integrated, published) <= size);
            prop_assert!(publishable(&quorums[..1], integrated, published).max(size) >= size);
        }
    }
}
