//! Rare shapes of short lives: each makes an order of events likely that storms hardly ever come to.

use std::time::Duration;

use crate::nodes::{Ailment, Loss, Named, NodeAction, Nodes};
use crate::peers::{Chosen, PeerAction};
use crate::plan::{Action, Change, Event, Habit, Plan, Writer};
use crate::process::Lag;
use crate::random::Dice;
use crate::short::{at_once, opened};

/// Gives a few of all short lives such a shape.
pub fn join(plan: &mut Plan, dice: &mut Dice) {
    let events = match dice.between(0, 99) {
        0..=7 => deaf(plan, dice),
        8..=13 => throngs(plan, dice),
        14..=16 => names(plan, dice),
        17..=21 => moves(plan, dice),
        22..=26 => damages(plan, dice),
        _ => return,
    };
    let at = dice.between(0, plan.events.len() as u64);
    let at = usize::try_from(at).unwrap_or(0);
    plan.events.splice(at..at, events);
}

/// One server learns late, or never, what became of its writes, while another one decides more slots than an announcement counts for, and
/// then falls silent.
fn deaf(plan: &mut Plan, dice: &mut Dice) -> Vec<Event> {
    plan.servers = plan.servers.max(2);
    plan.short.window = dice.between(4, 6);
    let mut events: Vec<Event> = opened(dice).collect();
    for _ in 0..dice.between(3, 8) {
        let lag = Lag {
            answers: dice.spread(500, 6_000),
            lost: 900_000,
            ..Lag::default()
        };
        let time = dice.span(2_000, 15_000);
        events.push(at_once(Action::Lag(plan.servers - 1, lag, time)));
        let (requests, pause) = (dice.between(50, 400), dice.spread(1, 30));
        events.push(crowd(Habit::First, requests, pause));
        for _ in 0..dice.between(1, 4) {
            let (requests, pause) = (dice.between(10, 60), dice.spread(1, 200));
            events.push(crowd(Habit::Plain, requests, pause));
        }
        events.push(Event {
            after: dice.span(2_000, 12_000),
            what: Action::Change(Change::Unfreeze, 1),
        });
    }
    events
}

/// So many write at once, to several servers, that their batches do not fit into one slot.
fn throngs(plan: &mut Plan, dice: &mut Dice) -> Vec<Event> {
    plan.servers = plan.servers.max(2);
    let mut events: Vec<Event> = opened(dice).collect();
    for _ in 0..dice.between(1, 2) {
        for _ in 0..2 {
            events.push(Event {
                after: dice.span(200, 2_000),
                what: Action::Change(Change::LongName, 1),
            });
        }
        for _ in 0..2 {
            let (requests, pause) = (dice.between(1, 2), dice.spread(1, 500));
            events.push(crowd(Habit::Throng, requests, pause));
        }
        events.push(Event {
            after: dice.span(500, 10_000),
            what: Action::Change(Change::Unfreeze, 1),
        });
    }
    events
}

/// Operators with long names make one shard after the other.
fn names(plan: &mut Plan, dice: &mut Dice) -> Vec<Event> {
    plan.short.names = true;
    plan.short.window = dice.between(4, 12);
    let mut events: Vec<Event> = opened(dice).collect();
    for _ in 0..dice.between(110, 140) {
        events.push(Event {
            after: dice.span(20, 300),
            what: Action::Change(Change::Rotate, 1),
        });
    }
    let (requests, pause) = (dice.between(200, 400), dice.spread(1, 30));
    events.push(crowd(Habit::First, requests, pause));
    events
}

/// The document names one storage node, then another one, again and again, while one server reads late. Checkpoints are rare, and now and
/// then all servers die at once: what was ordered since the last one is then on a node that is no longer named, and in nobody's memory.
fn moves(plan: &mut Plan, dice: &mut Dice) -> Vec<Event> {
    plan.servers = plan.servers.max(2);
    let one = |n: u64| Named {
        nodes: 1 << n,
        quorum: 1,
    };
    plan.nodes = Nodes {
        count: 2,
        first: one(0),
        values: 64,
        reckless: false,
    };
    let mut events: Vec<Event> = opened(dice).collect();
    let lag = Lag {
        reads: dice.spread(50, 3_000),
        ..Lag::default()
    };
    let time = dice.span(10_000, 60_000);
    events.push(at_once(Action::Lag(plan.servers - 1, lag, time)));
    for _ in 0..dice.between(2, 4) {
        let (requests, pause) = (dice.between(50, 300), dice.spread(1, 60));
        events.push(crowd(Habit::Burst, requests, pause));
    }
    plan.interval_ms = dice.between(200, 1_000);
    for n in 0..dice.between(6, 16) {
        events.push(Event {
            after: dice.span(50, 3_000),
            what: Action::Change(Change::Storage(one(n % 2)), 1),
        });
        if dice.chance(300_000) {
            let mut after = dice.span(10, 500);
            for who in 0..plan.servers {
                let what = Action::Crash(who, dice.span(10, 2_000));
                events.push(Event { after, what });
                after = Duration::ZERO;
            }
        }
    }
    events
}

/// A storage node is away while batches wait for a secondary, and bits of them change on another node.
fn damages(plan: &mut Plan, dice: &mut Dice) -> Vec<Event> {
    plan.peers.secondaries = 1;
    plan.peers.copies = Chosen::all(1, 1);
    plan.nodes = Nodes {
        count: 3,
        first: Named {
            nodes: 7,
            quorum: 2,
        },
        values: 64,
        reckless: false,
    };
    let mut events: Vec<Event> = opened(dice).collect();
    for _ in 0..dice.between(1, 3) {
        let down = dice.span(20_000, 60_000);
        events.push(at_once(Action::Peer(PeerAction::Crash(0, down, false))));
        let away = dice.span(1_000, 10_000);
        let ails = NodeAction::Ails(2, Ailment::Away, away);
        events.push(at_once(Action::Node(ails)));
        events.push(crowd(Habit::Burst, dice.between(5, 30), 50));
        for _ in 0..dice.between(4, 12) {
            let who = usize::try_from(dice.between(0, 1)).unwrap_or(0);
            events.push(Event {
                after: dice.span(20, 1_000),
                what: Action::Node(NodeAction::Loses(who, Loss::Bit)),
            });
        }
        events.push(Event {
            after: dice.span(5_000, 60_000),
            what: Action::Change(Change::Unfreeze, 1),
        });
    }
    events
}

fn crowd(habit: Habit, requests: u64, pause_ms: u64) -> Event {
    at_once(Action::Crowd(Writer {
        requests,
        pause_ms,
        habit,
    }))
}
