//! What the secondaries were told of the log: a life acts without an entry only after enough of them were.

use order::Generation;
use order::mutant::{Mutant, left_out};
use store::{Guard, StoreError};

use super::Running;
use super::eras::Membership;
use crate::position;

impl Running {
    /// Whether enough secondaries of a membership (a quorum if all are ours) hold a manifest that names this generation or a later one, from
    /// a life that may sign; if so, the guards by which those that were counted still do.
    pub(crate) async fn told(
        &self,
        of: &Membership,
        generation: Generation,
    ) -> Result<Option<Vec<Guard>>, StoreError> {
        let (named, mut counted) = self.named(of).await?;
        let foreign = counted.len();
        let told = named.into_iter().filter(|(named, _)| *named >= generation);
        counted.extend(told.map(|(_, guard)| guard));
        let enough = counted.len() - foreign >= of.told(foreign);
        Ok((enough || left_out(Mutant::ManifestIsNotAwaited)).then_some(counted))
    }

    /// The newest generation that enough of them were told of; the newest of all where nobody must be told.
    pub(crate) async fn told_up_to(&self, of: &Membership) -> Result<Generation, StoreError> {
        let (mut named, foreign) = self.named(of).await?;
        named.sort_by_key(|(generation, _)| std::cmp::Reverse(*generation));
        let Some(least) = of.told(foreign.len()).checked_sub(1) else {
            return Ok(self.ledger.state().generation);
        };
        let told = named.get(least);
        Ok(told.map_or(Generation::ZERO, |(generation, _)| *generation))
    }

    /// The generation that each secondary of a membership was told of, with the guard that it still is; and the guards of third-party mirrors, which
    /// keep no manifest.
    async fn named(
        &self,
        of: &Membership,
    ) -> Result<(Vec<(Generation, Guard)>, Vec<Guard>), StoreError> {
        let (store, keys) = (&*self.ledger.store, &self.ledger.keys);
        let (mut named, mut foreign) = (Vec::new(), Vec::new());
        for secondary in &of.secondaries {
            let name = secondary.name.as_str();
            let (storage, _) = position::storage(store, keys, name).await?;
            let unmoved = || position::unmoved(keys, name, storage);
            let Some(row) = position::manifest(store, keys, name).await? else {
                if position::foreign(store, keys, secondary).await? {
                    foreign.push(unmoved());
                }
                continue;
            };
            let live = position::live(store, keys, name).await?;
            let live = live.is_none_or(|live| {
                (&live.incarnation, &live.vkey) == (&row.incarnation, &row.vkey)
            });
            if live && row.vkey == secondary.vkey && !row.unsettled {
                named.push((row.generation, unmoved()));
            }
        }
        Ok((named, foreign))
    }
}
