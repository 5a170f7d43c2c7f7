//! One writer and one reader: add, read, prove, list, probe.

use anyhow::{Context as _, ensure};
use tests::load::{Load, Plan};
use tests::notes;
use tests::process::{Logd, Start, logctl};
use tests::proof::{Proof, hex};

use crate::{Done, audit, folder};

#[test]
fn an_entry_is_added_read_and_proved() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let mut http = logd.http();
    let entries: Vec<Vec<u8>> = (0..300u32)
        .map(|n| format!("entry {n}").into_bytes())
        .collect();
    for (n, entry) in entries.iter().enumerate() {
        ensure!(
            logd.add(entry)? == n as u64,
            "one writer's entries get the indices in order"
        );
        if n % 50 == 0 {
            let raw = http
                .get(&format!("/dev/entries/{n}"), &[])?
                .expect_status(200)?;
            ensure!(
                raw.body == *entry,
                "an entry can be read from the moment it is acknowledged"
            );
        }
    }
    logd.settled()?;
    let shards = logd.shards()?;
    for n in [0, 1, 127, 255, 256, 299] {
        let proof = Proof::fetch(&mut http, n as u64)?;
        let head = proof.check(&entries[n], &shards)?;
        ensure!(head.size == 300, "the newest checkpoint covers all");
        ensure!(
            proof.check(b"another entry", &shards).is_err(),
            "the check can fail"
        );
    }
    ensure!(
        http.get("/dev/entries/300", &[])?.status == 404,
        "there is no entry after the last"
    );
    audit(&logd, [])?;
    Ok(())
}

#[test]
fn an_answer_in_json_says_where_the_entry_is() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let mut http = logd.http();
    let first = http
        .post("/dev/add", &[("Accept", "application/json")], b"one")?
        .expect_status(200)?
        .json()?;
    let shards = logd.shards()?;
    ensure!(first["index"] == 0 && first["leafIndex"] == 0, "{first}");
    ensure!(first["shard"] == shards[0].name.as_str(), "{first}");
    let leaf = first["leafHash"].as_str().context("leafHash")?;
    ensure!(hex(leaf)? == tlog_tiles::record_hash(b"one"), "{first}");
    ensure!(
        shards.len() == 1 && shards[0].state == "active" && shards[0].start_index == Some(0),
        "{shards:?}"
    );
    ensure!(
        shards[0].origin.ends_with(&format!("/{}", shards[0].name)),
        "origin is ORIGIN/SHARD: {shards:?}"
    );
    let list = http.get("/dev/shards", &[])?.expect_status(200)?.json()?;
    let tree_id = list[0]["treeId"].as_str().context("treeId is a string")?;
    ensure!(tree_id.parse::<i64>()? > 0, "{list}");
    Ok(())
}

#[test]
fn the_largest_entry_fits_and_identical_entries_are_two() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let large = vec![b'x'; 65_535];
    ensure!(logd.add(&large)? == 0, "the first index");
    ensure!(
        logd.add(&large)? == 1,
        "the same bytes again are another entry"
    );
    ensure!(
        logd.http()
            .get("/dev/entries/1", &[])?
            .expect_status(200)?
            .body
            == large,
        "the bytes come back"
    );
    logd.settled()?;
    let audited = tests::auditor::Auditor::default().audit(
        &mut logd.served(),
        &logd.shards()?,
        |_| Ok(()),
    )?;
    ensure!(audited.entries == 2, "{audited:?}");
    Ok(())
}

#[test]
fn published_acknowledgement_means_a_signed_checkpoint_covers_it() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let mut http = logd.http();
    for n in 0..3u64 {
        let answer = http
            .post(
                "/dev/add",
                &[("Log-Ack", "published")],
                format!("{n}").as_bytes(),
            )?
            .expect_status(200)?;
        ensure!(
            answer.text().lines().next() == Some(&n.to_string()),
            "{}",
            answer.text()
        );
        let shards = logd.shards()?;
        let note = http
            .get(&format!("/dev/{}/checkpoint", shards[0].name), &[])?
            .expect_status(200)?;
        ensure!(
            notes::checkpoint(&note.body, &shards[0].origin, &shards[0].vkey)?.size > n,
            "published before the answer"
        );
    }
    Ok(())
}

