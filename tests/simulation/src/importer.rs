//! Operators who import the log of an old Rekor: in pages of any length, several at once, over lost answers, with drops in between. At the
//! end each import is finished or dropped.
//!
//! What happens is drawn from a stream of its own, so that a life without an import does not depend on it.

pub mod old;
pub mod rules;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{AppendError, Log};
use qos::Advice;
use tlog::{GlobalIndex, UnixMillis};
use tokio::time::Instant;

use self::rules::IMPORTED;
use self::steps::{ANSWER_TIMEOUT, Answer, Importer};
use crate::judge::Place;
use crate::plan::{Action, Event, Plan};
use crate::random::Dice;
use crate::server::Running;
use crate::world::World;

/// How many ordinary lives have an import, in millionths.
pub const ORDINARY: u32 = 100_000;
/// How many short lives have one.
pub const SHORT: u32 = 300_000;

/// How long an import may take when all is calm.
const CALM_TIMEOUT: Duration = Duration::from_secs(900);

/// What a server says of an import that lacks something.
const DAMAGED: &str = "import again";

/// What an operator does with the import of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Copies what is missing, and makes the log.
    Import(Way),
    /// Drops what there is, and imports it again.
    Again(Way),
    /// Drops what there is.
    Drop,
    /// Makes the log with whatever is there.
    Make,
}

/// How an operator imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Under the tree heads of the later time.
    pub later: bool,
    /// The most entries in one request.
    pub page: u64,
    /// The longest pause between two requests, milliseconds.
    pub pause_ms: u64,
}

/// Gives an import to this share of all lives, in millionths.
pub fn join(plan: &mut Plan, share: u32) {
    let mut dice = Dice::new(plan.seed).fork("import");
    if !dice.chance(share) {
        return;
    }
    let which = dice.between(0, old::COUNT as u64 - 1);
    plan.old = usize::try_from(which).ok();
    let steps = match dice.chance(400_000) {
        true => dice.between(1, 2),
        false => dice.between(3, 12),
    };
    let longest = dice.spread(20, 10_000);
    let mut at = dice.between(0, plan.events.len() as u64);
    for n in 0..steps {
        let what = match dice.between(0, 9) {
            _ if n == 0 => Step::Import(way(&mut dice)),
            0..=3 => Step::Import(way(&mut dice)),
            4..=6 => Step::Again(way(&mut dice)),
            7 => Step::Drop,
            _ => Step::Make,
        };
        let event = Event {
            after: dice.span(1, longest),
            what: Action::Import(what),
        };
        let place = usize::try_from(at).unwrap_or(0).min(plan.events.len());
        plan.events.insert(place, event);
        at += 1 + dice.between(0, 2);
    }
}

fn way(dice: &mut Dice) -> Way {
    Way {
        later: dice.chance(500_000),
        page: dice.spread(1, 300),
        pause_ms: dice.spread(1, 1_000),
    }
}

/// Does one step of the plan.
pub async fn act(world: Arc<World>, number: u64, step: Step) {
    let Some(mut importer) = Importer::new(&world, format!("importer-{number}")) else {
        return;
    };
    let came = match step {
        Step::Import(way) => importer.import(way).await,
        Step::Again(way) => match importer.drop_all().await {
            Ok(_) => importer.import(way).await,
            Err(why) => Err(why),
        },
        Step::Drop => importer.drop_all().await.map(drop),
        Step::Make => importer.make().await.map(drop),
    };
    let came = came.err().unwrap_or_else(|| "done".to_owned());
    let name = &importer.name;
    world.trace.say(format_args!("{name}: {step:?}: {came}"));
    if world.imports.made().is_some() {
        importer.use_log().await;
    }
}

impl Importer {
    /// Reads the log and writes to it, as long as the life lasts.
    async fn use_log(&mut self) {
        for number in 0..self.dice.between(1, 40) {
            tokio::time::sleep(self.dice.span(1, 5_000)).await;
            let Some(running) = self.world.any_server(&mut self.dice) else {
                continue;
            };
            let Some(log) = running.engine.log(IMPORTED) else {
                continue;
            };
            if self.dice.chance(200_000) {
                let entry = Bytes::from(format!("{} {number}", self.name));
                let _ = write(&self.world, &running, &log, &entry).await;
                continue;
            }
            let of = self
                .world
                .imports
                .shown(&self.world.judge, false, &log.status().shards);
            let Some(later) = of else { return };
            let last = self.old.heads(later).map(|head| head.size).sum::<u64>();
            let index = self.dice.between(0, last.saturating_sub(1));
            let look = read(&self.world, &log, later, index..=index);
            tokio::select! {
                () = running.process.dead() => {}
                () = tokio::time::sleep(ANSWER_TIMEOUT) => {}
                _ = look => {}
            }
        }
    }
}

/// Reads entries of the log, and its old tree heads; why not all of them could be read.
async fn read(
    world: &World,
    log: &Log,
    later: bool,
    indexes: impl Iterator<Item = u64>,
) -> Result<(), String> {
    for index in indexes {
        let found = log.rekor_entry(GlobalIndex::new(index)).await;
        let found = found.map_err(|error| format!("entry {index}: {error}"))?;
        let found = found.ok_or_else(|| format!("entry {index} is not published"))?;
        world.imports.read(&world.judge, index, &found);
    }
    let trees = world.imports.old().into_iter().flat_map(|old| &old.trees);
    for tree in trees {
        let found = log.rekor_tree(&tree.name()).await;
        let found = found.map_err(|error| format!("tree {}: {error}", tree.id))?;
        let found = found.ok_or_else(|| format!("tree {} is not published", tree.id))?;
        world.imports.tree(&world.judge, tree.id, later, &found);
    }
    Ok(())
}

