//! How far each shard is: its positions against each other, and against the order.

use std::collections::BTreeMap;

use tlog::{Hash, TreeSize};

use crate::fsck::rows::all;
use crate::fsck::slots::Order;
use crate::fsck::{Findings, remedy};
use crate::shard::Published;
use order::keys::Keys;
use store::record;
use store::{Coordination, StoreError};
/// The published positions, as they were before anything else was read.
pub(crate) struct Positions(BTreeMap<String, Position>);

pub(crate) struct Position {
    pub(crate) at: Published,
    /// The root written for that size; `None` when there is none or it cannot be read.
    pub(crate) root: Option<Hash>,
}

impl Positions {
    pub(crate) fn of(&self, shard: &str) -> Option<&Position> {
        self.0.get(shard)
    }

    /// Entries published of a shard.
    pub(crate) fn published(&self, shard: &str) -> TreeSize {
        self.0
            .get(shard)
            .map_or(TreeSize::ZERO, |position| position.at.size)
    }

    /// The root over the published entries.
    pub(crate) fn root(&self, shard: &str) -> Option<Hash> {
        self.0.get(shard).map(|position| position.at.root)
    }

    /// How many entries of a shard are published.
    pub(crate) async fn now(
        &self,
        store: &dyn Coordination,
        order: &Order,
        shard: &str,
    ) -> Result<TreeSize, StoreError> {
        let row = store.get(&order.keys.published(shard)).await?;
        Ok(TreeSize::new(
            row.and_then(|row| record::decode_number(&row).ok())
                .unwrap_or(0),
        ))
    }
}

/// Reads the positions with their roots.
pub(crate) async fn read(
    store: &dyn Coordination,
    name: &str,
    findings: &mut Findings<'_>,
) -> Result<Positions, StoreError> {
    let keys = Keys::new(name);
    let mut positions = BTreeMap::new();
    let prefix = keys.all_published();
    for (key, mut bytes) in all(store, &prefix).await? {
        let shard = key[prefix.len()..].to_owned();
        // A running server moves position and root together: until both are of one moment.
        for _ in 0..64 {
            let at = match record::decode_numbered::<Published>(&bytes) {
                Ok((number, at)) if number == at.size.get() => at,
                Ok((number, at)) => {
                    findings.row(
                        &key,
                        format!("is guarded by {number} but says {}", at.size),
                        remedy::ROW,
                    );
                    break;
                }
                Err(error) => {
                    findings.row(&key, error, remedy::ROW);
                    break;
                }
            };
            let root_key = keys.root(&shard, at.size);
            let root = store.get(&root_key).await?;
            if let Some(again) = store.get(&key).await?
                && again != bytes
                && root.is_none()
            {
                bytes = again;
                continue;
            }
            let root = match root.as_deref().map(record::decode::<Hash>) {
                Some(Ok(root)) => Some(root),
                Some(Err(error)) => {
                    findings.row(root_key, error, remedy::ROW);
                    None
                }
                None => {
                    findings.row(
                        root_key,
                        "missing, although the shard is published at this size",
                        remedy::ROW,
                    );
                    None
                }
            };
            if let Some(root) = root
                && root != at.root
            {
                findings.row(
                    &key,
                    format!("its root is not {root}, which was written for this size"),
                    remedy::CONFLICT,
                );
            }
            positions.insert(shard, Position { at, root });
            break;
        }
    }
    Ok(Positions(positions))
}

/// `published ≤ integrated ≤ ordered` in each shard, and a shard is published only after the ones before it.
pub(crate) async fn monotone(
    store: &dyn Coordination,
    order: &Order,
    positions: &Positions,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let state = &order.state;
    let mut unpublished = None;
    for shard in state.shards.iter() {
        let name = &shard.identity.name;
        let key = order.keys.published(name);
        let published = positions.published(name);
        let length = state.length(shard).unwrap_or_default();
        // Read after the slots were: with a running server it may be ahead of them.
        let still = order.whole && store.get(&order.keys.slot(state.len)).await?.is_none();
        match store
            .get(&order.keys.integrated(name))
            .await?
            .as_deref()
            .map(record::decode_number)
        {
            Some(Ok(integrated)) if still && integrated > length.get() => {
                let what = format!("is {integrated}, but {length} entries are ordered");
                findings.row(order.keys.integrated(name), what, remedy::ROW);
            }
            Some(Ok(integrated)) if integrated >= published.get() => {}
            None if published == TreeSize::ZERO => {}
            Some(Ok(integrated)) => {
                let what = format!("is {integrated}, but {published} entries are published");
                findings.row(order.keys.integrated(name), what, remedy::ROW);
            }
            Some(Err(error)) => findings.row(order.keys.integrated(name), error, remedy::ROW),
            None => findings.row(order.keys.integrated(name), "missing", remedy::ROW),
        }
        // After damage the length is not known.
        if order.whole && published > length {
            findings.row(
                &key,
                format!("{published} entries are published but {length} are ordered"),
                remedy::CONFLICT,
            );
        }
        if let Some(before) = unpublished.filter(|_| order.whole && published > TreeSize::ZERO) {
            findings.row(
                &key,
                format!("is published before shard {before} is, which is older"),
                remedy::ROW,
            );
        }
        // Read before the slots were: a running server may have closed the shard since.
        if published < length && positions.now(store, order, name).await? < length {
            unpublished = unpublished.or(Some(name));
        }
    }
    for name in positions.0.keys().filter(|_| order.whole) {
        if !state
            .shards
            .iter()
            .any(|shard| shard.identity.name == *name)
        {
            findings.row(
                order.keys.published(name),
                "is of a shard that the slots do not know",
                remedy::ROW,
            );
        }
    }
    Ok(())
}
