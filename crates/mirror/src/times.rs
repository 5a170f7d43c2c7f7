//! When entries were ordered, as the log sends it for the shards that Sigstore's clients read: a restored log must answer the same times.
//!
//! No root covers the times, so the log's replication key signs them, bundle by bundle, and the secondary keeps the signed note as it came.
//! In a shard that was imported from a Rekor, the signed entry timestamp that it gave follows each time, since nobody can sign it again.
//! What must never happen: a known time is replaced by another one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use store::StoreError;
use tlog::mirror::origin_hash;
use tlog::{Note, NoteError, Signer, TILE_WIDTH, TileKind, TilePath, VerifierKey};

use crate::mirror::Mirror;
use crate::refusal::Refusal;

/// The kinds of notes: the first line of each, and the bytes that it has for an entry. If the time is not known, all of these bytes are 0.
const KINDS: [(&str, usize); 2] = [
    ("logctl.dev/times/v1", 8),
    ("logctl.dev/imported-times/v1", 81),
];
/// The longest note, bytes: a full bundle's times with signatures in base64, and names.
pub const MAX_TIMES: usize = 32 << 10;

/// The times of the entries in one bundle, in the note that the log has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTimes {
    /// The origin of the shard that has the bundle.
    pub origin: String,
    /// The bundle: its index, and how many of its entries have a time here.
    pub bundle: TilePath,
    /// For each entry [`each`](Self::each) bytes: milliseconds since the Unix epoch, in eight bytes, big-endian; in an imported shard then the length
    /// of its signed entry timestamp and that, filled up to 72 bytes. All of these bytes are 0 if the log does not know the time.
    pub times: Vec<u8>,
    /// Bytes for each entry: 8, or 81 in an imported shard.
    pub each: usize,
    note: String,
}

impl SignedTimes {
    /// The note about a bundle's entries.
    ///
    /// # Errors
    /// [`NoteError`] when signing fails, or when no kind of note has that many bytes for each entry.
    pub fn sign(
        origin: &str,
        bundle: TilePath,
        times: &[u8],
        signer: &Signer,
    ) -> Result<String, NoteError> {
        let of = |each| usize::from(bundle.width) * each == times.len();
        let kind = KINDS.iter().find(|(_, each)| of(*each));
        let (kind, _) = kind.ok_or(NoteError::Malformed("not the times of a bundle"))?;
        let times = STANDARD.encode(times);
        let text = format!("{kind}\n{origin}\n{bundle}\n{times}\n");
        tlog::sign(&text, &[signer])
    }

    /// Takes a note apart. None of it may be believed yet.
    ///
    /// # Errors
    /// [`NoteError`] if it is not one.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("not the times of a bundle");
        let text = Note::parse(note)?.text;
        let lines: Vec<_> = text.lines().collect();
        let [kind, origin, bundle, times] = lines[..] else {
            return Err(malformed);
        };
        let Some((_, each)) = KINDS.iter().find(|(known, _)| *known == kind) else {
            return Err(malformed);
        };
        let (Ok(bundle), Ok(times)) = (bundle.parse::<TilePath>(), STANDARD.decode(times)) else {
            return Err(malformed);
        };
        if bundle.kind != TileKind::Entries || times.len() != usize::from(bundle.width) * each {
            return Err(malformed);
        }
        Ok(Self {
            origin: origin.to_owned(),
            bundle,
            times,
            each: *each,
            note: note.to_owned(),
        })
    }

    /// Checks the signature of the log's replication key.
    ///
    /// # Errors
    /// [`NoteError`] unless it is good.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        Note::parse(&self.note)?.verify(&[key])?;
        Ok(())
    }

    /// What the note says about each entry; `None` where the log does not know.
    fn known(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let all = self.times.chunks_exact(self.each);
        all.map(|one| one.iter().any(|byte| *byte != 0).then_some(one))
    }

    /// Whether this note says something else about an entry than `known` does.
    fn contradicts(&self, known: &Self) -> bool {
        let mut both = self.known().zip(known.known());
        self.each != known.each
            || both.any(|(new, old)| new.zip(old).is_some_and(|(new, old)| new != old))
    }

    /// Whether this note has everything that `known` has, and more.
    fn extends(&self, known: &Self) -> bool {
        let least = known.known().flatten().count();
        let both = self.known().zip(known.known());
        let kept = both.filter(|(new, old)| old.is_some() && new == old);
        kept.count() == least && self.known().flatten().count() > least
    }
}

