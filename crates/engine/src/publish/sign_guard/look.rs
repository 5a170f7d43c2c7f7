//! Reads a shard's checkpoint in the object store, and whether there are more entries than were ordered.

use tlog::{Checkpoint, Note, NoteError, TILE_WIDTH, TilePath, TreeSize};

use crate::position;
use crate::publish::sign_guard::SignGuard;
use crate::publish::sign_guard::judge::{Found, FoundAt, Known, Verdict, judge};
use crate::shard::signers::Verifiers;
use crate::shard::{Published, Shard, SignError, Signed};
use order::state::Phase;
use store::StoreError;

/// A checkpoint object that fits.
pub(crate) struct Looked {
    pub(crate) note: String,
    pub(crate) checkpoint: Checkpoint,
}

impl Looked {
    /// Makes it the checkpoint of the shard in memory, if it covers the published row.
    pub(crate) fn take_over(self, shard: &Shard, row: &Published) {
        let Self { note, checkpoint } = self;
        if checkpoint.size >= row.size.get() {
            let at = Published {
                size: TreeSize::new(checkpoint.size),
                root: checkpoint.root,
                time: row.time,
            };
            shard.advance(Signed::new(at, note, None));
        }
    }
}

/// Classifies the bytes of a checkpoint object. One that lacks a key's line is still signed, but not by every key that readers need.
pub(crate) fn classify(bytes: &[u8], keys: &Verifiers) -> (Found, Option<Looked>) {
    let damaged = |why: String| (Found::Damaged { why }, None);
    let Ok(note) = std::str::from_utf8(bytes) else {
        return damaged("it is not text".to_owned());
    };
    let (key, all) = (&keys.ed25519, keys.all());
    let opened = Checkpoint::open_all(note, &all).map(|checkpoint| (checkpoint, true));
    let in_part = || {
        let mut each = all.iter().map(|key| Checkpoint::open(note, key));
        each.find_map(Result::ok)
            .map(|checkpoint| (checkpoint, false))
    };
    match opened.or_else(|error| in_part().ok_or(error)) {
        Ok((checkpoint, whole)) => {
            let (size, root) = (checkpoint.size, checkpoint.root);
            let note = note.to_owned();
            let looked = whole.then_some(Looked { note, checkpoint });
            (
                Found::Signed {
                    size: TreeSize::new(size),
                    root,
                },
                looked,
            )
        }
        Err(NoteError::BadSignature(name)) => damaged(format!("the signature of {name} is wrong")),
        Err(error) => match Note::parse(note).map(|note| Checkpoint::parse(note.text)) {
            // Sound, and another log's.
            Ok(Ok(of)) if of.origin != key.name() => {
                let why = format!("it is of {}", of.origin);
                (Found::Foreign { why }, None)
            }
            Ok(Ok(_)) => {
                let why = format!("{error} (its key is {key})");
                (Found::Foreign { why }, None)
            }
            _ => damaged(error.to_string()),
        },
    }
}

impl SignGuard {
    /// The checkpoint object of a shard, compared with what is published; `None` if there is no usable checkpoint.
    pub(crate) async fn look(&self, shard: &Shard) -> Result<Option<Looked>, SignError> {
        self.look_at(shard, None, false).await
    }

    /// The same, with a row that was read before. `deep`: one that is behind it is compared as well.
    pub(crate) async fn look_at(
        &self,
        shard: &Shard,
        mut row: Option<Published>,
        deep: bool,
    ) -> Result<Option<Looked>, SignError> {
        let path = self.objects.path(&shard.name, "checkpoint");
        let looked = match self.objects.store.get(&path).await? {
            None => None,
            Some(bytes) => {
                let (found, looked) = classify(&bytes, shard.verifiers()?);
                let source = FoundAt::Objects(path);
                let mut fresh = false;
                let verdict = loop {
                    let known = self.known(shard, row.as_ref(), (&source, &found), deep);
                    let known = known.await;
                    let verdict = judge(&shard.name, &source, &found, &known);
                    // The row is durable before the signature: read after the object, it covers it.
                    if fresh || matches!(verdict, Verdict::Fits) {
                        break verdict;
                    }
                    fresh = true;
                    let (store, keys) = (&*self.ledger.store, &self.ledger.keys);
                    row = position::published(store, keys, &shard.name).await?;
                };
                let verdict = self.enforce(verdict)?;
                if verdict == Verdict::Worthless {
                    tracing::warn!(log = self.ledger.name, %source, ?found, "a damaged checkpoint is signed again");
                }
                looked
            }
        };
        let mut shards = self.compared.shards();
        shards.entry(shard.name.to_string()).or_default().looked = true;
        Ok(looked)
    }

