//! Structured logs, on standard error only: standard output belongs to the ready line.
//!
//! What must never happen: a line that cannot be written (the reader of a pipe is gone, a disk is full, the journal hangs)
//! delays or stops the server. So one thread writes, nothing waits for it, and lines that it cannot write are dropped and counted.

use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// The filter without `LOGD_LOG` and `[log] filter`. A final failure at an object store is logged by `logd`, once; not each request that is
/// retried.
const FILTER: &str = "info,object_store=warn";
/// The environment variable that overrides the settings.
const VARIABLE: &str = "LOGD_LOG";
/// Lines that wait to be written.
const WAITING: usize = 4096;
/// How long the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(1);

static LINES: OnceLock<SyncSender<Line>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

enum Line {
    Text(Vec<u8>),
    /// Told when everything before it is written.
    Flush(SyncSender<()>),
}

/// Sends a line to the thread that writes, or drops it.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = LINES
            .get()
            .map(|lines| lines.try_send(Line::Text(bytes.to_vec())));
        if !matches!(sent, Some(Ok(()))) {
            DROPPED.fetch_add(1, Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines as they come, until all senders are dropped.
fn write_all(lines: &Receiver<Line>, out: &mut impl Write) {
    for line in lines {
        match line {
            Line::Flush(done) => drop(done.try_send(())),
            Line::Text(text) => {
                let dropped = DROPPED.load(Relaxed);
                if dropped > 0 {
                    let note = format!("logd: {dropped} log lines were dropped\n");
                    if out.write_all(note.as_bytes()).is_ok() {
                        DROPPED.fetch_sub(dropped, Relaxed);
                    }
                }
                if out.write_all(&text).is_err() {
                    DROPPED.fetch_add(1, Relaxed);
                }
            }
        }
    }
}

/// Installs the subscriber of this process. `LOGD_LOG` takes the usual filter (`debug`, `engine=debug`); without it, that of the settings is used.
pub(crate) fn start(format: LogFormat) {
    let (lines, received) = sync_channel(WAITING);
    let write = move || write_all(&received, &mut io::stderr());
    let spawned = std::thread::Builder::new()
        .name("stderr".to_owned())
        .spawn(write);
    // Without the thread there are no lines, and the server runs.
    if spawned.is_ok() {
        let _ = LINES.set(lines);
    }
    let (filter, bad) = filter(None);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Lines)
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal());
    // An error of `try_init` says that a subscriber is installed already, and then that one is used.
    let set: SetFilter = match format {
        LogFormat::Text => {
            let lines = lines.with_target(false).with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.try_init();
            Box::new(move |filter| handle.reload(filter).map_err(|e| e.to_string()))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.try_init();
            Box::new(move |filter| handle.reload(filter).map_err(|e| e.to_string()))
        }
    };
    let _ = SET_FILTER.set(set);
    if let Some(bad) = bad {
        tracing::warn!("{bad}");
    }
}

/// Sets which lines are written from now on, unless the environment does.
pub(crate) fn set_filter(settings: Option<&str>) {
    let (filter, bad) = filter(settings);
    let outcome = SET_FILTER.get().map_or(Ok(()), |set| set(filter));
    for problem in bad.into_iter().chain(outcome.err()) {
        tracing::warn!("{problem}");
    }
}

/// Checks that a text is a filter; the error says why it is none.
pub(crate) fn check_filter(text: &str) -> Result<(), String> {
    let parsed = EnvFilter::builder().parse(text);
    parsed.map(drop).map_err(|e| e.to_string())
}

fn filter(settings: Option<&str>) -> (EnvFilter, Option<String>) {
    let said = std::env::var(VARIABLE).ok();
    let said = said.filter(|said| !said.is_empty());
    let (place, text) = match (&said, settings) {
        (Some(text), _) => (VARIABLE, text.as_str()),
        (None, Some(text)) => ("[log] filter", text),
        (None, None) => return (EnvFilter::new(FILTER), None),
    };
    match EnvFilter::builder().parse(text) {
        Ok(filter) => (filter, None),
        Err(error) => {
            let bad = format!("{place} is not a filter and is left aside: {error}");
            (EnvFilter::new(FILTER), Some(bad))
        }
    }
}

/// Waits a moment until the logged lines are written; the end of the process does not wait for them.
pub(crate) fn flush() {
    let (done, told) = sync_channel(1);
    let Some(lines) = LINES.get() else { return };
    match lines.try_send(Line::Flush(done)) {
        Ok(()) => drop(told.recv_timeout(LAST)),
        // Nobody reads, so there is nothing to wait for.
        Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that fails until it is repaired.
    struct Broken(u32, Vec<u8>);

    impl Write for Broken {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 > 0 {
                self.0 -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_cannot_be_written_is_dropped_and_counted() {
        let (lines, received) = sync_channel(8);
        for text in ["one\n", "two\n", "three\n"] {
            lines.try_send(Line::Text(text.into())).unwrap();
        }
        drop(lines);
        // The first line, then the note about it and the second.
        let mut out = Broken(3, Vec::new());
        write_all(&received, &mut out);
        let text = String::from_utf8(out.1).unwrap();
        assert_eq!(text, "logd: 2 log lines were dropped\nthree\n");
        assert_eq!(DROPPED.load(Relaxed), 0);
    }

    #[test]
    fn a_filter_is_checked() {
        assert!(check_filter("info,engine=debug").is_ok());
        assert!(check_filter("log=loud").is_err());
    }
}
