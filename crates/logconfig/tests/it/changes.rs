//! The configurations that may follow the running one.

use logconfig::{
    DocumentChange, LogConfig, ShardState, Span, change, diff, parse_change, with_planned,
    with_rotation,
};

use crate::{render, running, shard};

const NOW: i64 = 1_790_000_000; // September 2026

/// A name for an edit, and the edit of the running configuration.
type Edit = (&'static str, fn(&mut LogConfig));

const BAD: &[Edit] = &[
    ("another log", |next| next.log = "xenon".parse().unwrap()),
    ("another origin", |next| {
        next.origin = "elsewhere.example".into()
    }),
    ("no shards", |next| next.shards.clear()),
    ("frozen shard dropped", |next| drop(next.shards.remove(0))),
    ("frozen shard renamed", |next| {
        next.shards[0].name = "other".parse().unwrap()
    }),
    ("frozen shards swapped", |next| next.shards.swap(0, 1)),
    ("planned shards swapped", |next| next.shards.swap(3, 4)),
    ("active and frozen swapped", |next| next.shards.swap(1, 2)),
    ("two active", |next| {
        next.shards[3].state = ShardState::Active
    }),
    ("none active", |next| {
        next.shards[2].state = ShardState::Frozen
    }),
    ("active planned again", |next| {
        next.shards[2].state = ShardState::Planned
    }),
    ("frozen shard reopened", |next| {
        next.shards[2].state = ShardState::Frozen;
        next.shards[1].state = ShardState::Active;
    }),
    ("frozen shard planned again", |next| {
        next.shards[1].state = ShardState::Planned
    }),
    ("frozen shard's length", |next| {
        next.shards[0].length = Some(999)
    }),
    ("frozen shard's start, root, tree ID and key", |next| {
        next.shards[1].start_index = Some(0);
        next.shards[1].root_hash = Some("f".repeat(64));
        next.shards[1].tree_id = Some("5".into());
        next.shards[1].vkey = Some("other+00000000+AAAA".into());
    }),
    ("active shard's start, length, tree ID and key", |next| {
        next.shards[2].start_index = Some(0);
        next.shards[2].length = Some(1);
        next.shards[2].tree_id = Some("5".into());
        next.shards[2].vkey = Some("other+00000000+AAAA".into());
    }),
    ("length of the shard that freezes", |next| {
        next.shards[2].state = ShardState::Frozen;
        next.shards[2].length = Some(1);
        next.shards[3].state = ShardState::Active;
    }),
    ("planned shard frozen", |next| {
        next.shards[3].state = ShardState::Frozen
    }),
    ("two rotations in one", |next| {
        next.shards[2].state = ShardState::Frozen;
        next.shards[3].state = ShardState::Frozen;
        next.shards[4].state = ShardState::Active;
    }),
    ("two rotations in one, with a new shard", |next| {
        next.shards[2].state = ShardState::Frozen;
        next.shards.insert(3, shard("new", ShardState::Frozen));
        next.shards[4].state = ShardState::Active;
    }),
    ("new frozen shard", |next| {
        next.shards.insert(0, shard("new", ShardState::Frozen))
    }),
    ("new shard with what the server fills in", |next| {
        let mut new = shard("new", ShardState::Planned);
        new.tree_id = next.shards[0].tree_id.clone();
        new.start_index = Some(3000);
        next.shards.push(new);
    }),
    ("name used again", |next| {
        next.shards.push(shard("2026a", ShardState::Planned))
    }),
    ("opened behind a planned one", |next| {
        next.shards[2].state = ShardState::Frozen;
        next.shards[4].state = ShardState::Active;
    }),
    ("settings out of range too", |next| {
        next.shards.remove(0);
        next.merge.checkpoint_interval = Span::from_secs(61);
        next.rotate.name = "x".into();
    }),
];

#[test]
fn a_planned_shard_may_be_taken_back() {
    let mut next = running();
    next.shards.remove(3);
    let change = change(&running(), &next).unwrap();
    assert_eq!((change.plan, change.open), (vec![], None));
    let said: Vec<String> = change.differences.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["shard 2026d: removed"]);
}

#[test]
fn findings_of_bad_changes() {
    let text: String = BAD
        .iter()
        .map(|(name, edit)| {
            let mut next = running();
            edit(&mut next);
            format!(
                "{name}:\n{}\n",
                render(&change(&running(), &next).expect_err(name))
            )
        })
        .collect();
    insta::assert_snapshot!(text);
}

