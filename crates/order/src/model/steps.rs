//! The steps of each process.

use std::sync::Arc;

use crate::answer::CommitError;
use crate::attempt::{Attempt, Step};
use crate::chunk::UploadId;
use crate::deletion::{Announced, Evidence};
use crate::location::Location;
use crate::model::Mutant;
use crate::model::actors::{
    Actor, After, Bag, Collecting, Collector, Committer, Item, Promise, Promiser, Releaser,
    Releasing, Row, Working, Write, bytes,
};
use crate::model::world::{Fate, Protocol, World, batch, is_promised};
use crate::proposal::Proposal;
use crate::propose::{not_dead, propose};
use crate::queue::QueueRefusal;
use crate::slot::{Action as AskedAction, Control};
use crate::state::Intake;
use crate::view::View;
use crate::work::{Announcement, Promised, Work};
use crate::{SlotNumber, writes};
use store::{Guard, Key, Outcome, Transaction};
use tlog::UnixMillis;

impl Protocol {
    /// Whether the next step of a process writes.
    pub(super) fn writes(&self, actor: &Actor) -> bool {
        match actor {
            Actor::Committer(c) => c.work.as_ref().map_or(!c.asks_first(), |w| match w.step {
                Step::Announce(_) => true,
                Step::Decide { look, .. } => !look || w.bag.is_some(),
                Step::Read | Step::Done => false,
            }),
            Actor::Promiser(p) => !p.refused,
            Actor::Releaser(r) => matches!(
                r.at,
                Releasing::Settle(_, Some(_), _)
                    | Releasing::Release(_)
                    | Releasing::Announce(_)
                    | Releasing::Decide(_)
            ),
            Actor::Collector(c) => {
                matches!(
                    c.at,
                    Collecting::Raise(_)
                        | Collecting::Sweep(..)
                        | Collecting::Settle(_, _, Some(_))
                )
            }
            Actor::Gone => false,
        }
    }

    pub(super) fn step(&self, world: &mut World, i: usize, fate: Fate) {
        let actor = std::mem::replace(&mut world.actors[i], Actor::Gone);
        world.actors[i] = match actor {
            Actor::Committer(c) => self.commit(world, c, fate),
            Actor::Promiser(p) => self.put_promise(world, p, fate),
            Actor::Releaser(r) => Actor::Releaser(self.release(world, r, fate)),
            Actor::Collector(c) => Actor::Collector(self.collect(world, c, fate)),
            Actor::Gone => Actor::Gone,
        };
    }

    /// Reads the slots on from `len`; `None` when some of them were collected.
    fn read(&self, world: &World, len: SlotNumber) -> Option<SlotNumber> {
        let now = world.len();
        (len == now || world.rows.get(&self.keys.slot(len)).is_some()).then_some(now)
    }

