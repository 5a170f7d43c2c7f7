//! The drill (`logd restore --check`): reads and checks everything that a restore could use, and writes nothing.
//!
//! A restore uses one good copy of each shard. The drill reads the copies of all secondaries that are named, so a bit that a disk has changed is
//! found while the log can still send the entries again.

use tlog::{GlobalIndex, TreeSize, UnixMillis};

use crate::restore::reading::Reading;
use crate::restore::source::{Fault, Source};
use crate::restore::{Restore, RestoreError};

/// The result of a drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drill {
    /// The name of the log.
    pub log: String,
    /// When the manifest that was believed was made, by the log's own time: milliseconds since the Unix epoch.
    pub time: UnixMillis,
    /// Every copy of every opened shard.
    pub copies: Vec<CheckedCopy>,
    /// Why a restore from these secondaries would be refused without force, if it would.
    pub refused: Option<String>,
    /// What was left out, in words for an operator.
    pub warnings: Vec<String>,
    /// Third-party mirrors, which have copies and no manifest.
    pub mirrors: Vec<String>,
}

/// What one secondary has of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCopy {
    /// The name of the shard.
    pub shard: String,
    /// The address of the secondary.
    pub url: String,
    /// The entries that it has cosigned.
    pub size: TreeSize,
    /// What is wrong with the copy, if anything is.
    pub fault: Option<Fault>,
}

impl Drill {
    /// Whether a restore would work, every secondary answered, and every copy is whole.
    pub fn is_good(&self) -> bool {
        self.refused.is_none()
            && self.warnings.is_empty()
            && self.copies.iter().all(|copy| copy.fault.is_none())
    }
}

impl Restore {
    /// Reads and checks every copy that the secondaries have, and says whether a restore would work. Writes nothing, and does not look at
    /// the stores.
    ///
    /// # Errors
    /// [`RestoreError`] where no copy can be looked at: no manifest, or one that contradicts itself.
    pub async fn check(&self) -> Result<Drill, RestoreError> {
        let mut warnings = Vec::new();
        let believed = self.manifest(&mut warnings).await?;
        let mut reading = Reading::begin(self, None, &believed, warnings).await?;
        let mirrors: Vec<_> = reading
            .sources
            .iter()
            .filter_map(Source::is_mirror)
            .collect();
        reading
            .warnings
            .retain(|warning| !mirrors.contains(warning));
        let absent = reading.rules.absent(&reading.sources);
        reading
            .warnings
            .extend(absent.map(|absent| absent.to_string()));
        let mut entries = GlobalIndex::ZERO;
        for at in 0..reading.rules.shards.len() {
            entries = entries + reading.shard(at).await?.size;
        }
        reading.end(entries)?;
        Ok(Drill {
            log: believed.manifest.log.clone(),
            time: believed.manifest.state.time,
            copies: reading.copies,
            refused: reading.problems.first().map(ToString::to_string),
            warnings: reading.warnings,
            mirrors,
        })
    }
}
