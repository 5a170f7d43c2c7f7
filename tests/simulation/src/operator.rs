//! Operators: each makes one change, sends it again if the answer was lost, and holds the servers to what they answered.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use engine::{Action, Applied, Author, ChangeError, ChangeOutcome, Log, Request};
use logconfig::{LogConfig, LogName, ShardName, Span};

use crate::disaster::ORIGIN;
use crate::plan::Change;
use crate::server::Running;
use crate::settings;
use crate::trail::Told;
use crate::world::World;
use crate::writer::LOG;

/// What an operator knows of a change after the last answer.
#[derive(Default)]
struct Known {
    /// Whether it may still be decided.
    is_open: bool,
    /// The generation after it, if it was decided.
    generation: Option<u64>,
    /// The life of the log and the answer that said so, for a change of the log that all write to.
    applied: Option<(u64, Applied)>,
}

/// Makes a change, `times` times under one key, wherever a server answers.
pub async fn change(world: Arc<World>, number: u64, change: Change, times: u64) {
    let nodes = match change {
        Change::Storage(named) => Some(named),
        _ => None,
    };
    nodes.inspect(|named| world.storage.asked(*named));
    if let Change::Probation(_, confirms) = change {
        world.changes.probation(&name(&world, number), confirms);
    }
    let known = make(&world, number, change, times).await;
    let life = world.primary.lives();
    if let Some((_, applied)) = known.applied.as_ref().filter(|(then, _)| *then == life) {
        world.recall.change(applied.clone());
        another(&world, number, change, life).await;
    }
    if let Some(generation) = known.generation {
        world.network.copies.told(change, generation);
    }
    nodes.inspect(|named| {
        let (is_final, generation) = (!known.is_open, known.generation);
        world.storage.answered(*named, is_final, generation);
    });
}

/// The key of an operator's only change.
fn key(number: u64) -> String {
    format!("operator-{number}")
}

/// What an operator is called in the history.
fn name(world: &World, number: u64) -> String {
    let key = key(number);
    match world.plan.short.names {
        true => format!("{key:-<500}"),
        false => key,
    }
}

async fn make(world: &Arc<World>, number: u64, change: Change, times: u64) -> Known {
    let mut known = Known::default();
    let (name, key) = (name(world, number), key(number));
    let mut dice = world.dice(&key);
    let mut first: Option<Applied> = None;
    let (mut sent, mut lost) = (0, 0);
    let mut life = world.primary.lives();
    while sent < times && lost < 6 {
        let Some(running) = world.any_server(&mut dice) else {
            tokio::time::sleep(Duration::from_millis(500)).await;
            lost += 1;
            continue;
        };
        let caller = Author {
            actor: name.clone(),
            idempotency_key: Some(key.clone()),
            reason: None,
        };
        let answer = tokio::select! {
            () = running.process.dead() => None,
            () = tokio::time::sleep(Duration::from_secs(90)) => None,
            answer = ask(world, &running, change, caller) => answer,
        };
        // A restored log knows nothing of what was asked before.
        if life != world.primary.lives() {
            (known, first, life) = (Known::default(), None, world.primary.lives());
        }
        match answer {
            None | Some(Err(ChangeError::Unknown { .. } | ChangeError::Store(_))) => {
                lost += 1;
                known.is_open |= known.generation.is_none();
                tokio::time::sleep(dice.span(10, 5_000)).await;
            }
            Some(Err(error)) => {
                world.trace.say(format_args!("{key}: {change:?}: {error}"));
                if first.is_none() && !known.is_open {
                    world.trail.tell(&name, Told::Refused);
                }
                return known;
            }
            Some(Ok(applied)) => {
                sent += 1;
                let (outcome, generation) = (applied.outcome, applied.generation);
                world.trace.say(format_args!(
                    "{key}: {change:?}: {outcome:?}, generation {generation}"
                ));
                let told = match outcome {
                    ChangeOutcome::Unchanged => Told::Unchanged,
                    _ => Told::Decided,
                };
                world.trail.tell(&name, told);
                let now = world.clocks.time().now_ms();
                if let Err(what) = world.upgrade.made(change, now) {
                    let rule = "a server is given nothing that it does not understand";
                    world.judge.object(rule, what);
                }
                if outcome == ChangeOutcome::Decided {
                    world.judge.changed();
                    known.is_open = false;
                    known.generation = Some(generation.get());
                    if !matches!(change, Change::Create | Change::Taken) {
                        known.applied = Some((life, applied.clone()));
                    }
                }
                believe(world, &running, &applied).await;
                if let Some(first) = &first
                    && [first.outcome, outcome] == [ChangeOutcome::Decided; 2]
                    && first.operation == applied.operation
                    && first.time_ms != applied.time_ms
                    && !world.judge.is_in_doubt()
                {
                    let what = format!(
                        "{name}: {change:?}: decided at {:?}, then at {:?}",
                        first.time_ms, applied.time_ms
                    );
                    world.judge.object("a repeat is not another change", what);
                }
                first.get_or_insert(applied);
            }
        }
    }
    known
}

