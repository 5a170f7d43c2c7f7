//! The disk itself, measured in the same run: what a durable write costs before any of our code.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use hdrhistogram::Histogram;

/// Microseconds of `fdatasync` after a 4 KiB write that overwrites a file in place, as a write-ahead log does.
pub(crate) fn fdatasync_us(folder: &Path, rounds: u32) -> Result<Histogram<u64>> {
    const BLOCK: usize = 4096;
    const BLOCKS: u64 = 256;
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&vec![1; BLOCK * BLOCKS as usize])?;
    file.sync_all()?;
    let mut times = Histogram::new(3)?;
    for round in 0..u64::from(rounds) {
        let begin = Instant::now();
        rustix::io::pwrite(&file, &[round as u8; BLOCK], round % BLOCKS * BLOCK as u64)?;
        rustix::fs::fdatasync(&file)?;
        times.record(begin.elapsed().as_micros() as u64)?;
    }
    Ok(times)
}
