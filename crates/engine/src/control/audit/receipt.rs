//! Proof that an entry is in the trail.

use std::time::Duration;

use super::Audited;
use crate::read::Inclusion;
use tlog::GlobalIndex;

/// How long an answer waits for the checkpoint that covers its intent. The change has been made, so an answer without a receipt is better
/// than none, and it has the entry's index anyway.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(1);

/// An entry of the trail, and the proof that a signed checkpoint covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Index in the system log.
    pub index: GlobalIndex,
    /// A [`Record`](super::record::Record) as it is in the log.
    pub entry: String,
    /// The proof of its inclusion.
    pub inclusion: Inclusion,
}

impl Audited {
    /// Proof that an entry is in the trail, once a checkpoint covers it; `None` when that takes too long.
    pub(in crate::control) async fn receipt(&self, index: GlobalIndex) -> Option<Receipt> {
        let system = self.engine.system()?;
        let covered = async {
            system.wait_published(index).await.ok()?;
            let entry = system.entry(index).await.ok()??;
            Some(Receipt {
                index,
                inclusion: system.inclusion(index).await.ok()??,
                entry: String::from_utf8(entry.bytes.to_vec()).ok()?,
            })
        };
        let receipt = tokio::time::timeout(RECEIPT_TIMEOUT, covered)
            .await
            .ok()
            .flatten();
        if receipt.is_none() {
            tracing::warn!(
                index = index.get(),
                "no checkpoint of the audit trail covers the intent yet"
            );
        }
        receipt
    }
}
