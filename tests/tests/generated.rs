//! Files that are made from the code and checked in, so that a change of the surface shows in review. `cargo xtask generate` writes them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Set where what is not current is to be written.
const WRITE: &str = "GENERATE";

/// Every file: path below the workspace's root, and contents.
fn files() -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = logctl::generate::LOGCTL.files()?;
    files.extend(logload::PROGRAM.files()?);
    for (path, document) in [
        ("docs/schema/logctl-v1.json", logconfig::schema()),
        ("docs/openapi.json", wire::openapi()),
    ] {
        let mut text = serde_json::to_string_pretty(&document)?;
        text.push('\n');
        files.push((path.into(), text.into_bytes()));
    }
    Ok(files)
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "`cargo xtask generate` shows what it writes"
)]
fn generated_files_are_current() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let writes = std::env::var_os(WRITE).is_some();
    for (path, contents) in files()? {
        let whole = root.join(&path);
        let name = path.display();
        if std::fs::read(&whole).ok().as_ref() == Some(&contents) {
            continue;
        }
        ensure!(writes, "{name} is not current: run `cargo xtask generate`");
        if let Some(folder) = whole.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&whole, contents).with_context(|| name.to_string())?;
        println!("wrote {name}");
    }
    Ok(())
}
