//! Programs from the Python package index, each in a virtual environment of its own below the target folder.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::debian;
use crate::run::{succeeds, target};

/// Makes sure that a package is there, with what it needs beside it; answers the folder with its programs.
///
/// # Errors
/// When it can't be installed: no Python, no network.
pub(crate) fn install(package: &str, beside: &[&str]) -> Result<PathBuf> {
    let folder = target().join(package.replace("==", "-").replace(['[', ']'], "-"));
    let programs = folder.join("bin");
    let complete = folder.join(".complete");
    if complete.exists() {
        return Ok(programs);
    }
    need_venv()?;
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&folder);
    ensure!(succeeds(&mut venv)?, "no virtual environment could be made");
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", package])
        .args(beside);
    ensure!(succeeds(&mut pip)?, "{package} could not be installed");
    File::create(complete)?;
    Ok(programs)
}

/// Makes sure that virtual environments can be made. `venv` alone is there on Debian without the part that makes one with pip.
///
/// # Errors
/// When it is missing and can't be installed; the text says what to do.
pub(crate) fn need_venv() -> Result<()> {
    debian::need_package("python3-venv", || {
        let check = ["-c", "import ensurepip, venv"];
        succeeds(Command::new("python3").args(check)).unwrap_or(false)
    })
}
