//! After a restore: entries that the lost primary announced, but never copied in full, are dropped.

use std::sync::Arc;

use store::{Transaction, record};

use super::Origin;
use crate::disk::blocking;
use crate::refusal::Refusal;
use crate::rows::Pending;
use crate::storage::transact;

/// Why a shard takes nothing while its entries that were never cosigned are being dropped, or after that has failed.
const NOT_DROPPED: &str =
    "entries that were never cosigned are not dropped yet; if this stays, restart this secondary";

impl Origin {
    /// The log was restored from what its mirrors had cosigned: drops later announcements and their entries. Cosigned entries stay, and so
    /// does an alarm. After a failure this shard is refused until the next start, which drops them.
    pub(crate) async fn drop_uncosigned(&self) -> Result<(), Refusal> {
        let mut held = Arc::clone(&self.held).lock_owned().await;
        if held.alarm.is_some() {
            return Ok(());
        }
        held.usable()?;
        // Set until the drop is done, so that it stays set if this task ends early.
        held.broken = Some(NOT_DROPPED.to_owned());
        self.show(&held);
        self.be_sure(&mut held).await?;
        let size = held.mirrored_size();
        if held.pending_size() <= size && held.tree.size() <= size.get() {
            let paid = Transaction {
                deletes: vec![self.rows.owed()],
                ..Transaction::default()
            };
            transact(&*self.store, paid).await?;
            held.broken = None;
            self.show(&held);
            return Ok(());
        }
        let durable = held.position;
        let (mut held, position) = blocking(&self.disk, move || {
            let position = held.files.position(size, durable);
            (held, position)
        })
        .await?;
        let position = position.map_err(|e| Refusal::Storage(e.to_string()))?;
        let kept = held.mirrored.as_ref().map(|mirrored| Pending {
            size,
            root: mirrored.root,
            note: mirrored.note.clone(),
        });
        let mut transaction = Transaction {
            puts: vec![
                (self.rows.position(), record::encode(&position)),
                (self.rows.pending_size(), record::encode_number(size.get())),
            ],
            deletes: vec![self.rows.owed()],
            ..Transaction::default()
        };
        for (&beyond, pending) in held.pendings.range(size + 1..) {
            tracing::warn!(
                origin = self.origin,
                size = beyond.get(),
                checkpoint = pending.note,
                "the log was restored: it announced this, and it was never copied"
            );
            transaction.deletes.push(self.rows.pending(beyond));
        }
        if let Some(kept) = &kept {
            transaction
                .puts
                .push((self.rows.pending(size), record::encode(kept)));
        }
        transact(&*self.store, transaction).await?;
        held.pendings.retain(|&at, _| at <= size);
        held.pendings.extend(kept.map(|kept| (size, kept)));
        held.position = position;
        held.drops += 1;
        let held = blocking(&self.disk, move || {
            match held.files.cut(position) {
                Ok((files, tree)) => {
                    (held.files, held.tree, held.broken) = (files, tree, None);
                }
                Err(e) => held.broken = Some(format!("{NOT_DROPPED}: {e}")),
            }
            held
        })
        .await?;
        self.show(&held);
        held.usable()
    }
}
