//! The valid contents of a slot, and the effect of a slot on later ones. No store, no time.

use std::sync::Arc;

use crate::answer::{CommitError, settle};
use crate::attempt::{Attempt, Step};
use crate::location::*;
use crate::proposal::Proposal;
use crate::propose::propose;
use crate::propose::{Share, alive};
use crate::samples::*;
use crate::slot::*;
use crate::state::{Intake, Phase, Refusal, State};
use crate::token::*;
use crate::view::View;
use crate::work::*;
use crate::{Generation, MAX_BATCHES, SlotNumber, WINDOW};
use store::record;
use tlog::{GlobalIndex, Hash, TreeSize, UnixMillis};

/// When slots are proposed, later than any before them.
const NOW: UnixMillis = UnixMillis::new(5);

/// A shard condition holds for the slot's own shard: of a slot that rotates, the new one.
#[test]
fn a_batch_for_one_shard_goes_into_no_other() {
    let tokens = Tokens::new([1; 6]);
    let mut view = opened(&tokens);
    let for_shard = |name: &str| {
        let name = name.to_owned();
        with(batch(&tokens, "x"), |b| b.shard = Some(name.clone()))
    };
    let (a, b) = (for_shard("a"), for_shard("b"));
    let bag: Vec<Announcement> = [&a, &b]
        .map(|m| Announcement {
            seen: SlotNumber::new(1),
            work: m.work.clone(),
        })
        .into();
    let first = propose(&view, &bag, &[], NOW).unwrap();
    assert_eq!(first.batches, [a.work.batch().unwrap().clone()]);
    assert_eq!(first.format, 2);
    let rotate = Work::Control(open(&tokens, Generation::new(1), "b"));
    let second = propose(&view, &bag, std::slice::from_ref(&rotate), NOW).unwrap();
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
    // Work that may not go in takes no place from work that may.
    let many: Vec<Announcement> = (0..MAX_BATCHES)
        .map(|_| for_shard("b").work)
        .chain([batch(&tokens, "any").work])
        .map(|work| Announcement {
            seen: SlotNumber::new(1),
            work,
        })
        .collect();
    assert_eq!(propose(&view, &many, &[], NOW).unwrap().batches.len(), 1);
    // Planned and unknown: refused at once. Active: no answer yet. Frozen: forever.
    let answer =
        |view: &View, mine: &Proposal| settle(view, mine, SlotNumber::new(1), SlotNumber::new(1));
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
    assert_eq!(propose(&view, &bag[..1], &[], NOW), None);
}

