//! The host over a real engine: what the wire says, and what the audit trail holds.

mod announce;
mod logs;
mod probation;
mod rotation;

use order::Generation;
use std::sync::Arc;

use engine::audit::{self, Record, Verdict};
use engine::{Audited, Engine};
use server_admin::{Caller, Change, Host as _, HostError, Mode};
use store::StoreError;
use store::fault::{Fault, Faults, FaultyCoordination, Operation};
use wire::{Action, FreezeRequest, OperationState, RotateRequest};

use super::host::EngineHost;
use crate::testing::engine;
use jiff::{SignedDuration, Timestamp};
use server_admin::{AuditQuery, Event};
use tlog::GlobalIndex;
use wire::AuditReceipt;

fn caller(key: &str) -> Caller {
    Caller {
        actor: "uid:7".to_owned(),
        idempotency_key: Some(key.to_owned()),
        reason: None,
        connection: None,
    }
}

fn host(engine: &Arc<Engine>) -> Arc<EngineHost> {
    EngineHost::new(
        Arc::clone(engine),
        Audited::new(Arc::clone(engine)),
        "http://test".to_owned(),
        super::Files::default(),
        crate::indexes::Indexes::new("index".into()),
    )
}

async fn trail(engine: &Engine) -> Vec<Record> {
    let system = engine.system().unwrap();
    let mut records = Vec::new();
    while let Some(entry) = system
        .entry(GlobalIndex::new(records.len() as u64))
        .await
        .unwrap()
    {
        records.push(serde_json::from_slice(&entry.bytes).unwrap());
    }
    records
}

/// Waits for a condition; the limit is a guard against hanging only.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let patient = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), patient)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"))
}

/// Changes one setting of the log `dev`.
async fn settle_on(host: &EngineHost, millis: u64, within: Option<u64>, who: Caller) -> Answered {
    let running = host.config("dev").await.unwrap();
    let mut next = running.config.clone();
    next.merge.checkpoint_interval = logconfig::Span::from_millis(millis);
    let change = Change::Configure {
        document: Box::new(next),
        base: running.etag.parse().unwrap(),
        confirm_within: within.map(std::time::Duration::from_secs),
    };
    host.apply("dev", change, Mode::Apply, who).await
}

type Answered = Result<wire::Operation, HostError>;

#[tokio::test]
async fn a_rotation_is_recorded_before_and_after_and_repeats_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let rotate = || Change::Rotate {
        request: RotateRequest::default(),
        base: None,
    };

    let planned = host
        .apply("dev", rotate(), Mode::Preview, caller("k"))
        .await
        .unwrap();
    assert_eq!(
        (planned.state, planned.audit_index),
        (OperationState::Planned, None)
    );
    assert_eq!(trail(&engine).await, []);

    let done = host
        .apply("dev", rotate(), Mode::Apply, caller("k"))
        .await
        .unwrap();
    assert_eq!(
        (done.action, done.state, done.generation),
        (Action::Rotate, OperationState::Done, 2)
    );
    assert_eq!(
        (done.audit_index, done.actor.as_deref()),
        (Some(GlobalIndex::ZERO), Some("uid:7"))
    );
    let receipt = done.audit.clone().unwrap();
    assert_eq!(receipt.index, GlobalIndex::ZERO);
    assert!(receipt.entry.contains(&done.id), "{receipt:?}");
    proven(&receipt);
    let records = trail(&engine).await;
    let [Record::Intent(intent), Record::Outcome(outcome)] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!(
        (
            &intent.operation,
            intent.actor.as_str(),
            intent.log.as_str()
        ),
        (&done.id, "uid:7", "dev")
    );
    assert_eq!(
        (&outcome.operation, outcome.result, outcome.generation),
        (&done.id, Verdict::Decided, Some(Generation::new(2)))
    );

    let again = host
        .apply("dev", rotate(), Mode::Apply, caller("k"))
        .await
        .unwrap();
    assert_eq!(
        (again.id, again.generation, again.audit_index),
        (done.id.clone(), 2, Some(GlobalIndex::ZERO))
    );
    assert_eq!(host.status("dev").await.unwrap().shards.len(), 2);
    // The base is what the request was made on top of, not what it asks for.
    let on_another_base = Change::Rotate {
        request: RotateRequest::default(),
        base: Some("g1".parse().unwrap()),
    };
    let again = host
        .apply("dev", on_another_base, Mode::Apply, caller("k"))
        .await
        .unwrap();
    assert_eq!(again.id, done.id);
    assert_eq!(host.status("dev").await.unwrap().shards.len(), 2);

    let found = host.operation(&done.id).await.unwrap();
    assert_eq!(
        (found.state, found.etag, found.audit_index),
        (OperationState::Done, done.etag, Some(GlobalIndex::ZERO))
    );
    let said: Vec<&str> = found
        .differences
        .iter()
        .map(|d| d.subject.as_str())
        .collect();
    assert_eq!(found.differences, done.differences, "{said:?}");
    assert_eq!(again.differences, done.differences);
    let all = host.operations(None).await.unwrap();
    assert_eq!(
        all.iter().map(|o| o.action).collect::<Vec<_>>(),
        [Action::Rotate, Action::Create]
    );
    assert_eq!(host.history("dev").await.unwrap()[0].operation, done.id);
    let freed = host
        .apply(
            "dev",
            Change::Freeze(FreezeRequest { now: true }),
            Mode::Apply,
            caller("k"),
        )
        .await;
    assert!(
        matches!(freed, Err(HostError::KeyReused { .. })),
        "{freed:?}"
    );
}