fn path(hash: &str, bundle: u64) -> String {
    format!("times/{hash}/{bundle:020}")
}

impl Mirror {
    /// `POST times`: keeps the times of a bundle's entries, unless more of them are here.
    ///
    /// # Errors
    /// [`Refusal::Wrong`] for an entry that has another time here; the others are as those of [`Mirror::put_manifest`].
    pub async fn put_times(self: &Arc<Self>, body: &str) -> Result<(), Refusal> {
        let signed = SignedTimes::parse(body).map_err(|e| Refusal::Malformed(e.to_string()))?;
        let key = self.key(&signed.origin).ok_or(Refusal::Unknown)?;
        signed
            .verify(key)
            .map_err(|e| Refusal::Unsigned(e.to_string()))?;
        let mut timed = Arc::clone(&self.timed).lock_owned().await;
        let mirror = Arc::clone(self);
        // A task of its own, which holds the turn: a client that hangs up must not let another one in before it is done.
        tokio::spawn(async move {
            let (hash, bundle) = (origin_hash(&signed.origin), signed.bundle.index);
            mirror.keep_times(signed).await?;
            if let Some(last) = timed.get_mut(&hash) {
                *last = (*last).max(Some(bundle));
            }
            Ok(())
        })
        .await
        .map_err(|e| Refusal::Storage(format!("a task ended: {e}")))?
    }

    async fn keep_times(&self, signed: SignedTimes) -> Result<(), Refusal> {
        let path = path(&origin_hash(&signed.origin), signed.bundle.index);
        if let Some(known) = self.objects.get(&path).await? {
            let known = std::str::from_utf8(&known).ok();
            // A damaged note is replaced.
            if let Some(known) = known.and_then(|note| SignedTimes::parse(note).ok()) {
                if signed.contradicts(&known) {
                    return Err(Refusal::Wrong(format!(
                        "an entry of {} in {} already has a different time here",
                        signed.origin, signed.bundle
                    )));
                }
                if !signed.extends(&known) {
                    return Ok(());
                }
            }
        }
        if let Some(free) = self.objects.free().await?
            && free < self.min_free
        {
            return Err(Refusal::Storage(format!("only {free} bytes are free")));
        }
        self.objects.put(vec![(path, signed.note.into())]).await?;
        Ok(())
    }

    /// The note with the times of a bundle, in the shard with this origin hash.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub async fn times(&self, hash: &str, bundle: u64) -> Result<Option<Bytes>, StoreError> {
        match self.by_hash(hash) {
            Some(_) => self.objects.get(&path(hash, bundle)).await,
            None => Ok(None),
        }
    }

    /// The last bundle with times here, in the shard with this origin hash. The folder is listed for the first question alone.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn last_times(self: &Arc<Self>, hash: &str) -> Result<Option<u64>, StoreError> {
        if self.by_hash(hash).is_none() {
            return Ok(None);
        }
        let mut timed = Arc::clone(&self.timed).lock_owned().await;
        if let Some(last) = timed.get(hash) {
            return Ok(*last);
        }
        let (mirror, hash) = (Arc::clone(self), hash.to_owned());
        // A task of its own: clients that hang up must not have it listed again and again.
        let listed = tokio::spawn(async move {
            let paths = mirror.objects.list(&format!("times/{hash}")).await?;
            let last = paths.iter().filter_map(|path| path.rsplit('/').next());
            let last = last.filter_map(|number| number.parse().ok()).max();
            timed.insert(hash, last);
            Ok(last)
        });
        let ended = |e| StoreError::Io(format!("a task ended: {e}"));
        listed.await.map_err(ended)?
    }
}

