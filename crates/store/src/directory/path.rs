//! Which paths an object may have, and how they are taken apart.
//!
//! What must never happen: a path names something outside the store, or one of its temporary files.

use crate::StoreError;

/// Names that begin with this are temporary, and no object's.
pub(super) const TEMPORARY: &str = ".tmp-";

/// Refuses a path that is not plain and relative: empty segments, `.`, `..`, NUL, and names of temporary files.
///
/// # Errors
/// [`StoreError::Io`] that names the path.
pub fn valid(path: &str) -> Result<(), StoreError> {
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.len() <= 255
            && !segment.starts_with(TEMPORARY)
    };
    // Longer paths fail in the operating system with a less helpful message.
    if path.len() <= 1024 && !path.contains('\0') && path.split('/').all(plain) {
        return Ok(());
    }
    Err(StoreError::Io(format!(
        "{path:?} cannot be the path of an object"
    )))
}

/// Folder (empty for the root) and name.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The segments of a folder's path; none for the root.
pub(super) fn segments(folder: &str) -> impl Iterator<Item = &str> {
    folder.split('/').filter(|segment| !segment.is_empty())
}
