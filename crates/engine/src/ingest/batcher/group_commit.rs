//! The committer's loop: takes what the queue releases, makes batches of it, commits them, and answers their writers.

use std::sync::Arc;

use tokio::time::Instant;

use super::Batcher;
use super::measure::CommitTimes;
use crate::health::Health;
use crate::ingest::answer::{AppendError, Appended};
use crate::ingest::commit::{BatchWriters, Commit};
use crate::ingest::in_flight::InFlight;
use crate::ingest::prewrite::{Prewrite, ReadyCommit, prepared, refuse};
use crate::ingest::release::{Next, Released, release};
use crate::ledger::Placed;
use crate::progress::Progress;
use crate::running::Running;
use crate::shard::Shards;
use order::state::State;
use qos::{CommittedWork, Cost, FastWork, Pace, Schedule};

impl Batcher {
    /// Takes the next commit's worth; `None` when closed and empty. `busy`: no more of a backlog. May be dropped at any time.
    async fn next(
        &self,
        health: &Health,
        progress: &Progress,
        busy: bool,
    ) -> Option<Box<Released>> {
        loop {
            let wait = match self.try_next(health, progress, busy) {
                Next::Some(released) => return Some(released),
                Next::Closed => return None,
                Next::None(wait) => wait,
            };
            let woken = async {
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = health.turned.notified() => {}
                }
            };
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, woken).await),
                None => woken.await,
            }
        }
    }

    /// Takes the work that may be committed now.
    fn try_next(&self, health: &Health, progress: &Progress, busy: bool) -> Next {
        let mut queue = self.queue();
        let mut wait = None;
        while !queue.scheduler.is_empty() || !queue.controls.is_empty() {
            let open = if queue.closed || health.trouble().is_some() {
                Cost::MAX // Admission bounds it then.
            } else {
                let entries = progress.metrics.ordered.get();
                let entries = entries.saturating_sub(progress.metrics.published.get());
                let unpublished = Cost::of(entries, progress.pending.bytes() as u64);
                Pace::window(unpublished, &queue.admission.service(), queue.interval)
            };
            let (released, later) = release(&mut queue, self.now(), open, busy);
            wait = later;
            if queue.scheduler.is_empty()
                || (queue.pace.rate_beside_others().is_some() && !queue.scheduler.fast_waits())
            {
                // All waiting work is released, except work that waits for others: more could have been committed.
                queue.admission.rate().idle();
            }
            if !released.jobs.is_empty() || released.control.is_some() {
                self.released.notify_waiters();
                return Next::Some(Box::new(released));
            }
            if released.turns == 0 {
                queue.parked = true;
                return Next::None(wait);
            }
        }
        if queue.closed {
            return Next::Closed;
        }
        queue.admission.rate().idle();
        queue.parked = true;
        Next::None(wait)
    }

    /// Commits queued work, until closed and empty.
    ///
    /// A backlog's large batches are made durable beside the commits, one commit's worth at a time, and go into the first commit after
    /// that, so that only their own writer waits for them.
    pub(crate) async fn run(&self, running: &Running, health: &Health, shards: &Shards) {
        let mut prewrite: Option<Prewrite> = None;
        loop {
            let busy = prewrite.is_some();
            let (mut ready, released) = tokio::select! {
                biased;
                ready = Prewrite::end(&mut prewrite, &running.ledger) => {
                    self.queue().pace.stored(ready.stored);
                    (ready, self.try_next(health, &running.progress, prewrite.is_some()))
                }
                released = self.next(health, &running.progress, busy) => match released {
                    Some(released) => (ReadyCommit::default(), Next::Some(released)),
                    None if !busy => return,
                    None => (Prewrite::end(&mut prewrite, &running.ledger).await, Next::Closed),
                },
            };
            let mut rest = Commit::default();
            if let Next::Some(released) = released {
                let Released {
                    now,
                    jobs,
                    mut classes,
                    elastic,
                    beside_others,
                    control,
                    ..
                } = *released;
                ready.beside_others |= beside_others;
                // Work that belongs behind a backlog that is being prepared stays behind it.
                if let Some(prewrite) = &prewrite {
                    classes.extend(&prewrite.classes);
                }
                let (backlog, others): (Vec<_>, _) = jobs
                    .into_iter()
                    .partition(|job| classes.contains(&(job.tier, job.tenant)));
                rest = Commit::of(&running.ledger, others, now, false, control);
                let backlog = Commit::of(&running.ledger, backlog, now, true, None);
                match &mut prewrite {
                    Some(prewrite) => prewrite.behind.append(backlog),
                    None if backlog.has_objects() => {
                        prewrite =
                            Some(Prewrite::begin(&running.ledger, backlog, elastic, classes));
                    }
                    None => {
                        ready
                            .commit
                            .append(prepared(&running.ledger, backlog).await);
                        ready.elastic += elastic;
                    }
                }
            }
            ready.commit.append(prepared(&running.ledger, rest).await);
            if !ready.commit.is_empty() {
                self.commit(running, shards, ready).await;
            }
        }
    }

    /// Commits prepared work, and answers its writers.
    async fn commit(&self, running: &Running, shards: &Shards, ready: ReadyCommit) {
        let ReadyCommit {
            commit,
            elastic,
            beside_others,
            ..
        } = ready;
        let mut commit = commit.into_commit();
        let (began, started) = (Instant::now(), self.now());
        running.progress.metrics.commits_in_flight.add(1);
        running
            .ledger
            .renew_first_slots(&mut commit.proposals)
            .await;
        let answers = running.ledger.commit_prepared(commit.proposals).await;
        running.progress.metrics.commits_in_flight.sub(1);
        let done = self.now();
        let (mut entries, mut flights) = (0, Vec::new());
        let mut fast: Option<FastWork> = None;
        let mut answers = answers.into_iter();
        let state = running.ledger.state();
        let policy = running.policy.load();
        for (batch, answer) in commit.batches.into_iter().zip(answers.by_ref()) {
            match answer {
                Ok(placed) => {
                    if let Some(target) = policy.tier(batch.tier).latency_target {
                        let oldest = batch.writers.iter().map(|w| w.group.arrived).min();
                        let waited = done.since(oldest.unwrap_or(done));
                        let before = fast.unwrap_or(FastWork { target, waited });
                        fast = Some(FastWork {
                            target: before.target.min(target),
                            waited: before.waited.max(waited),
                        });
                    }
                    let flight = place(shards, &state, &placed, batch);
                    entries += flight.entries;
                    flights.push(flight);
                }
                Err(e) => refuse(&running.ledger, batch, e),
            }
        }
        // This commit has freed its memory: writers that wait for room try again.
        self.released.notify_waiters();
        let times = CommitTimes {
            started,
            work: CommittedWork {
                elastic,
                beside_others,
                fast,
            },
        };
        self.committed(&running.ledger, done, times, flights);
        // A change in these slots, ours or another replica's, runs at once.
        if state.generation != running.now.load().generation
            && let Err(e) = running.update_running().await
        {
            tracing::warn!(error = %e, log = running.ledger.name, "cannot read the configuration");
        }
        if let (Some(reply), Some(answer)) = (commit.control, answers.next()) {
            let _ = reply.send(answer);
        }
        running.progress.metrics.committed(entries, began.elapsed());
    }
}

