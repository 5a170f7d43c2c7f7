//! Saves an old Rekor to a folder.
//!
//! What must never happen: the only copy of what a Rekor has signed is lost. The Rekor may be off already, so a folder is only added to: it takes
//! no answers of another log or of an earlier time, and the description that its entries are read by is replaced as a whole, after all of
//! them are there.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use wire::ImportEntry;

use super::folder::Folder;
use super::shard::{OldShard, trees, why_not_continued};
use crate::error::Error;

/// The entries of a shard, as they are appended.
#[derive(Debug)]
pub(crate) struct Saved {
    file: BufWriter<File>,
    path: PathBuf,
    tree: u64,
    /// The index of the next one.
    next: u64,
    log_id: String,
}

impl Folder {
    /// Prepares the folder for these shards. Refuses them if it describes others, and writes nothing then.
    pub(crate) fn take(&self, shards: &[OldShard]) -> Result<(), Error> {
        let path = self.0.join("log.json");
        let known = match std::fs::read(&path) {
            Ok(known) => known,
            Err(source) if source.kind() == ErrorKind::NotFound => {
                let made = std::fs::create_dir_all(&self.0);
                return made.map_err(|source| failed(&self.0, source));
            }
            Err(source) => {
                let what = path.display().to_string();
                return Err(Error::Read { what, source });
            }
        };
        let known = trees(&known).map_err(|fault| Error::Usage {
            message: format!("{}: {}", path.display(), fault.what),
            hint: format!(
                "nothing was written; move {} away, and run the same command again: it keeps the entries",
                path.display()
            ),
        })?;
        match why_not_continued(&known, shards) {
            None => Ok(()),
            Some(why) => Err(Error::Usage {
                message: format!(
                    "{} describes another Rekor or a later state of this one: {why}",
                    path.display()
                ),
                hint: "nothing was written; check --from and --inactive-only, or save to another folder".into(),
            }),
        }
    }

    /// Writes what describes the log, once all entries are there. Each file is replaced as a whole, and `log.json` is the last one.
    pub(crate) fn describe(&self, shards: &[OldShard]) -> Result<(), Error> {
        let tree = |shard: &OldShard| {
            json!({
                "treeID": shard.tree_id,
                "treeSize": shard.head.size,
                "rootHash": tlog::hex(&shard.head.root.0),
                "signedTreeHead": shard.note,
            })
        };
        for shard in shards {
            let key = STANDARD.encode(shard.key.bytes());
            let pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
            self.put(&format!("{}.pem", shard.tree_id), &pem)?;
        }
        if let Some((last, before)) = shards.split_last() {
            let mut info = tree(last);
            info["inactiveShards"] = before.iter().map(tree).collect();
            // In `log.json` the last shard takes the place of the active one; this flag says if it is not active.
            info["lastIsInactive"] = json!(!last.is_active);
            self.put("log.json", &format!("{info}\n"))?;
        }
        Ok(())
    }

    /// Replaces a file of the folder as a whole, durably.
    fn put(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.0.join(name);
        let scratch = self.0.join(format!("{name}.new"));
        let filled = || -> std::io::Result<()> {
            let mut file = File::create(&scratch)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "a file of logctl, which the next run writes again after a crash"
        )]
        let written = filled().and_then(|()| std::fs::rename(&scratch, &path));
        written.map_err(|source| failed(&path, source))
    }

    /// The file with the entries of a shard, and how many it has. An incomplete last line, left by a killed
    /// process, is removed.
    pub(crate) fn append(&self, shard: &OldShard) -> Result<(Saved, u64), Error> {
        let path = self.entries_of(&shard.tree_id);
        let opened = || -> std::io::Result<(File, u64)> {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            let (mut lines, mut end) = (0, 0);
            let mut reader = BufReader::new(&mut file);
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = reader.read_until(b'\n', &mut line)?;
                if read == 0 || line.last() != Some(&b'\n') {
                    break;
                }
                (lines, end) = (lines + 1, end + read as u64);
            }
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
            Ok((file, lines))
        };
        let (file, there) = opened().map_err(|source| failed(&path, source))?;
        let tree = shard.tree_id.parse().unwrap_or(0);
        let saved = Saved {
            file: BufWriter::new(file),
            path,
            tree,
            next: shard.start + there,
            log_id: tlog::hex(&shard.key.log_id().0),
        };
        Ok((saved, there))
    }
}

impl Saved {
    /// Appends entries that follow those in the file.
    pub(crate) fn add(&mut self, entries: Vec<ImportEntry>) -> Result<(), Error> {
        for entry in entries {
            let leaf = STANDARD.decode(&entry.body).unwrap_or_default();
            let id = format!("{:016x}{}", self.tree, tlog::leaf_hash(&leaf));
            let line = json!({id: {
                "body": entry.body,
                "integratedTime": entry.integrated_time,
                "logID": self.log_id,
                "logIndex": self.next,
                "verification": {"signedEntryTimestamp": entry.signed_entry_timestamp},
            }});
            self.next += 1;
            let written = writeln!(self.file, "{line}");
            written.map_err(|source| failed(&self.path, source))?;
        }
        Ok(())
    }

    /// Ends the file, durably.
    pub(crate) fn end(mut self) -> Result<(), Error> {
        let flushed = self.file.flush();
        let synced = flushed.and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|source| failed(&self.path, source))
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Write {
        what: path.display().to_string(),
        source,
    }
}
