//! A shard's signed notes as objects: the checkpoint and the seal.
//!
//! The checkpoint of a growing shard is written with each publication and again when nothing is published, so a damaged one is only
//! reported. A final note is rewritten: the checkpoint as it was signed, the seal signed again, which makes the same bytes.
//!
//! What must never happen: a note replaces another log's, or one of the same key that is ahead or different.

use bytes::Bytes;
use tlog::{Checkpoint, Note, Seal, TreeSize};

use crate::publish::seal::seal_of;
use crate::publish::sign_guard::classify;
use crate::publish::sign_guard::judge::Found;
use crate::repair::inspect::Inspector;
use crate::shard::signers::Verifiers;
use order::state::{Phase, State};
use store::StoreError;

/// The bytes as text; `None` when they are not text.
fn text(note: &Bytes) -> Option<&str> {
    std::str::from_utf8(note).ok()
}

/// The checkpoint, if a reader of the shard would accept it.
fn checkpoint(note: &Bytes, keys: &Verifiers) -> Option<Checkpoint> {
    Checkpoint::open_all(text(note)?, &keys.all()).ok()
}

impl Inspector<'_> {
    /// Checks the notes of the shard.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn notes(&mut self, state: &State) -> Result<(), StoreError> {
        let name = &*self.shard.name;
        let position = state.shards.iter().position(|s| s.identity.name == *name);
        let Some(position) = position else {
            return Ok(());
        };
        let Ok(keys) = self.shard.verifiers() else {
            return Ok(());
        };
        let key = &keys.ed25519;
        let phase = state.shards.get(position).map(|shard| &shard.phase);
        let whole = matches!(phase, Some(Phase::Frozen { length, .. }) if *length == self.at.size);
        let path = format!("{}/checkpoint", self.folder);
        let stored = self.shared.objects.store.get(&path).await?;
        let same = |note: &Bytes| {
            let of = checkpoint(note, keys);
            of.is_some_and(|of| !whole || (of.size, of.root) == (self.at.size.get(), self.at.root))
        };
        if let Some(what) = wrong(stored.as_ref(), same) {
            self.wrong.insert(path.clone(), what.to_owned());
            // Another log's note, or one of this shard that is ahead or different, is evidence and stays. Our own note with a damaged
            // signature line is not another log's.
            let ours = |note: &Bytes| {
                let note = text(note).and_then(|note| Note::parse(note).ok());
                let of = note.and_then(|note| Checkpoint::parse(note.text).ok());
                of.is_some_and(|of| {
                    (&of.origin, of.size, of.root)
                        == (
                            &self.shard.identity.origin,
                            self.at.size.get(),
                            self.at.root,
                        )
                })
            };
            let stays = match stored.as_ref().map(|note| (note, classify(note, keys).0)) {
                Some((note, Found::Foreign { .. })) => !ours(note),
                Some((_, Found::Signed { size, .. })) if whole && size < self.at.size => {
                    let may = self.shared.guard.may_replace(self.shard, self.at).await;
                    may.inspect_err(|error| tracing::warn!(path, %error, "a checkpoint stays"))
                        .is_err()
                }
                Some((_, found)) => found.is_beyond(self.at.size, self.at.root),
                None => false,
            };
            let signed = self.shard.signed();
            match signed.filter(|signed| whole && !stays && signed.at == *self.at) {
                Some(signed) => {
                    let note = Bytes::from(signed.note.clone());
                    self.put(path, note, "the checkpoint in memory").await;
                }
                // The publisher checks a settled shard again, and signs the same note once more.
                None => drop(self.shared.signed(self.shard).await?),
            }
        }
        let next = state.shards.get(position + 1);
        let next = next.and_then(|next| self.shared.shards.get(state, &next.identity.name));
        // Older shards first: a shard whose successor has published is sealed.
        let Some(next) = next.filter(|next| whole && next.published() > TreeSize::ZERO) else {
            return Ok(());
        };
        let Ok(seal) = seal_of(self.shard, self.at, &next) else {
            return Ok(());
        };
        let path = format!("{}/seal", self.folder);
        let stored = self.shared.objects.store.get(&path).await?;
        if stored.is_none() && !self.shared.may_seal(self.shard).await? {
            // It may never have been there.
            return Ok(());
        }
        let same = |note: &Bytes| {
            let open = text(note).and_then(|note| Seal::open(note, key).ok());
            open.is_some_and(|open| open == seal)
        };
        if let Some(what) = wrong(stored.as_ref(), same) {
            self.wrong.insert(path.clone(), what.to_owned());
            // Another seal under this shard's key is evidence and stays.
            let opens = |note: &Bytes| text(note).is_some_and(|note| Seal::open(note, key).is_ok());
            if stored.as_ref().is_some_and(opens) {
                return Ok(());
            }
            match self.shared.guard.sign_seal(self.shard, &next, &seal).await {
                Ok(note) => self.put(path, note.into(), "the shard's keys").await,
                Err(error) => tracing::warn!(path, %error, "a seal can't be signed again"),
            }
        }
        Ok(())
    }

    async fn put(&mut self, path: String, note: Bytes, from: &str) {
        match self
            .shared
            .objects
            .store
            .put(vec![(path.clone(), note)])
            .await
        {
            Ok(()) => self.written.push((path, from.to_owned())),
            // It stays listed; the next look tries again.
            Err(error) => tracing::warn!(path, %error, "a damaged object can't be repaired"),
        }
    }
}

/// The fault of a note, if any.
fn wrong(stored: Option<&Bytes>, good: impl Fn(&Bytes) -> bool) -> Option<&'static str> {
    match stored {
        None => Some("is missing"),
        Some(note) if !good(note) => Some("is not what was signed"),
        Some(_) => None,
    }
}
