//! Time and random bytes, as values that are passed in: so the same program runs on the system's, on clocks that a test sets, and
//! with bytes that repeat. And threads for work that holds up tasks.
//!
//! What must never happen: code below `server/` asks the system directly. `crates/clippy.toml` forbids the calls; the system is asked
//! here, through [`Ambient::system`], which a binary calls once. Exceptions are the drivers of the stores and the nonce of an ECDSA signature.

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]
#![expect(
    clippy::disallowed_methods,
    reason = "here the system is asked, and nowhere else"
)]

#[cfg(feature = "crew")]
mod crew;
mod random;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;

#[cfg(feature = "crew")]
pub use crew::{Crew, CutShort};
pub use random::{NoRandomness, Random};
pub use time::{Clocks, Time};

/// Time and randomness of a process; clones are the same.
#[derive(Clone, Debug)]
pub struct Ambient {
    /// The source of time.
    pub time: Time,
    /// The source of random bytes.
    pub random: Random,
}

impl Ambient {
    /// The clocks and the randomness of the operating system.
    pub fn system() -> Self {
        Self {
            time: Time::system(),
            random: Random::system(),
        }
    }
}
