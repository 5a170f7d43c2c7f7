//! Checks without a server: which users can read and write the files that decide where `logctl` connects, and under which name.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Check;
use crate::auth::secret;
use crate::error::Error;
use crate::exit;
use crate::settings::{Found, Login, Overrides, Settings};

pub(super) fn checks(overrides: &Overrides, settings: &Settings) -> Result<Vec<Check>, Error> {
    let found = Found::read(overrides.config.as_deref())?;
    let mut checks = vec![context(&found, settings)];
    let Some(endpoint) = &settings.admin else {
        return Ok(checks);
    };
    checks.push(match &endpoint.login {
        Login::File(path) => private("token-file", path),
        Login::Command(words) => Check::fine(
            "login",
            format!(
                "`{}` prints the token",
                words.first().map_or("", String::as_str)
            ),
        ),
        Login::Oidc(identity) => Check::fine(
            "login",
            format!("a session for an identity token of {}", identity.audience),
        ),
        Login::None if endpoint.certificate.is_some() => {
            Check::fine("login", "the client certificate")
        }
        Login::None => Check::fine("login", "the user id on the socket, or nothing"),
    });
    if let Some(pair) = &endpoint.certificate {
        checks.push(private("client-key", &pair.key));
    }
    Ok(checks)
}

fn context(found: &Found, settings: &Settings) -> Check {
    let name = settings.context.as_deref().unwrap_or("none in use");
    let (Some(path), Some(_)) = (&found.path, &found.text) else {
        return Check::fine("context", format!("no file: {}", found.tried()));
    };
    let shown = path.display();
    match path.metadata() {
        // A user that can write it can choose where the token goes.
        Ok(metadata) if metadata.permissions().mode() & 0o022 != 0 => Check::harm(
            "context",
            format!(
                "others can write {shown} (mode {:04o})",
                metadata.permissions().mode() & 0o7777
            ),
            format!("run `chmod 600 {shown}`, and check that its content is still yours"),
        ),
        Ok(_) => Check::fine("context", format!("{name}, from {shown}")),
        Err(error) => Check::harm(
            "context",
            format!("{shown}: {error}"),
            "check the path and its permissions",
        ),
    }
}

fn private(check: &str, path: &Path) -> Check {
    match secret::read_private("the file", path) {
        Ok(bytes) if bytes.trim_ascii().is_empty() => Check::harm(
            check,
            format!("{} is empty", path.display()),
            "put the secret into it",
        ),
        Ok(_) => Check::fine(check, format!("{} is its owner's alone", path.display())),
        Err(error) => Check::harm(check, error.to_string(), exit::row(&error).hint),
    }
}
