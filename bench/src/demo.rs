//! The demo: a log of the Debian archive. Real entries, real commands, rotations while writers write, and at the end
//! nobody has to believe anything: an auditor that shares no code with the product has checked all of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use logconfig::text::grouped;
use tests::auditor::Auditor;
use tests::dataset::{self, Origin};
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, logctl};
use tests::proof::Proof;
use tests::{verify, wait};

use crate::table::plain;

const CONNECTIONS: u32 = 64;
const ROTATIONS: u64 = 5;

/// Runs it; an error when anything is off.
pub(crate) fn run(entries: Option<u64>) -> Result<()> {
    let (origin, packages) = dataset::packages()?;
    let packages = Arc::new(packages);
    let total = entries.unwrap_or(packages.len() as u64);
    let per_rotation = total / (ROTATIONS + 1);
    ensure!(
        per_rotation > u64::from(CONNECTIONS),
        "{total} entries are too few to rotate {ROTATIONS} times in between"
    );
    let folder = tempfile::Builder::new().prefix("logd-demo-").tempdir()?;
    let at = folder.path();

    step("start a log");
    let begin = Instant::now();
    let logd = Logd::start(at)?;
    note(&format!(
        "logd dev serves http://{}/dev after {}",
        logd.address,
        ms(begin.elapsed())
    ));

    let source = match origin {
        Origin::ThisMachine => "this machine's package index (apt-cache dumpavail)",
        Origin::Sample => "the sample of Debian's package index",
    };
    step(&format!(
        "write {} entries over {CONNECTIONS} connections",
        grouped(total)
    ));
    note(&format!(
        "{source}, one package a line: name, version, architecture, sha256"
    ));
    let lines = packages.clone();
    let line = move |connection: u32, sequence: u32, out: &mut Vec<u8>| {
        let n = u64::from(sequence) * u64::from(CONNECTIONS) + u64::from(connection);
        out.extend_from_slice(entry(&lines, n).as_bytes());
        n < total
    };
    let plan = Plan {
        entries: Arc::new(line),
        ..Plan::synthetic(logd.address, CONNECTIONS, "")
    };
    let load = Load::start(plan);
    let mut rotations = Vec::new();
    for n in 1..=ROTATIONS {
        load.reach(per_rotation * n)?;
        rotations.push(rotate(at, n)?);
    }
    let report = load.finish()?;
    let (took, failed) = (report.took, report.failed());
    ensure!(
        failed == 0,
        "{failed} writes failed: {:?}",
        report.complaints
    );
    ensure!(
        report.acknowledged() == total,
        "{} of {total} entries were acknowledged",
        report.acknowledged()
    );
    let rate = total as f64 / took.as_secs_f64();
    note(&format!(
        "all acknowledged after {:.1} s: {} writes/s",
        took.as_secs_f64(),
        grouped(rate as u64)
    ));

    step("freeze the log, and unfreeze it");
    logctl(at, &["shard", "freeze", "--yes"])?.expect_code(0)?;
    let refused = logd
        .http()
        .post("/dev/add", &[], b"too late")?
        .expect_status(409)?;
    note(&format!(
        "while frozen a writer gets: 409 {}",
        refused.text().trim_end()
    ));
    logctl(at, &["shard", "unfreeze", "--yes"])?.expect_code(0)?;
    let index = logd.add(b"the demo was here")?;
    ensure!(
        index == total,
        "the entry after the freeze got index {index}"
    );
    note(&format!(
        "unfrozen, the next entry gets index {}",
        grouped(index)
    ));
    logd.settled()?;

    step("verify everything from outside");
    let verified = logctl(at, &["shard", "verify"])?.expect_code(0)?;
    print!("{}", indented(&verified.stdout));
    let mut ledger = Ledger::default();
    ledger.add(report)?;
    let audited = verify::whole(&logd, &mut Auditor::default(), &mut ledger)?;
    ensure!(audited.entries == total + 1, "{audited:?}");
    ensure!(audited.seals as u64 == ROTATIONS, "{audited:?}");
    note(&format!(
        "a second auditor, which shares no code with logctl, agrees: {} entries, {} tiles, {} seals;",
        grouped(audited.entries),
        grouped(audited.tiles),
        audited.seals
    ));
    note("every acknowledged entry is at its index, and none is there twice");
    prove(&logd, &packages, total)?;

    step("stop, and check the disk");
    ensure!(logd.terminate()?.success(), "logd did not stop well");
    verify::clean(at)?;
    note("logd fsck is clean");

    println!();
    let slowest = rotations.iter().max().copied().unwrap_or_default();
    let all = rotations
        .iter()
        .map(|took| ms(*took))
        .collect::<Vec<_>>()
        .join(", ");
    let rows = [
        ("entries", grouped(audited.entries)),
        ("shards", audited.shards.to_string()),
        ("failed writes", failed.to_string()),
        ("rotations", all),
        ("slowest rotation", ms(slowest)),
        ("rate", format!("{} writes/s", grouped(rate as u64))),
    ];
    print!(
        "{}",
        plain(
            &["result", ""],
            &rows.map(|(name, value)| vec![name.to_owned(), value])
        )
    );
    Ok(())
}