/// Answers the writers of a batch; returns the record of it that is kept until it is published.
fn place(shards: &Shards, state: &State, placed: &Placed, batch: BatchWriters) -> InFlight {
    let shard = state
        .shard_at(placed.start)
        .and_then(|s| Some((s.start()?, shards.get(state, &s.identity.name)?)));
    let mut flight = InFlight {
        end: placed.start,
        tier: batch.tier,
        entries: 0,
        bytes: batch.bytes,
        released: batch.released,
        groups: Vec::new(),
    };
    for writer in batch.writers {
        let index = placed.start + flight.entries;
        let leaf = shard.as_ref().and_then(|(start, _)| index.leaf(*start));
        let answer = match (&shard, leaf) {
            (Some((_, shard)), Some(leaf_index)) => Ok(Appended {
                index,
                shard: Arc::clone(&shard.name),
                leaf_index,
            }),
            _ => Err(AppendError::Unknown),
        };
        flight.push(writer.group);
        let _ = writer.reply.send(answer);
    }
    flight.end += flight.entries;
    flight
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use bytes::Bytes;
    use logconfig::{LogConfig, LogName, ShardName};

    use super::*;
    use crate::clock::Clock;
    use crate::ingest::commit::Payload;
    use crate::pending::Pending;
    use crate::program::{Program, Trouble};
    use crate::supervise::Faults;
    use qos::Advice;

    /// While publication is stuck, memory alone bounds what waits, so the committer is told at once.
    #[tokio::test(start_paused = true)]
    async fn work_is_released_when_a_program_gets_stuck() {
        let shard = ShardName::try_from("a".to_owned()).unwrap();
        let config = LogConfig::new(LogName::system(), "example.org".to_owned(), shard);
        let clock = Clock::new(ambient::Ambient::unset().time);
        let (batcher, policy) = Batcher::new(&config, clock.clone());
        let (pending, _steps) = Pending::new();
        let progress = Progress::new(Arc::new(pending), Arc::default());
        progress.metrics.ordered.set(1 << 40);
        let health = Health::new(Arc::default(), Arc::default(), clock, Faults::default());
        let grant = policy.grant(policy.own(), &Advice::default());
        let payload = Payload::Entry(Bytes::from_static(b"x"));
        let answer = batcher.submit(
            &policy,
            policy.own(),
            grant,
            None,
            payload,
            (usize::MAX, usize::MAX),
        );
        let _waiting = answer.unwrap();
        let mut next = pin!(batcher.next(&health, &progress, false));
        let shut = tokio::time::timeout(Duration::from_secs(3600), &mut next).await;
        assert!(shut.is_err(), "too much is ordered and not yet published");
        health.set_trouble(Program::Publish, Some(Trouble::new("no answer")));
        let released = tokio::time::timeout(Duration::ZERO, next).await;
        assert_eq!(released.unwrap().unwrap().jobs.len(), 1);
    }
}
