//! The disk itself, measured in the same run: what a durable write costs before any of our code.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;

const BLOCK: usize = 4096;
const BLOCKS: u64 = 256;
/// Between two syncs of a [`Probe`]: seldom enough to be no load.
const SYNC_POLL: Duration = Duration::from_millis(20);

fn file(folder: &Path) -> Result<File> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&vec![1; BLOCK * BLOCKS as usize])?;
    file.sync_all()?;
    Ok(file)
}

fn sync(file: &File, round: u64, times: &mut Histogram<u64>) -> Result<()> {
    let begin = Instant::now();
    rustix::io::pwrite(file, &[round as u8; BLOCK], round % BLOCKS * BLOCK as u64)?;
    rustix::fs::fdatasync(file)?;
    Ok(times.record(begin.elapsed().as_micros() as u64)?)
}

/// Microseconds of `fdatasync` after a 4 KiB write that overwrites a file in place, as a write-ahead log does.
pub(crate) fn fdatasync_us(folder: &Path, rounds: u32) -> Result<Histogram<u64>> {
    let (file, mut times) = (file(folder)?, Histogram::new(3)?);
    (0..u64::from(rounds)).try_for_each(|round| sync(&file, round, &mut times))?;
    Ok(times)
}

/// The same measurement now and then, beside other load: what no durable write can be faster than at that time.
pub(crate) struct Probe {
    stop: Sender<()>,
    thread: JoinHandle<Result<Histogram<u64>>>,
}

impl Probe {
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let file = file(folder)?;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut times = Histogram::new(3)?;
            let mut rounds = 0..;
            while stopped.recv_timeout(SYNC_POLL) == Err(RecvTimeoutError::Timeout) {
                sync(&file, rounds.next().unwrap_or(0), &mut times)?;
            }
            Ok(times)
        });
        Ok(Self { stop, thread })
    }

    /// Microseconds of each sync.
    pub(crate) fn stop(self) -> Result<Histogram<u64>> {
        drop(self.stop);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow!("the thread that syncs panicked"))?
    }
}
