//! A file as a command line names it.

use std::ffi::OsString;
use std::path::PathBuf;

/// A file, or the standard stream that `-` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// Standard input or output.
    Standard,
    /// A file at this path.
    Path(PathBuf),
}

impl From<PathBuf> for File {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" {
            Self::Standard
        } else {
            Self::Path(path)
        }
    }
}

impl From<OsString> for File {
    fn from(path: OsString) -> Self {
        PathBuf::from(path).into()
    }
}
