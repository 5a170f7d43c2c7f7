//! Secondaries that come and go for good, and logs that are restored from what is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tests::auditor::Auditor;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, Ran, binary, logd};
use tests::secondary::{Secondary, StartSecondary};
use tests::wait;

use crate::copies::{configure, replication_key, secondary};
use crate::{Done, audit, folder, run};

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path of a test is UTF-8")
}

/// Starts one again, where it was.
fn again(at: &Path, name: &str, address: &str, key: &str) -> Result<Secondary> {
    let how = StartSecondary {
        listen: Some(address.to_owned()),
        ..StartSecondary::default()
    };
    Secondary::start(&at.join(name), &[key.to_owned()], &how)
}

/// The words of `logd restore`.
fn words(from: &[String], kek: &Path, to: &Path) -> Result<Vec<String>> {
    let fixed = [
        "restore",
        "--log",
        "localhost/dev",
        "--kek",
        utf8(kek)?,
        "--dir",
        utf8(to)?,
    ];
    let mut words: Vec<String> = fixed.map(str::to_owned).to_vec();
    for url in from {
        words.extend(["--from".to_owned(), url.clone()]);
    }
    Ok(words)
}

fn restore(from: &[String], kek: &Path, to: &Path) -> Result<Ran> {
    let words = words(from, kek, to)?;
    logd(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_change_whose_old_secondaries_are_lost_is_handed_over_by_the_command() -> Done {
    let folder = folder()?;
    let at = folder.path().join("primary");
    let server = Logd::start(&at)?;
    let key = replication_key(&server)?;
    let (ams, fra) = (
        secondary(folder.path(), "ams", &key)?,
        secondary(folder.path(), "fra", &key)?,
    );
    let path = utf8(&at)?;
    let hand_over = |more: &[&str]| {
        let mut words = vec!["hand-over", "--log", "dev", "--dir", path];
        words.extend(more);
        logd(&words)
    };
    let first = ("ams", ams.address.to_string(), ams.vkey.clone());
    configure(&server, &[first], 1, "")?;
    server.add(b"one")?;
    server.settled()?;
    wait::until("nothing waits", || {
        let ran = hand_over(&["--force"])?;
        Ok(
            (ran.code == 0 && ran.stdout.contains("no change of the secondaries waits"))
                .then_some(()),
        )
    })?;
    // The old one is lost with its key, and the new one is not there yet.
    let address = fra.address.to_string();
    let next = ("fra", address.clone(), fra.vkey.clone());
    fra.kill()?;
    ams.kill()?;
    std::fs::remove_dir_all(folder.path().join("ams"))?;
    configure(&server, &[next], 1, "")?;
    server.add(b"two")?;
    let asked = hand_over(&[])?.expect_code(1)?;
    for said in ["(ams) may not know of those of generation", "with --force"] {
        ensure!(asked.stderr.contains(said), "{said}: {asked:?}");
    }
    let early = hand_over(&["--force"])?.expect_code(1)?;
    ensure!(
        early.stderr.contains("do not hold what is published yet"),
        "{early:?}"
    );
    let _fra = again(folder.path(), "fra", &address, &key)?;
    wait::until("the new one has everything", || {
        let ran = hand_over(&["--force"])?;
        if ran.code == 0 {
            ensure!(ran.stdout.contains("handed over: log dev"), "{ran:?}");
            return Ok(Some(()));
        }
        ensure!(ran.stderr.contains("do not hold"), "{ran:?}");
        Ok(None)
    })?;
    ensure!(server.settled()? == 2);
    audit(&server, [])?;
    let trail = run(&at, "audit list", 0)?;
    ensure!(trail.stdout.contains("hand-over-forced"), "{trail:?}");
    ensure!(server.terminate()?.success());
    tests::verify::clean(&at)
}

/// Files below a folder.
fn files(at: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(at) else {
        return 0;
    };
    let count = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files(&entry.path()),
        _ => 1,
    };
    entries.flatten().map(count).sum()
}

fn length(at: &Path) -> u64 {
    at.metadata().map_or(0, |of| of.len())
}

#[test]
fn a_restore_that_is_killed_is_begun_again() -> Done {
    let folder = folder()?;
    let at = folder.path().join("primary");
    let server = Logd::start(&at)?;
    let key = replication_key(&server)?;
    let ams = secondary(folder.path(), "ams", &key)?;
    let named = ("ams", ams.address.to_string(), ams.vkey.clone());
    configure(&server, &[named], 1, "")?;
    let load = Load::start(Plan::synthetic(server.address, 8, "k"));
    load.reach(700)?;
    run(&at, "shard rotate --yes", 0)?;
    load.reach(load.acknowledged() + 400)?;
    let report = load.stop()?;
    let (mut auditor, mut ledger) = (Auditor::default(), Ledger::default());
    ledger.add(report)?;
    let whole = tests::verify::whole(&server, &mut auditor, &mut ledger)?;
    let kek = folder.path().join("kek");
    std::fs::copy(at.join("kek"), &kek)?;
    server.kill()?;
    let from = [format!("http://{}", ams.address)];
    type Point = (&'static str, fn(&Path) -> bool);
    let points: [Point; 9] = [
        ("a folder", |to| to.exists()),
        ("a database", |to| to.join("coordination.db").exists()),
        ("a key", |to| to.join("kek").exists()),
        ("settings", |to| to.join("logd.toml").exists()),
        ("an object", |to| files(&to.join("objects")) > 0),
        ("some objects", |to| files(&to.join("objects")) > 6),
        ("a row", |to| {
            length(&to.join("coordination.db-wal")) > 8 << 10
        }),
        ("rows", |to| {
            length(&to.join("coordination.db-wal")) > 32 << 10
        }),
        // Before the log: `logd dev` continues with every folder that has one.
        ("a marker", |to| to.join(".logd-dev").exists()),
    ];
    let mut last: Option<PathBuf> = None;
    let mut cut = 0;
    for (n, (what, reached)) in points.into_iter().enumerate() {
        let to = folder.path().join(format!("restored{n}"));
        let mut child = Command::new(binary("logd")?)
            .args(words(&from, &kek, &to)?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let ended = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if reached(&to) {
                break None;
            }
            std::thread::yield_now();
        };
        let ended = match ended {
            Some(status) => status,
            None => {
                child.kill()?;
                child.wait()?
            }
        };
        let done = restore(&from, &kek, &to)?;
        if ended.success() || done.stderr.contains("holds a server's stores already") {
            // It was faster than we were.
            done.expect_code(1)?;
        } else {
            cut += 1;
            let done = done.expect_code(0).with_context(|| what.to_owned())?;
            let entries = format!("with {} entries", whole.entries);
            ensure!(done.stdout.contains(&entries), "{what}: {}", done.stdout);
            last = Some(to.clone());
        }
        tests::verify::clean(&to).with_context(|| what.to_owned())?;
    }
    ensure!(cut >= 3, "only {cut} were cut off");
    // One that stands still keeps its folder to itself.
    let to = folder.path().join("locked");
    std::fs::create_dir(&to)?;
    let standing = std::fs::File::open(&to)?;
    standing.try_lock()?;
    let refused = restore(&from, &kek, &to)?.expect_code(1)?;
    ensure!(
        refused.stderr.contains("another restore is running in"),
        "{refused:?}"
    );
    drop(standing);
    restore(&from, &kek, &to)?.expect_code(0)?;
    // One of them continues.
    let to = last.context("one")?;
    let server = Logd::start(&to)?;
    tests::verify::whole(&server, &mut auditor, &mut ledger)?;
    let next = wait::until("its secondary has taken it", || {
        Ok(server.add(b"next").ok())
    })?;
    ensure!(next == whole.entries);
    Ok(())
}

#[test]
fn secondaries_and_quorum_change_while_writers_write() -> Done {
    const NAMES: [&str; 3] = ["ams", "fra", "lon"];
    let folder = folder()?;
    let at = folder.path().join("primary");
    let server = Logd::start(&at)?;
    let key = replication_key(&server)?;
    let mut all = Vec::new();
    for name in NAMES {
        all.push(secondary(folder.path(), name, &key)?);
    }
    let described: Vec<_> = all
        .iter()
        .zip(NAMES)
        .map(|(one, name)| (name, one.address.to_string(), one.vkey.clone()))
        .collect();
    let set = |of: &[usize], quorum: u32| {
        let named: Vec<_> = of.iter().map(|n| described[*n].clone()).collect();
        configure(&server, &named, quorum, "")
    };
    set(&[0], 1)?;
    let load = Load::start(Plan::synthetic(server.address, 4, "m"));
    load.reach(50)?;
    let steps: [(&[usize], u32); 7] = [
        (&[0, 1], 1),
        (&[0, 1, 2], 2),
        (&[1, 2], 2),
        (&[2], 1),
        (&[0, 2], 2),
        (&[0, 1], 1),
        (&[0, 1, 2], 2),
    ];
    for (step, (of, quorum)) in steps.into_iter().enumerate() {
        set(of, quorum)?;
        load.reach(load.acknowledged() + 40)?;
        if step == 1 || step == 4 {
            // A disk is lost; the key was kept.
            let n = if step == 1 { 1 } else { 2 };
            let address = described[n].1.clone();
            let dir = folder.path().join(NAMES[n]);
            let old = all.remove(n);
            let before = old.incarnation.clone();
            old.kill()?;
            let kept = folder.path().join("mirror.key");
            std::fs::copy(dir.join("mirror.key"), &kept)?;
            std::fs::remove_dir_all(&dir)?;
            std::fs::create_dir(&dir)?;
            std::fs::copy(&kept, dir.join("mirror.key"))?;
            let new = again(folder.path(), NAMES[n], &address, &key)?;
            ensure!(new.incarnation != before);
            all.insert(n, new);
            load.reach(load.acknowledged() + 40)?;
        }
    }
    let (mut auditor, mut ledger) = (Auditor::default(), Ledger::default());
    ledger.add(load.stop()?)?;
    tests::verify::whole(&server, &mut auditor, &mut ledger)?;
    let kek = folder.path().join("kek");
    std::fs::copy(at.join("kek"), &kek)?;
    let from: Vec<String> = described
        .iter()
        .map(|of| format!("http://{}", of.1))
        .collect();
    // Two of three are enough, whichever they are, once those that were filled again have everything.
    for left_out in 0..3 {
        let mut from = from.clone();
        from.remove(left_out);
        let mut tries = 0;
        wait::until("two of them are enough", || {
            tries += 1;
            let to = folder.path().join(format!("try{left_out}-{tries}"));
            let ran = restore(&from, &kek, &to)?;
            ensure!(
                ran.code == 0 || ran.stderr.contains("must (backupQuorum is"),
                "{ran:?}"
            );
            Ok((ran.code == 0).then_some(()))
        })?;
    }
    server.kill()?;
    let restored = folder.path().join("restored");
    restore(&from, &kek, &restored)?.expect_code(0)?;
    let server = Logd::start(&restored)?;
    tests::verify::whole(&server, &mut auditor, &mut ledger)?;
    wait::until("it goes on", || Ok(server.add(b"next").ok()))?;
    tests::verify::whole(&server, &mut auditor, &mut ledger)?;
    Ok(())
}
