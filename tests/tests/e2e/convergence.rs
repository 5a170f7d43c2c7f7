//! Three servers on one folder: a change is everywhere at once, and one that does not follow is named. An unconfirmed change is reversed
//! even if the server is killed; a full shard is rotated out once.

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tests::http::Http;
use tests::load::{Load, Plan};
use tests::process::Logd;
use tests::wait;

use crate::{Done, audit, folder};

/// The admin endpoint of the first server on a folder.
struct Admin(Http);

impl Admin {
    fn of(logd: &Logd) -> Self {
        Self(Http::unix(logd.directory.join("admin.sock")))
    }

    fn get(&mut self, path: &str) -> Result<Value> {
        self.0
            .get(&format!("/admin/v1/{path}"), &[])?
            .expect_status(200)?
            .json()
    }

    /// Runs the configuration of `dev` after an edit; the operation.
    fn configure(&mut self, query: &str, edit: impl FnOnce(&mut Value)) -> Result<Value> {
        let answer = self.get("logs/dev/config")?;
        let etag = format!("\"{}\"", answer["etag"].as_str().context("an entity tag")?);
        let mut config = answer["config"].clone();
        edit(&mut config);
        let headers = [
            ("If-Match", etag.as_str()),
            ("Content-Type", "application/json"),
        ];
        let path = format!("/admin/v1/logs/dev/config{query}");
        let body = config.to_string();
        self.0
            .send("PUT", &path, &headers, Some(body.as_bytes()))?
            .expect_status(200)?
            .json()
    }

    fn operation(&mut self, operation: &Value) -> Result<Value> {
        let id = operation["id"].as_str().context("an operation's id")?;
        self.get(&format!("operations/{id}"))
    }

    /// Waits until an operation is in a state; the operation.
    fn until(&mut self, operation: &Value, state: &str) -> Result<Value> {
        wait::until(&format!("{operation} is {state}"), || {
            let now = self.operation(operation)?;
            Ok((now["state"] == state).then_some(now))
        })
    }

    fn rotate(&mut self) -> Result<Value> {
        self.0
            .post(
                "/admin/v1/logs/dev/rotations",
                &[("Content-Type", "application/json")],
                b"{}",
            )?
            .expect_status(200)?
            .json()
    }
}

fn interval(config: &mut Value, text: &str) {
    config["merge"]["checkpointInterval"] = text.into();
}

/// The configuration that a server says it runs.
fn runs(logd: &Logd) -> Result<String> {
    let answer = logd
        .http()
        .get("/dev/watermarks", &[])?
        .expect_status(200)?;
    let tag = answer.header("log-config").context("no Log-Config")?;
    Ok(tag.to_owned())
}

#[test]
fn a_laggard_is_named_and_never_writes_into_the_old_shard() -> Done {
    let folder = folder()?;
    let servers = [
        Logd::start(folder.path())?,
        Logd::start(folder.path())?,
        Logd::start(folder.path())?,
    ];
    let [first, second, third] = &servers;
    let mut admin = Admin::of(first);
    wait::until("all three report", || {
        let replicas = admin.get("replicas?log=dev")?;
        let count = replicas["replicas"].as_array().map_or(0, Vec::len);
        Ok((count == 3).then_some(()))
    })?;

    // Everywhere, by its own word and from outside.
    let made = admin.configure("", |config| interval(config, "31ms"))?;
    let done = admin.until(&made, "done")?;
    ensure!(
        done["replicas"].as_array().map_or(0, Vec::len) == 3,
        "{done}"
    );
    for logd in &servers {
        wait::until("the tag is on its answers", || {
            Ok((Some(runs(logd)?.as_str()) == made["etag"].as_str()).then_some(()))
        })?;
    }

    // One is stopped: decided, and it is named.
    let old = third.pid();
    third.signal(Signal::STOP)?;
    let made = admin.rotate()?;
    let generation = made["generation"].as_u64().context("a generation")?;
    wait::until("the other one runs it", || {
        Ok((Some(runs(second)?.as_str()) == made["etag"].as_str()).then_some(()))
    })?;
    // A replica says what it runs a moment after it runs it.
    let behind = wait::until("one is behind", || {
        let pending = admin.operation(&made)?;
        ensure!(pending["state"] == "decided", "{pending}");
        let replicas = pending["replicas"].as_array().context("replicas")?;
        let behind = replicas.iter();
        let behind: Vec<&Value> = behind
            .filter(|replica| replica["generation"].as_u64() < Some(generation))
            .collect();
        Ok(match behind.as_slice() {
            [one] => Some(Value::clone(one)),
            _ => None,
        })
    })?;
    ensure!(
        behind["label"]
            .as_str()
            .is_some_and(|label| label.ends_with(&format!(":{old}"))),
        "{behind}"
    );
    third.signal(Signal::CONT)?;
    // Its very first entry is in the new shard.
    let answer = third
        .http()
        .post("/dev/add", &[("Accept", "application/json")], b"late")?
        .expect_status(200)?;
    let active = first.shards()?.pop().context("a shard")?;
    ensure!(
        answer.json()?["shard"] == active.name.as_str(),
        "{answer:?}"
    );
    ensure!(
        answer.header("log-config") == made["etag"].as_str(),
        "{answer:?}"
    );
    admin.until(&made, "done")?;

    // One that stays silent no longer counts.
    third.signal(Signal::STOP)?;
    let made = admin.configure("", |config| interval(config, "32ms"))?;
    let done = admin.until(&made, "done")?;
    ensure!(
        done["replicas"].as_array().map_or(0, Vec::len) == 2,
        "{done}"
    );
    third.signal(Signal::CONT)?;
    wait::until("it catches up", || {
        Ok((Some(runs(third)?.as_str()) == made["etag"].as_str()).then_some(()))
    })?;
    Ok(())
}

