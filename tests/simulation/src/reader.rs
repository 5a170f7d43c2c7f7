//! Readers: they remember every checkpoint that they saw, read what is under it, and have it proven that one follows from the other.

mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tlog::{Checkpoint, Hash, TileKind, TilePath, TileSet, VerifierKey, bundle};

use self::source::{Shard, Source};
use crate::http::Client;
use crate::judge::Proven;
use crate::trees;
use crate::world::World;
use crate::writer::LOG;

/// By origin: the newest checkpoint that a reader has.
type Newest = BTreeMap<String, Checkpoint>;

/// Reads until the life ends.
pub async fn read(world: Arc<World>, number: usize) {
    let name = format!("reader-{number}");
    let (mut dice, mut proofs) = (world.dice(&name), world.dice(&format!("{name} proofs")));
    let mut http = Client::new(&world, &name);
    let (mut newest, mut life) = (Newest::new(), 0);
    loop {
        let pause = dice.span(1, 5_000);
        tokio::time::sleep(pause).await;
        let Some(running) = world.any_server(&mut dice) else {
            continue;
        };
        let Some(log) = running.engine.log(LOG) else {
            continue;
        };
        if world.judge.is_in_doubt() {
            continue;
        }
        let source = Source::choose(&mut http, &running, log);
        let look = async {
            let Some((shards, ordered)) = source.view().await else {
                return;
            };
            for shard in &shards {
                world.judge.key(&shard.origin, &shard.vkey);
            }
            let Some(shard) = dice.pick(&shards).cloned() else {
                return;
            };
            let note = source.checkpoint(&shard.name).await;
            running.process.until_running().await;
            if let Some(note) = note {
                // A server shows what it knows, so only the same one is bound by what it has shown.
                world
                    .judge
                    .seen(&format!("{name} at {}", running.process.name), &note);
                let key: Option<VerifierKey> = shard.vkey.parse().ok();
                match key.map(|key| Checkpoint::open(&note, &key)) {
                    Some(Ok(checkpoint)) => {
                        if std::mem::replace(&mut life, world.primary.lives())
                            != world.primary.lives()
                        {
                            // By force, a log may lack what its readers have.
                            newest.clear();
                        }
                        if source.is_http()
                            && let Some((start, entries)) =
                                bundled(&source, &mut http, &shard, checkpoint.size).await
                        {
                            running.process.until_running().await;
                            for (index, entry) in (start..).zip(&entries) {
                                world.judge.read(LOG, index, entry);
                            }
                        }
                        let old = newest.insert(checkpoint.origin.clone(), checkpoint.clone());
                        if let Some(old) = old.filter(|_| proofs.chance(500_000)) {
                            let pair = order(old, checkpoint);
                            let follows = consistent(&source, &shard.name, &pair).await;
                            running.process.until_running().await;
                            if let Err(what) = follows {
                                let rule = "a checkpoint follows from the one before";
                                world.judge.object(rule, format!("{name}: {what}"));
                            }
                        }
                    }
                    _ => world
                        .judge
                        .object("a checkpoint fits its entries", format!("{name}: {note}")),
                }
            }
            if ordered == 0 {
                return;
            }
            let index = dice.between(0, ordered - 1);
            if dice.chance(500_000) {
                if let Some(entry) = source.entry(index).await {
                    running.process.until_running().await;
                    world.judge.read(LOG, index, &entry);
                }
            } else if let Some((proof, entry)) = source.inclusion(index, &shards).await {
                running.process.until_running().await;
                if let Some(entry) = entry {
                    world.judge.read(LOG, index, &entry);
                }
                world.judge.signed(&proof.checkpoint);
                let key: Option<VerifierKey> = proof.vkey.parse().ok();
                let opened = key.map(|key| Checkpoint::open(&proof.checkpoint, &key));
                match opened {
                    Some(Ok(checkpoint)) => world.judge.proven(Proven {
                        index,
                        leaf: proof.leaf,
                        size: checkpoint.size,
                        root: checkpoint.root,
                        path: proof.path,
                    }),
                    _ => world.judge.object(
                        "a checkpoint fits its entries",
                        format!("{name}: {}", proof.checkpoint),
                    ),
                }
            }
        };
        tokio::select! {
            () = running.process.dead() => {}
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
            () = look => {}
        }
    }
}

/// The smaller one first: a reader goes from one server to another.
fn order(one: Checkpoint, other: Checkpoint) -> [Checkpoint; 2] {
    match one.size <= other.size {
        true => [one, other],
        false => [other, one],
    }
}

/// Entries below a checkpoint of a shard, from one of its bundles, and the global index of the first of them.
async fn bundled(
    source: &Source,
    http: &mut Client,
    shard: &Shard,
    size: u64,
) -> Option<(u64, Vec<Vec<u8>>)> {
    let tile = http.dice().between(0, size.checked_sub(1)? / 256);
    let path = TilePath::at(TileKind::Entries, tile, size)?;
    let bytes = source.object(&shard.name, &path.to_string()).await?;
    let entries = bundle::entries(&bytes).ok()?;
    let entries = entries.iter().map(|entry| entry.to_vec()).collect();
    Some((shard.start? + tile * 256, entries))
}

/// Whether the tiles that a server gives prove that one checkpoint of a shard follows from another. What it cannot give proves nothing.
async fn consistent(
    source: &Source,
    shard: &str,
    [old, new]: &[Checkpoint; 2],
) -> Result<(), String> {
    if old.size == 0 {
        return Ok(());
    }
    let mut tiles = TileSet::default();
    for path in tlog::consistency_tiles(old.size, new.size) {
        let mut bytes = None;
        // A partial tile goes when the full one is there.
        for path in [path, path.full()] {
            if let Some(found) = source.object(shard, &path.to_string()).await {
                bytes = Some(found);
                break;
            }
        }
        let Some(bytes) = bytes else { return Ok(()) };
        let width = usize::from(path.width) * Hash::LEN;
        let first = bytes
            .get(..width)
            .ok_or_else(|| format!("{path} is short"))?;
        tiles
            .insert(path, first)
            .map_err(|e| format!("{path}: {e}"))?;
    }
    let proof = tlog::consistency_proof(old.size, new.size, &tiles).map_err(|e| e.to_string())?;
    let (from, to) = (old.root, new.root);
    match trees::follows((old.size, from), (new.size, to), &proof) {
        true => Ok(()),
        false => Err(format!("{}: {old:?}, then {new:?}", new.origin)),
    }
}
