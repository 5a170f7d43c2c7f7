//! Plans, probation and roll-backs, as a CI job makes them: no terminal, JSON, waits that can be taken up again.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::process::Logd;

use crate::{Done, does, folder, run};

fn running(at: &Path) -> Result<Value> {
    does(at, "config show")
}

/// Writes the running document with another checkpoint interval, and names the file.
fn edited(at: &Path, interval: &str) -> Result<String> {
    let mut document = running(at)?;
    document["merge"]["checkpointInterval"] = interval.into();
    let file = at.join(format!("{interval}.json"));
    std::fs::write(&file, document.to_string())?;
    Ok(file.to_str().context("UTF-8")?.to_owned())
}

#[test]
fn a_plan_does_just_what_it_says_or_says_what_moved() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = Logd::start(at)?;
    let (mine, theirs) = (edited(at, "300ms")?, edited(at, "400ms")?);
    let plan =
        |name: &str| -> Result<String> { Ok(at.join(name).to_str().context("UTF-8")?.to_owned()) };
    let (first, second) = (plan("first.json")?, plan("second.json")?);
    run(at, &format!("config plan {mine} -o {first}"), 0)?;
    run(at, &format!("config plan {theirs} -o {second}"), 0)?;
    let planned: Value = serde_json::from_str(&std::fs::read_to_string(&first)?)?;

    let applied = does(at, &format!("config apply {first} --yes"))?;
    ensure!(
        applied["operation"]["etag"] == planned["plan"]["next"]["etag"],
        "{applied}"
    );
    let again = does(at, &format!("config apply {first} --yes"))?;
    ensure!(again["unchanged"] == true, "a re-run does nothing: {again}");

    let stale = run(at, &format!("config apply {second} --yes -o json"), 5)?.json()?;
    let moved = &stale["error"]["moved"];
    ensure!(
        moved[0]["subject"] == "merge.checkpointInterval"
            && moved[0]["base"] == "200ms"
            && moved[0]["mine"] == "400ms"
            && moved[0]["theirs"] == "300ms"
            && moved[0]["conflict"] == true,
        "{stale}"
    );
    ensure!(
        stale["error"]["currentEtag"] == applied["operation"]["etag"],
        "{stale}"
    );

    // An edited plan is refused before anything is asked of the server.
    std::fs::write(
        &second,
        std::fs::read_to_string(&second)?.replace("400ms", "500ms"),
    )?;
    run(at, &format!("config apply {second} --yes"), 6)?;
    ensure!(
        running(at)?["merge"]["checkpointInterval"] == "300ms",
        "as the first plan says"
    );
    Ok(())
}

#[test]
fn a_change_on_probation_is_kept_or_taken_back() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = Logd::start(at)?;
    let before = running(at)?["merge"].clone();

    let file = edited(at, "300ms")?;
    let made = does(
        at,
        &format!("shard --use-config {file} --confirm-within 10m --yes"),
    )?;
    ensure!(made["operation"]["state"] == "unconfirmed", "{made}");
    ensure!(made["operation"]["confirmBy"].is_string(), "{made}");
    let id = made["operation"]["id"].as_str().context("an id")?;
    let waited = does(at, &format!("op wait {id}"))?;
    ensure!(waited["operation"]["state"] == "unconfirmed", "{waited}");
    does(at, &format!("op confirm {id}"))?;
    let confirmed = does(at, &format!("op watch {id}"))?;
    ensure!(confirmed["operation"]["state"] == "done", "{confirmed}");
    does(at, &format!("op confirm {id}"))?;

    let file = edited(at, "700ms")?;
    let made = does(
        at,
        &format!("shard --use-config {file} --confirm-within 1s --yes"),
    )?;
    let id = made["operation"]["id"].as_str().context("an id")?;
    let watched = run(at, &format!("op watch {id} -o json"), 10)?.json()?;
    ensure!(watched["operation"]["revertedBy"].is_string(), "{watched}");
    run(at, &format!("op wait {id}"), 10)?;
    run(at, &format!("op confirm {id}"), 10)?;
    let after = running(at)?["merge"].clone();
    ensure!(
        after["checkpointInterval"] == "300ms",
        "{before} became {after}"
    );
    let history = does(at, "config history")?;
    ensure!(history["history"][0]["action"] == "revert", "{history}");
    // Shards never go back, so a change of shards is never on probation.
    let next = at.join("next.yaml");
    let next = next.to_str().context("UTF-8")?;
    run(at, &format!("shard --create-config {next}"), 0)?;
    run(
        at,
        &format!("shard --use-config {next} --confirm-within 10m --yes"),
        6,
    )?;
    Ok(())
}

