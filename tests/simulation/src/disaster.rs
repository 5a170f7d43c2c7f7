//! Restores from the secondaries, as `logd restore` makes them, and what must be in the result.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambient::testing::Moved;
use ambient::{Ambient, Random};
use engine::{Restore, RestoreError, Restored};
use store::{MemoryObjects, Objects as _};
use tlog::{Hash, TileKind, TilePath, bundle};

use crate::loss::{self, Forced};
use crate::older;
use crate::peers::Chosen;
use crate::process::Process;
use crate::server::Site;
use crate::stores::{HeldCoordination, HeldObjects};
use crate::trees;
use crate::world::World;
use crate::writer::LOG;

/// The origin of the log, without a shard.
pub const ORIGIN: &str = "example.org/dev";

/// An event for which a log needs its secondaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disaster {
    /// An operator practices a restore from these secondaries, and throws the result away. Bit n stands for secondary n.
    Practice(u32),
    /// The stores of the servers are lost, and the log is restored from these secondaries. The flag says whether the operator uses `--force` when the
    /// restore asks for it.
    Loss(u32, bool),
    /// An operator copies the coordination store.
    Copy,
    /// An operator puts the last copy back, and later the newest store.
    PutBack,
}

/// Starts one event of the plan, which runs as a task.
pub fn act(world: &Arc<World>, number: u64, what: Disaster) {
    match what {
        Disaster::Practice(from) => world.employ(practice(Arc::clone(world), number, from)),
        Disaster::Loss(from, force) => {
            tokio::spawn(loss::lose(Arc::clone(world), number, from, force));
        }
        Disaster::Copy => older::copy(world),
        Disaster::PutBack => {
            tokio::spawn(older::put_back(Arc::clone(world), number));
        }
    }
}

/// A restore into new stores, which are checked and thrown away.
async fn practice(world: Arc<World>, number: u64, from: u32) {
    let (signed, life) = (world.judge.signed_below(ORIGIN), world.primary.lives());
    let process = process(&world, &format!("practice-{number}"));
    let site = Site::new();
    let trusted = trusted(&world, from);
    let made = tokio::select! {
        () = process.dead() => return,
        made = restore(&world, &process, &site, trusted, false) => made,
    };
    match made {
        // A disk was put back meanwhile, or the log is another one.
        Ok(_) if self::trusted(&world, from) != trusted || world.primary.lives() != life => {}
        Ok(restored) => {
            let (who, objects) = (&process.name, &site.objects);
            check(&world, who, &signed, (&restored, objects), None).await;
        }
        Err(error) => world.trace.say(format_args!("{}: {error}", process.name)),
    }
}

/// Those of the secondaries `from` that a restore may name. One whose disk is an older copy of itself is not among them: no restore can tell the copy
/// from the disk, so the operator leaves it out. After a forced restore, the secondaries that were given up are not among them either, until they
/// have accepted the restored log.
pub fn trusted(world: &World, from: u32) -> u32 {
    let life = world.primary.forced_life();
    let secondaries = (0..).zip(&world.network.secondaries);
    let not = secondaries.filter(|(_, one)| one.poses() || one.life() < life);
    not.fold(from, |from, (n, _): (u32, _)| from & !(1 << n))
}

/// The process of an operator's command.
pub fn process(world: &World, name: &str) -> Arc<Process> {
    world.process(name, &Moved::over(world.clocks.time()))
}

/// The command: from these secondaries, into these stores.
pub async fn restore(
    world: &World,
    process: &Arc<Process>,
    site: &Site,
    from: u32,
    force: bool,
) -> Result<Restored, RestoreError> {
    let from = world.network.config(Chosen {
        who: from,
        quorum: 0,
    });
    let random = Random::seeded(process.dice().number());
    let (rows, objects) = (Arc::clone(&site.coordination), Arc::clone(&site.objects));
    let rows = HeldCoordination::new(Arc::clone(process), rows, world.clocks.clone());
    let restore = Restore {
        origin: ORIGIN.to_owned(),
        from: from.into_iter().map(|one| one.url).collect(),
        kek: world.kek(),
        force,
        peers: world.network.client(&process.name, process),
        coordination: Arc::new(rows.with_values(world.storage.values())),
        objects: Arc::new(HeldObjects::new(
            Arc::clone(process),
            objects,
            Arc::new(|_, _| {}),
        )),
        ambient: Ambient {
            time: process.clocks.time(),
            random,
        },
    };
    let restored = restore.run().await;
    process.until_running().await;
    restored
}

