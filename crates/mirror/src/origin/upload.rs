//! One upload: its head, its packages, and its end, which makes them durable and then cosigns.

use std::sync::Arc;

use bytes::Bytes;
use store::{Guard, Transaction, record};
use tlog::mirror::{EntriesHead, MirrorInfo, Package};
use tlog::{Hash, LeafIndex, TILE_WIDTH, TreeSize, attach};
use tokio::sync::OwnedMutexGuard;

use super::{Origin, OriginState};
use crate::disk::blocking;
use crate::files::Position;
use crate::refusal::Refusal;
use crate::rows::Mirrored;
use crate::storage::transact;

/// How far below the next entry an upload may begin.
const SLACK: u64 = 32 * TILE_WIDTH;

#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The next entry that is expected from the client.
    pub(super) at: LeafIndex,
    pub(super) start: LeafIndex,
    pub(super) end: TreeSize,
    pub(super) root: Hash,
    /// A package was taken.
    pub(super) taken: bool,
    /// [`OriginState::drops`] when it began.
    pub(super) drops: u64,
    /// The life of the log that sends it.
    pub(super) life: u64,
}

/// An upload whose head was accepted.
pub struct Upload {
    origin: Arc<Origin>,
    progress: Progress,
}

/// How an upload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// 200: the mirror's signature line.
    Cosigned(String),
    /// 202: the entries so far are durable.
    Partial(MirrorInfo),
}

impl Upload {
    /// Checks the head of an upload.
    pub(crate) async fn begin(
        origin: Arc<Origin>,
        head: &EntriesHead,
        life: u64,
    ) -> Result<Self, Refusal> {
        let held = origin.held.lock().await;
        held.usable()?;
        origin.accepts(&held, life)?;
        if held.pendings.is_empty() && held.mirrored.is_none() {
            return Err(Refusal::Wrong("there is no pending checkpoint".into()));
        }
        let conflict = || Refusal::GoOn(held.info(TreeSize::new(head.end)));
        let root = held
            .committed(TreeSize::new(head.end))
            .ok_or_else(conflict)?
            .root;
        let far = held.tree.size().saturating_sub(head.start) > SLACK;
        if head.end < held.mirrored_size().get()
            || head.start > held.tree.size()
            || (far && head.start < head.end)
        {
            return Err(conflict());
        }
        let progress = Progress {
            at: LeafIndex::new(head.start),
            start: LeafIndex::new(head.start),
            end: TreeSize::new(head.end),
            root,
            taken: false,
            drops: held.drops,
            life,
        };
        drop(held);
        Ok(Self { origin, progress })
    }

    async fn held(&self) -> Result<OwnedMutexGuard<OriginState>, Refusal> {
        let held = Arc::clone(&self.origin.held).lock_owned().await;
        held.usable()?;
        self.origin.accepts(&held, self.progress.life)?;
        if held.drops != self.progress.drops {
            return Err(Refusal::GoOn(held.info(self.progress.end)));
        }
        Ok(held)
    }

    /// The most bytes that the package expected next can have; 0 when all have come.
    pub fn expects(&self) -> usize {
        Package::first(self.progress.at.get(), self.progress.end.get()).map_or(0, |package| {
            package.entries() * (tlog::bundle::MAX_ENTRY + 2) + 1 + 63 * Hash::LEN
        })
    }

    /// Takes the packages that are whole in `bytes`; returns how many bytes they had. Nothing is durable yet.
    ///
    /// # Errors
    /// [`Refusal::Wrong`] for a package that is not under the pending root; those before it are kept.
    pub async fn write(&mut self, bytes: Bytes) -> Result<usize, Refusal> {
        let mut held = self.held().await?;
        let mut progress = self.progress;
        let (result, progress) = blocking(&self.origin.disk, move || {
            let used = held.take(&mut progress, &bytes);
            (used, progress)
        })
        .await?;
        self.progress = progress;
        result
    }

    /// Ends the upload: entries are synced, then the position is written down, and when all have come the mirror cosigns.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when no package has arrived completely; [`Refusal::GoOn`] when the mirror already has more.
    pub async fn end(self) -> Result<Ended, Refusal> {
        // A task of its own: a client that hangs up must not leave rows that this process does not know of.
        tokio::spawn(self.finish())
            .await
            .map_err(|e| Refusal::Storage(format!("a task ended: {e}")))?
    }

