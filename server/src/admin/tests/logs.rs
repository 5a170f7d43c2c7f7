//! Logs come and go, on every replica.

use logconfig::LogConfig;
use server_admin::{Change, Host as _, HostError, Mode};
use wire::{Action, CreateLogRequest, FreezeRequest, LogCondition, OperationState};

use super::{caller, host, until};
use crate::testing::{Server, engine};

fn creation(name: &str) -> Box<CreateLogRequest> {
    let origin = format!("example.org/{name}");
    let config = LogConfig::new(name.parse().unwrap(), origin, "a".parse().unwrap());
    Box::new(CreateLogRequest { config })
}

fn create(name: &str) -> Change {
    Change::Create(creation(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_document_brings_no_record_of_an_announced_key() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let mut copied = creation("new");
    copied.config.shards[0].announced = Some(logconfig::Announced {
        key: "KEY".to_owned(),
        seen: vec![logconfig::Seen {
            at: "https://example.org/trusted_root.json".to_owned(),
            since: "2020-01-01T00:00:00Z".to_owned(),
            gone: None,
        }],
    });
    for (key, state) in [
        ("first", OperationState::Done),
        ("again", OperationState::Unchanged),
    ] {
        let change = Change::Create(copied.clone());
        let made = host.apply("new", change, Mode::Apply, caller(key)).await;
        assert_eq!(made.unwrap().state, state);
        let running = host.config("new").await.unwrap().config;
        assert_eq!(running.shards[0].announced, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_created_on_all_replicas_and_its_name_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (engine(&folder).await, engine(&folder).await);
    let (one, two) = (host(&first), host(&second));
    let planned = one
        .apply("new", create("new"), Mode::Preview, caller("k"))
        .await;
    let planned = planned.unwrap();
    assert_eq!(planned.state, OperationState::Planned);
    assert_eq!(planned.differences[0].subject, "log new");
    assert!(matches!(
        one.status("new").await,
        Err(HostError::NotFound(_))
    ));

    let made = one
        .apply("new", create("new"), Mode::Apply, caller("k"))
        .await;
    let made = made.unwrap();
    assert_eq!((made.action, made.generation), (Action::Create, 1));
    super::proven(made.audit.as_ref().unwrap());
    let status = until("the other replica serves it", async || {
        two.status("new").await.ok()
    })
    .await;
    assert_eq!(
        (status.etag, status.condition),
        (made.etag.clone(), LogCondition::Open)
    );
    until("known everywhere", async || {
        let found = two.operation(&made.id).await.unwrap();
        (found.state == OperationState::Done).then_some(())
    })
    .await;
    second
        .log("new")
        .unwrap()
        .append("entry".into())
        .await
        .unwrap();

    // The same again is the same; the same content is nothing to do; other content needs another name.
    let again = two
        .apply("new", create("new"), Mode::Apply, caller("k"))
        .await;
    assert_eq!(again.unwrap().id, made.id);
    let same = two
        .apply("new", create("new"), Mode::Apply, caller("l"))
        .await;
    assert_eq!(same.unwrap().state, OperationState::Unchanged);
    let mut other = creation("new");
    other.config.merge.idle_republish = logconfig::Span::from_secs(9);
    let other = Change::Create(other);
    for mode in [Mode::Preview, Mode::Apply] {
        let taken = one.apply("new", other.clone(), mode, caller("m")).await;
        assert!(matches!(taken, Err(HostError::Conflict(_))), "{taken:?}");
    }
    let reused = one.apply("new", other, Mode::Apply, caller("k")).await;
    assert!(
        matches!(reused, Err(HostError::KeyReused { .. })),
        "{reused:?}"
    );
    let mut frozen = creation("cold");
    frozen.config.shards[0].state = logconfig::ShardState::Frozen;
    let frozen = Change::Create(frozen);
    let refused = one.apply("cold", frozen, Mode::Apply, caller("n")).await;
    assert!(matches!(refused, Err(HostError::Invalid(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_log_is_gone_everywhere_and_comes_back_whole() {
    let server = Server::start().await;
    let second = engine(&server.folder).await;
    let (one, two) = (host(&server.engine), host(&second));
    assert_eq!(server.add(b"kept").await.status, 200);

    let open = one
        .apply("dev", Change::Delete, Mode::Apply, caller("d"))
        .await;
    assert!(
        matches!(&open, Err(HostError::Conflict(why)) if why.contains("freeze")),
        "{open:?}"
    );
    let freeze = Change::Freeze(FreezeRequest { now: true });
    two.apply("dev", freeze, Mode::Apply, caller("f"))
        .await
        .unwrap();
    until("frozen here too", async || {
        let status = one.status("dev").await.unwrap();
        (status.condition == LogCondition::Frozen).then_some(())
    })
    .await;
    let planned = one
        .apply("dev", Change::Delete, Mode::Preview, caller("d"))
        .await;
    assert_eq!(planned.unwrap().state, OperationState::Planned);
    // One that has not said yet what it runs counts as one that is behind.
    until("both say what they run", async || {
        let all = two.replicas(Some("dev")).await.unwrap();
        let said = all.iter().filter(|one| one.generation.is_some());
        (said.count() == 2).then_some(())
    })
    .await;
    let gone = two
        .apply("dev", Change::Delete, Mode::Apply, caller("e"))
        .await;
    let gone = gone.unwrap();
    assert_eq!(
        (gone.action, gone.state),
        (Action::Delete, OperationState::Done)
    );
    assert!(gone.audit.is_some());

    until("gone here too", async || {
        (server.get("/dev/shards").await.status == 410).then_some(())
    })
    .await;
    for (line, body) in [
        ("GET /dev/a/checkpoint", &b""[..]),
        ("GET /dev/entries/0", b""),
        ("POST /dev/add", b"late"),
    ] {
        let reply = server.ask(line, "", body).await;
        assert_eq!(
            (reply.status, reply.text().contains("deleted")),
            (410, true),
            "{reply:?}"
        );
    }
    for host in [&one, &two] {
        assert_eq!(host.logs().await.unwrap().len(), 0);
        let hint = host.status("dev").await;
        assert!(
            matches!(&hint, Err(HostError::NotFound(why)) if why.contains("undelete")),
            "{hint:?}"
        );
        // The finished operations stay known.
        assert_eq!(
            host.operation(&gone.id).await.unwrap().action,
            Action::Delete
        );
        let unfreeze = host
            .apply("dev", Change::Unfreeze, Mode::Apply, caller("u"))
            .await;
        assert!(
            matches!(unfreeze, Err(HostError::NotFound(_))),
            "{unfreeze:?}"
        );
        let taken = host
            .apply("dev", create("dev"), Mode::Apply, caller("c"))
            .await;
        assert!(
            matches!(&taken, Err(HostError::Conflict(why)) if why.contains("undelete")),
            "{taken:?}"
        );
    }
    // Still so for one that starts now.
    let third = host(&crate::testing::open(&server.folder).await);
    assert!(matches!(
        third.status("dev").await,
        Err(HostError::NotFound(_))
    ));

    let back = one
        .apply("dev", Change::Undelete, Mode::Apply, caller("b"))
        .await;
    assert_eq!(back.unwrap().action, Action::Undelete);
    let status = one.status("dev").await.unwrap();
    assert_eq!(
        (status.condition, status.watermarks.ordered.get()),
        (LogCondition::Frozen, 1)
    );
    assert_eq!(server.get("/dev/entries/0").await.body, b"kept");
    assert_eq!(server.add(b"not yet").await.status, 409);
    one.apply("dev", Change::Unfreeze, Mode::Apply, caller("u2"))
        .await
        .unwrap();
    assert_eq!(server.add(b"more").await.status, 200);
    let history = one.history("dev").await.unwrap();
    let actions: Vec<_> = history.iter().rev().map(|item| item.action).collect();
    assert_eq!(
        actions,
        [
            Action::Create,
            Action::Freeze,
            Action::Delete,
            Action::Undelete,
            Action::Unfreeze
        ]
    );
    for change in [Change::Delete, Change::Undelete] {
        let system = one.apply("system", change, Mode::Apply, caller("s")).await;
        assert!(matches!(system, Err(HostError::Conflict(_))), "{system:?}");
    }
}

/// A freeze ends admission first and is decided then: two records of the history, and one operation.
#[tokio::test]
async fn a_freeze_is_one_operation() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&folder).await;
    let host = host(&engine);
    let freeze = Change::Freeze(FreezeRequest { now: false });
    let frozen = host.apply("dev", freeze, Mode::Apply, caller("f"));
    let frozen = frozen.await.unwrap();
    let unfreeze = host.apply("dev", Change::Unfreeze, Mode::Apply, caller("u"));
    unfreeze.await.unwrap();
    assert_eq!(host.history("dev").await.unwrap().len(), 4);
    for log in [None, Some("dev")] {
        let listed = host.operations(log).await.unwrap();
        let actions: Vec<_> = listed.iter().map(|one| one.action).collect();
        assert_eq!(actions, [Action::Unfreeze, Action::Freeze, Action::Create]);
        assert_eq!(listed[1].id, frozen.id);
    }
}