/// By origin, how many entries of a shard are in the result and agree with everything that was signed. A forced restore may bring back an earlier
/// life of the log, whose entries differ from some size on.
pub async fn agreed(
    world: &World,
    (restored, objects): (&Restored, &MemoryObjects),
) -> BTreeMap<String, u64> {
    let mut agreed = BTreeMap::new();
    for (shard, size, _) in &restored.shards {
        let origin = format!("{ORIGIN}/{shard}");
        let entries = entries(objects, shard, size.get()).await;
        let entries = entries.unwrap_or_default();
        let leaves: Vec<_> = entries.iter().map(|entry| trees::leaf(entry)).collect();
        let size = world.judge.agreed(&origin, &leaves);
        agreed.insert(origin, size);
    }
    agreed
}

/// Checks that the result has everything that the shards' keys had signed when the restore began, each entry where its writer was told. After a
/// forced restore a part of that is enough: the first `stays` entries.
pub async fn check(
    world: &World,
    who: &str,
    signed: &BTreeMap<String, (u64, Hash)>,
    (restored, objects): (&Restored, &MemoryObjects),
    forced: Option<&Forced>,
) {
    world.trace.say(format_args!(
        "{who}: restored {} entries of generation {}: {:?}",
        restored.entries, restored.generation, restored.warnings
    ));
    let mut missing = signed.clone();
    let mut index = 0;
    for (shard, size, _) in &restored.shards {
        let entries = match entries(objects, shard, size.get()).await {
            Ok(entries) => entries,
            Err(error) => {
                let what = format!("{who}: shard {shard}: {error}");
                return world.judge.object("a restore is whole", what);
            }
        };
        let origin = format!("{ORIGIN}/{shard}");
        let at = missing.remove(&origin);
        // Entries that were not signed when the restore began may be those of an earlier life of the log, which some secondary still has.
        let bound = at.map_or(0, |(size, _)| size);
        for (leaf, entry) in (0..).zip(&entries) {
            if leaf < bound && forced.is_none_or(|forced| index < forced.stays) {
                world.judge.read(LOG, index, entry);
            }
            index += 1;
        }
        let Some((size, root)) = at else {
            continue;
        };
        if forced.is_some_and(|forced| forced.lacks(&origin, size)) {
            continue;
        }
        let leaves: Vec<_> = entries.iter().map(|entry| trees::leaf(entry)).collect();
        let below = usize::try_from(size)
            .ok()
            .and_then(|size| leaves.get(..size));
        if below.map(trees::root) != Some(root.0) {
            let what = format!(
                "{who}: {origin} has {} entries; at {size} the root {root} was signed",
                leaves.len()
            );
            world.judge.object(PUBLISHED, what);
        }
    }
    if let Some((origin, at)) = missing.first_key_value().filter(|_| forced.is_none()) {
        let what = format!("{who}: {origin} is not there, {at:?} was signed");
        world.judge.object(PUBLISHED, what);
    }
}

const PUBLISHED: &str = "a restore has what was published";

/// The first entries of a shard, from the bundles.
async fn entries(objects: &MemoryObjects, shard: &str, size: u64) -> Result<Vec<Vec<u8>>, String> {
    let mut entries = Vec::new();
    for tile in 0.. {
        let Some(path) = TilePath::at(TileKind::Entries, tile, size) else {
            break;
        };
        let path = format!("{LOG}/{shard}/{path}");
        let bytes = objects.get(&path).await.map_err(|e| e.to_string())?;
        let bytes = bytes.ok_or_else(|| format!("{path}: not there"))?;
        let all = bundle::entries(&bytes).map_err(|e| format!("{path}: {e}"))?;
        entries.extend(all.iter().map(|entry| entry.to_vec()));
    }
    match entries.len() as u64 == size {
        true => Ok(entries),
        false => Err(format!("{} entries instead of {size}", entries.len())),
    }
}
