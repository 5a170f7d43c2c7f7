//! The demo and the benchmarks run on optimised binaries, and so does the program that drives them.

use anyhow::Result;

use crate::debian;
use crate::run::{cargo, root, succeeds};

pub(crate) fn demo(entries: Option<u64>) -> Result<bool> {
    drive(
        "demo",
        &entries
            .map(|n| vec!["--entries".to_owned(), n.to_string()])
            .unwrap_or_default(),
    )
}

pub(crate) fn bench(arguments: &[String]) -> Result<bool> {
    for program in ["wrk", "strace"] {
        // The figures that need it say so themselves.
        if let Err(error) = debian::need(program) {
            println!("{error:#}");
        }
    }
    drive("bench", arguments)
}

fn drive(what: &str, arguments: &[String]) -> Result<bool> {
    let mut build = cargo();
    build.args([
        "build",
        "--release",
        "--package",
        "logd",
        "--package",
        "logctl",
        "--package",
        "logload",
        "--package",
        "bench",
    ]);
    if !succeeds(&mut build)? {
        return Ok(false);
    }
    let target: std::path::PathBuf =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let folder = target.join("release");
    let mut command = std::process::Command::new(folder.join("bench"));
    command
        .arg(what)
        .args(arguments)
        .env("TESTS_BINARIES", &folder);
    Ok(command.status()?.success())
}
