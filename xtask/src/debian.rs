//! Debian packages that some checks need: installed when this is a Debian machine and we may, otherwise said so.

use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Result, bail};

use crate::run::{installed, succeeds};

/// Makes sure that a program is there, by installing the package of the same name.
///
/// # Errors
/// When it is missing and can't be installed; the text says what to do.
pub(crate) fn need(program: &str) -> Result<()> {
    need_package(program, || installed(program))
}

/// Makes sure that something is there, by installing the package that brings it.
///
/// # Errors
/// When it is missing and can't be installed; the text says what to do.
pub(crate) fn need_package(package: &str, there: impl Fn() -> bool) -> Result<()> {
    if there() {
        return Ok(());
    }
    if !installed("apt-get") || !rustix::process::geteuid().is_root() {
        bail!("{package} is not installed: install it, or run as root on Debian");
    }
    static LISTS: OnceLock<bool> = OnceLock::new();
    if !*LISTS
        .get_or_init(|| succeeds(Command::new("apt-get").args(["update", "-q"])).unwrap_or(false))
    {
        println!("apt-get update failed; going on with the package lists that are here");
    }
    let mut install = Command::new("apt-get");
    install
        .args(["install", "-q", "-y", "--no-install-recommends", package])
        .env("DEBIAN_FRONTEND", "noninteractive");
    if !succeeds(&mut install)? || !there() {
        bail!("{package} could not be installed");
    }
    Ok(())
}
