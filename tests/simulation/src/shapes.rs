//! Rare shapes of short lives: each makes an order of events likely that storms hardly ever come to.

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

fn crowd(habit: Habit, requests: u64, pause_ms: u64) -> Event {
    at_once(Action::Crowd(Writer {
        requests,
        pause_ms,
        habit,
    }))
}
