//! Quality of service: what is refused, what a difference says, what a roll-back brings back.

use std::collections::BTreeSet;

use logconfig::{
    ByteRate, Percent, QosConfig, Rate, Span, TenantConfig, TenantName, TierConfig, TierName,
    Urgency, WriterToken, diff, parse, rolled_back, token_hash,
};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use crate::{render, running};

const BAD: &[(&str, &str)] = &[
    ("no tiers", "tiers: []\ntenants: [{name: a, tiers: [b]}]"),
    ("no tenants", "tiers: [{name: a}]\ntenants: []"),
    (
        "tiers without tenants: those that come with the server do not fit",
        "tiers: [{name: fast}]",
    ),
    (
        "floors",
        "tiers: [{name: a, floor: 60%}, {name: b, floor: 40.1%}]\ntenants: [{name: t, tiers: [a, b]}]",
    ),
    (
        "a tier nobody may use",
        "tiers: [{name: a}, {name: b}]\ntenants: [{name: t, tiers: [a]}]",
    ),
    (
        "tiers of tenants",
        "tiers: [{name: bulk}]\ntenants: [{name: t, tiers: [bulk, blk, bulk]}, {name: u}, {name: v, tiers: [zz]}]",
    ),
    (
        "names used twice",
        "tiers: [{name: a}, {name: a}]\ntenants: [{name: t, tiers: [a]}, {name: t, tiers: [a]}]",
    ),
    (
        "priorities",
        "tiers: [{name: a, priority: \"1-3\"}, {name: b, priority: \"3\"}, {name: c, priority: \"8\"}, {name: d, priority: \"2-1\"}, {name: e, priority: 4}]\ntenants: [{name: t, tiers: [a, b, c, d, e]}]",
    ),
    (
        "ranges",
        "tiers: [{name: a, weight: 0, burst: 0}, {name: b, weight: 1001, maxMergeDelay: 366d}, {name: c, weight: 4294967296}]\ntenants: [{name: t, tiers: [a, b, c], weight: 0}]",
    ),
    (
        "promises",
        "tiers: [{name: a, maxMergeDelay: 199ms}, {name: b, latencyTarget: 5ms}, {name: c, maxMergeDelay: 1s, latencyTarget: 2s}, {name: d, maxMergeDelay: 1s, latencyTarget: 0s}]\ntenants: [{name: t, tiers: [a, b, c, d]}]",
    ),
    (
        "rates",
        "tiers: [{name: a, floor: 5}, {name: b, floor: 101%}]\ntenants: [{name: t, tiers: [a, b], rate: 0/s, bytes: 10MB/s}, {name: u, tiers: [a], rate: 5000, bytes: 0B/s}]",
    ),
    (
        "two anonymous tenants",
        "tiers: [{name: a}]\ntenants: [{name: t, tiers: [a], anonymous: true}, {name: u, tiers: [a], anonymous: true}, {name: v, tiers: [a], anonymous: yes}]",
    ),
    (
        "tokens",
        "tiers: [{name: a}]\ntenants: [{name: t, tiers: [a], tokens: [{name: one, sha256: logw_secret}, {name: one, sha256: \"HASH\"}, {name: T_o, sha256: \"hash\", expires: tomorrow}]}, {name: u, tiers: [a], tokens: [{name: x, sha256: \"HASH\"}, {name: y}]}]",
    ),
    (
        "names",
        "tiers: [{name: Fast}, {name: metrics}, {}]\ntenants: [{name: a b, tiers: [Fast]}, {name: admin}]",
    ),
    (
        "mistakes elsewhere hide only what rests on them",
        "tiers: [{name: a, weigth: 2}, {name: B}]\ntenants: [{name: t, tiers: [a, c], tokens: none}]",
    ),
];

/// A document with these settings.
fn document(qos: &str) -> String {
    let indented: String = qos.lines().map(|line| format!("  {line}\n")).collect();
    format!("log: argon\nqos:\n{indented}")
}

#[test]
fn findings_of_bad_settings() {
    let text: String = BAD
        .iter()
        .map(|(name, qos)| {
            let qos = qos.replace("HASH", &token_hash("a"));
            let findings = parse(&document(&qos)).expect_err(name);
            format!("{name}:\n{}\n", render(&findings))
        })
        .collect();
    insta::assert_snapshot!(text);
}