#[test]
fn a_change_on_probation_goes_back_although_the_server_was_killed() -> Done {
    let folder = folder()?;
    let first = Logd::start(folder.path())?;
    let mut admin = Admin::of(&first);
    let before = admin.get("logs/dev/config")?;
    let made = admin.configure("?confirmWithin=5s", |config| interval(config, "31ms"))?;
    ensure!(made["state"] == "unconfirmed", "{made}");
    ensure!(made["confirmBy"].is_string(), "{made}");
    first.kill()?;
    let again = Logd::start(folder.path())?;
    let mut admin = Admin::of(&again);
    let reverted = admin.until(&made, "reverted")?;
    ensure!(reverted["revertedBy"].is_string(), "{reverted}");
    let after = admin.get("logs/dev/config")?;
    ensure!(
        after["config"]["merge"] == before["config"]["merge"],
        "{after}"
    );
    ensure!(after["config"]["generation"] == 3, "{after}");

    // Confirmed over another connection, it stays.
    let made = admin.configure("?confirmWithin=1h", |config| interval(config, "33ms"))?;
    let id = made["id"].as_str().context("an id")?;
    let confirm = format!("/admin/v1/operations/{id}/confirm");
    let kind = [("Content-Type", "application/json")];
    let same = admin.0.send("POST", &confirm, &kind, Some(b"{}"))?;
    ensure!(same.status == 409, "the connection that made it: {same:?}");
    Admin::of(&again)
        .0
        .post(&confirm, &kind, b"{}")?
        .expect_status(200)?;
    // Once the killed one no longer counts.
    admin.until(&made, "done")?;
    again.kill()?;
    let last = Logd::start(folder.path())?;
    let running = Admin::of(&last).get("logs/dev/config")?;
    ensure!(
        running["config"]["merge"]["checkpointInterval"] == "33ms",
        "{running}"
    );
    Ok(())
}

#[test]
fn two_servers_rotate_a_full_shard_once_while_writers_write() -> Done {
    let folder = folder()?;
    let first = Logd::start(folder.path())?;
    let second = Logd::start(folder.path())?;
    let mut admin = Admin::of(&first);
    admin.configure("", |config| {
        config["rotate"]["maxEntries"] = 200.into();
    })?;
    let loads = [
        Load::start(Plan::synthetic(first.address, 4, "one")),
        Load::start(Plan::synthetic(second.address, 4, "two")),
    ];
    wait::until("three shards are full", || {
        Ok((first.shards()?.len() > 3).then_some(()))
    })?;
    let mut reports = Vec::new();
    for load in loads {
        let report = load.stop()?;
        ensure!(report.failed() == 0, "{:?}", report.complaints);
        reports.push(report);
    }
    let total: u64 = reports.iter().map(tests::load::Report::acknowledged).sum();
    // It learns by itself what the other one has ordered.
    wait::until("the first knows all of it", || {
        Ok((first.settled()? >= total).then_some(()))
    })?;
    audit(&first, reports)?;
    let history = admin.get("logs/dev/history")?;
    let rotations: Vec<&Value> = history["history"]
        .as_array()
        .context("a history")?
        .iter()
        .filter(|item| item["action"] == "rotate")
        .collect();
    for item in &rotations {
        let summary = item["summary"].as_str().unwrap_or_default();
        ensure!(
            item["actor"] == "auto" && summary.contains(" had ") && summary.ends_with(" entries"),
            "{item}"
        );
    }
    // One rotation for each full shard: none is short.
    for shard in first
        .shards()?
        .iter()
        .filter(|shard| shard.state == "frozen")
    {
        ensure!(shard.length >= Some(200), "{shard:?}");
    }
    ensure!(rotations.len() + 1 == first.shards()?.len(), "{history}");
    Ok(())
}
