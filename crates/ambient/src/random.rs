//! Random bytes: those of the system, or a sequence that repeats.

#[cfg(any(test, feature = "testing"))]
use std::sync::{Arc, Mutex, PoisonError};

/// The operating system gives no random bytes.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no randomness: {0}")]
pub struct NoRandomness(getrandom::Error);

/// A source of random bytes; clones are the same.
#[derive(Clone, Debug)]
pub struct Random(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// The state of a SplitMix64 generator. Keys that are made of it are no secrets.
    #[cfg(any(test, feature = "testing"))]
    Seeded(Arc<Mutex<u64>>),
}

impl Random {
    /// The operating system's, fit for keys.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The same bytes for the same seed, asked for in the same order: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(seed))))
    }

    /// Fills all of it with random bytes.
    ///
    /// # Errors
    /// The operating system has none.
    pub fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        match &self.0 {
            Source::System => getrandom::fill(bytes).map_err(NoRandomness),
            #[cfg(any(test, feature = "testing"))]
            Source::Seeded(state) => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                for part in bytes.chunks_mut(8) {
                    part.copy_from_slice(&split_mix(&mut state).to_le_bytes()[..part.len()]);
                }
                Ok(())
            }
        }
    }

    /// This many random bytes, none of which is a secret.
    ///
    /// # Errors
    /// As [`Random::fill`].
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], NoRandomness> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A random number; all are as likely.
    ///
    /// # Errors
    /// As [`Random::fill`].
    pub fn number(&self) -> Result<u64, NoRandomness> {
        self.bytes().map(u64::from_le_bytes)
    }
}

#[cfg(any(test, feature = "testing"))]
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let numbers = |seed| {
            let random = Random::seeded(seed);
            [(); 3].map(|()| random.number().unwrap())
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        // The first number that is published for SplitMix64 and this seed.
        assert_eq!(numbers(1_234_567)[0], 6_457_827_717_110_365_317);
        let (odd, even) = (Random::seeded(1), Random::seeded(1));
        assert_eq!(odd.bytes::<11>().unwrap()[..8], even.bytes::<8>().unwrap());
    }

    #[test]
    fn the_system_gives_other_bytes_each_time() {
        let random = Random::system();
        let (one, other): ([u8; 16], [u8; 16]) = (random.bytes().unwrap(), random.bytes().unwrap());
        assert_ne!(one, other);
    }
}
