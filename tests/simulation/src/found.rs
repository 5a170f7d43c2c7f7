//! The end of a life: `fsck`, and the whole log, read from the objects without an engine.

use logconfig::ShardState;
use store::{MemoryObjects, Objects as _};
use tlog::{Checkpoint, Note, TileKind, TilePath, bundle};

use crate::changes;
use crate::trees::FoundShard;
use crate::world::World;

/// Reads everything from the objects, without an engine.
pub async fn look(world: &World) {
    let Some(server) = world.servers.first() else {
        return;
    };
    let site = server.site();
    let mut none = |_: engine::fsck::Progress<'_>| {};
    let nodes = |name: &str| -> engine::Opening<'_> {
        Box::pin(std::future::ready(world.storage.disk_of(name)))
    };
    let report = engine::fsck::fsck(&*site.coordination, &*site.objects, &nodes, &mut none);
    match report.await {
        Ok(report) => {
            if let Some(finding) = report.findings.first() {
                world
                    .judge
                    .object("fsck finds nothing", format!("{finding:?}"));
            }
            for log in &report.logs {
                if let Err(error) = log_of(world, &site.objects, &log.name).await {
                    world.judge.object("a checkpoint fits its entries", error);
                }
            }
        }
        Err(error) => world.judge.object("fsck finds nothing", error.to_string()),
    }
}

async fn log_of(world: &World, objects: &MemoryObjects, log: &str) -> Result<(), String> {
    // One that nobody knows was never made to its end.
    let Some(shards) = world.shards(log) else {
        return Ok(());
    };
    let mut found = Vec::new();
    for shard in shards {
        if shard.state == ShardState::Planned {
            continue;
        }
        let folder = format!("{log}/{}", shard.name);
        let note = objects.get(&format!("{folder}/checkpoint")).await;
        let Some(note) = note.map_err(|e| e.to_string())? else {
            if shard.length.is_some_and(|n| n.get() == 0)
                || shard.published.is_some_and(|n| n.get() == 0)
            {
                continue;
            }
            return Err(format!("{folder}: no checkpoint"));
        };
        let note = String::from_utf8(note.to_vec()).map_err(|e| e.to_string())?;
        let parsed = Note::parse(&note).map_err(|e| e.to_string())?;
        let size = Checkpoint::parse(parsed.text)
            .map_err(|e| e.to_string())?
            .size;
        let mut entries = Vec::new();
        for tile in 0.. {
            let Some(path) = TilePath::at(TileKind::Entries, tile, size) else {
                break;
            };
            let bytes = match objects.get(&format!("{folder}/{path}")).await {
                Ok(Some(bytes)) => bytes,
                _ => match objects.get(&format!("{folder}/{}", path.full())).await {
                    Ok(Some(bytes)) => bytes,
                    _ => return Err(format!("{folder}/{path}: not there")),
                },
            };
            let all = bundle::entries(&bytes).map_err(|e| format!("{folder}/{path}: {e}"))?;
            entries.extend(all.iter().take(usize::from(path.width)).map(|e| e.to_vec()));
        }
        found.push(FoundShard {
            name: shard.name,
            origin: shard.origin,
            vkey: shard.vkey,
            start: shard.start_index.map_or(0, |start| start.get()),
            checkpoint: note,
            entries,
        });
    }
    world.judge.final_log(log, &found);
    if log == engine::SYSTEM {
        let trail: Vec<Vec<u8>> = found.into_iter().flat_map(|shard| shard.entries).collect();
        let history = world.history();
        // The first half of a freeze is an operation of its own, under the same intent.
        let whole = history.iter().filter(|one| !changes::is_half(one));
        let decided: Vec<String> = whole.map(|one| one.operation.clone()).collect();
        world.trail.judge(&world.judge, &decided, &trail);
        world.imports.trail(&world.judge, &trail);
        world.changes.judge(world, &history).await;
    }
    Ok(())
}
