//! Sigstore's own clients, for the tests that sign with them: `tests/sigstore/clients.sh` brings them into the target folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::run::{installed, succeeds, target};
use crate::{debian, python};

/// Makes sure that the clients are there; answers their folder.
///
/// # Errors
/// When this is no Debian machine, or a package can't be had.
pub(crate) fn install() -> Result<PathBuf> {
    let folder = target().join("sigstore");
    if !installed("apt-get") || !installed("dpkg-deb") {
        bail!("Sigstore's clients: fetching them needs Debian");
    }
    debian::need("npm")?;
    debian::need("openssl")?;
    python::need_venv()?;
    let mut clients = Command::new("bash");
    clients.arg("tests/sigstore/clients.sh").arg(&folder);
    ensure!(succeeds(&mut clients)?, "Sigstore's clients can't be had");
    Ok(folder)
}