async fn ask(
    world: &World,
    running: &Running,
    change: Change,
    caller: Author,
) -> Option<Result<Applied, ChangeError>> {
    world.requests.fetch_add(1, Relaxed);
    if let Some(config) = new(world, change) {
        let made = running.audited.create(config, caller).await;
        running.process.until_running().await;
        return Some(made.map(|(applied, _)| applied));
    }
    let log = running.engine.log(LOG)?;
    let request = match change {
        Change::Rollback(number) => settings::earlier(world, &log, number).await,
        change => request(world, &log, change),
    };
    let request = request?;
    let made = running.audited.change(&log, request, caller).await;
    running.process.until_running().await;
    if let (Change::Probation(_, true), Ok((applied, _))) = (change, &made) {
        confirm(world, &log, running, applied).await;
    }
    Some(made.map(|(applied, _)| applied))
}

/// The document of a log that is made.
fn new(world: &World, change: Change) -> Option<LogConfig> {
    match change {
        Change::Create => config("other", 100),
        Change::Taken if world.primary.is_made() => {
            let mut config = config("third", 100)?;
            config.origin = ORIGIN.to_owned();
            Some(config)
        }
        _ => None,
    }
}

/// In short lives, some operators use the key of a decided change for another one, which must be refused.
async fn another(world: &Arc<World>, number: u64, change: Change, life: u64) {
    let (name, key) = (name(world, number), key(number));
    let mut dice = world.dice(&format!("{key} again"));
    if !world.plan.short.eager || !dice.chance(300_000) {
        return;
    }
    tokio::time::sleep(dice.span(1, 10_000)).await;
    let other = match change {
        Change::Rotate => Change::Plan,
        _ => Change::Rotate,
    };
    let Some(running) = world.any_server(&mut dice) else {
        return;
    };
    let caller = Author {
        actor: name,
        idempotency_key: Some(key.clone()),
        reason: None,
    };
    let answer = tokio::select! {
        () = running.process.dead() => None,
        () = tokio::time::sleep(Duration::from_secs(90)) => None,
        answer = ask(world, &running, other, caller) => answer,
    };
    if let Some(Ok(applied)) = answer
        && life == world.primary.lives()
    {
        let what = format!("{key}: {change:?} was decided, then {other:?}: {applied:?}");
        let rule = "a key stands for one change";
        world.judge.object(rule, what);
    }
}

async fn confirm(world: &World, log: &Log, running: &Running, applied: &Applied) {
    let Ok(Some(decided)) = log.operation(&applied.operation).await else {
        return;
    };
    let caller = Author {
        actor: "confirmer".to_owned(),
        idempotency_key: None,
        reason: None,
    };
    let kept = running
        .audited
        .confirm(log, &decided, caller, Some(2))
        .await;
    running.process.until_running().await;
    let how = if kept.is_ok() {
        "confirmed"
    } else {
        "not confirmed"
    };
    world
        .trace
        .say(format_args!("{}: {how}", applied.operation));
}

