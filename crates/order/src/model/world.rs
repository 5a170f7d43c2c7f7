//! Everything together: the store, the processes, the writes that are still under way, and what has happened so far.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use stateright::{Model, Property};

use crate::keys::{Keys, announced_under};
use crate::location::Location;
use crate::model::Mutant;
use crate::model::actors::{Actor, Collecting, Held, Proposed, Releasing, Write, bytes};
use crate::model::rows::Rows;
use crate::propose::propose;
use crate::slot::{Action as AskedAction, BatchRef, Control, Decision, ShardIdentity, Slot};
use crate::token::Token;
use crate::view::View;
use crate::work::{Announcement, Promised, Work};
use crate::writes;
use crate::{Generation, Limits, SlotNumber};
use store::record;
use store::{Key, Outcome, StoreError, Transaction};
use tlog::UnixMillis;

/// A protocol, its bounds, and the actors that take part.
#[derive(Clone)]
pub(super) struct Protocol {
    pub(super) keys: Keys,
    pub(super) limits: Limits,
    /// For how many slots an announcement may count.
    pub(super) window: u64,
    pub(super) mutant: Option<Mutant>,
    pub(super) actors: Vec<Actor>,
    /// How many slots the publication is behind.
    pub(super) lag: u64,
    /// Writes that go wrong, at most.
    pub(super) faults: u8,
    /// The committer whose writes go wrong; any when absent.
    pub(super) clumsy: Option<usize>,
    /// Check in every state that each committer, alone from then on, comes to an end.
    pub(super) alone: bool,
    /// The situations that must happen in some state.
    pub(super) reaches: Vec<Reach>,
}

/// A situation, by name.
pub(super) type Reach = (&'static str, fn(&Protocol, &World) -> bool);

/// A decided slot, and the view after it.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub(super) slot: Arc<Slot>,
    pub(super) digest: tlog::Hash,
    pub(super) view: Arc<View>,
}

/// A state of the model: the store, the programs, and what has happened.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) rows: Rows,
    /// All slots ever decided, whatever was collected since.
    pub(super) history: Arc<Vec<Decided>>,
    pub(super) actors: Vec<Actor>,
    /// Writes that may land yet.
    pub(super) held: Vec<Held>,
    pub(super) faults: u8,
    /// Rows of the bag, and the first undecided slot when they were put.
    pub(super) put_at: BTreeMap<Key, SlotNumber>,
    /// Works whose authors were told that they will never be ordered.
    pub(super) rejected: BTreeSet<Token>,
    /// Works that were promised.
    pub(super) promised: BTreeSet<Token>,
    /// A freeze that is a flag was acknowledged.
    pub(super) flagged: bool,
    /// The first invariant that does not hold, and why.
    pub(super) broken: Option<(&'static str, String)>,
}

impl World {
    /// How many slots were decided.
    pub(super) fn len(&self) -> SlotNumber {
        SlotNumber::new(self.history.len() as u64)
    }

    /// The first slot that is kept.
    pub(super) fn floor(&self, keys: &Keys) -> SlotNumber {
        SlotNumber::new(self.rows.number(&keys.floor()))
    }

    /// The last slot's digest stands for all slots; everything else is part of the key.
    fn key(&self) -> impl Hash + PartialEq + '_ {
        (
            (self.history.len(), self.history.last().map(|d| d.digest.0)),
            (&self.rows, &self.actors, &self.held, self.faults),
            (&self.put_at, &self.rejected, &self.promised, self.flagged),
            &self.broken,
        )
    }

    fn hold(&mut self, write: Held) {
        self.held.push(write);
        self.held.sort_by_key(|w| w.digest);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// The fate of a step that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is applied or refused, and its author is told.
    Plain,
    /// Its author gets no answer; it lands later, or never.
    Held,
    /// It is applied, and lands once more.
    Doubled,
    /// It is not applied, and its author is told.
    Failed,
}

/// The next step of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A process takes its next step.
    Step(usize, Fate),
    /// A write that was held, or doubled, lands.
    Land(usize),
    /// An actor finds places that may be forgotten; they are deleted later.
    SweepPlaces,
}

