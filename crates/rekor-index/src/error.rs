//! What can be wrong with an index.

use std::path::PathBuf;

use tlog::GlobalIndex;

/// Why an index could not be read or extended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the file.
    #[error("another process uses the search index {path}", path = path.display())]
    Held {
        /// The path of its file.
        path: PathBuf,
    },
    /// The file belongs to another log, or to a log of that name before this one.
    #[error("the search index {path} is of the log {found}, not of {expected}; rebuild it with `logd index rebuild`", path = path.display())]
    Foreign {
        /// The path of its file.
        path: PathBuf,
        /// The origin of the log in the file.
        found: String,
        /// The origin of the log that was asked for.
        expected: String,
    },
    /// The file has another format, of an earlier or a later version.
    #[error("the search index {path} has another format; rebuild it with `logd index rebuild`", path = path.display())]
    Format {
        /// The path of its file.
        path: PathBuf,
    },
    /// The file is damaged, or is no index.
    #[error("the search index {path} is damaged ({detail}); rebuild it with `logd index rebuild`", path = path.display())]
    Damaged {
        /// The path of its file.
        path: PathBuf,
        /// In words of the library below, mostly.
        detail: String,
    },
    /// The entries are not those after the position; nothing was written.
    #[error("the search index continues at entry {position}, not at {start}")]
    Gap {
        /// The next entry to be indexed.
        position: GlobalIndex,
        /// The first entry that was given.
        start: GlobalIndex,
    },
    /// The file can't be read or written, for instance because the disk is full. Open it again before the next attempt.
    #[error("the search index {path} can't be read or written: {source}", path = path.display())]
    Io {
        /// The path of its file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the file must be built again before it can be used.
    pub fn is_beyond_use(&self) -> bool {
        matches!(
            self,
            Self::Foreign { .. } | Self::Format { .. } | Self::Damaged { .. }
        )
    }
}
