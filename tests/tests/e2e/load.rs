//! `logload run`, against a log that nobody else writes to: its figures are compared with the log itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::process::{Logd, Ran, binary, logload};
use tests::{verify, wait};

use crate::{Done, folder};

/// Runs `logload` with the words of a line, and expects this exit code.
fn run(at: &Path, line: &str, code: i32) -> Result<Ran> {
    let words: Vec<&str> = line.split(' ').collect();
    logload(at, &words)?
        .expect_code(code)
        .with_context(|| line.to_owned())
}

fn does(at: &Path, line: &str) -> Result<Value> {
    run(at, &format!("{line} -o json"), 0)?.json()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[test]
fn what_it_reports_is_in_the_log() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let html = folder.path().join("report.html");
    let svg = folder.path().join("plots");
    let line = format!(
        "run --stream name=even,rate=100/s,spacing=even --stream name=loop,connections=3,size=200 --duration 3s --verify --html {} --svg {}",
        html.display(),
        svg.display()
    );
    let report = does(folder.path(), &line)?;
    let stream = |at: usize| &report["streams"][at];
    ensure!(
        stream(0)["acknowledged"] == 300,
        "each write of an open loop is sent: {report}"
    );
    let all = report["streams"].as_array().context("streams")?;
    let acknowledged: u64 = all
        .iter()
        .filter_map(|stream| stream["acknowledged"].as_u64())
        .sum();
    ensure!(
        logd.settled()? == acknowledged,
        "the log holds what was acknowledged, and nothing else"
    );
    ensure!(report["verified"]["checked"] == acknowledged, "{report}");
    ensure!(
        report["verified"]["wrong"] == 0 && report["verified"]["missing"] == 0,
        "{report}"
    );
    for stream in all {
        ensure!(
            stream["unpublished"] == 0 && stream["unanswered"] == 0 && stream["unsent"] == 0,
            "{stream}"
        );
        ensure!(
            stream["published"]["count"] == stream["acknowledged"],
            "{stream}"
        );
        let [ordered, published] =
            ["ordered", "published"].map(|time| number(&stream[time]["p50Ms"]));
        ensure!(
            0.0 < ordered && ordered < published,
            "an entry is ordered before it is published: {stream}"
        );
    }
    let page = std::fs::read_to_string(&html)?;
    ensure!(
        page.contains("<svg") && page.contains("even") && !page.contains("<script"),
        "{page}"
    );
    ensure!(std::fs::read_dir(&svg)?.count() >= 5, "each plot is a file");
    verify::whole(&logd, &mut Default::default(), &mut Default::default())?;
    Ok(())
}

#[test]
fn a_server_that_stands_still_is_late_for_every_write_that_was_due() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let child = Command::new(binary("logload")?)
        .args("run --stream rate=100/s,spacing=even --duration 4s -o json".split(' '))
        .env("LOGCTL_CONFIG", folder.path().join("logctl.toml"))
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    wait::until("some writes", || {
        Ok((logd.watermarks()?.ordered > 50).then_some(()))
    })?;
    logd.signal(Signal::STOP)?;
    let stopped = Instant::now();
    // The stall itself: what is measured is that it is seen.
    while stopped.elapsed() < Duration::from_secs(1) {
        wait::pause();
    }
    logd.signal(Signal::CONT)?;
    let output = child.wait_with_output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let ordered = &report["streams"][0]["ordered"];
    // A quarter of the writes was due in the stall; a measurement from the time of sending sees only a few slow ones.
    ensure!(number(&ordered["p90Ms"]) > 300.0, "{ordered}");
    ensure!(number(&ordered["maxMs"]) > 900.0, "{ordered}");
    ensure!(report["streams"][0]["acknowledged"] == 400, "{report}");
    Ok(())
}

#[test]
fn one_that_is_ended_early_shows_what_it_measured() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let child = Command::new(binary("logload")?)
        .args("run --stream rate=100/s --duration 10m -o json".split(' '))
        .env("LOGCTL_CONFIG", folder.path().join("logctl.toml"))
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    wait::until("some writes", || {
        Ok((logd.watermarks()?.ordered > 50).then_some(()))
    })?;
    let pid = Pid::from_raw(child.id().try_into()?).context("a process id is positive")?;
    kill_process(pid, Signal::INT)?;
    let output = child.wait_with_output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(output.status.code() == Some(130), "{report}");
    ensure!(
        report["interrupted"] == true && report["error"]["code"] == "interrupted",
        "{report}"
    );
    ensure!(
        report["streams"][0]["acknowledged"].as_u64() > Some(50),
        "{report}"
    );
    ensure!(
        report["streams"][0]["unpublished"] == 0,
        "it waits for what it wrote: {report}"
    );
    Ok(())
}

#[test]
fn a_server_or_a_log_that_is_not_there_is_an_error() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let refused = run(
        folder.path(),
        "run --stream rate=9/s --duration 1s --url http://127.0.0.1:1 -o json",
        11,
    )?;
    ensure!(
        refused.json()?["error"]["code"] == "unreachable",
        "{refused:?}"
    );
    // So is a log that is not there: a run against it would measure refusals.
    let missing = run(
        folder.path(),
        &format!(
            "run --stream rate=9/s --duration 1s --log nope --url http://{} -o json",
            logd.address
        ),
        6,
    )?;
    ensure!(
        missing.json()?["error"]["code"] == "not-found",
        "{missing:?}"
    );
    Ok(())
}
