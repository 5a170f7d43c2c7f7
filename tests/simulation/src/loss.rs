//! The loss of the primary: all servers end, their stores are gone, and operators restore the log from its secondaries, as the
//! documentation says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use engine::{RestoreError, Restored};
use futures_util::FutureExt as _;
use order::keys::Keys;
use store::{Coordination as _, record};

use crate::disaster::{self, ORIGIN};
use crate::disks::Fate;
use crate::eras::Eras;
use crate::random::Dice;
use crate::secondary::Secondary;
use crate::server::Site;
use crate::twins;
use crate::world::World;
use crate::writer::LOG;

/// Attempts from those secondaries that the plan names; after that, from all.
const SOME: u32 = 3;
/// Attempts of all when all is calm, until it is said that nothing can be restored.
const CALM: u32 = 5;

/// A restore by force.
pub struct Forced {
    /// So many entries of the log are where they were.
    pub stays: u64,
    /// By origin: so many entries of a shard agree with everything that was signed.
    agreed: BTreeMap<String, u64>,
    /// Its operators unfreeze the log, whatever it lacks.
    unfreezes: bool,
}

impl Forced {
    /// Whether it does not have what was signed for so many entries of a shard.
    pub fn lacks(&self, origin: &str, size: u64) -> bool {
        self.agreed.get(origin).is_none_or(|has| *has < size)
    }
}

/// What became of the primary.
#[derive(Default)]
pub struct Primary {
    /// There is a log that can be lost.
    made: AtomicBool,
    /// It is lost, and not restored yet.
    lost: AtomicBool,
    /// It cannot be restored.
    given_up: AtomicBool,
    /// It was restored by force.
    forced: AtomicBool,
    /// By force it lacks what was signed.
    lacks: AtomicBool,
    /// Its operators leave it frozen: what it signs next could be a second root.
    left_frozen: AtomicBool,
    /// They have unfrozen it anyway: what it signs may be a second root.
    forked: AtomicBool,
    lives: AtomicU64,
    /// The number that the log has for its life, if it was restored by force.
    forced_life: AtomicU64,
}

impl Primary {
    /// The log is made.
    pub fn made(&self) {
        self.made.store(true, Relaxed);
    }

    /// Whether there is a log.
    pub fn is_made(&self) -> bool {
        self.made.load(Relaxed)
    }

    /// Whether it is lost, and not restored yet.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }

    /// Whether nothing can be restored.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }

    /// Whether its operators have accepted that it may sign second roots.
    pub fn is_forked(&self) -> bool {
        self.forked.load(Relaxed)
    }

    /// Its operators use it no more.
    pub fn give_up(&self) {
        self.given_up.store(true, Relaxed);
    }

    /// Whether nobody may unfreeze the log.
    pub fn is_left_frozen(&self) -> bool {
        self.left_frozen.load(Relaxed)
    }

    /// Its newest stores are there again.
    pub fn found(&self) {
        self.lost.store(false, Relaxed);
    }

    /// How often the log was restored.
    pub fn lives(&self) -> u64 {
        self.lives.load(Relaxed)
    }

    /// The number of a life that was restored by force; 0 for others.
    pub fn forced_life(&self) -> u64 {
        self.forced_life.load(Relaxed)
    }

    /// The loss of a log that is there.
    pub fn lose(&self) -> bool {
        self.made.load(Relaxed) && !self.is_given_up() && !self.lost.swap(true, Relaxed)
    }
}

/// Loses the primary, and restores the log from these secondaries; `force`: whatever is missing.
pub async fn lose(world: Arc<World>, number: u64, from: u32, force: bool) {
    if !world.primary.lose() {
        return;
    }
    let Some(first) = world.servers.first() else {
        return;
    };
    world.trace.say(format_args!("the primary is lost"));
    world.servers.iter().for_each(|server| server.hold());
    world.twins.stop();
    let store = first.site().coordination.clone();
    let eras = world.network.copies.review(&store.rows());
    for secondary in &world.network.secondaries {
        secondary.forget_known(crate::copies::storage_number(&store, &secondary.name));
    }
    let signed = world.judge.signed_below(ORIGIN);
    let mut dice = world.dice(&format!("loss-{number}"));
    let Some((restored, site)) = restore(&world, number, (from, force), &mut dice).await else {
        world.trace.say(format_args!("the log is given up"));
        world.primary.given_up.store(true, Relaxed);
        return;
    };
    let forced = restored.warnings.iter().any(|w| w.starts_with("forced:"));
    let found = (&restored, &*site.objects);
    let unfreezes = dice.chance(400_000);
    let by_force = match forced {
        true => {
            let agreed = disaster::agreed(&world, found).await;
            let stays = eras.map_or(0, |eras| stays(&eras, &restored, &agreed));
            Some(Forced {
                stays,
                agreed,
                unfreezes,
            })
        }
        false => None,
    };
    disaster::check(&world, "the restore", &signed, found, by_force.as_ref()).await;
    begin_again(&world, &restored, &site, by_force);
    if !forced && world.plan.nodes.count == 0 && dice.chance(300_000) {
        world.employ(twins::restore(Arc::clone(&world), number));
    }
}

