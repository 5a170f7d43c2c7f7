//! Documents and what is said about them.

use logconfig::{
    LogConfig, MAX_BYTES, MAX_DEPTH, MAX_FINDINGS, ShardState, Span, locate, parse, schema,
};

use crate::{render, running};

/// Each is wrong in its own way; the snapshot is the list of what an operator reads.
const BAD: &[(&str, &str)] = &[
    ("empty", ""),
    ("only comments", "# nothing\n"),
    ("a scalar", "argon"),
    ("a list", "- argon\n"),
    ("missing log", "kind: LogConfig\nshards: []\n"),
    (
        "not this document",
        "apiVersion: v1\nkind: Deployment\nmetadata: {name: x}\nlog: argon\n",
    ),
    (
        "everything at once",
        "apiVersion: logctl/v1\nkind: LogConfig\nlog: Argon\ngeneratoin: 7\norigin: https://log.example.org/argon/\nshards:\n  \
         - name: 2026a\n    state: active\n    start_index: 0\n  - name: 2026a\n    state: activ\n  - name: 2027\n    state: active\n    \
         length: many\nmerge: {checkpointInterval: 5, idleRepublish: 90d}\nmerge: {}\nrotate: {name: \"{yaer}{letter}\"}\n",
    ),
    (
        "unknown keys",
        "log: a\ncheckpointInterval: 1s\nqoss: {}\nshards: [{name: b, state: active, log: c, nmae: d}]\nmerge: {api-version: 1}\n",
    ),
    (
        "duplicate keys",
        "log: a\nlog: b\nmerge: {idleRepublish: 2s, \"idleRepublish\": 3s}\n",
    ),
    (
        "duplicate keys in JSON",
        "{\"log\": \"a\",\n \"log\": \"a\"}",
    ),
    (
        "wrong types",
        "log: [a]\ngeneration: \"7\"\norigin: true\nshards: {name: a}\nrotate: x\nmerge:\n",
    ),
    (
        "wrong types in shards",
        "log: a\nshards:\n- a\n- name: 2026\n  state: [active]\n  key: ed25519\n- name: b\n  treeId: 12\n  state:\n",
    ),
    (
        "bad numbers",
        "log: a\ngeneration: -1\nshards: [{name: b, state: active, startIndex: 1.5, length: 0x10}]\n",
    ),
    (
        "number too large",
        "log: a\ngeneration: 18446744073709551616\n",
    ),
    (
        "bad names",
        "log: -a\nshards: [{name: A_b, state: active}, {name: \"\"}, {name: a/b}, {name: ..}]\n",
    ),
    (
        "reserved names",
        "log: system\nshards: [{name: checkpoint, state: active}, {name: healthz}]\n",
    ),
    (
        "two active",
        "log: a\nshards:\n- {name: x, state: active}\n- {name: y, state: active}\n- {name: z, state: active}\n",
    ),
    (
        "none active",
        "log: a\nshards: [{name: x}, {name: y, state: planned}]\n",
    ),
    (
        "not oldest first",
        "log: a\nshards:\n- {name: x, state: active}\n- {name: y}\n- {name: z, state: frozen}\n",
    ),
    (
        "used twice",
        "log: a\nshards:\n- {name: x, state: frozen, treeId: \"1\", vkey: n+1+k}\n- {name: x, state: active, treeId: \"1\", vkey: n+1+k}\n",
    ),
    (
        "server-filled forms",
        "log: a\nshards: [{name: x, state: active, rootHash: ABC, treeId: \"0x1\", vkey: nope}]\n",
    ),
    (
        "words",
        "log: a\nkind: logconfig\nshards: [{name: x, state: open, key: {algorithm: rsa}}, {name: y, state: Active}]\n",
    ),
    (
        "spans",
        "log: a\nmerge: {checkpointInterval: 1m30s, idleRepublish: 0.5s}\n",
    ),
    (
        "ranges",
        "log: a\nmerge: {checkpointInterval: 9ms, idleRepublish: 2d}\n",
    ),
    (
        "rules of rotation",
        "log: a\nrotate: {maxEntries: 0, maxAge: 3651d}\n",
    ),
    (
        "more rules of rotation",
        "log: a\nrotate: {maxEntries: 1e6, maxAge: 6 months, maxSize: 1}\n",
    ),
    (
        "short rules of rotation",
        "log: a\nrotate: {maxEntries: -1, maxAge: 999ms}\n",
    ),
    ("origins", "log: a\norigin: a b\n"),
    ("templates", "log: a\nrotate: {name: \"{year}\"}\n"),
    ("alias", "log: &n argon\norigin: *n\n"),
    ("alias of nothing", "log: argon\norigin: *n\n"),
    (
        "merge key",
        "log: argon\nmerge:\n  <<: {idleRepublish: 1s}\n",
    ),
    ("tag", "log: !!str argon\n"),
    ("two documents", "log: a\n---\nlog: b\n"),
    ("key that is no text", "log: a\n? [b]\n: c\n"),
    (
        "syntax, and what came before it",
        "log: argon\ngeneratoin: 7\nmerge: {checkpointInterval: 1x}\nshards:\n  - name: [a\n",
    ),
    ("a tab", "log: argon\nmerge:\n\tidleRepublish: 1s\n"),
    ("broken JSON", "{\"log\": \"argon\", \"origin\": \"a"),
    ("hostile key", "log: a\n\"\\e[2J\\u202e\": 1\n"),
];

