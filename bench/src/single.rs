//! One writer, one write in flight: the price of one durable commit, next to what the disk itself takes in the same run.

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use tests::load::{Load, Plan, limited};
use tests::process::Logd;

use crate::disk::fdatasync_us;
use crate::figures::{Figure, Options};

/// Measures the writer between two measurements of the disk.
pub(crate) fn measure(_: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let logd = Logd::start(&folder.path().join("log"))?;
    let writes = |count| {
        let plan = Plan {
            entries: limited("single", count),
            ..Plan::synthetic(logd.address, 1, "")
        };
        Load::start(plan).finish()
    };
    // The first writes open files and connections; they tell nothing about the others.
    writes(200)?;
    let mut disk = fdatasync_us(folder.path(), 1000)?;
    let report = writes(4000)?;
    disk.add(fdatasync_us(folder.path(), 1000)?)?;
    ensure!(
        report.failed() == 0,
        "a write failed: {:?}",
        report.complaints
    );
    ensure!(
        disk.value_at_quantile(0.5) > 0,
        "{} is in memory: set TMPDIR to a folder on a disk",
        folder.path().display()
    );
    let mut writer = Histogram::<u64>::new(3)?;
    for write in report.all() {
        writer.record(write.took_us.into())?;
    }
    let ms =
        |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Ok(vec![
        Figure::plain("fdatasync p50 in the same run", ms(&disk, 0.5), "ms"),
        Figure::plain("one writer p50", ms(&writer, 0.5), "ms"),
        Figure::plain("one writer p99", ms(&writer, 0.99), "ms"),
        Figure::most(
            "one writer p50 / fdatasync p50",
            ms(&writer, 0.5) / ms(&disk, 0.5),
            "",
            2.5,
        ),
    ])
}
