//! For tests of the engine and of what uses it: a process on the stores of one folder.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;

use ambient::Ambient;
use logconfig::{LogConfig, Span};
use store::{Coordination, Directory, Objects, Sqlite};

use crate::control::{Author, Request};
use crate::engine::EngineOptions;
use crate::program::MergeOptions;
use crate::shard::keys::Kek;

/// The options of a process on the stores in `folder`, with the key in the file `kek`, which is made when it does not exist.
///
/// # Panics
/// Something of this cannot be opened or made.
pub fn options(folder: &Path, kek: &Path) -> EngineOptions {
    let rows = Arc::new(Sqlite::open(&folder.join("coordination.db")).unwrap());
    let objects = Arc::new(Directory::open(&folder.join("objects")).unwrap());
    EngineOptions {
        max_pending_bytes: 1 << 20,
        ..options_on(rows, objects, self::kek(kek))
    }
}

/// The options of a process on these stores.
pub fn options_on(
    coordination: Arc<dyn Coordination>,
    objects: Arc<dyn Objects>,
    kek: Kek,
) -> EngineOptions {
    EngineOptions {
        coordination,
        objects,
        kek,
        label: "test".into(),
        min_free: 0,
        max_pending_bytes: 64 << 20,
        ambient: Ambient::unset(),
        merge: MergeOptions::default(),
    }
}

/// A new key-encryption key, different in each call.
///
/// # Panics
/// The system has no randomness.
pub(crate) fn fresh_kek() -> Kek {
    Kek::generate(&Ambient::unset().random).unwrap()
}

/// The key in a file, which is made when it does not exist.
///
/// # Panics
/// It can be neither read nor made.
pub fn kek(path: &Path) -> Kek {
    if !path.exists() {
        fresh_kek().write_new(path).unwrap();
    }
    Kek::from_file(path).unwrap()
}

/// The document of the log `dev` with the shard `a`, which is published at once.
///
/// # Panics
/// Never: these names are valid.
pub fn config() -> LogConfig {
    let origin = "example.org/dev".to_owned();
    let mut config = LogConfig::new("dev".parse().unwrap(), origin, "a".parse().unwrap());
    config.merge.checkpoint_interval = Span::from_millis(10);
    config
}

/// A rotation to the shard that is next.
pub const fn rotation() -> Request {
    Request::Rotate {
        name: None,
        base: None,
        force: false,
    }
}

/// The author of what a test changes.
pub fn author() -> Author {
    Author {
        actor: "test".into(),
        idempotency_key: None,
        reason: None,
    }
}
