//! The order under faults: several committers on one store that loses, delays and doubles writes. Time is virtual.
//!
//! The oracle is the slots themselves, read back and replayed through the transition function: every acknowledged work is in
//! them once and where the answer said, every rejected one is not and never will be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tlog::Hash;

use super::answer::{CommitError, Mine, Placed, settle};
use super::commit::Order;
use super::keys::Keys;
use super::place::{Place, PlacedRow};
use super::propose::{alive, propose};
use super::slot::{
    Action, Announcement, BatchRef, Control, Decision, ShardIdentity, Slot, Token, Tokens, Work,
};
use super::state::{Gate, Phase, Refusal, State, View};
use super::{MAX_BATCHES, WINDOW};
use crate::qos::UploadId;
use crate::record;
use crate::store::fault::{Fault, Faults, FaultyCoordination};
use crate::store::{Coordination, StoreError};
use crate::store::{MemoryCoordination, MemoryObjects};

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn decision(tokens: &Tokens, control: Control) -> Decision {
    let operation = tokens.make(1);
    Decision {
        operation,
        request: Hash([7; 32]),
        action: Action::Configure,
        actor: "test".into(),
        control,
        reason: None,
    }
}

fn identity(name: &str, tree_id: u64) -> ShardIdentity {
    ShardIdentity {
        name: name.into(),
        origin: format!("o/{name}"),
        tree_id,
        vkey: format!("key {name}"),
    }
}

fn open(tokens: &Tokens, base: u64, name: &str) -> Decision {
    let plan = vec![identity(name, base + 1)];
    decision(
        tokens,
        Control::Reconfigure {
            base,
            document: Hash([1; 32]),
            plan,
            open: Some(name.into()),
        },
    )
}

fn batch(tokens: &Tokens, text: &str) -> Mine {
    let mut bytes = Vec::new();
    tlog::bundle::push(&mut bytes, text.as_bytes());
    let bytes = Bytes::from(bytes);
    let work = Work::Batch(BatchRef {
        token: tokens.make(1),
        entries: 1,
        digest: record::digest(&bytes),
        object: false,
        shard: None,
        place: None,
    });
    Mine::fresh(work, bytes)
}

fn control(decision: Decision) -> Mine {
    Mine::fresh(Work::Control(decision), Bytes::new())
}

fn committer(store: Arc<dyn Coordination>) -> Order {
    Order::alone("t", (store, Arc::new(MemoryObjects::new()))).0
}

/// The slots of a store, replayed.
fn replay(rows: &BTreeMap<String, Bytes>) -> (Vec<Slot>, View) {
    let mut view = View::default();
    let mut slots = Vec::new();
    for (_, bytes) in rows
        .iter()
        .filter(|(key, _)| key.starts_with(&Keys::new("t").slots()))
    {
        let slot: Slot = record::decode(bytes).unwrap();
        view.advance(Arc::new(slot.clone()), record::digest(bytes))
            .unwrap();
        slots.push(slot);
    }
    (slots, view)
}

fn times(slots: &[Slot], token: Token) -> usize {
    slots
        .iter()
        .flat_map(Slot::tokens)
        .filter(|t| *t == token)
        .count()
}

