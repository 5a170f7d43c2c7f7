//! Memory for bodies that nothing vouches for yet: incomplete packages and manifests.
//!
//! The sender of a body is known only once the body is whole, by its proof or its signature. So such bodies have half of the memory for bodies. When
//! it is full, the body that has held the most bytes for the longest time is ended, not the new one: a sender at network speed holds its bytes only
//! for a moment. What must never happen: an unauthenticated sender keeps a log from being copied with requests that it never ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use plane_http::{HeldBytes, Spent};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub(super) struct Unproven {
    most: usize,
    /// Locked for a moment when bytes come or go.
    bodies: Mutex<Bodies>,
}

#[derive(Debug, Default)]
struct Bodies {
    next: u64,
    held: usize,
    all: BTreeMap<u64, Body>,
}

#[derive(Debug)]
struct Body {
    bytes: usize,
    /// When the body began, or when a part of it was last proven.
    since: Instant,
    ended: CancellationToken,
}

/// The memory of one body; given back when dropped.
#[derive(Debug)]
pub(super) struct Room {
    unproven: Arc<Unproven>,
    number: u64,
    ended: CancellationToken,
    held: HeldBytes,
}

impl Body {
    fn weight(&self, now: Instant) -> u128 {
        let kept = now.saturating_duration_since(self.since).as_millis() + 1;
        kept * self.bytes as u128
    }
}

impl Bodies {
    fn set(&mut self, number: u64, bytes: usize, most: usize) {
        let Some(body) = self.all.get_mut(&number) else {
            return;
        };
        self.held = self.held - body.bytes + bytes;
        body.bytes = bytes;
        let now = Instant::now();
        while self.held > most {
            let all = self.all.iter();
            let worst = all.max_by_key(|(_, body)| body.weight(now));
            // A body that is alone takes nothing from others.
            let Some((&number, _)) = worst.filter(|(_, body)| body.bytes < self.held) else {
                return;
            };
            if let Some(body) = self.remove(number) {
                body.ended.cancel();
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<Body> {
        let body = self.all.remove(&number)?;
        self.held -= body.bytes;
        Some(body)
    }
}

impl Unproven {
    /// Half of the memory for bodies.
    pub(super) fn new(bodies: usize) -> Arc<Self> {
        Arc::new(Self {
            most: bodies / 2,
            bodies: Mutex::default(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Bodies> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A body begins, with this part of the memory for all bodies.
    pub(super) fn begin(self: &Arc<Self>, held: HeldBytes) -> Room {
        let ended = CancellationToken::new();
        let mut bodies = self.lock();
        let number = bodies.next;
        bodies.next += 1;
        let body = Body {
            bytes: 0,
            since: Instant::now(),
            ended: ended.clone(),
        };
        bodies.all.insert(number, body);
        Room {
            unproven: Arc::clone(self),
            number,
            ended,
            held,
        }
    }
}

impl Room {
    /// Sets how many bytes it holds now.
    ///
    /// # Errors
    /// [`Spent`]: the memory for all bodies is exceeded, or this one has held the most bytes for the longest time.
    pub(super) fn set(&mut self, bytes: usize) -> Result<(), Spent> {
        self.unproven
            .lock()
            .set(self.number, bytes, self.unproven.most);
        self.held.set(bytes)?;
        if self.ended.is_cancelled() {
            return Err(Spent);
        }
        Ok(())
    }

    /// The arrived bytes are being checked. This time is the server's and does not count against the sender.
    pub(super) fn begin_check(&self) {
        self.unproven.lock().set(self.number, 0, usize::MAX);
    }

    /// Notes that a part of it was proven.
    pub(super) fn proven(&self) {
        if let Some(body) = self.unproven.lock().all.get_mut(&self.number) {
            body.since = Instant::now();
        }
    }

    /// Resolves when the room is wanted for others.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.unproven.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn begin(unproven: &Arc<Unproven>) -> Room {
        unproven.begin(plane_http::Bodies::new(1 << 20).begin(0).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_kept_most_for_longest_ends() {
        let unproven = Unproven::new(200);
        let second = || tokio::time::advance(Duration::from_secs(1));
        let (mut large, mut small) = (begin(&unproven), begin(&unproven));
        large.set(60).unwrap();
        small.set(10).unwrap();
        second().await;
        let mut newest = begin(&unproven);
        newest.set(50).unwrap();
        assert_eq!(large.set(60), Err(Spent));
        large.ended().await;
        drop(large);
        small.set(10).unwrap();
        // A body that was proven in parts has held the rest only for a moment.
        second().await;
        newest.begin_check();
        newest.proven();
        newest.set(80).unwrap();
        small.set(20).unwrap();
        second().await;
        newest.proven();
        let mut other = begin(&unproven);
        other.set(1).unwrap();
        newest.set(80).unwrap();
        assert_eq!(small.set(20), Err(Spent));
        // Alone it may have more: a package is as long as it is.
        drop((small, other));
        newest.set(150).unwrap();
        drop(newest);
        let bodies = unproven.lock();
        assert_eq!((bodies.held, bodies.all.len()), (0, 0));
    }
}
