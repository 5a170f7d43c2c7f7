//! Copies one shard to one secondary: its cut as the pending checkpoint, its entries, and the published checkpoint.

use std::sync::Arc;

use bytes::Bytes;
use tlog::mirror::{AddCheckpoint, EntriesHead, INFO_TYPE, MirrorInfo, SIZE_TYPE};
use tokio::time::Instant;

use crate::position::{Position, Verified};
use crate::replicate::{Copier, CopyError, LONG, SHORT, SHOWN_EVERY, STUBBORN};
use mirror::Tiles;
use order::state::State;
use store::record;
use store::{Guard, Outcome, Transaction};
use tlog::TreeSize;

impl Copier {
    /// Shows the secondary the published checkpoint, which the shard's own key signs as well, so that its readers can verify what it
    /// serves: the same checkpoint again, without entries. Only while that is its newest pending checkpoint, since a pending one may not go
    /// back.
    pub(crate) async fn show(
        &mut self,
        state: &State,
        name: &str,
        origin: &str,
    ) -> Result<(), CopyError> {
        let guard = Arc::clone(&self.guard);
        let Some(signed) = guard.shards.get(state, name).and_then(|s| s.signed()) else {
            return Ok(());
        };
        let (size, root) = (signed.at.size, signed.at.root);
        let shown = self.assumed.shown(name).is_some_and(|shown| shown >= size);
        if shown || size == TreeSize::ZERO || self.assumed.pending(name) != size {
            return Ok(());
        }
        if self.shown_at.is_some_and(|at| at.elapsed() < SHOWN_EVERY) {
            self.unshown = true;
            return Ok(());
        }
        let own = format!("\u{2014} {origin} ");
        let lines = signed.note.lines().filter(|line| line.starts_with(&own));
        let checkpoint = guard.keyring.pending_checkpoint(origin, size, root).await?;
        let checkpoint = tlog::attach(&checkpoint, lines)
            .map_err(|e| CopyError::Refused(format!("the published checkpoint: {e}")))?;
        let message = AddCheckpoint {
            old: size.get(),
            proof: Vec::new(),
            checkpoint,
        };
        let body = Bytes::from(message.to_body());
        self.shown_at = Some(Instant::now());
        let answer = self
            .post("add-checkpoint", "text/plain; charset=utf-8", body, SHORT)
            .await?;
        if answer.status == 200 {
            let head = EntriesHead {
                origin: origin.to_owned(),
                start: size.get(),
                end: size.get(),
                ticket: Vec::new(),
            };
            let mut body = Vec::new();
            head.write(&mut body);
            self.post("add-entries", "application/octet-stream", body.into(), LONG)
                .await?;
        }
        // If another replica was ahead, the next size is shown instead.
        self.assumed.was_shown(name, size);
        Ok(())
    }

