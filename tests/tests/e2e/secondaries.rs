//! Secondaries as processes: copies that an auditor accepts, kills at any moment, a lost primary that is rebuilt.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tests::auditor::{Auditor, Source as _};
use tests::http::Http;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, Start, logctl, logd};
use tests::secondary::{Secondary, StartSecondary};
use tests::{notes, wait};

use crate::copies::{audit_copies, checkpoint, configure, replication_key, secondary};
use crate::{Done, folder};

#[test]
fn copies_are_verified_cosigned_and_audited() -> Done {
    let folder = folder()?;
    let logd = Logd::start(&folder.path().join("primary"))?;
    let key = replication_key(&logd)?;
    let (ams, fra) = (
        secondary(folder.path(), "ams", &key)?,
        secondary(folder.path(), "fra", &key)?,
    );
    let named = [
        ("ams", ams.address.to_string(), ams.vkey.clone()),
        ("fra", fra.address.to_string(), fra.vkey.clone()),
    ];
    logd.add(b"before there were secondaries")?;
    configure(&logd, &named, 2, "")?;
    for i in 0..700 {
        logd.add(format!("entry {i}").as_bytes())?;
    }
    logctl(&logd.directory, &["shard", "rotate", "--yes"])?.expect_code(0)?;
    for i in 0..50 {
        logd.add(format!("after {i}").as_bytes())?;
    }
    ensure!(logd.settled()? == 751);
    let mut auditor = Auditor::default();
    auditor.audit(&mut logd.served(), &logd.shards()?, |_| Ok(()))?;
    for shard in logd.shards()?.iter().filter(|s| s.state != "planned") {
        let note = checkpoint(&logd, shard)?;
        for one in [&ams, &fra] {
            ensure!(
                notes::cosigned(&note, &one.vkey)?.is_some(),
                "{} by {}",
                shard.name,
                one.vkey
            );
        }
    }
    for one in [&ams, &fra] {
        ensure!(audit_copies(&logd, &mut auditor, one, &key)? == 751);
        // A reader that knows only the shards' keys can read from a secondary, the newest entries a moment later.
        wait::until("readers can verify all of it", || {
            let mut size = 0;
            for shard in logd.shards()?.iter().filter(|s| s.state != "planned") {
                let path = format!("{}/checkpoint", shard.name);
                let note = one.copy(&shard.origin).get(&path)?.unwrap_or_default();
                let head = notes::checkpoint(&note, &shard.origin, &shard.vkey);
                size += head.map_or(0, |head| head.size);
            }
            Ok((size == 751).then_some(()))
        })?;
    }
    // Unauthenticated senders get nothing in, and nothing out that is not a copy.
    let mut http = Http::new(ams.address);
    ensure!(
        http.post(
            "/add-checkpoint",
            &[],
            b"old 0\n\nx\n1\nx\n\n\xe2\x80\x94 x AAAAAAA=\n"
        )?
        .status
            == 400
    );
    ensure!(http.post("/add-entries", &[], &[0, 1, b'x', 0, 0])?.status == 400);
    ensure!(http.post("/manifest", &[], b"x")?.status == 400);
    ensure!(http.get("/0000/checkpoint", &[])?.status == 404);
    ensure!(http.get("/readyz", &[])?.status == 200);
    Ok(())
}

#[test]
fn secondaries_killed_at_random_lose_nothing() -> Done {
    let folder = folder()?;
    let logd = Logd::start(&folder.path().join("primary"))?;
    let key = replication_key(&logd)?;
    let mut ams = secondary(folder.path(), "ams", &key)?;
    let named = [("ams", ams.address.to_string(), ams.vkey.clone())];
    configure(&logd, &named, 1, "")?;
    let address = ams.address.to_string();
    let incarnation = ams.incarnation.clone();
    let (mut auditor, mut ledger) = (Auditor::default(), Ledger::default());
    for round in 0..tests::skip::campaign("TESTS_KILLS", 4) {
        let load = Load::start(Plan::synthetic(logd.address, 8, &format!("s{round}")));
        load.reach(round * 7919 % 500 + 20)?;
        ams.kill()?;
        // Publication waits for it; writers do not.
        load.reach(load.acknowledged() + 30)?;
        let how = StartSecondary {
            listen: Some(address.clone()),
            ..StartSecondary::default()
        };
        ams = Secondary::start(&folder.path().join("ams"), std::slice::from_ref(&key), &how)?;
        ensure!(
            ams.incarnation == incarnation,
            "the same storage is the same incarnation"
        );
        ledger.add(load.stop()?)?;
        tests::verify::whole(&logd, &mut auditor, &mut ledger)
            .with_context(|| format!("round {round}"))?;
        let copied = audit_copies(&logd, &mut auditor, &ams, &key)?;
        ensure!(
            copied >= logd.watermarks()?.published,
            "published without its copy"
        );
    }
    Ok(())
}