/// The entry number `n`: the index is repeated, marked, when it has fewer lines.
fn entry(packages: &[String], n: u64) -> String {
    let count = packages.len() as u64;
    let line = &packages[(n % count) as usize];
    match n / count {
        0 => line.clone(),
        round => format!("{line}\t#{round}"),
    }
}

/// One rotation through `logctl`, in one of the ways there are.
fn rotate(at: &Path, n: u64) -> Result<Duration> {
    let file = at.join("next.yaml");
    let file = file.to_str().context("a temporary path is UTF-8")?;
    let how = match n {
        2 => {
            logctl(at, &["shard", "plan", "--yes"])?.expect_code(0)?;
            "planned first, then logctl shard rotate"
        }
        3 => {
            logctl(at, &["shard", "--create-config", file])?.expect_code(0)?;
            "logctl shard --create-config next.yaml, --use-config next.yaml"
        }
        _ => "logctl shard rotate",
    };
    let begin = Instant::now();
    let command: &[&str] = if n == 3 {
        &["shard", "--use-config", file]
    } else {
        &["shard", "rotate"]
    };
    let done = logctl(at, &[command, &["--yes", "-o", "json"]].concat())?
        .expect_code(0)?
        .json()?;
    let took = begin.elapsed();
    let index = done["operation"]["atIndex"]
        .as_u64()
        .with_context(|| format!("where it took effect: {done}"))?;
    note(&format!(
        "rotation {n} at index {}, {}: {how}",
        grouped(index),
        ms(took)
    ));
    Ok(took)
}

/// Proves one package's entry to whoever trusts nothing but the shard's key.
fn prove(logd: &Logd, packages: &[String], total: u64) -> Result<()> {
    let position = packages
        .iter()
        .position(|line| line.starts_with("bash\t"))
        .unwrap_or(packages.len() / 2);
    ensure!(
        (position as u64) < total,
        "the package to prove was not written"
    );
    let line = &packages[position];
    // Connections overtake each other, so the entry is near its position, not at it.
    let shards = logd.shards()?;
    let mut http = logd.http();
    let mut found = None;
    Auditor::default().audit(&mut logd.served(), &shards, |entry| {
        if entry.bytes == line.as_bytes() {
            found = Some(entry.index);
        }
        Ok(())
    })?;
    let index = found.with_context(|| format!("{line:?} is not in the log"))?;
    step("prove one package's entry");
    let proof = wait::until("the proof", || {
        let proof = Proof::fetch(&mut http, index)?;
        Ok(proof.checkpoint.is_some().then_some(proof))
    })?;
    let head = proof.check(line.as_bytes(), &shards)?;
    note(&line.replace('\t', "  "));
    note(&format!(
        "is leaf {} of {} in shard {}: {} hashes lead to the signed root {}",
        grouped(proof.leaf_index),
        grouped(head.size),
        proof.shard,
        proof.inclusion_proof.map_or(0, |hashes| hashes.len()),
        head.root
    ));
    Ok(())
}

fn step(what: &str) {
    println!("\n{what}");
}

fn note(what: &str) {
    println!("  {what}");
}

fn indented(text: &str) -> String {
    let lines = text.trim_end().lines();
    lines
        .map(|line| format!("{}\n", format!("  {line}").trim_end()))
        .collect()
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}
