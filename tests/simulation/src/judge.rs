//! The judge: it keeps every answer that anybody got, and says when two of them cannot both be true.
//!
//! It shares no code with the engine beyond the formats of `tlog`, and uses no clock and no randomness. It keeps the first violation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tlog::{Checkpoint, Hash, Note};

use crate::trees::{self, FoundShard, verified};
use crate::writer::LOG;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule, in a few words: two lives that break the same rule are one finding.
    pub rule: &'static str,
    /// The two facts that contradict each other.
    pub what: String,
}

/// What the writer of an entry has been told so far.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// Asked, and no answer yet, or one that says that the outcome is unknown.
    Open,
    /// Nothing was written, for certain.
    Refused(String),
    /// The entry has this place forever.
    Ordered(Place),
}

/// A place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The global index of the entry.
    pub index: u64,
    /// The shard that holds it.
    pub shard: String,
    /// The index of the leaf in the tree of the shard.
    pub leaf: u64,
}

/// An entry that somebody asked to be written.
#[derive(Clone, Debug)]
struct Asked {
    answer: Answer,
    /// Whether it has a receipt: then it must be published.
    promised: bool,
    /// Whether its key may already be forgotten: if it is sent again then, it is another entry.
    forgotten: bool,
}

/// A proof, which a reader got, that an entry is under a checkpoint. It is judged at the end, when it is known which entry is there.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The global index of the entry.
    pub index: u64,
    /// The index of the leaf in the tree of its shard.
    pub leaf: u64,
    /// Entries under the checkpoint.
    pub size: u64,
    /// The root that it signs.
    pub root: Hash,
    /// The hashes beside the path from the leaf to the root.
    pub path: Vec<Hash>,
}

#[derive(Debug, Default)]
struct Known {
    broken: Option<Violation>,
    /// By log and bytes of the entry.
    asked: BTreeMap<(String, Vec<u8>), Asked>,
    /// By log and global index.
    places: BTreeMap<(String, u64), Vec<u8>>,
    /// By log: how many entries were found at the end.
    entries: BTreeMap<String, u64>,
    /// Proofs that readers got.
    proofs: Vec<Proven>,
    /// By origin and size: every root that a shard's key signed.
    roots: BTreeMap<(String, u64), Hash>,
    /// By reader and origin: the newest size that it saw.
    seen: BTreeMap<(String, String), u64>,
    /// By process and path: the size of the checkpoint that readers of the objects see.
    shown: BTreeMap<(String, String), u64>,
    /// By origin: the final size, once somebody was told that the shard is frozen.
    frozen: BTreeMap<String, u64>,
    /// By origin: the seal of the shard.
    sealed: BTreeMap<String, String>,
    /// Verifier keys of shards, by origin.
    keys: BTreeMap<String, String>,
    /// By origin, after a forced restore that lacks what was signed: the size that the shard was restored with.
    lacking: BTreeMap<String, u64>,
    /// Whether its operators were told that the log may sign second roots, and unfroze it anyway.
    forked: bool,
    /// Whether the servers run on an older store: then what they say is void, but what they sign is not.
    doubt: bool,
    counts: Counts,
}

/// How much happened in a life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that were asked for.
    pub asked: u64,
    /// Entries that were acknowledged.
    pub acked: u64,
    /// Entries that were refused.
    pub refused: u64,
    /// Entries that got a receipt.
    pub promised: u64,
    /// Checkpoints that were seen.
    pub checkpoints: u64,
    /// Changes that were decided.
    pub changes: u64,
}

/// The judge of one life.
#[derive(Debug, Default)]
pub struct Judge(Mutex<Known>);

impl Judge {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first violation that was found in this life.
    pub fn broken(&self) -> Option<Violation> {
        self.known().broken.clone()
    }

    /// How much has happened so far.
    pub fn counts(&self) -> Counts {
        self.known().counts
    }

    /// Reports a violation that somebody else saw.
    pub fn object(&self, rule: &'static str, what: String) {
        self.known().object(rule, what);
    }

    /// A writer sends an entry. The same bytes may be sent again under one key.
    pub fn asked(&self, log: &str, entry: &[u8]) {
        let mut known = self.known();
        known.counts.asked += 1;
        let asked = Asked {
            answer: Answer::Open,
            promised: false,
            forgotten: false,
        };
        let asked = known
            .asked
            .entry((log.to_owned(), entry.to_vec()))
            .or_insert(asked);
        if matches!(asked.answer, Answer::Refused(_)) {
            asked.answer = Answer::Open;
        }
    }

