//! One life: from the first start to the day when everything is calm again, and the judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use engine::{Author, Engine, Log, Request};
use order::keys::CLOCK;
use order::{Limits, mutant};
use store::{Coordination as _, Guard, Transaction, record};

use crate::disaster;
use crate::found;
use crate::importer;
use crate::judge::{Counts, Violation};
use crate::last;
use crate::loss;
use crate::nodes;
use crate::operator;
use crate::peers;
use crate::plan::{Action, Plan};
use crate::process::Lag;
use crate::reader;
use crate::rows;
use crate::server::Running;
use crate::short;
use crate::trace::Detail;
use crate::world::World;
use crate::writer::{self, LOG};

/// How long everything may take to be published once nothing goes wrong any more.
const RECOVERY: Duration = Duration::from_secs(900);

/// A pause after which keys and locations may be forgotten: a little less than they are kept.
const FORGETS_MS: u64 = 6 * 86_400_000;

/// How a life went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// The hash of the trace, and how many operations there were.
    pub hash: (u64, u64),
    /// How long it lasted.
    pub age: Duration,
    /// How many writes, changes and checkpoints there were.
    pub counts: Counts,
    /// The lines of the trace.
    pub lines: Vec<String>,
}

/// The number of the first writer of a crowd.
const CROWD: usize = 1_000;

/// The longest that a life may take, without what is slept through: many times as long as any takes that ends by itself.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Lives a plan, on this thread.
pub fn live(plan: Plan, detail: Detail) -> Outcome {
    Limits::shorten(plan.short.window);
    mutant::leave_out(plan.short.mutant);
    let outcome = whole(plan, detail);
    mutant::leave_out(None);
    outcome
}

fn whole(plan: Plan, detail: Detail) -> Outcome {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    let seed = tokio::runtime::RngSeed::from_bytes(&plan.seed.to_le_bytes());
    let runtime = builder.rng_seed(seed).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return Outcome {
                violation: Some(Violation {
                    rule: "a life needs a runtime",
                    what: error.to_string(),
                }),
                hash: (0, 0),
                age: Duration::ZERO,
                counts: Counts::default(),
                lines: Vec::new(),
            };
        }
    };
    let _ = crate::panics::take();
    let outcome = runtime.block_on(async {
        let world = World::new(plan, detail);
        let all = async {
            begin(&world).await;
            happen(&world).await;
            settle(&world).await;
        };
        // In this order, so that no lot is drawn.
        let ended = tokio::select! {
            biased;
            ended = tokio::time::timeout(LONGEST, all) => ended.is_ok(),
            () = world.trace.over() => false,
        };
        if !ended {
            let what = format!("after {:?}", world.trace.age());
            world.judge.object("a life ends", what);
        }
        if let Some(panic) = crate::panics::take() {
            world.judge.object("nothing panics", panic);
        }
        Outcome {
            violation: world.judge.broken(),
            hash: world.trace.hash(),
            age: world.trace.age(),
            counts: world.judge.counts(),
            lines: world.trace.lines(),
        }
    });
    runtime.shutdown_background();
    outcome
}

/// Starts servers, makes the log, starts writers and readers.
async fn begin(world: &Arc<World>) {
    let plan = &world.plan;
    for server in &world.servers {
        tokio::spawn(Arc::clone(server).live(Arc::clone(world)));
    }
    for number in 0..plan.readers {
        tokio::spawn(reader::read(Arc::clone(world), number));
    }
    if plan.is_short() {
        tokio::spawn(short::restart(Arc::clone(world)));
    }
    let mut dice = world.dice("founder");
    while !world.is_calm() && world.trace.age() < Duration::from_secs(600) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let Some(running) = world.any_server(&mut dice) else {
            continue;
        };
        let Some(mut config) = operator::config(LOG, plan.interval_ms) else {
            break;
        };
        world.network.describe(&mut config);
        world.storage.describe(&mut config);
        world.frontends.describe(&mut config);
        let caller = Author {
            actor: "founder".to_owned(),
            idempotency_key: Some("founder".to_owned()),
            reason: None,
        };
        let made = tokio::select! {
            () = running.process.dead() => continue,
            made = running.audited.create(config, caller) => made,
        };
        if made.is_ok() {
            world.trace.say(format_args!("the log is made"));
            world.primary.made();
            break;
        }
    }
    // Where the answer was lost, the log may be there nevertheless.
    tokio::spawn(copy(Arc::clone(world)));
    for (number, writer) in plan.writers.iter().enumerate() {
        world.employ(writer::write(Arc::clone(world), number, writer.clone()));
    }
}

