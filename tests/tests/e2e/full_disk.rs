//! A full disk: writes are refused with 507, reads continue, nothing is corrupted, and it recovers when space returns.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tests::load::{Load, Outcome, Plan};
use tests::process::Logd;
use tests::{skip, wait};

use crate::{Done, folder};

/// A small file system of its own.
struct Small {
    path: PathBuf,
}

impl Small {
    /// Mounts one; nothing when that is not allowed here.
    fn mount(path: &Path, megabytes: u32) -> Result<Option<Self>> {
        let options = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(path)
            .output();
        Ok(mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self {
                path: path.to_owned(),
            }))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a file of a dying server may still be open.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

#[test]
fn writes_stop_reads_go_on_and_it_recovers() -> Done {
    let folder = folder()?;
    let Some(small) = Small::mount(folder.path(), 160)? else {
        skip::skip("full disk", "mounting a tmpfs needs root");
        return Ok(());
    };
    let ballast = small.path.join("ballast");
    let space = std::fs::File::create(&ballast)?;
    let data = small.path.join("data");
    let logd = Logd::start(&data)?;
    logd.add(b"before")?;
    // The remaining free space does not last long.
    rustix::fs::fallocate(&space, rustix::fs::FallocateFlags::empty(), 0, 100 << 20)?;
    let entries: tests::load::Entries =
        std::sync::Arc::new(|connection, sequence, out: &mut Vec<u8>| {
            tests::load::synthetic("full", connection, sequence, out);
            out.resize(30_000, b'.');
            true
        });
    let plan = Plan {
        entries,
        persist: true,
        ..Plan::synthetic(logd.address, 8, "full")
    };
    let load = Load::start(plan);
    // The probe is the writer that must hear 507; those of the load may be stopped before their next try.
    wait::until("the disk is full", || {
        let answer = logd.http().post("/dev/add", &[], b"probe of a full disk")?;
        ensure!(
            matches!(answer.status, 200 | 507 | 503),
            "{}: {}",
            answer.status,
            answer.text()
        );
        Ok((answer.status == 507).then_some(()))
    })?;
    let report = load.stop()?;
    for write in report.all() {
        let expected = matches!(
            write.outcome,
            Outcome::Acknowledged(_) | Outcome::Refused(507 | 503)
        );
        ensure!(expected, "{write:?} {:?}", report.complaints);
    }

    // Reads continue.
    ensure!(
        logd.http()
            .get("/dev/entries/0", &[])?
            .expect_status(200)?
            .body
            == b"before",
        "reads go on"
    );
    let shard = &logd.shards()?[0].name;
    logd.http()
        .get(&format!("/dev/{shard}/checkpoint"), &[])?
        .expect_status(200)?;

    // Space returns, and so do writes, without a restart.
    drop(space);
    std::fs::remove_file(&ballast)?;
    let index = wait::until("writes are taken again", || {
        let answer = logd.http().post("/dev/add", &[], b"after")?;
        ensure!(
            matches!(answer.status, 200 | 507 | 503),
            "{}: {}",
            answer.status,
            answer.text()
        );
        Ok((answer.status == 200).then(|| answer.text()))
    })?;
    ensure!(index.trim().parse::<u64>()? > 0, "{index}");
    audit_with_probes(&logd, report)?;
    logd.kill()?;
    tests::verify::clean(&data)?;
    let logd = Logd::start(&data)?;
    logd.settled()?;
    ensure!(
        logd.http()
            .get("/dev/entries/0", &[])?
            .expect_status(200)?
            .body
            == b"before",
        "all of it is there"
    );
    drop(logd);
    drop(small);
    Ok(())
}

/// The probes are identical entries, several of which may be in the log: only the load's are counted.
fn audit_with_probes(logd: &Logd, report: tests::load::Report) -> Done {
    let mut ledger = tests::ledger::Ledger::default();
    ledger.add(report)?;
    logd.settled()?;
    let mut auditor = tests::auditor::Auditor::default();
    auditor.audit(&mut logd.served(), &logd.shards()?, |found| {
        match found.bytes {
            b"probe of a full disk" | b"before" | b"after" => Ok(()),
            _ => ledger.see(found),
        }
    })?;
    ledger.close()
}

#[test]
fn no_space_at_the_start_is_a_clear_error() -> Done {
    let folder = folder()?;
    let Some(small) = Small::mount(folder.path(), 1)? else {
        skip::skip("no space at the start", "mounting a tmpfs needs root");
        return Ok(());
    };
    let space = std::fs::File::create(small.path.join("ballast"))?;
    rustix::fs::fallocate(&space, rustix::fs::FallocateFlags::empty(), 0, 1 << 20)?;
    match Logd::start(&small.path.join("data")) {
        // It may start, to serve reads; then writes are refused for lack of space.
        Ok(logd) => {
            let answer = logd.http().post("/dev/add", &[], b"entry")?;
            ensure!(answer.status == 507, "{}: {}", answer.status, answer.text());
        }
        Err(error) => {
            let text = format!("{error:#}").to_lowercase();
            ensure!(
                text.contains("space") || text.contains("full"),
                "says what is missing: {text}"
            );
        }
    }
    Ok(())
}
