//! End-to-end tests over the real binaries. Each test has a folder and ports of its own, and ends with an audit from
//! outside: what is promised to writers and readers is checked where they stand.

mod advice;
mod announce;
mod attack;
mod authority;
mod backups;
mod bad_config;
mod bad_input;
mod basic;
mod batches;
mod certificates;
mod changes;
mod commits;
mod convergence;
mod copies;
mod corruption;
mod damaged;
mod faults;
mod freeze;
mod full_disk;
mod https;
mod identity;
mod import_rekor;
mod imports;
mod keys;
mod kill;
mod lifecycle;
mod limits;
mod load;
mod logins;
mod merge;
mod old_rekor;
mod older;
mod partitions;
mod promises;
mod qos_admin;
mod replicas;
mod resources;
mod restores;
mod rotation;
mod secondaries;
mod shutdown;
mod sigstore;
mod stores;
mod trail;
mod watching;
mod witnesses;

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tests::auditor::{Audited, Auditor};
use tests::ledger::Ledger;
use tests::load::Report;
use tests::process::{Logd, Ran, logctl};

/// The result of a test.
type Done = Result<()>;

/// A folder for one log.
fn folder() -> Result<tempfile::TempDir> {
    Ok(tempfile::Builder::new().prefix("logd-e2e-").tempdir()?)
}

/// Runs `logctl` with the words of a line, and expects this exit code.
fn run(at: &Path, line: &str, code: i32) -> Result<Ran> {
    let words: Vec<&str> = line.split(' ').collect();
    logctl(at, &words)?
        .expect_code(code)
        .with_context(|| line.to_owned())
}

/// The JSON result of a `logctl` command that succeeds.
fn does(at: &Path, line: &str) -> Result<Value> {
    run(at, &format!("{line} -o json"), 0)?.json()
}

/// Audits the whole log against what these runs were told.
fn audit(logd: &Logd, reports: impl IntoIterator<Item = Report>) -> Result<Audited> {
    let mut ledger = Ledger::default();
    for report in reports {
        ledger.add(report)?;
    }
    tests::verify::whole(logd, &mut Auditor::default(), &mut ledger)
}
