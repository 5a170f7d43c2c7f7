//! Files that only their owner can read: contexts, sessions, and state that is kept between runs.
//!
//! What must never happen: others can read such a file, or half of one has its final name, even for a moment.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// `$XDG_STATE_HOME/logctl`, the folder for state that is kept between runs; `None` without a home.
pub(crate) fn state_folder() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let state =
        set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("logctl"))
}

/// Holds the folder of `path` against other runs that ask for it too, until the result is dropped. The folder is made if it is missing.
pub(crate) fn hold(path: &Path) -> io::Result<File> {
    let folder = File::open(folder_of(path)?)?;
    folder.lock()?;
    Ok(folder)
}

/// The folder of a file, made with mode 0700 if it is missing.
fn folder_of(path: &Path) -> io::Result<PathBuf> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)?;
    Ok(folder)
}

/// An error where `path` is a link to something that is not there: that file is somewhere else, not gone.
pub(crate) fn refuse_dangling(path: &Path) -> io::Result<()> {
    match std::fs::read_link(path) {
        Ok(target) if !path.exists() => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("it is a link to {}, which is not there", target.display()),
        )),
        _ => Ok(()),
    }
}

/// Writes a file with mode 0600, wholly or not at all. Missing folders are made with mode 0700. If the path is a symbolic link, the file
/// that it leads to is replaced.
///
/// # Errors
/// Also for a link to a file that is not there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    refuse_dangling(path)?;
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let scratch = folder.join(name);
    #[expect(
        clippy::disallowed_methods,
        reason = "the folder is synced right below; what logctl keeps is no store of a log"
    )]
    let written = fill(&scratch, bytes).and_then(|()| std::fs::rename(&scratch, &path));
    if written.is_err() {
        // Nothing else has this name, and the error that matters is the first.
        let _ = std::fs::remove_file(&scratch);
    }
    written?;
    File::open(&folder)?.sync_all()
}

/// Whether [`write()`] could write this file: it does so beside it, and leaves nothing but the folders.
pub(crate) fn probe(path: &Path) -> io::Result<()> {
    let folder = folder_of(path)?;
    let scratch = folder.join(format!("probe.{}", std::process::id()));
    fill(&scratch, b"")?;
    std::fs::remove_file(&scratch)
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A killed process may have left one behind.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_and_folders_are_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/config.toml");
        write(&path, b"one").unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
    }

    #[test]
    fn links_stay_links() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::write(&real, "one").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, b"two").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&real).unwrap(), b"two");
        // A link that leads nowhere stays, too: its target may be on a disk that is not mounted.
        std::fs::remove_file(&real).unwrap();
        let error = write(&link, b"three").unwrap_err();
        assert!(error.to_string().contains("real"), "{error}");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert!(!real.exists());
    }
}