#[test]
fn settings_go_back_and_shards_do_not() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    logd.add(b"one")?;
    let file = edited(at, "300ms")?;
    run(at, &format!("shard --use-config {file} --yes"), 0)?;
    run(at, "shard rotate --yes", 0)?;
    logd.add(b"two")?;
    let now = running(at)?;
    let generation = now["generation"].as_u64().context("a number")?;

    let back = run(at, "config rollback 1 --yes -o json", 0)?;
    ensure!(back.stderr.contains("shards never go back"), "{back:?}");
    let after = running(at)?;
    ensure!(after["merge"]["checkpointInterval"] == "200ms", "{after}");
    ensure!(
        after["generation"] == generation + 1,
        "a change like any other: {after}"
    );
    let states = |document: &Value| -> Vec<Value> {
        let shards = document["shards"].as_array().into_iter().flatten();
        shards.map(|shard| shard["state"].clone()).collect()
    };
    ensure!(
        states(&after) == states(&now) && states(&after).len() == 2,
        "{after}"
    );
    // The generation before this one has the settings that were rolled back: they do not come back by themselves.
    run(at, "config rollback --yes", 2)?;
    for interval in ["400ms", "500ms"] {
        let file = edited(at, interval)?;
        does(at, &format!("shard --use-config {file} --yes"))?;
    }
    for expected in ["400ms", "200ms"] {
        does(at, "config rollback --yes")?;
        ensure!(
            running(at)?["merge"]["checkpointInterval"] == expected,
            "one further back: {expected}"
        );
    }
    // Somebody who names them means them.
    does(at, &format!("config rollback {generation} --yes"))?;
    ensure!(
        running(at)?["merge"]["checkpointInterval"] == "300ms",
        "there again"
    );
    let same = does(at, &format!("config rollback {generation} --yes"))?;
    ensure!(same["unchanged"] == true, "{same}");
    ensure!(
        does(at, "config show --generation 1")?["generation"] == 1,
        "kept"
    );
    run(at, "config rollback 99 --yes", 6)?;
    logd.add(b"three")?;
    logd.settled()?;
    run(at, "shard verify", 0)?;
    Ok(())
}

#[test]
fn one_key_is_one_change_and_a_planned_shard_is_taken_back() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = Logd::start(at)?;
    let rotate = "shard rotate --yes --idempotency-key night --reason TICKET-7";
    let first = does(at, rotate)?;
    let again = does(at, rotate)?;
    ensure!(
        first["operation"]["id"] == again["operation"]["id"],
        "{first} {again}"
    );
    let shards = |at: &Path| -> Result<Vec<Value>> {
        let list = does(at, "shard list")?;
        Ok(list["shards"].as_array().context("shards")?.clone())
    };
    ensure!(shards(at)?.len() == 2, "rotated once");
    let history = does(at, "config history --by 0")?;
    ensure!(
        history["history"][0]["reason"] == "TICKET-7"
            && history["history"][0]["differences"][0]["subject"].is_string(),
        "{history}"
    );

    does(at, "shard plan 2099x --yes")?;
    let key = |shards: &[Value]| {
        let planned = shards.iter().find(|shard| shard["name"] == "2099x");
        planned.map(|shard| shard["vkey"].clone())
    };
    let planned = key(&shards(at)?).context("it is planned")?;
    does(at, "shard unplan 2099x --yes")?;
    ensure!(key(&shards(at)?).is_none(), "it is taken back");
    // A rotation without a name does not open it.
    does(at, "shard rotate --yes")?;
    ensure!(shards(at)?.len() == 3, "another one is opened");
    does(at, "shard plan 2099x --yes")?;
    ensure!(key(&shards(at)?) == Some(planned), "the key is the same");
    does(at, "shard rotate 2099x --yes")?;
    run(at, "shard unplan 2099x --yes", 2)?;
    run(at, "shard verify", 0)?;
    Ok(())
}
