//! The fuzz targets of `fuzz/`, where a nightly compiler and cargo-fuzz are. Everywhere else their twins have to do: the same
//! functions on what proptest makes up, among the tests of `config`, `rekor` and `tlog`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{root, succeeds, target};

pub(crate) const TARGETS: [&str; 6] = [
    "config",
    "plan",
    "note",
    "tile_path",
    "rekor_v1",
    "rekor_v2",
];
/// How long each is run.
pub(crate) const SECONDS: u64 = 10;

/// Whether they can be run here.
///
/// # Errors
/// When they can't; the text says what is missing.
pub(crate) fn install() -> Result<()> {
    let there = fuzz().arg("--version").output();
    if !there.is_ok_and(|output| output.status.success()) {
        bail!("no cargo-fuzz with a nightly compiler (`cargo +nightly install cargo-fuzz`)");
    }
    Ok(())
}

/// Runs one for so many seconds; false when it found something.
pub(crate) fn run(name: &str, seconds: u64) -> Result<bool> {
    let mut run = fuzz();
    run.arg("run")
        .arg("--target-dir")
        .arg(target().join("fuzz"))
        .arg(name);
    // What it finds goes into the first folder, what it begins with is in the second.
    let seeds = format!("fuzz/seeds/{name}");
    if root().join(&seeds).is_dir() {
        let corpus = format!("fuzz/corpus/{name}");
        std::fs::create_dir_all(root().join(&corpus))?;
        run.args([corpus, seeds]);
    }
    run.args(["--", &format!("-max_total_time={seconds}")]);
    succeeds(&mut run)
}

fn fuzz() -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo", "fuzz"])
        // The variables that cargo set for this build must not reach that one.
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(root());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_there() {
        for target in TARGETS {
            let folder = root().join("fuzz");
            let source = folder.join(format!("fuzz_targets/{target}.rs"));
            assert!(source.is_file(), "{}", source.display());
            assert!(folder.join(format!("src/{target}.rs")).is_file());
        }
    }
}
