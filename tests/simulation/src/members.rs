//! What a seed decides about changes of the secondaries and witnesses, and about restores. Its decisions are a stream of their own, and only
//! lives that ask for it have them.

use crate::disaster::Disaster;
use crate::disks::Fate;
use crate::peers::{self, Chosen, PeerAction};
use crate::plan::{Action, Change, Event, Plan};
use crate::random::Dice;

/// Whether members change in this life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Operators name other secondaries and witnesses, and practice restores.
    pub change: bool,
}

/// The members as the plan means them to be, so that a change is often a small one.
struct Meant {
    secondaries: u32,
    copies: Chosen,
    witnesses: u32,
    cosigners: Chosen,
}

/// Adds more secondaries and witnesses, their changes, and what happens to them, to a plan.
pub fn join(plan: &mut Plan, wild: u64) {
    let mut dice = Dice::new(plan.seed).fork("members");
    plan.members.change = true;
    let secondaries = number(dice.between(2, 4));
    let more = if dice.chance(300_000) {
        number(dice.between(1, 3))
    } else {
        0
    };
    let witnesses = plan.peers.witnesses.max(more);
    let mut meant = Meant {
        secondaries,
        copies: some(&mut dice, secondaries),
        witnesses,
        cosigners: Chosen::all(witnesses, witnesses.min(1)),
    };
    plan.peers.secondaries = secondaries;
    plan.peers.copies = meant.copies;
    plan.peers.witnesses = witnesses;
    plan.peers.cosigners = meant.cosigners;
    let (peers, processes) = (plan.peers, plan.processes());
    let mut events = Vec::new();
    for event in std::mem::take(&mut plan.events) {
        events.push(event);
        let mut then = |dice: &mut Dice, what: Action| {
            let after = dice.span(1, 3_000);
            events.push(Event { after, what });
        };
        if dice.chance(150_000) {
            let change = meant.change(&mut dice);
            let times = if dice.chance(200_000) { 2 } else { 1 };
            then(&mut dice, Action::Change(change, times));
        }
        if wild > 0 && dice.chance(100_000) {
            let what = match dice.between(0, 9) {
                0..=2 => away(&mut dice, secondaries),
                3..=6 => disk(&mut dice, secondaries),
                _ => peers::action(&mut dice, peers, processes, wild),
            };
            then(&mut dice, Action::Peer(what));
        }
        if dice.chance(15_000) {
            let from = some(&mut dice, secondaries).who;
            let force = dice.chance(300_000);
            then(&mut dice, Action::Disaster(Disaster::Loss(from, force)));
        }
        if dice.chance(50_000) {
            let from = some(&mut dice, secondaries).who;
            then(&mut dice, Action::Disaster(Disaster::Practice(from)));
        }
    }
    plan.events = events;
}

fn number(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

/// One or more of so many, and a quorum of them, which is seldom 0.
fn some(dice: &mut Dice, of: u32) -> Chosen {
    let who = number(dice.between(1, (1 << of) - 1));
    Chosen {
        who,
        quorum: quorum(dice, who),
    }
}

fn quorum(dice: &mut Dice, who: u32) -> u32 {
    match dice.chance(100_000) {
        true => 0,
        false => number(dice.between(1, u64::from(who.count_ones()))).min(who.count_ones()),
    }
}

/// A secondary is down for minutes, so that changes are made without it.
fn away(dice: &mut Dice, of: u32) -> PeerAction {
    let who = usize::try_from(dice.between(0, u64::from(of) - 1)).unwrap_or(0);
    PeerAction::Crash(who, dice.span(30_000, 300_000), dice.chance(500_000))
}

/// A disk of a secondary is copied, or lost.
fn disk(dice: &mut Dice, of: u32) -> PeerAction {
    let who = usize::try_from(dice.between(0, u64::from(of) - 1)).unwrap_or(0);
    match dice.between(0, 9) {
        0..=3 => PeerAction::Copy(who),
        4 | 5 => PeerAction::Loses(who, Fate::Empty),
        6 | 7 => PeerAction::Loses(who, Fate::Older),
        8 => PeerAction::Loses(who, Fate::Half),
        _ if dice.chance(500_000) => PeerAction::Loses(who, Fate::OlderRows),
        _ => PeerAction::Loses(who, Fate::NoRows),
    }
}

impl Meant {
    fn change(&mut self, dice: &mut Dice) -> Change {
        match dice.between(0, 9) {
            0..=5 => {
                self.copies = another(dice, self.secondaries, self.copies);
                Change::Secondaries(self.copies)
            }
            6 | 7 if self.witnesses > 0 => {
                self.cosigners = another(dice, self.witnesses, self.cosigners);
                self.cosigners.quorum = self.cosigners.quorum.max(1);
                Change::Policy(self.cosigners)
            }
            _ => {
                self.copies.quorum = quorum(dice, self.copies.who);
                Change::Quorum(self.copies.quorum)
            }
        }
    }
}

/// One more, one less, one in place of another, or any others.
fn another(dice: &mut Dice, of: u32, now: Chosen) -> Chosen {
    let one = |dice: &mut Dice| 1 << dice.between(0, u64::from(of) - 1);
    let who = match dice.between(0, 9) {
        0..=4 => now.who ^ one(dice),
        5..=7 => now.who ^ one(dice) ^ one(dice),
        _ => some(dice, of).who,
    };
    match who {
        0 => now,
        who => Chosen {
            who,
            quorum: match dice.chance(500_000) {
                true => now.quorum.min(who.count_ones()),
                false => quorum(dice, who),
            },
        },
    }
}