    /// Copies a shard up to a cut, unless another storage answers meanwhile: a new storage gets the manifest and the older shards first.
    pub(crate) async fn copy(
        &mut self,
        shard: &str,
        origin: &str,
        cut: &Position,
        have: TreeSize,
    ) -> Result<(), CopyError> {
        let guard = Arc::clone(&self.guard);
        let folder = format!("{}/{shard}", guard.ledger.name);
        let tiles = Tiles {
            objects: &*guard.objects.store,
            folder: &folder,
        };
        let mut head = EntriesHead {
            origin: origin.to_owned(),
            start: have.get(),
            end: cut.size.get(),
            ticket: Vec::new(),
        };
        let met = self.assumed.met();
        self.commit(shard, origin, cut, &tiles).await?;
        let mut stubborn = 0;
        let mut ahead: Option<(EntriesHead, Bytes)> = None;
        loop {
            if self.assumed.met() != met {
                return Ok(());
            }
            let body = match ahead.take() {
                Some((prepared, body)) if prepared == head => body,
                _ => tiles.request(&head).await?.0,
            };
            let next = sent(&head);
            // While this request is on its way, the next one is prepared; it is nearly always the right one.
            let prepare = EntriesHead {
                start: next,
                ..head.clone()
            };
            let more = next < head.end;
            let (answer, prepared) = tokio::join!(
                self.post("add-entries", "application/octet-stream", body, LONG),
                async {
                    match more {
                        true => tiles.request(&prepare).await.ok().map(|(body, _)| body),
                        false => None,
                    }
                }
            );
            let answer = answer?;
            ahead = prepared.map(|body| (prepare, body));
            let before = head.start;
            if self.assumed.met() != met {
                return Ok(());
            }
            match answer.status {
                200 => {
                    let text = self.pending_text(origin, cut);
                    let body = String::from_utf8_lossy(&answer.body);
                    let line = self.key.pick(&text, &body).map_err(|e| {
                        CopyError::Refused(format!("its cosignature does not count: {e}"))
                    })?;
                    // Asked after the entries have come: an older copy of the storage that is put back later lacks these as well.
                    let first = have == TreeSize::ZERO;
                    let state = guard.ledger.state();
                    if first && !self.has_still(&state, Some(shard)).await? {
                        return match self.assumed.met() == met {
                            true => Err(CopyError::Refused(
                                "it does not say whether it has the older shards".into(),
                            )),
                            false => Ok(()),
                        };
                    }
                    return self.record(shard, cut, line, have).await;
                }
                202 | 409 if answer.kind.starts_with(INFO_TYPE) => {
                    let info = std::str::from_utf8(&answer.body)
                        .ok()
                        .and_then(|body| MirrorInfo::parse(body).ok())
                        .ok_or_else(|| self.refused("entries", &answer))?;
                    if TreeSize::new(info.size) != cut.size {
                        // It has forgotten this checkpoint, or another replica of this log is ahead.
                        self.assumed.set_pending(shard, TreeSize::new(info.size));
                        return Err(CopyError::Refused(format!(
                            "it wants entries up to size {} instead of {}",
                            info.size, cut.size
                        )));
                    }
                    if info.next < have.get() {
                        return Err(self.lacks(shard, have, TreeSize::new(info.next)).await?);
                    }
                    head.ticket = info.ticket;
                    head.start = info.next.min(cut.size.get());
                }
                _ => return Err(self.refused("an upload", &answer)),
            }
            stubborn = if head.start > before { 0 } else { stubborn + 1 };
            if stubborn > STUBBORN {
                return Err(CopyError::Refused(
                    "it accepts requests but makes no progress; check its log".into(),
                ));
            }
        }
    }

    /// Commits this log to a cut: makes it the pending checkpoint.
    async fn commit(
        &mut self,
        shard: &str,
        origin: &str,
        cut: &Position,
        tiles: &Tiles<'_>,
    ) -> Result<(), CopyError> {
        let guard = Arc::clone(&self.guard);
        let checkpoint = guard
            .keyring
            .pending_checkpoint(origin, cut.size, cut.root)
            .await?;
        for _ in 0..STUBBORN {
            let old = self.assumed.pending(shard);
            if old > cut.size {
                // An older copy of its storage may be bound to what an earlier life of the log announced, until it gets the manifest again.
                if let Some(sent) = &mut self.assumed.manifest {
                    sent.doubt();
                }
                return Err(CopyError::Refused(format!(
                    "it has size {old} of shard {shard}, this replica is at {}: it waits until the cut is there",
                    cut.size
                )));
            }
            let message = AddCheckpoint {
                old: old.get(),
                proof: tiles.consistency(old, cut.size).await?,
                checkpoint: checkpoint.clone(),
            };
            let body = Bytes::from(message.to_body());
            let answer = self
                .post("add-checkpoint", "text/plain; charset=utf-8", body, SHORT)
                .await?;
            match answer.status {
                200 => {
                    self.assumed.set_pending(shard, cut.size);
                    return Ok(());
                }
                409 if answer.kind.starts_with(SIZE_TYPE) => {
                    let size = std::str::from_utf8(&answer.body)
                        .ok()
                        .and_then(|body| body.trim_end().parse().ok())
                        .map(TreeSize::new)
                        .ok_or_else(|| self.refused("a checkpoint", &answer))?;
                    self.assumed.set_pending(shard, size);
                }
                422 if old > TreeSize::ZERO && old < cut.size => {
                    self.confront(origin, old, tiles).await?;
                    return Err(self.refused("a checkpoint", &answer));
                }
                _ => return Err(self.refused("a checkpoint", &answer)),
            }
        }
        Err(CopyError::Refused("its size keeps changing".into()))
    }

