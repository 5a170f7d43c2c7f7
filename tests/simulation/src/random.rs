//! Random decisions that follow from a seed.

use std::time::Duration;

/// A stream of random decisions. Each actor has its own, so that leaving one actor out changes no other's decisions.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(mixed(seed ^ 0x6c6f_6763_746c_0001))
    }

    /// Another stream, which depends on this one's state and a label, and does not advance it.
    #[must_use]
    pub fn fork(&self, label: &str) -> Self {
        let mut state = self.0;
        for byte in label.bytes() {
            state = mixed(state ^ u64::from(byte));
        }
        Self(state)
    }

    /// The next number; all are as likely.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1);
        low + if span == 0 { 0 } else { self.number() % span }
    }

    /// Whether something with this probability, in millionths, happens.
    pub fn chance(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.number() % 1_000_000 < u64::from(millionths)
    }

    /// One of these; the first of an empty list can't be had.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let last = of.len().checked_sub(1)?;
        let at = self.between(0, last as u64);
        of.get(usize::try_from(at).unwrap_or(0))
    }

    /// A number from `low` to `high` whose order of magnitude is drawn first: small ones are as likely as large ones.
    pub fn spread(&mut self, low: u64, high: u64) -> u64 {
        let low = low.max(1);
        let bits = |n: u64| u64::from(64 - n.leading_zeros());
        let bits = self.between(bits(low), bits(high.max(low)));
        let top = (1_u64 << (bits - 1)).saturating_mul(2) - 1;
        self.between(low.max(1 << (bits - 1)), top.min(high.max(low)))
    }

    /// Milliseconds as [`Dice::spread`] draws them.
    pub fn span(&mut self, low_ms: u64, high_ms: u64) -> Duration {
        Duration::from_millis(self.spread(low_ms, high_ms))
    }
}

/// The output function of SplitMix64.
fn mixed(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
