//! Files that are read again when they change: certificates, keys.
//!
//! What must never happen: a bad replacement removes the old value, or a good one that could not be read when it was first seen
//! (a key that is not readable yet, a certificate whose key is not written yet) is never used. So a replacement that could not be used
//! is tried again, whether or not the files change.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::causes;
use crate::stamp::Stamp;

/// Pause between two tries of files that cannot be used and do not change.
const AGAIN: Duration = Duration::from_secs(1);

type Load<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;
type Stamps = Vec<Option<Stamp>>;

/// A value, and the files that it is made from.
pub struct Follow<T> {
    files: Vec<PathBuf>,
    load: Load<T>,
    /// Locked only for a moment, so that no reader of the value waits for a disk.
    current: RwLock<Arc<T>>,
    /// Locked for the time of a few `stat`s, and of a reading after a change.
    seen: Mutex<Seen>,
}

struct Seen {
    /// The files that `current` was made from.
    stamps: Stamps,
    failed: Option<Failed>,
}

/// A replacement that could not be used.
struct Failed {
    stamps: Stamps,
    tried: Instant,
    why: String,
}

/// The result of a check of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileCheck {
    /// The files are the same as before.
    Same,
    /// There is a new value.
    Replaced,
    /// The files cannot be used now, and the old value stays; the reason, with causes.
    Unusable {
        /// For a person; holds no secret.
        why: String,
        /// Whether this was reported before.
        known: bool,
    },
}

impl<T> Follow<T> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// The error of `load`: a value is needed to begin with.
    pub fn open<E: std::error::Error>(
        files: impl IntoIterator<Item = PathBuf>,
        load: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let files: Vec<PathBuf> = files.into_iter().collect();
        let stamps = stamps(&files);
        let current = Arc::new(load()?);
        Ok(Self {
            files,
            load: Box::new(move || load().map_err(|error| causes(&error))),
            current: RwLock::new(current),
            seen: Mutex::new(Seen {
                stamps,
                failed: None,
            }),
        })
    }

    /// The value of the last look.
    pub fn last(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks the files, and reads them when they changed, or when they could not be used a while ago.
    pub fn look(&self) -> FileCheck {
        self.read(false)
    }

    /// Reads the files, whether or not they changed.
    pub fn reload(&self) -> FileCheck {
        self.read(true)
    }

    fn read(&self, anyway: bool) -> FileCheck {
        // Taken before the files are read: a change in between shows next time.
        let now = stamps(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &seen.failed {
            None if now == seen.stamps && !anyway => return FileCheck::Same,
            Some(failed) if failed.stamps == now && failed.tried.elapsed() < AGAIN && !anyway => {
                return FileCheck::Unusable {
                    why: failed.why.clone(),
                    known: true,
                };
            }
            _ => {}
        }
        match (self.load)() {
            Ok(next) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
                (seen.stamps, seen.failed) = (now, None);
                FileCheck::Replaced
            }
            Err(why) => {
                let before = seen.failed.take();
                let known = before.is_some_and(|failed| failed.why == why);
                seen.failed = Some(Failed {
                    stamps: now,
                    tried: Instant::now(),
                    why: why.clone(),
                });
                FileCheck::Unusable { why, known }
            }
        }
    }
}

impl<T> std::fmt::Debug for Follow<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn stamps(files: &[PathBuf]) -> Stamps {
    files.iter().map(|path| Stamp::of(path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    #[test]
    fn what_could_not_be_used_is_tried_again_though_no_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "one").unwrap();
        let readable = Arc::new(AtomicBool::new(true));
        let (path, may) = (file.clone(), Arc::clone(&readable));
        let follow = Follow::open([file.clone()], move || match may.load(Relaxed) {
            true => std::fs::read_to_string(&path),
            false => Err(std::io::ErrorKind::PermissionDenied.into()),
        })
        .unwrap();
        assert_eq!((follow.look(), &**follow.last()), (FileCheck::Same, "one"));

        readable.store(false, Relaxed);
        std::fs::write(&file, "two").unwrap();
        let unusable = |look: FileCheck| match look {
            FileCheck::Unusable { known, .. } => known,
            other => panic!("{other:?}"),
        };
        assert!(!unusable(follow.look()), "said once");
        assert!(unusable(follow.look()) && unusable(follow.reload()));
        assert_eq!(&**follow.last(), "one", "the old value stays");

        // As with the mode of a folder above it: nothing about the file itself changes.
        readable.store(true, Relaxed);
        let deadline = Instant::now() + Duration::from_secs(60);
        while follow.look() != FileCheck::Replaced {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert_eq!((follow.look(), &**follow.last()), (FileCheck::Same, "two"));
    }
}
