//! Where the objects of one log are.

use std::sync::Arc;

use crate::damage::Damage;
use crate::nodes::Nodes;
use store::Objects;

pub(crate) struct LogObjects {
    log: String,
    /// Tiles, bundles, checkpoints, seals.
    pub(crate) store: Arc<dyn Objects>,
    /// Where large batches are.
    pub(crate) nodes: Nodes,
    /// Published objects that readers found damaged.
    pub(crate) damage: Damage,
}

impl LogObjects {
    pub(crate) fn new(log: &str, store: Arc<dyn Objects>, nodes: Nodes) -> Self {
        Self {
            log: log.to_owned(),
            store,
            nodes,
            damage: Damage::default(),
        }
    }

    /// Where an object of a shard lies.
    pub(crate) fn path(&self, shard: &str, rest: &str) -> String {
        format!("{}/{shard}/{rest}", self.log)
    }
}
