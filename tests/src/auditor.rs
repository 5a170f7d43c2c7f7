//! An independent auditor: reads a log as anyone on the network can, and believes nothing that it has not recomputed.
//!
//! From the entry bundles alone it rebuilds every tile and root, and compares: each hash tile byte for byte, the root
//! with the signed checkpoint, seals with the shard they close and the one they name, shard bounds with the global index.
//! It shares no code with the product; a fault in one is not repeated in the other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use tlog_tiles::{Hash, record_hash};

use crate::http::Http;
use crate::merkle::{Builder, Tile, bundle_path};
use crate::notes::{self, Head};

#[cfg(test)]
mod tests;

/// A source of a log's published files; paths are relative to the log (`2026a/tile/0/000`).
pub trait Source {
    /// The bytes, or nothing when there is no such file.
    ///
    /// # Errors
    /// When the source can't tell.
    fn get(&mut self, path: &str) -> Result<Option<Vec<u8>>>;
}

/// A log behind a running server.
#[derive(Debug)]
pub struct Served {
    http: Http,
    log: String,
}

impl Served {
    /// The log `log` of the server at `address`.
    pub fn new(address: SocketAddr, log: &str) -> Self {
        Self {
            http: Http::new(address),
            log: log.to_owned(),
        }
    }
    /// The list of shards.
    ///
    /// # Errors
    /// When the server does not give one.
    pub fn shards(&mut self) -> Result<Vec<Shard>> {
        let answer = self
            .http
            .get(&format!("/{}/shards", self.log), &[])?
            .expect_status(200)?;
        serde_json::from_slice(&answer.body)
            .with_context(|| format!("list of shards: {}", answer.text()))
    }
}

impl Source for Served {
    fn get(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        let answer = self.http.get(&format!("/{}/{path}", self.log), &[])?;
        if answer.status == 404 {
            return Ok(None);
        }
        Ok(Some(
            answer
                .expect_status(200)
                .with_context(|| path.to_owned())?
                .body,
        ))
    }
}

/// A log as a folder of objects: what a copy on a disk or a bucket looks like.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Source for Folder {
    fn get(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        match std::fs::read(self.0.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.to_owned()),
        }
    }
}

/// A shard as the server lists it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Unique in its log.
    pub name: String,
    /// `planned`, `active` or `frozen`.
    pub state: String,
    pub origin: String,
    /// Verifier key of its checkpoints.
    pub vkey: String,
    /// Global index of its first entry.
    pub start_index: Option<u64>,
    /// Entries ordered into it.
    pub length: Option<u64>,
}

/// An entry as the auditor found it.
#[derive(Debug)]
pub struct Found<'a> {
    pub shard: &'a str,
    /// Index in the shard.
    pub leaf_index: u64,
    /// Index in the log.
    pub index: u64,
    pub bytes: &'a [u8],
    pub leaf: Hash,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Entries that signed checkpoints cover, over all shards.
    pub entries: u64,
    /// Shards, planned ones included.
    pub shards: usize,
    pub seals: usize,
    pub tiles: u64,
}

/// Audits a log, and remembers the checkpoints it saw, so that a later audit of the same log notices a rewrite.
#[derive(Default)]
pub struct Auditor {
    seen: HashMap<String, Vec<Head>>,
}