    fn commit(&self, world: &mut World, mut c: Committer, fate: Fate) -> Actor {
        let asks = c.asks_first();
        let mut w = c.work.take().unwrap_or_else(|| self.begin(world, &c));
        if asks {
            // Its first slot is known before the row is found absent; who finds it is told where the part is.
            let batch = w.mine[0].work.batch();
            let place = batch.and_then(|b| Some(self.keys.placed(b.location.as_ref()?, b.token)));
            if place.is_some_and(|key| world.rows.get(&key).is_some()) {
                c.next += 1;
            } else {
                c.work = Some(w);
            }
            return c.goes_on();
        }
        w.step = match w.step.clone() {
            Step::Read => {
                let Some(len) = self.read(world, c.len) else {
                    return Actor::Gone; // It says that it must be restarted; the outcome is unknown.
                };
                w.attempt.read(len - c.len);
                c.len = len;
                if world.flagged {
                    c.flagged = true;
                }
                w.attempt.next(&self.view(world, c.len), &w.mine)
            }
            Step::Announce(seen) => {
                let open: Vec<&Proposal> = w.attempt.open(&w.mine).collect();
                let write = Write::new(writes::announce(&self.keys, seen, &open), None);
                let outcome = self.write(world, write, fate);
                w.attempt.announced(&outcome)
            }
            Step::Decide { look, .. } if look && w.bag.is_none() => {
                w.bag = Some(self.scan(world, c.len));
                w.step.clone()
            }
            Step::Decide { look: true, .. } if self.is(Mutant::ScanBeforeRead) && !w.read => {
                let Some(len) = self.read(world, c.len) else {
                    return Actor::Gone;
                };
                (c.len, w.read) = (len, true);
                w.step.clone()
            }
            Step::Decide { bytes, .. } => {
                let outcome = self.propose(world, &mut c, &w, bytes, fate);
                (w.bag, w.read) = (None, false);
                w.attempt.decided(&outcome);
                w.attempt.next(&self.view(world, c.len), &w.mine)
            }
            Step::Done => Step::Done,
        };
        if self.is(Mutant::AnnouncesAgain)
            && matches!(w.attempt.answers[..], [Some(Err(CommitError::Overtaken))])
        {
            w.attempt = Attempt::new(c.len, 1, true);
            w.step = w.attempt.next(&self.view(world, c.len), &w.mine);
        }
        if c.flagged && self.is(Mutant::FreezeIsAFlag) && w.mine[0].work.batch().is_some() {
            for answer in w.attempt.answers.iter_mut().filter(|a| a.is_none()) {
                *answer = Some(Err(CommitError::Frozen));
            }
            w.step = Step::Done;
        }
        if w.step == Step::Done {
            for (m, answer) in w.mine.iter().zip(w.attempt.answers()) {
                let again = c.items[c.next + 1..].contains(&c.items[c.next]);
                self.answered(world, &m.work, &answer, again);
            }
            c.next += 1;
        } else {
            c.work = Some(w);
        }
        c.goes_on()
    }

    /// Takes up the next item.
    fn begin(&self, world: &World, c: &Committer) -> Working {
        let view = self.view(world, c.len);
        let mine = Arc::new(vec![self.mine(&view, c.items[c.next])]);
        let mut attempt = Attempt::new(c.len, mine.len(), c.contended);
        let step = attempt.next(&view, &mine);
        Working {
            mine,
            attempt,
            step,
            bag: None,
            read: false,
        }
    }

    /// A committer's proposal for the next slot.
    fn propose(
        &self,
        world: &mut World,
        c: &mut Committer,
        w: &Working,
        bytes: bool,
        fate: Fate,
    ) -> Outcome {
        if !self.limits.covers(c.len, w.attempt.scanned_to()) {
            return Outcome::Refused;
        }
        let open: Vec<&Proposal> = w.attempt.open(&w.mine).collect();
        if self.is(Mutant::FreezeIsAFlag)
            && let [
                Proposal {
                    work: Work::Control(d),
                    ..
                },
            ] = open[..]
            && d.control == Control::Freeze
        {
            // A row beside the slots.
            let mut write = Write::new(Transaction::default(), None);
            write.flag = true;
            return self.write(world, write, fate);
        }
        let works: Vec<Work> = open.iter().map(|m| m.work.clone()).collect();
        let bag = w.bag.as_ref().map(|bag| bag.0.as_slice());
        let open = if bytes { open } else { Vec::new() };
        let (outcome, len) = self.propose_with(world, c.len, bag, &works, &open, fate);
        c.len = len;
        outcome
    }

    /// A proposal of the bag and of works; and how many slots its author knows then.
    fn propose_with(
        &self,
        world: &mut World,
        len: SlotNumber,
        bag: Option<&[(Key, Announcement)]>,
        works: &[Work],
        bytes: &[&Proposal],
        fate: Fate,
    ) -> (Outcome, SlotNumber) {
        let mut view = self.view(world, len);
        if self.is(Mutant::FreezeSparesAnnouncements) {
            let mut spared = View::clone(&view);
            spared.state.last_freeze = None;
            view = Arc::new(spared);
        }
        let announced: Vec<_> = bag.into_iter().flatten().map(|(_, a)| a.clone()).collect();
        let Some(slot) = propose(&view, &announced, works, UnixMillis::ZERO) else {
            return (Outcome::Refused, len);
        };
        let bytes = writes::ordered(&self.keys, &slot, bytes);
        let write = self.decide(slot, bag, bytes);
        let outcome = self.write(world, write, fate);
        let committed = matches!(outcome, Outcome::Committed);
        (outcome, len + u64::from(committed))
    }

