//! When the writes of an open loop are due, and what they hold. Pure and repeatable: a seed gives one sequence.

use std::time::Duration;

/// A small generator of pseudo-random numbers (SplitMix64): repeatable, and no more is needed here.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    /// The sequence of this seed.
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniformly distributed in (0, 1].
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }
}

/// The times at which an open loop writes, from `start` until `end`.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    random: Option<Random>,
    mean: f64,
    next: f64,
    end: f64,
}

impl Arrivals {
    /// `per_1000s` writes in a thousand seconds; at even distances, or as a Poisson process of `seed`.
    pub(crate) fn new(
        per_1000s: u64,
        even: bool,
        seed: u64,
        start: Duration,
        end: Duration,
    ) -> Self {
        let mean = 1000.0 / per_1000s.max(1) as f64;
        let mut arrivals = Self {
            random: (!even).then(|| Random::new(seed)),
            mean,
            next: start.as_secs_f64(),
            end: end.as_secs_f64(),
        };
        // Streams that begin together do not write together.
        arrivals.next += arrivals.gap() / if even { 2.0 } else { 1.0 };
        arrivals
    }

    fn gap(&mut self) -> f64 {
        match &mut self.random {
            None => self.mean,
            // The distances of a Poisson process are exponential.
            Some(random) => -random.unit().ln() * self.mean,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.next >= self.end {
            return None;
        }
        let due = Duration::from_secs_f64(self.next);
        self.next += self.gap();
        Some(due)
    }
}

/// Makes entries that no run has twice: run, stream and number stand at their beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries {
    run: u64,
    stream: u16,
    size: usize,
}

impl Entries {
    /// The entries of a stream, of `size` bytes each (40 at least).
    pub(crate) fn new(run: u64, stream: u16, size: usize) -> Self {
        Self { run, stream, size }
    }

    /// Length of an entry, bytes.
    pub(crate) fn size(self) -> usize {
        self.size
    }

    pub(crate) fn write(self, sequence: u64, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(b"load ");
        hex(self.run, 16, out);
        out.push(b' ');
        hex(self.stream.into(), 3, out);
        out.push(b' ');
        hex(sequence, 12, out);
        out.push(b' ');
        out.resize(begin + self.size, b'.');
    }

    /// Appends entries as a C2SP entry bundle of any length.
    pub(crate) fn bundle(self, sequences: std::ops::Range<u64>, out: &mut Vec<u8>) {
        let length = (self.size as u16).to_be_bytes();
        for sequence in sequences {
            out.extend_from_slice(&length);
            self.write(sequence, out);
        }
    }
}

fn hex(number: u64, digits: u32, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for at in (0..digits).rev() {
        out.push(DIGITS[(number >> (4 * at)) as usize & 15]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn even_arrivals_are_even() {
        let due: Vec<_> = Arrivals::new(4000, true, 1, SECOND, 2 * SECOND).collect();
        let expected = [1125, 1375, 1625, 1875].map(Duration::from_millis);
        assert_eq!(due, expected);
    }

    #[test]
    fn poisson_arrivals_are_as_many_as_asked_and_as_varied() {
        let due: Vec<_> = Arrivals::new(1_000_000, false, 7, Duration::ZERO, 20 * SECOND).collect();
        // 20,000 expected, standard deviation 141.
        assert!((19_300..=20_700).contains(&due.len()), "{}", due.len());
        assert!(due.is_sorted() && due.last().is_some_and(|last| *last < 20 * SECOND));
        let gaps: Vec<f64> = due
            .windows(2)
            .map(|w| (w[1] - w[0]).as_secs_f64())
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = variance.sqrt() / mean;
        assert!(
            (0.95..1.05).contains(&variation),
            "exponential gaps vary as much as their mean: {variation}"
        );
        let again: Vec<_> =
            Arrivals::new(1_000_000, false, 7, Duration::ZERO, 20 * SECOND).collect();
        assert_eq!(due, again);
    }

    #[test]
    fn entries_have_their_size_and_are_all_different() {
        let mut seen = std::collections::HashSet::new();
        for size in [40, 112, 65_535] {
            for stream in 0..3 {
                for sequence in [0, 1, 255, 1 << 40] {
                    let mut entry = Vec::new();
                    Entries::new(5, stream, size).write(sequence, &mut entry);
                    assert_eq!(entry.len(), size);
                    assert!(seen.insert(entry));
                }
            }
        }
    }

    #[test]
    fn bundles_are_read_by_the_format() {
        let entries = Entries::new(5, 1, 50);
        let mut bytes = Vec::new();
        entries.bundle(10..13, &mut bytes);
        let mut one = Vec::new();
        entries.write(11, &mut one);
        assert_eq!(tlog::bundle::entries(&bytes).unwrap()[1], one);
    }
}
