//! `logd restore`: rebuilds a lost log from its secondaries, in a new folder that `logd dev` and `logd serve` open; with `--check` it only
//! reads and checks what they have.

use ambient::Ambient;
use std::fs::{DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{CheckedCopy, Drill, Fault, Kek, Restore, RestoreError, Restored};
use order::keys::LOGS;
use store::{Coordination as _, Directory, MemoryCoordination, MemoryObjects, Sqlite};

use crate::dev;
use crate::error::{Error, at, key_file};
use crate::exit::Ended;
use crate::peers::HttpPeers;
use crate::rfc3339::rfc3339;
use crate::run::print;

/// Enough settings to serve and check the restored log.
const SETTINGS: &str = "# Written by `logd restore`; `logd config example` explains every key.\n\n\
    [data]\nlisten = \"127.0.0.1:7070\"\n\n[admin]\nsocket = \"admin.sock\"\n\n\
    [stores]\ncoordination = \"coordination.db\"\nobjects = \"objects\"\n\n[kek]\nfile = \"kek\"\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestoreArgs {
    pub(crate) origin: String,
    pub(crate) from: Vec<String>,
    /// The file of the key-encryption key.
    pub(crate) kek: PathBuf,
    /// Where the log is restored; `None`: the copies are only checked.
    pub(crate) into: Option<NewFolder>,
    /// Authorities behind the secondaries' HTTPS.
    pub(crate) ca: Option<PathBuf>,
}

/// The folder of the restored log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewFolder {
    pub(crate) dir: PathBuf,
    /// Continue although something may be missing.
    pub(crate) force: bool,
}

pub(crate) async fn run(args: RestoreArgs) -> Result<Ended, Error> {
    let secret = key_file(
        "the key-encryption key",
        (
            ErrorKind::NotFound,
            "--kek names the key-encryption key of the lost server: its file `kek`, or your copy of it",
        ),
    );
    let kek = Kek::from_file(&args.kek).map_err(&secret)?;
    let peers = HttpPeers::new(args.ca.as_deref())?;
    let Some(NewFolder { dir, force }) = args.into else {
        let restore = Restore {
            origin: args.origin,
            from: args.from,
            kek,
            force: false,
            peers,
            // Not looked at.
            coordination: Arc::new(MemoryCoordination::new()),
            objects: Arc::new(MemoryObjects::new()),
            ambient: Ambient::system(),
        };
        let drill = restore.check().await;
        let drill = drill.map_err(|e| Error::Unchecked(e.to_string()))?;
        print(&drilled(&drill))?;
        return Ok(match drill.is_good() {
            true => Ended::Done,
            false => Ended::Findings,
        });
    };
    let dir = &dir;
    let new = std::fs::read_dir(dir).map_or(true, |mut there| there.next().is_none());
    if let Some(other) = foreign(dir) {
        return Err(Error::Restore(format!(
            "{} has {other} already, which no restore made; name a new folder",
            dir.display()
        )));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(at("create", dir))?;
    let _alone = alone(dir)?;
    let failed = |what, path: PathBuf, detail: String| Error::Store { what, path, detail };
    let path = dir.join("coordination.db");
    let coordination =
        Sqlite::open(&path).map_err(|e| failed("coordination", path.clone(), e.to_string()))?;
    // An unfinished restore has no log yet, so it begins again.
    let logs = coordination.scan(LOGS, LOGS, 1).await;
    if !logs
        .map_err(|e| failed("coordination", path, e.to_string()))?
        .is_empty()
    {
        return Err(Error::Restore(format!(
            "{} holds a server's stores already; name a new folder",
            dir.display()
        )));
    }
    // Everything else that a server needs comes first: once the log exists, the folder is complete. `logd dev` looks for the key there;
    // `logd serve` is told.
    let ambient = Ambient::system();
    let path = dir.join("kek");
    if path.exists() {
        let there = Kek::from_file(&path).map_err(&secret)?;
        let sealed = kek
            .seal_bytes(b"restore", "restore", &ambient.random)
            .map_err(&secret)?;
        if there.open_bytes(&sealed, "restore").is_err() {
            return Err(Error::Restore(format!(
                "{} is another key-encryption key than {}; name a new folder",
                path.display(),
                args.kek.display()
            )));
        }
    } else {
        kek.write_new(&path).map_err(&secret)?;
    }
    let settings = dir.join("logd.toml");
    if !settings.exists() {
        dev::replace(&settings, SETTINGS, 0o644)?;
    }
    let path = dir.join("objects");
    let objects =
        Directory::open(&path).map_err(|e| failed("objects", path.clone(), e.to_string()))?;
    let restore = Restore {
        origin: args.origin,
        from: args.from,
        kek,
        force,
        peers,
        coordination: Arc::new(coordination),
        objects: Arc::new(objects),
        ambient,
    };
    // Once the log exists, nobody would make them any more. The marker lets `logd dev` continue with a log of its own.
    let mark = |log: &str| {
        let contexts = dir.join("logctl.toml");
        if !contexts.exists() {
            dev::replace(&contexts, &context(log), 0o600)?;
        }
        match log == dev::LOG && restore.origin == dev::ORIGIN {
            true => dev::Marker::make(dir, Some(SETTINGS)).map(drop),
            false => Ok(()),
        }
    };
    let restored = restore
        .run_and_then(|log| mark(log).map_err(|e| e.to_string()))
        .await
        .map_err(|e| match e {
            RestoreError::Exists(_) => Error::Restore(e.to_string()),
            e => Error::Unrestored {
                dir: dir.clone(),
                new,
                why: e.to_string(),
            },
        })?;
    report(&restored, dir)?;
    Ok(Ended::Done)
}

/// Locks the folder until the restore ends: a suspended restore must not continue beside the log that another one has made.
fn alone(dir: &Path) -> Result<File, Error> {
    let folder = File::open(dir).map_err(at("open", dir))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::Error(source)) => Err(at("lock", dir)(source)),
        Err(TryLockError::WouldBlock) => Err(Error::Restore(format!(
            "another restore is running in {}; stop it first, or name a new folder",
            dir.display()
        ))),
    }
}

