//! Writers' requests and their effects: advice in the head, tokens, limits, and a change of the tiers while work waits.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::http::Answer;
use tests::process::Logd;
use tests::wait;

use crate::{Done, audit, does, folder, run};

const TOKEN: &str = "logw_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE";
const HASH: &str = "f6f49d373f40a550e4b831096a9c6352bd399a0c6c06306e450b32dfdd0226b2";

fn add(logd: &Logd, headers: &[(&str, &str)], entry: &[u8]) -> Result<Answer> {
    logd.http().post("/dev/add", headers, entry)
}

/// Applies the running document with a change to it.
fn change(at: &Path, edit: impl FnOnce(&mut Value)) -> Done {
    let mut document = does(at, "config show")?;
    edit(&mut document);
    let file = at.join("edited.json");
    std::fs::write(&file, document.to_string())?;
    let file = file.to_str().context("UTF-8")?;
    run(at, &format!("shard --use-config {file} --yes"), 0)?;
    Ok(())
}

#[test]
fn what_was_granted_is_in_the_answer() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    for (headers, tier, merge_by) in [
        (&[][..], "interactive", Some("2s")),
        (&[("Priority", "u=1, i")], "interactive", Some("2s")),
        (&[("Priority", "u=4")], "standard", Some("60s")),
        (
            &[("Priority", "u=4"), ("Merge-By", "5s")],
            "standard",
            Some("5s"),
        ),
        // Beyond what the tenant may have: clamped, not refused.
        (&[("Priority", "u=0")], "interactive", Some("2s")),
        (
            &[("Priority", "u=1"), ("Merge-By", "1d")],
            "interactive",
            Some("2s"),
        ),
        (&[("Priority", "u=6")], "bulk", Some("86400s")),
        (&[("Priority", "u=7")], "scavenger", None),
    ] {
        let entry = format!("{headers:?}");
        let answer = add(&logd, headers, entry.as_bytes())?.expect_status(200)?;
        ensure!(
            answer.header("log-tier") == Some(tier) && answer.header("log-merge-by") == merge_by,
            "{headers:?}: {answer:?}"
        );
    }
    let shard = logd.shards()?.remove(0).name;
    add(&logd, &[("Log-Shard", &shard)], b"here")?.expect_status(200)?;
    audit(&logd, [])?;
    Ok(())
}

#[test]
fn malformed_advice_says_which_part_and_writes_nothing() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    for (name, value, needle) in [
        ("Priority", "u=8", "priority: u is from 0"),
        ("Priority", "3", "priority: "),
        ("Merge-By", "soon", "merge-by: "),
        ("Merge-By", "0s", "more than 0"),
        ("Merge-By", "400d", "366 days"),
        ("Merge-By", "2001-01-01T00:00:00Z", "in the past"),
        ("Merge-By", "9000-01-01T00:00:00Z", "366 days"),
        ("Log-Shard", "../x", "log-shard: "),
    ] {
        let text = add(&logd, &[(name, value)], b"entry")?.expect_status(400)?;
        ensure!(text.text().contains(needle), "{value}: {}", text.text());
        let json = add(
            &logd,
            &[(name, value), ("Accept", "application/json")],
            b"entry",
        )?
        .expect_status(400)?
        .json()?;
        ensure!(json["code"] == "bad-advice", "{json}");
    }
    let shard = add(&logd, &[("Log-Shard", "elsewhere")], b"entry")?.expect_status(409)?;
    let active = logd.shards()?.remove(0).name;
    ensure!(shard.text().contains(&active), "{}", shard.text());
    ensure!(
        logd.watermarks()?.ordered == 0,
        "nothing of it is in the log"
    );
    Ok(())
}

