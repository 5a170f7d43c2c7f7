//! Exit codes, in one place, and the final message on standard error.
//!
//! 0 done, 1 failed, 2 usage (also bad settings and names), 6 `config check` found something, 12 `fsck` or `restore --check` found
//! something.

use std::io::Write as _;
use std::process::ExitCode;

use crate::error::Error;

/// How a command ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    /// `fsck` or `restore --check` found something wrong.
    Findings,
    /// `config check` found something.
    Refused,
}

impl From<()> for Ended {
    fn from((): ()) -> Self {
        Self::Done
    }
}

/// Maps the outcome to an exit code, and prints the error with its causes and its hint.
pub(crate) fn report(outcome: Result<Ended, Error>) -> ExitCode {
    crate::telemetry::flush();
    match outcome {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Findings) => ExitCode::from(12),
        Ok(Ended::Refused) => ExitCode::from(6),
        // clap has formatted it already, help and version included.
        Err(Error::Usage(usage)) => {
            let code = u8::try_from(usage.exit_code()).unwrap_or(2);
            match usage.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(1),
            }
        }
        Err(error) => {
            // A closed stderr must not turn one failure into another.
            let _ = writeln!(std::io::stderr().lock(), "logd: {}", sentence(&error));
            ExitCode::from(
                if matches!(
                    error,
                    Error::Settings(_)
                        | Error::Input { .. }
                        | Error::NotEmpty { .. }
                        | Error::Unconfirmed
                ) {
                    2
                } else {
                    1
                },
            )
        }
    }
}

/// The error, its causes, and the hint, as one text.
fn sentence(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str("\n  ");
        text.push_str(&hint);
    }
    text
}
