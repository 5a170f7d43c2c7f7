//! Recognises a folder that `logd dev` made, by a file in it. `logd dev` starts again only in such a folder.
//!
//! What must never happen: a key, a certificate, a token or settings that an operator made are replaced, or a folder of
//! `logd serve` gets a second log.

use std::path::{Path, PathBuf};

use logconfig::DEV_MARKER;
use sha2::{Digest as _, Sha256};

use super::replace;
use crate::error::{Error, at};

/// Files that a server, a secondary or an operator keeps in a folder. A folder with any of it and no marker was not made by `logd dev`.
const OTHERS: [&str; 13] = [
    "logd.toml",
    "coordination.db",
    "coordination.db-wal",
    "objects",
    "kek",
    "tokens.toml",
    "admin.token",
    "admin-cert.pem",
    "admin-key.pem",
    "admin.sock",
    "logctl.toml",
    "mirror.key",
    "mirror.db",
];

const HEAD: &str = "# `logd dev` made this folder. It replaces logd.toml only while that has one of these digests.\n";

/// The marker of a folder of `logd dev`: the digests of the settings that it wrote, at most two.
#[derive(Debug)]
pub(crate) struct Marker {
    path: PathBuf,
    wrote: Vec<String>,
}

impl Marker {
    /// Whether a file of this name is a marker.
    pub(crate) fn is(name: &str) -> bool {
        name == DEV_MARKER
    }

    /// Refuses a folder that `logd dev` did not make; changes nothing.
    pub(crate) fn check(dir: &Path) -> Result<(), Error> {
        Self::find(dir).map(drop)
    }

    /// The folder's marker, made if the folder is empty.
    pub(super) fn claim(dir: &Path) -> Result<Self, Error> {
        if let Some(marker) = Self::find(dir)? {
            return Ok(marker);
        }
        Self::make(dir, None)
    }

    /// Marks a folder, so that `logd dev` accepts it: with these settings, if they are there.
    pub(crate) fn make(dir: &Path, settings: Option<&str>) -> Result<Self, Error> {
        let marker = Self {
            path: dir.join(DEV_MARKER),
            wrote: settings.map(digest).into_iter().collect(),
        };
        marker.write()?;
        Ok(marker)
    }

    fn find(dir: &Path) -> Result<Option<Self>, Error> {
        // In this order: what a server that starts at this moment makes, it makes behind the marker.
        let there = OTHERS.map(|name| (name, dir.join(name).symlink_metadata().is_ok()));
        let there: Vec<_> = there
            .iter()
            .filter(|(_, there)| *there)
            .map(|(name, _)| *name)
            .collect();
        let path = dir.join(DEV_MARKER);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let wrote = text.lines().filter(|line| !line.starts_with('#'));
                let wrote = wrote.map(str::to_owned).collect();
                return Ok(Some(Self { path, wrote }));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(at("read", &path)(source)),
        }
        if there.is_empty() {
            return Ok(None);
        }
        // Made before there were markers.
        let settings = dir.join("logd.toml");
        match std::fs::read_to_string(&settings) {
            Ok(text) if super::wrote_before(&text, &settings) => Ok(Some(Self {
                path,
                wrote: vec![digest(&text)],
            })),
            _ => Err(Error::NotDev {
                dir: dir.to_owned(),
                found: there.join(", "),
                settings: there.contains(&"logd.toml").then_some(settings),
            }),
        }
    }

    /// Writes the settings (`first`), or only checks that those there are as `logd dev` left them.
    pub(super) fn settings(&mut self, path: &Path, text: &str, first: bool) -> Result<(), Error> {
        let found = match std::fs::read_to_string(path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(at("read", path)(source)),
        };
        let was = found.as_deref().map(digest);
        if was.as_ref().is_some_and(|was| !self.wrote.contains(was)) {
            return Err(Error::EditedSettings {
                path: path.to_owned(),
            });
        }
        if !first {
            return Ok(());
        }
        // Written before the file, so that a crash leaves one of the two.
        let mut wrote: Vec<String> = was.into_iter().chain([digest(text)]).collect();
        wrote.dedup();
        if wrote != self.wrote || !self.path.exists() {
            self.wrote = wrote;
            self.write()?;
        }
        match found.as_deref() == Some(text) {
            true => Ok(()),
            false => replace(path, text, 0o644),
        }
    }

    fn write(&self) -> Result<(), Error> {
        let mut text = HEAD.to_owned();
        for digest in &self.wrote {
            text.push_str(digest);
            text.push('\n');
        }
        replace(&self.path, &text, 0o644)
    }
}

/// `sha256:` and the hex SHA-256 of a text.
pub(super) fn digest(text: &str) -> String {
    format!("sha256:{}", tlog::hex(&Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused_and_stays_as_it_is() {
        for name in OTHERS {
            let folder = folder();
            std::fs::write(folder.path().join(name), "theirs").unwrap();
            let error = Marker::claim(folder.path()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        // Files that have nothing to do with logd do not matter.
        let folder = folder();
        std::fs::write(folder.path().join("argon.yaml"), "mine").unwrap();
        Marker::claim(folder.path()).unwrap();
        Marker::check(folder.path()).unwrap();
    }

    #[test]
    fn settings_are_replaced_only_while_they_are_as_they_were_written() {
        let folder = folder();
        let path = folder.path().join("logd.toml");
        let mut marker = Marker::claim(folder.path()).unwrap();
        marker.settings(&path, "one", true).unwrap();
        let mut marker = Marker::claim(folder.path()).unwrap();
        marker.settings(&path, "other", false).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        marker.settings(&path, "two", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        // As after a crash between marker and file.
        std::fs::write(&path, "one").unwrap();
        let mut marker = Marker::claim(folder.path()).unwrap();
        marker.settings(&path, "two", true).unwrap();

        std::fs::write(&path, "an operator's").unwrap();
        for first in [true, false] {
            let mut marker = Marker::claim(folder.path()).unwrap();
            let refused = marker.settings(&path, "three", first).unwrap_err();
            assert!(matches!(refused, Error::EditedSettings { .. }), "{refused}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "an operator's");
    }
}