#[test]
fn a_token_is_asked_for_known_revoked_and_never_repeated() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let bearer = format!("Bearer {TOKEN}");
    let with = |token: &str| add(&logd, &[("Authorization", token)], b"one");
    // Unknown, though writers without a token are welcome.
    let unknown = with(&bearer)?.expect_status(401)?;
    ensure!(unknown.header("www-authenticate").is_some(), "{unknown:?}");
    change(at, |document| {
        document["qos"]["tenants"][0]["anonymous"] = json!(false);
        document["qos"]["tenants"][0]["tokens"] = json!([{"name": "ci", "sha256": HASH}]);
    })?;
    with(&bearer)?.expect_status(200)?;
    let none = add(&logd, &[], b"entry")?.expect_status(401)?;
    ensure!(none.text().contains("token"), "{}", none.text());
    for (wrong, secret) in [
        ("Basic bG9nOmxvZw==", "bG9n"),
        ("Bearer logw_wrong", "wrong"),
        ("Bearer", "nothing"),
        (&format!("{bearer}x"), "AAAA"),
    ] {
        let refused = with(wrong)?.expect_status(401)?;
        let said = format!("{:?} {}", refused.headers, refused.text());
        ensure!(!said.contains(secret), "a credential was repeated: {said}");
    }
    let batch = |token: &str| {
        let headers = [
            ("Authorization", token),
            ("Content-Type", "application/octet-stream"),
        ];
        logd.http().post("/dev/add-batch", &headers, b"\x00\x01x")
    };
    batch(&bearer)?.expect_status(200)?;
    batch("Bearer logw_wrong")?.expect_status(401)?;
    // Taken out of the document: revoked.
    change(at, |document| {
        document["qos"]["tenants"][0]["tokens"] = json!([]);
    })?;
    with(&bearer)?.expect_status(401)?;
    batch(&bearer)?.expect_status(401)?;
    // Expired.
    change(at, |document| {
        document["qos"]["tenants"][0]["tokens"] =
            json!([{"name": "ci", "sha256": HASH, "expires": "2020-01-01T00:00:00Z"}]);
    })
    .or_else(|error| {
        // A document may not name a token that was over before it began.
        ensure!(format!("{error:#}").contains("expire"), "{error:#}");
        Ok(())
    })?;
    with(&bearer)?.expect_status(401)?;
    ensure!(logd.watermarks()?.ordered == 2, "the two that were let in");
    ensure!(
        !logd.errors().contains("logw_"),
        "a token is in the log file"
    );
    audit(&logd, [])?;
    Ok(())
}

#[test]
fn over_its_rate_a_tenant_is_told_when_to_come_again() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    change(at, |document| {
        document["qos"]["tenants"][0]["rate"] = json!("1/s");
        for tier in document["qos"]["tiers"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            tier["burst"] = json!(5);
        }
    })?;
    let (mut accepted, mut refused) = (0, 0);
    for n in 0..30 {
        let answer = add(&logd, &[], format!("entry {n}").as_bytes())?;
        match answer.status {
            200 => accepted += 1,
            429 => {
                refused += 1;
                let after: u64 = answer.header("retry-after").context("says when")?.parse()?;
                ensure!((1..=60).contains(&after), "{answer:?}");
                ensure!(answer.text().contains("rate"), "{}", answer.text());
            }
            _ => anyhow::bail!("{answer:?}"),
        }
    }
    ensure!(accepted >= 5 && refused >= 1, "{accepted} and {refused}");
    let audited = audit(&logd, [])?;
    ensure!(
        audited.entries == accepted,
        "refused is refused: {audited:?}"
    );
    Ok(())
}

/// A tier is taken out while promised work waits in it: that work keeps its promise.
#[test]
fn a_tier_is_removed_while_work_waits_in_it() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let headers = [
        ("Priority", "u=6"),
        ("Merge-By", "60s"),
        ("Prefer", "respond-async"),
    ];
    let mut promises = Vec::new();
    for n in 0..50 {
        let answer =
            add(&logd, &headers, format!("promised {n}").as_bytes())?.expect_status(202)?;
        ensure!(answer.header("log-tier") == Some("bulk"), "{answer:?}");
        promises.push(
            answer
                .header("location")
                .context("where to ask")?
                .to_owned(),
        );
    }
    change(at, |document| {
        let named_bulk = |tier: &Value| tier["name"] == "bulk" || *tier == "bulk";
        if let Some(tiers) = document["qos"]["tiers"].as_array_mut() {
            tiers.retain(|tier| !named_bulk(tier));
        }
        for tenant in document["qos"]["tenants"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(tiers) = tenant["tiers"].as_array_mut() {
                tiers.retain(|tier| !named_bulk(tier));
            }
        }
    })?;
    for promise in &promises {
        wait::until("the promise is kept", || {
            let state = logd.http().get(promise, &[])?.expect_status(200)?.json()?;
            Ok((state["state"] == "published").then_some(()))
        })?;
    }
    // Nobody is granted it any more.
    let after = add(&logd, &[("Priority", "u=6")], b"after")?.expect_status(200)?;
    ensure!(after.header("log-tier") != Some("bulk"), "{after:?}");
    let audited = audit(&logd, [])?;
    ensure!(audited.entries == 51, "{audited:?}");
    Ok(())
}