#[tokio::test]
async fn the_reason_is_kept_with_the_change() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let because = |key: &str, why: &str| Caller {
        reason: Some(why.to_owned()),
        ..caller(key)
    };
    let rotate = Change::Rotate {
        request: RotateRequest::default(),
        base: None,
    };
    let rotated = host.apply(
        "dev",
        rotate,
        Mode::Apply,
        because("a", "TICKET-7: the shard is full"),
    );
    let rotated = rotated.await.unwrap();
    let frozen = host.apply(
        "dev",
        Change::Freeze(FreezeRequest { now: true }),
        Mode::Apply,
        because("b", "maintenance"),
    );
    frozen.await.unwrap();
    let reasons: Vec<String> = trail(&engine)
        .await
        .into_iter()
        .filter_map(|record| match record {
            Record::Intent(intent) => intent.reason,
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["TICKET-7: the shard is full", "maintenance"]);
    let history = host.history("dev").await.unwrap();
    assert_eq!(history[0].reason.as_deref(), Some("maintenance"));
    assert_eq!(
        history[1].reason.as_deref(),
        Some("TICKET-7: the shard is full")
    );
    assert_eq!(history[1].differences.as_ref(), Some(&rotated.differences));
    assert!(
        history[1]
            .summary
            .ends_with(": TICKET-7: the shard is full")
    );
    let found = host.operation(&rotated.id).await.unwrap();
    assert_eq!(found.reason.as_deref(), Some("TICKET-7: the shard is full"));
    let page = host.audit(server_admin::AuditQuery {
        before: None,
        limit: 10,
        log: None,
    });
    let page = page.await.unwrap();
    let intent = page
        .entries
        .iter()
        .find(|entry| entry.action.as_deref() == Some("freeze"));
    assert_eq!(intent.unwrap().detail.as_deref(), Some("maintenance"));
}

/// Checks a receipt with other people's code: the signature of the checkpoint, and the proof that leads to it.
fn proven(receipt: &AuditReceipt) {
    let key = signed_note::StandardVerifier::new(&receipt.vkey).unwrap();
    let note = signed_note::Note::from_bytes(receipt.checkpoint.as_bytes()).unwrap();
    note.verify(&signed_note::VerifierList::new(vec![Box::new(key)]))
        .unwrap();
    let head = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!(head.origin(), format!("system/{}", receipt.shard));
    let proof: Vec<tlog_tiles::Hash> = receipt
        .proof
        .iter()
        .map(|hash| tlog_tiles::Hash(hash.parse::<tlog::Hash>().unwrap().0))
        .collect();
    let leaf = tlog_tiles::record_hash(receipt.entry.as_bytes());
    tlog_tiles::check_record(
        &proof,
        head.size(),
        *head.hash(),
        receipt.leaf_index.get(),
        leaf,
    )
    .unwrap();
}