impl Model for Protocol {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let mut world = World {
            rows: Rows::default(),
            history: Arc::default(),
            actors: self.actors.clone(),
            held: Vec::new(),
            faults: self.faults,
            put_at: BTreeMap::new(),
            rejected: BTreeSet::new(),
            promised: BTreeSet::new(),
            flagged: false,
            broken: None,
        };
        // Slot 0 opens the first shard.
        let view = self.view(&world, SlotNumber::ZERO);
        let first =
            Work::Control(self.decision(0, AskedAction::Create, self.open(Generation::ZERO, "a")));
        let slot = propose(&view, &[], &[first], UnixMillis::ZERO).unwrap();
        let write = self.decide(slot, None, Vec::new());
        self.land(&mut world, &write);
        vec![world]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        if world.broken.is_some() {
            return;
        }
        for (i, actor) in world.actors.iter().enumerate() {
            if self.can_step(world, actor) {
                acts.push(Act::Step(i, Fate::Plain));
                let clumsy = self.clumsy.is_none_or(|clumsy| clumsy == i);
                if clumsy && world.faults > 0 && self.writes(actor) {
                    let fates = [Fate::Held, Fate::Doubled, Fate::Failed];
                    acts.extend(fates.map(|fate| Act::Step(i, fate)));
                }
            }
        }
        acts.extend((0..world.held.len()).map(Act::Land));
        if self
            .sweep(world)
            .is_some_and(|sweep| !world.held.contains(&sweep))
        {
            acts.push(Act::SweepPlaces);
        }
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        match act {
            Act::Step(i, fate) => {
                next.faults -= u8::from(fate != Fate::Plain);
                self.step(&mut next, i, fate);
            }
            Act::Land(i) => {
                let held = next.held.remove(i);
                self.land(&mut next, &held.write);
            }
            Act::SweepPlaces => next.hold(self.sweep(world)?),
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! kept {
            ($($name:literal),*) => {
                vec![$(Property::always($name, |_, world: &World| {
                    world.broken.as_ref().is_none_or(|(name, _)| *name != $name)
                })),*]
            };
        }
        let mut properties = kept!("S1", "S2", "S3", "S4", "S5", "S6", "S10", "S11", "L2");
        if self.alone {
            let alone = |m: &Self, world: &World| m.each_ends_alone(world);
            properties.push(Property::always("L1", alone));
        }
        let reaches = self.reaches.iter();
        properties.extend(reaches.map(|(name, is)| Property::sometimes(name, *is)));
        properties
    }

    fn format_action(&self, act: &Act) -> String {
        format!("{act:?}")
    }
}

