//! A few threads that do what waits, one piece after the other: under load, no thread has to be woken for a piece of work.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// The work panicked, or its runtime ended before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was cut short")]
pub struct CutShort;

/// Threads for work that would hold up other tasks, at most so many at a time. They are blocking threads of the runtime that asks.
pub struct Crew {
    most: usize,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Work>,
    /// Threads that work, or are about to.
    threads: usize,
}

/// One of the threads. However it ends, it is not counted any more.
struct Hand {
    crew: Arc<Crew>,
    is_counted: Arc<AtomicBool>,
}

impl Crew {
    /// A crew of at most so many threads.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            line: Mutex::default(),
        })
    }

    /// Does the work on another thread, in its turn. Once it waits, it needs no polling; where the caller has gone before its turn, it is
    /// dropped.
    ///
    /// # Errors
    /// [`CutShort`] when there is no outcome.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CutShort> {
        let (outcome, done) = oneshot::channel();
        let work = Box::new(move || {
            if !outcome.is_closed() {
                let _gone = outcome.send(work());
            }
        });
        let starts = {
            let mut line = self.line();
            line.waiting.push_back(work);
            let starts = line.threads < self.most;
            line.threads += usize::from(starts);
            starts
        };
        if starts {
            let hand = Hand {
                crew: Arc::clone(self),
                is_counted: Arc::new(AtomicBool::new(true)),
            };
            let is_counted = Arc::clone(&hand.is_counted);
            let start = || drop(tokio::task::spawn_blocking(move || hand.work()));
            // Tokio panics where the system gives it no thread, and keeps the hand.
            if catch_unwind(AssertUnwindSafe(start)).is_err() {
                self.uncount(&is_counted);
            }
        }
        done.await.map_err(|_| CutShort)
    }

    /// Stops counting a thread that never began, or ends early. If it was the only one, the work that waits is dropped: its callers get
    /// [`CutShort`].
    fn uncount(&self, is_counted: &AtomicBool) {
        let mut cut_short = VecDeque::new();
        let mut line = self.line();
        if is_counted.swap(false, Relaxed) {
            line.threads -= 1;
            if line.threads == 0 {
                cut_short = std::mem::take(&mut line.waiting);
            }
        }
        drop(line);
        drop(cut_short);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    /// Works until nothing waits.
    fn work(self) {
        while let Some(work) = self.next() {
            // After a panic the caller gets `CutShort`.
            let _panicked = catch_unwind(AssertUnwindSafe(work));
        }
    }

    /// The next piece of work. Where there is none, the thread stops counting in the same step: what comes later starts another one.
    fn next(&self) -> Option<Work> {
        let mut line = self.crew.line();
        if !self.is_counted.load(Relaxed) {
            return None;
        }
        let next = line.waiting.pop_front();
        if next.is_none() {
            line.threads -= 1;
            self.is_counted.store(false, Relaxed);
        }
        next
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.crew.uncount(&self.is_counted);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::{Context, Poll, Waker};

    use super::*;

    async fn until(done: impl Fn() -> bool) {
        while !done() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_work_is_done_by_a_few_threads_and_none_stays() {
        let crew = Crew::new(3);
        let at_once = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let all = (0..500).map(|number| {
            let (crew, at_once) = (Arc::clone(&crew), Arc::clone(&at_once));
            tokio::spawn(async move {
                let work = move || {
                    let now = at_once.0.fetch_add(1, SeqCst) + 1;
                    at_once.1.fetch_max(now, SeqCst);
                    std::thread::yield_now();
                    at_once.0.fetch_sub(1, SeqCst);
                    number
                };
                crew.run(work).await
            })
        });
        for (number, work) in all.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(work.await.unwrap(), Ok(number));
        }
        assert!(at_once.1.load(SeqCst) <= 3);
        until(|| crew.line().threads == 0).await;
    }

    #[tokio::test]
    async fn work_that_panics_takes_no_other_work_with_it() {
        let crew = Crew::new(1);
        let panics = crew.run::<()>(|| panic!("for the test"));
        let (panicked, other) = tokio::join!(panics, crew.run(|| 1));
        assert_eq!((panicked, other), (Err(CutShort), Ok(1)));
    }

    #[tokio::test]
    async fn work_is_done_without_polling_and_left_out_for_who_has_gone() {
        let crew = Crew::new(1);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let done = Arc::new(AtomicUsize::new(0));
        let count = |by: usize| {
            let done = Arc::clone(&done);
            move || {
                done.fetch_add(by, SeqCst);
            }
        };
        let mut first = Box::pin(crew.run(move || wait.recv().is_ok()));
        let (mut left, mut unpolled) =
            (Box::pin(crew.run(count(1))), Box::pin(crew.run(count(10))));
        assert!(poll(first.as_mut()).is_pending());
        for work in [&mut left, &mut unpolled] {
            assert!(poll(work.as_mut()).is_pending());
        }
        drop(left);
        go.send(()).unwrap();
        until(|| done.load(SeqCst) > 0).await;
        until(|| crew.line().threads == 0).await;
        assert_eq!(done.load(SeqCst), 10);
        assert_eq!(unpolled.await, Ok(()));
    }

    fn poll<F: Future>(work: Pin<&mut F>) -> Poll<F::Output> {
        work.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// A thread that its runtime never runs takes what waits for it with it, and later work gets another one.
    #[tokio::test]
    async fn a_runtime_that_ends_leaves_nobody_waiting() {
        let crew = Crew::new(1);
        let unrun = Hand {
            crew: Arc::clone(&crew),
            is_counted: Arc::new(AtomicBool::new(true)),
        };
        crew.line().threads = 1;
        let mut waits = Box::pin(crew.run(|| 1));
        assert!(poll(waits.as_mut()).is_pending());
        drop(unrun);
        assert_eq!(waits.await, Err(CutShort));
        assert_eq!(crew.run(|| 2).await, Ok(2));
    }
}
