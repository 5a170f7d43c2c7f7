//! Secrets: read from files that only their owner can read, and shown only to the server.
//!
//! What must never happen: the token in a flag, a log line, an error or a `Debug` form.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::error::Error;

/// No token, key or certificate is as long as this; a larger file is not one.
pub(super) const LIMIT: u64 = 64 * 1024;

/// A bearer token, which no output shows.
#[derive(Clone)]
pub struct Token(String);

/// Reads a file that must not be readable by others. The permissions are those of the opened file, so that nothing can be
/// swapped in between.
pub(crate) fn read_private(what: &str, path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Read {
        what: format!("{what} {}", path.display()),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if is_exposed(mode, metadata.uid()) {
        return Err(Error::SecretExposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut bytes = Vec::new();
    file.take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Whether users for whom it is not meant can read it. A file of root that a group may read is meant for that group: clusters hand secrets
/// to a process this way (mode 0440, `fsGroup`).
fn is_exposed(mode: u32, owner: u32) -> bool {
    let others = if owner == 0 { 0o037 } else { 0o077 };
    mode & others != 0
}

impl Token {
    /// Reads it from a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(&read_private("the token file", path)?).ok_or_else(|| Error::SecretEmpty {
            path: path.to_owned(),
        })
    }

    /// A token with blanks around it, when it is one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let token = bytes.trim_ascii();
        // RFC 6750 section 2.1; anything else would break the header.
        let sound = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(token).ok().filter(|_| sound)?;
        Some(Self(text.to_owned()))
    }

    /// For the `Authorization` header, and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, mode: u32) -> Result<Token, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.token");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Token::read(&path)
    }

    #[test]
    fn only_private_files_are_read() {
        assert_eq!(read("s3cret\n", 0o600).unwrap().expose(), "s3cret");
        assert_eq!(read("s3cret", 0o400).unwrap().expose(), "s3cret");
        for mode in [0o604, 0o644, 0o660, 0o610] {
            assert!(
                matches!(read("s3cret", mode), Err(Error::SecretExposed { .. })),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn a_group_may_read_what_root_put_there_for_it() {
        for (mode, owner, exposed) in [
            (0o400, 0, false),
            (0o440, 0, false),
            (0o640, 0, false),
            (0o660, 0, true),
            (0o444, 0, true),
            (0o600, 1000, false),
            (0o440, 1000, true),
            (0o640, 1000, true),
        ] {
            assert_eq!(is_exposed(mode, owner), exposed, "{mode:o} {owner}");
        }
    }

    #[test]
    fn the_token_is_in_no_message() {
        for (text, mode) in [
            ("s3cret", 0o644),
            ("s3cret s3cret", 0o600),
            ("s3cret\ns3cret", 0o600),
        ] {
            assert!(!format!("{:?}", read(text, mode)).contains("s3cret"));
            assert!(!read(text, mode).unwrap_err().to_string().contains("s3cret"));
        }
        assert_eq!(format!("{:?}", read("s3cret", 0o600).unwrap()), "Token");
    }
}
