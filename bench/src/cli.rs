//! `logctl` as a person feels it: how fast it starts, and how long a rotation takes from Enter to prompt.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use tests::process::{Logd, binary, logctl};

use crate::figures::{Figure, Options};

/// Measures both on a log without load.
pub(crate) fn measure(_: &Options) -> Result<Vec<Figure>> {
    let program = binary("logctl")?;
    let mut starts = Histogram::<u64>::new(3)?;
    for _ in 0..200 {
        let begin = Instant::now();
        let status = Command::new(&program)
            .arg("--version")
            .stdout(Stdio::null())
            .status()?;
        starts.record(begin.elapsed().as_micros() as u64)?;
        ensure!(status.success(), "logctl --version failed");
    }
    let size = stripped_mib(&program)?;
    let folder = tempfile::tempdir()?;
    let logd = Logd::start(folder.path())?;
    let mut rotations = Histogram::<u64>::new(3)?;
    for n in 0..30 {
        logd.add(format!("entry {n}").as_bytes())?;
        let begin = Instant::now();
        logctl(folder.path(), &["shard", "rotate", "--yes"])?.expect_code(0)?;
        rotations.record(begin.elapsed().as_micros() as u64)?;
    }
    let ms =
        |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Ok(vec![
        Figure::most("logctl, stripped", size, "MiB", 13.0),
        Figure::most("logctl --version p50", ms(&starts, 0.5), "ms", 10.0),
        Figure::plain("logctl --version p99", ms(&starts, 0.99), "ms"),
        Figure::most("logctl shard rotate p50", ms(&rotations, 0.5), "ms", 100.0),
        Figure::plain("logctl shard rotate p99", ms(&rotations, 0.99), "ms"),
    ])
}

/// The size of a copy without symbols.
fn stripped_mib(program: &Path) -> Result<f64> {
    let copy = tempfile::NamedTempFile::new()?;
    let status = Command::new("strip")
        .arg("-o")
        .arg(copy.path())
        .arg(program)
        .status()
        .context("run strip (Debian package binutils)")?;
    ensure!(status.success(), "strip failed");
    Ok(std::fs::metadata(copy.path())?.len() as f64 / f64::from(1 << 20))
}
