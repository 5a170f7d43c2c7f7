//! Failures of file operations, one at a time, injected by `strace` into the running server: no wrong state, and recovery on restart. The
//! failure is anywhere: at start, in a commit, in a tile, in a checkpoint, in a rotation.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use tests::auditor::Auditor;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, Start, logctl};
use tests::{skip, wait};

use crate::{Done, folder};

/// The system calls that fail, and the errors that a disk gives.
const FILE: [&str; 7] = [
    "fsync,fdatasync,syncfs",
    "pwrite64",
    "pread64",
    "openat",
    "rename,renameat,renameat2",
    "mkdir,mkdirat,unlink,unlinkat",
    "ftruncate,fallocate,fstat,newfstatat",
];
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];
/// Which call of a thread fails (`strace` counts for each thread).
const WHEN: [u32; 12] = [1, 2, 3, 4, 6, 9, 13, 19, 28, 41, 60, 90];

/// Whether faults can be injected here.
fn able() -> bool {
    let tried = std::process::Command::new("strace")
        .args(["-D", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "true"])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

/// The `n`th of all combinations, in an order in which neighbours differ in everything.
fn sample(n: u64) -> (&'static str, &'static str, u32) {
    const ALL: usize = FILE.len() * ERRORS.len() * WHEN.len();
    /// A prime that does not divide the number of combinations: every one comes up once in that many.
    const STRIDE: usize = 103;
    let at = n as usize * STRIDE % ALL;
    let (calls, rest) = (at % FILE.len(), at / FILE.len());
    (
        FILE[calls],
        ERRORS[rest % ERRORS.len()],
        WHEN[rest / ERRORS.len()],
    )
}

#[test]
fn every_combination_comes_up() {
    let all = (FILE.len() * ERRORS.len() * WHEN.len()) as u64;
    let seen: std::collections::HashSet<_> = (0..all).map(sample).collect();
    assert_eq!(seen.len() as u64, all);
}

/// One run with one failure; whether it was hit. The writers' answers are reported to the ledger.
fn run(
    at: &Path,
    name: &str,
    calls: &str,
    error: &str,
    when: u32,
    ledger: &mut Ledger,
) -> Result<bool> {
    let trace = tempfile::NamedTempFile::new()?;
    let wrapper = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        &trace.path().to_string_lossy(),
        "-e",
        &format!("trace={calls}"),
        "-e",
        &format!("inject={calls}:error={error}:when={when}"),
    ];
    let start = Start {
        wrapper: wrapper.map(str::to_owned).to_vec(),
        ..Start::default()
    };
    match Logd::start_as(at, &start) {
        Ok(logd) => {
            let load = Load::start(Plan {
                persist: true,
                ..Plan::synthetic(logd.address, 8, name)
            });
            // Either it copes, or it says no: both end this wait.
            let progress = |load: &Load, more: u64| {
                let goal = load.acknowledged() + more;
                wait::until("writes or refusals", || {
                    Ok((load.acknowledged() >= goal || load.failed() >= 40).then_some(()))
                })
            };
            progress(&load, 60)?;
            let rotated = logctl(at, &["shard", "rotate", "--yes", "--timeout", "3s"])?;
            ensure!(rotated.code != 1, "a bug: {rotated:?}");
            progress(&load, 60)?;
            let errors = logd.errors();
            logd.kill()?;
            ledger.add(load.stop()?)?;
            ensure!(!errors.contains("panicked"), "a panic: {errors}");
        }
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(
                text.contains("logd: ") && !text.contains("panicked"),
                "a clear error: {text}"
            );
        }
    }
    Ok(std::fs::read_to_string(trace.path())?.contains("(INJECTED)"))
}

fn campaign(from: u64, step: u64) -> Done {
    if !able() {
        skip::skip(
            "injected failures",
            "strace is not installed or may not trace",
        );
        return Ok(());
    }
    let mut folder = folder()?;
    let (mut auditor, mut ledger) = (Auditor::default(), Ledger::default());
    let (mut hit, mut runs, mut acknowledged) = (0, 0, 0);
    for n in (from..skip::campaign("TESTS_FAULTS", 12)).step_by(step as usize) {
        // Each log lives through some failures; then another one begins, since a long one only takes longer to audit.
        if runs % 12 == 11 {
            acknowledged += ledger.acknowledged();
            (auditor, ledger) = (Auditor::default(), Ledger::default());
            folder = crate::folder()?;
        }
        let (calls, error, when) = sample(n);
        let context = || format!("sample {n}: {error} from {calls}, call {when} of a thread");
        let injected = run(
            folder.path(),
            &format!("f{n}"),
            calls,
            error,
            when,
            &mut ledger,
        )
        .with_context(context)?;
        runs += 1;
        hit += u32::from(injected);
        // In every case it starts again, and all promised entries are there.
        if folder.path().join("logctl.toml").exists() {
            tests::verify::clean(folder.path()).with_context(context)?;
        }
        let logd = Logd::start(folder.path()).with_context(context)?;
        tests::verify::whole(&logd, &mut auditor, &mut ledger).with_context(context)?;
        logd.add(format!("after sample {n}").as_bytes())
            .with_context(context)?;
        logd.kill()?;
        tests::verify::clean(folder.path()).with_context(context)?;
    }
    if hit * 2 < runs {
        bail!("only {hit} of {runs} failures were hit: the campaign looks at too little");
    }
    acknowledged += ledger.acknowledged();
    ensure!(acknowledged > 0, "the load wrote something");
    Ok(())
}

#[test]
fn file_operations_fail_even() -> Done {
    campaign(0, 2)
}

#[test]
fn file_operations_fail_odd() -> Done {
    campaign(1, 2)
}
