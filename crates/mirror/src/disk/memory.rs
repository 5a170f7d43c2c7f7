//! A secondary's folder in memory, whose owner can cut the power, lose it, damage it and let it fail.
//!
//! What must never happen: a loss that no real disk shows. What was synced survives; of what was not, each page of a file keeps its first writes
//! and none after one that was lost, and nothing written after a lost cut is left.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ambient::{NoRandomness, Random};
use futures_util::future::BoxFuture;

use super::{Disk, DiskEntry, DiskFile, DiskWork};

/// A power cut takes or leaves this much of a file at once, in bytes.
const PAGE: usize = 4096;

/// A disk in memory; clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    /// Everything below the folder, by its path.
    nodes: BTreeMap<String, Node>,
    files: Vec<Bytes>,
    full: bool,
    /// How many operations were asked for.
    operations: u64,
    /// The operation that fails.
    failing: Option<u64>,
    /// Its process is gone: a handle that is left does nothing any more.
    gone: bool,
}

#[derive(Clone, Debug)]
struct Node {
    /// The file's place in [`State::files`]; none of a folder.
    file: Option<usize>,
    /// Its name is durable.
    durable: bool,
}

/// The bytes of a file.
#[derive(Clone, Debug, Default)]
struct Bytes {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// The changes since the last sync.
    changes: Vec<Change>,
    /// A sync failed: the changes never become durable by another one, whatever that says.
    doomed: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Length(length) => to.resize(*length, 0),
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(bytes);
            }
        }
    }

    /// The same writes, none across the end of a page.
    fn pages(self) -> Vec<Self> {
        let Self::Write(mut at, bytes) = self else {
            return vec![self];
        };
        let mut rest = &bytes[..];
        let mut pages = Vec::new();
        while !rest.is_empty() {
            let (page, after) = rest.split_at(rest.len().min(PAGE - at % PAGE));
            pages.push(Self::Write(at, page.to_vec()));
            at += page.len();
            rest = after;
        }
        pages
    }
}

