//! `logd restore`: rebuilds a lost log out of its secondaries, into a new folder that `logd dev` and `logd serve` open.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use log::store::{Directory, Sqlite};
use log::{Kek, Restore, Restored};

use crate::dev;
use crate::error::{Error, at};
use crate::peers::HttpPeers;
use crate::run::print;

/// Enough to serve and to check what was restored.
const SETTINGS: &str = "# Written by `logd restore`; `logd config example` explains every key.\n\n\
    [data]\nlisten = \"127.0.0.1:7070\"\n\n[admin]\nsocket = \"admin.sock\"\n\n\
    [stores]\ncoordination = \"coordination.db\"\nobjects = \"objects\"\n\n[kek]\nfile = \"kek\"\n";

/// What to restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestoreArgs {
    /// The log's origin.
    pub(crate) origin: String,
    /// The secondaries.
    pub(crate) from: Vec<String>,
    /// The file of the key-encryption key.
    pub(crate) kek: PathBuf,
    /// The new folder.
    pub(crate) dir: PathBuf,
    /// Go on although something may be missing.
    pub(crate) force: bool,
    /// Authorities behind the secondaries' HTTPS.
    pub(crate) ca: Option<PathBuf>,
}

/// Restores.
pub(crate) async fn run(args: RestoreArgs) -> Result<(), Error> {
    let secret = |e: log::shard::keys::KeyError| Error::Secret(e.to_string());
    let kek = Kek::from_file(&args.kek).map_err(secret)?;
    let peers = HttpPeers::new(args.ca.as_deref())?;
    let dir = &args.dir;
    if dir.join("coordination.db").exists() {
        return Err(Error::Restore(format!(
            "{} holds a server's stores already; name a new folder",
            dir.display()
        )));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(at("create", dir))?;
    let failed = |what, path: PathBuf, detail: String| Error::Store { what, path, detail };
    let path = dir.join("coordination.db");
    let coordination =
        Sqlite::open(&path).map_err(|e| failed("coordination", path.clone(), e.to_string()))?;
    let path = dir.join("objects");
    let objects =
        Directory::open(&path).map_err(|e| failed("objects", path.clone(), e.to_string()))?;
    let restore = Restore {
        origin: args.origin,
        from: args.from,
        kek,
        force: args.force,
        peers,
        coordination: Arc::new(coordination),
        objects: Arc::new(objects),
    };
    let restored = restore
        .run()
        .await
        .map_err(|e| Error::Restore(e.to_string()))?;
    // `logd dev` looks for it there; `logd serve` is told.
    let kek = dir.join("kek");
    if !kek.exists() {
        restore.kek.write_new(&kek).map_err(secret)?;
    }
    let settings = dir.join("logd.toml");
    if !settings.exists() {
        dev::replace(&settings, SETTINGS, 0o644)?;
    }
    report(&restored, dir)
}

fn report(restored: &Restored, dir: &std::path::Path) -> Result<(), Error> {
    let mut text = format!(
        "restored: log {}, generation {}\n",
        restored.log, restored.generation
    );
    for (shard, size, from) in &restored.shards {
        text.push_str(&format!("  shard {shard}: {size} entries, from {from}\n"));
    }
    for warning in &restored.warnings {
        text.push_str(&format!("  warning: {warning}\n"));
    }
    text.push_str(&format!(
        "next: logd fsck --dir {0}, then look through {0}/logd.toml and: logd serve --config {0}/logd.toml\n",
        dir.display()
    ));
    print(&text)
}
