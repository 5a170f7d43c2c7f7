//! Tiers, tenants and writers' tokens.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::fake::{Answer, Fake, operation, problem, running};
use crate::runner::Bench;

/// The expected edit of the settings by a command.
type Edit = fn(&mut logconfig::QosConfig);

/// A server that makes every change.
fn willing() -> (Bench, Fake) {
    let (bench, fake) = Bench::served();
    for (query, state) in [("?dryRun=true", "planned"), ("", "decided")] {
        let mut operation = operation("configure", state, [7, 8]);
        operation["differences"] =
            json!([{ "subject": "tier interactive weight", "before": "8", "after": "4" }]);
        fake.says(
            &format!("PUT /logs/dev/config{query}"),
            [Answer::Json(200, operation)],
        );
    }
    (bench, fake)
}

/// The document of the last change.
fn put(fake: &Fake) -> logconfig::LogConfig {
    let put = fake.asked("PUT").pop().unwrap();
    assert_eq!(
        put.headers["if-match"],
        format!("\"{}\"", running().etag(7))
    );
    serde_json::from_value(put.body).unwrap()
}

fn live() -> Value {
    json!({ "log": "dev", "generation": 7, "time": "2026-11-21T08:00:00.000Z",
        "watermarks": { "ordered": 1000, "integrated": 990, "published": 980 }, "publishedBytesPerSecond": 2000000, "publishLatencyMillis": 250,
        "tiers": [{ "tier": "interactive", "missed": 0 }, { "tier": "bulk", "missed": 3 }],
        "queues": [
            { "tier": "interactive", "tenant": "default", "queuedEntries": 2, "queuedBytes": 224, "oldestWaitMillis": 4,
              "accepted": 100, "refused": [], "ordered": 98 },
            { "tier": "bulk", "tenant": "default", "queuedEntries": 50000, "queuedBytes": 5600000, "oldestWaitMillis": 61000,
              "accepted": 90000, "refused": [{ "reason": "rate", "entries": 7 }, { "reason": "demand", "entries": 1 }], "ordered": 40000 } ] })
}

