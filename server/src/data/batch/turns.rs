//! Lets one request at a time work on an upload in this process: the newest one.
//!
//! A writer whose connection broke resumes before the server may have noticed, and while chunks of the first attempt are still under way
//! into the order. The new request asks the old one to stop, and waits until its last chunk is decided; only then is it known what was
//! accepted. (It cannot ask a request on another replica: there, the tokens of the parts prevent a second ordering.)

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::UploadId;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Batches under way at a time; each holds a chunk that fills up.
const MOST: usize = 512;
/// How long a new request waits for the chunks of the one before it.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests with one idempotency key that wait for the one that works. Each of them holds a place.
const WAITING: usize = 2;

type Key = (String, UploadId);

/// All batches under way.
#[derive(Debug)]
pub(crate) struct Turns {
    places: Arc<Semaphore>,
    /// Locked for a moment when a request begins or ends.
    uploads: Arc<Mutex<HashMap<Key, Upload>>>,
}

#[derive(Debug)]
struct Upload {
    /// Held by the request that works on it.
    work: Arc<tokio::sync::Mutex<()>>,
    /// Tells the newest request that there is a newer one.
    newer: CancellationToken,
    /// The number of requests that work or wait.
    requests: usize,
}

/// The right to work on an upload; given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _place: OwnedSemaphorePermit,
    upload: Option<(OwnedMutexGuard<()>, Waiting)>,
}

/// A request in the table; leaves it when dropped.
#[derive(Debug)]
struct Waiting {
    uploads: Arc<Mutex<HashMap<Key, Upload>>>,
    key: Key,
    newer: CancellationToken,
}

/// Why a request does not get its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// Too many batches are under way.
    Crowded,
    /// There is a newer request for this upload.
    Superseded,
    /// The request before still waits for its chunks, or others wait for it already.
    Busy,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST)),
            uploads: Arc::default(),
        }
    }
}

impl Turns {
    /// A place for a batch; with an upload, once the request before has come to its end.
    /// `supersede`: the request before is asked to stop.
    pub(super) async fn take(
        &self,
        log: &str,
        upload: Option<UploadId>,
        supersede: bool,
    ) -> Result<Turn, NoTurn> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| NoTurn::Crowded)?;
        let Some(id) = upload else {
            return Ok(Turn {
                _place: place,
                upload: None,
            });
        };
        let (work, waiting) = self.enter((log.to_owned(), id), supersede)?;
        let guard = tokio::select! {
            biased;
            () = waiting.newer.cancelled() => return Err(NoTurn::Superseded),
            guard = tokio::time::timeout(TURN_TIMEOUT, work.lock_owned()) => {
                guard.map_err(|_| NoTurn::Busy)?
            }
        };
        Ok(Turn {
            _place: place,
            upload: Some((guard, waiting)),
        })
    }

    /// Whether so many places are taken that a slow request must give up its place.
    pub(super) fn are_scarce(&self) -> bool {
        self.places.available_permits() < MOST / 2
    }

    fn enter(
        &self,
        key: Key,
        supersede: bool,
    ) -> Result<(Arc<tokio::sync::Mutex<()>>, Waiting), NoTurn> {
        let newer = CancellationToken::new();
        let mut uploads = lock(&self.uploads);
        let upload = uploads.entry(key.clone()).or_insert_with(|| Upload {
            work: Arc::default(),
            newer: CancellationToken::new(),
            requests: 0,
        });
        if !supersede && upload.requests > WAITING {
            return Err(NoTurn::Busy);
        }
        if supersede {
            std::mem::replace(&mut upload.newer, newer.clone()).cancel();
        }
        upload.requests += 1;
        let waiting = Waiting {
            uploads: Arc::clone(&self.uploads),
            key,
            newer,
        };
        Ok((Arc::clone(&upload.work), waiting))
    }
}

impl Turn {
    /// Cancelled when a newer request for the same upload came.
    pub(super) fn newer(&self) -> CancellationToken {
        match &self.upload {
            Some((_, waiting)) => waiting.newer.clone(),
            None => CancellationToken::new(),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut uploads = lock(&self.uploads);
        if let Some(upload) = uploads.get_mut(&self.key) {
            upload.requests -= 1;
            if upload.requests == 0 {
                uploads.remove(&self.key);
            }
        }
    }
}

fn lock(uploads: &Mutex<HashMap<Key, Upload>>) -> std::sync::MutexGuard<'_, HashMap<Key, Upload>> {
    uploads.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: UploadId = UploadId([7; 16]);

    #[tokio::test]
    async fn the_newest_request_goes_on_when_the_one_before_has_stopped() {
        let turns = Turns::default();
        let first = turns.take("a", Some(ID), true).await.unwrap();
        let other = turns.take("b", Some(ID), true).await.unwrap();
        let mut second = Box::pin(turns.take("a", Some(ID), true));
        assert!(futures_util::poll!(&mut second).is_pending());
        first.newer().cancelled().await;
        let mut third = Box::pin(turns.take("a", Some(ID), true));
        assert!(futures_util::poll!(&mut third).is_pending());
        assert_eq!(second.await.unwrap_err(), NoTurn::Superseded);
        drop(first);
        let third = third.await.unwrap();
        assert!(!third.newer().is_cancelled() && !other.newer().is_cancelled());
        drop((third, other));
        assert!(lock(&turns.uploads).is_empty());
        assert_eq!(turns.places.available_permits(), MOST);
    }

    #[tokio::test]
    async fn repeats_under_one_key_wait_for_each_other() {
        let turns = Turns::default();
        let first = turns.take("a", Some(ID), false).await.unwrap();
        let mut second = Box::pin(turns.take("a", Some(ID), false));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(!first.newer().is_cancelled());
        drop(first);
        drop(second.await.unwrap());
        assert!(lock(&turns.uploads).is_empty());
    }

    #[tokio::test]
    async fn repeats_under_one_key_take_few_places() {
        let turns = Turns::default();
        let first = turns.take("a", Some(ID), false).await.unwrap();
        let mut others: Vec<_> = (0..2)
            .map(|_| Box::pin(turns.take("a", Some(ID), false)))
            .collect();
        for other in &mut others {
            assert!(futures_util::poll!(other).is_pending());
        }
        let mut more = Box::pin(turns.take("a", Some(ID), false));
        let told = futures_util::poll!(&mut more).map(Result::unwrap_err);
        assert_eq!(told, std::task::Poll::Ready(NoTurn::Busy));
        assert_eq!(turns.places.available_permits(), MOST - 3);
        assert!(turns.take("b", Some(ID), false).await.is_ok());
        drop(first);
        for other in others {
            drop(other.await.unwrap());
        }
        assert!(lock(&turns.uploads).is_empty());
    }

    #[tokio::test]
    async fn places_are_bounded() {
        let turns = Turns::default();
        let mut taken = Vec::new();
        for _ in 0..MOST {
            taken.push(turns.take("a", None, true).await.unwrap());
        }
        assert_eq!(
            turns.take("a", None, true).await.unwrap_err(),
            NoTurn::Crowded
        );
        taken.pop();
        assert!(turns.take("a", None, true).await.is_ok());
    }
}