#[test]
fn findings_of_bad_documents() {
    let text: String = BAD
        .iter()
        .map(|(name, text)| {
            let findings = parse(text).expect_err(name);
            assert!(!findings.is_empty());
            assert!(
                findings.iter().all(|finding| finding.line.is_some()),
                "{name}: {findings:?}"
            );
            format!("{name}:\n{}\n", render(&findings))
        })
        .collect();
    insta::assert_snapshot!(text);
}

#[test]
fn five_lines_are_enough() {
    let config = parse("apiVersion: logctl/v1\nkind: LogConfig\nlog: argon\norigin: log.example.org/argon\nshards: [{name: 2026a, state: active}]\n").unwrap();
    assert_eq!(
        config,
        LogConfig::new(
            "argon".parse().unwrap(),
            "log.example.org/argon".into(),
            "2026a".parse().unwrap()
        )
    );
}

#[test]
fn one_line_is_enough() {
    let config = parse("log: argon").unwrap();
    assert_eq!(config.origin, "argon");
    assert_eq!(config.merge.checkpoint_interval, Span::from_millis(200));
    assert_eq!(config.merge.idle_republish, Span::from_secs(60));
    let first = config.with_first_shard(1_790_000_000).unwrap();
    assert_eq!(
        first,
        LogConfig::new(
            "argon".parse().unwrap(),
            String::new(),
            "2026a".parse().unwrap()
        )
    );
    assert_eq!(
        first.active().map(|shard| shard.state),
        Some(ShardState::Active)
    );
    assert_eq!(first.clone().with_first_shard(0).unwrap(), first);
}

#[test]
fn json_is_accepted_as_other_tools_write_it() {
    let plain = running();
    let compact = serde_json::to_string(&plain).unwrap();
    let tabs = plain.to_json().replace("  ", "\t");
    let crlf = plain.to_json().replace('\n', "\r\n");
    let bom = format!("\u{feff}{}", plain.to_json());
    let escaped = plain
        .to_json()
        .replace('/', "\\/")
        .replace("argon", "\\u0061rgon");
    let many = {
        let mut many = plain.clone();
        many.shards.splice(
            0..0,
            (0..500).map(|n| crate::shard(&format!("s{n}"), ShardState::Frozen)),
        );
        many
    };
    for text in [&compact, &tabs, &crlf, &bom, &escaped] {
        assert_eq!(
            parse(text).unwrap_or_else(|findings| panic!("{text}\n{}", render(&findings))),
            plain
        );
    }
    assert_eq!(parse(&serde_json::to_string(&many).unwrap()).unwrap(), many);
}

#[test]
fn yaml_for_people() {
    insta::assert_snapshot!(running().to_yaml());
}

#[test]
fn the_schema() {
    insta::assert_json_snapshot!(schema());
}

/// A field without an explanation would be a gap in the generated file, the editor and the reference.
#[test]
fn every_field_is_explained() {
    fn walk(schema: &serde_json::Value, path: &str, seen: &mut Vec<String>) {
        let properties = schema
            .get("properties")
            .or_else(|| schema.get("items")?.get("properties"));
        for (key, field) in properties.and_then(|p| p.as_object()).into_iter().flatten() {
            let path = format!("{path}.{key}");
            // The algorithm is written on its key's line.
            if key != "algorithm" {
                seen.push(
                    field["description"]
                        .as_str()
                        .unwrap_or_else(|| panic!("{path} has no description"))
                        .to_owned(),
                );
            }
            walk(field, &path, seen);
        }
    }
    let mut descriptions = Vec::new();
    walk(&schema(), "", &mut descriptions);
    assert!(descriptions.len() > 15);
    let yaml = crate::merge::example().to_yaml();
    for description in descriptions {
        assert!(
            yaml.contains(&format!("# {description}\n")),
            "{description}"
        );
    }
}