    async fn finish(self) -> Result<Ended, Refusal> {
        let origin = Arc::clone(&self.origin);
        let Progress {
            start,
            end,
            root,
            taken,
            ..
        } = self.progress;
        let mut held = self.held().await?;
        // Also where the entries are here already: an answer that says "all of it" is for a client that sent something.
        if start.is_in(end) && !taken {
            return Err(Refusal::Malformed(
                "it ends inside its first package".into(),
            ));
        }
        let mut transaction = Transaction::default();
        let mut position = held.position;
        if held.tree.size() > held.position.next.get() {
            let synced;
            (held, synced) = blocking(&origin.disk, move || {
                let synced = held.sync();
                (held, synced)
            })
            .await?;
            position = match synced {
                Ok(position) => position,
                Err(refusal) => {
                    origin.show(&held);
                    return Err(refusal);
                }
            };
            transaction
                .puts
                .push((origin.rows.position(), record::encode(&position)));
        }
        let mut next = None;
        if position.next >= end && end >= held.mirrored_size() {
            next = Some(origin.cosigned(&mut held, end, root, position).await?);
        }
        let mut put = |key: String, row: &Mirrored| {
            transaction
                .guards
                .push(Guard::AtMost(key.clone(), end.get()));
            transaction
                .puts
                .push((key, record::encode_numbered(end.get(), row)));
        };
        let mut served = None;
        if let Some((mirrored, _)) = &next {
            if held.mirrored.as_ref().is_none_or(|m| m.size < end) {
                put(origin.rows.mirrored(), mirrored);
            }
            let newer = held.served.as_ref().is_none_or(|m| m.size < end);
            if newer && origin.verifiable(mirrored) {
                put(origin.rows.served(), mirrored);
                served = Some(mirrored.clone());
            }
        }
        if !transaction.puts.is_empty()
            && let Err(e) = transact(&*origin.store, transaction).await
        {
            // It is unknown whether this was written; the next start finds out.
            held.broken = Some(format!("writing the position down: {e}"));
            held.in_doubt = true;
            origin.show(&held);
            return Err(e.into());
        }
        held.position = position;
        if served.is_some() {
            held.served = served;
        }
        let answer = match next {
            Some((mirrored, line)) => {
                let further = held.mirrored_size() < end;
                if held.mirrored_size() <= end {
                    held.mirrored = Some(mirrored);
                }
                if further {
                    let noted;
                    (held, noted) = blocking(&origin.disk, move || {
                        let noted = held.files.note_cosigned(end, root);
                        (held, noted)
                    })
                    .await?;
                    if let Err(error) = noted {
                        tracing::warn!(origin = origin.origin, %error, "cannot note beside the entries what was cosigned");
                    }
                }
                Ok(Ended::Cosigned(line))
            }
            None if position.next >= end => Err(Refusal::GoOn(held.info(end))),
            None => Ok(Ended::Partial(held.info(end))),
        };
        origin.show(&held);
        answer
    }
}

impl Origin {
    /// Whether readers of the log can verify it: its note has a line of the shard's own key, whose name is the origin. The replication
    /// key's signature over the same text was checked before, so the sender may show notes here.
    fn verifiable(&self, mirrored: &Mirrored) -> bool {
        let note = tlog::Note::parse(&mirrored.note);
        note.is_ok_and(|note| note.signatures.iter().any(|line| line.name == self.origin))
    }

    /// The mirror checkpoint at `end`, with the line that goes to the client: only if the root computed here is the one that
    /// the log committed itself to.
    async fn cosigned(
        &self,
        held: &mut OriginState,
        end: TreeSize,
        root: Hash,
        position: Position,
    ) -> Result<(Mirrored, String), Refusal> {
        debug_assert!(end <= position.next, "cosigning what is not durable");
        let ours = if end == TreeSize::new(held.tree.size()) {
            held.tree.root()
        } else {
            held.files
                .root(end)
                .map_err(|e| Refusal::Storage(e.to_string()))?
        };
        let Some(pending) = held.committed(end) else {
            return Err(Refusal::GoOn(held.info(end)));
        };
        if ours != root {
            return Err(self.raise_alarm(held, end, ours, &pending.note).await);
        }
        let failed = |e: tlog::NoteError| Refusal::Storage(format!("cosigning: {e}"));
        let note = tlog::Note::parse(&pending.note).map_err(failed)?;
        let seconds = (self.time.now_ms() / 1000).max(1);
        let line = self.cosigner.cosign(note.text, seconds).map_err(failed)?;
        // Cosigned again, it carries one line of this mirror, the new one.
        let own = format!("\u{2014} {} ", self.cosigner.verifier().name());
        let bare: String = pending
            .note
            .split_inclusive('\n')
            .filter(|line| !line.starts_with(&own))
            .collect();
        let whole = attach(&bare, [line.as_str()]).map_err(failed)?;
        let mirrored = Mirrored {
            size: end,
            root,
            note: whole,
        };
        Ok((mirrored, line))
    }
}
