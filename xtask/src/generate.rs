//! Files that are made from the code and checked in, so that a change of the surface shows in review: those that need no crate of the
//! product are made here, and the others by `tests/tests/generated.rs`.

use anyhow::{Context as _, Result};

use crate::run::{root, succeeds};
use crate::{pictures, test};

/// The path of the OpenAPI document of the admin endpoint.
pub(crate) const OPENAPI: &str = "docs/openapi.json";

/// Writes what is not current.
pub(crate) fn write() -> Result<bool> {
    for (path, contents) in pictures::files()? {
        let whole = root().join(&path);
        if std::fs::read(&whole).ok().as_ref() == Some(&contents) {
            continue;
        }
        std::fs::write(&whole, contents).with_context(|| whole.display().to_string())?;
        println!("wrote {}", path.display());
    }
    let mut others = test::whole();
    others.args(["--test", "generated", "--", "--nocapture"]);
    succeeds(others.env("GENERATE", "1"))
}

/// Whether the pictures are current; names those that are not. The other files are compared by a test.
pub(crate) fn current() -> Result<bool> {
    let mut current = true;
    for (path, contents) in pictures::files()? {
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
