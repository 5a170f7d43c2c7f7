//! The protocol of other systems: one head, which is read, then swapped if it did not change meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{COMMITTERS, OPERATION, WORK};

/// Commits a second, of so many committers. `again`: the work of a commit is repeated after each lost race, because it depends on the head;
/// else once.
pub(super) async fn swapped(again: bool, time: Duration) -> Result<f64> {
    let head = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + time;
    let mut tasks = Vec::new();
    for _ in 0..COMMITTERS {
        let head = Arc::clone(&head);
        tasks.push(tokio::spawn(async move {
            let mut commits = 0_u64;
            while Instant::now() < end {
                if !again {
                    tokio::time::sleep(WORK).await;
                }
                loop {
                    tokio::time::sleep(OPERATION).await;
                    let before = head.load(SeqCst);
                    if again {
                        tokio::time::sleep(WORK).await;
                    }
                    tokio::time::sleep(OPERATION).await;
                    let swapped = head.compare_exchange(before, before + 1, SeqCst, SeqCst);
                    if swapped.is_ok() && Instant::now() < end {
                        commits += 1;
                    }
                    if swapped.is_ok() || Instant::now() >= end {
                        break;
                    }
                }
            }
            commits
        }));
    }
    let mut commits = 0;
    for task in tasks {
        commits += task.await?;
    }
    Ok(commits as f64 / time.as_secs_f64())
}
