//! What a seed decides about secondaries and witnesses, and what then happens to them. Its decisions are a stream of their own.

use std::sync::Arc;
use std::time::Duration;

use crate::disks::Fate;
use crate::plan::{Action, Event, Plan};
use crate::random::Dice;
use crate::world::World;

/// Who copies and cosigns the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// The secondaries that take part.
    pub secondaries: u32,
    /// Those that the first document names.
    pub copies: Chosen,
    /// The witnesses that take part.
    pub witnesses: u32,
    /// Those that the first document names.
    pub cosigners: Chosen,
}

/// Some of the secondaries, or of the witnesses, and how many of them are enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Bit n stands for number n.
    pub who: u32,
    /// As many of them are enough.
    pub quorum: u32,
}

impl Chosen {
    /// All of so many.
    pub fn all(of: u32, quorum: u32) -> Self {
        Self {
            who: (1 << of) - 1,
            quorum,
        }
    }

    /// Whether number n is one of them.
    pub fn has(self, n: usize) -> bool {
        self.who & (1 << n) != 0
    }
}

/// Something that happens to a secondary, or to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAction {
    /// A secondary dies, and is started again after this time; whether the power goes, too.
    Crash(usize, Duration, bool),
    /// A secondary stands still for this time.
    Pause(usize, Duration),
    /// The wall clock of a secondary is set so many milliseconds ahead of the true time.
    Clock(usize, i64),
    /// Somebody copies the whole disk of a secondary.
    Copy(usize),
    /// The disk of a secondary is lost, or comes back as it once was.
    Loses(usize, Fate),
    /// Between a server and a peer nothing goes this way, for this time. Secondaries come first in the list of peers.
    Cut(usize, usize, Way, Duration),
}

/// The direction in which nothing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// No request of the log's servers arrives.
    Requests,
    /// No answer comes back.
    Answers,
}

impl Peers {
    fn draw(dice: &mut Dice) -> Self {
        let number = |n: u64| u32::try_from(n).unwrap_or(0);
        let secondaries = if dice.chance(600_000) {
            dice.between(1, 3)
        } else {
            0
        };
        let quorum = dice.between(0, secondaries);
        let witnesses = if dice.chance(400_000) {
            dice.between(1, 2)
        } else {
            0
        };
        let witness_quorum = dice.between(witnesses.min(1), witnesses);
        let (secondaries, witnesses) = (number(secondaries), number(witnesses));
        Self {
            secondaries,
            copies: Chosen::all(secondaries, number(quorum)),
            witnesses,
            cosigners: Chosen::all(witnesses, number(witness_quorum)),
        }
    }

    fn count(self) -> u64 {
        u64::from(self.secondaries + self.witnesses)
    }
}

/// Adds secondaries and witnesses, and what happens to them, to a plan.
pub fn join(plan: &mut Plan, wild: u64) {
    let mut dice = Dice::new(plan.seed).fork("peers");
    plan.peers = Peers::draw(&mut dice);
    if plan.peers.count() == 0 || wild == 0 {
        return;
    }
    let processes = plan.processes();
    let mut events = Vec::new();
    for event in std::mem::take(&mut plan.events) {
        events.push(event);
        if dice.chance(250_000) {
            events.push(Event {
                after: dice.span(1, 3_000),
                what: Action::Peer(action(&mut dice, plan.peers, processes, wild)),
            });
        }
    }
    plan.events = events;
}

pub(crate) fn action(dice: &mut Dice, peers: Peers, processes: usize, wild: u64) -> PeerAction {
    let below = |dice: &mut Dice, n: u64| {
        usize::try_from(dice.between(0, n.saturating_sub(1))).unwrap_or(0)
    };
    let who = below(dice, u64::from(peers.secondaries));
    match dice.between(0, 9) {
        0..=2 => PeerAction::Crash(who, dice.span(1, 60_000), dice.chance(500_000)),
        3 | 4 => PeerAction::Pause(who, dice.span(1, 120_000)),
        5 if wild > 1 => PeerAction::Clock(who, crate::plan::clock(dice)),
        _ => {
            let (server, peer) = (below(dice, processes as u64), below(dice, peers.count()));
            let way = match dice.chance(500_000) {
                true => Way::Requests,
                false => Way::Answers,
            };
            PeerAction::Cut(server, peer, way, dice.span(1, 120_000))
        }
    }
}

/// Something happens to a secondary, or to the network.
pub fn act(world: &Arc<World>, number: u64, what: PeerAction) {
    let network = &world.network;
    let secondary = |at: usize| network.secondaries.get(at);
    match what {
        PeerAction::Crash(at, down, power) => {
            if let Some(secondary) = secondary(at) {
                secondary.crash(down, power);
            }
        }
        PeerAction::Pause(at, time) => {
            if let Some(secondary) = secondary(at).cloned() {
                secondary.pause(true);
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    secondary.pause(false);
                });
            }
        }
        PeerAction::Clock(at, ahead) => {
            if let Some(secondary) = secondary(at) {
                secondary.clocks.set_ahead(ahead);
            }
        }
        PeerAction::Copy(at) => {
            if let Some(secondary) = secondary(at) {
                secondary.keep_copy();
            }
        }
        // Who restores a log does not put older disks back meanwhile.
        PeerAction::Loses(..) if world.primary.is_lost() => {}
        PeerAction::Loses(at, fate) => {
            let mut dice = world.dice(&format!("disk-{number}"));
            if let Some(secondary) = secondary(at) {
                secondary.lose(world, fate, &mut dice);
            }
        }
        PeerAction::Cut(server, peer, way, time) => {
            let server = world.servers.get(server);
            let cut = server.and_then(|server| network.cut(&server.name, peer, way));
            if let Some(cut) = cut {
                let network = Arc::clone(network);
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    network.heal(&cut);
                });
            }
        }
    }
}
