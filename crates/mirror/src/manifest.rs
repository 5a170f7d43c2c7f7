//! The envelope of a manifest: what a restore needs beside the entries, sealed by the log, so that a secondary keeps it without
//! being able to read it.
//!
//! The envelope is signed with the log's replication key. Anybody may read a manifest and send it to a secondary again, so the
//! envelope has everything that orders it among others: the life of the log, the number of slots, and, for manifests after the same
//! slot, the edition. An older one never replaces a newer one. It also says which state of the log its life has *settled*: see [`Settled`].

use store::record;
use tlog::{Note, NoteError, Signer, VerifierKey};

/// The first line of each manifest's note, by how many numbers follow the origin: older versions wrote no edition, and nothing settled.
const TYPES: [(usize, &str); 3] = [
    (2, "logctl.dev/manifest/v1"),
    (4, "logctl.dev/manifest/v2"),
    (6, "logctl.dev/manifest/v3"),
];
/// The longest manifest, bytes.
pub const MAX_MANIFEST: usize = 16 << 20;

/// The newest state of a log that may have had an effect outside of it, such as a sealed shard, as far as the author of a manifest knows. It
/// never goes back: a life that was restored from less must be restored again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Settled {
    /// The life that made it: the one of the manifest, if that life may sign; otherwise an earlier one, from which it was restored.
    pub life: u64,
    /// The newest generation that it made.
    pub generation: u64,
}

/// The fields of an envelope beside the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The life of the log; 0 if it was never restored.
    pub restored: u64,
    /// The entries that this life was restored with; the largest number if that is not known.
    pub entries: u64,
    /// Grows with what changes without a slot.
    pub edition: u64,
    /// The state that this life has settled.
    pub settled: Settled,
}

impl Stamp {
    /// Whether the life may sign, by what it has settled.
    pub fn may_sign(&self) -> bool {
        self.settled.life == self.restored
    }
}

/// A manifest in its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    /// The log's origin: the name of the replication key.
    pub origin: String,
    /// Grows with the order.
    pub number: u64,
    /// The life of the log: when it was last restored; 0 if never.
    pub restored: u64,
    /// The entries that this life was restored with, where the envelope says it.
    pub entries: Option<u64>,
    /// Of manifests with the same number, the one with the larger edition is newer; 0 in those of older versions.
    pub edition: u64,
    /// The state that its life has settled. Older versions did not say: then the life counts as one that may sign, in no generation.
    pub settled: Settled,
    note: String,
    sealed: Vec<u8>,
}

/// The signed text; `None` if no version wrote this many numbers.
fn text(origin: &str, numbers: &[u64], sealed: &[u8]) -> Option<String> {
    let digest = record::digest(sealed).to_base64();
    let (_, kind) = TYPES.iter().find(|(count, _)| *count == numbers.len())?;
    let numbers: String = numbers.iter().map(|number| format!("{number}\n")).collect();
    Some(format!("{kind}\n{origin}\n{numbers}{digest}\n"))
}

impl SignedManifest {
    /// Puts content that was sealed after `number` slots into its envelope.
    ///
    /// # Errors
    /// [`NoteError`] when signing fails.
    pub fn sign(
        sealed: &[u8],
        number: u64,
        stamp: Stamp,
        signer: &Signer,
    ) -> Result<Vec<u8>, NoteError> {
        let origin = signer.verifier().name();
        let Settled { life, generation } = stamp.settled;
        let numbers = [
            number,
            stamp.restored,
            stamp.entries,
            stamp.edition,
            life,
            generation,
        ];
        let text = text(origin, &numbers, sealed).ok_or(NoteError::Malformed("no such version"))?;
        let note = tlog::sign(&text, &[signer])?;
        let length = u32::try_from(note.len()).map_err(|_| NoteError::Malformed("too long"))?;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(note.as_bytes());
        bytes.extend_from_slice(sealed);
        Ok(bytes)
    }