    /// The writer of an entry was told that nothing was written. `first`: nobody sent these bytes before.
    pub fn refused(&self, log: &str, entry: &[u8], why: &str, first: bool) {
        let mut known = self.known();
        known.counts.refused += 1;
        if !first {
            return;
        }
        if let Some(asked) = known.asked.get_mut(&(log.to_owned(), entry.to_vec())) {
            asked.answer = Answer::Refused(why.to_owned());
        }
    }

    /// The writer of an entry got a receipt.
    pub fn promised(&self, log: &str, entry: &[u8]) {
        let mut known = self.known();
        if known.doubt {
            return;
        }
        known.counts.promised += 1;
        if let Some(asked) = known.asked.get_mut(&(log.to_owned(), entry.to_vec())) {
            asked.promised = true;
        }
    }

    /// Somebody was told that an entry has this place.
    pub fn placed(&self, log: &str, entry: &[u8], place: Place) {
        let mut known = self.known();
        if known.doubt {
            return;
        }
        known.counts.acked += 1;
        known.place(log, entry, place);
    }

    /// A reader got an entry at a global index.
    pub fn read(&self, log: &str, index: u64, entry: &[u8]) {
        let mut known = self.known();
        if known.doubt {
            return;
        }
        let place = known.places.entry((log.to_owned(), index));
        let kept = place.or_insert_with(|| entry.to_vec());
        if kept != entry {
            let what = format!(
                "log {log}, index {index}: acknowledged or read {}, read {}",
                text(kept),
                text(entry)
            );
            known.object("an entry stays where it is", what);
        }
    }

    /// A reader got a proof for an entry of the log that all write to.
    pub fn proven(&self, proof: Proven) {
        self.known().proofs.push(proof);
    }

    /// So much time has passed that the servers may have forgotten the keys of what was written.
    pub fn forget_keys(&self) {
        let mut known = self.known();
        known
            .asked
            .values_mut()
            .for_each(|asked| asked.forgotten = true);
    }

    /// The key of a shard, from the log's status.
    pub fn key(&self, origin: &str, vkey: &str) {
        let mut known = self.known();
        let first = known
            .keys
            .entry(origin.to_owned())
            .or_insert_with(|| vkey.to_owned());
        if first != vkey {
            let what = format!("{origin}: {first}, then {vkey}");
            known.object("a shard has one key", what);
        }
    }

    /// Somebody saw a note with a shard's own signature.
    pub fn signed(&self, note: &str) -> Option<Checkpoint> {
        let parsed = Note::parse(note).ok()?;
        let checkpoint = Checkpoint::parse(parsed.text).ok()?;
        // The replication key commits itself to what may yet be lost; only the shard's own key speaks to readers.
        let mut lines = parsed.signatures.iter();
        let Some(own) = lines.find(|line| line.name == checkpoint.origin) else {
            return Some(checkpoint);
        };
        // Each restored primary begins an audit trail of its own, under a key of its own.
        let is_trail = checkpoint.origin.starts_with(engine::SYSTEM);
        let of = match is_trail {
            true => format!("{} {:08x}", checkpoint.origin, own.id),
            false => checkpoint.origin.clone(),
        };
        let mut known = self.known();
        known.counts.checkpoints += 1;
        let key = (of, checkpoint.size);
        let first = *known.roots.entry(key).or_insert(checkpoint.root);
        if first != checkpoint.root {
            let what = format!(
                "{} at size {}: {first} and {}",
                checkpoint.origin, checkpoint.size, checkpoint.root
            );
            known.object("one root for each size", what);
        }
        if let Some(&last) = known.frozen.get(&checkpoint.origin)
            && checkpoint.size > last
        {
            let what = format!(
                "{} was frozen at {last}, and has {}",
                checkpoint.origin, checkpoint.size
            );
            known.object("a frozen shard does not grow", what);
        }
        Some(checkpoint)
    }

