//! What a seed decides about storage nodes. Its decisions are a stream of their own.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::{Action, Change, Event, Plan};
use crate::random::Dice;
use crate::world::World;
use crate::writer::LOG;

/// The storage nodes of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// How many there are, the servers' own store among them; with none, the document names none.
    pub count: u32,
    /// Those that the first document names.
    pub first: Named,
    /// Batches with more bytes are objects; 0: as the store has it.
    pub values: usize,
    /// Faults may take the last copy of a batch.
    pub reckless: bool,
}

/// Nodes that a document names, and how many of them must have a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Bit n stands for node n.
    pub nodes: u32,
    /// How many of them must have a batch before it counts.
    pub quorum: u32,
}

/// Something that happens to a storage node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAction {
    /// It refuses connections, is full, answers late or not at all, for this time.
    Ails(usize, Ailment, Duration),
    /// It loses a part of what it has.
    Loses(usize, Loss),
    /// An operator throws it away, if the status of the log does not list it any more.
    Discard(usize),
}

/// What is wrong with a storage node for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// It refuses every connection, as if it were switched off.
    Away,
    /// It takes requests, and never answers them.
    Silent,
    /// It takes no objects.
    Full,
    /// Each operation takes up to so many milliseconds.
    Slow(u64),
}

/// What a storage node loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of it, and it has another disk.
    Disk,
    /// Every other object; nobody is told.
    Half,
    /// One bit of one object.
    Bit,
}

impl Nodes {
    fn draw(dice: &mut Dice) -> Self {
        if !dice.chance(333_333) {
            return Self::default();
        }
        let count = u32::try_from(dice.between(1, 4)).unwrap_or(1);
        let values = if dice.chance(900_000) {
            usize::try_from(dice.spread(64, 1_024)).unwrap_or(0)
        } else {
            0
        };
        Self {
            count,
            first: named(dice, count),
            values,
            reckless: dice.chance(100_000),
        }
    }
}

fn named(dice: &mut Dice, count: u32) -> Named {
    let all = (1_u64 << count) - 1;
    let nodes = u32::try_from(dice.between(1, all)).unwrap_or(1);
    let quorum = dice.between(1, u64::from(nodes.count_ones()));
    Named {
        nodes,
        quorum: u32::try_from(quorum).unwrap_or(1),
    }
}

/// Adds storage nodes, and what happens to them, to a plan.
pub fn join(plan: &mut Plan, wild: u64) {
    let mut dice = Dice::new(plan.seed).fork("nodes");
    plan.nodes = Nodes::draw(&mut dice);
    if plan.nodes.count == 0 {
        return;
    }
    // A document with a quorum of one spares the nodes most of the losses.
    let replaces = plan.nodes.count > 1 && dice.chance(400_000);
    let mut events = Vec::new();
    for event in std::mem::take(&mut plan.events) {
        events.push(event);
        if dice.chance(350_000) {
            events.push(Event {
                after: dice.span(1, 3_000),
                what: action(&mut dice, plan.nodes.count, wild),
            });
        }
        if replaces && dice.chance(80_000) {
            replace(&mut dice, plan.nodes.count, &mut events);
        }
    }
    plan.events = events;
}

/// All batches go to one node, then to the others, and an operator wants to throw the first one away.
fn replace(dice: &mut Dice, count: u32, events: &mut Vec<Event>) {
    let who = dice.between(1, u64::from(count) - 1);
    let who = u32::try_from(who).unwrap_or(1);
    let all = (1 << count) - 1;
    for nodes in [1 << who, all & !(1 << who)] {
        let named = Named { nodes, quorum: 1 };
        events.push(Event {
            after: dice.span(1, 5_000),
            what: Action::Change(Change::Storage(named), 1),
        });
    }
    for _ in 0..4 {
        events.push(Event {
            after: dice.span(1, 4_000),
            what: Action::Node(NodeAction::Discard(who as usize)),
        });
    }
}

fn action(dice: &mut Dice, count: u32, wild: u64) -> Action {
    let who = usize::try_from(dice.between(0, u64::from(count) - 1)).unwrap_or(0);
    let action = match dice.between(0, 9) {
        0..=2 if wild > 0 => NodeAction::Ails(who, ailment(dice), dice.span(1, 120_000)),
        3..=6 if wild > 0 => NodeAction::Loses(who, loss(dice)),
        7 => NodeAction::Discard(who),
        _ => {
            let times = if dice.chance(300_000) {
                dice.between(2, 3)
            } else {
                1
            };
            return Action::Change(Change::Storage(named(dice, count)), times);
        }
    };
    Action::Node(action)
}

pub(crate) fn ailment(dice: &mut Dice) -> Ailment {
    match dice.between(0, 3) {
        0 => Ailment::Away,
        1 => Ailment::Silent,
        2 => Ailment::Full,
        _ => Ailment::Slow(dice.spread(10, 20_000)),
    }
}

fn loss(dice: &mut Dice) -> Loss {
    match dice.between(0, 2) {
        0 => Loss::Disk,
        1 => Loss::Half,
        _ => Loss::Bit,
    }
}

/// Lets something happen to a storage node.
pub fn act(world: &Arc<World>, number: u64, what: NodeAction) {
    let storage = Arc::clone(&world.storage);
    match what {
        NodeAction::Ails(at, ailment, time) => {
            storage.ails(at, ailment);
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                storage.heal(at);
            });
        }
        NodeAction::Loses(at, loss) => {
            let mut dice = world.dice(&format!("loss-{number}"));
            let lost = storage.loses(at, loss, &mut dice);
            world.trace.say(format_args!("{lost} batches are lost"));
        }
        NodeAction::Discard(at) => world.employ(discard(Arc::clone(world), number, at)),
    }
}

/// An operator looks whether a node is still needed, and throws it away if it is not.
async fn discard(world: Arc<World>, number: u64, at: usize) {
    let mut dice = world.dice(&format!("discard-{number}"));
    let Some(running) = world.any_server(&mut dice) else {
        return;
    };
    let Some(log) = running.engine.log(LOG) else {
        return;
    };
    let generation = log.generation().get();
    let view = tokio::select! {
        () = running.process.dead() => return,
        view = log.merge() => view,
    };
    let Ok(view) = view else { return };
    let listed = |name: &str| view.nodes.contains_key(name);
    if world.storage.discard(at, generation, listed) {
        world
            .trace
            .say(format_args!("node {at} is thrown away for good"));
    }
}

/// Operators put back what a halt is about, if injuries took it, and start the servers again.
pub fn remedy(world: &World, why: &str) {
    if !why.contains("halted") || !world.storage.explains(why) {
        return;
    }
    world.trace.say(format_args!("what was lost is put back"));
    world.storage.put_back();
    for server in &world.servers {
        server.stop(Duration::from_millis(100));
    }
}