    /// The checkpoint does not follow from what the secondary has. If it is shown this log's root at exactly that size, it can tell whether
    /// they differ.
    async fn confront(
        &mut self,
        origin: &str,
        size: TreeSize,
        tiles: &Tiles<'_>,
    ) -> Result<(), CopyError> {
        let guard = Arc::clone(&self.guard);
        let root = tiles.root(size).await?;
        let message = AddCheckpoint {
            old: size.get(),
            proof: Vec::new(),
            checkpoint: guard.keyring.pending_checkpoint(origin, size, root).await?,
        };
        let body = Bytes::from(message.to_body());
        self.post("add-checkpoint", "text/plain; charset=utf-8", body, SHORT)
            .await?;
        Ok(())
    }

    /// Writes the size that the secondary has verified.
    async fn record(
        &mut self,
        shard: &str,
        cut: &Position,
        line: String,
        before: TreeSize,
    ) -> Result<(), CopyError> {
        let guard = Arc::clone(&self.guard);
        let (store, keys) = (&*guard.ledger.store, &guard.ledger.keys);
        let incarnation = self.assumed.incarnation().unwrap_or_default().to_owned();
        let verified = Verified {
            size: cut.size,
            root: cut.root,
            cosignature: Some(line),
            time: guard.ledger.clock.now(),
        };
        let key = keys.verified(&self.name, &incarnation, shard);
        let mut transaction = Transaction {
            guards: vec![
                Guard::AtMost(key.clone(), cut.size.get()),
                // Another process has seen a newer storage since.
                Guard::Absent(keys.gone(&self.name, &incarnation)),
            ],
            puts: vec![(key, record::encode_numbered(cut.size.get(), &verified))],
            ..Transaction::default()
        };
        let number = self.counts(&mut transaction).await?;
        match guard.ledger.store.transact(transaction).await {
            Outcome::Committed => self.assumed.wrote(number),
            Outcome::Refused
                if store
                    .get(&keys.gone(&self.name, &incarnation))
                    .await?
                    .is_some() =>
            {
                // The next storage that answers is treated as a new one.
                self.assumed.lose();
                return Err(CopyError::Refused(format!(
                    "another storage than {incarnation} answered meanwhile"
                )));
            }
            // Another replica of this log was faster. If it was no further, or wrote which storage counts, this is repeated.
            Outcome::Refused => return Ok(()),
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
        }
        self.done.add(cut.size - before, 1);
        guard
            .running
            .progress
            .merged
            .send_modify(|count| *count += 1);
        Ok(())
    }

    fn pending_text(&self, origin: &str, cut: &Position) -> String {
        tlog::Checkpoint {
            origin: origin.to_owned(),
            size: cut.size.get(),
            root: cut.root,
            extensions: Vec::new(),
        }
        .to_text()
    }
}

/// The entry after the last one that a request with this head carries, unless its entries are large.
fn sent(head: &EntriesHead) -> u64 {
    tlog::mirror::packages(head.start, head.end)
        .take(tlog::mirror::MAX_PACKAGES as usize)
        .last()
        .map_or(head.end, |package| package.end)
}
