//! A flipped byte on the disk: `fsck` and `shard verify` name the file, and the server never signs over it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tests::auditor::Auditor;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, fsck, logctl};
use tests::verify::clean;
use tests::wait;
use tlog_tiles::record_hash;

use crate::{Done, folder};

/// A log with 700 published entries in its second shard, at rest.
fn at_rest(at: &Path) -> Result<String> {
    let logd = Logd::start(at)?;
    for connection_entries in [30, 70] {
        let plan = Plan {
            entries: tests::load::limited(&format!("c{connection_entries}"), connection_entries),
            ..Plan::synthetic(logd.address, 10, "c")
        };
        let report = Load::start(plan).finish()?;
        ensure!(report.failed() == 0, "{:?}", report.complaints);
        logd.settled()?;
        if connection_entries == 30 {
            logctl(at, &["shard", "rotate", "--yes"])?.expect_code(0)?;
        }
    }
    crate::audit(&logd, [])?;
    let active = logd.shards()?.last().context("a shard")?.name.clone();
    ensure!(logd.terminate()?.success(), "stops");
    clean(at)?;
    Ok(active)
}

/// The folder that holds the log's objects.
fn objects(at: &Path, shard: &str) -> Result<PathBuf> {
    let mut open = vec![at.to_owned()];
    while let Some(folder) = open.pop() {
        if folder.ends_with(format!("dev/{shard}")) {
            return Ok(folder);
        }
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    anyhow::bail!("no objects of shard {shard}")
}

/// Flips one bit in the middle of a file.
fn flip(path: &Path) -> Result<()> {
    let mut bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes)?;
    Ok(())
}

/// `logd fsck` has a finding that names `what`.
fn found(at: &Path, what: &str) -> Done {
    let ran = fsck(at)?
        .expect_code(12)
        .with_context(|| format!("fsck of a flipped {what}"))?;
    let text = format!("{}{}", ran.stdout, ran.stderr);
    ensure!(text.contains(what), "fsck names {what}: {text}");
    Ok(())
}

/// Starts the server, and waits until it has halted the log.
fn halts(at: &Path, what: &str) -> Done {
    let logd = match Logd::start(at) {
        Ok(logd) => logd,
        // Not serving at all is stricter than halting one log; it must say why.
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(
                text.contains("logd") && !text.contains("panicked"),
                "{text}"
            );
            return Ok(());
        }
    };
    let answer = wait::until(&format!("the log with a flipped {what} is halted"), || {
        let answer = logd.http().post("/dev/add", &[], b"one more")?;
        Ok((answer.status != 200).then_some(answer))
    })?;
    ensure!(
        answer.status == 503 && answer.text().contains("halted"),
        "{}: {}",
        answer.status,
        answer.text()
    );
    let ready = logd.http().get("/readyz", &[])?;
    ensure!(
        ready.status == 503,
        "not ready while halted: {}",
        ready.text()
    );
    let status = logctl(at, &["status", "-o", "json"])?
        .expect_code(13)?
        .json()?;
    ensure!(status["logs"][0]["condition"] == "halted", "{status}");
    let refused = logctl(at, &["shard", "rotate", "--yes", "-o", "json"])?;
    ensure!(refused.code == 13, "{refused:?}");
    Ok(())
}

/// A flipped object of the newest shard: everybody notices.
fn flipped_object(name: &str, readers_notice: bool) -> Done {
    let folder = folder()?;
    let at = folder.path();
    let shard = at_rest(at)?;
    let path = objects(at, &shard)?.join(name);
    if readers_notice {
        let logd = Logd::start(at)?;
        flip(&path)?;
        let ran = logctl(at, &["shard", "verify"])?.expect_code(12)?;
        let text = format!("{}{}", ran.stdout, ran.stderr);
        ensure!(
            text.contains(&format!("{shard}/{name}")),
            "verify names the file: {text}"
        );
        drop(logd);
    } else {
        flip(&path)?;
    }
    found(at, &format!("{shard}/{name}"))
}