#[test]
fn settings_and_live_figures_are_shown() {
    let (bench, fake) = Bench::served();
    fake.says("GET /logs/dev/qos", [Answer::Json(200, live())]);
    let mut shown = String::new();
    for line in [
        "qos list",
        "qos show interactive",
        "qos show bulk",
        "qos show default",
        "qos show nothing",
    ] {
        shown.push_str(&bench.run(line).shown());
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("qos_shown", shown);
    let list = bench.run("qos list -o json").json();
    assert_eq!(list["kind"], "QosList");
    assert_eq!(list["tiers"][0]["name"], "critical");
    let bulk = bench.run("qos show bulk -o json").json();
    assert_eq!(bulk["live"]["tier"]["missed"], 3);
    assert_eq!(bulk["live"]["queues"].as_array().unwrap().len(), 1);
    // A server that does not tell is no reason to show nothing.
    fake.says(
        "GET /logs/dev/qos",
        [problem(501, "unsupported", "not here")],
    );
    let ran = bench.run("qos show bulk");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert!(ran.out.contains("does not tell"), "{}", ran.shown());
}

#[test]
fn edits_are_changes_of_the_running_document() {
    let (bench, fake) = willing();
    let ran = bench.run("qos set tier interactive --weight 4 --yes");
    insta::assert_snapshot!("qos_set", ran.shown());
    let mut expected = running();
    expected.qos.tiers[1].weight = 4;
    assert_eq!(put(&fake), expected);

    let edits: [(&str, Edit); 6] = [
        (
            "tier bulk --max-merge-delay none --floor 0.5% --priority 5 --burst 7",
            |qos| {
                let tier = &mut qos.tiers[3];
                tier.max_merge_delay = None;
                tier.floor = "0.5%".parse().unwrap();
                tier.priority = "5".parse().unwrap();
                tier.burst = 7;
            },
        ),
        (
            "tier nightly --max-merge-delay 12h --for default,operator",
            |qos| {
                let name: logconfig::TierName = "nightly".parse().unwrap();
                qos.tenants
                    .iter_mut()
                    .for_each(|tenant| tenant.tiers.push(name.clone()));
                qos.tiers.push(logconfig::TierConfig {
                    max_merge_delay: Some("12h".parse().unwrap()),
                    ..logconfig::TierConfig::new(name)
                });
            },
        ),
        ("tier scavenger --remove", |qos| {
            qos.tiers.pop();
            qos.tenants.iter_mut().for_each(|tenant| {
                tenant.tiers.pop();
            });
        }),
        (
            "tenant backfill --tiers bulk,scavenger --bytes 50MiB/s --rate 9/s --weight 2",
            |qos| {
                qos.tenants.push(logconfig::TenantConfig {
                    tiers: vec!["bulk".parse().unwrap(), "scavenger".parse().unwrap()],
                    bytes: Some("50MiB/s".parse().unwrap()),
                    rate: Some("9/s".parse().unwrap()),
                    weight: 2,
                    ..logconfig::TenantConfig::new("backfill".parse().unwrap())
                });
            },
        ),
        // There is one at most, so it moves.
        ("tenant operator --anonymous true", |qos| {
            qos.tenants[0].anonymous = false;
            qos.tenants[1].anonymous = true;
        }),
        ("tenant operator --remove", |qos| {
            qos.tenants.pop();
        }),
    ];
    for (words, edit) in edits {
        let ran = bench.run(&format!("qos set {words} --yes"));
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
        let mut expected = running();
        edit(&mut expected.qos);
        assert_eq!(put(&fake), expected, "{words}");
    }
}

#[test]
fn locking_out_every_writer_is_warned_about() {
    let (bench, fake) = willing();
    const WARNING: &str = "nobody can write to dev after this";
    for line in [
        "qos set tenant default --remove --yes",
        "qos set tenant default --remove --dry-run",
        "qos set tenant default --anonymous false --yes",
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
        assert!(ran.err.contains(WARNING), "{}", ran.shown());
    }
    // Another tenant still lets its writers in, or nobody could write before.
    for line in [
        "qos set tenant operator --remove --yes",
        "qos set tenant operator --anonymous true --yes",
    ] {
        let ran = bench.run(line);
        assert!(!ran.err.contains(WARNING), "{}", ran.shown());
    }
    assert_eq!(fake.asked("PUT").len(), 9);
}

#[test]
fn edits_that_mean_nothing_are_refused_before_anything_is_sent() {
    let (bench, fake) = willing();
    let mut shown = String::new();
    for line in [
        "tier interactve --weight 4 --yes",
        "tier interactive --yes",
        "tier interactive --remove --weight 4 --yes",
        "tier interactive --floor 101% --yes",
        "tier new --weight 4 --for nobody --yes",
        "tenant backfil --rate 1/s --yes",
        "tenant default --remove-token ci --yes",
        "tenant nobody --remove --yes",
        "tenant default --expires 30d --yes",
        "tenant default --rate fast --yes",
    ] {
        let ran = bench.run(&format!("qos set {line}"));
        assert_eq!(ran.code, Some(2), "{}", ran.shown());
        shown.push_str(&ran.shown());
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("qos_set_refused", shown);
    assert!(fake.asked("PUT").is_empty());
}

#[test]
fn a_token_is_told_once_and_only_its_hash_is_sent() {
    let (bench, fake) = willing();
    let ran = bench.run("qos set tenant operator --add-token ci --expires 30d --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    let text = ran.out.trim_end();
    assert!(text.starts_with("logw_") && text.len() == 5 + 43, "{text}");
    let sent = put(&fake).qos.tenants[1].tokens.clone();
    assert_eq!(sent[0].name, "ci");
    assert_eq!(sent[0].sha256, logconfig::token_hash(text));
    assert!(sent[0].expires.is_some());
    let everything = fake.asked("PUT");
    assert!(
        everything
            .iter()
            .all(|put| !put.body.to_string().contains("logw_"))
    );
    assert!(!ran.err.contains("logw_"), "{}", ran.err);

    // As JSON, and into a file of its owner.
    let json = bench
        .run("qos set tenant operator --add-token ci --yes -o json")
        .json();
    assert_eq!(json["kind"], "Change");
    assert!(json["secret"].as_str().unwrap().starts_with("logw_"));
    assert_eq!(put(&fake).qos.tenants[1].tokens[0].expires, None);
    let ran = bench.run("qos set tenant operator --add-token ci --out ci.token --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert!(!ran.out.contains("logw_") && !ran.err.contains("logw_"));
    let kept = bench.read("ci.token");
    assert_eq!(
        put(&fake).qos.tenants[1].tokens[0].sha256,
        logconfig::token_hash(kept.trim_end())
    );
    let mode = std::fs::metadata(bench.path("ci.token"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    // A file that is there is not overwritten, and nothing is sent; a change that is refused leaves no file.
    let puts = fake.asked("PUT").len();
    let ran = bench.run("qos set tenant operator --add-token ci --out ci.token --yes");
    assert_eq!((ran.code, fake.asked("PUT").len()), (Some(2), puts));
    fake.says(
        "PUT /logs/dev/config",
        [problem(403, "forbidden", "uid:0 lacks config:write:dev")],
    );
    let ran = bench.run("qos set tenant operator --add-token other --out other.token --yes");
    assert_eq!(ran.code, Some(4), "{}", ran.shown());
    assert!(!bench.path("other.token").exists());
}

#[test]
fn a_token_is_revoked_by_its_name() {
    let (bench, fake) = willing();
    let mut with = running();
    with.qos.tenants[1].tokens = vec![logconfig::WriterToken {
        name: "ci".into(),
        sha256: logconfig::token_hash("logw_a"),
        expires: None,
    }];
    let answer = json!({ "etag": running().etag(7), "config": with });
    fake.says("GET /logs/dev/config", [Answer::Json(200, answer)]);
    let ran = bench.run("qos set tenant operator --add-token ci --yes");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    let ran = bench.run("qos set tenant operator --remove-token ci --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert_eq!(put(&fake), running());
    // In one change: the old one ends, and one of its name begins.
    let ran = bench.run("qos set tenant operator --remove-token ci --add-token ci --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert_ne!(
        put(&fake).qos.tenants[1].tokens[0].sha256,
        logconfig::token_hash("logw_a")
    );
}

#[test]
fn a_simulation_shows_what_gets_worse() {
    let (bench, fake) = Bench::served();
    let mut next = running();
    next.qos.tiers[1].weight = 1;
    bench.write("next.yaml", &next.to_yaml());
    let figures = |accepted: u64, refused: u64, p99: u64, missed: u64| json!({ "accepted": accepted, "refused": refused, "p50WaitMillis": 2, "p99WaitMillis": p99, "missed": missed });
    let simulation = json!({ "log": "dev", "generation": 7, "from": "2026-11-20T08:00:00Z", "until": "2026-11-21T08:00:00Z",
        "arrived": 5000, "publishedBytesPerSecond": 2000000,
        "differences": [{ "subject": "tier interactive weight", "before": "8", "after": "1" }],
        "tiers": [
            { "tier": "interactive", "before": figures(1000, 0, 9, 0), "after": figures(990, 10, 15, 0) },
            { "tier": "bulk", "before": figures(4000, 0, 900, 0), "after": figures(4000, 0, 700, 0) },
            { "tier": "nightly", "after": figures(0, 0, 0, 0) } ] });
    let path = "POST /logs/dev/qos/simulate?since=1d";
    fake.says(path, [Answer::Json(200, simulation.clone())]);
    let ran = bench.run("qos simulate next.yaml --since 24h");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    insta::assert_snapshot!("qos_simulated", ran.shown());
    assert_eq!(
        fake.asked("POST")[0].body,
        serde_json::to_value(&next).unwrap()
    );
    let json = bench.run("qos simulate next.yaml -o json").json();
    assert_eq!(
        json["worse"],
        json!([{ "tier": "interactive", "figures": ["accepted", "refused", "p99WaitMillis"] }])
    );
    let mut nothing = simulation;
    nothing["arrived"] = json!(0);
    fake.says(path, [Answer::Json(200, nothing)]);
    let ran = bench.run("qos simulate next.yaml");
    assert!(ran.out.contains("nothing can be said"), "{}", ran.shown());
    assert_eq!(bench.run("qos simulate next.yaml --since 8d").code, Some(2));
}

/// A change that a host does not support is refused before any request.
#[test]
fn what_the_server_cannot_do_is_not_offered() {
    let (bench, fake) = Bench::served();
    let caller = json!({ "actor": "uid:0", "permissions": ["*:*:*"],
        "capabilities": { "qos": false, "probation": false } });
    fake.says("GET /whoami", [Answer::Json(200, caller)]);
    bench.write("next.yaml", &running().to_yaml());
    let mut shown = String::new();
    for line in [
        "qos list",
        "qos set tier bulk --weight 2 --yes",
        "shard --use-config next.yaml --confirm-within 10m --yes",
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(6), "{}", ran.shown());
        shown.push_str(&ran.shown());
        shown.push_str("\n=====\n");
    }
    shown.push_str(&bench.run("whoami").shown());
    insta::assert_snapshot!("unsupported", shown);
    assert!(fake.asked("PUT").is_empty());
}
