//! Cuts a stream of entries into chunks. Pure: bytes in, chunks out.
//!
//! The cuts depend on the entries alone, never on how the network cut the body: a chunk is the longest run of whole entries, [`MOST`]
//! at most, that fits into a given number of bytes, and at least one. Memory is one chunk, and it is allocated at the first byte.

use bytes::{Buf as _, Bytes, BytesMut};

use super::fault::Fault;
use engine::Repeat;

/// Room that a stream gets with its first byte; more comes as it fills.
const FIRST: usize = 64 << 10;

/// Entries of a chunk: short ones are more work than their size suggests, and a chunk is promised as a whole.
const MOST: u64 = 1024;

/// Bytes of an entry's length.
const LENGTH: usize = 2;

/// Whole entries in bundle encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) bytes: Bytes,
    pub(super) entries: u64,
}

/// Collects entries until a chunk is full.
#[derive(Debug)]
pub(super) struct Cutter {
    /// Bytes of a chunk, lengths included, unless its only entry is longer.
    size: usize,
    buffer: BytesMut,
    /// The end of the whole entries at the start of `buffer`.
    whole: usize,
    /// How many they are.
    entries: u64,
    /// Entries of this body that came before `buffer`.
    before: u64,
    /// Entries at the start that are known already, and dropped.
    known: u64,
    /// The expected dropped entries, if they are checked.
    repeat: Option<Repeat>,
    /// Entries of the first chunk at least, whatever their size, unless the body has fewer.
    least: u64,
}

impl Cutter {
    /// Makes chunks of `size` bytes, and drops the first `known` entries.
    pub(super) fn new(size: usize, known: u64) -> Self {
        Self {
            size,
            buffer: BytesMut::new(),
            whole: 0,
            entries: 0,
            before: 0,
            known,
            repeat: None,
            least: 1,
        }
    }

    /// The entries that are dropped must be these. A body of several entries does not begin with a chunk of one, which is how a single
    /// entry is written ([`Repeat`]).
    pub(super) fn repeating(self, repeat: Option<Repeat>) -> Self {
        let least = match repeat {
            Some(_) if self.known == 0 => 2,
            _ => 1,
        };
        Self {
            repeat,
            least,
            ..self
        }
    }

    /// Drops an entry that is known.
    fn drop_known(&mut self, entry: &[u8]) -> Result<(), Fault> {
        self.known -= 1;
        self.before += 1;
        match &mut self.repeat {
            Some(repeat) => repeat.entry(entry).map_err(|_| Fault::Reused),
            None => Ok(()),
        }
    }

    /// Accepts a new entry; refuses it after the end of a body that was answered.
    fn take_new(&self) -> Result<(), Fault> {
        let ended = self.repeat.as_ref().is_some_and(Repeat::is_ended);
        (!ended).then_some(()).ok_or(Fault::Reused)
    }

    /// How many whole entries have arrived.
    pub(super) fn seen(&self) -> u64 {
        self.before + self.entries
    }

    /// Takes bytes in bundle encoding from the front of `piece`, all of it unless a chunk is full.
    pub(super) fn feed(&mut self, piece: &mut Bytes) -> Result<Option<Cut>, Fault> {
        loop {
            // To the end of the chunk, or of an entry that is longer than one.
            let goal = self.scan()?.max(self.size);
            let full = self.buffer.len() >= self.size || self.entries == MOST;
            if full && self.entries >= self.least {
                return Ok(Some(self.cut()));
            }
            if piece.is_empty() {
                return Ok(None);
            }
            if self.buffer.capacity() == 0 {
                self.buffer.reserve(self.size.min(FIRST));
            }
            let taken = piece.len().min(goal - self.buffer.len());
            self.buffer.extend_from_slice(&piece[..taken]);
            piece.advance(taken);
        }
    }

