//! Changes of settings that live in the document: quality of service, earlier settings, keys that must be seen before their shard opens.

use engine::{Log, Request};
use logconfig::{LogConfig, Span};
use order::Generation;
use tlog::VerifierKey;

use crate::plan::{Action, Change, Event, Plan};
use crate::random::Dice;
use crate::world::World;

/// Adds such changes to two of five lives, from a stream of its own.
pub fn join(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed).fork("settings");
    if !dice.chance(400_000) {
        return;
    }
    let announces = dice.chance(300_000);
    let mut events = Vec::new();
    for event in std::mem::take(&mut plan.events) {
        events.push(event);
        if !dice.chance(200_000) {
            continue;
        }
        let change = match dice.between(0, if announces { 9 } else { 5 }) {
            0..=3 => Change::Tiers(dice.between(0, u64::MAX)),
            4 | 5 => Change::Rollback(dice.between(0, u64::MAX)),
            6 => Change::Announced(dice.chance(600_000)),
            7 | 8 => Change::Seen,
            _ => Change::RotateSeen(dice.spread(1, 600_000)),
        };
        let times = if dice.chance(200_000) { 2 } else { 1 };
        events.push(Event {
            after: dice.span(1, 3_000),
            what: Action::Change(change, times),
        });
    }
    plan.events = events;
}

/// Other weights, floors, promises and targets, and another first tier for writers without advice. The number decides which.
pub fn tiers(next: &mut LogConfig, number: u64) {
    let mut dice = Dice::new(number);
    let small = |n: u64| u32::try_from(n).unwrap_or(1);
    for tier in &mut next.qos.tiers {
        tier.weight = small(dice.spread(1, 1_000));
        tier.floor = format!("{}%", dice.between(0, 12))
            .parse()
            .unwrap_or_default();
        tier.burst = dice.spread(1, 100_000);
        if dice.chance(200_000) {
            tier.latency_target = match tier.latency_target {
                Some(_) => None,
                None => Some(Span::from_millis(dice.spread(1, 1_000))),
            };
        }
        if tier.max_merge_delay.is_some() && dice.chance(300_000) {
            tier.max_merge_delay = Some(Span::from_millis(dice.spread(500, 86_400_000)));
        }
    }
    for tenant in &mut next.qos.tenants {
        tenant.weight = small(dice.spread(1, 1_000));
        let away = usize::try_from(dice.between(0, 3)).unwrap_or(0);
        let tiers = tenant.tiers.len().max(1);
        tenant.tiers.rotate_left(away % tiers);
    }
}

/// The settings of an earlier generation, with the shards of today: what `logctl config rollback` sends. What the judge follows by the
/// changes that were asked for (secondaries, witnesses, storage nodes, frontends) stays where a life has any of it.
pub async fn earlier(world: &World, log: &Log, number: u64) -> Option<Request> {
    let base = log.generation();
    let earlier = 1 + number % base.get().max(1);
    let (mut next, _) = log.config_at(Generation::new(earlier)).await.ok()??;
    let now = log.config();
    let plan = &world.plan;
    if plan.peers.secondaries + plan.peers.witnesses + plan.nodes.count + plan.frontends > 0 {
        next.merge = logconfig::MergeConfig {
            checkpoint_interval: next.merge.checkpoint_interval,
            ..now.merge
        };
        next.witnesses = now.witnesses;
    }
    next.shards = now.shards;
    Some(Request::Configure {
        next: Box::new(next),
        base: Some(base),
    })
}

/// The report that the key of the first planned shard has been seen where clients look.
pub fn seen(log: &Log) -> Option<Request> {
    let shards = log.status().shards;
    let planned = shards.iter().find(|shard| shard.start_index.is_none())?;
    let key: VerifierKey = planned.vkey.parse().ok()?;
    Some(Request::Announce {
        shard: planned.name.parse().ok()?,
        key: key.log_id().to_base64(),
        seen_at: vec!["https://keys.example.org/trusted_root.json".to_owned()],
        gone: false,
    })
}