/// How many entries are where they were: by force, a closed shard may lack entries, and what follows moves.
fn stays(eras: &Eras, restored: &Restored, agreed: &BTreeMap<String, u64>) -> u64 {
    let mut index = 0;
    for (shard, size, _) in &restored.shards {
        let origin = format!("{ORIGIN}/{shard}");
        if eras.start(&origin) != Some(index) {
            break;
        }
        let agreed = agreed.get(&origin).copied().unwrap_or(0);
        index += agreed;
        if agreed < size.get() {
            break;
        }
    }
    index
}

/// Tries until the log is restored; nothing if it cannot be.
async fn restore(
    world: &World,
    number: u64,
    (from, force): (u32, bool),
    dice: &mut Dice,
) -> Option<(Restored, Arc<Site>)> {
    let mut site = Site::new();
    let (mut calm, mut refused) = (0, 0);
    for attempt in 1_u32.. {
        tokio::time::sleep(dice.span(100, 20_000)).await;
        if world.judge.broken().is_some() {
            return None;
        }
        let all = attempt > SOME || world.is_calm();
        let from = if all { u32::MAX } else { from };
        let force = force && refused > 1;
        let process = disaster::process(world, &format!("restore-{number}.{attempt}"));
        let made = tokio::select! {
            () = process.dead() => continue,
            made = disaster::restore(world, &process, &site, disaster::trusted(world, from), force) => made,
        };
        let Err(error) = made else {
            return made.ok().map(|restored| (restored, site));
        };
        world.trace.say(format_args!("{}: {error}", process.name));
        match error {
            // The one before was made, and nobody was told.
            RestoreError::Exists(_) => site = Site::new(),
            RestoreError::TooFew(_) if all => refused += 1,
            _ => {}
        }
        let down = world.network.secondaries.iter().any(|one| one.is_down());
        calm += u32::from(world.is_calm() && !down);
        if calm >= CALM {
            unexplained(world, &error);
            return None;
        }
    }
    None
}

/// Operators do what the log asks for when all is calm: restore it again, or give a secondary an empty folder that has cosigned more than was
/// restored and that nobody has seen.
pub fn remedy(world: &Arc<World>, why: &str) {
    if world.primary.is_forked() {
        return;
    }
    // What a witness has cosigned of the other primary is ahead of this one.
    let ahead = why.contains("is older than what was made from it");
    let behind = why.contains(twins::BEHIND);
    if (ahead || behind || why.contains(twins::ELSEWHERE)) && twins::adopt(world) {
        return;
    }
    let lacks = |(origin, (size, _)): (&String, &(u64, tlog::Hash))| {
        world.network.copies.restored_size(origin) < Some(*size)
    };
    if why.contains("it does not say whether it has the older shards") || why.contains(" lacks ") {
        begin_secondaries_again(world, why);
    }
    let has_more = why.contains("read \"Restore a lost primary\"");
    let more_was_signed = world.judge.signed_below(ORIGIN).iter().any(lacks);
    let named = |one: &&Arc<Secondary>| {
        why.contains(&format!("secondary {} ", one.name))
            || why.contains(&format!("{}: {}", one.name, twins::FUTILE))
    };
    let secondaries = world.network.secondaries.iter();
    let named: Vec<_> = secondaries.filter(named).collect();
    let empty = |secondary: &Secondary| {
        let mut dice = world.dice(&format!("empty-{}", secondary.name));
        secondary.lose(world, Fate::Empty, &mut dice);
    };
    // What the other primary had signed is on its secondaries.
    let is_twin = ahead && world.primary.lives() > 0;
    if why.contains("restore the log again") || has_more && more_was_signed || is_twin {
        let what = format_args!("the log is restored again: {why}");
        world.trace.say(what);
        // An older copy of a disk is never restored from, and those that a forced restore gave up stay given up.
        let given_up = |one: &Secondary| one.life() < world.primary.forced_life();
        let unwanted = named.iter().filter(|one| one.poses() || given_up(one));
        unwanted.for_each(|one| empty(one));
        let number = 1_000_000 + world.primary.lives();
        let force = world.primary.forced.load(Relaxed);
        tokio::spawn(lose(Arc::clone(world), number, u32::MAX, force));
    } else if has_more || why.contains(twins::FUTILE) {
        named.iter().for_each(|one| empty(one));
    }
}

