//! Readers: they remember every checkpoint that they saw, and read what is under it.

use std::sync::Arc;
use std::time::Duration;

use tlog::{Checkpoint, GlobalIndex, VerifierKey};

use crate::judge::Proven;
use crate::world::World;
use crate::writer::LOG;

/// Reads until the life ends.
pub async fn read(world: Arc<World>, number: usize) {
    let name = format!("reader-{number}");
    let mut dice = world.dice(&name);
    loop {
        let pause = dice.span(1, 5_000);
        tokio::time::sleep(pause).await;
        let Some(running) = world.any_server(&mut dice) else {
            continue;
        };
        let Some(log) = running.engine.log(LOG) else {
            continue;
        };
        let look = async {
            let status = log.status();
            for shard in &status.shards {
                world.judge.key(&shard.origin, &shard.vkey);
            }
            let Some(shard) = dice.pick(&status.shards).cloned() else {
                return;
            };
            let note = log.checkpoint(&shard.name).await;
            running.process.until_running().await;
            if let Ok(Some(note)) = note {
                // A server shows what it knows, so only the same one is bound by what it has shown.
                world
                    .judge
                    .seen(&format!("{name} at {}", running.process.name), &note);
                let key: Option<VerifierKey> = shard.vkey.parse().ok();
                let opened = key.map(|key| Checkpoint::open(&note, &key));
                if opened.is_none_or(|opened| opened.is_err()) {
                    world
                        .judge
                        .object("a checkpoint fits its entries", format!("{name}: {note}"));
                }
            }
            let ordered = status.watermarks.ordered.get();
            if ordered == 0 {
                return;
            }
            let index = dice.between(0, ordered - 1);
            if dice.chance(500_000) {
                if let Ok(Some(entry)) = log.entry(GlobalIndex::new(index)).await {
                    running.process.until_running().await;
                    world.judge.read(LOG, index, &entry.bytes);
                }
            } else if let Ok(Some(proof)) = log.inclusion(GlobalIndex::new(index)).await {
                running.process.until_running().await;
                world.judge.signed(&proof.checkpoint);
                let key: Option<VerifierKey> = proof.vkey.parse().ok();
                let opened = key.map(|key| Checkpoint::open(&proof.checkpoint, &key));
                match opened {
                    Some(Ok(checkpoint)) => world.judge.proven(Proven {
                        index,
                        leaf: proof.leaf_index.get(),
                        size: checkpoint.size,
                        root: checkpoint.root,
                        path: proof.proof,
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
