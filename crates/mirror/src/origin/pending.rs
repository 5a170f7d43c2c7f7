//! Pending checkpoints, to which the log has committed itself, and the alarm when it commits to two roots.

use std::collections::BTreeMap;

use store::{Coordination, Guard, StoreError, Transaction, record};
use tlog::mirror::AddCheckpoint;
use tlog::{Checkpoint, Hash, TreeSize, UnixMillis, empty_root};

use super::{Origin, OriginState, PENDINGS};
use crate::refusal::Refusal;
use crate::rows::{Alarm, Pending, Rows};
use crate::storage::transact;

/// The pending checkpoints in the store.
pub(super) async fn read(
    store: &dyn Coordination,
    rows: &Rows,
) -> Result<BTreeMap<TreeSize, Pending>, StoreError> {
    let prefix = rows.pendings();
    let mut pendings = BTreeMap::new();
    for (key, bytes) in store.scan(&prefix, &prefix, 4 * PENDINGS).await? {
        let pending: Pending =
            record::decode(&bytes).map_err(|e| StoreError::Corrupt(format!("{key}: {e}")))?;
        pendings.insert(pending.size, pending);
    }
    Ok(pendings)
}

impl Origin {
    /// Reads the pending checkpoints again, if a failed write may have left one that is not known here: then each smaller one would be
    /// refused by the store until the next start.
    pub(super) async fn be_sure(&self, held: &mut OriginState) -> Result<(), Refusal> {
        if held.unsure {
            held.pendings = read(&*self.store, &self.rows).await?;
            held.unsure = false;
            self.show(held);
        }
        Ok(())
    }

    /// Takes a checkpoint, whose signature is good, as pending.
    pub(crate) async fn add_checkpoint(
        &self,
        request: &AddCheckpoint,
        checkpoint: &Checkpoint,
        life: u64,
    ) -> Result<(), Refusal> {
        let mut held = self.held.lock().await;
        if let Some(why) = &held.broken {
            return Err(Refusal::Storage(why.clone()));
        }
        self.accepts(&held, life)?;
        self.be_sure(&mut held).await?;
        let (size, root) = (TreeSize::new(checkpoint.size), checkpoint.root);
        // Checked before everything else: a signed second root must be noticed, whatever the answer is.
        let mut raised = None;
        if held.alarm.is_none()
            && let Some(ours) = held.root(size)?
            && ours != root
        {
            raised = Some(
                self.raise_alarm(&mut held, size, ours, &request.checkpoint)
                    .await,
            );
        }
        let newest = held.pending_size();
        if request.old != newest.get() {
            return Err(Refusal::Size(newest.get()));
        }
        if let Some(refusal) = raised {
            return Err(refusal);
        }
        held.usable()?;
        if size == TreeSize::ZERO && root != empty_root() {
            return Err(Refusal::Wrong(
                "this is not the root of an empty tree".into(),
            ));
        }
        if request.old == 0 || request.old == size.get() {
            if !request.proof.is_empty() {
                return Err(Refusal::Wrong(
                    "the proof must be empty when the old size is 0 or the new size".into(),
                ));
            }
        } else {
            let before = held.root(newest)?.unwrap_or_else(empty_root);
            tlog::verify_consistency(newest.get(), size.get(), &request.proof, &before, &root)
                .map_err(|e| Refusal::Wrong(format!("from size {newest} to {size}: {e}")))?;
        }
        let pending = Pending {
            size,
            root,
            note: request.checkpoint.clone(),
        };
        let mut transaction = Transaction {
            guards: vec![Guard::AtMost(self.rows.pending_size(), size.get())],
            puts: vec![
                (self.rows.pending(size), record::encode(&pending)),
                (self.rows.pending_size(), record::encode_number(size.get())),
            ],
            ..Transaction::default()
        };
        let old: Vec<TreeSize> = held.pendings.keys().copied().collect();
        let surplus = (old.len() + 1).saturating_sub(PENDINGS);
        for size in &old[..surplus.min(old.len())] {
            transaction.deletes.push(self.rows.pending(*size));
        }
        if let Err(e) = transact(&*self.store, transaction).await {
            held.unsure = true;
            return Err(e.into());
        }
        for size in &old[..surplus.min(old.len())] {
            held.pendings.remove(size);
        }
        held.pendings.insert(size, pending);
        self.show(&held);
        Ok(())
    }

    /// Writes the alarm down; from now on the secondary accepts no writes for this log.
    pub(super) async fn raise_alarm(
        &self,
        held: &mut OriginState,
        size: TreeSize,
        ours: Hash,
        theirs: &str,
    ) -> Refusal {
        let alarm = Alarm {
            time: UnixMillis::new(self.time.now_ms()),
            size,
            ours,
            theirs: theirs.to_owned(),
        };
        tracing::error!(origin = self.origin, size = size.get(), %ours, "ALARM: this log has signed another root for this size");
        let row = Transaction {
            puts: vec![(self.rows.alarm(), record::encode(&alarm))],
            ..Transaction::default()
        };
        if let Err(e) = transact(&*self.store, row).await {
            tracing::error!(error = %e, "cannot write the alarm down");
        }
        held.alarm = Some(alarm.clone());
        self.show(held);
        Refusal::Alarm(Box::new(alarm))
    }
}
