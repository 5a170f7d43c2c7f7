//! One budget for the request bodies that a listener holds in memory, over all its connections, and one for its long answers.
//!
//! Bytes count when they arrive, not when they are announced: a client that announces much and sends nothing takes nothing from others.
//! What must never happen: memory grows beyond the budget with the number of connections and streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

/// Bytes that a request costs beside its body.
const REQUEST: usize = 512;
/// Answers of up to this many bytes are in no budget on a connection that has one at a time.
pub const SHORT: usize = 64 << 10;

/// Bytes of one body beyond these count as those of a long one.
const SHORT_BODY: usize = 64 << 10;

/// A budget of bytes, shared by all connections of a listener. Long bodies get three quarters of it, so that a few
/// of them never keep short ones out.
#[derive(Debug)]
pub struct Bodies {
    most: usize,
    held: AtomicUsize,
    most_long: usize,
    long: AtomicUsize,
}

/// The budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent;

/// The bytes that one request holds; returned when dropped.
#[derive(Debug)]
pub struct HeldBytes {
    bodies: Arc<Bodies>,
    bytes: usize,
}

impl Bodies {
    /// A budget of so many bytes.
    pub fn new(most: usize) -> Arc<Self> {
        Self::with_long(most, most - most / 4)
    }

    /// A budget for answers: all of it may go to long ones.
    pub fn of_answers(most: usize) -> Arc<Self> {
        Self::with_long(most, most)
    }

    fn with_long(most: usize, most_long: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: AtomicUsize::new(0),
            most_long,
            long: AtomicUsize::new(0),
        })
    }

    /// Whether a body of so many bytes does not fit beside the other long ones.
    fn is_too_long(&self, bytes: usize) -> bool {
        let long = long(bytes);
        long > 0 && self.long.load(Relaxed).saturating_add(long) > self.most_long
    }

    /// Bytes that are held now.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Whether more than half of it is held.
    pub fn is_scarce(&self) -> bool {
        self.held() > self.most / 2
    }

    /// Begins a request whose body has `announced` bytes; none of it was read yet.
    ///
    /// # Errors
    /// [`Spent`]: it does not fit.
    pub fn begin(self: &Arc<Self>, announced: usize) -> Result<HeldBytes, Spent> {
        let mut held = HeldBytes {
            bodies: Arc::clone(self),
            bytes: 0,
        };
        if self.held().saturating_add(announced) > self.most || self.is_too_long(announced) {
            return Err(Spent);
        }
        held.grow(REQUEST)?;
        Ok(held)
    }

    /// An answer of this many bytes that counts until its last piece was sent or dropped; `beside` is kept until then, too.
    ///
    /// # Errors
    /// [`Spent`]: it does not fit.
    pub fn answer<T: Send + 'static>(
        self: &Arc<Self>,
        bytes: Bytes,
        beside: T,
    ) -> Result<Bytes, Spent> {
        let mut held = self.begin(bytes.len())?;
        held.grow(bytes.len())?;
        Ok(Bytes::from_owner(HeldAnswer {
            bytes,
            _held: held,
            _beside: beside,
        }))
    }
}

struct HeldAnswer<T> {
    bytes: Bytes,
    _held: HeldBytes,
    _beside: T,
}

impl<T> AsRef<[u8]> for HeldAnswer<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HeldBytes {
    /// Notes that this many more bytes arrived.
    ///
    /// # Errors
    /// [`Spent`]: the budget is exceeded; they count anyway.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Spent> {
        let before = self.bodies.held.fetch_add(bytes, Relaxed);
        let more = long(self.bytes + bytes) - long(self.bytes);
        let before_long = self.bodies.long.fetch_add(more, Relaxed);
        self.bytes += bytes;
        let fits = before.saturating_add(bytes) <= self.bodies.most;
        let fits_long = more == 0 || before_long.saturating_add(more) <= self.bodies.most_long;
        if fits && fits_long {
            Ok(())
        } else {
            Err(Spent)
        }
    }

    /// These bytes, which count until they are dropped.
    #[must_use]
    pub fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(HeldAnswer {
            bytes,
            _held: self,
            _beside: (),
        })
    }

    /// Sets how many bytes it holds now.
    ///
    /// # Errors
    /// [`Spent`]: the budget is exceeded; they count anyway.
    pub fn set(&mut self, bytes: usize) -> Result<(), Spent> {
        let bytes = bytes + REQUEST;
        match bytes.checked_sub(self.bytes) {
            Some(0) => Ok(()),
            Some(more) => self.grow(more),
            None => {
                self.shrink(bytes);
                Ok(())
            }
        }
    }

    fn shrink(&mut self, bytes: usize) {
        self.bodies.held.fetch_sub(self.bytes - bytes, Relaxed);
        let less = long(self.bytes) - long(bytes);
        self.bodies.long.fetch_sub(less, Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// How many of the bytes of a request are those of a long body.
fn long(bytes: usize) -> usize {
    bytes.saturating_sub(SHORT_BODY + REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_ends_at_the_budget_and_is_given_back() {
        let bodies = Bodies::new(10_000);
        let mut first = bodies.begin(9_000).unwrap();
        // Bytes that were only announced take nothing from others.
        let mut second = bodies.begin(9_000).unwrap();
        first.grow(8_000).unwrap();
        assert_eq!(second.grow(8_000), Err(Spent));
        drop(second);
        assert_eq!(bodies.held(), 8_000 + REQUEST);
        assert_eq!(bodies.begin(9_000).unwrap_err(), Spent);
        first.set(100).unwrap();
        assert_eq!(bodies.held(), 100 + REQUEST);
        drop(first);
        assert_eq!(bodies.held(), 0);
    }

    #[test]
    fn long_bodies_keep_no_short_ones_out() {
        let bodies = Bodies::new(1 << 20);
        let mut first = bodies.begin(800_000).unwrap();
        first.grow(800_000).unwrap();
        assert_eq!(bodies.begin(200_000).unwrap_err(), Spent);
        let mut second = bodies.begin(0).unwrap();
        second.grow(60_000).unwrap();
        assert_eq!(second.grow(140_000), Err(Spent));
        drop(second);
        for _ in 0..3 {
            let mut short = bodies.begin(60_000).unwrap();
            short.grow(60_000).unwrap();
        }
        // What shrinks to a short one makes room for others.
        first.set(100).unwrap();
        let mut next = bodies.begin(800_000).unwrap();
        next.grow(800_000).unwrap();
        drop((next, first));
        assert_eq!((bodies.held(), bodies.long.load(Relaxed)), (0, 0));
    }

    #[test]
    fn a_long_answer_counts_until_its_last_piece_is_gone() {
        let answers = Bodies::of_answers(1 << 20);
        let beside = Arc::new(());
        let bytes = Bytes::from(vec![2; 1_000_000]);
        let mut long = answers.answer(bytes, Arc::clone(&beside)).unwrap();
        assert_eq!(answers.held(), 1_000_000 + REQUEST);
        let other = answers.answer(Bytes::from(vec![3; 100_000]), ());
        assert_eq!(other, Err(Spent));
        let piece = long.split_to(1000);
        drop(long);
        assert_eq!(answers.held(), 1_000_000 + REQUEST);
        assert_eq!(Arc::strong_count(&beside), 2);
        drop(piece);
        assert_eq!((answers.held(), Arc::strong_count(&beside)), (0, 1));
    }
}