    /// Takes one entry of 1 to 65,535 bytes. Returns the chunk that it did not fit into.
    pub(super) fn entry(&mut self, entry: &[u8]) -> Result<Option<Cut>, Fault> {
        if self.known > 0 {
            return self.drop_known(entry).map(|()| None);
        }
        self.take_new()?;
        let full = self.whole + LENGTH + entry.len() > self.size || self.entries == MOST;
        let cut = (full && self.entries >= self.least).then(|| self.cut());
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(self.size.min(FIRST));
        }
        self.buffer
            .extend_from_slice(&(entry.len() as u16).to_be_bytes());
        self.buffer.extend_from_slice(entry);
        self.whole = self.buffer.len();
        self.entries += 1;
        Ok(cut)
    }

    /// The last chunk, at the end of the body.
    pub(super) fn finish(&mut self) -> Result<Option<Cut>, Fault> {
        let left = &self.buffer[self.whole..];
        if !left.is_empty() {
            return Err(Fault::Torn {
                entry: self.seen(),
                has: left.len().saturating_sub(LENGTH),
                wants: length(left),
            });
        }
        if let Some(repeat) = &self.repeat {
            repeat.end().map_err(|_| Fault::Reused)?;
        }
        Ok((self.entries > 0).then(|| self.cut()))
    }

    /// Finds the entries that are complete so far. Returns how long the buffer must be for the next one.
    fn scan(&mut self) -> Result<usize, Fault> {
        loop {
            if self.entries == MOST {
                return Ok(self.whole);
            }
            let Some(length) = length(&self.buffer[self.whole..]) else {
                return Ok(self.whole + LENGTH);
            };
            if length == 0 {
                return Err(Fault::Empty { entry: self.seen() });
            }
            let end = self.whole + LENGTH + length;
            if end > self.buffer.len() {
                return Ok(end);
            }
            if self.known > 0 {
                let entry = self.buffer.split_to(end);
                self.drop_known(&entry[LENGTH..])?;
                continue;
            }
            self.take_new()?;
            if end > self.size && self.entries >= self.least {
                return Ok(end);
            }
            self.whole = end;
            self.entries += 1;
        }
    }

    fn cut(&mut self) -> Cut {
        let rest = &self.buffer[self.whole..];
        let mut next = BytesMut::new();
        if !rest.is_empty() {
            next.reserve(self.size);
            next.extend_from_slice(rest);
        }
        let mut bytes = std::mem::replace(&mut self.buffer, next);
        bytes.truncate(self.whole);
        self.whole = 0;
        self.least = 1;
        self.before += self.entries;
        Cut {
            bytes: bytes.freeze(),
            entries: std::mem::take(&mut self.entries),
        }
    }
}

