//! Files that are made from the code and checked in, so that a change of the surface shows in review. `cargo xtask generate` writes them, and deletes
//! those that nothing makes any more.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Set where what is not current is to be written.
const WRITE: &str = "GENERATE";
/// The folders that have generated files alone.
const FOLDERS: [&str; 2] = ["completions", "man"];

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

/// The files in the folders that nothing makes any more.
fn left_over(root: &Path, files: &[(PathBuf, Vec<u8>)]) -> Result<Vec<PathBuf>> {
    let mut left_over = Vec::new();
    for folder in FOLDERS {
        for entry in std::fs::read_dir(root.join(folder))? {
            let path = Path::new(folder).join(entry?.file_name());
            if !files.iter().any(|(made, _)| *made == path) {
                left_over.push(path);
            }
        }
    }
    Ok(left_over)
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "`cargo xtask generate` shows what it writes"
)]
fn generated_files_are_current() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let writes = std::env::var_os(WRITE).is_some();
    let files = files()?;
    for path in left_over(&root, &files)? {
        let name = path.display();
        ensure!(
            writes,
            "nothing makes {name} any more: run `cargo xtask generate`"
        );
        std::fs::remove_file(root.join(&path)).with_context(|| name.to_string())?;
        println!("deleted {name}");
    }
    for (path, contents) in files {
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