impl Auditor {
    /// Audits all of `shards` (oldest first) in `source`; `each` sees every entry in the order of the global index.
    ///
    /// # Errors
    /// The first thing that is not as it must be, with the file's path; and what `each` refuses.
    pub fn audit(
        &mut self,
        source: &mut dyn Source,
        shards: &[Shard],
        mut each: impl FnMut(&Found<'_>) -> Result<()>,
    ) -> Result<Audited> {
        let mut audited = Audited::default();
        let mut next_index = Some(0);
        let last_opened = shards.iter().rposition(|shard| shard.state != "planned");
        for (position, shard) in shards.iter().enumerate() {
            audited.shards += 1;
            let (origin, vkey) = (&shard.origin, &shard.vkey);
            let path = format!("{}/checkpoint", shard.name);
            let note = source
                .get(&path)?
                .with_context(|| format!("{path} is missing"))?;
            let head = notes::checkpoint(&note, origin, vkey).with_context(|| path.clone())?;
            if shard.state == "planned" {
                ensure!(
                    head.size == 0 && head.root == tlog_tiles::EMPTY_HASH,
                    "{path}: a planned shard has no entries"
                );
                ensure!(
                    shard.start_index.is_none(),
                    "{}: a planned shard has no start index",
                    shard.name
                );
                continue;
            }
            let start = shard
                .start_index
                .with_context(|| format!("{} has no start index", shard.name))?;
            let length = shard
                .length
                .with_context(|| format!("{} has no length", shard.name))?;
            ensure!(
                next_index == Some(start),
                "{} starts at {start}, expected {next_index:?}",
                shard.name
            );
            ensure!(
                head.size <= length,
                "{path}: size {} over the shard's length {length}",
                head.size
            );
            let key = shard.origin.clone();
            self.entries(source, shard, &head, &mut audited, &mut each, key)?;
            // A shard that another one follows is final; so is its place in the global index.
            next_index = None;
            if Some(position) != last_opened {
                ensure!(
                    shard.state == "frozen",
                    "{} is {} and is not the newest",
                    shard.name,
                    shard.state
                );
                ensure!(
                    head.size == length,
                    "{path}: size {} of a frozen shard of length {length}",
                    head.size
                );
                next_index = Some(start + length);
                self.seal(source, shard, &shards[position + 1], &head)?;
                audited.seals += 1;
            }
        }
        Ok(audited)
    }

    /// Audits a secondary's copy of a shard: its checkpoint carries the log's replication key's signature and the secondary's
    /// cosignature, its entries lead to that root, and both fit every checkpoint that was seen of the log itself. Answers its
    /// size; nothing where it has no copy.
    ///
    /// # Errors
    /// The first thing that is not as it must be.
    pub fn copy(
        &mut self,
        source: &mut dyn Source,
        shard: &Shard,
        replication: &str,
        cosigner: &str,
    ) -> Result<Option<u64>> {
        // The checkpoint for its readers, which may lag by a moment behind its copy.
        let served = source.get(&format!("{}/checkpoint", shard.name))?;
        let newest = format!("{}/cosigned-checkpoint", shard.name);
        let Some(note) = source.get(&newest)? else {
            return Ok(None);
        };
        let head = notes::checkpoint(&note, &shard.origin, replication)?;
        if let Some(served) = served {
            let served = notes::checkpoint(&served, &shard.origin, replication)?;
            ensure!(served.size <= head.size, "more is served than is held");
        }
        notes::cosigned(&note, cosigner)?
            .with_context(|| format!("{cosigner} has not cosigned its own copy"))?;
        let key = format!("{} at {cosigner}", shard.origin);
        let mut audited = Audited::default();
        self.entries(source, shard, &head, &mut audited, &mut |_| Ok(()), key)?;
        Ok(Some(head.size))
    }

    fn seal(
        &self,
        source: &mut dyn Source,
        shard: &Shard,
        successor: &Shard,
        head: &Head,
    ) -> Result<()> {
        let path = format!("{}/seal", shard.name);
        let note = source
            .get(&path)?
            .with_context(|| format!("{path} is missing"))?;
        let seal = notes::seal(&note, &shard.origin, &shard.vkey).with_context(|| path.clone())?;
        ensure!(
            seal.head == *head,
            "{path}: {:?}, but the checkpoint says {head:?}",
            seal.head
        );
        ensure!(
            seal.successor_origin == successor.origin && seal.successor_vkey == successor.vkey,
            "{path}: names {} as the next shard, but it is {}",
            seal.successor_origin,
            successor.origin
        );
        Ok(())
    }

    fn entries(
        &mut self,
        source: &mut dyn Source,
        shard: &Shard,
        head: &Head,
        audited: &mut Audited,
        each: &mut impl FnMut(&Found<'_>) -> Result<()>,
        key: String,
    ) -> Result<()> {
        // Checkpoints of the same shard from others: the log itself, its copies.
        let others: Vec<Head> = self
            .seen
            .iter()
            .filter(|(other, _)| **other != key && other.split(' ').next() == key.split(' ').next())
            .flat_map(|(_, heads)| heads.iter().cloned())
            .collect();
        let seen = self.seen.entry(key).or_default();
        if let Some(last) = seen.last() {
            ensure!(
                last.size <= head.size,
                "{}: shrank from {} to {}",
                shard.name,
                last.size,
                head.size
            );
        }
        let mut builder = Builder::default();
        let mut full = Vec::new();
        let start = shard.start_index.unwrap_or_default();
        let check = |builder: &Builder| {
            let known = seen.iter().chain(&others);
            for earlier in known.filter(|earlier| earlier.size == builder.size()) {
                let root = builder.root();
                ensure!(
                    earlier.root == root,
                    "{}: rewritten below size {}",
                    shard.name,
                    earlier.size
                );
            }
            Ok(())
        };
        check(&builder)?;
        for bundle in 0..head.size.div_ceil(256) {
            let width = (head.size - bundle * 256).min(256) as usize;
            let path = bundle_path(bundle, width);
            let bytes = partial_or_full(source, shard, &path, |bytes| cut_bundle(bytes, width))?;
            let entries = split_bundle(&bytes).with_context(|| format!("{}/{path}", shard.name))?;
            ensure!(
                entries.len() == width,
                "{}/{path}: {} entries, expected {width}",
                shard.name,
                entries.len()
            );
            for bytes in entries {
                let leaf = record_hash(bytes);
                let leaf_index = builder.size();
                each(&Found {
                    shard: &shard.name,
                    leaf_index,
                    index: start + leaf_index,
                    bytes,
                    leaf,
                })?;
                builder.push(leaf, &mut full);
                check(&builder)?;
            }
            for tile in full.drain(..) {
                compare(source, shard, &tile)?;
                audited.tiles += 1;
            }
        }
        for tile in builder.partial() {
            compare(source, shard, &tile)?;
            audited.tiles += 1;
        }
        let root = builder.root();
        ensure!(
            root == head.root,
            "{}/checkpoint: signs root {}, but the entries give {root} at size {}",
            shard.name,
            head.root,
            head.size
        );
        audited.entries += head.size;
        if seen.last() != Some(head) {
            seen.push(head.clone());
        }
        Ok(())
    }
}

fn compare(source: &mut dyn Source, shard: &Shard, tile: &Tile) -> Result<()> {
    let path = tile.path();
    let bytes = partial_or_full(source, shard, &path, |full| {
        Ok(full.get(..tile.bytes.len()).unwrap_or(full).to_vec())
    })?;
    ensure!(
        bytes == tile.bytes,
        "{}/{path}: not the hashes of the entries",
        shard.name
    );
    Ok(())
}

/// A partial tile may be gone once the full one is there; then its beginning serves (C2SP tlog-tiles).
fn partial_or_full(
    source: &mut dyn Source,
    shard: &Shard,
    path: &str,
    cut: impl FnOnce(&[u8]) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let whole = format!("{}/{path}", shard.name);
    if let Some(bytes) = source.get(&whole)? {
        return Ok(bytes);
    }
    let Some((full, _)) = whole.split_once(".p/") else {
        bail!("{whole} is missing")
    };
    let bytes = source
        .get(full)?
        .with_context(|| format!("{whole} is missing, and so is {full}"))?;
    cut(&bytes).with_context(|| full.to_owned())
}

/// Splits an entry bundle: 2-byte big-endian length, then the entry, again and again.
fn split_bundle(mut bytes: &[u8]) -> Result<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (entry, rest) = rest
            .split_at_checked(u16::from_be_bytes(*length).into())
            .context("an entry is cut off")?;
        entries.push(entry);
        bytes = rest;
    }
    ensure!(bytes.is_empty(), "a byte is left over at the end");
    Ok(entries)
}

/// The first `count` entries of a bundle, as a bundle.
fn cut_bundle(bytes: &[u8], count: usize) -> Result<Vec<u8>> {
    let length = split_bundle(bytes)?
        .iter()
        .take(count)
        .map(|entry| 2 + entry.len())
        .sum();
    Ok(bytes.get(..length).unwrap_or(bytes).to_vec())
}