/// The length at the start of `bytes`, once it is there.
fn length(bytes: &[u8]) -> Option<usize> {
    let (length, _) = bytes.split_first_chunk::<LENGTH>()?;
    Some(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNK: usize = 64 << 10;

    fn encode(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            bytes.extend_from_slice(&u16::try_from(entry.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(entry);
        }
        bytes
    }

    /// The chunks of a body that arrives in pieces of these lengths, repeated.
    fn cuts(body: &[u8], pieces: &[usize], known: u64) -> Result<Vec<Cut>, Fault> {
        let (mut cutter, mut cuts) = (Cutter::new(CHUNK, known), Vec::new());
        let (mut rest, mut lengths) = (body, pieces.iter().cycle());
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rest.len().min(*lengths.next().unwrap()));
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(cut) = cutter.feed(&mut piece)? {
                cuts.push(cut);
            }
            assert!(piece.is_empty());
            rest = tail;
        }
        cuts.extend(cutter.finish()?);
        Ok(cuts)
    }

    /// The rule, written naively.
    fn expected(entries: &[Vec<u8>]) -> Vec<Cut> {
        let mut runs: Vec<Vec<Vec<u8>>> = Vec::new();
        for entry in entries {
            match runs.last_mut() {
                Some(run) if encode(run).len() + 2 + entry.len() <= CHUNK && run.len() < 1024 => {
                    run.push(entry.clone())
                }
                _ => runs.push(vec![entry.clone()]),
            }
        }
        let cut = |run: Vec<Vec<u8>>| Cut {
            bytes: encode(&run).into(),
            entries: run.len() as u64,
        };
        runs.into_iter().map(cut).collect()
    }

    fn entries() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let length = prop_oneof![
            4 => 1usize..300,
            1 => 20_000usize..=65_535,
            1 => Just(65_535usize),
            1 => (CHUNK - 6)..=(CHUNK - 1),
        ];
        prop::collection::vec(length.prop_map(|n| vec![n as u8; n]), 0..20)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn cuts_depend_on_the_entries_alone(
            entries in entries(),
            pieces in prop::collection::vec(prop_oneof![1usize..10, 1000usize..200_000], 1..5),
            known in 0usize..25,
        ) {
            let rest = entries.get(known..).unwrap_or_default();
            let body = encode(&entries);
            prop_assert_eq!(cuts(&body, &pieces, known as u64).unwrap(), expected(rest));
            // Entry by entry it is the same.
            let mut cutter = Cutter::new(CHUNK, known as u64);
            let cuts = entries.iter().filter_map(|entry| cutter.entry(entry).unwrap());
            let mut single: Vec<Cut> = cuts.collect();
            prop_assert_eq!(cutter.seen(), entries.len() as u64);
            single.extend(cutter.finish().unwrap());
            prop_assert_eq!(single, expected(rest));
        }

        #[test]
        fn a_body_that_ends_early_is_never_taken_for_whole(
            entries in entries().prop_filter("some", |e| !e.is_empty()),
            at in any::<prop::sample::Index>(),
            piece in 1usize..70_000,
        ) {
            let body = encode(&entries);
            let at = at.index(body.len());
            let mut whole = 0;
            let count = entries
                .iter()
                .take_while(|entry| { whole += 2 + entry.len(); whole <= at })
                .count();
            let boundary = encode(&entries[..count]).len() == at;
            match cuts(&body[..at], &[piece], 0) {
                Ok(cuts) => {
                    prop_assert!(boundary);
                    prop_assert_eq!(cuts, expected(&entries[..count]));
                }
                Err(fault) => {
                    prop_assert!(!boundary);
                    let torn_there = matches!(fault, Fault::Torn { entry, .. } if entry == count as u64);
                    prop_assert!(torn_there);
                }
            }
        }

        #[test]
        fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..50) {
            if let Ok(cuts) = cuts(&body, &[piece], 0) {
                let bytes: Vec<u8> = cuts.iter().flat_map(|cut| cut.bytes.to_vec()).collect();
                prop_assert_eq!(bytes, body);
            }
        }
    }

    #[test]
    fn short_entries_are_counted() {
        let entries: Vec<Vec<u8>> = (0..2_600u32).map(|n| vec![n as u8]).collect();
        for piece in [7, 10_000] {
            let cuts = cuts(&encode(&entries), &[piece], 10).unwrap();
            let counts: Vec<u64> = cuts.iter().map(|c| c.entries).collect();
            assert_eq!(counts, [1024, 1024, 542]);
            assert_eq!(cuts, expected(&entries[10..]));
        }
    }

    /// However long they are, the first two entries of a body under a key go together.
    #[test]
    fn a_body_under_a_key_begins_with_two_entries() {
        let entries = [1, 2, 3].map(|n| vec![n; 65_535]);
        let cutter = || Cutter::new(CHUNK, 0).repeating(Some(Repeat::default()));
        for count in 1..=3 {
            let (mut whole, mut cuts) = (cutter(), Vec::new());
            let mut body = Bytes::from(encode(&entries[..count]));
            while let Some(cut) = whole.feed(&mut body).unwrap() {
                cuts.push(cut);
            }
            cuts.extend(whole.finish().unwrap());
            let counts: Vec<u64> = cuts.iter().map(|cut| cut.entries).collect();
            assert_eq!(counts, [&[1][..], &[2], &[2, 1]][count - 1]);
            let bytes: Vec<u8> = cuts.iter().flat_map(|cut| cut.bytes.to_vec()).collect();
            assert_eq!(bytes, encode(&entries[..count]));
            let mut single = cutter();
            let all = entries[..count].iter();
            let mut again: Vec<Cut> = all.filter_map(|e| single.entry(e).unwrap()).collect();
            again.extend(single.finish().unwrap());
            assert_eq!(again, cuts);
        }
    }

    #[test]
    fn an_empty_entry_is_refused_where_it_stands() {
        let body = [0, 1, b'x', 0, 0, 0, 1, b'y'];
        assert_eq!(cuts(&body, &[3], 0), Err(Fault::Empty { entry: 1 }));
    }
}
