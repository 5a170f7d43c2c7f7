//! Goes through the shards of a lost log, oldest first, and reads their copies, in the same loop for a restore and for a drill. A restore reads the
//! best copy of each shard, writes it down, and ends at the first [`Problem`] unless it is forced. A drill reads all copies, writes nothing, and only
//! notes the problems.

use tlog::{GlobalIndex, Hash, TreeSize};

use crate::restore::believed::Believed;
use crate::restore::check::CheckedCopy;
use crate::restore::rules::{self, Opened, Problem, Rules};
use crate::restore::source::{Fault, Source};
use crate::restore::write::Begun;
use crate::restore::{Restore, RestoreError};

/// What can be restored of a shard.
pub(super) struct Whole {
    pub(super) size: TreeSize,
    pub(super) root: Hash,
    /// The source of the entries; empty if there are none.
    pub(super) url: String,
}

impl Default for Whole {
    fn default() -> Self {
        Self {
            size: TreeSize::ZERO,
            root: tlog::empty_root(),
            url: String::new(),
        }
    }
}

/// What was read of a shard.
#[derive(Default)]
struct Read {
    whole: Whole,
    /// How two sources contradict each other, in words.
    contradiction: Option<String>,
    copies: Vec<CheckedCopy>,
}

/// The copies of a lost log, as far as they were read.
pub(super) struct Reading<'a> {
    restore: &'a Restore,
    /// The restore for which copies are written down; `None` in a drill.
    begun: Option<&'a Begun>,
    pub(super) rules: Rules,
    pub(super) sources: Vec<Source>,
    /// In the order in which they were found.
    pub(super) problems: Vec<Problem>,
    /// What was left out, and differences from the lost log, in words for an operator.
    pub(super) warnings: Vec<String>,
    /// Every copy that a drill has read.
    pub(super) copies: Vec<CheckedCopy>,
}

impl<'a> Reading<'a> {
    /// Asks the sources what they have; reads no copy.
    pub(super) async fn begin(
        restore: &'a Restore,
        begun: Option<&'a Begun>,
        believed: &Believed,
        mut warnings: Vec<String>,
    ) -> Result<Self, RestoreError> {
        let rules = believed.rules()?;
        let sources = restore.sources(believed, &rules.members, &mut warnings);
        let sources = sources.await?;
        let mut reading = Self {
            restore,
            begun,
            rules,
            sources,
            problems: Vec::new(),
            warnings,
            copies: Vec::new(),
        };
        reading.note(reading.rules.keys_changed())?;
        Ok(reading)
    }

    /// Whether the first problem ends the reading.
    fn ends(&self) -> bool {
        self.begun.is_some() && !self.restore.force
    }

    fn note(&mut self, problems: impl IntoIterator<Item = Problem>) -> Result<(), RestoreError> {
        let mut problems = problems.into_iter();
        if self.ends()
            && let Some(problem) = problems.next()
        {
            return Err(RestoreError::TooFew(problem.to_string()));
        }
        self.problems.extend(problems);
        Ok(())
    }

    /// Reads the shard at this index of [`Rules::shards`].
    pub(super) async fn shard(&mut self, at: usize) -> Result<Whole, RestoreError> {
        let shard = self.rules.shards[at].clone();
        // Whatever can be found out without a copy is found out before anything is copied.
        if self.ends() {
            self.note(self.rules.before(at, &self.sources))?;
        }
        // The largest size of a copy that was read and then left out. It may be more than is restored.
        let mut left = TreeSize::ZERO;
        let read = loop {
            let read = match self.begun {
                Some(begun) => self.read_best(begun, &shard).await?,
                None => self.read_all(&shard).await?,
            };
            let Some(why) = &read.contradiction else {
                break read;
            };
            match rules::leave_out_superseded(&mut self.sources, &shard.name, why) {
                Some((had, left_out)) => {
                    left = left.max(had);
                    self.warnings.push(left_out.to_string());
                }
                None if self.begun.is_some() => {
                    return Err(RestoreError::Contradiction(why.clone()));
                }
                None => {
                    self.problems.push(Problem::TwoHistories(why.clone()));
                    break read;
                }
            }
        };
        let Read { whole, copies, .. } = read;
        self.copies.extend(copies);
        for source in &mut self.sources {
            left = left.max(
                source
                    .discount_above(&shard.name, whole.size)
                    .unwrap_or(left),
            );
        }
        if let Some(begun) = self.begun
            && left > whole.size
        {
            let forget = self.restore.forget(begun, &shard.name, whole.size, left);
            forget.await?;
        }
        let longer = rules::longer(&shard, &self.sources);
        self.warnings.extend(longer.iter().map(ToString::to_string));
        let problems = self.rules.after(at, whole.size, &self.sources);
        let moved = problems
            .iter()
            .any(|one| matches!(one, Problem::Moved { .. }));
        self.note(problems)?;
        if let Some(closed) = shard
            .closed
            .filter(|closed| *closed != whole.size && !moved)
            && self.begun.is_some()
        {
            self.warnings.push(format!(
                "shard {} was closed with {closed} entries, of which only {} could be copied: the others are lost, and all later entries get lower indexes",
                shard.name, whole.size
            ));
        }
        Ok(whole)
    }