/// Something in a folder that no restore makes there: the folder belongs to something else, such as a secondary.
fn foreign(dir: &Path) -> Option<String> {
    let made = |name: &str| {
        // A file that is being written.
        let name = name.strip_suffix(".new").unwrap_or(name);
        let name = match name.rsplit_once('.') {
            Some((name, id)) if id.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => name,
        };
        let stores = ["objects", "kek", "logd.toml", "logctl.toml", "lost+found"].contains(&name);
        stores || name.starts_with("coordination.db") || dev::Marker::is(name)
    };
    let there = std::fs::read_dir(dir).ok()?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.ok()?.file_name();
        Some(name.to_string_lossy().into_owned())
    };
    let names = there.filter_map(name);
    names.filter(|name| !made(name)).min()
}

/// What a drill found.
fn drilled(drill: &Drill) -> String {
    let mut text = format!(
        "log {}: the secondaries' newest manifest is of {}\n",
        drill.log,
        rfc3339(drill.time)
    );
    for copy in &drill.copies {
        let CheckedCopy {
            shard, url, size, ..
        } = copy;
        let how = match &copy.fault {
            None => "whole".to_owned(),
            Some(fault) => fault.to_string(),
        };
        text.push_str(&format!(
            "  shard {shard}: {size} entries at {url}: {how}\n"
        ));
    }
    for warning in &drill.warnings {
        text.push_str(&format!("  warning: {warning}\n"));
    }
    for mirror in &drill.mirrors {
        text.push_str(&format!(
            "  {mirror}, as another operator's mirror has none\n"
        ));
    }
    text.push_str(&match &drill.refused {
        None => "a restore from these secondaries would work\n".to_owned(),
        Some(why) => format!("a restore from these secondaries would be refused: {why}\n"),
    });
    let has = |fault: fn(&Fault) -> bool| {
        let mut faults = drill.copies.iter().filter_map(|copy| copy.fault.as_ref());
        faults.any(fault)
    };
    if has(|fault| matches!(fault, Fault::Contradicts(_))) {
        text.push_str(
            "next: keep every server and secondary as it is; docs/operations.md, \"The coordination store went back\"\n",
        );
    } else if has(|fault| matches!(fault, Fault::Damaged(_))) {
        text.push_str(
            "next: look at the disk of each secondary with a damaged copy. Only while the log runs, and one after the other, start it with a folder that is \
             empty but for its key: it copies everything again. If the log is lost, keep the copy and restore first\n",
        );
    }
    text
}

