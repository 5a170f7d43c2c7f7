//! Writes with an idempotency key, sent again over kills and to two servers at once.

use std::thread;

use anyhow::{Context as _, Result, ensure};
use tests::process::Logd;

use crate::{Done, audit, folder};

fn add(logd: &Logd, key: &str, entry: &str) -> Result<(u16, String)> {
    let answer = logd
        .http()
        .post("/dev/add", &[("Idempotency-Key", key)], entry.as_bytes())?;
    Ok((answer.status, answer.text().trim().to_owned()))
}

#[test]
fn a_write_that_is_sent_again_over_a_kill_is_there_once() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let batch = [
        ("Idempotency-Key", "batch"),
        ("Content-Type", "application/octet-stream"),
    ];
    let body: Vec<u8> = (0..3_000u32)
        .flat_map(|n| [&[0, 4][..], &n.to_be_bytes()].concat())
        .collect();
    ensure!(add(&logd, "one", "entry")? == (200, "0".to_owned()));
    let first = logd.http().post("/dev/add-batch", &batch, &body)?;
    let first = first.expect_status(200)?.json()?;
    logd.kill()?;
    let logd = Logd::start(folder.path())?;
    ensure!(add(&logd, "one", "entry")? == (200, "0".to_owned()));
    ensure!(add(&logd, "one", "another")?.0 == 422);
    let again = logd.http().post("/dev/add-batch", &batch, &body)?;
    ensure!(again.expect_status(200)?.json()? == first);
    ensure!(logd.settled()? == 3_001);
    audit(&logd, [])?;
    Ok(())
}

#[test]
fn of_two_requests_at_once_on_two_servers_one_is_ordered() -> Done {
    let folder = folder()?;
    let servers = [Logd::start(folder.path())?, Logd::start(folder.path())?];
    for round in 0..20 {
        let key = format!("key-{round}");
        let same: Vec<_> = thread::scope(|scope| {
            let adds = servers
                .each_ref()
                .map(|s| scope.spawn(|| add(s, &key, &key)));
            adds.map(|add| add.join().ok().context("a thread"))
                .into_iter()
                .collect()
        });
        let same: Vec<(u16, String)> = same.into_iter().collect::<Result<Result<Vec<_>>>>()??;
        ensure!(same[0].0 == 200 && same[0] == same[1], "{same:?}");
        let key = format!("other-{round}");
        let texts = [format!("{key} a"), format!("{key} b")];
        let other: Vec<_> = thread::scope(|scope| {
            let adds: Vec<_> = servers
                .iter()
                .zip(&texts)
                .map(|(s, text)| scope.spawn(|| add(s, &key, text)))
                .collect();
            adds.into_iter()
                .map(|add| add.join().ok().context("a thread"))
                .collect()
        });
        let other: Vec<(u16, String)> = other.into_iter().collect::<Result<Result<Vec<_>>>>()??;
        let mut statuses = [other[0].0, other[1].0];
        statuses.sort_unstable();
        ensure!(statuses == [200, 422], "{other:?}");
    }
    ensure!(servers[0].settled()? == 40);
    audit(&servers[0], [])?;
    Ok(())
}