    /// The announcements that a committer with `len` known slots finds in the bag.
    fn scan(&self, world: &World, len: SlotNumber) -> Bag {
        let from = self.keys.bag_from(len.back(self.limits.window));
        let rows = self.announcements(&world.rows);
        let rows = rows.filter(|(key, _)| **key >= *from);
        Bag(Arc::new(rows.map(|(key, a)| (key.to_owned(), a)).collect()))
    }

    fn mine(&self, view: &View, item: Item) -> Proposal {
        let control = |number, action, control| {
            let decision = self.decision(number, action, control);
            Proposal::fresh(Work::Control(decision), bytes::Bytes::new())
        };
        match item {
            Item::Batch(n) => Proposal::fresh(Work::Batch(batch(n, None)), bytes(n)),
            Item::BatchFor(n, shard) => {
                Proposal::fresh(Work::Batch(batch(n, Some(shard))), bytes(n))
            }
            Item::Part(n, offset) => {
                let mut part = batch(n, None);
                let id = UploadId([1; 16]);
                part.location = Some(Location::Upload { id, offset });
                let part = Proposal::fresh(Work::Batch(part), bytes(n));
                let first_slot = Some(view.state.len);
                Proposal { first_slot, ..part }
            }
            Item::Rotate(n, name) => control(
                n,
                AskedAction::Rotate,
                self.open(view.state.generation, name),
            ),
            Item::Closing(n) => control(n, AskedAction::Freeze, Control::Closing),
            Item::Freeze(n) => control(n, AskedAction::Freeze, Control::Freeze),
            Item::Unfreeze(n) => control(n, AskedAction::Unfreeze, Control::Unfreeze),
            Item::Delete(n) => control(n, AskedAction::Delete, Control::Delete),
            Item::Undelete(n) => control(n, AskedAction::Undelete, Control::Undelete),
        }
    }

    fn put_promise(&self, world: &mut World, mut p: Promiser, fate: Fate) -> Actor {
        let work = self.promise(p.token, p.len);
        let token = work.batch.token;
        if p.refused {
            let somewhere = p.doubt
                && (self.queued(&world.rows).any(|q| q.batch.token == token)
                    || world.rows.get(&self.keys.placed_promise(token)).is_some()
                    || self
                        .announcements(&world.rows)
                        .any(|(_, a)| a.work.token() == token));
            let closing = world.rows.get(&self.keys.closing()).is_some();
            match QueueRefusal::of(p.doubt, somewhere, closing) {
                QueueRefusal::Promised => self.promised(world, token),
                QueueRefusal::Unknown => {}
                QueueRefusal::Closed => self.rejected(world, token),
                QueueRefusal::Again => {
                    let Some(len) = self.read(world, p.len) else {
                        return Actor::Gone;
                    };
                    (p.len, p.refused) = (len, false);
                    return Actor::Promiser(p);
                }
            }
            return Actor::Gone;
        }
        let transaction = writes::enqueue(&self.keys, &[(work, bytes(p.token))]);
        match self.write(world, Write::new(transaction, None), fate) {
            Outcome::Committed => {
                self.promised(world, token);
                return Actor::Gone;
            }
            Outcome::Failed(_) if !p.doubt => {
                self.rejected(world, token);
                return Actor::Gone;
            }
            Outcome::Failed(_) | Outcome::Unknown(_) => p.doubt = true,
            Outcome::Refused => p.refused = true,
        }
        Actor::Promiser(p)
    }