/// How `logctl` reaches the server of these [`SETTINGS`].
fn context(log: &str) -> String {
    format!(
        "current = \"{log}\"\n\n[contexts.{log}]\nlog = \"{log}\"\nadmin = \"unix:admin.sock\"\nurl = \"http://127.0.0.1:7070\"\n"
    )
}

fn report(restored: &Restored, dir: &Path) -> Result<(), Error> {
    let mut text = format!(
        "restored: log {}, generation {}, with {} entries; the secondaries' newest manifest is of {}\n",
        restored.log,
        restored.generation,
        restored.entries,
        rfc3339(restored.time)
    );
    for (shard, size, from) in &restored.shards {
        text.push_str(&format!("  shard {shard}: {size} entries, from {from}\n"));
    }
    for warning in &restored.warnings {
        text.push_str(&format!("  warning: {warning}\n"));
    }
    text.push_str(&format!(
        "next: logd fsck --dir {0}, then look through {0}/logd.toml and: logd serve --config {0}/logd.toml\n\
         then: LOGCTL_CONFIG={0}/logctl.toml logctl status\n",
        dir.display()
    ));
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that belongs to something else is no place for a restored log, and nothing is made in it.
    #[tokio::test]
    async fn a_folder_with_anything_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (key, dir) = (folder.path().join("key"), folder.path().join("secondary"));
        let kek = Kek::generate(&Ambient::system().random).unwrap();
        kek.write_new(&key).unwrap();
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("mirror.key"), "").unwrap();
        let args = RestoreArgs {
            origin: "example.org/dev".to_owned(),
            from: vec!["http://127.0.0.1:1".to_owned()],
            kek: key,
            into: Some(NewFolder {
                dir: dir.clone(),
                force: false,
            }),
            ca: None,
        };
        let refused = run(args).await.unwrap_err().to_string();
        assert!(refused.contains("has mirror.key already"), "{refused}");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    }

    /// No secondary answers, or the process dies: the key that seals the log's rows is written before them, and the same folder can be used
    /// again.
    #[tokio::test]
    async fn a_restore_that_was_cut_short_leaves_its_key_and_can_be_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let (key, dir) = (folder.path().join("key"), folder.path().join("new"));
        Kek::generate(&Ambient::system().random)
            .unwrap()
            .write_new(&key)
            .unwrap();
        // A port without a listener.
        let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let from = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        for again in [false, true] {
            let args = RestoreArgs {
                origin: "example.org/dev".to_owned(),
                from: vec![from.clone()],
                kek: key.clone(),
                into: Some(NewFolder {
                    dir: dir.clone(),
                    force: false,
                }),
                ca: None,
            };
            let failed = run(args).await.unwrap_err();
            let hint = failed.hint().unwrap();
            // Earlier files may be all that is left of a log, so no hint says to remove them.
            assert_eq!(
                hint.contains(&format!("or remove {}", dir.display())),
                !again,
                "{hint}"
            );
            assert!(hint.contains("run the same command again"), "{hint}");
            let failed = failed.to_string();
            assert!(failed.contains("no secondary has a manifest"), "{failed}");
            let bytes = |path: PathBuf| std::fs::read(path).unwrap();
            assert_eq!(bytes(dir.join("kek")), bytes(key.clone()));
            assert!(dir.join("logd.toml").exists());
        }
    }
}