#[test]
fn there_are_bounds() {
    let tier = |n: usize| TierConfig::new(format!("tier{n}").parse().unwrap());
    let tenant = |n: usize, tiers: &[TierConfig]| TenantConfig {
        tiers: tiers.iter().map(|tier| tier.name.clone()).collect(),
        ..TenantConfig::new(format!("tenant{n}").parse().unwrap())
    };
    let token = |n: usize| WriterToken {
        name: format!("token{n}"),
        sha256: format!("{n:064x}"),
        expires: None,
    };
    let config = |tiers: usize, tenants: usize, tokens: usize| {
        let mut config = running();
        config.qos.tiers = (0..tiers).map(tier).collect();
        config.qos.tenants = (0..tenants).map(|n| tenant(n, &config.qos.tiers)).collect();
        config.qos.tenants[0].tokens = (0..tokens).map(token).collect();
        config
    };
    assert_eq!(config(32, 1000, 32).validate(), []);
    for (tiers, tenants, tokens, pointer) in [
        (33, 1, 0, "/qos/tiers"),
        (1, 1001, 0, "/qos/tenants"),
        (1, 1, 33, "/qos/tenants/0/tokens"),
    ] {
        let findings = config(tiers, tenants, tokens).validate();
        let found: Vec<_> = findings
            .iter()
            .map(|f| (f.code, f.pointer.as_str()))
            .collect();
        assert_eq!(found, [("too-many", pointer)]);
    }
}

#[test]
fn what_comes_with_the_server_is_valid_and_stays_as_it_is() {
    assert_eq!(running().validate(), []);
    let text = parse("log: argon").unwrap().to_yaml();
    insta::assert_snapshot!(text.split_once("qos:").unwrap().1);
}

/// The rule is said where it is broken: by a checkpoint interval that is longer than what comes with the server promises.
#[test]
fn an_interval_longer_than_a_promise() {
    let findings = parse("log: argon\nmerge: {checkpointInterval: 5s}\n").unwrap_err();
    insta::assert_snapshot!(render(&findings));
}

#[test]
fn differences_in_words() {
    let mut next = running();
    let tiers = &mut next.qos.tiers;
    tiers[1].weight = 4;
    tiers[1].latency_target = None;
    tiers[2].max_merge_delay = Some(Span::from_secs(90));
    tiers[2].floor = "0.5%".parse().unwrap();
    tiers[2].burst = 5;
    tiers[2].priority = Urgency::default();
    tiers.swap(2, 3);
    tiers.pop();
    tiers.push(TierConfig::new("slow".parse().unwrap()));
    let tenants = &mut next.qos.tenants;
    tenants[0].tiers.pop();
    tenants[0].rate = Some("5000/s".parse().unwrap());
    tenants[0].bytes = Some("10MiB/s".parse().unwrap());
    tenants[0].weight = 2;
    tenants[0].anonymous = false;
    tenants[1].tokens.push(WriterToken {
        name: "ci".into(),
        sha256: token_hash("logw_a"),
        expires: Some("2027-01-01T00:00:00Z".into()),
    });
    tenants.push(TenantConfig {
        tokens: tenants[1].tokens.clone(),
        ..TenantConfig::new("backfill".parse().unwrap())
    });
    let mut later = next.clone();
    later.qos.tenants[1].tokens[0].sha256 = token_hash("logw_b");
    later.qos.tenants[1].tokens[0].expires = None;
    later.qos.tenants.pop();
    let words = |a, b| {
        diff(a, b)
            .iter()
            .map(|difference| format!("{difference}\n"))
            .collect::<String>()
    };
    insta::assert_snapshot!(format!(
        "{}---\n{}",
        words(&running(), &next),
        words(&next, &later)
    ));
}

/// Going back never makes a token valid again.
#[test]
fn a_roll_back_only_takes_tokens_away() {
    let token = |name: &str| WriterToken {
        name: name.into(),
        sha256: token_hash(name),
        expires: None,
    };
    let mut earlier = running();
    earlier.qos.tenants[0].tokens = vec![token("revoked"), token("kept")];
    earlier.qos.tenants[1].tokens = vec![token("of-a-tenant-that-went")];
    earlier.qos.tiers[0].weight = 99;
    let mut now = running();
    now.qos.tenants[0].tokens = vec![token("kept"), token("added")];
    now.qos.tenants[0].tokens[0].expires = Some("2027-01-01T00:00:00Z".into());
    now.qos.tenants.remove(1);
    now.qos.tenants[0].tiers.push("critical".parse().unwrap());

    let back = rolled_back(&now, &earlier);
    assert_eq!(back.qos.tiers, earlier.qos.tiers);
    assert_eq!(back.qos.tenants[0].tiers, earlier.qos.tenants[0].tiers);
    // As it is now: an expiry that was set since stays.
    assert_eq!(back.qos.tenants[0].tokens, now.qos.tenants[0].tokens[..1]);
    assert_eq!(back.qos.tenants[1].name, earlier.qos.tenants[1].name);
    assert_eq!(back.qos.tenants[1].tokens, []);
}

fn span(millis: impl Strategy<Value = u64>) -> impl Strategy<Value = Span> {
    millis.prop_map(Span::from_millis)
}

