//! Rotation while writers write: no failed write, no gap, no duplicate, every entry at its index.

use anyhow::{Context as _, Result, ensure};
use tests::load::{Load, Plan};
use tests::process::{Logd, logctl};

use crate::{Done, audit, folder};

/// The document's operation: what was done, and where it took effect.
fn decided(ran: &tests::process::Ran) -> Result<u64> {
    let operation = &ran.json()?["operation"];
    ensure!(
        operation["state"] == "done",
        "waits until every replica runs it: {operation}"
    );
    operation["atIndex"]
        .as_u64()
        .with_context(|| format!("no index: {operation}"))
}

#[test]
fn every_way_to_rotate_under_load() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let load = Load::start(Plan::synthetic(logd.address, 32, "rotate"));
    load.reach(200)?;
    let mut bounds = Vec::new();

    // In one step, planning and opening.
    bounds.push(decided(
        &logctl(at, &["shard", "rotate", "--yes", "-o", "json"])?.expect_code(0)?,
    )?);
    load.reach(load.acknowledged() + 200)?;

    // Planned first; the oldest planned shard is the one that opens.
    logctl(at, &["shard", "plan", "--yes"])?.expect_code(0)?;
    logctl(at, &["shard", "plan", "special", "--yes"])?.expect_code(0)?;
    let planned: Vec<_> = logd
        .shards()?
        .into_iter()
        .filter(|shard| shard.state == "planned")
        .collect();
    ensure!(
        planned.len() == 2 && planned[1].name == "special",
        "{planned:?}"
    );
    bounds.push(decided(
        &logctl(at, &["shard", "rotate", "--yes", "-o", "json"])?.expect_code(0)?,
    )?);
    let active = |shards: &[tests::auditor::Shard]| {
        shards
            .iter()
            .find(|s| s.state == "active")
            .map(|s| s.name.clone())
    };
    ensure!(
        active(&logd.shards()?).as_ref() == Some(&planned[0].name),
        "the oldest planned shard opened"
    );
    load.reach(load.acknowledged() + 200)?;
    bounds.push(decided(
        &logctl(at, &["shard", "rotate", "special", "--yes", "-o", "json"])?.expect_code(0)?,
    )?);
    ensure!(
        active(&logd.shards()?).as_deref() == Some("special"),
        "the named shard opened"
    );
    load.reach(load.acknowledged() + 200)?;

    // A whole document, made and used.
    let file = at.join("next.yaml");
    let file = file.to_str().context("UTF-8")?;
    logctl(at, &["shard", "--create-config", file])?.expect_code(0)?;
    bounds.push(decided(
        &logctl(at, &["shard", "--use-config", file, "--yes", "-o", "json"])?.expect_code(0)?,
    )?);
    load.reach(load.acknowledged() + 200)?;
    // The same document again: nothing to do, and it says so.
    let again =
        logctl(at, &["shard", "--use-config", file, "--yes", "-o", "json"])?.expect_code(0)?;
    ensure!(again.json()?["unchanged"] == true, "{again:?}");

    let report = load.stop()?;
    ensure!(
        report.failed() == 0,
        "no write fails: {:?}",
        report.complaints
    );
    let shards = logd.shards()?;
    ensure!(shards.len() == 5, "{shards:?}");
    let starts: Vec<_> = shards
        .iter()
        .filter_map(|shard| shard.start_index)
        .skip(1)
        .collect();
    ensure!(
        starts == bounds,
        "each command said where it took effect: {starts:?} {bounds:?}"
    );
    let total = report.acknowledged();
    let audited = audit(&logd, [report])?;
    ensure!(
        audited.entries == total && audited.seals == 4,
        "{audited:?} of {total}"
    );
    let verified = logctl(at, &["shard", "verify", "-o", "json"])?.expect_code(0)?;
    verified.json()?;
    Ok(())
}

#[test]
fn many_rotations_leave_no_gap() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let load = Load::start(Plan::synthetic(logd.address, 16, "many"));
    let rotations = tests::skip::campaign("TESTS_ROTATIONS", 12);
    for _ in 0..rotations {
        load.reach(load.acknowledged() + 50)?;
        logctl(folder.path(), &["shard", "rotate", "--yes"])?.expect_code(0)?;
    }
    let report = load.stop()?;
    ensure!(
        report.failed() == 0,
        "no write fails: {:?}",
        report.complaints
    );
    let audited = audit(&logd, [report])?;
    ensure!(
        audited.shards as u64 == rotations + 1 && audited.seals as u64 == rotations,
        "{audited:?}"
    );
    // All of it comes back from the disk alone.
    logd.kill()?;
    tests::verify::clean(folder.path())?;
    let logd = Logd::start(folder.path())?;
    let again = audit(&logd, [])?;
    ensure!(again == audited, "{again:?} {audited:?}");
    Ok(())
}

#[test]
fn an_empty_shard_can_be_rotated() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    logctl(folder.path(), &["shard", "rotate", "--yes"])?.expect_code(0)?;
    logctl(folder.path(), &["shard", "rotate", "--yes"])?.expect_code(0)?;
    ensure!(logd.add(b"first")? == 0, "no entry, no index");
    let audited = audit(&logd, [])?;
    ensure!(
        audited.shards == 3 && audited.seals == 2 && audited.entries == 1,
        "{audited:?}"
    );
    logctl(folder.path(), &["shard", "verify"])?.expect_code(0)?;
    Ok(())
}

/// The same command twice: the second one closes what the first has opened, and says so before and after.
#[test]
fn a_rotation_that_closes_an_empty_shard_is_warned_of() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    logd.add(b"entry")?;
    let first = logctl(at, &["shard", "rotate", "--yes"])?.expect_code(0)?;
    ensure!(!first.stderr.contains("has no entries"), "{}", first.stderr);
    for words in [
        ["shard", "rotate", "--dry-run"],
        ["shard", "rotate", "--yes"],
    ] {
        let ran = logctl(at, &words)?.expect_code(0)?;
        let opened = &logd.shards()?[1].name;
        let said = format!("shard {opened}, which this closes for good, has no entries");
        ensure!(ran.stderr.contains(&said), "{said}: {}", ran.stderr);
        ensure!(
            ran.stderr.contains("[empty-shard-closed]"),
            "{}",
            ran.stderr
        );
    }
    logd.settled()?;
    audit(&logd, [])?;
    Ok(())
}