    /// By shard below an origin: the newest checkpoint that its key has signed, leaving out empty ones.
    pub fn signed_below(&self, origin: &str) -> BTreeMap<String, (u64, Hash)> {
        let known = self.known();
        let below = |of: &str| {
            let rest = of.strip_prefix(origin);
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let signed = known.roots.iter();
        let signed = signed.filter(|((of, size), _)| *size > 0 && below(of));
        // The sizes of an origin come one after the other, the largest last.
        signed
            .map(|((of, size), root)| (of.clone(), (*size, *root)))
            .collect()
    }

    /// How many of these leaves, from the first one on, agree with every root that the shard's key signed.
    pub fn agreed(&self, origin: &str, leaves: &[[u8; 32]]) -> u64 {
        let known = self.known();
        let all = leaves.len() as u64;
        let signed = known.roots.range((origin.to_owned(), 0)..);
        let signed = signed.take_while(|((of, size), _)| of == origin && *size <= all);
        let sizes = signed.clone().map(|((_, size), _)| *size);
        let found = trees::roots(leaves, sizes);
        let mut agreed = 0;
        for (((_, size), root), (_, of_leaves)) in signed.zip(found) {
            if of_leaves != *root {
                return agreed;
            }
            agreed = *size;
        }
        all
    }

    /// The stores of the log with this origin are lost, and the log was restored: the first `entries` entries are where they were, and its shards
    /// have these `sizes`. All later entries, promised work, keys of writes and other logs are lost. What was signed or sealed stays, unless a forced
    /// restore lacks entries of a shard. Then `lacks` says whether an operator accepts second roots for the sizes that are missing.
    pub fn restored(
        &self,
        origin: &str,
        entries: u64,
        sizes: &BTreeMap<String, u64>,
        lacks: Option<bool>,
    ) {
        let mut known = self.known();
        for ((log, _), asked) in &mut known.asked {
            let lost = matches!(&asked.answer, Answer::Ordered(at) if at.index >= entries);
            if lost && log == LOG {
                asked.answer = Answer::Open;
            }
            (asked.promised, asked.forgotten) = (false, true);
        }
        known.places.retain(|(_, index), _| *index < entries);
        known.proofs.retain(|proof| proof.index < entries);
        let ours = |of: &str| {
            of.strip_prefix(origin)
                .is_some_and(|of| of.starts_with('/'))
        };
        known.roots.retain(|(of, _), _| ours(of));
        let has = |of: &String| sizes.get(of).copied().unwrap_or(0);
        let frozen = known.frozen.clone();
        let length = |of: &String| frozen.get(of).copied().unwrap_or(0);
        known
            .sealed
            .retain(|of, _| ours(of) && has(of) >= length(of));
        known.forked = lacks == Some(true);
        if known.forked {
            known.roots.retain(|(of, size), _| *size <= has(of));
            known.sealed.clear();
        }
        known.lacking.clear();
        if lacks == Some(false) {
            let all: BTreeSet<String> = known.roots.keys().map(|(of, _)| of.clone()).collect();
            known.lacking = all.into_iter().map(|of| (of.clone(), has(&of))).collect();
        }
        let signed: BTreeSet<String> = known
            .roots
            .keys()
            .filter(|(_, size)| *size > 0)
            .map(|(of, _)| of.clone())
            .collect();
        let is_there = |of: &String| lacks.is_none() || sizes.contains_key(of);
        known
            .keys
            .retain(|of, _| signed.contains(of) && is_there(of));
        let sealed: BTreeSet<String> = known.sealed.keys().cloned().collect();
        known.frozen.retain(|of, _| sealed.contains(of));
    }

    /// The servers run on an older store from now on.
    pub fn doubt(&self) {
        self.known().doubt = true;
    }

    /// Whether what servers say is void now.
    pub fn is_in_doubt(&self) -> bool {
        self.known().doubt
    }

    /// Whether a seal of a shard was put.
    pub fn is_sealed(&self, origin: &str) -> bool {
        self.known().sealed.contains_key(origin)
    }

    /// Whether an operator has accepted two roots for one size.
    pub fn is_forked(&self) -> bool {
        self.known().forked
    }

    /// A seal of a shard was put. There is one, and the shard has ended.
    pub fn sealed(&self, seal: &str) {
        let Ok(note) = Note::parse(seal) else {
            return;
        };
        let mut lines = note.text.lines().skip(1);
        let origin = lines.next().unwrap_or_default().to_owned();
        let size = lines.next().and_then(|size| size.parse().ok());
        let mut known = self.known();
        let first = known
            .sealed
            .entry(origin.clone())
            .or_insert(seal.to_owned());
        if first != seal {
            let what = format!("{first} and {seal}");
            known.object("a shard has one seal", what);
        }
        drop(known);
        self.frozen(&origin, size.unwrap_or(0));
    }

    /// A shard was said to be frozen, with so many entries.
    pub fn frozen(&self, origin: &str, length: u64) {
        let mut known = self.known();
        let first = *known.frozen.entry(origin.to_owned()).or_insert(length);
        if first != length {
            let what = format!("{origin} was frozen with {first} entries, then with {length}");
            known.object("a frozen shard does not grow", what);
        }
    }

    /// A process put the checkpoint object of a shard: readers of the objects see it from now on. The rule holds for each process by itself: one that
    /// is behind may put an older checkpoint over another's, and then replaces it.
    pub fn shown(&self, process: &str, path: &str, note: &str) {
        let Some(checkpoint) = self.signed(note) else {
            return;
        };
        let mut known = self.known();
        let by = (process.to_owned(), path.to_owned());
        let before = known.shown.insert(by, checkpoint.size);
        if before.is_some_and(|before| before > checkpoint.size) {
            let what = format!(
                "{process}, {path}: from {} to {}",
                before.unwrap_or(0),
                checkpoint.size
            );
            known.object("what readers see never goes back", what);
        }
    }

    /// A reader got a checkpoint.
    pub fn seen(&self, reader: &str, note: &str) {
        let Some(checkpoint) = self.signed(note) else {
            return;
        };
        let mut known = self.known();
        let key = (reader.to_owned(), checkpoint.origin.clone());
        let last = known.seen.entry(key).or_default();
        let before = *last;
        *last = before.max(checkpoint.size);
        if before > checkpoint.size {
            let what = format!(
                "{reader}, {}: from {before} to {}",
                checkpoint.origin, checkpoint.size
            );
            known.object("what readers see never goes back", what);
        }
    }

    /// How many entries a log was found to have at the end.
    pub fn entries(&self, log: &str) -> u64 {
        self.known().entries.get(log).copied().unwrap_or(0)
    }

    /// A change was decided.
    pub fn changed(&self) {
        self.known().counts.changes += 1;
    }

    /// The log as its readers find it when all is calm: everything in it is checked against every answer.
    pub fn final_log(&self, log: &str, shards: &[FoundShard]) {
        let mut known = self.known();
        let mut at = BTreeMap::<&[u8], Vec<u64>>::new();
        let mut next = 0;
        for shard in shards {
            if shard.start != next {
                let what = format!(
                    "log {log}, shard {}: starts at {}, the one before ends at {next}",
                    shard.name, shard.start
                );
                known.object("shards follow each other", what);
            }
            next = shard.start + shard.entries.len() as u64;
            if let Err(what) = known.lead_here(shard) {
                known.object("a checkpoint fits its entries", what);
            }
            if let Err(what) = verified(shard) {
                known.object(
                    "a checkpoint fits its entries",
                    format!("log {log}: {what}"),
                );
            }
            for (index, entry) in (shard.start..).zip(&shard.entries) {
                let asked = known.asked.get(&(log.to_owned(), entry.clone()));
                let again = asked.is_some_and(|asked| asked.forgotten);
                let all = at.entry(entry).or_default();
                all.push(index);
                if let [first, _, ..] = **all
                    && log != engine::SYSTEM
                    && !again
                {
                    let what = format!("log {log}: {} at {first} and {index}", text(entry));
                    known.object("an entry is there once", what);
                }
            }
        }
        known.entries.insert(log.to_owned(), next);
        if log == engine::SYSTEM {
            return;
        }
        let of_log = known.asked.iter().filter(|((of, _), _)| of == log);
        let mut broken = Vec::new();
        for ((_, entry), asked) in of_log {
            let found = at.get(entry.as_slice());
            let rule = match (&asked.answer, found) {
                (Answer::Ordered(place), None) => {
                    Some(("an acknowledged entry is there", format!("{place:?}")))
                }
                // One whose key was forgotten may be there again, but stays where it was.
                (Answer::Ordered(place), Some(found)) if !found.contains(&place.index) => Some((
                    "an entry stays where it is",
                    format!("{place:?}, found at {found:?}"),
                )),
                (Answer::Refused(why), Some(found)) => Some((
                    "a refused entry is not there",
                    format!("{why}, found at {found:?}"),
                )),
                (Answer::Open, None) if asked.promised => {
                    Some(("promised work comes", String::new()))
                }
                _ => None,
            };
            if let Some((rule, how)) = rule {
                broken.push((rule, format!("log {log}: {}: {how}", text(entry))));
            }
        }
        let proofs = known.proofs.iter().filter(|_| log == LOG);
        for proof in proofs {
            if let Some((leaf, entry)) = entry_at(shards, proof.index) {
                let root = trees::led_to(trees::leaf(entry), leaf, proof.size, &proof.path);
                if (leaf, root) != (proof.leaf, Some(proof.root)) {
                    let what = format!("leaf {leaf} leads to {root:?}: {proof:?}");
                    broken.push(("a proof proves its entry", what));
                }
            }
        }
        let last: u64 = shards.iter().map(|shard| shard.entries.len() as u64).sum();
        let of_log = known.places.iter().filter(|((of, _), _)| of == log);
        for ((_, index), entry) in of_log {
            let found = entry_at(shards, *index).map(|(_, entry)| entry);
            if found != Some(entry) {
                let what = format!(
                    "log {log}, index {index} of {last}: {} was here",
                    text(entry)
                );
                broken.push(("an entry stays where it is", what));
            }
        }
        for (entry, index) in at {
            if !known.asked.contains_key(&(log.to_owned(), entry.to_vec())) {
                let what = format!("log {log}: {} at {index:?}", text(entry));
                broken.push(("every entry was written by somebody", what));
            }
        }
        for (rule, what) in broken {
            known.object(rule, what);
        }
    }
}

impl Known {
    fn object(&mut self, rule: &'static str, what: String) {
        self.broken.get_or_insert(Violation { rule, what });
    }

