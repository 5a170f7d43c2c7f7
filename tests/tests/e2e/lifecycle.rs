//! The requests of the operating system and the service manager, and a server whose manager does not listen.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tests::load::{Load, Outcome, Plan};
use tests::process::{Logd, Start, logctl, logd};
use tests::wait;

use crate::{Done, audit, folder, run};

/// `logd serve` on what `logd dev` made, in a folder that says nothing of `logd dev` any more.
fn production(at: &Path, arguments: &[&str], wrapper: &[&str]) -> Result<Logd> {
    if !at.join("logd.toml").exists() {
        ensure!(Logd::start(at)?.terminate()?.success());
        std::fs::remove_file(at.join(".logd-dev"))?;
        let settings = at.join("logd.toml");
        let text = std::fs::read_to_string(&settings)?;
        let (_, rest) = text.split_once('\n').context("a comment")?;
        std::fs::write(
            &settings,
            format!("# Of the operators of this log.\n{rest}"),
        )?;
    }
    let how = Start {
        settings: Some(at.join("logd.toml")),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        wrapper: wrapper.iter().map(|word| (*word).to_owned()).collect(),
    };
    Logd::start_as(at, &how)
}

/// Files and what is in them, but for the stores.
fn files(at: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(at)? {
        let path = entry?.path();
        if path.is_file() {
            files.push((path.clone(), std::fs::read(path)?));
        }
    }
    files.sort();
    Ok(files)
}

#[test]
fn the_advice_for_a_server_that_does_not_answer_harms_no_production_folder() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let server = production(at, &[], &[])?;
    server.add(b"one")?;
    ensure!(server.terminate()?.success());
    let before = files(at)?;
    let told = logctl(at, &["shard", "list"])?.expect_code(11)?;
    ensure!(
        told.stderr.contains("logd serve --config") && !told.stderr.contains("logd dev"),
        "{told:?}"
    );
    // The other command is still refused.
    let dir = at.to_str().context("UTF-8")?;
    let refused = logd(&[
        "dev",
        "--dir",
        dir,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ])?;
    ensure!(
        refused.code == 1 && refused.stderr.contains("was not made by `logd dev`"),
        "{refused:?}"
    );
    ensure!(files(at)? == before, "nothing was changed");
    // And the advice helps.
    let server = production(at, &[], &[])?;
    run(at, "shard list", 0)?;
    audit(&server, [])?;
    Ok(())
}

#[test]
fn hangup_reads_again_and_terminate_drains() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let mut server = production(at, &["--drain", "1h"], &[])?;
    server.add(b"one")?;
    let settings = at.join("logd.toml");
    let text = std::fs::read_to_string(&settings)?;
    std::fs::write(
        &settings,
        text.clone() + "[limits]\nconnections = 77\n[log]\nfilter = \"debug\"\n",
    )?;
    server.signal(Signal::HUP)?;
    let told = |server: &Logd, words: &str| {
        wait::until(words, || Ok(server.errors().contains(words).then_some(())))
    };
    told(&server, "SIGHUP: read again: ")?;
    told(&server, "needs a restart: limits.connections")?;
    std::fs::write(&settings, "no settings")?;
    server.signal(Signal::HUP)?;
    told(&server, "the settings from before stay")?;
    std::fs::write(&settings, text)?;
    ensure!(server.add(b"two")? == 1, "it goes on");

    server.signal(Signal::TERM)?;
    wait::until("readiness says no", || {
        let answer = server.http().get("/readyz", &[])?;
        Ok((answer.status == 503 && answer.text() == "draining\n").then_some(()))
    })?;
    ensure!(server.add(b"three")? == 2, "what comes meanwhile is served");
    run(at, "shard list", 0)?;
    ensure!(server.ended()?.is_none(), "the drain time has not passed");
    // A second request does not wait for it.
    ensure!(server.terminate()?.success());
    ensure!(production(at, &[], &[])?.add(b"four")? == 3);
    Ok(())
}

#[test]
fn a_stop_at_the_terminal_does_not_wait_for_balancers() -> Done {
    let folder = folder()?;
    let mut server = production(folder.path(), &["--drain", "1h"], &[])?;
    server.signal(Signal::INT)?;
    let status = wait::until("it ends", || server.ended())?;
    ensure!(status.success());
    Ok(())
}