/// Starts the secondaries with the log's replication key, once there is a log.
async fn copy(world: Arc<World>) {
    let mut dice = world.dice("copier");
    let key = loop {
        if let Some(running) = world.any_server(&mut dice)
            && let Some(log) = running.engine.log(LOG)
        {
            let key = tokio::select! {
                () = running.process.dead() => None,
                key = log.replication_key() => key.ok(),
            };
            if let Some(key) = key {
                break key;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    world.primary.made();
    for secondary in &world.network.secondaries {
        tokio::spawn(Arc::clone(secondary).live(Arc::clone(&world), key.clone()));
    }
}

/// Everything that the plan says.
async fn happen(world: &Arc<World>) {
    let events = world.plan.events.clone();
    for (number, event) in (0..).zip(events) {
        tokio::time::sleep(event.after).await;
        if world.judge.broken().is_some() {
            return;
        }
        act(world, number, event.what);
    }
}

fn act(world: &Arc<World>, number: u64, what: Action) {
    if !matches!(what, Action::Change(..)) {
        world.trace.say(format_args!("{what:?}"));
    }
    let server = |at: usize| world.servers.get(at);
    match what {
        Action::Crash(at, down) => {
            if let Some(server) = server(at) {
                server.crash(down);
            }
        }
        Action::Stop(at, down) => {
            if let Some(server) = server(at) {
                server.stop(down);
            }
        }
        Action::Pause(at, time) => {
            if let Some(server) = server(at).cloned() {
                server.pause(true);
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    server.pause(false);
                });
            }
        }
        Action::Lag(at, most, time) => {
            if let Some(server) = server(at).cloned() {
                server.lag(most);
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    server.lag(Lag::default());
                });
            }
        }
        Action::Crowd(writer) => {
            let number = CROWD + usize::try_from(number).unwrap_or(0);
            world.employ(writer::write(Arc::clone(world), number, writer));
        }
        Action::Clock(at, ahead) => {
            if let Some(server) = server(at) {
                server.clocks.set_ahead(ahead);
            }
        }
        Action::Skip(ms) => {
            let aged = age(Arc::clone(world), ms);
            world.employ(aged);
        }
        Action::Rates(rates) => world.set_rates(rates),
        Action::Peer(what) => peers::act(world, number, what),
        Action::Node(what) => nodes::act(world, number, what),
        Action::Frontend(what) => world.frontends.act(what),
        Action::Disaster(what) => disaster::act(world, number, what),
        Action::Import(step) => world.employ(importer::act(Arc::clone(world), number, step)),
        Action::Change(change, times) => {
            world.employ(operator::change(Arc::clone(world), number, change, times));
        }
    }
}

/// Time passes. Some other process has lived through it, and has noted the age of the store.
async fn age(world: Arc<World>, ms: u64) {
    world.clocks.pass(i64::try_from(ms).unwrap_or(0));
    world.trace.skip(ms);
    if ms >= FORGETS_MS {
        world.judge.forget_keys();
    }
    let Some(server) = world.servers.first() else {
        return;
    };
    let store = &server.site().coordination;
    let Ok(Some(row)) = store.get(CLOCK).await else {
        return;
    };
    let older = record::decode_counted(&row).unwrap_or(0).saturating_add(ms);
    let noted = Transaction {
        guards: vec![Guard::AtMost(CLOCK.to_owned(), older)],
        puts: vec![(CLOCK.to_owned(), record::encode_counted(older))],
        ..Transaction::default()
    };
    let _ = store.transact(noted).await;
}