#[tokio::test(start_paused = true)]
async fn whatever_the_store_does_answers_are_true() {
    for seed in 1..=60u64 {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Arc::new(Tokens::new().unwrap());
    let first = committer(Arc::clone(&memory) as _);
    first
        .commit(vec![control(open(&tokens, 0, "s0"))])
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
                    let generation = order.state().generation + dice.below(2);
                    let name = format!("s{}", generation.saturating_sub(1));
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
                    mine.push(control(match (dice.below(3), state.gate) {
                        (_, Gate::Frozen { .. }) => decision(&tokens, Control::Unfreeze),
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
    // Life goes on, so that late announcements get their chance.
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
                let slot = &slots[usize::try_from(placed.slot.number).unwrap()];
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
            if let Some(place) = &batch.place {
                let row = PlacedRow {
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

fn with(mut mine: Mine, change: impl Fn(&mut BatchRef)) -> Mine {
    if let Work::Batch(batch) = &mut mine.work {
        change(batch);
    }
    mine
}

fn upload(offset: u64) -> Place {
    Place::Upload {
        id: UploadId([5; 16]),
        offset,
    }
}

/// A part of an upload, as its author makes it: its birth is read before the row is found absent.
async fn part_of(
    order: &Order,
    rows: &MemoryCoordination,
    tokens: &Tokens,
    offset: u64,
    text: u64,
) -> Option<Mine> {
    let (birth, place) = (order.state().len, upload(offset));
    let mine = with(batch(tokens, &format!("part {offset} {text}")), |b| {
        b.place = Some(place);
    });
    let key = order.keys.placed(&place, mine.work.token());
    let absent = rows.get(&key).await.unwrap().is_none();
    absent.then_some(Mine {
        birth: Some(birth),
        ..mine
    })
}

/// A shard condition holds for the slot's own shard: of a slot that rotates, the new one.
#[test]
fn a_batch_for_one_shard_goes_into_no_other() {
    let tokens = Tokens::new().unwrap();
    let mut view = opened(&tokens);
    let for_shard = |name: &str| {
        let name = name.to_owned();
        with(batch(&tokens, "x"), |b| b.shard = Some(name.clone()))
    };
    let (a, b) = (for_shard("a"), for_shard("b"));
    let bag: Vec<Announcement> = [&a, &b]
        .map(|m| Announcement {
            seen: 1,
            work: m.work.clone(),
        })
        .into();
    let first = propose(&view, &bag, &[], 5).unwrap();
    assert_eq!(first.batches, [a.work.batch().unwrap().clone()]);
    assert_eq!(first.format, 2);
    let rotate = Work::Control(open(&tokens, 1, "b"));
    let second = propose(&view, &bag, std::slice::from_ref(&rotate), 5).unwrap();
    assert_eq!(second.batches, [b.work.batch().unwrap().clone()]);
    // A slot that breaks the condition does not follow.
    let mut bad = second.clone();
    bad.batches = first.batches.clone();
    let error = view.state.apply(&bad, Hash([0; 32])).unwrap_err();
    assert!(error.why.contains("shard a only"), "{error}");
    let mut old = first.clone();
    old.format = 1;
    let error = view.state.apply(&old, Hash([0; 32])).unwrap_err();
    assert!(error.why.contains("does not know"), "{error}");
    // What may not go in takes no place from what may.
    let many: Vec<Announcement> = (0..MAX_BATCHES)
        .map(|_| for_shard("b").work)
        .chain([batch(&tokens, "any").work])
        .map(|work| Announcement { seen: 1, work })
        .collect();
    assert_eq!(propose(&view, &many, &[], 5).unwrap().batches.len(), 1);
    // Planned and unknown: refused at once. Active: no answer yet. Frozen: for ever.
    let answer = |view: &View, mine: &Mine| settle(view, mine, 1, 1);
    for nowhere in [&b, &for_shard("c")] {
        let said = answer(&view, nowhere);
        assert!(matches!(said, Some(Err(CommitError::WrongShard))));
    }
    assert!(answer(&view, &a).is_none());
    step(&mut view, &[rotate], &[]);
    assert!(answer(&view, &b).is_none());
    assert!(matches!(
        answer(&view, &a),
        Some(Err(CommitError::WrongShard))
    ));
    assert_eq!(propose(&view, &bag[..1], &[], 5), None);
}

/// Whatever the tokens: a part is in at most one slot, and its author is told where, or that others took its place.
#[test]
fn a_part_of_an_upload_is_ordered_once() {
    let tokens = Tokens::new().unwrap();
    let mut view = opened(&tokens);
    let part = |text: &str, offset| {
        with(batch(&tokens, text), |b| {
            b.place = Some(upload(offset));
        })
    };
    let (one, same, other) = (part("one", 0), part("one", 0), part("uno", 0));
    let next = part("two", 1);
    let works = [&one, &same, &other, &next].map(|m| m.work.clone());
    let slot = step(&mut view, &works, &[]);
    let tokens_in: Vec<Token> = slot.batches.iter().map(|b| b.token).collect();
    assert_eq!(tokens_in, [one.work.token(), next.work.token()]);
    let answer = |m: &Mine| settle(&view, m, 1, 1).unwrap();
    for m in [&one, &same] {
        assert_eq!(answer(m).unwrap().start, 0);
    }
    assert_eq!(answer(&next).unwrap().start, 1);
    assert!(matches!(answer(&other), Err(CommitError::Taken(1))));
    assert_eq!(
        propose(&view, &[], std::slice::from_ref(&same.work), 5),
        None
    );
    // A slot with the part again does not follow, nor one that has it twice.
    let mut again = propose(&view, &[], &[batch(&tokens, "x").work], 5).unwrap();
    again.format = 2;
    again.batches = vec![same.work.batch().unwrap().clone()];
    let error = view.advance(Arc::new(again.clone()), Hash([0; 32]));
    assert!(error.unwrap_err().why.contains("a second time"));
    again.batches = ["a", "b"]
        .map(|t| part(t, 7).work.batch().unwrap().clone())
        .into();
    assert!(
        view.advance(Arc::new(again.clone()), Hash([0; 32]))
            .is_err()
    );
    again.batches.pop();
    view.advance(Arc::new(again), Hash([0; 32])).unwrap();
}

/// An author who was away for longer than the filter reaches asks again; the filter's last slot still counts.
#[tokio::test(start_paused = true)]
async fn nothing_is_proposed_over_slots_that_nobody_looked_into() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new().unwrap();
    let order = committer(Arc::clone(&memory) as _);
    let first = control(open(&tokens, 0, "a"));
    order.commit(vec![first]).await.remove(0).unwrap();
    for i in 1..=WINDOW {
        let more = batch(&tokens, &format!("{i}"));
        order.commit(vec![more]).await.remove(0).unwrap();
    }
    let part = |birth: u64| Mine {
        birth: Some(birth),
        ..with(batch(&tokens, "part"), |b| b.place = Some(upload(birth)))
    };
    assert_eq!(order.state().len, WINDOW + 1);
    let before = memory.rows();
    let late = order.commit(vec![part(0)]).await.remove(0);
    assert!(matches!(late, Err(CommitError::AskAgain)), "{late:?}");
    assert_eq!(memory.rows(), before, "nothing was written");
    let placed = order.commit(vec![part(1)]).await.remove(0).unwrap();
    assert_eq!(placed.slot.number, WINDOW + 1);
    // So does one that slept through the window in the middle of a commit: its announcement may have been ordered unseen.
    let (_, view) = replay(&memory.rows());
    let asleep = |looked| settle(&view, &batch(&tokens, "z"), 0, looked);
    assert!(matches!(asleep(1), Some(Err(CommitError::AskAgain))));
    assert!(asleep(2).is_none());
}

/// Records without the new fields are what they were, byte for byte, and those with them say so.
#[test]
fn the_records_of_before_are_unchanged() {
    let tokens = Tokens::new().unwrap();
    let plain = batch(&tokens, "x");
    let text = serde_json::to_string(plain.work.batch().unwrap()).unwrap();
    assert!(!text.contains("shard") && !text.contains("place"), "{text}");
    let view = opened(&tokens);
    let slot = propose(&view, &[], &[plain.work], 5).unwrap();
    assert_eq!(slot.format, 1);
    for place in [upload(3), Place::Promise] {
        let placed = with(batch(&tokens, "y"), |b| b.place = Some(place));
        let slot = propose(&view, &[], &[placed.work], 5).unwrap();
        assert_eq!(slot.format, 2);
        let back: Slot = record::decode(&record::encode(&slot)).unwrap();
        assert_eq!(back, slot);
    }
    let kept = tokens.make_kept(1_700_000_000_000);
    assert!(kept.is_kept() && kept > tokens.make(u64::MAX >> 17));
    assert_eq!(kept.birth_ms(), 1_700_000_000_000);
    assert!(!tokens.make(1_700_000_000_000).is_kept());
}

#[tokio::test(start_paused = true)]
async fn a_loser_is_carried_by_the_winner() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new().unwrap();
    let winner = committer(Arc::clone(&memory) as _);
    winner
        .commit(vec![control(open(&tokens, 0, "a"))])
        .await
        .remove(0)
        .unwrap();
    // A stopped committer: its announcement is in the bag, it never proposes again.
    let stopped = batch(&tokens, "stopped");
    let keys = Keys::new("t");
    memory
        .transact(crate::store::Transaction {
            puts: vec![
                (keys.batch(stopped.work.token()), stopped.bytes.clone()),
                (
                    keys.announcement(1, stopped.work.token()),
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
    let tokens = Tokens::new().unwrap();
    let order = committer(Arc::clone(&memory) as _);
    let first = vec![control(open(&tokens, 0, "a"))];
    order.commit(first).await.remove(0).unwrap();
    let count = 2 * MAX_BATCHES + 1;
    let mine = (0..count).map(|i| batch(&tokens, &format!("{i}")));
    let answers = order.commit(mine.collect()).await;
    let starts: Vec<u64> = answers.into_iter().map(|a| a.unwrap().start).collect();
    assert_eq!(starts, (0..count as u64).collect::<Vec<_>>());
    let (slots, view) = replay(&memory.rows());
    assert_eq!((slots.len(), view.state.size), (4, count as u64));
}

/// A store that stalls for long and then answers is no reason to give up: what piled up behind it is ordered.
#[tokio::test(start_paused = true)]
async fn what_piled_up_behind_a_stall_is_ordered() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new().unwrap();
    let first = control(open(&tokens, 0, "a"));
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

/// However many wait, a slot is filled from the oldest on, and a control behind them all is not passed over.
#[tokio::test(start_paused = true)]
async fn a_control_behind_a_pile_is_found() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new().unwrap();
    let helper = committer(Arc::clone(&memory) as _);
    let first = control(open(&tokens, 0, "a"));
    helper.commit(vec![first]).await.remove(0).unwrap();
    let keys = Keys::new("t");
    let mut works: Vec<Mine> = (0..MAX_BATCHES + 40)
        .map(|i| batch(&tokens, &format!("{i}")))
        .collect();
    works.push(control(open(&tokens, 1, "b")));
    let mine: Vec<&Mine> = works.iter().collect();
    let announcement = super::writes::announce(&keys, 1, &mine);
    assert!(matches!(
        memory.transact(announcement).await,
        crate::store::Outcome::Committed
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

/// Who loses a proposal announces: it is told how long that took, and what was refused is counted by reason.
#[tokio::test(start_paused = true)]
async fn a_loser_is_counted() {
    let memory = Arc::new(MemoryCoordination::new());
    let tokens = Tokens::new().unwrap();
    let winner = committer(Arc::clone(&memory) as _);
    let first = control(open(&tokens, 0, "a"));
    winner.commit(vec![first]).await.remove(0).unwrap();
    let stores = (
        Arc::clone(&memory) as _,
        Arc::new(MemoryObjects::new()) as _,
    );
    let (loser, metrics) = Order::alone("t", stores);
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

fn opened(tokens: &Tokens) -> View {
    let mut view = View::default();
    step(&mut view, &[Work::Control(open(tokens, 0, "a"))], &[]);
    view
}

fn step(view: &mut View, mine: &[Work], bag: &[Announcement]) -> Slot {
    let slot = propose(view, bag, mine, 5).unwrap();
    let digest = record::digest(&record::encode(&slot));
    view.advance(Arc::new(slot.clone()), digest).unwrap();
    slot
}

#[test]
fn a_rotation_takes_the_slots_entries_into_the_new_shard_and_a_freeze_comes_after_them() {
    let tokens = Tokens::new().unwrap();
    let mut view = opened(&tokens);
    let one = batch(&tokens, "one").work;
    step(&mut view, std::slice::from_ref(&one), &[]);
    step(
        &mut view,
        &[
            batch(&tokens, "two").work,
            Work::Control(open(&tokens, 1, "b")),
        ],
        &[],
    );
    let phases: Vec<Phase> = view.state.shards.iter().map(|s| s.phase).collect();
    assert_eq!(
        phases,
        [
            Phase::Frozen {
                start: 0,
                length: 1
            },
            Phase::Active { start: 1 }
        ]
    );
    assert_eq!(view.state.shard_at(1).unwrap().identity.name, "b");
    step(
        &mut view,
        &[
            batch(&tokens, "three").work,
            Work::Control(decision(&tokens, Control::Freeze)),
        ],
        &[],
    );
    assert_eq!((view.state.size, view.state.last_freeze), (3, Some(3)));
    let more = batch(&tokens, "four").work;
    assert_eq!(
        propose(&view, &[], std::slice::from_ref(&more), 5),
        None,
        "nothing is ordered into a frozen log"
    );
    // The announcement was made before the freeze: dead for ever, also after the unfreeze.
    let stale = Announcement {
        seen: 3,
        work: more.clone(),
    };
    let thaw = step(
        &mut view,
        &[Work::Control(decision(&tokens, Control::Unfreeze))],
        std::slice::from_ref(&stale),
    );
    assert!(thaw.batches.is_empty());
    assert_eq!(propose(&view, std::slice::from_ref(&stale), &[], 5), None);
    let fresh = Announcement {
        seen: 5,
        work: more,
    };
    assert_eq!(propose(&view, &[fresh], &[], 5).unwrap().batches.len(), 1);
}

#[test]
fn announcements_count_for_the_window_and_no_token_twice() {
    let tokens = Tokens::new().unwrap();
    let mut view = opened(&tokens);
    let early = Announcement {
        seen: 1,
        work: batch(&tokens, "early").work,
    };
    for i in 0..WINDOW {
        step(&mut view, &[batch(&tokens, &format!("{i}")).work], &[]);
    }
    assert_eq!(view.state.len, WINDOW + 1);
    let bag = std::slice::from_ref(&early);
    assert!(
        propose(&view, bag, &[], 5).is_some(),
        "slot seen + W is the last it counts for"
    );
    let mut other = view.clone();
    step(&mut other, &[batch(&tokens, "x").work], &[]);
    assert_eq!(propose(&other, bag, &[], 5), None);
    step(&mut view, &[], bag);
    assert_eq!(
        propose(&view, bag, std::slice::from_ref(&early.work), 5),
        None,
        "ordered already"
    );
    let many: Vec<Announcement> = (0..400)
        .map(|i| Announcement {
            seen: view.state.len,
            work: batch(&tokens, &format!("m{i}")).work,
        })
        .collect();
    assert_eq!(
        propose(&view, &many, &[], 5).unwrap().batches.len(),
        MAX_BATCHES
    );
}

#[test]
fn slots_that_do_not_follow_are_refused() {
    let tokens = Tokens::new().unwrap();
    let view = opened(&tokens);
    let good = propose(&view, &[], &[batch(&tokens, "x").work], 5).unwrap();
    assert!(view.state.apply(&good, Hash([0; 32])).is_ok());
    type Spoil = (&'static str, fn(&mut Slot));
    let spoil: [Spoil; 8] = [
        ("claims", |s| s.number += 1),
        ("starts at", |s| s.start += 1),
        ("time", |s| s.time = 0),
        ("digest", |s| s.previous = Hash([9; 32])),
        ("empty", |s| s.batches.clear()),
        ("format", |s| s.format = 99),
        ("too many", |s| s.batches[0].entries = 0),
        ("refuses", |s| {
            let identity = ShardIdentity {
                name: "a".into(),
                origin: "p".into(),
                tree_id: 9,
                vkey: "k".into(),
            };
            let control = Control::Reconfigure {
                base: 1,
                document: Hash([2; 32]),
                plan: vec![identity],
                open: None,
            };
            let token = s.batches[0].token;
            s.control = Some(Decision {
                operation: token,
                request: Hash([0; 32]),
                action: Action::Plan,
                actor: String::new(),
                control,
                reason: None,
            });
        }),
    ];
    for (why, spoil) in spoil {
        let mut bad = good.clone();
        spoil(&mut bad);
        let error = view.state.apply(&bad, Hash([0; 32])).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let mut twice = good.clone();
    twice.batches.push(twice.batches[0].clone());
    assert!(
        view.clone()
            .advance(Arc::new(twice), Hash([0; 32]))
            .is_err()
    );
}

#[test]
fn an_operation_is_looked_for_before_its_base() {
    let tokens = Tokens::new().unwrap();
    let mut view = opened(&tokens);
    let rotate = open(&tokens, 1, "b");
    step(&mut view, &[Work::Control(rotate.clone())], &[]);
    assert!(matches!(view.state.check(&rotate), Err(Refusal::Already(r)) if r.generation == 2));
    let other = Decision {
        request: Hash([8; 32]),
        ..rotate
    };
    assert_eq!(view.state.check(&other), Err(Refusal::KeyReused));
    assert_eq!(
        view.state.check(&open(&tokens, 1, "c")),
        Err(Refusal::Stale { current: 2 })
    );
    assert_eq!(
        view.state.check(&decision(&tokens, Control::Unfreeze)),
        Err(Refusal::NotFrozen)
    );
    assert!(matches!(
        view.state.check(&open(&tokens, 2, "a")),
        Err(Refusal::Shards(_))
    ));
    let json = record::encode(&view.state);
    assert_eq!(
        record::decode::<State>(&json).unwrap(),
        view.state,
        "a snapshot is the state"
    );
}

/// An unfreeze that lost to another one is refused; what its author announced must not open the log when it is closed again.
#[test]
fn what_opens_the_log_counts_until_the_log_is_open() {
    let tokens = Tokens::new().unwrap();
    let mut view = opened(&tokens);
    let ask = |control| Work::Control(decision(&tokens, control));
    let turn = |action, control| {
        Work::Control(Decision {
            action,
            ..decision(&tokens, control)
        })
    };
    let close = || turn(Action::Freeze, Control::Closing);
    step(&mut view, &[close()], &[]);
    let late = Announcement {
        seen: 2,
        work: ask(Control::Unfreeze),
    };
    assert!(alive(&view, &late));
    step(&mut view, &[turn(Action::Unfreeze, Control::Unfreeze)], &[]);
    step(&mut view, &[close()], &[]);
    assert!(!alive(&view, &late));
    assert_eq!(propose(&view, std::slice::from_ref(&late), &[], 5), None);
    let fresh = Announcement { seen: 4, ..late };
    assert!(propose(&view, &[fresh], &[], 5).is_some());
}

/// Only a frozen log goes, nothing is decided about one that is gone, and it comes back as it went.
#[test]
fn a_deleted_log_is_frozen_and_takes_an_undelete_only() {
    let tokens = Tokens::new().unwrap();
    let mut view = opened(&tokens);
    let ask = |control| decision(&tokens, control);
    assert_eq!(
        view.state.check(&ask(Control::Delete)),
        Err(Refusal::NotFrozen)
    );
    assert_eq!(
        view.state.check(&ask(Control::Undelete)),
        Err(Refusal::NotDeleted)
    );
    for control in [Control::Freeze, Control::Delete] {
        step(&mut view, &[Work::Control(ask(control))], &[]);
    }
    assert!(view.state.deleted);
    for control in [
        Control::Delete,
        Control::Freeze,
        Control::Closing,
        Control::Unfreeze,
    ] {
        assert_eq!(view.state.check(&ask(control)), Err(Refusal::Deleted));
    }
    assert_eq!(
        view.state.check(&open(&tokens, 1, "b")),
        Err(Refusal::Deleted)
    );
    // What waits in the bag stays out of the slot that brings it back.
    let late = batch(&tokens, "late");
    step(
        &mut view,
        &[late.work, Work::Control(ask(Control::Undelete))],
        &[],
    );
    assert!(!view.state.deleted && matches!(view.state.gate, Gate::Frozen { .. }));
    step(&mut view, &[Work::Control(ask(Control::Unfreeze))], &[]);
    assert_eq!(view.state.gate, Gate::Open);
}