    fn release(&self, world: &mut World, mut r: Releaser, fate: Fate) -> Releaser {
        let frozen = |world: &World, len| {
            matches!(self.view(world, len).state.intake, Intake::Frozen { .. })
        };
        let then = |world: &World, len, after| match after {
            After::Choose if frozen(world, len) => Releasing::Idle,
            After::Choose => Releasing::Choose,
            After::Help => Releasing::Help,
        };
        r.at = match r.at {
            Releasing::Idle => {
                let view = self.view(world, r.len);
                let dead = |a: &_| !not_dead(&view, a);
                let rows = self.announcements(&world.rows);
                let rows: Vec<Row> = rows
                    .filter(|(_, a)| is_promised(a) && dead(a))
                    .filter_map(|(key, a)| row(key, a.work))
                    .collect();
                if rows.is_empty() {
                    then(world, r.len, After::Choose)
                } else {
                    Releasing::Settle(rows, None, After::Choose)
                }
            }
            Releasing::Settle(mut rows, placed, after) => {
                match self.settle(world, &mut rows, placed, fate) {
                    Settled::Again(placed) => Releasing::Settle(rows, placed, after),
                    Settled::Done => then(world, r.len, after),
                    Settled::Trouble => Releasing::Idle,
                }
            }
            Releasing::Choose => {
                let works: Vec<Promise> = self.queued(&world.rows).map(Promise).collect();
                if !works.is_empty() {
                    Releasing::Refresh(works)
                } else if self
                    .announcements(&world.rows)
                    .any(|(_, a)| is_promised(&a))
                {
                    Releasing::Help
                } else {
                    Releasing::Idle
                }
            }
            Releasing::Refresh(works) => match self.read(world, r.len) {
                Some(len) => {
                    r.len = len;
                    Releasing::Release(works)
                }
                None => Releasing::Idle,
            },
            Releasing::Release(works) => {
                let all: Vec<Promised> = works.iter().map(|p| p.0.clone()).collect();
                let mut transaction = writes::release(&self.keys, r.len, &all);
                if self.is(Mutant::QueueRowFirst) {
                    transaction.puts.clear();
                }
                match self.write(world, Write::new(transaction, None), fate) {
                    Outcome::Committed if self.is(Mutant::QueueRowFirst) => {
                        Releasing::Announce(works)
                    }
                    Outcome::Committed => Releasing::Help,
                    Outcome::Refused => {
                        let rows = works.into_iter();
                        let rows = rows.map(|p| (self.keys.queued(&p.0), p)).collect();
                        Releasing::Settle(rows, None, After::Help)
                    }
                    Outcome::Failed(_) | Outcome::Unknown(_) => Releasing::Idle,
                }
            }
            Releasing::Announce(works) => {
                let all: Vec<Promised> = works.iter().map(|p| p.0.clone()).collect();
                let mut transaction = writes::release(&self.keys, r.len, &all);
                transaction.deletes.clear();
                transaction
                    .guards
                    .retain(|g| !matches!(g, Guard::Present(_)));
                self.write(world, Write::new(transaction, None), fate);
                Releasing::Help
            }
            Releasing::Help => match self.read(world, r.len) {
                Some(len) => {
                    r.len = len;
                    Releasing::Scan
                }
                None => Releasing::Idle,
            },
            Releasing::Scan => Releasing::Decide(self.scan(world, r.len)),
            Releasing::Decide(bag) => {
                let bag = Some(bag.0.as_slice());
                (_, r.len) = self.propose_with(world, r.len, bag, &[], &[], fate);
                Releasing::Idle
            }
        };
        r
    }

    /// One step towards the right place for the last row.
    fn settle(
        &self,
        world: &mut World,
        rows: &mut Vec<Row>,
        placed: Option<bool>,
        fate: Fate,
    ) -> Settled {
        let Some((key, promise)) = rows.last() else {
            return Settled::Done;
        };
        let write = match placed {
            None => {
                let place = self.keys.placed_promise(promise.0.batch.token);
                let placed = world.rows.get(&place).is_some();
                if writes::settle(&self.keys, key, &promise.0, placed).is_some() {
                    return Settled::Again(Some(placed));
                }
                None
            }
            Some(placed) => writes::settle(&self.keys, key, &promise.0, placed),
        };
        if let Some(transaction) = write {
            match self.write(world, Write::new(transaction, None), fate) {
                Outcome::Committed | Outcome::Refused => {}
                Outcome::Failed(_) | Outcome::Unknown(_) => return Settled::Trouble,
            }
        }
        rows.pop();
        if rows.is_empty() {
            Settled::Done
        } else {
            Settled::Again(None)
        }
    }

