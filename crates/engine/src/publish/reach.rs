//! Computes how far a shard may be published: the sizes that its secondaries have verified, against every membership that binds it.

use super::{PublishAttempt, PublishError, Publisher};
use crate::position::{self, Position, SecondaryHolding};
use crate::publish::quorum::{Quorum, publishable};
use crate::running::eras::Membership;
use crate::shard::Shard;
use order::mutant::{Mutant, left_out};
use tlog::{GlobalIndex, TreeSize};

impl Publisher {
    /// The rows that count for the quorum: those over the root that was cut here. A row with another root is not of a copy of this shard.
    pub(super) async fn held(
        &self,
        shard: &Shard,
        published: TreeSize,
    ) -> Result<Vec<SecondaryHolding>, PublishError> {
        let shared = &self.shared;
        let (store, keys) = (&*shared.ledger.store, &shared.ledger.keys);
        let mut held = shared.running.held(&shard.name).await?;
        for one in &mut held {
            let Some(verified) = one.verified.take_if(|v| v.size > published) else {
                continue;
            };
            let root = position::root(store, keys, &shard.name, verified.size).await?;
            if root == Some(verified.root) {
                one.verified = Some(verified);
            }
        }
        Ok(held)
    }

    /// The size that may be published, and what is lacking for more, by the memberships that bind the entries of the shard; it begins at
    /// the global index `start`.
    pub(super) fn reach(
        &self,
        cut: &Position,
        start: GlobalIndex,
        published: TreeSize,
        held: &[SecondaryHolding],
        look: &mut PublishAttempt,
    ) -> TreeSize {
        let eras = self.shared.running.eras.load();
        let mut binding = Vec::new();
        for (at, of) in eras.members().iter().enumerate() {
            let sizes = held.iter().filter(|held| of.names(held));
            let quorum = Quorum {
                // The base binds everything.
                above: if at == 0 {
                    TreeSize::ZERO
                } else {
                    of.start.tree(start)
                },
                quorum: of.quorum as usize,
                verified: sizes
                    .filter_map(|held| Some(held.verified.as_ref()?.size))
                    .collect(),
            };
            binding.push(quorum);
        }
        if left_out(Mutant::QuorumIsThatOfBefore) {
            binding.truncate(1);
        }
        if binding.is_empty() {
            return published;
        }
        let size = publishable(&binding, cut.size, published);
        if size < cut.size {
            let lacking = eras.members().iter().zip(&binding).enumerate();
            let lacking = lacking.filter(|(_, (_, of))| cut.size > of.above);
            let lacking = lacking.filter(|(_, (_, of))| of.holding(cut.size) < of.quorum);
            let why: Vec<_> = lacking
                .map(|(at, (of, quorum))| {
                    let behind = behind(of, held, cut.size).join(", ");
                    let before = if at + 1 < binding.len() { before(of) } else { String::new() };
                    format!(
                        "{} of the {} secondaries that backupQuorum asks for{before} have verified size {} (missing: {behind})",
                        quorum.holding(cut.size),
                        quorum.quorum,
                        cut.size
                    )
                })
                .collect();
            look.lacking = Some(why.join("; and "));
        }
        size
    }
}

/// The secondaries of a membership that have not verified this size.
fn behind<'a>(of: &'a Membership, held: &[SecondaryHolding], size: TreeSize) -> Vec<&'a str> {
    let has = |name: &str, vkey: &str| {
        let one = |held: &&SecondaryHolding| held.secondary == name && held.vkey == vkey;
        let verified = held
            .iter()
            .find(one)
            .and_then(|held| held.verified.as_ref());
        verified.is_some_and(|v| v.size >= size)
    };
    let all = of.secondaries.iter();
    let behind = all.filter(|one| !has(one.name.as_str(), &one.vkey));
    behind.map(|one| one.name.as_str()).collect()
}

/// The message about a quorum that was replaced and still binds.
fn before(of: &Membership) -> String {
    format!(
        " in generation {}, before it was changed: both hold until these have taken the change,",
        of.generation
    )
}