/// Checks that what the answer says holds.
async fn believe(world: &World, running: &Running, applied: &Applied) {
    let Some(log) = running.engine.log(LOG) else {
        return;
    };
    if applied.action == Action::Rotate && applied.outcome == ChangeOutcome::Decided {
        for shard in log.status().shards {
            // A log that is frozen shows its active shard as frozen, too; it may grow again.
            let closed = shard
                .length
                .filter(|_| Some(&shard.name) != log.active_shard().as_ref());
            if let Some(length) = closed.filter(|_| !world.judge.is_in_doubt()) {
                world.judge.frozen(&shard.origin, length.get());
            }
        }
    }
}

fn request(world: &World, log: &Log, change: Change) -> Option<Request> {
    let configure = |edit: &dyn Fn(&mut LogConfig)| {
        let mut next = log.config();
        edit(&mut next);
        Some(Request::Configure {
            next: Box::new(next),
            base: Some(log.generation()),
        })
    };
    match change {
        Change::Rotate => Some(Request::Rotate {
            name: None,
            base: None,
            force: false,
        }),
        Change::LongName => Some(Request::Rotate {
            name: format!("{:0>63}", log.generation()).parse().ok(),
            base: None,
            force: false,
        }),
        Change::Plan => Some(Request::PlanShard {
            name: None,
            base: None,
        }),
        Change::Interval(ms) => configure(&|next| {
            next.merge.checkpoint_interval = Span::from_millis(ms);
        }),
        Change::Limit(rate) => configure(&|next| {
            for tenant in &mut next.qos.tenants {
                tenant.rate = format!("{rate}/s").parse().ok();
            }
        }),
        Change::ShardSize(entries) => configure(&|next| {
            next.rotate.max_entries = (entries > 0).then_some(entries);
        }),
        Change::Freeze { now } => Some(Request::Freeze { now }),
        Change::Unfreeze if world.primary.is_left_frozen() => None,
        Change::Unfreeze => Some(Request::Unfreeze),
        Change::Delete => Some(Request::Delete),
        Change::Undelete => Some(Request::Undelete),
        Change::Probation(within_ms, _) => {
            let mut next = log.config();
            next.merge.checkpoint_interval = Span::from_millis(within_ms.clamp(10, 900));
            Some(Request::OnProbation {
                next: Box::new(next),
                base: Some(log.generation()),
                within_ms,
                from: (String::new(), Some(1)),
            })
        }
        Change::Storage(named) => {
            let nodes = world.storage.config(named)?;
            configure(&|next| next.merge.storage = nodes.clone())
        }
        Change::Frontends(named) => {
            let frontends = world.frontends.config(named);
            configure(&|next| next.merge.frontends.clone_from(&frontends))
        }
        Change::Secondaries(chosen) => {
            let named = world.network.config(chosen);
            configure(&|next| {
                next.merge.backup_quorum = chosen.quorum;
                next.merge.secondaries.clone_from(&named);
            })
        }
        Change::Tiers(number) => configure(&|next| settings::tiers(next, number)),
        Change::Announced(must) => configure(&|next| next.rotate.require_announced = must),
        Change::Seen => settings::seen(log),
        Change::RotateSeen(settle) => Some(Request::RotateAnnounced {
            name: None,
            base: None,
            settle: Span::from_millis(settle),
        }),
        Change::Quorum(quorum) => configure(&|next| next.merge.backup_quorum = quorum),
        Change::Policy(chosen) => {
            let policy = world.network.policy(chosen);
            configure(&|next| next.witnesses.policy.clone_from(&policy))
        }
        Change::Create | Change::Taken | Change::Rollback(_) => None,
    }
}

/// A log with one shard.
pub fn config(log: &str, interval_ms: u64) -> Option<LogConfig> {
    let name = LogName::try_from(log.to_owned()).ok()?;
    let shard = ShardName::try_from("a".to_owned()).ok()?;
    let mut config = LogConfig::new(name, format!("example.org/{log}"), shard);
    config.merge.checkpoint_interval = Span::from_millis(interval_ms);
    config.rotate.name = "{letter}".to_owned();
    Some(config)
}