    /// Checks that every root that the key of a shard ever signed is the root of that many entries of the shard as it is now.
    fn lead_here(&self, shard: &FoundShard) -> Result<(), String> {
        let from = (shard.origin.clone(), 0);
        let signed = self.roots.range(from..);
        let most = self.lacking.get(&shard.origin).copied().unwrap_or(u64::MAX);
        let signed = signed.take_while(|((of, size), _)| *of == shard.origin && *size <= most);
        let leaves: Vec<_> = shard.entries.iter().map(|e| trees::leaf(e)).collect();
        let sizes = signed.clone().map(|((_, size), _)| *size);
        let mut found = trees::roots(&leaves, sizes).into_iter();
        for ((origin, size), root) in signed {
            match found.next() {
                Some((_, of_entries)) if of_entries == *root => {}
                other => {
                    let has = shard.entries.len();
                    return Err(format!(
                        "{origin}: {root} was signed for {size} entries; it has {has}, and the root is {other:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, log: &str, entry: &[u8], place: Place) {
        let index = place.index;
        let key = (log.to_owned(), entry.to_vec());
        let Some(asked) = self.asked.get_mut(&key) else {
            return;
        };
        let before = std::mem::replace(&mut asked.answer, Answer::Ordered(place.clone()));
        let again = asked.forgotten;
        match before {
            Answer::Ordered(first) if first != place && !again => {
                let what = format!("log {log}, {}: {first:?}, then {place:?}", text(entry));
                self.object("an entry stays where it is", what);
            }
            Answer::Refused(why) => {
                let what = format!("log {log}, {}: {why}, then {place:?}", text(entry));
                self.object("a refused entry is not there", what);
            }
            _ => {}
        }
        let first = self
            .places
            .entry((log.to_owned(), index))
            .or_insert_with(|| entry.to_vec());
        if first != entry {
            let what = format!(
                "log {log}, index {index}: {}, then {}",
                text(first),
                text(entry)
            );
            self.object("a place has one entry", what);
        }
    }
}

/// The entry at a global index, and its leaf.
fn entry_at(shards: &[FoundShard], index: u64) -> Option<(u64, &Vec<u8>)> {
    shards.iter().find_map(|shard| {
        let leaf = index.checked_sub(shard.start)?;
        let entry = shard.entries.get(usize::try_from(leaf).ok()?)?;
        Some((leaf, entry))
    })
}

/// Entries as a person reads them.
fn text(entry: &[u8]) -> String {
    String::from_utf8_lossy(entry).chars().take(40).collect()
}