/// A secondary whose rows are older than its files refuses some shards. Its operator finds that in its log, and gives it an empty folder.
fn begin_secondaries_again(world: &World, why: &str) {
    let secondaries = world.network.secondaries.iter();
    let is_named = |name: &str| {
        why.contains(&format!("{name}: ")) || why.contains(&format!("secondary {name} lacks"))
    };
    let named = secondaries.filter(|one| is_named(&one.name));
    for secondary in named.filter(|one| one.is_touched()) {
        let mut dice = world.dice(&format!("again-{}", secondary.name));
        secondary.lose(world, Fate::Empty, &mut dice);
    }
}

/// Whether a log that was restored by force is halted for good, because somebody has what it lacks. Its operators give it up then.
pub fn ends(world: &World, why: &str) -> bool {
    let proven = ["older than what was made from it", "has two histories"];
    let proven = proven.iter().any(|words| why.contains(words));
    let ends = world.primary.lacks.load(Relaxed) && why.contains("halted") && proven;
    if ends {
        let what = format_args!("others have what it lacks, and it is given up: {why}");
        world.trace.say(what);
        world.primary.give_up();
    }
    ends
}

/// All secondaries answer, and still nothing can be restored: there must be a reason.
fn unexplained(world: &World, error: &RestoreError) {
    let whole = world.network.secondaries.iter().all(|one| !one.is_hurt());
    if let RestoreError::TooFew(why) = error
        && whole
        && world.primary.forced_life() == 0
        && !why.contains("backupQuorum")
    {
        let what = format!("{error}");
        world.judge.object("a log can be restored", what);
    }
}

/// The servers run on the restored stores.
pub fn begin_again(world: &World, restored: &Restored, site: &Arc<Site>, forced: Option<Forced>) {
    let (mut starts, mut sizes) = (BTreeMap::new(), BTreeMap::new());
    let mut start = 0;
    for (shard, size, _) in &restored.shards {
        let origin = format!("{ORIGIN}/{shard}");
        starts.insert(origin.clone(), start);
        sizes.insert(origin, size.get());
        start += size.get();
    }
    let signed = world.judge.signed_below(ORIGIN);
    let lacks = |forced: &Forced| {
        let mut signed = signed.iter();
        signed.any(|(origin, (size, _))| forced.lacks(origin, *size))
    };
    // Its last shard is open again, though its seal may be known.
    let last = restored.shards.last();
    let last = last.map(|(shard, ..)| format!("{ORIGIN}/{shard}"));
    let reopens = last.is_some_and(|origin| world.judge.is_sealed(&origin));
    let by_force = forced.is_some();
    let lacks = forced
        .as_ref()
        .is_some_and(|forced| reopens || lacks(forced));
    let forks = lacks && forced.as_ref().is_some_and(|forced| forced.unfreezes);
    let is_told = |warning: &String| warning.contains("a second root of a size");
    if lacks && !restored.warnings.iter().any(is_told) {
        let what = format!("{:?}", restored.warnings);
        let rule = "an operator is told what force may do";
        world.judge.object(rule, what);
    }
    world.primary.lacks.store(lacks, Relaxed);
    world.primary.left_frozen.store(lacks && !forks, Relaxed);
    world.primary.forked.store(forks, Relaxed);
    let (stays, agreed) = match forced {
        Some(forced) => (forced.stays, forced.agreed),
        None => (restored.entries.get(), sizes.clone()),
    };
    let lack = lacks.then_some(forks);
    world.judge.restored(ORIGIN, stays, &agreed, lack);
    world.trail.lost();
    world.recall.lost();
    let generation = restored.generation.get();
    let copies = &world.network.copies;
    if by_force {
        copies.forget_lost(&agreed);
    }
    copies.restored(starts, sizes, generation, forks);
    world.storage.found_again();
    world.primary.forced.store(by_force, Relaxed);
    let row = site.coordination.get(&Keys::new(LOG).restored());
    let row = row.now_or_never().and_then(Result::ok).flatten();
    let life = row.and_then(|row| record::decode_number(&row).ok());
    let life = life.filter(|_| by_force).unwrap_or(0);
    world.primary.forced_life.store(life, Relaxed);
    world.primary.lives.fetch_add(1, Relaxed);
    for server in &world.servers {
        server.adopt(site);
    }
    world.primary.lost.store(false, Relaxed);
    for server in &world.servers {
        server.release();
    }
}
