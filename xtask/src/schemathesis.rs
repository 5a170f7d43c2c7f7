//! The admin endpoint compared with its OpenAPI document, by schemathesis: it reads the document from a running server and
//! sends what the document allows, and what it does not.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::python;
use crate::run::{cargo, root, succeeds, target};

const PACKAGE: &str = "schemathesis==4.32.5";

/// How many requests are made up for each operation, unless somebody wants more: for less than a minute.
pub(crate) const EXAMPLES: u64 = 60;

/// Makes sure that schemathesis is there, and returns its path.
///
/// # Errors
/// When it can't be installed: no Python, no network.
pub(crate) fn install() -> Result<PathBuf> {
    Ok(python::install(PACKAGE, &[])?.join("schemathesis"))
}

/// Builds `logd` and compares its endpoint with the document.
pub(crate) fn run(examples: u64) -> Result<bool> {
    let program = install()?;
    let built = succeeds(cargo().args(["build", "--package", "logd"]))?;
    Ok(built && check(&program, examples)?)
}

/// Whether the endpoint of the `logd` that was built is as its document says.
pub(crate) fn check(program: &Path, examples: u64) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(&target().join("debug/logd"), folder.path())?;
    let token = std::fs::read_to_string(folder.path().join("admin.token"))?;
    let mut run = Command::new(program);
    run.args(["--no-color", "--config-file"])
        .arg(root().join("xtask/schemathesis.toml"))
        .arg("run")
        .args(["--max-examples", &examples.to_string()])
        .args(["--generation-database", "none"])
        // The same requests each time: what a run finds must not depend on luck. More examples find more.
        .args(["--seed", "1"])
        .arg("--tls-verify")
        .arg(folder.path().join("admin-cert.pem"))
        .arg(format!("{}/admin/v1/openapi.json", server.admin))
        .env("ADMIN_TOKEN", token.trim())
        .current_dir(folder.path());
    succeeds(&mut run)
}

/// A `logd dev`; killed when dropped.
struct Server {
    child: Child,
    admin: String,
}

impl Server {
    fn start(logd: &Path, folder: &Path) -> Result<Self> {
        let errors = File::create(folder.join("logd.stderr"))?;
        let child = Command::new(logd)
            .args(["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--dir")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| logd.display().to_string())?;
        let mut server = Self {
            child,
            admin: String::new(),
        };
        let stdout = server.child.stdout.take().context("stdout is a pipe")?;
        for line in BufReader::new(stdout).lines() {
            if let Some(admin) = admin_of(&line?) {
                server.admin = admin;
                return Ok(server);
            }
        }
        bail!(
            "logd ended before it was ready: {}",
            std::fs::read_to_string(folder.join("logd.stderr"))?
        )
    }
}

/// `logd ready: …, admin https://127.0.0.1:PORT, …`.
fn admin_of(line: &str) -> Option<String> {
    let (_, rest) = line.strip_prefix("logd ready: ")?.split_once("admin ")?;
    let url = rest.split([',', ' ']).next()?;
    Some(url.to_owned())
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_the_admin_endpoint() {
        let line = "logd ready: log dev at http://127.0.0.1:1/dev, admin https://127.0.0.1:2, contexts in /d/logctl.toml";
        assert_eq!(admin_of(line).as_deref(), Some("https://127.0.0.1:2"));
        assert_eq!(admin_of("another line, admin https://x"), None);
    }
}
