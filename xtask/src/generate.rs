//! Files that are made from the code and checked in, so that a change of the surface shows in review.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::run::root;

/// The path of the JSON schema of the configuration document.
const SCHEMA: &str = "docs/schema/logctl-v1.json";
/// The path of the OpenAPI document of the admin endpoint.
pub(crate) const OPENAPI: &str = "docs/openapi.json";

/// Every generated file: path below the workspace's root, and contents.
fn files() -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = logctl::generate::LOGCTL.files()?;
    files.extend(logload::PROGRAM.files()?);
    files.extend(crate::pictures::files()?);
    for (path, document) in [(SCHEMA, logconfig::schema()), (OPENAPI, wire::openapi())] {
        let mut text = serde_json::to_string_pretty(&document)?;
        text.push('\n');
        files.push((path.into(), text.into_bytes()));
    }
    Ok(files)
}

/// Writes what is not current.
pub(crate) fn write() -> Result<bool> {
    for (path, contents) in files()? {
        let whole = root().join(&path);
        if std::fs::read(&whole).ok().as_ref() == Some(&contents) {
            continue;
        }
        if let Some(folder) = whole.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&whole, contents).with_context(|| whole.display().to_string())?;
        println!("wrote {}", path.display());
    }
    Ok(true)
}

/// Whether all are current; names those that are not.
pub(crate) fn current() -> Result<bool> {
    let mut current = true;
    for (path, contents) in files()? {
        if std::fs::read(root().join(&path)).ok().as_ref() != Some(&contents) {
            println!(
                "{} is not current: run `cargo xtask generate`",
                path.display()
            );
            current = false;
        }
    }
    Ok(current)
}