    /// Called with the number of entries in all shards, once all were read.
    pub(super) fn end(&mut self, entries: GlobalIndex) -> Result<(), RestoreError> {
        self.note(self.rules.fewer(entries))
    }

    /// Copies a shard from the source that has most of it, and checks it against all cosigned checkpoints. If that source does not give its copy, the
    /// next one that has the shard gives its own. What the former has cosigned still shows how much there was.
    async fn read_best(&mut self, begun: &Begun, shard: &Opened) -> Result<Read, RestoreError> {
        loop {
            let Some((at, size)) = rules::best(shard, &self.sources) else {
                return Ok(Read::default());
            };
            let best = &self.sources[at];
            let read = self
                .restore
                .copied(Some(begun), &shard.name, size, best, &self.sources);
            let (fault, why) = match read.await {
                Ok(root) => {
                    let url = best.url.clone();
                    return Ok(Read {
                        whole: Whole { size, root, url },
                        ..Read::default()
                    });
                }
                Err(RestoreError::Contradiction(why)) => {
                    return Ok(Read {
                        contradiction: Some(why),
                        ..Read::default()
                    });
                }
                Err(RestoreError::Peer { why, .. }) => (Fault::Unread(why.clone()), why),
                Err(RestoreError::Damaged { why, .. }) => (Fault::Damaged(why.clone()), why),
                Err(error) => return Err(error),
            };
            let (url, name) = (&best.url, &shard.name);
            self.warnings
                .push(format!("{url} is left out for shard {name}: {why}"));
            self.sources[at].faults.insert(name.clone(), fault);
        }
    }

    /// Reads every copy of a shard.
    async fn read_all(&mut self, shard: &Opened) -> Result<Read, RestoreError> {
        let (name, mut read) = (&shard.name, Read::default());
        for source in &mut self.sources {
            source.faults.remove(name);
        }
        for at in 0..self.sources.len() {
            let source = &self.sources[at];
            let Some(size) = source.has.get(name).map(|c| TreeSize::new(c.size)) else {
                continue;
            };
            let copied = self.restore.copied(None, name, size, source, &self.sources);
            let fault = match copied.await {
                Ok(_) => None,
                Err(RestoreError::Peer { why, .. }) => Some(Fault::Unread(why)),
                Err(RestoreError::Damaged { why, .. }) => Some(Fault::Damaged(why)),
                Err(RestoreError::Contradiction(why)) => {
                    read.contradiction.get_or_insert(why.clone());
                    Some(Fault::Contradicts(why))
                }
                Err(error) => return Err(error),
            };
            let source = &mut self.sources[at];
            source
                .faults
                .extend(fault.clone().map(|fault| (name.clone(), fault)));
            read.copies.push(CheckedCopy {
                shard: name.clone(),
                url: source.url.clone(),
                size,
                fault,
            });
        }
        if let Some((at, size)) = rules::best(shard, &self.sources) {
            let source = &self.sources[at];
            read.whole = Whole {
                size,
                root: source
                    .has
                    .get(name)
                    .map_or(tlog::empty_root(), |has| has.root),
                url: source.url.clone(),
            };
        }
        Ok(read)
    }
}
