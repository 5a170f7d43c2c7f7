//! The locations of the entries of a batch, in as few ranges as possible.

use wire::data::Range;

/// Ranges, ordered by position.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    all: Vec<Range>,
    entries: u64,
}

impl Ranges {
    /// Adds a range after all others.
    pub(super) fn push(&mut self, next: Range) {
        self.entries += next.entries;
        match self.all.last_mut() {
            Some(last)
                if last.first + last.entries == next.first
                    && last.index + last.entries == next.index =>
            {
                last.entries += next.entries;
            }
            _ => self.all.push(next),
        }
    }

    /// How many entries all ranges have.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn all(&self) -> &[Range] {
        &self.all
    }

    /// The end of the run that begins at `from`.
    pub(super) fn run(&self, from: u64) -> u64 {
        self.all.iter().fold(from, |end, range| {
            if range.first == end {
                end + range.entries
            } else {
                end
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::GlobalIndex;

    #[test]
    fn neighbours_become_one() {
        let mut ranges = Ranges::default();
        for (first, index, entries) in [(5, 100, 3), (8, 103, 2), (10, 200, 1), (12, 202, 4)] {
            ranges.push(Range {
                first,
                index: GlobalIndex::new(index),
                entries,
            });
        }
        let seen: Vec<_> = ranges
            .all()
            .iter()
            .map(|r| (r.first, r.index.get(), r.entries))
            .collect();
        assert_eq!(seen, [(5, 100, 5), (10, 200, 1), (12, 202, 4)]);
        assert_eq!(ranges.entries(), 10);
        // Something is missing between 11 and 12.
        assert_eq!((ranges.run(5), ranges.run(0)), (11, 0));
    }
}