#[test]
fn full_tile() -> Done {
    flipped_object("tile/0/001", true)
}

#[test]
fn full_bundle() -> Done {
    flipped_object("tile/entries/001", true)
}

#[test]
fn upper_tile() -> Done {
    flipped_object("tile/1/000.p/2", true)
}

#[test]
fn checkpoint() -> Done {
    flipped_object("checkpoint", false)
}

#[test]
fn a_damaged_right_edge_halts_the_log() -> Done {
    for name in [
        "tile/0/002.p/188",
        "tile/entries/002.p/188",
        "tile/1/000.p/2",
    ] {
        let folder = folder()?;
        let at = folder.path();
        let shard = at_rest(at)?;
        flip(&objects(at, &shard)?.join(name))?;
        found(at, &format!("{shard}/{name}"))?;
        halts(at, name)?;
    }
    Ok(())
}

/// Flips a bit in the newest row under a prefix of the coordination store, and returns its key.
fn flip_row(at: &Path, prefix: &str) -> Result<String> {
    let database = std::fs::read_dir(at)?
        .map_while(std::result::Result::ok)
        .map(|entry| entry.path())
        .find(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0")))
        .context("a database")?;
    let connection = rusqlite::Connection::open(database)?;
    let (key, mut value): (String, Vec<u8>) = connection.query_row(
        "SELECT key, value FROM kv WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key DESC LIMIT 1",
        [prefix],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let middle = value.len() / 2;
    value[middle] ^= 0x01;
    connection.execute("UPDATE kv SET value = ?1 WHERE key = ?2", (value, &key))?;
    Ok(key)
}

#[test]
fn a_damaged_row_halts_the_log() -> Done {
    for prefix in ["log/dev/slot/", "log/dev/published/"] {
        let folder = folder()?;
        let at = folder.path();
        at_rest(at)?;
        let key = flip_row(at, prefix)?;
        found(at, &key)?;
        halts(at, prefix)?;
    }
    Ok(())
}

/// The row of a root that was signed long ago is not on the way to the next one: then the log may continue, but only in the same history.
#[test]
fn a_damaged_root_is_never_signed_over() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let (mut auditor, mut ledger) = (Auditor::default(), Ledger::default());
    let logd = Logd::start(at)?;
    for n in 0..300 {
        logd.add(format!("entry {n}").as_bytes())?;
    }
    tests::verify::whole(&logd, &mut auditor, &mut ledger)?;
    ensure!(logd.terminate()?.success(), "stops");
    let key = flip_row(at, "log/dev/root/")?;
    found(at, &key)?;
    let Ok(logd) = Logd::start(at) else {
        return Ok(());
    };
    if logd.http().post("/dev/add", &[], b"one more")?.status == 200 {
        tests::verify::whole(&logd, &mut auditor, &mut ledger)?;
    }
    Ok(())
}

/// Readers get the right bytes of an entry or none, also from a damaged bundle.
#[test]
fn a_damaged_bundle_gives_no_wrong_entry() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let shard = at_rest(at)?;
    let logd = Logd::start(at)?;
    let mut entries = Vec::new();
    Auditor::default().audit(&mut logd.served(), &logd.shards()?, |found| {
        entries.push((
            found.index,
            found.shard.to_owned(),
            found.leaf_index,
            found.leaf,
        ));
        Ok(())
    })?;
    flip(&objects(at, &shard)?.join("tile/entries/001"))?;
    let mut http = logd.http();
    let mut refused = 0;
    for (index, of, leaf_index, leaf) in entries {
        let damaged = of == shard && leaf_index / 256 == 1;
        let answer = http.get(&format!("/dev/entries/{index}"), &[])?;
        match answer.status {
            200 => ensure!(
                record_hash(&answer.body) == leaf,
                "entry {index} is not what it was"
            ),
            500 if damaged => refused += 1,
            status => anyhow::bail!("entry {index}: {status} {}", answer.text()),
        }
    }
    ensure!(refused > 0, "the damage was not read");
    Ok(())
}
