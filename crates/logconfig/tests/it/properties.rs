//! Rules that must hold for every document.

use logconfig::{
    Algorithm, Finding, LogConfig, LogName, OriginForm, ShardConfig, ShardName, ShardState, Span,
    change, diff, next_name, parse, parse_change, rolled_back, with_planned, with_rotation,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::merge::{any_peers, any_witnesses};
use crate::qos::any_qos;
use crate::rekor::any_rekor;
use crate::render;

const NOW: i64 = 1_790_000_000;

fn names(
    count: impl Into<proptest::collection::SizeRange>,
) -> impl Strategy<Value = Vec<ShardName>> {
    proptest::collection::btree_set("(2026[a-z]{1,2}|[a-z0-9][a-z0-9.-]{0,8})", count)
        .prop_map(|names| {
            names
                .into_iter()
                .filter_map(|name| name.parse().ok())
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

/// A configuration as a server runs it: frozen shards, an active one unless the log is frozen, planned ones, all filled in.
fn any_running() -> impl Strategy<Value = LogConfig> {
    let settings = (
        10u64..=60_000,
        1000u64..=86_400_000,
        prop_oneof!["\\{year\\}\\{letter\\}", "[a-z]{0,3}\\{letter\\}"],
        option::of(1..=u64::MAX),
        option::of(1_000u64..=3650 * 86_400_000),
    );
    let log =
        "[a-z0-9][a-z0-9.-]{0,10}".prop_filter_map("reserved", |name| name.parse::<LogName>().ok());
    let origin = prop_oneof![Just(String::new()), "[!-*,.0-9;-~][!-*,.0-9;-~]{0,20}"];
    let counts = (0usize..4, 0usize..8);
    (
        log,
        origin,
        names(1..8),
        counts,
        settings,
        option::of(any::<u64>()),
        any::<[bool; 6]>(),
        (any_qos(), any_peers(), any_witnesses(), any_rekor()),
    )
        .prop_map(
            |(
                log,
                origin,
                names,
                (planned, frozen_tail),
                (checkpoint, idle, template, max_entries, max_age),
                generation,
                known,
                (qos, peers, witnesses, rekor),
            )| {
                let first = names
                    .first()
                    .cloned()
                    .unwrap_or_else(|| "first".parse().unwrap());
                let mut config = LogConfig::new(log, origin, first);
                let active = names.len().saturating_sub(1 + planned);
                config.shards = Vec::new();
                for (index, name) in names.into_iter().enumerate() {
                    let state = match index.cmp(&active) {
                        std::cmp::Ordering::Less => ShardState::Frozen,
                        // Now and then the log is frozen: no active shard.
                        std::cmp::Ordering::Equal if frozen_tail == 0 => ShardState::Frozen,
                        std::cmp::Ordering::Equal => ShardState::Active,
                        std::cmp::Ordering::Greater => ShardState::Planned,
                    };
                    let mut shard = ShardConfig::new(name, state);
                    shard.tree_id = known[0].then(|| format!("{}", 7 + index));
                    shard.vkey = known[1]
                        .then(|| format!("{}/{}+{index:08x}+AQ==", config.origin, shard.name));
                    shard.start_index = (known[2] && state != ShardState::Planned)
                        .then_some(u64::MAX / 8 * index as u64);
                    if known[3] && state == ShardState::Frozen {
                        shard.length = Some(u64::MAX / 8);
                        shard.root_hash = Some(format!("{index:064x}"));
                    }
                    config.shards.push(shard);
                }
                config.generation = generation;
                config.qos = qos;
                config.merge = peers;
                config.witnesses = witnesses;
                config.rekor = rekor;
                config.rotate.name = template;
                config.rotate.max_entries = max_entries;
                config.rotate.max_age = max_age.map(Span::from_millis);
                config.merge.checkpoint_interval = Span::from_millis(checkpoint);
                config.merge.idle_republish = Span::from_millis(idle);
                config.rotate.require_announced = known[2];
                config.rotate.settle = known[1].then_some(Span::from_millis(idle));
                if known[3]
                    && let Some(shard) = config.shards.last_mut()
                {
                    announce(shard, 0);
                }
                if known[4] {
                    config.key.algorithm = Algorithm::EcdsaP256;
                    let newer = config.shards.len() / 2;
                    for shard in &mut config.shards[newer..] {
                        shard.key = config.key;
                    }
                }
                if known[5] {
                    config.origin_form = OriginForm::Host;
                    if !config.validate().is_empty() {
                        config.origin_form = OriginForm::Path;
                    }
                }
                config.rekor.v2 &= config.origin_form == OriginForm::Host;
                config.rekor.v1 &= config.origin_form == OriginForm::Host;
                if !config.validate().is_empty() {
                    config.rekor.v1 = false;
                }
                config
            },
        )
        .prop_filter("valid", |config| config.validate().is_empty())
}

/// Records a shard's key as seen, in a form that the server writes.
fn announce(shard: &mut ShardConfig, to: u8) {
    let seen = logconfig::Seen {
        at: format!("https://example.org/{to}: \"#{{"),
        since: "2026-11-30T12:00:00Z".to_owned(),
        gone: None,
    };
    shard.announced = (shard.state != ShardState::Frozen).then(|| logconfig::Announced {
        key: format!("{to}+/="),
        seen: vec![
            seen.clone(),
            logconfig::Seen {
                at: "b".to_owned(),
                gone: to
                    .is_multiple_of(2)
                    .then(|| "2026-12-02T10:00:00Z".to_owned()),
                ..seen
            },
        ],
    });
}

/// An edit that may or may not be allowed.
fn edit(config: &mut LogConfig, what: u8, at: usize, to: u8) {
    let state = [ShardState::Planned, ShardState::Active, ShardState::Frozen][to as usize % 3];
    let left = || ShardConfig::new("left".parse().unwrap(), state);
    // A document may have no shards after three edits.
    if config.shards.is_empty() {
        config.shards.push(left());
    }
    let count = config.shards.len();
    match what % 15 {
        0 => config.shards.swap(at % count, to as usize % count),
        1 => drop(config.shards.remove(at % count)),
        2 => config.shards[at % count].state = state,
        3 => config.shards.insert(
            at % count,
            ShardConfig::new(format!("new{to}").parse().unwrap(), state),
        ),
        4 => config.merge.idle_republish = Span::from_secs(u64::from(to)),
        5 => config.generation = Some(u64::from(to)),
        6 => config.shards[at % count].length = Some(u64::from(to)),
        7 => crate::qos::edit(&mut config.qos, at, to),
        8 => crate::merge::edit(config, at, to),
        9 => config.key.algorithm = Algorithm::EcdsaP256,
        10 => config.shards[at % count].key.algorithm = Algorithm::EcdsaP256,
        12 => announce(&mut config.shards[at % count], to),
        13 => config.shards[at % count].announced = None,
        11 => config.origin_form = OriginForm::Host,
        _ => config.origin.push('x'),
    }
    if config.shards.is_empty() {
        config.shards.push(left());
    }
}

pub(crate) fn edited() -> impl Strategy<Value = (LogConfig, LogConfig)> {
    (
        any_running(),
        vec((any::<u8>(), 0usize..8, any::<u8>()), 0..4),
    )
        .prop_map(|(running, edits)| {
            let mut next = running.clone();
            for (what, at, to) in edits {
                edit(&mut next, what, at, to);
            }
            (running, next)
        })
}

fn expect(result: Result<LogConfig, Vec<Finding>>, text: &str) -> Result<LogConfig, TestCaseError> {
    result.map_err(|findings| TestCaseError::fail(format!("{}\n{text}", render(&findings))))
}

proptest! {
    #[test]
    fn yaml_round_trip(config in any_running()) {
        let text = config.to_yaml();
        prop_assert_eq!(expect(parse(&text), &text)?, config);
    }

    #[test]
    fn json_round_trip(config in any_running()) {
        let text = config.to_json();
        prop_assert_eq!(expect(parse(&text), &text)?, config.clone());
        prop_assert_eq!(serde_json::from_str::<LogConfig>(&text).unwrap(), config);
    }

    #[test]
    fn canonical_bytes_are_those_of_the_content(config in any_running()) {
        let stored: LogConfig = serde_json::from_slice(&config.canonical()).unwrap();
        prop_assert_eq!(&stored, &config.stripped());
        prop_assert_eq!(stored.canonical(), config.canonical());
        prop_assert_eq!(stored.stripped(), stored);
    }

    #[test]
    fn no_difference_exactly_when_the_content_is_equal((a, b) in edited()) {
        prop_assert!(diff(&a, &a).is_empty());
        prop_assert_eq!(diff(&a, &b).is_empty(), a.stripped() == b.stripped());
        // The way back is the same difference, the other way round.
        let mut back: Vec<_> = diff(&b, &a).into_iter().map(|d| (d.subject, d.after, d.before)).collect();
        let mut there: Vec<_> = diff(&a, &b).into_iter().map(|d| (d.subject, d.before, d.after)).collect();
        back.sort();
        there.sort();
        prop_assert_eq!(back, there);
    }

    /// The rules for a change, in one sentence each, checked without the code that decides it.
    #[test]
    fn an_accepted_change_keeps_what_was((running, next) in edited()) {
        let Ok(change) = change(&running, &next) else { return Ok(()) };
        prop_assert_eq!((&next.origin, next.origin_form), (&running.origin, running.origin_form));
        prop_assert!(next.shards.iter().filter(|shard| shard.state == ShardState::Active).count() <= 1);
        let open: Vec<_> = running.shards.iter().filter(|shard| shard.state != ShardState::Planned).collect();
        for (was, is) in open.iter().zip(&next.shards) {
            // Shards that are or were open stay at their place in the list.
            prop_assert_eq!((&was.name, was.key), (&is.name, is.key));
            if was.state == ShardState::Frozen {
                prop_assert_eq!(is.state, ShardState::Frozen);
                prop_assert!(is.length.is_none() || is.length == was.length);
            }
        }
        let mut froze = 0;
        for was in &running.shards {
            let Some(is) = next.shard(&was.name) else {
                // Only one that was never opened may be taken back.
                prop_assert_eq!(was.state, ShardState::Planned);
                continue;
            };
            froze += usize::from(was.state != is.state && is.state == ShardState::Frozen);
        }
        prop_assert!(running.active().is_none() || next.active().is_some());
        prop_assert!(froze <= 1);
        let new: Vec<_> = next.shards.iter().filter(|shard| running.shard(&shard.name).is_none()).map(|shard| shard.name.clone()).collect();
        prop_assert_eq!(&change.plan, &new);
        let active = |config: &LogConfig| config.active().map(|shard| shard.name.clone());
        prop_assert_eq!(change.open, active(&next).filter(|name| Some(name) != active(&running).as_ref()));
        // What the document leaves out of the records stays; it never says more.
        let next = next.keeping_announced(&running);
        prop_assert_eq!(change.differences, diff(&running, &next));
        for shard in next.shards.iter().filter(|shard| shard.state != ShardState::Frozen) {
            let was = running.shard(&shard.name).and_then(|was| was.announced.as_ref());
            prop_assert_eq!(shard.announced.as_ref(), was);
        }
    }

    /// Through text or not, the verdict is the same.
    #[test]
    fn a_text_is_judged_as_its_document((running, next) in edited()) {
        let codes = |findings: Vec<Finding>| findings.into_iter().map(|finding| (finding.code, finding.pointer)).collect::<std::collections::BTreeSet<_>>();
        let of_text = parse_change(&next.to_yaml(), &running).map(|(config, change)| { assert_eq!(config, next); change });
        prop_assert_eq!(of_text.map_err(codes), change(&running, &next).map_err(codes));
    }

    #[test]
    fn a_rotation_is_always_accepted(running in any_running(), name in option::of("[a-z0-9]([a-z0-9-]{0,2}[a-z0-9])?"), planned: bool) {
        let name = match name {
            Some(name) if planned => running.shards.last().filter(|shard| shard.state == ShardState::Planned).map(|shard| shard.name.clone()).or(name.parse().ok()),
            other => other.and_then(|name| name.parse().ok()),
        };
        match with_rotation(&running, name.clone(), NOW) {
            Ok(next) => {
                let change = change(&running, &next).map_err(|findings| TestCaseError::fail(render(&findings)))?;
                let open = change.open.clone();
                prop_assert_eq!(open.as_ref(), next.active().map(|shard| &shard.name));
                prop_assert!(name.is_none() || name == open);
                prop_assert_eq!(next.generation, running.generation);
                prop_assert_eq!(parse(&next.to_yaml()).map_err(|findings| TestCaseError::fail(render(&findings)))?, next.clone());
                for shard in running.shards.iter().filter(|shard| shard.state == ShardState::Frozen) {
                    prop_assert_eq!(next.shard(&shard.name), Some(shard));
                }
            }
            Err(finding) => {
                let there = name.and_then(|name| running.shard(&name).map(|shard| shard.state));
                prop_assert!(there == Some(ShardState::Active) || there == Some(ShardState::Frozen), "{finding}");
            }
        }
    }

    #[test]
    fn planning_is_always_accepted(running in any_running()) {
        let next = with_planned(&running, None, NOW).unwrap();
        let change = change(&running, &next).map_err(|findings| TestCaseError::fail(render(&findings)))?;
        prop_assert_eq!(change.plan.len(), 1);
        prop_assert_eq!(change.open, None);
    }

    #[test]
    fn a_new_name_is_not_taken(taken in vec("2026[a-c]{1,2}", 0..12), year in 0i16..9999) {
        let taken: Vec<ShardName> = taken.iter().filter_map(|name| name.parse().ok()).collect();
        for year in [2026, year] {
            let name = next_name("{year}{letter}", &taken, year).unwrap();
            prop_assert!(!taken.contains(&name));
            prop_assert!(name.as_str().starts_with(&year.to_string()));
        }
    }

    #[test]
    fn arbitrary_text_is_read_or_refused(text in "\\PC{0,200}") {
        prop_assert!(!parse(&text).is_err_and(|findings| findings.is_empty()));
    }

    /// Arbitrary, but of the characters that mean something in YAML.
    #[test]
    fn arbitrary_yaml_is_read_or_refused(text in "([-:{}\\[\\],&*!|>'\"%@`#?~ \n\t\r]|log|shards|name|state|active|2026a|<<|---|\\.\\.\\.){0,60}") {
        prop_assert!(!parse(&text).is_err_and(|findings| findings.is_empty()));
    }

    /// One wrong byte, cut or doubled piece in a good document: read or refused, never misread. The schema and the model
    /// agree, so `unreadable` never appears; positions lie inside the text.
    #[test]
    fn a_damaged_document_is_read_or_refused(
        config in any_running(), json: bool, at in any::<prop::sample::Index>(), length in 0usize..30, put in "([-:{}\\[\\],&*!|>'\"# \n\t0-9a-z]|null|\\.\\.|\u{85}){0,4}",
    ) {
        let text = if json { config.to_json() } else { config.to_yaml() };
        let start = text.floor_char_boundary(at.index(text.len()));
        let end = text.ceil_char_boundary((start + length).min(text.len()));
        let damaged = format!("{}{put}{}", &text[..start], &text[end..]);
        if let Err(findings) = parse(&damaged) {
            prop_assert!(!findings.is_empty());
            for finding in findings {
                prop_assert!(finding.code != "unreadable", "{finding:?}");
                prop_assert!((1..=damaged.lines().count() as u32 + 1).contains(&finding.line.unwrap()), "{finding:?}");
            }
        }
    }

    /// Every mistake is reported, however many there are: unknown keys in any section, all at their places.
    #[test]
    fn every_unknown_key_is_found(config in any_running(), lines in vec(any::<prop::sample::Index>(), 0..6)) {
        let text = config.to_yaml();
        // Only between the top-level keys: a line at the margin ends a section.
        let tops: Vec<usize> = text.lines().enumerate().filter(|(_, line)| line.starts_with(|c: char| c.is_ascii_lowercase())).map(|(n, _)| n).collect();
        let chosen: std::collections::BTreeSet<usize> = lines.iter().map(|index| tops[index.index(tops.len())]).collect();
        let mut with = String::new();
        let mut expected = Vec::new();
        for (n, line) in text.lines().enumerate() {
            if chosen.contains(&n) {
                with.push_str(&format!("zzzz{n}: 1\n"));
                expected.push((with.lines().count() as u32, format!("/zzzz{n}")));
            }
            with.push_str(line);
            with.push('\n');
        }
        let found: Vec<_> = parse(&with).err().unwrap_or_default().into_iter().map(|finding| {
            assert_eq!(finding.code, "unknown-key");
            (finding.line.unwrap(), finding.pointer)
        }).collect();
        prop_assert_eq!(found, expected);
    }
}

proptest! {
    /// Settings go back, shards never do; so a roll-back is always allowed and never touches a shard.
    #[test]
    fn a_roll_back_is_allowed_and_leaves_the_shards(running in any_running(), earlier in any_running()) {
        // The form of a log's origins never changes, and a front depends on it.
        let mut rekor = if earlier.origin_form == running.origin_form { earlier.rekor } else { running.rekor };
        rekor.v1 &= earlier.key.algorithm == Algorithm::EcdsaP256;
        let earlier = LogConfig { rekor, ..earlier };
        let next = rolled_back(&running, &earlier);
        let made = change(&running, &next).map_err(|f| TestCaseError::fail(render(&f)))?;
        prop_assert_eq!((made.plan, made.open), (Vec::new(), None));
        prop_assert!(made.differences.iter().all(|d| !d.subject.starts_with("shard")), "{:?}", made.differences);
        prop_assert_eq!(&next.shards, &running.shards);
        prop_assert_eq!((&next.rotate, &next.merge), (&earlier.rotate, &earlier.merge));
        prop_assert_eq!(rolled_back(&running, &running), running.clone());
        // Back and forth is where it began, but for writers' tokens: none becomes valid that was not.
        let tokens = |config: &LogConfig| config.qos.tenants.iter().flat_map(|tenant| tenant.tokens.iter().map(|token| (tenant.name.clone(), token.sha256.clone()))).collect::<std::collections::BTreeSet<_>>();
        prop_assert!(tokens(&next).is_subset(&tokens(&running)) && tokens(&next).is_subset(&tokens(&earlier)));
        let without = |mut config: LogConfig| {
            config.qos.tenants.iter_mut().for_each(|tenant| tenant.tokens.clear());
            config
        };
        prop_assert_eq!(&without(next.clone()).qos, &without(earlier).qos);
        prop_assert_eq!(without(rolled_back(&next, &running)), without(running));
    }
}
