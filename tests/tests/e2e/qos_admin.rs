//! Tiers, tenants and writers' tokens, changed while writers write.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::load::{Load, Plan};
use tests::process::Logd;

use crate::{Done, audit, does, folder, run};

/// The tier of that name in the running document.
fn tier(at: &Path, name: &str) -> Result<Value> {
    let list = does(at, "qos list")?;
    let tiers = list["tiers"].as_array().context("tiers")?;
    let found = tiers.iter().find(|tier| tier["name"] == name);
    found.cloned().with_context(|| format!("no {name}: {list}"))
}

/// The status of a write with this token.
fn write(logd: &Logd, token: &str) -> Result<u16> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    Ok(logd
        .http()
        .post("/dev/add", &headers, token.as_bytes())?
        .status)
}

#[test]
fn a_tier_is_changed_and_rolled_back_while_writers_write() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let load = Load::start(Plan::synthetic(logd.address, 16, "tiers"));
    load.reach(200)?;
    ensure!(tier(at, "interactive")?["weight"] == 8, "as shipped");

    let preview = does(at, "qos set tier interactive --weight 4 --dry-run")?;
    ensure!(preview["operation"]["state"] == "planned", "{preview}");
    ensure!(tier(at, "interactive")?["weight"] == 8, "only a preview");
    let made = does(at, "qos set tier interactive --weight 4 --yes")?;
    ensure!(made["operation"]["state"] == "done", "{made}");
    let difference = &made["operation"]["differences"][0];
    ensure!(
        difference["subject"] == "tier interactive weight"
            && difference["before"] == "8"
            && difference["after"] == "4",
        "{made}"
    );
    load.reach(load.acknowledged() + 200)?;
    let again = does(at, "qos set tier interactive --weight 4 --yes")?;
    ensure!(again["unchanged"] == true, "{again}");

    // A tier is added, takes writes, and is removed while it may hold some.
    does(
        at,
        "qos set tier nightly --max-merge-delay 12h --for default --yes",
    )?;
    load.reach(load.acknowledged() + 200)?;
    does(at, "qos set tier nightly --remove --yes")?;
    load.reach(load.acknowledged() + 200)?;

    // Impossible promises are refused with all findings, and nothing changes.
    let refused = run(
        at,
        "qos set tier interactive --floor 90% --max-merge-delay 1ms --yes -o json",
        6,
    )?
    .json()?;
    let findings = refused["error"]["findings"]
        .as_array()
        .context("findings")?;
    let codes: Vec<_> = findings.iter().filter_map(|f| f["code"].as_str()).collect();
    for code in ["floors-too-high", "delay-too-short", "target-too-long"] {
        ensure!(codes.contains(&code), "{code}: {refused}");
    }
    does(at, "config rollback 1 --yes")?;
    ensure!(tier(at, "interactive")?["weight"] == 8, "rolled back");
    load.reach(load.acknowledged() + 200)?;

    let report = load.stop()?;
    ensure!(report.failed() == 0, "{} writes failed", report.failed());
    audit(&logd, [report])?;
    Ok(())
}

#[test]
fn a_writers_token_works_until_it_is_taken_away() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let file = at.join("ci.token");
    let file = file.to_str().context("UTF-8")?;
    ensure!(write(&logd, "logw_nobody-has-this")? == 401, "unknown");

    let line = format!("qos set tenant operator --add-token ci --expires 1d --out {file} --yes");
    run(at, &line, 0)?;
    let ci = std::fs::read_to_string(file)?.trim_end().to_owned();
    let other = does(at, "qos set tenant operator --add-token other --yes")?;
    let other = other["secret"].as_str().context("a secret")?.to_owned();
    ensure!(
        write(&logd, &ci)? == 200 && write(&logd, &other)? == 200,
        "both work"
    );
    let document = does(at, "config show")?.to_string();
    ensure!(!document.contains("logw_"), "only hashes: {document}");
    let trail = does(at, "audit list")?.to_string();
    ensure!(!trail.contains("logw_"), "only hashes: {trail}");

    let before = does(at, "config show")?["generation"].clone();
    run(at, "qos set tenant operator --remove-token ci --yes", 0)?;
    ensure!(write(&logd, &ci)? == 401, "revoked");
    ensure!(write(&logd, &other)? == 200, "the other is not");
    // Going back to when it was good does not bring it back.
    run(at, &format!("config rollback {before} --yes"), 0)?;
    ensure!(write(&logd, &ci)? == 401, "still revoked");
    ensure!(write(&logd, &other)? == 200, "the other is not");

    // Without an anonymous tenant everybody needs a token.
    logd.add(b"anybody")?;
    run(at, "qos set tenant default --anonymous false --yes", 0)?;
    let anybody = logd.http().post("/dev/add", &[], b"anybody")?;
    ensure!(anybody.status == 401, "{}", anybody.text());
    ensure!(write(&logd, &other)? == 200, "with one it works");
    Ok(())
}

#[test]
fn two_plans_for_one_tier_conflict() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = Logd::start(at)?;
    let planned = |weight: u64| -> Result<String> {
        let mut document = does(at, "config show")?;
        document["qos"]["tiers"][1]["weight"] = weight.into();
        let file = at.join(format!("{weight}.json"));
        std::fs::write(&file, document.to_string())?;
        let plan = at.join(format!("{weight}.plan.json"));
        let plan = plan.to_str().context("UTF-8")?.to_owned();
        run(at, &format!("config plan {} -o {plan}", file.display()), 0)?;
        Ok(plan)
    };
    let (first, second) = (planned(3)?, planned(5)?);
    does(at, &format!("config apply {first} --yes"))?;
    let stale = run(at, &format!("config apply {second} --yes -o json"), 5)?.json()?;
    let moved = &stale["error"]["moved"][0];
    ensure!(
        moved["subject"] == "tier interactive weight"
            && moved["base"] == "8"
            && moved["mine"] == "5"
            && moved["theirs"] == "3"
            && moved["conflict"] == true,
        "{stale}"
    );
    ensure!(tier(at, "interactive")?["weight"] == 3, "as the first says");
    Ok(())
}

#[test]
fn other_tiers_are_tried_on_what_was_written() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let load = Load::start(Plan::synthetic(logd.address, 4, "simulate"));
    load.reach(200)?;
    let mut document = does(at, "config show")?;
    document["qos"]["tiers"][1]["weight"] = 1.into();
    let file = at.join("next.json");
    std::fs::write(&file, document.to_string())?;
    let line = format!("qos simulate {} --since 1h", file.display());
    let simulated = does(at, &line)?;
    let differences = &simulated["simulation"]["differences"];
    ensure!(
        differences[0]["subject"] == "tier interactive weight",
        "{simulated}"
    );
    let tiers = simulated["simulation"]["tiers"]
        .as_array()
        .context("tiers")?;
    ensure!(
        tiers
            .iter()
            .all(|tier| tier["before"].is_object() && tier["after"].is_object()),
        "the same tiers before and after: {simulated}"
    );
    ensure!(
        tier(at, "interactive")?["weight"] == 8,
        "nothing was changed"
    );
    let status = does(at, "qos show interactive")?;
    let queues = status["live"]["queues"].as_array().context("queues")?;
    let accepted: u64 = queues
        .iter()
        .filter_map(|queue| queue["accepted"].as_u64())
        .sum();
    ensure!(accepted >= 200, "what was written is counted: {status}");
    // A document that could not run is not tried either.
    document["qos"]["tiers"][1]["floor"] = "99%".into();
    std::fs::write(&file, document.to_string())?;
    run(at, &line, 6)?;
    load.stop()?;
    Ok(())
}