/// Whatever the tokens: a part is in at most one slot, and its author is told where, or that others took its place.
#[test]
fn a_part_of_an_upload_is_ordered_once() {
    let tokens = Tokens::new([1; 6]);
    let mut view = opened(&tokens);
    let part = |text: &str, offset| {
        with(batch(&tokens, text), |b| {
            b.location = Some(upload(offset));
        })
    };
    let (one, same, other) = (part("one", 0), part("one", 0), part("uno", 0));
    let next = part("two", 1);
    let works = [&one, &same, &other, &next].map(|m| m.work.clone());
    let slot = step(&mut view, &works, &[]);
    let tokens_in: Vec<Token> = slot.batches.iter().map(|b| b.token).collect();
    assert_eq!(tokens_in, [one.work.token(), next.work.token()]);
    let answer = |m: &Proposal| settle(&view, m, SlotNumber::new(1), SlotNumber::new(1)).unwrap();
    for m in [&one, &same] {
        assert_eq!(answer(m).unwrap().start, GlobalIndex::ZERO);
    }
    assert_eq!(answer(&next).unwrap().start, GlobalIndex::new(1));
    assert!(matches!(answer(&other), Err(CommitError::Taken(1))));
    // That is said as soon as it is known: who looks again later may look when the filter has forgotten it.
    let late = Proposal {
        first_slot: Some(SlotNumber::new(1)),
        ..other
    };
    let mut attempt = Attempt::new(SlotNumber::new(1), 1, false);
    assert_eq!(attempt.next(&view, &[late]), Step::Done);
    assert_eq!(
        propose(&view, &[], std::slice::from_ref(&same.work), NOW),
        None
    );
    // A slot with the part again does not follow, nor one that has it twice.
    let mut again = propose(&view, &[], &[batch(&tokens, "x").work], NOW).unwrap();
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

/// Records without the new fields are what they were, byte for byte, and those with them say so.
#[test]
fn the_records_of_before_are_unchanged() {
    let tokens = Tokens::new([1; 6]);
    let plain = batch(&tokens, "x");
    let text = serde_json::to_string(plain.work.batch().unwrap()).unwrap();
    assert!(!text.contains("shard") && !text.contains("place"), "{text}");
    let view = opened(&tokens);
    let slot = propose(&view, &[], &[plain.work], NOW).unwrap();
    assert_eq!(slot.format, 1);
    for place in [upload(3), Location::Promise] {
        let placed = with(batch(&tokens, "y"), |b| b.location = Some(place));
        let slot = propose(&view, &[], &[placed.work], NOW).unwrap();
        assert_eq!(slot.format, 2);
        let back: Slot = record::decode(&record::encode(&slot)).unwrap();
        assert_eq!(back, slot);
    }
    let kept = tokens.make_promised(UnixMillis::new(1_700_000_000_000));
    assert!(kept.is_promised() && kept > tokens.make(UnixMillis::new(u64::MAX >> 17)));
    assert_eq!(kept.made().get(), 1_700_000_000_000);
    assert!(
        !tokens
            .make(UnixMillis::new(1_700_000_000_000))
            .is_promised()
    );
}

#[test]
fn a_rotation_takes_the_slots_entries_into_the_new_shard_and_a_freeze_comes_after_them() {
    let tokens = Tokens::new([1; 6]);
    let mut view = opened(&tokens);
    let one = batch(&tokens, "one").work;
    step(&mut view, std::slice::from_ref(&one), &[]);
    step(
        &mut view,
        &[
            batch(&tokens, "two").work,
            Work::Control(open(&tokens, Generation::new(1), "b")),
        ],
        &[],
    );
    let phases: Vec<Phase> = view.state.shards.iter().map(|s| s.phase).collect();
    assert_eq!(
        phases,
        [
            Phase::Frozen {
                start: GlobalIndex::ZERO,
                length: TreeSize::new(1)
            },
            Phase::Active {
                start: GlobalIndex::new(1)
            }
        ]
    );
    assert_eq!(
        view.state
            .shard_at(GlobalIndex::new(1))
            .unwrap()
            .identity
            .name,
        "b"
    );
    step(
        &mut view,
        &[
            batch(&tokens, "three").work,
            Work::Control(decision(&tokens, Control::Freeze)),
        ],
        &[],
    );
    let freeze = Some(SlotNumber::new(3));
    assert_eq!(
        (view.state.size, view.state.last_freeze),
        (GlobalIndex::new(3), freeze)
    );
    let more = batch(&tokens, "four").work;
    assert_eq!(
        propose(&view, &[], std::slice::from_ref(&more), NOW),
        None,
        "nothing is ordered into a frozen log"
    );
    // The announcement was made before the freeze: dead forever, also after the unfreeze.
    let stale = Announcement {
        seen: SlotNumber::new(3),
        work: more.clone(),
    };
    let thaw = step(
        &mut view,
        &[Work::Control(decision(&tokens, Control::Unfreeze))],
        std::slice::from_ref(&stale),
    );
    assert!(thaw.batches.is_empty());
    assert_eq!(propose(&view, std::slice::from_ref(&stale), &[], NOW), None);
    let fresh = Announcement {
        seen: SlotNumber::new(5),
        work: more,
    };
    assert_eq!(propose(&view, &[fresh], &[], NOW).unwrap().batches.len(), 1);
}

#[test]
fn announcements_count_for_the_window_and_no_token_twice() {
    let tokens = Tokens::new([1; 6]);
    let mut view = opened(&tokens);
    let early = Announcement {
        seen: SlotNumber::new(1),
        work: batch(&tokens, "early").work,
    };
    for i in 0..WINDOW {
        step(&mut view, &[batch(&tokens, &format!("{i}")).work], &[]);
    }
    assert_eq!(view.state.len, SlotNumber::new(WINDOW + 1));
    let bag = std::slice::from_ref(&early);
    assert!(
        propose(&view, bag, &[], NOW).is_some(),
        "slot seen + W is the last it counts for"
    );
    let mut other = view.clone();
    step(&mut other, &[batch(&tokens, "x").work], &[]);
    assert_eq!(propose(&other, bag, &[], NOW), None);
    step(&mut view, &[], bag);
    assert_eq!(
        propose(&view, bag, std::slice::from_ref(&early.work), NOW),
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
        propose(&view, &many, &[], NOW).unwrap().batches.len(),
        MAX_BATCHES
    );
}

#[test]
fn slots_that_do_not_follow_are_refused() {
    let tokens = Tokens::new([1; 6]);
    let view = opened(&tokens);
    let good = propose(&view, &[], &[batch(&tokens, "x").work], NOW).unwrap();
    assert!(view.state.apply(&good, Hash([0; 32])).is_ok());
    type Spoil = (&'static str, fn(&mut Slot));
    let spoil: [Spoil; 8] = [
        ("claims", |s| s.number += 1),
        ("starts at", |s| s.start += 1),
        ("time", |s| s.time = UnixMillis::ZERO),
        ("digest", |s| s.previous = Hash([9; 32])),
        ("empty", |s| s.batches.clear()),
        ("format", |s| s.format = 99),
        ("too many", |s| s.batches[0].entries = 0),
        ("refuses", |s| {
            let identity = ShardIdentity {
                imported: None,
                name: "a".into(),
                origin: "p".into(),
                tree_id: 9,
                vkey: "k".into(),
                ecdsa: None,
            };
            let control = Control::Reconfigure {
                base: Generation::new(1),
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

/// Programs that do not know second keys refuse the slot, rather than read a shard with one key.
#[test]
fn a_slot_that_plans_a_second_key_has_a_format_of_its_own() {
    let tokens = Tokens::new([1; 6]);
    let mut view = opened(&tokens);
    let plan = |view: &mut View, name: &str, ecdsa: Option<&str>| {
        let mut identity = crate::samples::identity(name, 77);
        identity.ecdsa = ecdsa.map(str::to_owned);
        identity.tree_id += view.state.len.get();
        let control = Control::Reconfigure {
            base: view.state.generation,
            document: Hash([2; 32]),
            plan: vec![identity],
            open: None,
        };
        let decision = decision(&tokens, control);
        step(view, &[Work::Control(decision)], &[])
    };
    assert_eq!(plan(&mut view, "one", None).format, 1);
    let before = view.state.clone();
    let slot = plan(&mut view, "two", Some("E"));
    assert_eq!(slot.format, 3);
    let known = view.state.shards.last().unwrap();
    assert_eq!(known.identity.ecdsa.as_deref(), Some("E"));
    let mut old = slot.clone();
    old.format = 2;
    let error = before.clone().apply(&old, Hash([0; 32])).unwrap_err();
    assert!(error.to_string().contains("second key"), "{error}");
    // A key is one shard's, for good.
    let again = Control::Reconfigure {
        base: view.state.generation,
        document: Hash([2; 32]),
        plan: vec![order_identity("three", "E")],
        open: None,
    };
    let refused = view.state.check(&decision(&tokens, again)).unwrap_err();
    assert!(format!("{refused:?}").contains("ECDSA key"), "{refused:?}");
}

fn order_identity(name: &str, ecdsa: &str) -> ShardIdentity {
    ShardIdentity {
        imported: None,
        ecdsa: Some(ecdsa.to_owned()),
        ..crate::samples::identity(name, 999)
    }
}

#[test]
fn an_operation_is_looked_for_before_its_base() {
    let tokens = Tokens::new([1; 6]);
    let mut view = opened(&tokens);
    let rotate = open(&tokens, Generation::new(1), "b");
    step(&mut view, &[Work::Control(rotate.clone())], &[]);
    assert!(
        matches!(view.state.check(&rotate), Err(Refusal::Already(r)) if r.generation == Generation::new(2))
    );
    let other = Decision {
        request: Hash([8; 32]),
        ..rotate
    };
    assert_eq!(view.state.check(&other), Err(Refusal::KeyReused));
    assert_eq!(
        view.state.check(&open(&tokens, Generation::new(1), "c")),
        Err(Refusal::Stale {
            current: Generation::new(2)
        })
    );
    assert_eq!(
        view.state.check(&decision(&tokens, Control::Unfreeze)),
        Err(Refusal::NotFrozen)
    );
    assert!(matches!(
        view.state.check(&open(&tokens, Generation::new(2), "a")),
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
    let tokens = Tokens::new([1; 6]);
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
        seen: SlotNumber::new(2),
        work: ask(Control::Unfreeze),
    };
    assert!(alive(&view, &late));
    step(&mut view, &[turn(Action::Unfreeze, Control::Unfreeze)], &[]);
    step(&mut view, &[close()], &[]);
    assert!(!alive(&view, &late));
    assert_eq!(propose(&view, std::slice::from_ref(&late), &[], NOW), None);
    let fresh = Announcement {
        seen: SlotNumber::new(4),
        ..late
    };
    assert!(propose(&view, &[fresh], &[], NOW).is_some());
}

/// Only a frozen log goes, nothing is decided about one that is gone, and it comes back as it went.
#[test]
fn a_deleted_log_is_frozen_and_takes_an_undelete_only() {
    let tokens = Tokens::new([1; 6]);
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
        view.state.check(&open(&tokens, Generation::new(1), "b")),
        Err(Refusal::Deleted)
    );
    // Work that waits in the bag stays out of the slot that brings it back.
    let late = batch(&tokens, "late");
    step(
        &mut view,
        &[late.work, Work::Control(ask(Control::Undelete))],
        &[],
    );
    assert!(!view.state.deleted && matches!(view.state.intake, Intake::Frozen { .. }));
    step(&mut view, &[Work::Control(ask(Control::Unfreeze))], &[]);
    assert_eq!(view.state.intake, Intake::Open);
}

proptest::proptest! {
    /// The part of the bag that is read for a proposal makes the same slot as the whole bag.
    #[test]
    fn a_share_of_the_bag_makes_the_same_slot(
        works in proptest::collection::vec((0u64..12, 0u8..7, 0u64..3), 0..60),
        batches in 1usize..8,
        room in 1_200usize..4_000,
        passed in 0usize..3,
    ) {
        let tokens = Tokens::new([1; 6]);
        let mut view = opened(&tokens);
        (view.limits.batches, view.limits.bytes) = (batches, room);
        let mut bag: Vec<Announcement> = works
            .iter()
            .map(|(name, kind, seen)| {
                let mine = with(batch(&tokens, "x"), |b| {
                    b.shard = match kind {
                        1 => Some("a".to_owned()),
                        2 => Some("other".to_owned()),
                        _ => None,
                    };
                    b.location = match kind {
                        3 => Some(upload(*name)),
                        4 => Some(Location::Promise),
                        _ => None,
                    };
                });
                let work = match kind {
                    5 => Work::Control(open(&tokens, Generation::new(7), "b")),
                    6 => Work::Control(decision(&tokens, Control::Closing)),
                    _ => mine.work,
                };
                Announcement { seen: SlotNumber::new(*seen), work }
            })
            .collect();
        bag.sort_by_key(|a| (a.seen, a.work.token()));
        for _ in 0..passed {
            // Some of it is ordered, and its rows are still there.
            if propose(&view, &bag, &[], NOW).is_some() {
                step(&mut view, &[], &bag);
            }
        }
        let mut share = Share::default();
        let mut used = Vec::new();
        for announcement in &bag {
            if share.is_whole(&view.limits) {
                break;
            }
            used.extend(share.takes(&view, announcement).then(|| announcement.clone()));
        }
        proptest::prop_assert!(used.len() <= 2 * batches + 1);
        let mine = batch(&tokens, "own").work;
        for mine in [&[][..], &[mine]] {
            proptest::prop_assert_eq!(propose(&view, &used, mine, NOW), propose(&view, &bag, mine, NOW));
        }
    }

    /// Whatever is in the bag, and whatever a slot may be: it is no larger, and while something may go into it, something does.
    #[test]
    fn a_proposal_fits_and_makes_progress(
        works in proptest::collection::vec((0usize..80, 0u8..4, 1u64..u64::MAX / 1024), 0..400),
        actor in 0usize..70_000,
        room in 2_048usize..70_000,
        who in 0u8..3,
    ) {
        let tokens = Tokens::new([1; 6]);
        let mut view = opened(&tokens);
        view.limits.bytes = room;
        let mut announced: Vec<Work> = works
            .iter()
            .map(|(name, kind, entries)| {
                let mine = with(batch(&tokens, "x"), |b| {
                    b.entries = *entries;
                    b.shard = (*kind == 1).then(|| "n".repeat(*name));
                    b.location = match kind {
                        2 => Some(upload(*name as u64)),
                        3 => Some(Location::Promise),
                        _ => None,
                    };
                });
                mine.work
            })
            .collect();
        let control = Decision { actor: "\"".repeat(actor / 2), ..open(&tokens, Generation::new(1), "b") };
        let small = record::json_size(&control) <= view.limits.control();
        if who > 0 {
            announced.insert(announced.len() / 2, Work::Control(control));
        }
        let bag: Vec<Announcement> = announced
            .iter()
            .map(|work| Announcement { seen: SlotNumber::new(1), work: work.clone() })
            .collect();
        let may = works.iter().any(|(_, kind, _)| *kind != 1) || (who > 0 && small);
        let slot = propose(&view, &bag, &[], NOW);
        proptest::prop_assert_eq!(slot.is_some(), may);
        let Some(slot) = slot else { return Ok(()) };
        let bytes = record::encode(&slot);
        proptest::prop_assert!(bytes.len() <= room, "{} > {}", bytes.len(), room);
        proptest::prop_assert_eq!(&slot, &propose(&view, &bag, &[], NOW).unwrap());
        proptest::prop_assert_eq!(slot.control.is_some(), who > 0 && small);
        view.advance(Arc::new(slot), record::digest(&bytes)).unwrap();
    }
}
