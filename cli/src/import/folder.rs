//! A folder with the answers of an old Rekor, so that an import does not depend on it: `log.json`, the description of its log; `TREE.pem`, the
//! key of a tree; `TREE.jsonl`, its entries in order, one per line, each under its ID.
//!
//! What must never happen: an operator follows a hint and destroys the only copy. The old Rekor may be off, so hints say to move a damaged
//! file away, never to remove it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use futures_util::stream::{self, Stream};
use wire::ImportEntry;

use super::UNSEEN;
use super::shard::{Answered, Fault, OldShard, Part, trees};
use crate::error::{Error, SourceFault};

/// Entries that are read at a time.
const AT_ONCE: usize = 64;

/// A folder that a Rekor was saved to.
#[derive(Clone, Debug)]
pub(crate) struct Folder(pub(super) PathBuf);

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

    /// The file with the key of a tree.
    pub(super) fn key_of(&self, tree_id: &str) -> PathBuf {
        self.0.join(format!("{tree_id}.pem"))
    }

    /// The file with the entries of a tree.
    pub(super) fn entries_of(&self, tree_id: &str) -> PathBuf {
        self.0.join(format!("{tree_id}.jsonl"))
    }

    /// The command that fetches what is missing, with the shards that the folder is for.
    fn save_again(&self) -> String {
        let trees = self.log().ok().and_then(|log| trees(&log).ok());
        let has_active = trees.map(|trees| trees.iter().any(|tree| tree.is_active));
        let (flag, note) = match has_active {
            Some(true) => ("", ""),
            Some(false) => (" --inactive-only", ""),
            None => ("", " (with --inactive-only if the folder was saved so)"),
        };
        format!(
            "`logctl import rekor --from URL --save {}{flag}`{note}",
            self.0.display()
        )
    }

    /// The steps that replace a damaged file.
    fn replace(&self, file: &Path) -> String {
        format!(
            "move {} away, and run {}, which fetches this file again and keeps the others; then run this command again",
            file.display(),
            self.save_again()
        )
    }

    /// The next step where a file is damaged.
    pub(super) fn again(&self, file: &Path) -> String {
        format!("{UNSEEN}; {}", self.replace(file))
    }

    /// The next step where the entries of a tree are not those under its tree head: the server has them, and takes no others before they
    /// are dropped.
    pub(super) fn drop_first(&self, tree_id: &str, drop: &str) -> String {
        let file = self.entries_of(tree_id);
        format!("{UNSEEN}; run {drop}, {}", self.replace(&file))
    }

    fn unreadable(&self, path: &Path, source: std::io::Error) -> Error {
        let is_there = self.0.join("log.json").exists();
        let hint = match is_there {
            true => format!("{} fetches what is missing", self.save_again()),
            false => format!(
                "{} is not a folder that --save of `import rekor` wrote; if that command was interrupted, run it again to continue; {}",
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
                "{} continues where the file ends; then run this command again",
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
                    "{UNSEEN}; move {} away, and run {}, which writes both files again and keeps the entries; then run this command again",
                    log.display(),
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
        let tree_id = shard.tree_id.clone();
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
                let wrong_line = |why: String| folder.bad(&path, &format!("line {at}: {why}"));
                let answered: Answered =
                    serde_json::from_str(&line).map_err(|error| wrong_line(error.to_string()))?;
                return match answered.entries(&tree_id).next() {
                    Some((found, entry)) if found == index => {
                        Ok(Some((index, entry.map_err(wrong_line)?)))
                    }
                    _ => {
                        let why = format!("line {at} is not entry {index}");
                        Err(folder.bad(&path, &why))
                    }
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
}