impl Protocol {
    /// A store that keeps its rows under one log's name.
    pub(super) fn new(limits: Limits, actors: Vec<Actor>) -> Self {
        Self {
            keys: Keys::new("m"),
            limits,
            window: limits.window,
            mutant: None,
            actors,
            lag: 0,
            faults: 0,
            clumsy: None,
            alone: false,
            reaches: Vec::new(),
        }
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// The view of an actor that has read this many slots.
    pub(super) fn view(&self, world: &World, len: SlotNumber) -> Arc<View> {
        match usize::try_from(len.get()).unwrap().checked_sub(1) {
            Some(last) => Arc::clone(&world.history[last].view),
            None => {
                let mut view = View::default();
                view.limits = self.limits;
                Arc::new(view)
            }
        }
    }

    fn can_step(&self, world: &World, actor: &Actor) -> bool {
        let worth = |len: SlotNumber| {
            let floor = world.floor(&self.keys);
            len >= floor + 2 * self.limits.window
        };
        match actor {
            Actor::Committer(c) => c.work.is_some() || c.next < c.items.len(),
            Actor::Promiser(_) => true,
            Actor::Releaser(r) => {
                r.at != Releasing::Idle
                    || self
                        .announcements(&world.rows)
                        .any(|(_, a)| is_promised(&a))
                    || self.queued(&world.rows).next().is_some()
            }
            Actor::Collector(c) => c.at != Collecting::Idle || worth(world.len()),
            Actor::Gone => false,
        }
    }

    /// The rows of the bag.
    pub(super) fn announcements<'a>(
        &self,
        rows: &'a Rows,
    ) -> impl Iterator<Item = (&'a str, Announcement)> + use<'a> {
        let bag = self.keys.bag();
        rows.scan(&bag, &bag).map(|(key, row)| {
            let seen = announced_under(key).unwrap();
            let work = record::decode(row).unwrap();
            (key, Announcement { seen, work })
        })
    }

    /// The rows of the queue.
    pub(super) fn queued<'a>(&self, rows: &'a Rows) -> impl Iterator<Item = Promised> + use<'a> {
        let queue = self.keys.queue();
        rows.scan(&queue, &queue)
            .map(|(_, row)| record::decode(row).unwrap())
    }

    /// Forgets of promises what may be forgotten. For how long places are kept does not count here.
    fn sweep(&self, world: &World) -> Option<Held> {
        let floor = world.rows.number(&self.keys.floor());
        let all = self.keys.all_placed();
        let places = world.rows.scan(&all, &all);
        // A part that is sent after the time for which its place is kept is a new one.
        let places = places.filter(|(key, _)| key.contains("/promise/"));
        let places = places.map(|(key, row)| (key.to_owned(), record::decode(row).unwrap()));
        let queued = self.queued(&world.rows).map(|p| p.batch.token);
        let announced = self.announcements(&world.rows).map(|(_, a)| a.work.token());
        let mut left: HashSet<Key> = queued
            .chain(announced)
            .map(|token| self.keys.placed_promise(token))
            .collect();
        if self.is(Mutant::ForgetsWhatIsLeft) {
            left.clear();
        }
        let deletes = writes::forgotten(SlotNumber::new(floor), places, &left);
        let transaction = Transaction {
            deletes,
            ..Transaction::default()
        };
        (!transaction.deletes.is_empty()).then(|| Held::new(Write::new(transaction, None)))
    }

    /// The transaction that decides a slot.
    pub(super) fn decide(
        &self,
        slot: Slot,
        bag: Option<&[(Key, Announcement)]>,
        bytes: Vec<(Key, bytes::Bytes)>,
    ) -> Write {
        let (mut transaction, digest) = writes::decide(&self.keys, self.limits, &slot, bag, bytes);
        if self.is(Mutant::NoFloorGuard) {
            let floor = self.keys.floor();
            let other = |g: &store::Guard| !matches!(g, store::Guard::AtMost(k, _) if *k == floor);
            transaction.guards.retain(other);
        }
        let mut seen = Vec::new();
        for (_, a) in bag.into_iter().flatten() {
            if slot.tokens().any(|t| t == a.work.token()) {
                seen.push((a.work.token(), a.seen));
            }
        }
        let slot = Arc::new(slot);
        let proposal = Proposed { slot, digest, seen };
        Write::new(transaction, Some(proposal))
    }

    /// Makes a write with a chosen fate; returns the outcome for its author.
    pub(super) fn write(&self, world: &mut World, write: Write, fate: Fate) -> Outcome {
        let error = || StoreError::Io("model".into());
        match fate {
            Fate::Plain if self.land(world, &write) => Outcome::Committed,
            Fate::Plain => Outcome::Refused,
            Fate::Doubled if self.land(world, &write) => {
                world.hold(Held::new(write));
                Outcome::Committed
            }
            Fate::Doubled => Outcome::Refused,
            Fate::Failed => Outcome::Failed(error()),
            Fate::Held => {
                world.hold(Held::new(write));
                if self.is(Mutant::TimeoutIsRefusal) {
                    Outcome::Failed(error())
                } else {
                    Outcome::Unknown(error())
                }
            }
        }
    }

    /// A control's decision, under the token of a number.
    pub(super) fn decision(&self, number: u8, action: AskedAction, control: Control) -> Decision {
        Decision {
            operation: token(number),
            request: tlog::Hash([number; 32]),
            action,
            actor: String::new(),
            control,
            reason: None,
        }
    }

    /// Plans and opens a shard.
    pub(super) fn open(&self, base: Generation, name: &str) -> Control {
        let plan = vec![ShardIdentity {
            imported: None,
            name: name.into(),
            origin: name.into(),
            tree_id: u64::from(name.as_bytes()[0]),
            vkey: name.into(),
            ecdsa: None,
        }];
        Control::Reconfigure {
            base,
            document: tlog::Hash([0; 32]),
            plan,
            open: Some(name.into()),
        }
    }

    /// The promised work of a number.
    pub(super) fn promise(&self, number: u8, first_slot: SlotNumber) -> Promised {
        let mut kept = token(number).to_bytes();
        kept[0] |= 0x80;
        let bytes = bytes(number);
        Promised {
            batch: BatchRef {
                token: Token::from_bytes(kept),
                location: Some(Location::Promise),
                ..batch(number, None)
            },
            tier: "t".into(),
            tenant: "t".into(),
            bytes: bytes.len() as u64,
            deadline: UnixMillis::new(u64::from(number)),
            first_slot,
        }
    }
}

pub(super) fn is_promised(announcement: &Announcement) -> bool {
    matches!(announcement.work, Work::Promised(_))
}

/// The token of a number.
pub(super) fn token(number: u8) -> Token {
    let mut bytes = [0; 16];
    bytes[15] = number;
    Token::from_bytes(bytes)
}

/// The batch of a number.
pub(super) fn batch(number: u8, shard: Option<&str>) -> BatchRef {
    BatchRef {
        token: token(number),
        entries: 1,
        digest: record::digest(&bytes(number)),
        object: false,
        shard: shard.map(str::to_owned),
        location: None,
    }
}
