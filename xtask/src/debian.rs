//! Debian packages that some checks need: installed when this is a Debian machine and we may, otherwise said so.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};

use crate::run::{installed, succeeds, target};

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

/// The folder with the programs of a package of Debian's unstable suite, unpacked and not installed: for test programs that
/// this release does not have. Only for packages that need nothing but the C library.
///
/// # Errors
/// When this is no Debian machine, or the package can't be had.
pub(crate) fn unpacked(package: &str, program: &str) -> Result<PathBuf> {
    let folder = target().join("debian").join(package);
    let programs = folder.join("root/usr/bin");
    if programs.join(program).is_file() {
        return Ok(programs);
    }
    if !installed("apt-get") || !installed("dpkg-deb") || !rustix::process::geteuid().is_root() {
        bail!("{package}: fetching it needs Debian and root");
    }
    let sources = std::fs::read_to_string("/etc/apt/sources.list.d/debian.sources")
        .context("this machine's package sources")?;
    let mirror = sources
        .lines()
        .find_map(|line| line.strip_prefix("URIs: "))
        .context("a mirror in this machine's package sources")?;
    for part in ["lists/partial", "cache/archives/partial", "root"] {
        std::fs::create_dir_all(folder.join(part))?;
    }
    let list = folder.join("unstable.list");
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    std::fs::write(
        &list,
        format!("deb [signed-by={keyring}] {mirror} sid main\n"),
    )?;
    // Lists and caches of its own: the machine's packages stay what they are.
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.current_dir(&folder).arg("-q");
        for option in [
            format!("Dir::Etc::sourcelist={}", list.display()),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={}", folder.join("lists").display()),
            format!("Dir::Cache={}", folder.join("cache").display()),
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        succeeds(command.args(words))
    };
    if !apt(&["update"])? || !apt(&["download", package])? {
        bail!("{package} can't be downloaded");
    }
    let archive = std::fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("no archive of {package}"))?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(archive).arg(folder.join("root"));
    if !succeeds(&mut unpack)? || !programs.join(program).is_file() {
        bail!("{package} has no {program}");
    }
    Ok(programs)
}