    fn collect(&self, world: &mut World, mut c: Collector, fate: Fate) -> Collector {
        c.at = match c.at {
            Collecting::Idle => match self.read(world, c.len) {
                Some(len) => {
                    c.len = len;
                    Collecting::Floor
                }
                None => Collecting::Idle,
            },
            Collecting::Floor => Collecting::Raise(world.floor(&self.keys)),
            Collecting::Raise(before) => {
                let published = self.view(world, self.published(c.len));
                let len = self.evidence(world, c.len).len();
                match writes::raise(&self.keys, self.limits, before, len, &published.state) {
                    Some((floor, transaction)) => {
                        match self.write(world, Write::new(transaction, None), fate) {
                            Outcome::Committed => Collecting::Bag(floor),
                            _ => Collecting::Idle,
                        }
                    }
                    None => Collecting::Idle,
                }
            }
            Collecting::Bag(floor) => {
                let evidence = self.evidence(world, c.len).with_floor(floor);
                let (mut deletes, mut rows) = (Vec::new(), Vec::new());
                for (key, a) in self.announcements(&world.rows) {
                    let fate = match evidence.announced(a.seen, &a.work) {
                        Announced::Goes if self.is(Mutant::DeletesWithoutSlots) => {
                            Announced::GoesWithBatch
                        }
                        fate => fate,
                    };
                    match fate {
                        Announced::Stays => {}
                        Announced::Goes => deletes.push(key.to_owned()),
                        Announced::GoesWithBatch => {
                            deletes.push(key.to_owned());
                            deletes.push(self.keys.batch(a.work.token()));
                        }
                        Announced::Settles => rows.extend(row(key, a.work)),
                    }
                }
                Collecting::Sweep(floor, deletes, rows)
            }
            Collecting::Sweep(floor, deletes, rows) => {
                let transaction = Transaction {
                    deletes,
                    ..Transaction::default()
                };
                match self.write(world, Write::new(transaction, None), fate) {
                    Outcome::Committed if rows.is_empty() => Collecting::Slots(floor),
                    Outcome::Committed => Collecting::Settle(floor, rows, None),
                    _ => Collecting::Idle,
                }
            }
            Collecting::Settle(floor, mut rows, placed) => {
                match self.settle(world, &mut rows, placed, fate) {
                    Settled::Again(placed) => Collecting::Settle(floor, rows, placed),
                    Settled::Done => Collecting::Slots(floor),
                    Settled::Trouble => Collecting::Idle,
                }
            }
            Collecting::Slots(floor) => {
                let evidence = self.evidence(world, c.len).with_floor(floor);
                let going = world.history.iter().map(|d| &d.slot);
                let going = going.filter(|slot| evidence.slot_goes(slot.number));
                let rows = going.flat_map(|slot| {
                    let batches = slot.batches.iter().map(|b| self.keys.batch(b.token));
                    batches.chain([self.keys.slot(slot.number)])
                });
                let snapshots = SlotNumber::ZERO
                    .until(c.len)
                    .filter(|n| evidence.snapshot_goes(*n));
                let snapshots = snapshots.map(|n| self.keys.snapshot(n));
                let deletes = rows.chain(snapshots).collect();
                self.delete(world, deletes);
                self.collected(world, self.published(c.len));
                Collecting::Idle
            }
        };
        c
    }

    /// Published slots, as known to an actor that has read this many slots: publication may be behind the order.
    fn published(&self, len: SlotNumber) -> SlotNumber {
        len.back(self.lag).max(SlotNumber::new(1))
    }

    fn evidence(&self, world: &World, len: SlotNumber) -> Evidence {
        let published = self.published(len);
        let slots = world.history.iter().map(|d| &*d.slot);
        let read = slots.filter(|slot| (published..len).contains(&slot.number));
        Evidence::new(self.limits, published, read)
    }

    fn delete(&self, world: &mut World, deletes: Vec<Key>) {
        let transaction = Transaction {
            deletes,
            ..Transaction::default()
        };
        self.land(world, &Write::new(transaction, None));
    }
}

/// How far the settling of rows is.
enum Settled {
    /// The last row's place was looked up, or there is another row.
    Again(Option<bool>),
    Done,
    Trouble,
}

fn row(key: &str, work: Work) -> Option<Row> {
    match work {
        Work::Promised(promised) => Some((key.to_owned(), Promise(promised))),
        Work::Batch(_) | Work::Control(_) => None,
    }
}
