//! Structured logs, on standard error only: standard output belongs to the ready line.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// Without `LOGD_LOG`. What fails for good at an object store is said by ourselves, once; not each request that is made again.
const FILTER: &str = "info,object_store=warn";

/// Installs the subscriber of this process. `LOGD_LOG` takes the usual filter (`debug`, `log=debug`); `info` without it.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("LOGD_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error here says that a subscriber is installed already, and then that one is used.
    let _ = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