/// Mistakes in the text and in what it asks for, in one go.
#[test]
fn findings_of_a_bad_text_that_is_a_bad_change() {
    let edits: [(&str, &[(&str, &str)]); 5] = [
        (
            "an unknown key and a planned shard frozen again",
            &[
                ("kind:", "knid:"),
                ("2026d\n    state: planned", "2026d\n    state: frozen"),
            ],
        ),
        (
            "a reopened shard and a bad interval",
            &[
                ("2026b\n    state: frozen", "2026b\n    state: active"),
                ("200ms", "2 s"),
                ("idleRepublish: 1m", "idleRepublish: 2d"),
            ],
        ),
        (
            "a word that is no state, and the origin",
            &[
                ("state: active", "state: actve"),
                ("origin: log", "origin: blog"),
            ],
        ),
        (
            "a bad name hides who is missing",
            &[
                ("name: 2026b", "name: 2026B"),
                ("2026e\n    state: planned", "2026e\n    state: active"),
            ],
        ),
        (
            "a bad log name",
            &[
                ("log: argon", "log: Argon"),
                ("2026e\n    state: planned", "2026e\n    state: active"),
            ],
        ),
    ];
    let text: String = edits
        .iter()
        .map(|(name, edits)| {
            let mut text = running().to_yaml();
            // Without comments, so that only values match.
            text = text
                .lines()
                .map(|line| line.split(" #").next().unwrap().trim_end().to_owned() + "\n")
                .collect();
            for (from, to) in *edits {
                assert!(text.contains(from), "{from}");
                text = text.replacen(from, to, 1);
            }
            format!(
                "{name}:\n{}\n",
                render(&parse_change(&text, &running()).expect_err(name))
            )
        })
        .collect();
    insta::assert_snapshot!(text);
}

#[test]
fn the_same_content_is_nothing_to_do() {
    let same = running();
    let stripped = LogConfig {
        generation: Some(3),
        ..same.stripped()
    };
    for next in [&same, &stripped] {
        assert_eq!(change(&same, next).unwrap(), DocumentChange::default());
    }
}

fn lines(change: &DocumentChange) -> Vec<String> {
    change.differences.iter().map(ToString::to_string).collect()
}

#[test]
fn a_rotation_opens_the_oldest_planned_shard() {
    let next = with_rotation(&running(), None, NOW).unwrap();
    let change = change(&running(), &next).unwrap();
    assert_eq!(
        (
            change.plan.as_slice(),
            change.open.as_ref().map(|name| name.as_str())
        ),
        (&[][..], Some("2026d"))
    );
    assert_eq!(
        lines(&change),
        [
            "shard 2026c: active -> frozen",
            "shard 2026d: planned -> active"
        ]
    );
}

#[test]
fn a_rotation_opens_the_shard_it_names() {
    let next = with_rotation(&running(), Some("2026e".parse().unwrap()), NOW).unwrap();
    let names: Vec<_> = next
        .shards
        .iter()
        .map(|shard| shard.name.as_str())
        .collect();
    assert_eq!(names, ["2026a", "2026b", "2026c", "2026e", "2026d"]);
    let e = change(&running(), &next).unwrap();
    assert_eq!(e.open.as_ref().map(|name| name.as_str()), Some("2026e"));
    assert!(e.plan.is_empty());

    let next = with_rotation(&running(), Some("extra".parse().unwrap()), NOW).unwrap();
    let extra = change(&running(), &next).unwrap();
    assert_eq!(extra.open.as_ref().map(|name| name.as_str()), Some("extra"));
    assert_eq!(extra.plan.len(), 1);

    for (name, code) in [("2026a", "shard-reopened"), ("2026c", "already-active")] {
        assert_eq!(
            with_rotation(&running(), Some(name.parse().unwrap()), NOW)
                .unwrap_err()
                .code,
            code
        );
    }
}

#[test]
fn a_rotation_makes_a_shard_when_none_is_planned() {
    let mut log = running();
    log.shards.truncate(3);
    let next = with_rotation(&log, None, NOW).unwrap();
    let change = change(&log, &next).unwrap();
    assert_eq!(
        change.open.as_ref().map(|name| name.as_str()),
        Some("2026d")
    );
    assert_eq!(change.plan.len(), 1);
    // The new shard is not in `log` yet, so the same rotation a year later begins the letters again.
    let later = with_rotation(&log, None, NOW + 366 * 86_400).unwrap();
    assert_eq!(
        later.active().map(|shard| shard.name.as_str()),
        Some("2027a")
    );
}

#[test]
fn planning_adds_at_the_end() {
    let next = with_planned(&running(), None, NOW).unwrap();
    let change = change(&running(), &next).unwrap();
    assert_eq!(
        change
            .plan
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>(),
        ["2026f"]
    );
    assert_eq!(change.open, None);
    assert_eq!(lines(&change), ["shard 2026f: new, planned"]);
    assert_eq!(
        with_planned(&running(), Some("2026a".parse().unwrap()), NOW)
            .unwrap_err()
            .code,
        "name-reused"
    );
}

#[test]
fn a_frozen_log_keeps_its_document() {
    // A log without an active shard is one that is frozen; its settings can still change.
    let mut log = running();
    log.shards.truncate(2);
    let mut next = log.clone();
    next.merge.idle_republish = Span::from_secs(5);
    assert_eq!(
        lines(&change(&log, &next).unwrap()),
        ["merge.idleRepublish: 1m -> 5s"]
    );
    assert_eq!(logconfig::parse(&log.to_yaml()).unwrap(), log);
}

#[test]
fn differences_name_every_setting() {
    let mut next = running();
    next.log = "xenon".parse().unwrap();
    next.origin = "x".into();
    next.shards.swap(3, 4);
    next.rotate.name = "s{letter}".into();
    next.merge.checkpoint_interval = Span::from_millis(1500);
    next.shards.remove(0);
    let text: String = diff(&running(), &next)
        .iter()
        .map(|difference| format!("{difference}\n"))
        .collect();
    insta::assert_snapshot!(text);
}