/// The bundles of a shard of `size` entries from one of them on, each with its width.
pub fn bundles(from: u64, size: u64) -> impl Iterator<Item = TilePath> {
    (from..size.div_ceil(TILE_WIDTH))
        .filter_map(move |index| TilePath::at(TileKind::Entries, index, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(seed: u8) -> Signer {
        Signer::from_seed("example.org/log", &[seed; 32]).unwrap()
    }

    fn times(all: &[u64]) -> Vec<u8> {
        all.iter().flat_map(|time| time.to_be_bytes()).collect()
    }

    fn note(all: &[u64]) -> String {
        let bundle = TilePath::entries(3, all.len() as u16);
        SignedTimes::sign("example.org/log/a", bundle, &times(all), &signer(3)).unwrap()
    }

    #[test]
    fn a_note_says_what_was_signed() {
        let note = note(&[7, 0, 9]);
        let signed = SignedTimes::parse(&note).unwrap();
        assert_eq!(signed.origin, "example.org/log/a");
        assert_eq!(
            (signed.bundle, signed.times.clone()),
            (TilePath::entries(3, 3), times(&[7, 0, 9]))
        );
        signed.verify(signer(3).verifier()).unwrap();
        assert!(signed.verify(signer(4).verifier()).is_err());
        assert!(tlog::Checkpoint::parse(Note::parse(&note).unwrap().text).is_err());
        for (from, to) in [
            ("tile/entries/003.p/3", "tile/entries/003.p/4"),
            ("tile/entries", "tile/0"),
            ("times/v1", "times/v2"),
        ] {
            assert!(
                SignedTimes::parse(&note.replacen(from, to, 1)).is_err(),
                "{to}"
            );
        }
        let bundle = TilePath::entries(3, 256);
        for (_, each) in KINDS {
            let times = vec![0xff; each * 256];
            let longest =
                SignedTimes::sign("example.org/log/a", bundle, &times, &signer(3)).unwrap();
            assert!(longest.len() < MAX_TIMES - 1024);
            assert_eq!(SignedTimes::parse(&longest).unwrap().each, each);
            assert!(SignedTimes::sign("o", bundle, &times[1..], &signer(3)).is_err());
        }
    }

    /// A signed entry timestamp is as much a part of what is known as the time.
    #[test]
    fn a_signature_is_not_replaced() {
        let one = |time: u8, signature: u8| {
            let mut times = vec![0; 81];
            (times[7], times[9]) = (time, signature);
            let bundle = TilePath::entries(0, 1);
            let note = SignedTimes::sign("example.org/log/a", bundle, &times, &signer(3));
            SignedTimes::parse(&note.unwrap()).unwrap()
        };
        let known = one(7, 1);
        assert!(one(7, 2).contradicts(&known) && one(8, 1).contradicts(&known));
        assert!(!one(7, 1).contradicts(&known) && !one(0, 0).contradicts(&known));
        assert!(known.extends(&one(0, 0)) && !one(0, 0).extends(&known));
        let plain = SignedTimes::parse(&note(&[7])).unwrap();
        assert!(plain.contradicts(&known) && known.contradicts(&plain));
    }

    #[test]
    fn only_an_unknown_time_changes() {
        let parsed = |all: &[u64]| SignedTimes::parse(&note(all)).unwrap();
        for (new, known, wrong) in [
            (&[7, 8][..], &[7][..], (false, true)),
            (&[7], &[7, 8], (false, false)),
            (&[7, 8], &[7, 0], (false, true)),
            (&[7, 0], &[7, 8], (false, false)),
            (&[7, 0, 9], &[7, 8], (false, false)),
            (&[7, 8], &[7, 8], (false, false)),
            (&[6, 8], &[7], (true, false)),
        ] {
            let (new, known) = (parsed(new), parsed(known));
            let found = (new.contradicts(&known), new.extends(&known));
            assert_eq!(found, wrong, "{new:?} {known:?}");
        }
    }
}