#[tokio::test]
async fn the_trail_is_read_in_pages_and_as_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    for n in 0..300 {
        let event = Event {
            actor: format!("token:{n}"),
            action: "login-failed",
            detail: "no such token".to_owned(),
        };
        // Not one by one: each would wait for its own checkpoint.
        let record = Record::Event(audit::Event {
            action: event.action.to_owned(),
            actor: event.actor,
            log: None,
            detail: event.detail,
            replica: "r".to_owned(),
            time: crate::clock::now(),
        });
        let entry = serde_json::to_vec(&record).unwrap();
        drop(engine.system().unwrap().append(entry.into()));
    }
    let unfreeze = host.apply("dev", Change::Unfreeze, Mode::Apply, caller("u"));
    unfreeze.await.unwrap();
    let receipt = host
        .record(Event {
            actor: "uid:7".to_owned(),
            action: "token-create",
            detail: "token ci".to_owned(),
        })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receipt.index, GlobalIndex::new(302));
    proven(&receipt);

    let ask = |before, limit, log: Option<&str>| {
        host.audit(AuditQuery {
            before,
            limit,
            log: log.map(str::to_owned),
        })
    };
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = ask(before, 100, None).await.unwrap();
        assert_eq!(page.size, GlobalIndex::new(303));
        all.extend(page.entries);
        before = page.next.map(GlobalIndex::get).map(GlobalIndex::new);
        if before.is_none() {
            break;
        }
    }
    let indexes: Vec<u64> = all.iter().map(|entry| entry.index.get()).collect();
    assert_eq!(indexes, (0..303).rev().collect::<Vec<_>>());
    assert_eq!(
        (all[0].kind.as_str(), all[0].action.as_deref()),
        ("event", Some("token-create"))
    );
    assert_eq!(all[302].actor.as_deref(), Some("token:0"));
    let of_log = ask(None, 100, Some("dev")).await.unwrap();
    let said: Vec<_> = of_log
        .entries
        .iter()
        .map(|e| {
            (
                e.kind.as_str(),
                e.result.as_deref(),
                e.intent.map(GlobalIndex::get),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("outcome", Some("unchanged"), Some(300)),
            ("intent", None, None)
        ]
    );
    assert_eq!((of_log.next, of_log.size.get()), (None, 303));

    // The tree that the pages are of, as any monitor reads it.
    let read = |path: &'static str| host.audit_object(path);
    let note = read("1/checkpoint").await.unwrap().unwrap();
    let body = String::from_utf8(note).unwrap();
    assert!(body.starts_with("system/1\n30"), "{body}");
    let bundle = read("1/tile/entries/000").await.unwrap().unwrap();
    let first = tlog::bundle::entries(&bundle).unwrap()[0];
    let shown: Record = serde_json::from_slice(first).unwrap();
    assert!(matches!(shown, Record::Event(e) if e.actor == "token:0"));
    for path in [
        "",
        "1",
        "1/",
        "2/checkpoint",
        "1/tile/0/x",
        "1/../dev/a/checkpoint",
        "/1/checkpoint",
        "1/checkpoint/",
        "..%2f",
        "1/tile/0/001",
        "1//checkpoint",
        "1/key",
        "\0",
    ] {
        assert_eq!(read(path).await.unwrap(), None, "{path:?}");
    }
}

