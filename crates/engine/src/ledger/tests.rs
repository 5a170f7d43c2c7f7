//! The order under faults: several committers on one store that loses, delays and doubles writes. Time is virtual.
//!
//! The oracle is the slots themselves, read back and replayed through the transition function: every acknowledged work is in
//! them once and where the answer said, every rejected one is not and never will be.

use std::sync::Arc;
use std::time::Duration;

use crate::AppendError;
use crate::ledger::Ledger;
use order::answer::{CommitError, Placed, settle};
use order::chunk::UploadId;
use order::keys::Keys;
use order::location::Location;
use order::location::LocationRow;
use order::proposal::Proposal;
use order::propose::propose;
use order::samples::*;
use order::slot::{BatchRef, Control, Decision};
use order::state::{Intake, Refusal};
use order::token::Tokens;
use order::work::{Announcement, Work};
use order::{Generation, MAX_BATCHES, MAX_SLOT, SlotNumber, WINDOW};
use std::collections::BTreeMap;
use store::fault::{Fault, Faults, FaultyCoordination};
use store::record;
use store::{Coordination, MemoryObjects};
use store::{MemoryCoordination, StoreError};
use tlog::{GlobalIndex, UnixMillis};

fn committer(store: Arc<dyn Coordination>) -> Ledger {
    Ledger::alone("t", (store, Arc::new(MemoryObjects::new())))
        .unwrap()
        .0
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_the_store_does_answers_are_true() {
    for seed in 1..=60u64 {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Arc::new(Tokens::new([1; 6]));
    let first = committer(Arc::clone(&memory) as _);
    first
        .commit(vec![control(open(&tokens, Generation::ZERO, "s0"))])
        .await
        .remove(0)
        .unwrap();
    let mut all_faults = Vec::new();
    let mut tasks = Vec::new();
    for who in 0..4u64 {
        let faults = Faults::new();
        let mut dice = Random(seed * 1_000 + who + 1);
        faults.plan(move |_, operation| {
            let hit = dice.below(10) < 3;
            (hit && operation.writes()).then(|| match dice.below(5) {
                0 => Fault::Lose,
                1 => Fault::Unknown,
                2 => Fault::Hold,
                3 => Fault::Fail(StoreError::Io("injected".into())),
                _ => Fault::full(),
            })
        });
        all_faults.push(faults.clone());
        let order = committer(Arc::new(FaultyCoordination::new(
            Arc::clone(&memory) as _,
            faults,
        )));
        let (tokens, rows) = (Arc::clone(&tokens), Arc::clone(&memory));
        let mut dice = Random(seed * 77 + who + 1);
        tasks.push(tokio::spawn(async move {
            let mut answers: Vec<(Work, Result<Placed, CommitError>)> = Vec::new();
            for i in 0..25 {
                let mut mine = vec![batch(&tokens, &format!("{who} {i}"))];
                if dice.below(3) == 0 {
                    // The active shard as this one knows it, or the one after it.
                    let generation =
                        Generation::new(order.state().generation.get() + dice.below(2));
                    let name = format!("s{}", generation.before());
                    mine.push(with(batch(&tokens, &format!("{who} if {i}")), |b| {
                        b.shard = Some(name.clone());
                    }));
                }
                if dice.below(2) == 0 {
                    // All send the same parts, some with other entries.
                    let (part, text) = (dice.below(20), dice.below(5) / 4);
                    if let Some(mine_too) = part_of(&order, &rows, &tokens, part, text).await {
                        mine.push(mine_too);
                    }
                }
                if who == 0 && dice.below(4) == 0 {
                    let _ = order.refresh().await;
                    let state = order.state();
                    mine.push(control(match (dice.below(3), state.intake) {
                        (_, Intake::Frozen { .. }) => decision(&tokens, Control::Unfreeze),
                        (0, _) => decision(&tokens, Control::Freeze),
                        _ => open(&tokens, state.generation, &format!("s{}", state.generation)),
                    }));
                }
                let works: Vec<Work> = mine.iter().map(|m| m.work.clone()).collect();
                answers.extend(works.into_iter().zip(order.commit(mine).await));
                tokio::task::yield_now().await;
            }
            answers
        }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await.unwrap());
    }
    let (before, _) = replay(&memory.rows());
    for faults in &all_faults {
        faults.clear();
        faults.release().await; // The zombies land.
    }
    // The log continues, so that late announcements get their chance.
    let last = committer(Arc::clone(&memory) as _);
    for i in 0..5 {
        let _ = last
            .commit(vec![control(decision(&tokens, Control::Unfreeze))])
            .await;
        last.commit(vec![batch(&tokens, &format!("after {i}"))])
            .await
            .remove(0)
            .unwrap();
    }
    let (slots, _) = replay(&memory.rows());
    assert_eq!(
        slots[..before.len()],
        before,
        "seed {seed}: a decided slot changed"
    );
    for (work, answer) in answers {
        let part = work.batch().and_then(BatchRef::part);
        let times = times(&slots, work.token());
        match answer {
            Ok(placed) => {
                let slot = &slots[usize::try_from(placed.slot.number.get()).unwrap()];
                if let (Some(part), Some(batch)) = (part, work.batch()) {
                    let of = |b: &&BatchRef| b.part() == Some(part);
                    let all: Vec<_> = slots.iter().flat_map(|s| &s.batches).filter(of).collect();
                    assert_eq!(all.len(), 1, "seed {seed}: {part:?}");
                    assert_eq!(all[0].digest, batch.digest, "seed {seed}: {part:?}");
                    let start = slot.placed().find(|(_, b)| of(b)).map(|(at, _)| at);
                    assert_eq!(start, Some(placed.start), "seed {seed}");
                    continue;
                }
                assert_eq!(times, 1, "seed {seed}: acknowledged {work:?}");
                if let Work::Batch(batch) = &work {
                    let start = slot.placed().find(|(_, b)| b == &batch).map(|(at, _)| at);
                    assert_eq!(start, Some(placed.start), "seed {seed}");
                    assert!(
                        memory
                            .rows()
                            .contains_key(&Keys::new("t").batch(batch.token)),
                        "seed {seed}: ordered, not durable"
                    );
                }
            }
            Err(CommitError::Refused(Refusal::Already(_))) => assert_eq!(times, 1, "seed {seed}"),
            Err(
                CommitError::Frozen
                | CommitError::WrongShard
                | CommitError::Taken(_)
                | CommitError::Overtaken
                | CommitError::Refused(_)
                | CommitError::Store(_),
            ) => {
                assert_eq!(times, 0, "seed {seed}: rejected, yet ordered: {work:?}");
            }
            Err(CommitError::Unknown(_)) => assert!(times <= 1, "seed {seed}"),
            Err(CommitError::AskAgain) => panic!("seed {seed}: no window has passed"),
        }
    }
    // Each part that is ordered has its row, and nothing else has one.
    let keys = Keys::new("t");
    let mut places = BTreeMap::new();
    for slot in &slots {
        for (index, batch) in slot.placed() {
            if let Some(place) = &batch.location {
                let row = LocationRow {
                    slot: slot.number,
                    index,
                    entries: batch.entries,
                    time: slot.time,
                    digest: batch.digest,
                };
                places.insert(keys.placed(place, batch.token), record::encode(&row));
            }
        }
    }
    let mut rows = memory.rows();
    rows.retain(|key, _| key.starts_with(&keys.all_placed()));
    assert_eq!(rows, places, "seed {seed}");
    assert!(!places.is_empty(), "seed {seed}: no part was ordered");
}

/// A part of an upload, as its author makes it: its first slot is read before the row is found absent.
async fn part_of(
    order: &Ledger,
    rows: &MemoryCoordination,
    tokens: &Tokens,
    offset: u64,
    text: u64,
) -> Option<Proposal> {
    let (first_slot, place) = (order.state().len, upload(offset));
    let mine = with(batch(tokens, &format!("part {offset} {text}")), |b| {
        b.location = Some(place);
    });
    let key = order.keys.placed(&place, mine.work.token());
    let absent = rows.get(&key).await.unwrap().is_none();
    absent.then_some(Proposal {
        first_slot: Some(first_slot),
        ..mine
    })
}

/// An author who was away for longer than the filter reaches asks again; the filter's last slot still counts.
#[tokio::test(start_paused = true)]
async fn nothing_is_proposed_over_slots_that_nobody_looked_into() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new([1; 6]);
    let order = committer(Arc::clone(&memory) as _);
    let first = control(open(&tokens, Generation::ZERO, "a"));
    order.commit(vec![first]).await.remove(0).unwrap();
    for i in 1..=WINDOW {
        let more = batch(&tokens, &format!("{i}"));
        order.commit(vec![more]).await.remove(0).unwrap();
    }
    let part = |first_slot: u64| Proposal {
        first_slot: Some(SlotNumber::new(first_slot)),
        ..with(batch(&tokens, "part"), |b| {
            b.location = Some(upload(first_slot))
        })
    };
    assert_eq!(order.state().len, SlotNumber::new(WINDOW + 1));
    let before = memory.rows();
    let late = order.commit(vec![part(0)]).await.remove(0);
    assert!(matches!(late, Err(CommitError::AskAgain)), "{late:?}");
    assert_eq!(memory.rows(), before, "nothing was written");
    let placed = order.commit(vec![part(1)]).await.remove(0).unwrap();
    assert_eq!(placed.slot.number, SlotNumber::new(WINDOW + 1));
    // So does one that slept through the window in the middle of a commit: its announcement may have been ordered unseen.
    let (_, view) = replay(&memory.rows());
    let asleep = |first, looked| settle(&view, &batch(&tokens, "z"), first, looked);
    assert!(matches!(
        asleep(SlotNumber::ZERO, SlotNumber::new(1)),
        Some(Err(CommitError::AskAgain))
    ));
    // One that was awake knows that it was passed over: its announcement counts no more, and it makes no other.
    assert!(matches!(
        asleep(SlotNumber::new(1), SlotNumber::new(2)),
        Some(Err(CommitError::Overtaken))
    ));
    assert!(asleep(SlotNumber::new(2), SlotNumber::new(2)).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_loser_is_carried_by_the_winner() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new([1; 6]);
    let winner = committer(Arc::clone(&memory) as _);
    winner
        .commit(vec![control(open(&tokens, Generation::ZERO, "a"))])
        .await
        .remove(0)
        .unwrap();
    // A stopped committer: its announcement is in the bag, it never proposes again.
    let stopped = batch(&tokens, "stopped");
    let keys = Keys::new("t");
    memory
        .transact(store::Transaction {
            puts: vec![
                (keys.batch(stopped.work.token()), stopped.bytes.clone()),
                (
                    keys.announcement(SlotNumber::new(1), stopped.work.token()),
                    record::encode(&stopped.work),
                ),
            ],
            ..Default::default()
        })
        .await;
    winner
        .commit(vec![batch(&tokens, "winner")])
        .await
        .remove(0)
        .unwrap();
    let (slots, _) = replay(&memory.rows());
    assert_eq!(slots[1].batches.len(), 2);
    assert_eq!(
        slots[1].batches[0].token,
        stopped.work.token(),
        "announced work goes first"
    );
    assert!(
        !memory.rows().keys().any(|k| k.starts_with(&keys.bag())),
        "the bag is emptied by the slot that orders it"
    );
}

/// A commit of more batches than fit into a slot takes several, in its order.
#[tokio::test(start_paused = true)]
async fn more_than_a_slot_holds_goes_into_several() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new([1; 6]);
    let order = committer(Arc::clone(&memory) as _);
    let first = vec![control(open(&tokens, Generation::ZERO, "a"))];
    order.commit(first).await.remove(0).unwrap();
    let count = 2 * MAX_BATCHES + 1;
    let mine = (0..count).map(|i| batch(&tokens, &format!("{i}")));
    let answers = order.commit(mine.collect()).await;
    let starts: Vec<u64> = answers
        .into_iter()
        .map(|a| a.unwrap().start.get())
        .collect();
    assert_eq!(starts, (0..count as u64).collect::<Vec<_>>());
    let (slots, view) = replay(&memory.rows());
    assert_eq!((slots.len(), view.state.size.get()), (4, count as u64));
}

/// A slot takes what fits into its record; the rest goes into the next one, in order. Two servers, each with hundreds of batches for one
/// shard with a long name, all announced at the same time.
#[tokio::test(start_paused = true)]
async fn a_slot_is_never_larger_than_a_value_of_the_store() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Arc::new(Tokens::new([1; 6]));
    let name = "s".repeat(63);
    let first = control(open(&tokens, Generation::ZERO, &name));
    let order = committer(Arc::clone(&memory) as _);
    order.commit(vec![first]).await.remove(0).unwrap();
    let load = |who: &str| -> Vec<Proposal> {
        let one = |i| {
            with(batch(&tokens, &format!("{who} {i}")), |b| {
                b.shard = Some(name.clone());
                // Each the first part of an upload of its own.
                let mut id = [0; 16];
                id.copy_from_slice(&record::digest(format!("{who} {i}").as_bytes()).0[..16]);
                let (id, offset) = (UploadId(id), 0);
                b.location = Some(Location::Upload { id, offset });
            })
        };
        (0..300).map(one).collect()
    };
    let mut tasks = Vec::new();
    for who in ["a", "b"] {
        let (order, load) = (committer(Arc::clone(&memory) as _), load(who));
        tasks.push(tokio::spawn(async move {
            order.refresh().await.unwrap();
            tokio::time::timeout(Duration::from_secs(60), order.commit(load)).await
        }));
    }
    for task in tasks {
        for answer in task.await.unwrap().expect("no progress") {
            answer.unwrap();
        }
    }
    let largest = |prefix: String| {
        let rows = memory.rows().into_iter();
        let rows = rows.filter(|(key, _)| key.starts_with(&prefix));
        rows.map(|(_, row)| row.len()).max().unwrap()
    };
    assert!(largest(order.keys.slots()) <= MAX_SLOT);
    let (slots, view) = replay(&memory.rows());
    assert_eq!(view.state.size, GlobalIndex::new(600));
    assert!(slots.iter().any(|slot| slot.batches.len() > 100));
}

/// A control that no slot has room for is refused to its author at once, and one that is announced anyway is passed over.
#[tokio::test(start_paused = true)]
async fn a_control_that_fits_no_slot_is_refused_and_stops_nobody() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new([1; 6]);
    let order = committer(Arc::clone(&memory) as _);
    let first = control(open(&tokens, Generation::ZERO, "a"));
    order.commit(vec![first]).await.remove(0).unwrap();
    let huge = control(Decision {
        actor: "x".repeat(MAX_SLOT - 500),
        ..decision(&tokens, Control::Freeze)
    });
    let announced = order::writes::announce(&order.keys, SlotNumber::new(1), &[&huge]);
    let announced = memory.transact(announced).await;
    assert!(matches!(announced, store::Outcome::Committed));
    let before = memory.rows();
    let refused = order.commit(vec![huge]).await.remove(0);
    assert!(
        matches!(
            refused,
            Err(CommitError::Store(StoreError::TooLarge { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(memory.rows(), before, "nothing was written");
    let more = batch(&tokens, "more");
    order.commit(vec![more]).await.remove(0).unwrap();
}

/// Announcements that count no more do not hide those behind them.
#[tokio::test(start_paused = true)]
async fn live_work_behind_a_backlog_of_dead_is_found() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new([1; 6]);
    let helper = committer(Arc::clone(&memory) as _);
    let first = control(open(&tokens, Generation::ZERO, "a"));
    helper.commit(vec![first]).await.remove(0).unwrap();
    let dead = |i: u32| {
        with(batch(&tokens, &format!("{i}")), |b| {
            b.shard = Some("never".to_owned());
        })
    };
    let mut works: Vec<Proposal> = (0..4100).map(dead).collect();
    works.push(batch(&tokens, "alive"));
    let mine: Vec<&Proposal> = works.iter().collect();
    let announced = order::writes::announce(&helper.keys, SlotNumber::new(1), &mine);
    memory.transact(announced).await;
    helper.help().await.unwrap();
    assert_eq!(helper.state().size, GlobalIndex::new(1));
}

/// A store that stalls for long and then answers is no reason to give up: what piled up behind it is ordered.
#[tokio::test(start_paused = true)]
async fn what_piled_up_behind_a_stall_is_ordered() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new([1; 6]);
    let first = control(open(&tokens, Generation::ZERO, "a"));
    let order = committer(Arc::clone(&memory) as _);
    order.commit(vec![first]).await.remove(0).unwrap();
    let faults = Faults::new();
    faults.plan(|_, _| Some(Fault::Stall));
    let store = Arc::new(FaultyCoordination::new(
        Arc::clone(&memory) as _,
        faults.clone(),
    ));
    let mut waiting = Vec::new();
    for i in 0..20 {
        let slow = committer(Arc::clone(&store) as _);
        let work = batch(&tokens, &format!("{i}"));
        waiting.push(tokio::spawn(async move {
            // Its read is the first to stall.
            slow.refresh().await.unwrap();
            slow.commit(vec![work]).await.remove(0)
        }));
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        faults.release().await;
    }
    faults.clear();
    tokio::time::sleep(Duration::from_secs(30)).await;
    faults.release().await;
    for task in waiting {
        task.await.unwrap().unwrap();
    }
}

/// A writer that is told of a halt sends its entry elsewhere: so only what was never written gets that answer.
#[tokio::test(start_paused = true)]
async fn a_halt_refuses_only_what_was_never_written() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new([1; 6]);
    let first = control(open(&tokens, Generation::ZERO, "a"));
    let order = committer(Arc::clone(&memory) as _);
    order.commit(vec![first]).await.remove(0).unwrap();
    let faults = Faults::new();
    faults.every_write(Fault::Lose);
    let store = FaultyCoordination::new(Arc::clone(&memory) as _, faults.clone());
    let slow = Arc::new(committer(Arc::new(store)));
    slow.refresh().await.unwrap();
    let (work, other) = (Arc::clone(&slow), batch(&tokens, "other"));
    let proposed = tokio::spawn(async move { work.commit(vec![other]).await.remove(0) });
    tokio::time::sleep(Duration::from_millis(10)).await;
    slow.halt.halt("a test");
    let error = proposed.await.unwrap().unwrap_err();
    assert!(matches!(error, CommitError::Unknown(_)), "{error:?}");
    assert_eq!(slow.append_error(error), AppendError::Unknown);
    let never = slow.commit(vec![batch(&tokens, "never")]).await.remove(0);
    let reason = "a test".to_owned();
    let refused = slow.append_error(never.unwrap_err());
    assert_eq!(refused, AppendError::Halted { reason });
}

/// However many wait, a slot is filled from the oldest on, and a control behind them all is not passed over.
#[tokio::test(start_paused = true)]
async fn a_control_behind_a_backlog_is_found() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new([1; 6]);
    let helper = committer(Arc::clone(&memory) as _);
    let first = control(open(&tokens, Generation::ZERO, "a"));
    helper.commit(vec![first]).await.remove(0).unwrap();
    let keys = Keys::new("t");
    let mut works: Vec<Proposal> = (0..MAX_BATCHES + 40)
        .map(|i| batch(&tokens, &format!("{i}")))
        .collect();
    works.push(control(open(&tokens, Generation::new(1), "b")));
    let mine: Vec<&Proposal> = works.iter().collect();
    let announcement = order::writes::announce(&keys, SlotNumber::new(1), &mine);
    assert!(matches!(
        memory.transact(announcement).await,
        store::Outcome::Committed
    ));
    for _ in 0..2 {
        helper.help().await.unwrap();
    }
    let (slots, _) = replay(&memory.rows());
    assert_eq!(slots[1].batches.len(), MAX_BATCHES);
    assert_eq!(
        slots[1].control.as_ref().unwrap().operation,
        works.last().unwrap().work.token()
    );
    assert_eq!(slots[2].batches.len(), 40);
    let oldest = slots[1].batches.iter().map(|b| b.token);
    assert!(oldest.eq(works[..MAX_BATCHES].iter().map(|m| m.work.token())));
}

/// However many announcements wait, of whatever kind, no more of them are held than a slot can use; the oldest first, and none of them
/// hides another.
#[tokio::test(start_paused = true)]
async fn a_proposal_holds_no_more_of_the_bag_than_a_slot_takes() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new([1; 6]);
    let helper = committer(Arc::clone(&memory) as _);
    let first = control(open(&tokens, Generation::ZERO, "a"));
    helper.commit(vec![first]).await.remove(0).unwrap();
    let keys = Keys::new("t");
    let mut works: Vec<Proposal> = Vec::new();
    // For another shard, of an upload, of one part of it, stale controls, controls that would do, and what the slot takes.
    for n in 0..3_000 {
        let on = |change: &dyn Fn(&mut BatchRef)| with(batch(&tokens, "x"), change);
        works.push(on(&|b| b.shard = Some("b".to_owned())));
        works.push(on(&|b| b.location = Some(upload(0))));
        works.push(control(open(&tokens, Generation::new(7), &format!("s{n}"))));
    }
    for n in 0..3_000 {
        let on = |change: &dyn Fn(&mut BatchRef)| with(batch(&tokens, "x"), change);
        works.push(on(&|b| b.shard = Some("a".to_owned())));
        works.push(on(&|b| b.location = Some(upload(n + 1))));
        works.push(control(decision(&tokens, Control::Closing)));
    }
    let mine: Vec<&Proposal> = works.iter().collect();
    memory
        .transact(order::writes::announce(&keys, SlotNumber::new(1), &mine))
        .await;
    let bag = helper.bag(SlotNumber::new(1)).await.unwrap();
    assert!(bag.len() <= 2 * MAX_BATCHES + 1, "{}", bag.len());
    let size: usize = bag.iter().map(|(_, a)| record::json_size(&a.work)).sum();
    assert!(size <= 3 * MAX_SLOT, "{size}");
    helper.help().await.unwrap();
    let (slots, _) = replay(&memory.rows());
    let all: Vec<Announcement> = works
        .iter()
        .map(|mine| Announcement {
            seen: SlotNumber::new(1),
            work: mine.work.clone(),
        })
        .collect();
    let (_, view) = replay(
        &memory
            .rows()
            .into_iter()
            .filter(|(key, _)| *key <= keys.slot(SlotNumber::ZERO))
            .collect(),
    );
    let whole = propose(&view, &all, &[], UnixMillis::new(5)).unwrap();
    assert_eq!(slots[1].batches, whole.batches);
    assert_eq!(slots[1].control, whole.control);
}

/// A committer that loses a proposal announces: it learns how long that took, and refusals are counted by reason.
#[tokio::test(start_paused = true)]
async fn a_loser_is_counted() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new([1; 6]);
    let winner = committer(Arc::clone(&memory) as _);
    let first = control(open(&tokens, Generation::ZERO, "a"));
    winner.commit(vec![first]).await.remove(0).unwrap();
    let stores = (
        Arc::clone(&memory) as _,
        Arc::new(MemoryObjects::new()) as _,
    );
    let (loser, metrics) = Ledger::alone("t", stores).unwrap();
    loser.refresh().await.unwrap();
    let more = batch(&tokens, "more");
    winner.commit(vec![more]).await.remove(0).unwrap();
    let late = batch(&tokens, "late");
    loser.commit(vec![late]).await.remove(0).unwrap();
    let count = |h: &crate::metrics::Histogram| h.counts().iter().sum::<u64>();
    assert_eq!(count(&metrics.announced_seconds), 1);
    assert_eq!(count(&metrics.commit_rounds), 1);
    let thaw = control(decision(&tokens, Control::Unfreeze));
    loser.commit(vec![thaw]).await.remove(0).unwrap_err();
    assert_eq!(metrics.failures(), [("refused".to_owned(), 1)]);
}