/// Valid settings, with promises that fit any checkpoint interval.
pub(crate) fn any_qos() -> impl Strategy<Value = QosConfig> {
    let tier = (
        option::of((span(60_000u64..10_000_000), option::of(span(1u64..60_000)))),
        1u32..=1000,
        0u16..=30,
        1u64..=1_000_000_000,
    );
    let token = (any::<u64>(), option::of(0i64..4_000_000_000));
    let tenant = (
        any::<u8>(),
        option::of(1u64..=1_000_000_000),
        option::of((1u64..1000, 0usize..3)),
        1u32..=1000,
        vec(token, 0..3),
    );
    let names = |count| btree_set("[a-z0-9][a-z0-9.-]{0,8}", count);
    (
        (names(1..6), vec(tier, 6)),
        (names(1..4), vec(tenant, 4)),
        any::<[u8; 8]>(),
        0usize..5,
    )
        .prop_map(
            |((tiers, of_tiers), (tenants, of_tenants), owners, anonymous)| {
                let tiers: Vec<TierName> =
                    tiers.iter().filter_map(|name| name.parse().ok()).collect();
                let tenants: Vec<TenantName> = tenants
                    .iter()
                    .filter_map(|name| name.parse().ok())
                    .collect();
                let mut bounds = owners.map(|owner| usize::from(owner) % 8);
                bounds.sort_unstable();
                let mut tier_configs = Vec::new();
                for (index, (name, (promise, weight, floor, burst))) in
                    tiers.iter().zip(of_tiers).enumerate()
                {
                    tier_configs.push(TierConfig {
                        max_merge_delay: promise.map(|(delay, _)| delay),
                        latency_target: promise.and_then(|(_, target)| target),
                        weight,
                        floor: format!("{}.{}%", floor / 2, floor % 10)
                            .parse::<Percent>()
                            .unwrap(),
                        burst,
                        priority: match (bounds[index], bounds[index + 1]) {
                            (from, to) if from < to => {
                                format!("{from}-{}", to - 1).parse().unwrap()
                            }
                            _ => Urgency::default(),
                        },
                        ..TierConfig::new(name.clone())
                    });
                }
                let mut known = BTreeSet::new();
                let mut tenant_configs = Vec::new();
                for (index, (name, (mask, rate, bytes, weight, tokens))) in
                    tenants.iter().zip(of_tenants).enumerate()
                {
                    // The first may use all of them, so that each has a use.
                    let may = |place: usize| index == 0 || mask & (1 << place) != 0;
                    let mut chosen: Vec<_> = tiers
                        .iter()
                        .enumerate()
                        .filter(|(place, _)| may(*place))
                        .map(|(_, tier)| tier.clone())
                        .collect();
                    if chosen.is_empty() {
                        chosen.extend(tiers.first().cloned());
                    }
                    let count = chosen.len().max(1);
                    chosen.rotate_left(usize::from(mask) % count);
                    let tokens = tokens.into_iter().filter(|(hash, _)| known.insert(*hash));
                    tenant_configs.push(TenantConfig {
                        tiers: chosen,
                        rate: rate.map(|rate| format!("{rate}/s").parse::<Rate>().unwrap()),
                        bytes: bytes.map(|(n, unit)| {
                            format!("{n}{}", ["B/s", "KiB/s", "GiB/s"][unit])
                                .parse::<ByteRate>()
                                .unwrap()
                        }),
                        weight,
                        anonymous: index == anonymous,
                        tokens: tokens
                            .enumerate()
                            .map(|(n, (hash, expires))| WriterToken {
                                name: format!("token{n}"),
                                sha256: token_hash(&hash.to_string()),
                                expires: expires.map(|seconds| {
                                    jiff::Timestamp::from_second(seconds).unwrap().to_string()
                                }),
                            })
                            .collect(),
                        ..TenantConfig::new(name.clone())
                    });
                }
                QosConfig {
                    tiers: tier_configs,
                    tenants: tenant_configs,
                }
            },
        )
        .prop_filter("named", |qos| {
            !qos.tiers.is_empty() && !qos.tenants.is_empty()
        })
}

/// An edit that may or may not be allowed.
pub(crate) fn edit(qos: &mut QosConfig, at: usize, to: u8) {
    if qos.tiers.is_empty() || qos.tenants.is_empty() {
        return;
    }
    let (tier, tenant) = (at % qos.tiers.len(), at % qos.tenants.len());
    let name = qos.tiers[tier].name.clone();
    match to % 10 {
        0 => qos.tiers[tier].weight = u32::from(to),
        1 => qos.tiers[tier].floor = "80%".parse().unwrap(),
        2 => qos.tiers[tier].max_merge_delay = Some(Span::from_millis(u64::from(to))),
        3 => qos.tiers[tier].priority = "0-7".parse().unwrap(),
        4 => qos.tenants[tenant].tiers.push(name),
        5 => qos.tenants[tenant].anonymous ^= true,
        6 => drop(qos.tenants[tenant].tokens.pop()),
        7 => qos.tiers.swap(0, tier),
        8 => drop(qos.tenants.remove(tenant)),
        _ => drop(qos.tiers.remove(tier)),
    }
}