#[tokio::test]
async fn the_memory_gives_a_key_once_until_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host_of = host;
    let host = host_of(&engine);
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let past = Timestamp::now() - SignedDuration::from_secs(1);
    // Used identity tokens: of many who come with the same one at once, one gets in.
    let tries: Vec<_> = (0..20)
        .map(|n| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { host.remember("jti/x", &format!("{n}"), later).await })
        })
        .collect();
    let mut won = 0;
    for one in tries {
        won += u32::from(one.await.unwrap().unwrap());
    }
    assert_eq!(won, 1);
    assert!(host.remember("session/b", "second", later).await.unwrap());
    assert!(host.remember("session/a", "first", later).await.unwrap());
    assert!(host.remember("session/c", "over", past).await.unwrap());
    let rows = host.recall("session/").await.unwrap();
    assert_eq!(
        rows,
        [("session/a", "first"), ("session/b", "second")].map(|(k, v)| (k.into(), v.into()))
    );
    // An expired row counts as absent, and its name is free again.
    assert!(!host.forget("session/c").await.unwrap());
    assert!(host.remember("session/c", "anew", past).await.unwrap());
    assert!(host.remember("session/c", "again", later).await.unwrap());
    assert!(!host.remember("session/c", "too late", later).await.unwrap());
    assert!(host.forget("session/a").await.unwrap());
    assert!(!host.forget("session/a").await.unwrap());
    assert!(host.remember("session/a", "new", later).await.unwrap());
    for key in ["", "A", "a b", "a\u{e9}", &"k".repeat(201)] {
        let refused = host.remember(key, "v", later).await;
        assert!(matches!(refused, Err(HostError::Internal(_))), "{key:?}");
    }
    let large = "v".repeat(16 << 10);
    assert!(host.remember("large", &large, later).await.unwrap());
    assert!(
        host.remember("larger", &format!("{large}v"), later)
            .await
            .is_err()
    );
    // It survives the process, and other processes see it.
    let second = crate::testing::engine(&folder).await;
    let other = host_of(&second);
    assert_eq!(other.recall("jti/").await.unwrap().len(), 1);
    assert!(!other.remember("jti/x", "replay", later).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_server_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let diagnosed = host.diagnose().await.unwrap();
    let checks: Vec<_> = diagnosed
        .checks
        .iter()
        .map(|check| (check.check.as_str(), check.log.as_deref()))
        .collect();
    let (dev, system) = (Some("dev"), Some("system"));
    assert_eq!(
        checks,
        [
            ("clock", None),
            ("disk", None),
            ("store-latency", None),
            ("halted", dev),
            ("checkpoint-age", dev),
            ("replicas", dev),
            ("objects", dev),
            ("merge", dev),
            ("halted", system),
            ("checkpoint-age", system),
            ("replicas", system),
            ("objects", system),
            ("merge", system),
        ]
    );
    // A machine under load may be slow to write; all else is well.
    let bad = diagnosed
        .checks
        .iter()
        .find(|c| c.severity != wire::Severity::Ok && c.check != "store-latency");
    assert_eq!(bad, None);
    assert!(diagnosed.time.parse::<Timestamp>().is_ok());
}

#[tokio::test]
async fn every_generation_keeps_its_document_and_its_tag() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let mut tags = vec![host.config("dev").await.unwrap()];
    for millis in [20, 30, 40] {
        let running = host.config("dev").await.unwrap();
        let mut next = running.config.clone();
        next.merge.checkpoint_interval = logconfig::Span::from_millis(millis);
        let change = Change::Configure {
            document: Box::new(next),
            base: running.etag.parse().unwrap(),
            confirm_within: None,
        };
        let made = host
            .apply("dev", change, Mode::Apply, caller(&format!("{millis}")))
            .await
            .unwrap();
        let found = host.operation(&made.id).await.unwrap();
        assert_eq!(
            (found.differences.len(), &found.etag),
            (1, &made.etag),
            "{found:?}"
        );
        assert_eq!(found.differences, made.differences);
        tags.push(host.config("dev").await.unwrap());
    }
    let history = host.history("dev").await.unwrap();
    for (generation, then) in (1..).zip(&tags) {
        let again = host.config_at("dev", generation).await.unwrap();
        assert_eq!(&again, then);
        let item = history.iter().find(|item| item.generation == generation);
        assert_eq!(item.unwrap().etag.as_ref(), Some(&then.etag));
    }
    // A base of the past says what moved since.
    let change = Change::Configure {
        document: Box::new({
            let mut next = tags[3].config.clone();
            next.merge.idle_republish = logconfig::Span::from_secs(3);
            next
        }),
        base: tags[1].etag.parse().unwrap(),
        confirm_within: None,
    };
    match host
        .apply("dev", change, Mode::Apply, caller("stale"))
        .await
    {
        Err(HostError::Stale { differences, .. }) => {
            assert_eq!(differences.len(), 1, "{differences:?}");
            assert_eq!(differences[0].before.as_deref(), Some("20ms"));
        }
        other => panic!("{other:?}"),
    }
    for generation in [0, 5, u64::MAX] {
        let none = host.config_at("dev", generation).await;
        assert!(matches!(none, Err(HostError::NotFound(_))), "{none:?}");
    }
}

