//! The locations of promised work and of the parts of uploads: rows that the slots' own transactions wrote.

use order::Limits;
use order::chunk::UploadId;
use order::keys::trailing_number;
use order::location::{Location, LocationRow};
use order::proposal::Proposal;
use order::token::Token;
use store::StoreError;
use store::record;

use crate::ledger::Ledger;
use tlog::GlobalIndex;

/// Rows read at a time.
const SCAN_PAGE: usize = 512;

/// A run of an upload's entries with consecutive indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadRange {
    /// Position in the upload of its first entry.
    pub first: u64,
    /// Global index of that entry.
    pub index: GlobalIndex,
    /// Number of entries in the range.
    pub entries: u64,
}

/// The accepted part of an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadProgress {
    /// Entries from its beginning; the next part has this offset.
    pub accepted: u64,
    /// The locations of those entries, in order.
    pub ranges: Vec<UploadRange>,
}

fn decode(key: &str, bytes: &[u8]) -> Result<LocationRow, StoreError> {
    record::decode(bytes).map_err(|e| StoreError::Corrupt(format!("{key}: {e}; run `logd fsck`")))
}

impl Ledger {
    /// The row of a batch's place, once it is ordered.
    pub(crate) async fn placed(
        &self,
        place: Location,
        token: Token,
    ) -> Result<Option<LocationRow>, StoreError> {
        let key = self.keys.placed(&place, token);
        let row = self.store.get(&key).await?;
        row.map(|bytes| decode(&key, &bytes)).transpose()
    }

    pub(crate) async fn part(
        &self,
        id: UploadId,
        offset: u64,
    ) -> Result<Option<LocationRow>, StoreError> {
        // A part's row does not depend on the token of the batch.
        self.placed(Location::Upload { id, offset }, Token::from_bytes([0; 16]))
            .await
    }

    /// Parts that waited for longer than the duplicate filter reaches are looked for in their rows, so that they may still be
    /// proposed.
    pub(crate) async fn renew_first_slots(&self, mine: &mut [Proposal]) {
        for m in mine {
            let first_slot = self.state().len;
            let old = m
                .first_slot
                .is_some_and(|b| first_slot > b + Limits::default().window / 2);
            let Some((id, offset)) = m.work.batch().and_then(|b| b.part()).filter(|_| old) else {
                continue;
            };
            if let Ok(None) = self.part(id, offset).await {
                m.first_slot = Some(first_slot);
            }
        }
    }

    /// The number of entries of an upload whose end was written.
    pub(crate) async fn end_of(&self, id: UploadId) -> Result<Option<u64>, StoreError> {
        let ends = self.keys.placed_ends(id);
        let rows = self.store.scan(&ends, &ends, 1).await?;
        let end = rows.first().map(|(key, _)| trailing_number(key));
        Ok(end.flatten())
    }

    /// The accepted part of an upload, and each of its parts in order; at its `end` the row that says so.
    pub(crate) async fn parts(
        &self,
        id: UploadId,
        end: Option<u64>,
        mut each: impl FnMut(&LocationRow),
    ) -> Result<UploadProgress, StoreError> {
        let prefix = self.keys.placed_parts(id);
        let (mut progress, mut from) = (UploadProgress::default(), prefix.clone());
        loop {
            let page = self.store.scan(&prefix, &from, SCAN_PAGE).await?;
            let full = page.len() == SCAN_PAGE;
            for (key, bytes) in page {
                let row = decode(&key, &bytes)?;
                from = format!("{key}\0");
                // Parts that were ordered behind the end belong to no upload.
                let behind = end == Some(progress.accepted) && !row.is_end();
                if behind {
                    continue;
                }
                if trailing_number(&key) != Some(progress.accepted) {
                    return Ok(progress); // Its beginning was swept; nothing joins on.
                }
                match progress.ranges.last_mut() {
                    Some(last) if last.index + last.entries == row.index => {
                        last.entries += row.entries
                    }
                    _ => progress.ranges.push(UploadRange {
                        first: progress.accepted,
                        index: row.index,
                        entries: row.entries,
                    }),
                }
                each(&row);
                progress.accepted += row.entries;
            }
            if !full {
                return Ok(progress);
            }
        }
    }
}