    /// Takes an envelope apart. None of it may be believed yet.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] if it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("not a manifest");
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(malformed.clone())?;
        let length = u32::from_be_bytes(*length) as usize;
        let (note, sealed) = rest.split_at_checked(length).ok_or(malformed.clone())?;
        let note = std::str::from_utf8(note).map_err(|_| malformed.clone())?;
        let parsed = Note::parse(note)?;
        let mut lines = parsed.text.lines().skip(1);
        let origin = lines.next();
        let numbers: Vec<u64> = lines.map_while(|line| line.parse().ok()).take(6).collect();
        let signed = |origin: &&str| Some(parsed.text) == text(origin, &numbers, sealed).as_deref();
        let Some(origin) = origin.filter(signed) else {
            return Err(malformed);
        };
        let (number, restored, entries, edition, settled) = match *numbers {
            [number, restored] => (number, restored, None, 0, None),
            [number, restored, entries, edition, ref settled @ ..] => (
                number,
                restored,
                Some(entries),
                edition,
                settled.first_chunk(),
            ),
            _ => return Err(malformed),
        };
        let [life, generation] = *settled.unwrap_or(&[restored, 0]);
        Ok(Self {
            origin: origin.to_owned(),
            number,
            restored,
            entries,
            edition,
            settled: Settled { life, generation },
            note: note.to_owned(),
            sealed: sealed.to_vec(),
        })
    }

    /// Its age, which orders it among others of its log.
    pub fn age(&self) -> (u64, u64, u64) {
        (self.restored, self.number, self.edition)
    }

    /// Whether its life may sign, by what it has settled.
    pub fn may_sign(&self) -> bool {
        self.settled.life == self.restored
    }

    /// Checks the signature of the log's replication key.
    ///
    /// # Errors
    /// [`NoteError`] unless it is good.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        Note::parse(&self.note)?.verify(&[key])?;
        Ok(())
    }

    /// The content that the log has sealed.
    pub fn sealed(&self) -> &[u8] {
        &self.sealed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_says_what_was_signed() {
        let signer = Signer::from_seed("example.org/log", &[3; 32]).unwrap();
        let stamp = Stamp {
            restored: 5,
            entries: 70,
            edition: 3,
            settled: Settled {
                life: 4,
                generation: 9,
            },
        };
        let bytes = SignedManifest::sign(b"sealed", 17, stamp, &signer).unwrap();
        let signed = SignedManifest::parse(&bytes).unwrap();
        assert_eq!(
            (signed.origin.as_str(), signed.number, signed.restored),
            ("example.org/log", 17, 5)
        );
        assert_eq!((signed.entries, signed.edition), (Some(70), 3));
        assert_eq!(signed.settled, stamp.settled);
        assert_eq!(signed.sealed(), b"sealed");
        signed.verify(signer.verifier()).unwrap();
        let other = Signer::from_seed("example.org/log", &[4; 32]).unwrap();
        assert!(signed.verify(other.verifier()).is_err());
        assert!(tlog::Checkpoint::parse(Note::parse(&signed.note).unwrap().text).is_err());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let good =
                SignedManifest::parse(&bad).is_ok_and(|s| s.verify(signer.verifier()).is_ok());
            assert!(!good, "byte {at}");
        }
    }

    #[test]
    fn envelopes_of_older_versions_are_read() {
        let signer = Signer::from_seed("example.org/log", &[3; 32]).unwrap();
        let made = |numbers: &[u64]| {
            let text = text("example.org/log", numbers, b"sealed").unwrap();
            let note = tlog::sign(&text, &[&signer]).unwrap();
            let mut bytes = u32::try_from(note.len()).unwrap().to_be_bytes().to_vec();
            bytes.extend_from_slice(note.as_bytes());
            bytes.extend_from_slice(b"sealed");
            let signed = SignedManifest::parse(&bytes).unwrap();
            signed.verify(signer.verifier()).unwrap();
            signed
        };
        let first = made(&[17, 5]);
        assert_eq!((first.age(), first.entries), ((5, 17, 0), None));
        let second = made(&[17, 5, 70, 3]);
        assert_eq!((second.age(), second.entries), ((5, 17, 3), Some(70)));
        let settled = Settled {
            life: 5,
            generation: 0,
        };
        assert_eq!((first.settled, second.settled), (settled, settled));
    }
}
