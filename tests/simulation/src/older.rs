//! A coordination store that goes back: an operator puts an older copy of it in place, and the objects stay. Whoever looks at the signed
//! checkpoints can prove it. Until the newest one is back, the log is halted, and nothing is acknowledged or signed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use order::keys::{Keys, LOGS};
use store::{Key, MemoryCoordination, record};
use tlog::{Checkpoint, Note};

use crate::disaster::Disaster;
use crate::plan::{Action, Event, Plan};
use crate::random::Dice;
use crate::server::Site;
use crate::world::World;
use crate::writer::LOG;

/// How long servers may run on an older store when all is calm before that counts as unnoticed.
const NOTICED: Duration = Duration::from_secs(600);

/// The copy that an operator keeps of the coordination store.
#[derive(Default)]
pub struct Copies(Mutex<Option<Copy>>);

impl Copies {
    fn newest(&self) -> MutexGuard<'_, Option<Copy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Copy {
    rows: BTreeMap<Key, Bytes>,
    /// By shard of the log: the entries under its published position.
    published: BTreeMap<String, u64>,
    /// How often the log had been restored when the copy was made.
    life: u64,
}

/// Adds copies of the coordination store to a plan, and moments at which one is put back.
pub fn join(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed).fork("older");
    if !dice.chance(600_000) {
        return;
    }
    let mut events = Vec::new();
    for event in std::mem::take(&mut plan.events) {
        events.push(event);
        for (chance, what) in [(100_000, Disaster::Copy), (60_000, Disaster::PutBack)] {
            if dice.chance(chance) {
                events.push(Event {
                    after: dice.span(1, 3_000),
                    what: Action::Disaster(what),
                });
            }
        }
    }
    plan.events = events;
}

/// The published positions of the log in these rows.
pub fn published(rows: &BTreeMap<Key, Bytes>) -> BTreeMap<String, u64> {
    let prefix = Keys::new(LOG).all_published();
    let of = |(key, row): (&Key, &Bytes)| {
        let shard = key.strip_prefix(&prefix)?;
        let read = record::decode_numbered::<serde_json::Value>(row).ok()?;
        Some((shard.to_owned(), read.0))
    };
    rows.iter().filter_map(of).collect()
}

/// Whether readers have a checkpoint that is ahead of these positions, and entries that an older copy of the store has not ordered.
fn is_proven(newest: &Site, copy: &Copy) -> bool {
    let slots = Keys::new(LOG).slots();
    let ordered = |rows: &BTreeMap<Key, Bytes>| {
        let all = rows.range(slots.clone()..);
        let all = all.take_while(|(key, _)| key.starts_with(&slots));
        all.map(|(key, row)| (key.clone(), row.clone()))
            .collect::<Vec<_>>()
    };
    let last = ordered(&copy.rows).pop().map(|(key, _)| key);
    let rows = newest.coordination.rows();
    let missing = ordered(&rows).into_iter();
    let mut missing = missing.skip_while(|(key, _)| last.as_ref().is_some_and(|last| key <= last));
    let start = missing.next().and_then(|(_, row)| {
        let slot: serde_json::Value = record::decode(&row).ok()?;
        slot["start"].as_u64()
    });
    let objects = newest.objects.objects().into_iter();
    let sizes: BTreeMap<_, _> = objects
        .filter_map(|(path, bytes)| {
            let shard = path
                .strip_prefix(&format!("{LOG}/"))?
                .strip_suffix("/checkpoint")?;
            let note = std::str::from_utf8(&bytes).ok()?;
            let checkpoint = Checkpoint::parse(Note::parse(note).ok()?.text).ok()?;
            Some((shard.to_owned(), checkpoint.size))
        })
        .collect();
    let here = |shard: &String| copy.published.get(shard).copied().unwrap_or(0);
    let is_ahead = sizes.iter().any(|(shard, size)| *size > here(shard));
    is_ahead && start.is_some_and(|start| sizes.values().sum::<u64>() > start)
}

/// An operator copies the coordination store, beside running servers.
pub fn copy(world: &World) {
    let Some(first) = world.servers.first() else {
        return;
    };
    let rows = first.site().coordination.rows();
    let published = published(&rows);
    // On a copy without the log of the audit trail no server starts, so none would halt.
    let is_whole = rows.contains_key(&format!("{LOGS}{}", engine::SYSTEM));
    if world.primary.is_lost() || published.is_empty() || !is_whole {
        return;
    }
    let copy = Copy {
        rows,
        published,
        life: world.primary.lives(),
    };
    *world.copies.newest() = Some(copy);
}

/// The copy is put back, if somebody can prove that it is older; and after a while, when the log is halted, the newest store.
pub async fn put_back(world: Arc<World>, number: u64) {
    let copy = world.copies.newest().take();
    let (Some(copy), Some(first)) = (copy, world.servers.first()) else {
        return;
    };
    let newest = first.site();
    if copy.life != world.primary.lives() || !is_proven(&newest, &copy) {
        return;
    }
    if !world.primary.lose() {
        return;
    }
    let mut dice = world.dice(&format!("older-{number}"));
    if dice.chance(400_000) {
        return goes_back(&world, &newest, copy, &mut dice).await;
    }
    world.trace.say(format_args!(
        "an older coordination store is put in place: {:?}",
        copy.published
    ));
    let older = Arc::new(Site {
        coordination: Arc::new(MemoryCoordination::with(copy.rows)),
        objects: Arc::clone(&newest.objects),
    });
    let mut move_to = async |site: &Arc<Site>| {
        world.servers.iter().for_each(|server| server.hold());
        tokio::time::sleep(dice.span(10, 5_000)).await;
        world.servers.iter().for_each(|server| server.adopt(site));
        world.servers.iter().for_each(|server| server.release());
        dice.span(1_000, 120_000)
    };
    let stays = move_to(&older).await;
    let why = noticed(&world).await;
    world.trace.say(format_args!("it is noticed: {why}"));
    tokio::time::sleep(stays).await;
    move_to(&newest).await;
    world.trace.say(format_args!("the newest one is back"));
    world.primary.found();
}

/// The store goes back beneath running servers, as after a failover to a copy that is behind. They must notice, and until then they may sign
/// no second history; what they say meanwhile is void. Then the log is given up: what its operators do next is a restore.
async fn goes_back(world: &World, site: &Site, copy: Copy, dice: &mut Dice) {
    world.trace.say(format_args!(
        "the coordination store goes back beneath its servers: {:?}",
        copy.published
    ));
    world.judge.doubt();
    drop(site.coordination.replace(copy.rows));
    let why = noticed(world).await;
    world.trace.say(format_args!("it is noticed: {why}"));
    tokio::time::sleep(dice.span(1_000, 60_000)).await;
    world.servers.iter().for_each(|server| server.hold());
    world.trace.say(format_args!("the log is given up"));
    world.primary.give_up();
}

/// Waits until a server halts the log, and returns why.
async fn noticed(world: &World) -> String {
    let mut calm = Duration::ZERO;
    let pause = Duration::from_millis(500);
    while world.judge.broken().is_none() {
        tokio::time::sleep(pause).await;
        let logs = world.servers.iter().filter_map(|server| server.running());
        let mut logs = logs.filter_map(|running| running.engine.log(LOG));
        if let Some(why) = logs.find_map(|log| log.halted()) {
            return why;
        }
        calm += if world.is_calm() {
            pause
        } else {
            Duration::ZERO
        };
        if calm > NOTICED {
            let what = "no server halted the log".to_owned();
            world.judge.object("an older store is noticed", what);
        }
    }
    String::new()
}
