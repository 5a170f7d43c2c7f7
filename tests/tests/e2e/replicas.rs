//! Two servers on one folder: both serve, both write, one order.

use anyhow::ensure;
use tests::auditor::Auditor;
use tests::load::{Load, Plan};
use tests::process::{Logd, logctl};
use tests::wait;

use crate::{Done, audit, folder};

#[test]
fn two_servers_write_one_log() -> Done {
    let folder = folder()?;
    let first = Logd::start(folder.path())?;
    let second = Logd::start(folder.path())?;
    let loads = [
        Load::start(Plan::synthetic(first.address, 12, "first")),
        Load::start(Plan::synthetic(second.address, 12, "second")),
    ];
    for load in &loads {
        load.reach(200)?;
    }
    logctl(folder.path(), &["shard", "rotate", "--yes"])?.expect_code(0)?;
    for load in &loads {
        load.reach(load.acknowledged() + 200)?;
    }
    let mut reports = Vec::new();
    for load in loads {
        let report = load.stop()?;
        ensure!(report.failed() == 0, "{:?}", report.complaints);
        reports.push(report);
    }
    let total: u64 = reports.iter().map(tests::load::Report::acknowledged).sum();
    // Each learns by itself what the other one has ordered.
    for logd in [&first, &second] {
        wait::until("both know all of it", || {
            Ok((logd.settled()? >= total).then_some(()))
        })?;
    }
    let audited = audit(&first, reports)?;
    ensure!(audited.entries == total, "{audited:?} of {total}");
    // The other one serves the very same log.
    ensure!(second.settled()? == total, "both know the same");
    let mut other = Vec::new();
    Auditor::default().audit(&mut second.served(), &second.shards()?, |found| {
        other.push(found.leaf);
        Ok(())
    })?;
    let mut same = other.iter();
    Auditor::default().audit(&mut first.served(), &first.shards()?, |found| {
        ensure!(
            same.next() == Some(&found.leaf),
            "entry {} differs between the servers",
            found.index
        );
        Ok(())
    })?;
    Ok(())
}

#[test]
fn one_server_goes_on_when_the_other_is_killed() -> Done {
    let folder = folder()?;
    let first = Logd::start(folder.path())?;
    let second = Logd::start(folder.path())?;
    let dying = Load::start(Plan::synthetic(first.address, 8, "dying"));
    let living = Load::start(Plan::synthetic(second.address, 8, "living"));
    dying.reach(150)?;
    living.reach(150)?;
    first.kill()?;
    let dead = dying.finish()?;
    living.reach(living.acknowledged() + 300)?;
    let report = living.stop()?;
    ensure!(
        report.failed() == 0,
        "no lease to wait for, no lock left behind: {:?}",
        report.complaints
    );
    audit(&second, [dead, report])?;
    second.kill()?;
    tests::verify::clean(folder.path())?;
    Ok(())
}

#[test]
fn what_one_server_acknowledged_the_other_reads() -> Done {
    let folder = folder()?;
    let servers = [Logd::start(folder.path())?, Logd::start(folder.path())?];
    for n in 0..40usize {
        let (writer, reader) = (&servers[n % 2], &servers[(n + 1) % 2]);
        let entry = format!("entry {n}");
        ensure!(
            writer.add(entry.as_bytes())? == n as u64,
            "one order for both"
        );
        let read = reader
            .http()
            .get(&format!("/dev/entries/{n}"), &[])?
            .expect_status(200)?;
        ensure!(
            read.body == entry.as_bytes(),
            "entry {n} is {:?}",
            read.text()
        );
    }
    audit(&servers[0], [])?;
    Ok(())
}

#[test]
fn a_server_that_was_killed_is_missed_until_another_takes_its_place() -> Done {
    let folder = folder()?;
    let first = Logd::start(folder.path())?;
    let second = Logd::start(folder.path())?;
    let silent = || -> anyhow::Result<usize> {
        let doctor = logctl(folder.path(), &["doctor", "-o", "json"])?.json()?;
        let checks = doctor["checks"].as_array().cloned().unwrap_or_default();
        let of = |check: &&serde_json::Value| check["result"]["check"] == "replica-silent";
        Ok(checks.iter().filter(of).count())
    };
    ensure!(silent()? == 0, "both are there");
    second.kill()?;
    wait::until("the dead one is missed", || {
        Ok((silent()? == 1).then_some(()))
    })?;
    let status = logctl(folder.path(), &["status"])?.expect_code(0)?;
    ensure!(
        status.stdout.contains("did not stop cleanly"),
        "{}",
        status.stdout
    );
    let third = Logd::start(folder.path())?;
    wait::until("its place is taken", || Ok((silent()? == 0).then_some(())))?;
    // One that is stopped ends its heartbeats cleanly.
    third.terminate()?;
    let replicas = logctl(folder.path(), &["status", "-o", "json"])?.json()?;
    let dev = |one: &&serde_json::Value| one["log"] == "dev";
    let live = replicas["replicas"]
        .as_array()
        .map(|all| all.iter().filter(dev).count());
    ensure!(
        live == Some(1) && replicas["silent"].is_null(),
        "{replicas}"
    );
    drop(first);
    Ok(())
}
