//! The keys of one shard, all of one name: Ed25519, and in a shard of `ecdsa-p256` an ECDSA key beside it.
//!
//! The Ed25519 key signs everything, always with the same bytes: checkpoints, seals, receipts. It is the key that witnesses and
//! auditors know. The ECDSA key, which clients of Sigstore know, signs checkpoints and the note that Rekor's first API answers,
//! each time differently: such notes are compared by their text. What must never happen: one of the notes over a position without
//! the other.

use order::slot::ShardIdentity;
use tlog::{Checkpoint, EntryTimestamp, Hash, NoteError, Opening, Signer, TreeSize, VerifierKey};
use zeroize::Zeroizing;

use super::keys::LEN;

/// Bytes of the secrets of a shard of `ecdsa-p256`: the Ed25519 seed, then the secret number of P-256.
pub(crate) const WITH_ECDSA: usize = 2 * LEN;

/// The secret keys of a shard.
pub(crate) struct Signers {
    pub(crate) ed25519: Signer,
    ecdsa: Option<Signer>,
}

/// The opening statement of a shard ([`Opening`]), signed with its ECDSA key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOpening {
    /// The text under the signature, [`Opening::to_text`].
    pub text: String,
    /// The key: SubjectPublicKeyInfo, DER.
    pub key: Vec<u8>,
    /// ASN.1 DER, over the SHA-256 of the text.
    pub signature: Vec<u8>,
}

/// The notes over one position, signed in one step.
pub(crate) struct Notes {
    /// The checkpoint (C2SP tlog-checkpoint): a line of each key.
    pub(crate) checkpoint: String,
    /// The same for Rekor's first API, of a shard with an ECDSA key: exactly one line.
    pub(crate) rekor: Option<String>,
}

impl Signers {
    /// The keys from their secrets, as they are sealed.
    ///
    /// # Errors
    /// [`NoteError`] when they are no secrets, or the name cannot be a key's.
    pub(crate) fn open(name: &str, secrets: &[u8]) -> Result<Self, NoteError> {
        let length = NoteError::Key("the secrets of a shard have 32 or 64 bytes");
        let (seed, rest) = secrets.split_first_chunk::<LEN>().ok_or(length.clone())?;
        let ecdsa = match rest {
            [] => None,
            rest => Some(rest.try_into().map_err(|_| length)?),
        };
        Ok(Self {
            ed25519: Signer::from_seed(name, seed)?,
            ecdsa: ecdsa
                .map(|secret| Signer::from_p256(name, secret))
                .transpose()?,
        })
    }

    /// The Ed25519 key and the ECDSA key as vkeys.
    pub(crate) fn vkeys(&self) -> (String, Option<String>) {
        let vkey = |signer: &Signer| signer.verifier().to_string();
        (vkey(&self.ed25519), self.ecdsa.as_ref().map(vkey))
    }

    /// The key and signature of an opening statement, of a shard with an ECDSA key.
    ///
    /// # Errors
    /// [`NoteError`] where the cryptography fails.
    pub(crate) fn open_shard(&self, opening: &Opening) -> Result<Option<SignedOpening>, NoteError> {
        let signed = |ecdsa: &Signer| {
            Ok(SignedOpening {
                text: opening.to_text(),
                key: ecdsa.verifier().bytes().to_vec(),
                signature: opening.sign(ecdsa)?,
            })
        };
        self.ecdsa.as_ref().map(signed).transpose()
    }

    /// A signed entry timestamp, of a shard with an ECDSA key.
    ///
    /// # Errors
    /// [`NoteError`] where the timestamp is another shard's, or the cryptography fails.
    pub(crate) fn sign_entry(
        &self,
        entry: &EntryTimestamp<'_>,
    ) -> Result<Option<Vec<u8>>, NoteError> {
        self.ecdsa
            .as_ref()
            .map(|ecdsa| entry.sign(ecdsa))
            .transpose()
    }

    /// The notes over a size and root.
    ///
    /// # Errors
    /// [`NoteError`]; then there is none of them.
    pub(crate) fn notes(
        &self,
        shard: &ShardIdentity,
        size: TreeSize,
        root: Hash,
    ) -> Result<Notes, NoteError> {
        let mut checkpoint = Checkpoint {
            origin: shard.origin.clone(),
            size: size.get(),
            root,
            extensions: Vec::new(),
        };
        let Some(ecdsa) = &self.ecdsa else {
            return Ok(Notes {
                checkpoint: checkpoint.sign(&self.ed25519)?,
                rekor: None,
            });
        };
        let both = checkpoint.sign_all(&[ecdsa, &self.ed25519])?;
        checkpoint.origin = rekor_origin(shard);
        Ok(Notes {
            checkpoint: both,
            rekor: Some(tlog::sign(&checkpoint.to_text(), &[ecdsa])?),
        })
    }
}

/// The first line of a shard's note for Rekor's first API; the name of its key is the shard's origin alone.
fn rekor_origin(shard: &ShardIdentity) -> String {
    format!("{} - {}", shard.origin, shard.tree_id)
}

