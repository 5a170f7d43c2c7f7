//! Which size may be published. Pure.
//!
//! What must never happen: a size that fewer secondaries hold than the quorum asks for, a size behind one that was published.

/// The size to publish: the `quorum`-th largest of what the secondaries have verified, or with a quorum of 0 what is integrated;
/// never more than is integrated, never less than is published. Every argument but `published` is a cut, so the answer is one.
pub fn publishable(quorum: usize, integrated: u64, published: u64, verified: &[u64]) -> u64 {
    let reached = match quorum.checked_sub(1) {
        None => integrated,
        Some(at) => {
            let mut sizes = verified.to_vec();
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            // What is empty needs no copy.
            sizes.get(at).copied().unwrap_or(0)
        }
    };
    // A secondary may be ahead of a primary that was set back; there is nothing here to publish yet.
    if reached > integrated {
        return integrated.max(published);
    }
    reached.max(published)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn examples() {
        assert_eq!(publishable(0, 90, 50, &[]), 90);
        assert_eq!(publishable(1, 90, 50, &[60, 80, 70]), 80);
        assert_eq!(publishable(2, 90, 50, &[60, 80, 70]), 70);
        assert_eq!(publishable(3, 90, 50, &[60, 80, 70]), 60);
        // Raised above the secondaries that are there: nothing moves, nothing goes back.
        assert_eq!(publishable(4, 90, 50, &[60, 80, 70]), 50);
        assert_eq!(publishable(1, 90, 0, &[]), 0);
        // A secondary that lost its disk.
        assert_eq!(publishable(2, 90, 70, &[80, 10]), 70);
    }

    proptest! {
        #[test]
        fn never_less_than_published_never_more_than_the_quorum_holds(
            quorum in 0usize..5,
            integrated in 0u64..100,
            published in 0u64..100,
            verified in proptest::collection::vec(0u64..120, 0..5),
        ) {
            let published = published.min(integrated);
            let size = publishable(quorum, integrated, published, &verified);
            prop_assert!(published <= size && size <= integrated);
            if size > published {
                prop_assert!(verified.iter().filter(|v| **v >= size).count() >= quorum);
                prop_assert!(size == integrated || verified.contains(&size));
                // As much as there can be: the next larger cut is held by too few.
                let larger = verified.iter().filter(|v| **v > size).count();
                prop_assert!(size == integrated || larger < quorum);
            }
            // A higher quorum never publishes more.
            prop_assert!(publishable(quorum + 1, integrated, published, &verified) <= size);
        }
    }
}