    /// Whether the checkpoint object of a shard is of our own history up to `at`, its final position, so that the final one may be put
    /// over it. A second history stops the log.
    pub(crate) async fn may_replace(&self, shard: &Shard, at: &Published) -> Result<(), SignError> {
        self.look_at(shard, None, true).await?;
        // A finding that could not be compared there is compared here, or nothing is put.
        self.clear(shard, Some((at.size, at.root))).await.map(drop)
    }

    /// Whether the checkpoint that readers have is of the history that a durable position ends: before anything is signed and put over it. A
    /// coordination store may go back while servers run, as one does that fails over and loses its last writes. What another process had
    /// signed before is ahead of the position then, or was overtaken by it.
    pub(crate) async fn not_another(&self, shard: &Shard) -> Result<(), SignError> {
        let path = self.objects.path(&shard.name, "checkpoint");
        let Some(bytes) = self.objects.store.get(&path).await? else {
            return Ok(());
        };
        let own = shard.signed();
        if own.is_some_and(|own| own.note.as_bytes() == &bytes[..]) {
            return Ok(());
        }
        match classify(&bytes, shard.verifiers()?).0 {
            // Read again, the row covers what another process signed meanwhile.
            found @ Found::Signed { .. } => self.fits(shard, &FoundAt::Objects(path), &found).await,
            _ => Ok(()),
        }
    }

    /// Compares a find elsewhere with the published position.
    pub(crate) async fn fits(
        &self,
        shard: &Shard,
        source: &FoundAt,
        found: &Found,
    ) -> Result<(), SignError> {
        let (store, keys) = (&*self.ledger.store, &self.ledger.keys);
        let row = position::published(store, keys, &shard.name).await?;
        let published = row.map(|row| (row.size, row.root));
        // A log that continued on an older store may have overtaken it: what is there is the evidence, and is compared before it is replaced.
        let here = match (found.size(), published) {
            (Some(size), Some(cut)) if size < cut.0 => {
                self.root_here(&shard.name, size, cut).await?
            }
            _ => None,
        };
        let known = Known {
            published,
            here,
            whole: true,
            ..Known::default()
        };
        self.enforce(judge(&shard.name, source, found, &known))?;
        Ok(())
    }

    async fn known(
        &self,
        shard: &Shard,
        row: Option<&Published>,
        (source, found): (&FoundAt, &Found),
        deep: bool,
    ) -> Known {
        let state = self.ledger.state();
        let at = self.compared.listed(&state, &shard.name);
        let published = row.map(|row| (row.size, row.root));
        let behind = match found {
            Found::Signed { size, .. } if deep && *size > TreeSize::ZERO => {
                Some(*size).filter(|size| published.is_some_and(|(at, _)| *size < at))
            }
            _ => None,
        };
        let here = match (behind, published) {
            (Some(size), Some(cut)) => {
                self.root_here(&shard.name, size, cut)
                    .await
                    .unwrap_or_else(|error| {
                        tracing::warn!(log = self.ledger.name, %source, %error, "cannot be compared yet");
                        self.compared.keep(&shard.name, source.clone(), found.clone());
                        None
                    })
            }
            _ => None,
        };
        let size = row.map_or(TreeSize::ZERO, |row| row.size);
        Known {
            ordered: at.and_then(|at| state.length(at)).unwrap_or_default(),
            published,
            here,
            lives: None,
            whole: at.is_some_and(
                |at| matches!(at.phase, Phase::Frozen { length, .. } if length == size),
            ),
        }
    }

    /// Whether the object store has a full bundle that what is ordered cannot fill. `false`: the slots that would tell were collected
    /// before they were read.
    pub(crate) async fn look_beyond(&self, shard: &Shard) -> Result<bool, SignError> {
        let ordered = || {
            let state = self.ledger.state();
            let at = self.compared.listed(&state, &shard.name);
            at.and_then(|at| state.length(at)).unwrap_or_default()
        };
        let index = ordered().get() / TILE_WIDTH;
        let bundle = TilePath::entries(index, 256);
        let path = self.objects.path(&shard.name, &bundle.to_string());
        if self.objects.store.get(&path).await?.is_none() {
            return Ok(true);
        }
        // Another process may have written it meanwhile; what it was made of is in the slots.
        if !self.ledger.catch_up().await? {
            return Ok(false);
        }
        let found = Found::Bundle {
            end: TreeSize::new((index + 1) * TILE_WIDTH),
        };
        let known = Known {
            ordered: ordered(),
            ..Known::default()
        };
        self.enforce(judge(&shard.name, &FoundAt::Objects(path), &found, &known))?;
        Ok(true)
    }
}

impl From<SignError> for StoreError {
    /// For a caller that reads the stores back: a contradiction in them is corruption.
    fn from(error: SignError) -> Self {
        match error {
            SignError::Store(e) => e,
            other => Self::Corrupt(other.to_string()),
        }
    }
}
