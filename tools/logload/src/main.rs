//! The `logload` command. Everything is in the library, so that the generated files and the tests see the same thing.

use std::process::ExitCode;

fn main() -> ExitCode {
    logload::run(std::env::args_os())
}
