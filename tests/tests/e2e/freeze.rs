//! A frozen log answers clearly, can still be read, and continues in the same shard.

use anyhow::{Context as _, ensure};
use tests::load::{Load, Outcome, Plan};
use tests::notes;
use tests::process::{Logd, logctl};

use crate::{Done, audit, folder};

#[test]
fn freeze_and_unfreeze_under_load() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let load = Load::start(Plan {
        persist: true,
        ..Plan::synthetic(logd.address, 16, "freeze")
    });
    load.reach(300)?;

    let frozen = logctl(at, &["shard", "freeze", "--yes", "-o", "json"])?
        .expect_code(0)?
        .json()?;
    let shards = logd.shards()?;
    let shard = shards.last().context("a shard")?;
    let note = frozen["operation"]["checkpoint"]
        .as_str()
        .with_context(|| format!("a final checkpoint: {frozen}"))?;
    let head = notes::checkpoint(note.as_bytes(), &shard.origin, &shard.vkey)?;
    ensure!(
        Some(head.size) == shard.length,
        "the answer is the final checkpoint: {head:?} {shard:?}"
    );

    let refused = logd
        .http()
        .post("/dev/add", &[], b"too late")?
        .expect_status(409)?;
    ensure!(
        refused.text().contains(&shard.name),
        "says which shard: {}",
        refused.text()
    );
    let year = chrono_year(&refused.text());
    ensure!(year, "says since when: {}", refused.text());
    logd.http().get("/dev/entries/0", &[])?.expect_status(200)?;
    let status = logctl(at, &["status", "-o", "json"])?
        .expect_code(0)?
        .json()?;
    ensure!(status["logs"][0]["condition"] == "frozen", "{status}");
    let reason = status["logs"][0]["reason"].as_str().unwrap_or_default();
    ensure!(reason.starts_with("frozen since 2"), "since when: {reason}");
    // Nothing more to freeze: a conflict or nothing to do, never a second decision.
    let twice = logctl(at, &["shard", "freeze", "--yes", "-o", "json"])?;
    ensure!(matches!(twice.code, 0 | 5), "{twice:?}");

    // A frozen log stays so over a restart.
    let length = shard.length;
    logctl(at, &["shard", "unfreeze", "--yes"])?.expect_code(0)?;
    ensure!(
        logd.add(b"on again")? >= length.unwrap_or_default(),
        "goes on after the last entry"
    );
    load.reach(load.acknowledged() + 100)?;
    let report = load.stop()?;
    let refusals = report
        .all()
        .filter(|write| write.outcome == Outcome::Refused(409))
        .count() as u64;
    ensure!(
        report.failed() == refusals,
        "only 409 while frozen: {:?}",
        report.complaints
    );
    let after = logd.shards()?;
    ensure!(
        after.len() == 1 && after[0].name == shard.name,
        "the same shard: {after:?}"
    );
    audit(&logd, [report])?;
    Ok(())
}

/// Whether a time in RFC 3339 is in the text.
fn chrono_year(text: &str) -> bool {
    text.as_bytes()
        .windows(5)
        .any(|w| w[..2] == *b"20" && w[2..4].iter().all(u8::is_ascii_digit) && w[4] == b'-')
}

#[test]
fn frozen_survives_a_restart() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    logd.add(b"one")?;
    logctl(folder.path(), &["shard", "freeze", "--now", "--yes"])?.expect_code(0)?;
    logd.kill()?;
    tests::verify::clean(folder.path())?;
    let logd = Logd::start(folder.path())?;
    logd.http()
        .post("/dev/add", &[], b"two")?
        .expect_status(409)?;
    let again = logctl(folder.path(), &["shard", "unfreeze", "--yes"])?;
    again.expect_code(0)?;
    ensure!(logd.add(b"two")? == 1, "goes on");
    let not_frozen = logctl(folder.path(), &["shard", "unfreeze", "--yes"])?;
    ensure!(matches!(not_frozen.code, 0 | 5), "{not_frozen:?}");
    audit(&logd, [])?;
    Ok(())
}
