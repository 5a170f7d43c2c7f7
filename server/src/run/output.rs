//! What a process says on standard output: results, the halted logs, the ready line.

use std::io::Write as _;

use ::engine::Engine;

use crate::error::Error;
use crate::readiness::halted;

/// Writes to standard output, all of it.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| Error::System {
        what: "cannot write to standard output",
        source,
    })
}

/// Prints the ready line. If nobody reads it, the server serves anyway.
pub(crate) fn ready(line: &str) {
    if let Err(error) = print(line) {
        tracing::warn!(%error, "{}", line.trim_end());
    }
}

/// Names the halted logs, before the ready line: a supervisor that waits for the ready line has read these.
pub(crate) fn say_halted(engine: &Engine) {
    for (log, reason) in halted(engine) {
        ready(&format!(
            "logd halted: {log} takes no writes and signs nothing: {reason}\n"
        ));
    }
}