/// Nothing goes wrong any more: everything must be published in time, and fit what everybody was told.
async fn settle(world: &Arc<World>) {
    world.rest(Duration::from_secs(120)).await;
    world.trace.say(format_args!("calm"));
    world.calm();
    world.twins.stop();
    world.upgrade.end();
    for server in &world.servers {
        server.pause(false);
        server.lag(Lag::default());
        server.clocks.set_ahead(0);
    }
    // An older store that is in place for a while knows less.
    if let Some(server) = world.servers.first().filter(|_| !world.primary.is_lost()) {
        world
            .network
            .copies
            .review(&server.site().coordination.rows());
    }
    world.network.heal_all();
    world.storage.heal_all();
    world.frontends.heal_all();
    for secondary in &world.network.secondaries {
        secondary.pause(false);
        secondary.clocks.set_ahead(0);
    }
    if !recovered(world).await {
        return;
    }
    world.recall.ask(world).await;
    importer::end(world).await;
    importer::last(world).await;
    last::write(world).await;
    // The server that was asked may have ended before it answered.
    if !recovered(world).await {
        return;
    }
    origins(world);
    for running in world.servers.iter().filter_map(|server| server.running()) {
        for log in all_logs(&running.engine) {
            world.show_shards(log.name(), log.status().shards);
            if log.name() == LOG
                && let Ok(history) = log.history().await
            {
                // The restore itself is not a change of anybody.
                let others = history.into_iter().filter(|one| one.actor != "restore");
                world.set_history(others.collect());
            }
        }
    }
    // Nothing moves any more, so a reader sees one state.
    for server in &world.servers {
        server.stop(Duration::from_secs(86_400));
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    found::look(world).await;
    let network = &world.network;
    if let Some(server) = world.servers.first() {
        let rows = server.site().coordination.rows();
        if let Err(what) = rows::judge(world, &rows) {
            world.judge.object("rows are bounded", what);
        }
        network.copies.last(&network.secondaries, &rows).await;
        world.frontends.last(&server.site().objects);
    }
}

/// Waits until everything is published; false when it does not come to that, or the log is given up.
async fn recovered(world: &Arc<World>) -> bool {
    let deadline = tokio::time::Instant::now() + RECOVERY;
    let mut lacking = String::new();
    while tokio::time::Instant::now() < deadline {
        if world.judge.broken().is_some() || world.primary.is_given_up() {
            return false;
        }
        // Somebody that was asked may have died meanwhile.
        match tokio::time::timeout(Duration::from_secs(60), settled(world)).await {
            Ok(Ok(())) => {
                lacking.clear();
                break;
            }
            Ok(Err(why)) if loss::ends(world, &why) => return false,
            Ok(Err(why)) => {
                nodes::remedy(world, &why);
                loss::remedy(world, &why);
                world.frontends.remedy(&why).await;
                lacking = why;
            }
            Err(_) => "no answer".clone_into(&mut lacking),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if !lacking.is_empty() && world.primary.is_forked() {
        world
            .trace
            .say(format_args!("the second history is given up: {lacking}"));
        world.primary.give_up();
        return false;
    }
    if !lacking.is_empty() {
        let rule = match lacking.contains("halted") {
            true => "a halt has a cause",
            false => "everything is published when the faults stop",
        };
        world.judge.object(rule, lacking);
        return false;
    }
    true
}

/// Each log has an origin of its own.
fn origins(world: &World) {
    let mut owners = BTreeMap::new();
    for running in world.servers.iter().filter_map(|server| server.running()) {
        for log in all_logs(&running.engine) {
            let (name, origin) = (log.name().to_owned(), log.config().origin);
            let owner = owners.entry(origin.clone()).or_insert_with(|| name.clone());
            if *owner != name {
                let what = format!("{owner} and {name} have the origin {origin}");
                world.judge.object("a log has an origin of its own", what);
            }
        }
    }
}

/// Whether everything that is ordered is published, on every server.
async fn settled(world: &World) -> Result<(), String> {
    if world.primary.is_lost() {
        return Err("the primary is lost".to_owned());
    }
    let secondaries = &world.network.secondaries;
    if let Some(lacking) = secondaries.iter().find_map(|secondary| secondary.lacking()) {
        return Err(lacking);
    }
    // One that is halted is why the others wait.
    for server in &world.servers {
        let logs = server.running().map(|running| all_logs(&running.engine));
        for log in logs.into_iter().flatten() {
            if let Some(why) = log.halted() {
                // It stood still for a whole window of slots: its operator is told to restart it.
                if why.contains(short::RESTART) {
                    server.stop(Duration::from_millis(100));
                }
                return Err(format!("{} at {}: halted: {why}", log.name(), server.name));
            }
        }
    }
    for server in &world.servers {
        let Some(running) = server.running() else {
            return Err(format!("{} does not run", server.name));
        };
        // A clock that was set right is a jump, too: the operator is told to restart the server.
        if let Some(fault) = running.engine.clock_fault() {
            server.stop(Duration::from_millis(100));
            return Err(format!("{}: {fault}", server.name));
        }
        for log in all_logs(&running.engine) {
            if server.takes_writes() && log.name() == LOG {
                reopen(world, &running, &log).await?;
            }
            let at = log.watermarks();
            let why = log.status().reason.unwrap_or_default();
            // Nothing may wait for that.
            let unannounced = why.contains("signs nothing before");
            if at.published < at.ordered || unannounced {
                let troubles = troubles(world);
                return Err(format!(
                    "{} at {}: {at:?} {why} {troubles}",
                    log.name(),
                    server.name
                ));
            }
            if log.name() == LOG
                && let Some(lacking) = world
                    .frontends
                    .lacking(&log.config(), &server.site().objects)
            {
                return Err(format!("{lacking}: {}", unreached(world).await));
            }
            if log.name() == LOG && world.plan.members.change {
                let secondaries = &world.network.secondaries;
                if let Some(lacking) = world.network.copies.lacking(secondaries, &log.config()) {
                    return Err(format!("{lacking}: {}", troubles(world)));
                }
            }
            if log.name() == LOG
                && let Some(shard) = world.network.copies.unsigned(&server.site().objects)
            {
                return Err(format!(
                    "shard {shard} is not signed again: {}",
                    troubles(world)
                ));
            }
            let promised = log.promised().await.map_err(|e| e.to_string())?;
            if !promised.is_empty() && log.name() == LOG {
                return Err(format!("{}: promised work waits: {promised:?}", log.name()));
            }
        }
        if let Ok(Some(overdue)) = world.changes.overdue(world).await {
            return Err(overdue);
        }
        if let Some(system) = running.engine.system() {
            audited(world, &system).await?;
        }
        if running.engine.log(LOG).is_none() {
            return Err(format!("{} does not know the log", server.name));
        }
    }
    Ok(())
}

/// What servers say of their secondaries; the one that copies to them may be another than the one that was asked.
fn troubles(world: &World) -> String {
    let mut troubles = BTreeSet::new();
    for running in world.servers.iter().filter_map(|server| server.running()) {
        let log = running.engine.log(LOG);
        for (name, state) in log.iter().flat_map(|log| log.peers().secondaries()) {
            troubles.extend(state.trouble.map(|trouble| format!("{name}: {trouble}")));
        }
    }
    troubles.into_iter().collect::<Vec<_>>().join("; ")
}

/// What servers say of their frontends.
async fn unreached(world: &World) -> String {
    let mut troubles = BTreeSet::new();
    for running in world.servers.iter().filter_map(|server| server.running()) {
        let Some(log) = running.engine.log(LOG) else {
            continue;
        };
        let frontends = log.merge().await.map(|view| view.frontends);
        for one in frontends.unwrap_or_default() {
            troubles.extend(
                one.trouble
                    .map(|trouble| format!("{}: {trouble}", one.name)),
            );
        }
    }
    troubles.into_iter().collect::<Vec<_>>().join("; ")
}

/// Whether every intent has its outcome.
async fn audited(world: &World, system: &Log) -> Result<(), String> {
    let Some(server) = world.servers.first() else {
        return Ok(());
    };
    let row = server.site().coordination.get("audit/settled").await;
    let row = row.map_err(|e| e.to_string())?;
    let settled = row.and_then(|row| record::decode_number(&row).ok());
    let ordered = system.watermarks().ordered.get();
    match settled.unwrap_or(0) {
        settled if settled >= ordered => Ok(()),
        settled => Err(format!("the trail is settled up to {settled} of {ordered}")),
    }
}

/// Takes entries again, so that promised work can come.
async fn reopen(world: &World, running: &Running, log: &Log) -> Result<(), String> {
    let status = log.status();
    let mut requests = Vec::new();
    if log.is_deleted() {
        requests.push(Request::Undelete);
    }
    if status.condition != engine::Condition::Open && !world.primary.is_left_frozen() {
        requests.push(Request::Unfreeze);
    }
    for request in requests {
        let caller = Author {
            actor: "caretaker".to_owned(),
            idempotency_key: None,
            reason: None,
        };
        world.requests.fetch_add(1, Relaxed);
        let made = running.audited.change(log, request, caller).await;
        made.map_err(|e| format!("not open: {e}"))?;
    }
    Ok(())
}

/// The logs of an engine, with the system log.
fn all_logs(engine: &Engine) -> Vec<Arc<Log>> {
    engine.logs().into_iter().chain(engine.system()).collect()
}
