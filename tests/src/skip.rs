//! Skipping loudly: what could not be checked is said on stderr and counted, never silently passed over.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Names the file that collects one line per skipped check; `cargo xtask test` sets it and counts the lines.
pub const LIST: &str = "TESTS_SKIP_LIST";

/// Records that `check` was skipped, and why.
#[expect(
    clippy::print_stderr,
    reason = "a skipped check must be seen in the test output"
)]
pub fn skip(check: &str, why: &str) {
    let line = format!("SKIPPED {check}: {why}\n");
    eprint!("{line}");
    if let Some(path) = std::env::var_os(LIST) {
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            eprintln!("the skip could not be counted: {error}");
        }
    }
}

/// A number from the environment, for campaigns whose length is a choice; `default` when it is not set or not a number.
pub fn campaign(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