#[tokio::test]
async fn a_base_that_never_ran_is_stale_but_content_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let running = host.config("dev").await.unwrap();
    assert_eq!(running.etag, host.status("dev").await.unwrap().etag);
    for etag in ["g1-00000000", "g7-00000000", "g7"] {
        let base: server_admin::Base = etag.parse().unwrap();
        let same = Change::Configure {
            document: Box::new(running.config.clone()),
            base: base.clone(),
            confirm_within: None,
        };
        let outcome = host
            .apply("dev", same, Mode::Apply, caller(etag))
            .await
            .unwrap();
        assert_eq!(outcome.state, OperationState::Unchanged, "{etag}");
        let mut next = running.config.clone();
        next.merge.checkpoint_interval = "77ms".parse().unwrap();
        let change = Change::Configure {
            document: Box::new(next),
            base,
            confirm_within: None,
        };
        match host
            .apply("dev", change, Mode::Apply, caller(&format!("{etag}-2")))
            .await
        {
            Err(HostError::Stale {
                current_etag,
                differences,
                ..
            }) => {
                // Nothing is known of a state that never was, so nothing moved since it.
                assert_eq!(
                    (current_etag, differences.len()),
                    (running.etag.clone(), 0),
                    "{etag}"
                );
            }
            other => panic!("{etag}: {other:?}"),
        }
    }
    let results: Vec<Verdict> = trail(&engine)
        .await
        .into_iter()
        .filter_map(|record| {
            if let Record::Outcome(outcome) = record {
                Some(outcome.result)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(results, [Verdict::Unchanged, Verdict::Refused].repeat(3));
    let unknown = host
        .apply("nope", Change::Unfreeze, Mode::Apply, caller("x"))
        .await;
    assert!(
        matches!(unknown, Err(HostError::NotFound(_))),
        "{unknown:?}"
    );
    let frozen = host
        .apply(
            "system",
            Change::Freeze(FreezeRequest { now: true }),
            Mode::Apply,
            caller("x"),
        )
        .await;
    assert!(matches!(frozen, Err(HostError::Conflict(_))), "{frozen:?}");
}

/// A log that the settings name is made like any other: an intent before, the outcome behind.
#[tokio::test]
async fn a_log_that_the_settings_name_is_in_the_trail() {
    let folder = tempfile::tempdir().unwrap();
    let engine = crate::testing::open(&folder).await;
    let named = |shard: &str| {
        let name = "dev".parse().unwrap();
        let origin = "example.org/dev".to_owned();
        logconfig::LogConfig::new(name, origin, shard.parse().unwrap())
    };
    crate::run::create(&engine, named("a")).await.unwrap();
    let trail = trail(&engine).await;
    let [Record::Intent(intent), Record::Outcome(outcome)] = &trail[..] else {
        panic!("{trail:?}");
    };
    assert_eq!((&*intent.action, &*intent.actor), ("create", "server"));
    assert_eq!(intent.log, "dev");
    assert_eq!(outcome.operation, intent.operation);
    assert_eq!(
        (outcome.intent.get(), outcome.result),
        (0, Verdict::Decided)
    );
    let made = engine.log("dev").unwrap().history().await.unwrap();
    assert_eq!(made[0].operation, intent.operation);
}

/// The store answers the change, and then nothing about the replicas: the change is decided, and the answer says so.
#[tokio::test]
async fn a_decided_change_is_answered_while_the_replicas_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    engine(&folder).await.shutdown().await;
    let options = engine::testing::options(folder.path(), &folder.path().join("kek"));
    let faults = Faults::new();
    let rows = FaultyCoordination::new(Arc::clone(&options.coordination), faults.clone());
    let options = engine::EngineOptions {
        ambient: ambient::Ambient::system(),
        coordination: Arc::new(rows),
        ..options
    };
    let engine = Engine::open(options).await.unwrap();
    let host = host(&engine);
    let unread = || {
        faults.plan(|_, operation| match operation {
            Operation::Scan(prefix) => prefix
                .starts_with("replica/")
                .then(|| Fault::Fail(StoreError::Io("busy".to_owned()))),
            _ => None,
        });
    };
    unread();
    let rotate = Change::Rotate {
        request: RotateRequest::default(),
        base: None,
    };
    let rotated = host
        .apply("dev", rotate, Mode::Apply, caller("r"))
        .await
        .unwrap();
    assert_eq!(
        (rotated.state, rotated.generation, rotated.replicas.len()),
        (OperationState::Decided, 2, 0)
    );
    let asked = host.operation(&rotated.id).await;
    assert!(matches!(asked, Err(HostError::Unavailable(_))), "{asked:?}");
    let tried = settle_on(&host, 77, Some(3600), caller("try"))
        .await
        .unwrap();
    let kept = host.confirm(&tried.id, caller("keep")).await.unwrap();
    assert_eq!(kept.id, tried.id);
    faults.clear();
    for id in [&rotated.id, &tried.id] {
        let now = host.operation(id).await.unwrap();
        assert_eq!(now.state, OperationState::Done);
    }
}
