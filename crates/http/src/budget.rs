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

/// A budget of bytes, shared by all connections of a listener.
#[derive(Debug)]
pub struct Bodies {
    most: usize,
    held: AtomicUsize,
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
        Arc::new(Self {
            most,
            held: AtomicUsize::new(0),
        })
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
        if self.held().saturating_add(announced) > self.most {
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
        self.bytes += bytes;
        if before.saturating_add(bytes) > self.bodies.most {
            return Err(Spent);
        }
        Ok(())
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
                self.bodies.held.fetch_sub(self.bytes - bytes, Relaxed);
                self.bytes = bytes;
                Ok(())
            }
        }
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.bodies.held.fetch_sub(self.bytes, Relaxed);
    }
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
    fn a_long_answer_counts_until_its_last_piece_is_gone() {
        let answers = Bodies::new(1 << 20);
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
