//! The simulated lives of `tests/simulation/`, a workspace of its own: its libraries have switches that no other build may have.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::run::{cargo, output, root, succeeds, target};
use crate::test::linted;

/// How many seconds of fresh lives each test run lives, and the arguments for each kind.
const FRESH: [(u64, &str); 2] = [(90, ""), (40, " --members")];

/// A cargo that works on that workspace.
fn inside() -> Command {
    let mut command = cargo();
    command
        .current_dir(root().join("tests/simulation"))
        .env("CARGO_TARGET_DIR", target().join("simulation"))
        // The folder's own settings count, not those of this build.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION");
    linted(&mut command);
    command
}

/// `cargo xtask simulate`; false when a life failed.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let mut lives = inside();
    lives.args(["run", "--release", "--quiet", "--"]);
    succeeds(lives.args(arguments))
}

/// Form, lints and unit tests of that workspace.
pub(crate) fn clean() -> Result<bool> {
    let format = succeeds(inside().args(["fmt", "--check"]))?;
    Ok(succeeds(inside().args(["test", "--release"]))? && format)
}

/// The lives that ever failed, then fresh ones; at last, whether the judge would notice a rule that is left out.
pub(crate) fn lives() -> Result<bool> {
    let kept = run(&["--kept".to_owned(), "--keep-going".to_owned()])?;
    let first = first_of(&tree().unwrap_or_else(now));
    let mut fresh = true;
    for (seconds, more) in FRESH {
        let words =
            format!("--from={first} --seeds=1000000 --seconds={seconds} --keep-going{more}");
        fresh &= run(&words.split(' ').map(str::to_owned).collect::<Vec<_>>())?;
    }
    let quick = ["--mutants", "--quick", "--seeds=20"].map(str::to_owned);
    let noticed = run(&quick)?;
    Ok(kept && fresh && noticed)
}

/// The commit's tree: each change has lives of its own, and a second run on it the same ones.
fn tree() -> Option<String> {
    output(
        Command::new("git")
            .current_dir(root())
            .args(["rev-parse", "HEAD^{tree}"]),
    )
    .ok()
}

/// Where there is no commit to name the lives.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("{:08x}", since.unwrap_or_default().as_secs())
}

/// The first of ten thousand seeds that belong to a hexadecimal name.
fn first_of(name: &str) -> u64 {
    let digits = name.get(..8).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or_default() * 10_000
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_has_seeds_of_its_own() {
        assert_eq!(super::first_of("0000002a9f"), 420_000);
        assert!(super::tree().is_none_or(|name| super::first_of(&name) > 0));
    }
}
