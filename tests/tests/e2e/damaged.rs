//! A published object is lost or altered while the server runs: its readers are told, the operator is told which one, nothing else stops,
//! and it is written again from a copy.

use anyhow::{Context as _, Result, ensure};
use tests::process::{Logd, Ran, logctl};
use tests::wait;

use crate::copies::{configure, replication_key, secondary};
use crate::{Done, folder};

fn doctor(logd: &Logd, says: &str) -> Result<Ran> {
    wait::until(&format!("doctor says {says:?}"), || {
        let ran = logctl(&logd.directory, &["doctor"])?;
        Ok(ran.stdout.contains(says).then_some(ran))
    })
}

#[test]
fn a_damaged_object_is_refused_named_and_repaired_from_a_secondary() -> Done {
    let folder = folder()?;
    let logd = Logd::start(&folder.path().join("primary"))?;
    let key = replication_key(&logd)?;
    let ams = secondary(folder.path(), "ams", &key)?;
    let named = [("ams", ams.address.to_string(), ams.vkey.clone())];
    configure(&logd, &named, 1, "")?;
    for n in 0..600 {
        logd.add(format!("entry {n}").as_bytes())?;
    }
    logctl(&logd.directory, &["shard", "rotate", "--yes"])?.expect_code(0)?;
    logd.add(b"after")?;
    logd.settled()?;
    let frozen = logd.shards()?.first().context("a shard")?.name.clone();
    let objects = logd.directory.join("objects/dev").join(&frozen);
    let json = [("Accept", "application/json")];
    let mut http = logd.http();

    // One bit of a tile, a bundle that is gone, and one that ends in the middle of an entry.
    let tile = objects.join("tile/0/000");
    let good = std::fs::read(&tile)?;
    let mut bad = good.clone();
    bad[100] ^= 4;
    std::fs::write(&tile, bad)?;
    let bundle = objects.join("tile/entries/001");
    let whole = std::fs::read(&bundle)?;
    std::fs::remove_file(&bundle)?;
    let torn = objects.join("tile/entries/002.p/88");
    let last = std::fs::read(&torn)?;
    std::fs::write(&torn, &last[..last.len() / 2])?;
    for index in [3, 300, 590] {
        let answer = http.get(&format!("/dev/entries/{index}"), &json)?;
        let problem = answer.expect_status(500)?.json()?;
        ensure!(problem["code"] == "damaged", "{problem}");
        ensure!(!problem.to_string().contains("tile"), "{problem}");
    }
    logd.add(b"the log goes on")?;
    logd.settled()?;
    ensure!(http.get("/readyz", &[])?.status == 200);
    for index in [3, 300, 590] {
        wait::until(&format!("entry {index} is back"), || {
            let answer = http.get(&format!("/dev/entries/{index}"), &json)?;
            Ok((answer.status == 200).then_some(()))
        })?;
    }
    ensure!(std::fs::read(&tile)? == good && std::fs::read(&bundle)? == whole);
    ensure!(std::fs::read(&torn)? == last);
    let said = doctor(&logd, "and repaired")?;
    ensure!(
        said.stdout.contains("3 damaged since the start"),
        "{}",
        said.stdout
    );

    // Nobody has a copy any more: it stays named.
    ams.kill()?;
    std::fs::remove_file(&bundle)?;
    let object = format!("dev/{frozen}/tile/entries/001");
    // The entry was read before, and may still be in memory.
    ensure!(http.get(&format!("/{object}"), &[])?.status == 500);
    let said = doctor(&logd, &object)?;
    ensure!(said.code == 13, "{said:?}");
    let status = logctl(&logd.directory, &["status", "-o", "json"])?
        .expect_code(0)?
        .json()?;
    ensure!(status["logs"][0]["condition"] == "open", "{status}");
    ensure!(http.get("/dev/entries/3", &json)?.status == 200);
    std::fs::write(&bundle, &whole)?;
    ensure!(http.get("/dev/entries/300", &json)?.status == 200);
    Ok(())
}
