//! A folder with what another Rekor answered, so that an import does not depend on it: `log.json`, the description of its log; `TREE.pem`, the
//! key of a tree; `TREE.jsonl`, its entries in order, one per line, each under its ID.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, Stream};
use serde_json::json;
use wire::ImportEntry;

use super::shard::{Answered, Fault, OldShard, Part};
use crate::error::{Error, SourceFault};

/// Entries that are read at a time.
const AT_ONCE: usize = 64;

/// A folder that a Rekor was saved to.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

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
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.0.join(name);
        std::fs::read(&path).map_err(|source| self.unreadable(&path, source))
    }

    /// The description of the log.
    pub(super) fn log(&self) -> Result<Vec<u8>, Error> {
        self.read("log.json")
    }

    /// The key of a tree, PEM.
    pub(super) fn key(&self, tree_id: &str) -> Result<Vec<u8>, Error> {
        self.read(&format!("{tree_id}.pem"))
    }

    /// The file with the entries of a tree.
    pub(super) fn entries_of(&self, tree_id: &str) -> PathBuf {
        self.0.join(format!("{tree_id}.jsonl"))
    }

    /// The command that fetches what is missing.
    fn save_again(&self) -> String {
        format!(
            "`logctl import rekor --from URL --save {}`",
            self.0.display()
        )
    }

    /// The next step where a file is damaged.
    pub(super) fn again(&self, file: &Path) -> String {
        format!(
            "none of it is served; remove {} and save it again with {}, which fetches this file and keeps the others; then run the same command again",
            file.display(),
            self.save_again()
        )
    }

    fn unreadable(&self, path: &Path, source: std::io::Error) -> Error {
        let is_there = self.0.join("log.json").exists();
        let hint = match is_there {
            true => format!("{} fetches what is missing", self.save_again()),
            false => format!(
                "{} is no folder that --save wrote; {}",
                self.0.display(),
                super::source::FORMS
            ),
        };
        Error::Usage {
            message: format!("cannot read {}: {source}", path.display()),
            hint,
        }
    }

    fn bad(&self, path: &Path, what: &str) -> Error {
        Error::BadEntries {
            message: format!("{}: {what}", path.display()),
            hint: self.again(path),
        }
    }

    fn short(&self, path: &Path, has: u64, size: u64) -> Error {
        Error::BadEntries {
            message: format!(
                "{} has only {has} of the {size} entries of its tree",
                path.display()
            ),
            hint: format!(
                "{} continues where the file ends; then run the same command again",
                self.save_again()
            ),
        }
    }

    /// What is wrong with the files that describe the log.
    pub(super) fn fault(&self, tree_id: &str, fault: Fault) -> Error {
        let (log, key) = (
            self.0.join("log.json"),
            self.0.join(format!("{tree_id}.pem")),
        );
        match fault.part {
            Part::Log => self.bad(&log, &fault.what),
            Part::Key => self.bad(&key, &fault.what),
            Part::Signature => Error::Source {
                fault: SourceFault::Unverified,
                message: format!("{} and {}: {}", log.display(), key.display(), fault.what),
                hint: format!(
                    "none of it is served; {} writes both files again and keeps the entries; then run the same command again",
                    self.save_again()
                ),
            },
        }
    }

    /// The entries of a shard from one of them on, in order.
    pub(super) fn entries(
        &self,
        shard: &OldShard,
        from: u64,
    ) -> Result<impl Stream<Item = Result<Vec<ImportEntry>, Error>> + use<>, Error> {
        let path = self.entries_of(&shard.tree_id);
        let file = File::open(&path).map_err(|source| self.unreadable(&path, source))?;
        let (folder, first, size) = (self.clone(), shard.start, shard.head.size);
        let mut lines = BufReader::new(file).lines();
        let mut at = 0;
        let mut next = move || -> Result<Option<(u64, ImportEntry)>, Error> {
            while at < size {
                let line = lines.next();
                let line = line.ok_or_else(|| folder.short(&path, at, size))?;
                at += 1;
                let line = line.map_err(|error| match error.kind() {
                    ErrorKind::InvalidData => folder.bad(&path, &format!("line {at} is not text")),
                    _ => folder.unreadable(&path, error),
                })?;
                if at <= from {
                    continue;
                }
                let index = first + at - 1;
                let named = |why: String| folder.bad(&path, &format!("line {at}: {why}"));
                let answered: Answered =
                    serde_json::from_str(&line).map_err(|error| named(error.to_string()))?;
                return match answered.entries().next() {
                    Some((found, entry)) if found == index => {
                        Ok(Some((index, entry.map_err(named)?)))
                    }
                    _ => Err(named(format!("it is not entry {index}"))),
                };
            }
            Ok(None)
        };
        Ok(stream::iter(std::iter::from_fn(move || {
            let mut some = Vec::new();
            while some.len() < AT_ONCE {
                match next() {
                    Ok(Some((_, entry))) => some.push(entry),
                    Ok(None) => break,
                    Err(error) => return Some(Err(error)),
                }
            }
            (!some.is_empty()).then_some(Ok(some))
        })))
    }

    /// Writes what describes the log: all but the entries.
    pub(crate) fn save(&self, shards: &[OldShard]) -> Result<(), Error> {
        let failed = |path: &Path, source| Error::Write {
            what: path.display().to_string(),
            source,
        };
        std::fs::create_dir_all(&self.0).map_err(|source| failed(&self.0, source))?;
        let put = |name: &str, text: String| {
            let path = self.0.join(name);
            std::fs::write(&path, text).map_err(|source| failed(&path, source))
        };
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
            put(&format!("{}.pem", shard.tree_id), pem)?;
        }
        if let Some((last, before)) = shards.split_last() {
            let mut info = tree(last);
            info["inactiveShards"] = before.iter().map(tree).collect();
            // The place of the active shard is that of the last one here.
            info["lastIsInactive"] = json!(!last.is_active);
            put("log.json", format!("{info}\n"))?;
        }
        Ok(())
    }

    /// The file with the entries of a shard, and how many it has. What a process that was killed left of a line is removed.
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
        let (file, there) = opened().map_err(|source| Error::Write {
            what: path.display().to_string(),
            source,
        })?;
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
            written.map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Ends the file, durably.
    pub(crate) fn end(mut self) -> Result<(), Error> {
        let flushed = self.file.flush();
        let synced = flushed.and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Write {
            what: self.path.display().to_string(),
            source,
        }
    }
}