#[test]
fn a_lost_primary_is_restored() -> Done {
    let folder = folder()?;
    let first = folder.path().join("primary");
    let primary = Logd::start(&first)?;
    let key = replication_key(&primary)?;
    let (ams, fra) = (
        secondary(folder.path(), "ams", &key)?,
        secondary(folder.path(), "fra", &key)?,
    );
    let named = [
        ("ams", ams.address.to_string(), ams.vkey.clone()),
        ("fra", fra.address.to_string(), fra.vkey.clone()),
    ];
    configure(&primary, &named, 1, "")?;
    let load = Load::start(Plan::synthetic(primary.address, 8, "r"));
    load.reach(400)?;
    logctl(&first, &["shard", "rotate", "--yes"])?.expect_code(0)?;
    load.reach(load.acknowledged() + 100)?;
    let mut auditor = Auditor::default();
    let before = wait::until("the second shard is published", || {
        let shards = primary.shards()?;
        let note = checkpoint(&primary, &shards[1])?;
        let head = notes::checkpoint(&note, &shards[1].origin, &shards[1].vkey)?;
        Ok((head.size > 0).then_some((shards, head)))
    })?;
    let mut entries = Vec::new();
    auditor.audit(&mut primary.served(), &primary.shards()?, |found| {
        entries.push((found.index, found.bytes.to_vec()));
        Ok(())
    })?;
    let generation =
        logctl(&first, &["shard", "list", "-o", "json"])?.json()?["generation"].clone();
    primary.kill()?;
    let _ = load.finish();
    let kek = folder.path().join("kek");
    std::fs::copy(first.join("kek"), &kek)?;
    std::fs::remove_dir_all(&first)?;

    let second = folder.path().join("restored");
    let (ams_url, fra_url) = (
        format!("http://{}", ams.address),
        format!("http://{}", fra.address),
    );
    let words = |from: &[&str], dir: &Path| -> Result<Vec<String>> {
        let mut words = ["restore", "--log", "localhost/dev", "--kek"]
            .map(str::to_owned)
            .to_vec();
        words.extend([
            kek.to_string_lossy().into_owned(),
            "--dir".to_owned(),
            dir.to_string_lossy().into_owned(),
        ]);
        words.extend(
            from.iter()
                .flat_map(|url| ["--from".to_owned(), (*url).to_owned()]),
        );
        Ok(words)
    };
    let restore = |words: Vec<String>| logd(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let few = restore(words(&[&ams_url], &folder.path().join("few"))?)?.expect_code(1)?;
    ensure!(
        few.stderr
            .contains("1 of the 2 secondaries count for shard"),
        "{few:?}"
    );
    let done = restore(words(&[&ams_url, &fra_url], &second)?)?.expect_code(0)?;
    ensure!(
        done.stdout.contains("restored: log dev, generation"),
        "{done:?}"
    );
    ensure!(
        restore(words(&[&ams_url, &fra_url], &second)?)?.code == 1,
        "not over a server's stores"
    );
    tests::verify::clean(&second)?;

    let primary = Logd::start_as(&second, &Start::default())?;
    ensure!(logctl(&second, &["shard", "list", "-o", "json"])?.json()?["generation"] == generation);
    primary.settled()?;
    let shards = primary.shards()?;
    for (old, new) in before.0.iter().zip(&shards) {
        ensure!(
            (&old.origin, &old.vkey, old.start_index) == (&new.origin, &new.vkey, new.start_index)
        );
    }
    // The auditor has seen the lost primary: a rewrite or a shorter log would be an error.
    let mut again = Vec::new();
    auditor.audit(&mut primary.served(), &shards, |found| {
        again.push((found.index, found.bytes.to_vec()));
        Ok(())
    })?;
    ensure!(
        again.len() >= entries.len() && again[..entries.len()] == entries[..],
        "every published entry is at its index"
    );
    let index = primary.add(b"and it goes on")?;
    ensure!(index == again.len() as u64);
    primary.settled()?;
    auditor.audit(&mut primary.served(), &primary.shards()?, |_| Ok(()))?;
    for one in [&ams, &fra] {
        wait::until("both secondaries follow", || {
            Ok((audit_copies(&primary, &mut auditor, one, &key)? == index + 1).then_some(()))
        })?;
    }
    // The drill, while the log runs; then one bit of a copy changes.
    let mut drill = words(&[&ams_url, &fra_url], Path::new("-"))?;
    drill.splice(5..7, ["--check".to_owned()]);
    let good = restore(drill.clone())?.expect_code(0)?;
    ensure!(good.stdout.contains("would work"), "{good:?}");
    flip(&ams.directory)?;
    let bad = restore(drill)?.expect_code(12)?;
    ensure!(
        bad.stdout.contains(&format!("at {ams_url}: DAMAGED")) && bad.stdout.contains("would work"),
        "{bad:?}"
    );
    Ok(())
}

/// Changes a bit of the first entry that a secondary has of some shard.
fn flip(secondary: &Path) -> Result<()> {
    for data in std::fs::read_dir(secondary)? {
        let data = data?;
        if !data.file_name().to_string_lossy().starts_with("data-") {
            continue;
        }
        for shard in std::fs::read_dir(data.path())? {
            let entries = shard?.path().join("entries");
            let mut bytes = std::fs::read(&entries).unwrap_or_default();
            if let Some(byte) = bytes.get_mut(2) {
                *byte ^= 1;
                std::fs::write(&entries, bytes)?;
                return Ok(());
            }
        }
    }
    anyhow::bail!("no entries below {}", secondary.display())
}