/// Writes an entry to the log, behind those that were imported; whether it was ordered.
async fn write(
    world: &World,
    running: &Running,
    log: &Arc<Log>,
    entry: &Bytes,
) -> Result<(), String> {
    world.judge.asked(IMPORTED, entry);
    let written = async {
        let tenant = log.policy().tenant(None, UnixMillis::ZERO);
        let tenant = tenant.map_err(|_| AppendError::Closing)?;
        let ticket = log.submit(entry.clone(), tenant, &Advice::default())?;
        let answer = ticket.answer.await;
        running.process.until_running().await;
        answer
    };
    let answer = tokio::select! {
        () = running.process.dead() => return Err("no answer".to_owned()),
        () = tokio::time::sleep(ANSWER_TIMEOUT) => return Err("no answer".to_owned()),
        answer = written => answer,
    };
    match answer {
        Ok(at) => {
            let place = Place {
                index: at.index.get(),
                shard: at.shard.to_string(),
                leaf: at.leaf_index.get(),
            };
            world.judge.placed(IMPORTED, entry, place);
            Ok(())
        }
        Err(AppendError::Unknown) => Err("unknown".to_owned()),
        Err(error) => {
            let why = error.to_string();
            world.judge.refused(IMPORTED, entry, &why, true);
            Err(why)
        }
    }
}

/// When all is calm, an import that has begun is finished, or dropped.
pub async fn end(world: &Arc<World>) {
    if !world.imports.has_begun() || world.judge.broken().is_some() {
        return;
    }
    world.imports.rests();
    let Some(mut importer) = Importer::new(world, "importer".to_owned()) else {
        return;
    };
    let drops = importer.dice.chance(300_000);
    let way = Way {
        later: true,
        page: 100,
        pause_ms: 1,
    };
    let deadline = Instant::now() + CALM_TIMEOUT;
    loop {
        importer.rest();
        let came = match drops {
            true => importer.drop_all().await.map(drop),
            false => importer.finish(way).await,
        };
        let Err(why) = came else { break };
        if world.judge.broken().is_some() {
            return;
        }
        if Instant::now() > deadline || why.contains(DAMAGED) {
            let rule = "an import can be finished or dropped when the faults stop";
            return world.judge.object(rule, why);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let is_there = |server: &Arc<crate::server::Server>| {
        let rows = server.site().coordination.rows();
        rows.contains_key(&format!("logs/{IMPORTED}"))
    };
    let is_made = world.servers.first().is_some_and(is_there);
    // It may have been made without an answer.
    if is_made && world.imports.made().is_none() {
        importer.rest();
        if let Err(why) = importer.make().await {
            return world.judge.object("a log that is made is there", why);
        }
    }
    let is_known = world.imports.made().is_some() || !drops;
    if !is_made && is_known {
        let what = "no row names the log".to_owned();
        return world.judge.object("a log that is made is there", what);
    }
    if let Some(server) = world.servers.first().filter(|_| !is_made) {
        let objects = server.site().objects.objects();
        let left = objects
            .keys()
            .find(|path| path.starts_with(&format!("{IMPORTED}/")));
        if let Some(path) = left {
            let rule = "a dropped import leaves nothing";
            world.judge.object(rule, path.clone());
        }
    }
}

impl Importer {
    /// Finishes an import when all is calm; one that is being dropped is dropped first.
    async fn finish(&mut self, way: Way) -> Result<(), String> {
        let why = match self.copy(way).await? {
            Answer::Good(()) => return self.make().await,
            Answer::Refused(why) => why,
            Answer::Lost(why) => return Err(why),
        };
        // It is made with the earlier tree heads, and takes no more.
        if why.contains("was created with") {
            return self.make().await;
        }
        if why.contains("dropped") {
            self.drop_all().await?;
        }
        Err(why)
    }
}

/// When all is calm, each server has the log as it was, and takes an entry behind it.
pub async fn last(world: &Arc<World>) {
    for server in world.servers.iter().filter(|one| one.takes_writes()) {
        let deadline = Instant::now() + CALM_TIMEOUT;
        let mut number = 0;
        while world.judge.broken().is_none() && world.imports.made().is_some() {
            number += 1;
            let entry = Bytes::from(format!("last {} {number}", server.name));
            let came = match server.running() {
                Some(running) => all(world, &running, &entry).await,
                None => Err("it does not run".to_owned()),
            };
            let Err(why) = came else { break };
            if Instant::now() > deadline {
                let what = format!("{}: {why}", server.name);
                let rule = "an imported log is there when the faults stop";
                return world.judge.object(rule, what);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn all(world: &World, running: &Running, entry: &Bytes) -> Result<(), String> {
    let log = running.engine.log(IMPORTED);
    let log = log.ok_or("it does not know the log")?;
    let shards = log.status().shards;
    let later = world.imports.shown(&world.judge, false, &shards);
    let later = later.ok_or("it shows another log")?;
    let sizes = world
        .imports
        .old()
        .into_iter()
        .flat_map(|old| old.heads(later));
    let last = sizes.map(|head| head.size).sum::<u64>();
    tokio::select! {
        () = running.process.dead() => return Err("it died".to_owned()),
        came = read(world, &log, later, 0..last) => came?,
    }
    write(world, running, &log, entry).await
}