impl Bytes {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.changes.push(change);
    }

    fn sync(&mut self) {
        if !self.doomed {
            for change in self.changes.drain(..) {
                change.apply(&mut self.durable);
            }
        }
    }

    /// The content that is left after a power cut.
    fn cut_off(self, random: &Random) -> Result<Vec<u8>, NoRandomness> {
        let mut found = self.durable;
        let mut lost = BTreeSet::new();
        for change in self.changes.into_iter().flat_map(Change::pages) {
            match &change {
                Change::Length(_) if coin(random)? => change.apply(&mut found),
                Change::Length(_) => break,
                Change::Write(at, bytes) => {
                    let end = at + bytes.len();
                    if !lost.contains(&(at / PAGE)) && coin(random)? {
                        change.apply(&mut found);
                    } else {
                        lost.insert(at / PAGE);
                        if found.len() < end && coin(random)? {
                            // The length was kept, without the bytes.
                            found.resize(end, 0);
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    fn whole(bytes: Vec<u8>) -> Self {
        Self {
            seen: bytes.clone(),
            durable: bytes,
            ..Self::default()
        }
    }
}

fn coin(random: &Random) -> Result<bool, NoRandomness> {
    Ok(random.number()? & 1 == 1)
}

fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

fn absent(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{path}: not found"))
}

impl State {
    /// Counts an operation, which may be the one that fails.
    fn operation(&mut self) -> io::Result<()> {
        if self.gone {
            return Err(io::Error::other("the process of this disk is gone"));
        }
        let number = self.operations;
        self.operations += 1;
        if self.failing == Some(number) {
            self.failing = None;
            return Err(io::Error::other(format!("operation {number} failed")));
        }
        Ok(())
    }

    fn room(&self) -> io::Result<()> {
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn is_folder(&self, path: &str) -> bool {
        path.is_empty() || self.nodes.get(path).is_some_and(|node| node.file.is_none())
    }

    /// The file at a path, if there is one.
    fn file(&self, path: &str) -> io::Result<Option<usize>> {
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        for above in above {
            match self.nodes.get(above) {
                Some(node) if node.file.is_some() => {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
        if self.is_folder(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(self.nodes.get(path).and_then(|node| node.file))
    }

    fn children(&mut self, folder: &str) -> impl Iterator<Item = (&str, &mut Node)> {
        self.nodes.iter_mut().filter_map(move |(path, node)| {
            (above(path) == folder).then(|| {
                let name = path.rsplit('/').next().unwrap_or(path);
                (name, node)
            })
        })
    }

    /// The same, with every change durable and no faults.
    fn settled(&self) -> Self {
        let mut nodes = self.nodes.clone();
        nodes.values_mut().for_each(|node| node.durable = true);
        let files = self.files.iter();
        Self {
            nodes,
            files: files.map(|file| Bytes::whole(file.seen.clone())).collect(),
            ..Self::default()
        }
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDisk {
    /// An empty disk, as after the loss of another one.
    pub fn new() -> Self {
        Self(Arc::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn again(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// Takes everything away from this handle and its files.
    fn end(&self) -> State {
        let dead = State {
            gone: true,
            ..State::default()
        };
        std::mem::replace(&mut *self.state(), dead)
    }

    /// The power goes. The answer is the disk as it is found afterwards; this one, and every file of it that is open, is dead.
    ///
    /// # Errors
    /// The source of randomness fails.
    pub fn crash(&self, random: &Random) -> Result<Self, NoRandomness> {
        let before = self.end();
        let mut after = State::default();
        for (path, node) in before.nodes {
            if !after.is_folder(above(&path)) || !(node.durable || coin(random)?) {
                continue;
            }
            after.nodes.insert(
                path,
                Node {
                    durable: true,
                    ..node
                },
            );
        }
        for file in before.files {
            after.files.push(Bytes::whole(file.cut_off(random)?));
        }
        Ok(Self::again(after))
    }

    /// The process ends and the power stays. The answer is the disk with everything that was written; this one is dead, as after
    /// [`MemoryDisk::crash`].
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut after = self.end();
        (after.operations, after.failing) = (0, None);
        Self::again(after)
    }

    /// A copy of all files as they are now: to be put back later.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::again(self.state().settled())
    }

    /// Flips a bit of the byte at an offset; says whether the file has that byte.
    pub fn flip(&self, file: &str, at: u64) -> bool {
        let mut state = self.state();
        let number = state.nodes.get(file).and_then(|node| node.file);
        let (Some(number), Ok(at)) = (number, usize::try_from(at)) else {
            return false;
        };
        let file = &mut state.files[number];
        if let Some(byte) = file.durable.get_mut(at) {
            *byte ^= 1;
        }
        file.seen.get_mut(at).map(|byte| *byte ^= 1).is_some()
    }

    /// From now on writes fail because the disk is full, or no longer.
    pub fn fill(&self, full: bool) {
        self.state().full = full;
    }

    /// The `n`-th operation from now (0 is the next) fails.
    pub fn fail(&self, n: u64) {
        let mut state = self.state();
        state.failing = Some(state.operations + n);
    }

    /// How many operations were asked for.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The paths of all files.
    pub fn files(&self) -> Vec<String> {
        let state = self.state();
        let files = state.nodes.iter().filter(|(_, node)| node.file.is_some());
        files.map(|(path, _)| path.clone()).collect()
    }
}

impl Disk for MemoryDisk {
    fn place(&self) -> &Path {
        Path::new("memory")
    }

    fn run(&self, work: DiskWork) -> BoxFuture<'static, Result<(), String>> {
        work();
        Box::pin(std::future::ready(Ok(())))
    }

    fn find(&self, path: &str) -> Option<DiskEntry> {
        let mut state = self.state();
        state.operation().ok()?;
        if state.is_folder(path) {
            return Some(DiskEntry::Folder);
        }
        state.nodes.get(path).map(|_| DiskEntry::File)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<(String, DiskEntry)>> {
        let mut state = self.state();
        state.operation()?;
        if !state.is_folder(folder) {
            return Err(absent(folder));
        }
        let names = state.children(folder).map(|(name, node)| {
            let entry = node.file.map_or(DiskEntry::Folder, |_| DiskEntry::File);
            (name.to_owned(), entry)
        });
        Ok(names.collect())
    }

    fn make(&self, folder: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        if state.is_folder(folder) {
            return Ok(());
        }
        state.room()?;
        let ends = folder.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([folder.len()]) {
            let node = Node {
                file: None,
                durable: false,
            };
            state.nodes.entry(folder[..end].to_owned()).or_insert(node);
            if !state.is_folder(&folder[..end]) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
        }
        Ok(())
    }

    fn sync(&self, folder: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        if !state.is_folder(folder) {
            return Err(absent(folder));
        }
        state
            .children(folder)
            .for_each(|(_, node)| node.durable = true);
        Ok(())
    }

    fn open(&self, file: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operation()?;
        let number = match state.file(file)? {
            Some(number) => number,
            None if !state.is_folder(above(file)) => return Err(absent(file)),
            None => {
                state.room()?;
                let number = state.files.len();
                state.files.push(Bytes::default());
                let node = Node {
                    file: Some(number),
                    durable: false,
                };
                state.nodes.insert(file.to_owned(), node);
                number
            }
        };
        Ok(Box::new(MemoryFile(self.clone(), number)))
    }

    fn read(&self, file: &str) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.state();
        state.operation()?;
        let number = state.file(file)?;
        Ok(number.map(|number| state.files[number].seen.clone()))
    }
}

struct MemoryFile(MemoryDisk, usize);

fn place(at: u64) -> io::Result<usize> {
    usize::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl DiskFile for MemoryFile {
    fn length(&self) -> io::Result<u64> {
        let mut state = self.0.state();
        state.operation()?;
        Ok(state.files[self.1].seen.len() as u64)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        let (file, length) = (&mut state.files[self.1], place(length)?);
        if file.seen.len() != length {
            file.change(Change::Length(length));
        }
        Ok(())
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let mut state = self.0.state();
        state.operation()?;
        let (seen, at) = (&state.files[self.1].seen, place(at)?);
        let end = at.checked_add(bytes.len());
        let found = end.and_then(|end| seen.get(at..end));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.0.state();
        let at = place(at)?;
        let room = state.operation().and_then(|()| state.room());
        // A write that fails may have got half way.
        let length = bytes.len() / if room.is_err() { 2 } else { 1 };
        if !state.gone && length > 0 {
            state.files[self.1].change(Change::Write(at, bytes[..length].to_vec()));
        }
        room
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.state();
        let synced = state.operation();
        if !state.gone {
            let file = &mut state.files[self.1];
            file.doomed |= synced.is_err();
            file.sync();
        }
        synced
    }
}