#[test]
fn size_is_bounded() {
    let mut text = String::from("log: a\n");
    text.push_str(&"#".repeat(MAX_BYTES - text.len()));
    assert!(parse(&text).is_ok());
    text.push('#');
    assert_eq!(parse(&text).unwrap_err()[0].code, "too-large");
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        for depth in [MAX_DEPTH, 200, 100_000] {
            let text = format!("log: {}1{}", open.repeat(depth), close.repeat(depth));
            let findings = parse(&text).unwrap_err();
            assert!(
                findings.iter().any(|finding| finding.code == "too-deep"),
                "{}",
                render(&findings)
            );
        }
    }
    let text = (0..500)
        .map(|n| format!("{}- \n", " ".repeat(n)))
        .collect::<String>();
    assert!(parse(&text).is_err());
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = String::from("log: a\nx0: &x0 [lol]\n");
    for n in 1..30 {
        text.push_str(&format!(
            "x{n}: &x{n} [{}]\n",
            vec![format!("*x{}", n - 1); 9].join(", ")
        ));
    }
    let findings = parse(&text).unwrap_err();
    assert!(findings.iter().any(|finding| finding.code == "yaml-alias"));
    assert!(findings.len() <= MAX_FINDINGS + 1);
}

#[test]
fn floods_of_findings_are_cut_off() {
    let keys: String = (0..50_000).map(|n| format!("k{n}: 1\n")).collect();
    let twice: String = (0..50_000).map(|_| "log: a\n").collect();
    let shards: String = (0..20_000)
        .map(|n| format!("- {{name: s{}, state: active}}\n", n / 2))
        .collect();
    for text in [
        format!("log: a\n{keys}"),
        twice,
        format!("log: a\nshards:\n{shards}"),
    ] {
        let findings = parse(&text).unwrap_err();
        assert!(findings.len() <= MAX_FINDINGS + 1);
        assert_eq!(
            findings
                .last()
                .map(|finding| finding.code)
                .filter(|code| *code == "too-many-findings")
                .is_some(),
            findings.len() > MAX_FINDINGS
        );
    }
}

/// Texts that would be slow to read if anything were looked at again and again. This test hangs if one is.
#[test]
fn repetitive_texts_are_read_once() {
    let pieces = [
        "[",
        "{",
        "- ",
        "? ",
        ": ",
        "a: ",
        "[a, ",
        "{a: ",
        "'",
        "\"",
        "\\",
        "&a ",
        "!a ",
        "*a ",
        "#",
        "# a\n",
        "\n",
        " \n",
        "\t",
        "a\n",
        "a ",
        "|\n",
        ">\n ",
        "---\n",
        "...\n",
        "%a\n",
        "a: b\n",
        "- a\n",
        "? a\n",
        "a: &a b\n",
        ",",
        "[],",
        "[]\n",
        "\u{feff}",
        "é",
    ];
    for piece in pieces {
        for start in ["", "log: a\n", "log: ", "log: [", "log: {", "log: \"", "- "] {
            let text = format!("{start}{}", piece.repeat(100_000 / piece.len()));
            let _ = parse(&text);
        }
    }
}

#[test]
fn large_documents_are_read() {
    let mut config = running();
    config.shards.splice(
        0..0,
        (0..8000).map(|n| crate::shard(&format!("s{n}"), ShardState::Frozen)),
    );
    assert_eq!(parse(&config.to_yaml()).unwrap(), config);
}

#[test]
fn findings_made_elsewhere_are_located() {
    let mut next = running();
    next.shards[1].length = Some(5);
    let mut findings = logconfig::change(&running(), &next).unwrap_err();
    locate(&next.to_yaml(), &mut findings);
    let line = findings[0].line.unwrap() as usize;
    assert_eq!(
        next.to_yaml().lines().nth(line - 1).unwrap().trim(),
        "length: 5"
    );
}

#[test]
fn strings_that_look_like_something_else_are_quoted() {
    let mut config = running();
    for text in [
        "true",
        "No",
        "y",
        "null",
        "1e5",
        "2026e1",
        "0x1f",
        "1_000",
        "12:30",
        "",
        " a",
        "a: b",
        "#",
        "\"\\",
        "é\u{7f}\u{85}\u{2028}\u{10ffff}\n",
        "- a",
        "a #b",
        "~",
    ] {
        config.shards[0].vkey = Some(text.to_owned());
        let findings = parse(&config.to_yaml()).unwrap_err();
        assert_eq!(
            findings
                .iter()
                .map(|finding| finding.code)
                .collect::<Vec<_>>(),
            ["bad-value"],
            "{text:?}: {}",
            render(&findings)
        );
    }
    config.shards[0] = crate::shard("2026e1", ShardState::Frozen);
    config.shards[1] = crate::shard("0", ShardState::Frozen);
    config.shards[2].name = "null".parse().unwrap();
    config.shards[3].name = "1.5".parse().unwrap();
    config.shards[4].name = "no".parse().unwrap();
    assert_eq!(parse(&config.to_yaml()).unwrap(), config);
}

#[test]
fn entity_tags_follow_the_content() {
    let config = running();
    let tag = config.etag(7);
    assert!(tag.starts_with("g7-") && tag.len() == 11, "{tag}");
    let mut later = config.clone();
    later.shards[1].root_hash = None;
    later.generation = None;
    assert_eq!(later.etag(7), tag);
    later.merge.idle_republish = Span::from_secs(61);
    assert_ne!(later.etag(7), tag);
    insta::assert_snapshot!(String::from_utf8(config.canonical()).unwrap());
}
