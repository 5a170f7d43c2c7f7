//! The position up to which the audit trail is complete: every intent before this entry of the system log has its outcome.

use crate::engine::Engine;
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};
use tlog::GlobalIndex;

const SETTLED: &str = "audit/settled";

impl Engine {
    /// The first entry of the system log that may hold an intent without outcome.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub(super) async fn audit_settled(&self) -> Result<GlobalIndex, StoreError> {
        let row = self.store.get(SETTLED).await?;
        let row = row.as_deref().map(record::decode_number).transpose();
        let row = row.map_err(|e| StoreError::Corrupt(format!("{SETTLED}: {e}")))?;
        Ok(GlobalIndex::new(row.unwrap_or(0)))
    }

    /// Writes down that entry's index, which never goes back.
    ///
    /// # Errors
    /// [`StoreError`] when that is not known to be done.
    pub(super) async fn set_audit_settled(&self, index: GlobalIndex) -> Result<(), StoreError> {
        let transaction = Transaction {
            guards: vec![Guard::AtMost(SETTLED.to_owned(), index.get())],
            puts: vec![(SETTLED.to_owned(), record::encode_number(index.get()))],
            ..Transaction::default()
        };
        match self.store.transact(transaction).await {
            Outcome::Committed | Outcome::Refused => Ok(()),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }
}
