//! The drill (`logd restore --check`): reads and checks everything that a restore could use, and writes nothing.
//!
//! A restore uses one good copy of each shard. The drill reads the copies of all secondaries that are named, so a bit that a disk has changed is
//! found while the log can still send the entries again.

use tlog::{GlobalIndex, TreeSize, UnixMillis};

use crate::restore::sources::{
    Source, absent, lacking, leave_out_earlier, longer, moved, only_longer, waiting,
};
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

/// What is wrong with a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It could not be read: nothing is known about it.
    Unread(String),
    /// It is not what the secondary has cosigned.
    Damaged(String),
    /// It is whole, and another secondary has cosigned another history.
    Contradicts(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unread(why) => write!(f, "not read: {why}"),
            Self::Damaged(why) => write!(f, "DAMAGED: {why}"),
            Self::Contradicts(why) => write!(f, "TWO HISTORIES: {why}"),
        }
    }
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
        let members = believed.members()?;
        let mut sources = self.sources(&believed, &members, &mut warnings).await?;
        let mirrors: Vec<_> = sources.iter().filter_map(Source::is_mirror).collect();
        warnings.retain(|warning| !mirrors.contains(warning));
        warnings.extend(absent(&members, &sources));
        let (mut copies, mut refused) = (Vec::new(), waiting(&members));
        let state = &believed.manifest.state;
        let names: Vec<_> = state
            .shards
            .iter()
            .map(|s| s.identity.name.clone())
            .collect();
        let mut start = GlobalIndex::ZERO;
        for (at, shard) in state.shards.iter().enumerate() {
            if shard.start().is_none() {
                continue;
            }
            let name = &shard.identity.name;
            let (checked, two) = loop {
                let checked = self.check_copies(name, &mut sources).await?;
                let two = checked.iter().find_map(|copy| match &copy.fault {
                    Some(Fault::Contradicts(why)) => Some(why.clone()),
                    _ => None,
                });
                // A restore leaves out the same copies.
                let earlier = |why: &String| leave_out_earlier(&mut sources, name, why);
                match two.as_ref().and_then(earlier) {
                    Some((_, warning)) => warnings.push(warning),
                    None => break (checked, two),
                }
                for source in &mut sources {
                    source.damaged.remove(name);
                }
            };
            let most = believed.closed(name, &shard.phase);
            warnings.extend(longer(&sources, name, most));
            let fits = |size: TreeSize| most.is_none_or(|most| size <= most);
            let whole = checked.iter().filter(|copy| copy.fault.is_none());
            let whole = whole.filter(|copy| fits(copy.size));
            let whole = whole.map(|copy| copy.size).max().unwrap_or_default();
            copies.extend(checked);
            for source in &mut sources {
                source.discount_above(name, whole);
            }
            refused = refused.or(two);
            refused = refused.or_else(|| lacking(&believed, &members, &sources, name));
            refused = refused.or_else(|| only_longer(&sources, name, most));
            if let Some(closed) = most {
                refused = refused.or_else(|| moved(&names[at..], closed, whole, &sources));
            }
            start = start + whole;
        }
        refused = refused.or_else(|| believed.fewer(start));
        Ok(Drill {
            log: believed.manifest.log.clone(),
            time: state.time,
            copies,
            refused,
            warnings,
            mirrors,
        })
    }

    /// Reads every copy of a shard. A source whose copy has a fault is noted as damaged.
    async fn check_copies(
        &self,
        name: &str,
        sources: &mut [Source],
    ) -> Result<Vec<CheckedCopy>, RestoreError> {
        let mut copies = Vec::new();
        for at in 0..sources.len() {
            let Some(size) = sources[at].has.get(name).map(|c| TreeSize::new(c.size)) else {
                continue;
            };
            let copied = self.copied(None, name, size, &sources[at], sources).await;
            let fault = match copied {
                Ok(_) => None,
                Err(RestoreError::Peer { why, .. }) => Some(Fault::Unread(why)),
                Err(RestoreError::Damaged { why, .. }) => Some(Fault::Damaged(why)),
                Err(RestoreError::Contradiction(why)) => Some(Fault::Contradicts(why)),
                Err(error) => return Err(error),
            };
            let source = &mut sources[at];
            if let Some(why) = &fault {
                source.damaged.insert(name.to_owned(), why.to_string());
            }
            copies.push(CheckedCopy {
                shard: name.to_owned(),
                url: source.url.clone(),
                size,
                fault,
            });
        }
        Ok(copies)
    }
}
