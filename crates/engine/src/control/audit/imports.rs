//! Imports, whose beginning, with the tree heads each time, and end without a log are events of the trail. The log that an import ends in is
//! created like any other.

use logconfig::{LogConfig, LogName};
use tlog::TreeSize;

use super::Audited;
use crate::control::import::Beginning;
use crate::control::{ChangeError, ImportedSoFar, OldEntry, OldShard};

impl Audited {
    /// The progress that an import would begin with; writes nothing.
    ///
    /// # Errors
    /// As for [`begin_import`](Self::begin_import).
    pub async fn preview_import(
        &self,
        log: &LogName,
        shards: &[OldShard],
        document: Option<&LogConfig>,
    ) -> Result<Vec<ImportedSoFar>, ChangeError> {
        let beginning = self.engine.import_beginning(log, shards, document);
        Ok(match beginning.await? {
            Beginning::Known(progress) => progress,
            Beginning::New(begins) => begins.progress(),
        })
    }

    /// Begins the import of another Rekor's shards, oldest first, into a log that is created later, or returns the progress of one that has
    /// begun. `document` is the one that the log will be created with, if it is known.
    ///
    /// # Errors
    /// [`ChangeError`]: why the import cannot begin or continue, or why the log could not be created with this document.
    pub async fn begin_import(
        &self,
        log: &LogName,
        shards: &[OldShard],
        document: Option<&LogConfig>,
        actor: String,
    ) -> Result<Vec<ImportedSoFar>, ChangeError> {
        match self.engine.import_beginning(log, shards, document).await? {
            Beginning::Known(progress) => Ok(progress),
            Beginning::New(begins) => {
                let detail = begins.described();
                self.event_of("import-begin", log.as_str(), actor, detail)
                    .await?;
                self.engine.import_begun(log, begins).await
            }
        }
    }

    /// Adds entries to a shard of an import, `from` its first one in the tree. Those that are there already are skipped.
    ///
    /// # Errors
    /// [`ChangeError`]: nothing of these entries was added.
    pub async fn add_to_import(
        &self,
        log: &LogName,
        tree_id: u64,
        from: TreeSize,
        entries: Vec<OldEntry>,
    ) -> Result<Vec<ImportedSoFar>, ChangeError> {
        self.engine.import_added(log, tree_id, from, entries).await
    }

    /// Drops an import; whether there was one.
    ///
    /// # Errors
    /// [`ChangeError`] where the log is made already, or the store fails; then the rest is dropped by another call.
    pub async fn drop_import(&self, log: &LogName, actor: String) -> Result<bool, ChangeError> {
        if !self.engine.has_import(log).await? {
            return Ok(false);
        }
        let detail = "the copied entries were dropped".to_owned();
        self.event_of("import-drop", log.as_str(), actor, detail)
            .await?;
        self.engine.import_dropped(log).await
    }
}
