//! The runtimes that commands run in, and the limits of the system that a process needs changed.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;
use crate::exit::Ended;

/// How long tasks that outlive the server's own stop may take.
const LEFTOVERS: Duration = Duration::from_secs(2);
/// Threads for blocking work: as many as the stores run at once, and some for the rest.
const BLOCKING: usize = 64;
/// How long such a thread stays idle before it ends.
const IDLE: Duration = Duration::from_secs(3600);

/// Runs a server in the data plane's runtime.
pub(super) fn with_runtime<T: Into<Ended>>(
    server: impl Future<Output = Result<T, Error>>,
) -> Result<Ended, Error> {
    raise_descriptor_limit();
    let failed = |source| Error::System {
        what: "cannot start the runtime",
        source,
    };
    // One core is left to the threads of the stores: with a worker on every core they wait for each other.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.saturating_sub(1).max(1))
        .thread_name("data")
        // The allocator keeps a heap for each thread: few that stay, not many that come and go.
        .max_blocking_threads(BLOCKING)
        .thread_keep_alive(IDLE)
        .enable_all()
        .build()
        .map_err(failed)?;
    outlive_file_limit(&runtime)?;
    let outcome = runtime.block_on(server);
    runtime.shutdown_timeout(LEFTOVERS);
    outcome.map(Into::into)
}

/// Runs a command that serves no clients.
pub(crate) fn with_small_runtime<T>(
    command: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let failed = |source| Error::System {
        what: "cannot start the runtime",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    outlive_file_limit(&runtime)?;
    runtime.block_on(command)
}

/// A write over the limit on the size of files (`ulimit -f`) kills a process that does not listen for this signal. To one that
/// listens the write fails, as on a full disk. The listening outlives its receiver.
fn outlive_file_limit(runtime: &tokio::runtime::Runtime) -> Result<(), Error> {
    let _inside = runtime.enter();
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    signal(kind).map(drop).map_err(|source| Error::System {
        what: "cannot listen for signals",
        source,
    })
}

/// Many connections need many descriptors; a lower limit only means fewer connections.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
}