/// Fresh secrets of a shard.
///
/// # Errors
/// Those of `fill`.
pub(crate) fn secrets<E>(
    ecdsa: bool,
    mut fill: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<Zeroizing<Vec<u8>>, E> {
    let mut secrets = Zeroizing::new(vec![0; if ecdsa { WITH_ECDSA } else { LEN }]);
    fill(&mut secrets)?;
    // Once in 2^32 times a number is not a valid secret of the curve.
    while let Some(number) = secrets.get_mut(LEN..).filter(|number| !number.is_empty()) {
        let fits =
            <&[u8; LEN]>::try_from(&*number).is_ok_and(|n| Signer::from_p256("x", n).is_ok());
        if fits {
            break;
        }
        fill(number)?;
    }
    Ok(secrets)
}

/// The public keys of a shard.
#[derive(Clone, Debug)]
pub(crate) struct Verifiers {
    /// The key that everything is signed with.
    pub(crate) ed25519: VerifierKey,
    /// The ECDSA key, in a shard of `ecdsa-p256`.
    pub(crate) ecdsa: Option<VerifierKey>,
}

impl Verifiers {
    /// The keys that an identity names.
    ///
    /// # Errors
    /// [`NoteError`] when they are no vkeys.
    pub(crate) fn of(shard: &ShardIdentity) -> Result<Self, NoteError> {
        let ecdsa = shard.ecdsa.as_deref().map(str::parse).transpose()?;
        Ok(Self {
            ed25519: shard.vkey.parse()?,
            ecdsa,
        })
    }

    /// All keys, each of which signs each checkpoint.
    pub(crate) fn all(&self) -> Vec<&VerifierKey> {
        let ecdsa = self.ecdsa.iter();
        ecdsa.chain([&self.ed25519]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::Note;

    fn identity(signers: &Signers) -> ShardIdentity {
        let (vkey, ecdsa) = signers.vkeys();
        ShardIdentity {
            imported: None,
            name: "2026a".into(),
            origin: "2026a.log.example.org".into(),
            tree_id: 7,
            vkey,
            ecdsa,
        }
    }

    fn opened(ecdsa: bool) -> Signers {
        let secrets = secrets(ecdsa, |bytes| ambient::Ambient::unset().random.fill(bytes)).unwrap();
        Signers::open("2026a.log.example.org", &secrets).unwrap()
    }

    #[test]
    fn both_notes_say_the_same() {
        let signers = opened(true);
        let shard = identity(&signers);
        let keys = Verifiers::of(&shard).unwrap();
        let ecdsa = keys.ecdsa.as_ref().unwrap();
        assert!(ecdsa.is_ecdsa() && !keys.ed25519.is_ecdsa());
        let notes = signers
            .notes(&shard, TreeSize::new(3), Hash([9; 32]))
            .unwrap();
        let checkpoint = Checkpoint::open_all(&notes.checkpoint, &keys.all()).unwrap();
        let rekor = notes.rekor.unwrap();
        let rekor = Note::parse(&rekor).unwrap();
        assert_eq!(rekor.signatures.len(), 1, "another line breaks its clients");
        assert_eq!(rekor.verify(&[ecdsa]), Ok(vec![0]));
        let of = Checkpoint::parse(rekor.text).unwrap();
        assert_eq!(of.origin, "2026a.log.example.org - 7");
        assert_eq!((of.size, of.root), (checkpoint.size, checkpoint.root));
        // The text is always the same, the ECDSA line never.
        let again = signers
            .notes(&shard, TreeSize::new(3), Hash([9; 32]))
            .unwrap()
            .checkpoint;
        assert_ne!(again, notes.checkpoint);
        let text = |note: &str| Note::parse(note).unwrap().text.to_owned();
        assert_eq!(text(&again), text(&notes.checkpoint));
    }

    #[test]
    fn a_shard_of_ed25519_signs_as_ever() {
        let signers = opened(false);
        let shard = identity(&signers);
        assert_eq!(shard.ecdsa, None);
        let notes = signers
            .notes(&shard, TreeSize::new(3), Hash([9; 32]))
            .unwrap();
        let again = signers
            .notes(&shard, TreeSize::new(3), Hash([9; 32]))
            .unwrap();
        assert_eq!(notes.checkpoint, again.checkpoint);
        assert!(notes.rekor.is_none());
    }

    #[test]
    fn secrets_are_numbers_of_the_curve() {
        // The first draw is above the order of the curve.
        let mut draws = vec![7, 0xff];
        let secrets = secrets(true, |bytes| {
            bytes.fill(draws.pop().unwrap());
            Ok::<_, ()>(())
        });
        let secrets = secrets.unwrap();
        assert_eq!((secrets[0], secrets[LEN]), (0xff, 7));
        assert!(Signers::open("x", &secrets).is_ok());
        for bad in [&secrets[..31], &secrets[..33], &[0; 64], &[0; 96]] {
            assert!(Signers::open("x", bad).is_err());
        }
    }
}
