//! Promises over the real binaries: what a 202 says survives `kill -9`, is kept once, and can be checked by anybody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tests::http::Http;
use tests::process::{Logd, logctl};
use tests::wait;

use crate::{Done, does, folder, run};

/// A 202: the entry, where to ask for it, and the receipt.
#[derive(Debug)]
struct Promised {
    entry: String,
    path: String,
    receipt: String,
}

fn promise(http: &mut Http, entry: String) -> anyhow::Result<Promised> {
    let answer = http
        .post("/dev/add", &[("Prefer", "respond-async")], entry.as_bytes())?
        .expect_status(202)?;
    let path = answer.header("location").context("where to ask for it")?;
    Ok(Promised {
        entry,
        path: path.to_owned(),
        receipt: answer.text(),
    })
}

/// Asks until it is published, and answers where it is.
fn kept(logd: &Logd, promised: &Promised) -> anyhow::Result<Value> {
    let mut http = logd.http();
    wait::until("the promise is kept", || {
        let now = http.get(&promised.path, &[])?.expect_status(200)?.json()?;
        Ok((now["state"] == "published").then_some(now))
    })
}

/// Every entry of the log with how often it is there.
fn census(logd: &Logd) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut http = logd.http();
    let mut census = BTreeMap::new();
    for index in 0..logd.settled()? {
        let answer = http.get(&format!("/dev/entries/{index}"), &[])?;
        *census.entry(answer.expect_status(200)?.text()).or_default() += 1;
    }
    Ok(census)
}

#[test]
fn kill_after_a_202_loses_nothing() -> Done {
    let folder = folder()?;
    let mut all = Vec::new();
    let kills = tests::skip::campaign("TESTS_KILLS", 3);
    for round in 0..kills {
        let logd = Logd::start(folder.path())?;
        let count = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..8)
            .map(|who| {
                let (mut http, count) = (logd.http(), Arc::clone(&count));
                std::thread::spawn(move || {
                    let mut answers = Vec::new();
                    // Until the server is gone.
                    while let Ok(answer) =
                        promise(&mut http, format!("{round}/{who}/{}", answers.len()))
                    {
                        answers.push(answer);
                        count.fetch_add(1, SeqCst);
                    }
                    answers
                })
            })
            .collect();
        // At another moment each time: the first may be killed before anything is ordered.
        let enough = usize::try_from(1 + round * 47)?;
        wait::until("some are promised", || {
            Ok((count.load(SeqCst) >= enough).then_some(()))
        })?;
        logd.kill()?;
        for writer in writers {
            let answers = writer
                .join()
                .map_err(|_| anyhow::anyhow!("a writer panicked"))?;
            all.extend(answers);
        }
        tests::verify::clean(folder.path()).with_context(|| format!("after kill {round}"))?;
    }
    ensure!(!all.is_empty(), "something was promised");
    let logd = Logd::start(folder.path())?;
    for promised in &all {
        let at = kept(&logd, promised)?;
        let path = format!("/dev/entries/{}", at["index"]);
        let entry = logd.http().get(&path, &[])?.expect_status(200)?.text();
        ensure!(entry == promised.entry, "{promised:?} is {entry:?}");
    }
    let census = census(&logd)?;
    for promised in &all {
        let times = census.get(&promised.entry).copied().unwrap_or(0);
        ensure!(times == 1, "{} is there {times} times", promised.entry);
    }
    ensure!(
        census.values().all(|times| *times == 1),
        "no entry is there twice"
    );
    logctl(folder.path(), &["shard", "verify"])?.expect_code(0)?;
    logd.terminate()?;
    tests::verify::clean(folder.path())
}

#[test]
fn a_receipt_is_checked_offline_and_against_the_log() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let at = folder.path();
    let promised = promise(&mut logd.http(), "worth a receipt".into())?;
    let file = at.join("entry.receipt");
    std::fs::write(&file, &promised.receipt)?;
    kept(&logd, &promised)?;
    let shard = logd.shards()?.remove(0);
    let verify = format!("receipt verify {}", file.display());
    let checked = does(at, &verify)?;
    ensure!(
        checked["state"] == "kept" && checked["index"] == 0,
        "{checked}"
    );
    ensure!(checked["listedKey"] == true, "{checked}");
    let checked = does(at, &format!("{verify} --vkey {}", shard.vkey))?;
    ensure!(
        checked["state"] == "kept" && checked["listedKey"] == false,
        "{checked}"
    );
    let page = run(at, &verify, 0)?.stdout;
    ensure!(
        page.contains("kept") && page.contains(&shard.origin),
        "{page}"
    );
    // A byte of the deadline, and a key that did not sign.
    let (before, rest) = promised
        .receipt
        .split_at(promised.receipt.find(&shard.origin).context("origin")?);
    let forged = format!("{before}{}", rest.replacen("\n1", "\n2", 1));
    ensure!(forged != promised.receipt, "the deadline begins with 1");
    std::fs::write(&file, forged)?;
    run(at, &verify, 12)?;
    std::fs::write(&file, &promised.receipt)?;
    // The log forgets nothing by being away: the signature is checked without it.
    logd.kill()?;
    let offline = format!("{verify} --offline --vkey {}", shard.vkey);
    let checked = does(at, &offline)?;
    ensure!(checked["state"] == "signed", "{checked}");
    run(at, &format!("{verify} --offline"), 2)?;
    std::fs::write(&file, "not a receipt\n")?;
    run(at, &offline, 12)?;
    Ok(())
}

/// A freeze merges promised work first; then the log is as final as its checkpoint says.
#[test]
fn a_freeze_merges_what_is_promised() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let mut http = logd.http();
    let all: Vec<Promised> = (0..40)
        .map(|n| promise(&mut http, format!("before the freeze {n}")))
        .collect::<anyhow::Result<_>>()?;
    run(folder.path(), "shard freeze --yes", 0)?;
    for promised in &all {
        kept(&logd, promised)?;
    }
    let late = http.post("/dev/add", &[("Prefer", "respond-async")], b"late")?;
    ensure!(late.status == 409, "{late:?}");
    run(folder.path(), "shard unfreeze --yes", 0)?;
    kept(&logd, &promise(&mut http, "after".into())?)?;
    ensure!(census(&logd)?.len() == 41, "each once");
    Ok(())
}