#[test]
fn probes_and_metrics() -> Done {
    let folder = folder()?;
    // A port that was free a moment ago; only this test asks for one by number.
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let arguments = vec!["--metrics".into(), free.to_string()];
    let logd = Logd::start_as(
        folder.path(),
        &Start {
            arguments,
            ..Start::default()
        },
    )?;
    let mut http = logd.http();
    http.get("/healthz", &[])?.expect_status(200)?;
    http.get("/readyz", &[])?.expect_status(200)?;
    ensure!(
        http.get("/metrics", &[])?.status == 404,
        "metrics are not on the data plane"
    );
    logd.add(b"one")?;
    let metrics = tests::http::Http::new(free)
        .get("/metrics", &[])?
        .expect_status(200)?
        .text();
    ensure!(metrics.contains("commit_rounds"), "{metrics}");
    ensure!(
        metrics
            .lines()
            .all(|line| line.starts_with('#') || line.split_whitespace().count() == 2),
        "{metrics}"
    );
    Ok(())
}

#[test]
fn caching_headers_follow_what_can_change() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let plan = Plan {
        entries: tests::load::limited("cache", 40),
        ..Plan::synthetic(logd.address, 10, "cache")
    };
    let report = Load::start(plan).finish()?;
    ensure!(report.failed() == 0, "{:?}", report.complaints);
    logd.settled()?;
    let shard = &logd.shards()?[0].name;
    let mut http = logd.http();
    let tile = http
        .get(&format!("/dev/{shard}/tile/0/000"), &[])?
        .expect_status(200)?;
    ensure!(tile.body.len() == 8192, "a full tile has 256 hashes");
    ensure!(
        tile.header("content-type") == Some("application/octet-stream"),
        "{:?}",
        tile.headers
    );
    ensure!(
        tile.header("cache-control")
            .is_some_and(|value| value.contains("immutable")),
        "{:?}",
        tile.headers
    );
    let checkpoint = http
        .get(&format!("/dev/{shard}/checkpoint"), &[])?
        .expect_status(200)?;
    ensure!(
        checkpoint.header("content-type") == Some("text/plain; charset=utf-8"),
        "{:?}",
        checkpoint.headers
    );
    ensure!(
        checkpoint
            .header("cache-control")
            .is_none_or(|v| !v.contains("immutable")),
        "{:?}",
        checkpoint.headers
    );
    for wrong in [
        "tile/0/1",
        "tile/00/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/x000/000",
        "tile/64/000",
    ] {
        let answer = http.get(&format!("/dev/{shard}/{wrong}"), &[])?;
        ensure!(
            matches!(answer.status, 400 | 404),
            "{wrong}: {}",
            answer.status
        );
    }
    audit(&logd, [report])?;
    Ok(())
}

#[test]
fn a_restart_keeps_everything() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let plan = Plan {
        entries: tests::load::limited("restart", 100),
        ..Plan::synthetic(logd.address, 8, "restart")
    };
    let report = Load::start(plan).finish()?;
    let before = logd.shards()?;
    ensure!(
        logd.terminate()?.success(),
        "a stop that was asked for is no failure"
    );
    tests::verify::clean(folder.path())?;
    let logd = Logd::start(folder.path())?;
    let after = logd.shards()?;
    ensure!(
        before[0].vkey == after[0].vkey && before[0].origin == after[0].origin,
        "keys survive: {before:?} {after:?}"
    );
    audit(&logd, [report])?;
    ensure!(logd.add(b"one more")? == 800, "the next index follows");
    logctl(folder.path(), &["shard", "verify"])?.expect_code(0)?;
    Ok(())
}

#[test]
fn settings_in_a_file_serve_the_same_log() -> Done {
    let example = tests::process::logd(&["config", "example"])?
        .expect_code(0)?
        .stdout;
    ensure!(
        example.lines().any(|line| line.starts_with('#')),
        "the example is commented: {example}"
    );
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    logd.add(b"one")?;
    ensure!(logd.terminate()?.success(), "stops");
    // The files of `logd dev` are enough to serve the log without it.
    let how = Start {
        settings: Some(folder.path().join("logd.toml")),
        ..Start::default()
    };
    let logd = Logd::start_as(folder.path(), &how)?;
    ensure!(logd.add(b"two")? == 1, "the same log");
    audit(&logd, [])?;
    ensure!(logd.terminate()?.success(), "stops");
    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, "[data]\nlisten = 7\n")?;
    let path = broken.to_str().context("UTF-8")?;
    let refused = tests::process::logd(&["serve", "--config", path])?.expect_code(2)?;
    ensure!(
        refused.stderr.contains("broken.toml"),
        "says which file: {refused:?}"
    );
    Ok(())
}