#[test]
fn a_log_that_cannot_be_written_costs_nothing_else() -> Done {
    for (name, elsewhere) in [
        ("a full disk", "exec \"$0\" \"$@\" 2>/dev/full"),
        (
            "a reader that is gone",
            "exec \"$0\" \"$@\" 2> >(exec true)",
        ),
        ("no standard error", "exec \"$0\" \"$@\" 2>&-"),
    ] {
        let folder = folder()?;
        let at = folder.path();
        let server = production(at, &[], &["bash", "-c", elsewhere])?;
        server.add(b"one")?;
        for _ in 0..3 {
            logctl(at, &["shard", "rotate", "--yes"])?
                .expect_code(0)
                .context(name)?;
        }
        server.signal(Signal::HUP)?;
        ensure!(server.add(b"two")? == 1, "{name}");
        let ready = server.http().get("/readyz", &[])?;
        ensure!(ready.status == 200, "{name}: {ready:?}");
        audit(&server, []).context(name)?;
        ensure!(server.terminate()?.success(), "{name}: a stop is graceful");
    }
    Ok(())
}

/// Signals while writers write, and while the reader of the log lines disappears: no acknowledged entry is lost.
#[test]
fn signals_in_the_middle_of_everything_lose_nothing() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let mut reports = Vec::new();
    for elsewhere in [
        "exec \"$0\" \"$@\" 2> >(head -c 900 > /dev/null)",
        "exec \"$0\" \"$@\" 2>&-",
        "exec \"$0\" \"$@\"",
    ] {
        let server = production(at, &["--drain", "1h"], &["bash", "-c", elsewhere])?;
        let round = reports.len();
        let load = Load::start(Plan::synthetic(
            server.address,
            16,
            &format!("round-{round}"),
        ));
        for n in 1..=4 {
            load.reach(n * 150)?;
            server.signal(Signal::HUP)?;
            server.signal(Signal::XFSZ)?;
            logctl(at, &["shard", "rotate", "--yes"])?
                .expect_code(0)
                .context(elsewhere)?;
            server.signal(Signal::XFSZ)?;
        }
        ensure!(server.http().get("/readyz", &[])?.status == 200);
        // The first asks for a stop, the second ends the drain time: writers write all the while.
        server.signal(Signal::TERM)?;
        load.reach(load.acknowledged() + 50)?;
        server.signal(Signal::HUP)?;
        ensure!(
            server.terminate()?.success(),
            "{elsewhere}: a stop is graceful"
        );
        let report = load.finish()?;
        let bad: Vec<_> = report
            .all()
            .filter(|w| matches!(w.outcome, Outcome::Refused(status) if status != 503))
            .collect();
        ensure!(bad.is_empty(), "{bad:?} {:?}", report.complaints);
        tests::verify::clean(at)?;
        reports.push(report);
    }
    let server = production(at, &[], &[])?;
    let acknowledged: u64 = reports.iter().map(|report| report.acknowledged()).sum();
    let total = server.settled()?;
    ensure!(
        total == acknowledged,
        "{total} entries, {acknowledged} acknowledged"
    );
    audit(&server, reports)?;
    Ok(())
}

#[test]
fn the_service_manager_is_told() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let path = at.join("notify");
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(Duration::from_secs(120)))?;
    let heard = |first: &str| -> Result<String> {
        loop {
            let mut bytes = [0; 512];
            let length = manager.recv(&mut bytes).context(first.to_owned())?;
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.starts_with(first) {
                return Ok(text);
            }
        }
    };
    let named = format!("NOTIFY_SOCKET={}", path.display());
    let server = production(at, &[], &["env", &named, "WATCHDOG_USEC=200000"])?;
    heard("READY=1")?;
    heard("WATCHDOG=1")?;
    server.signal(Signal::HUP)?;
    ensure!(heard("RELOADING=1")?.contains("\nMONOTONIC_USEC="));
    heard("READY=1")?;
    ensure!(server.terminate()?.success());
    heard("STOPPING=1")?;
    Ok(())
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_of_logctl() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let server = Logd::start(at)?;
    server.add(b"one")?;
    let logctl = tests::process::binary("logctl")?;
    for line in [
        "shard list",
        "shard --create-config -",
        "config schema",
        "shard list -o json",
        "help",
    ] {
        let script = format!(
            "{} {line} | true; echo \"${{PIPESTATUS[0]}}\"",
            logctl.display()
        );
        let ran = std::process::Command::new("bash")
            .args(["-c", &script])
            .env("LOGCTL_CONFIG", at.join("logctl.toml"))
            .output()?;
        let errors = String::from_utf8_lossy(&ran.stderr);
        ensure!(!errors.contains("panicked"), "{line}: {errors}");
    }
    Ok(())
}
