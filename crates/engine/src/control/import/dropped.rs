//! An import that is dropped.
//!
//! The row says so before the first object is deleted: from then on nothing is added, no log is made, and only a drop continues. It stays
//! when all is deleted, so that a process that still writes entries of this import is refused, also when another import has begun.
//!
//! A drop that was interrupted is continued by another run. The first run may only be suspended, so it looks at the row again before each delete.
//! That look can be out of date as well, so the row also says when another run continued the drop: for some time after that no log is made.

use std::sync::Arc;

use logconfig::LogName;
use order::keys::{LOGS, RESTORING};
use store::{Guard, StoreError};
use tlog::UnixMillis;

use super::row::Stage;
use super::{Importing, known, row};
use crate::control::ChangeError;
use crate::engine::Engine;

/// Objects that are deleted at a time.
pub(super) const AT_ONCE: usize = 256;

impl Engine {
    /// Whether there is anything to drop: an import, or objects of one that was dropped.
    pub(in crate::control) async fn has_import(&self, log: &LogName) -> Result<bool, ChangeError> {
        Ok(match known(&*self.store, log.as_str()).await? {
            Some(known) if known.stage == Stage::Dropped => {
                self.left_of(log.as_str(), &known).await?.is_some()
            }
            known => known.is_some(),
        })
    }

    /// Drops an import: its entries, and all that is known of it. Returns whether there was one.
    pub(in crate::control) async fn import_dropped(
        self: &Arc<Self>,
        log: &LogName,
    ) -> Result<bool, ChangeError> {
        let name = log.as_str();
        if !self.has_import(log).await? {
            return Ok(false);
        }
        let Some(mut importing) = known(&*self.store, name).await? else {
            return Ok(false);
        };
        self.not_restoring(name).await?;
        // What was signed may be all that is left of a log.
        self.only_imported(name, &importing).await?;
        if importing.stage == Stage::Dropping {
            importing.continued = Some(self.sound_time()?);
        }
        importing.stage = Stage::Dropping;
        self.note_drop(name, importing.clone()).await?;
        importing.edition += 1;
        for folder in importing.folders() {
            let objects = self.objects.list(&format!("{name}/{folder}/")).await?;
            for some in objects.chunks(AT_ONCE) {
                self.still_drops(name, importing.edition).await?;
                self.objects.delete(some.to_vec()).await?;
            }
        }
        importing.stage = Stage::Dropped;
        self.note_drop(name, importing).await?;
        Ok(true)
    }

    /// The time, unless the clock is wrong.
    pub(in crate::control) fn sound_time(&self) -> Result<UnixMillis, StoreError> {
        let now = self.clock.sound();
        now.map_err(|fault| StoreError::Clock(fault.to_string()))
    }

    /// Refuses to delete for a drop that another run has continued since.
    async fn still_drops(&self, name: &str, edition: u64) -> Result<(), ChangeError> {
        match known(&*self.store, name).await? {
            Some(now) if now.edition == edition => Ok(()),
            _ => Err(ChangeError::Conflict(format!(
                "another process drops the import into the log {name}; ask again"
            ))),
        }
    }

    async fn note_drop(&self, name: &str, importing: Importing) -> Result<(), ChangeError> {
        let guards = vec![
            Guard::Absent(format!("{LOGS}{name}")),
            Guard::Absent(format!("{RESTORING}{name}")),
            Guard::Present(row(name)),
        ];
        self.note_import(name, guards, importing).await
    }
}
