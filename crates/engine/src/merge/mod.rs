//! From the order to readers: four programs around four watermarks, `ordered ≥ integrated ≥ published`, and `verified` by each
//! secondary. Everything here is a pure function of the slots, so any replica may do it, twice is harmless, and a difference
//! means HALT.
//!
//! | program | modules | writes |
//! |---|---|---|
//! | `fetch` | [`fetch`] slots → trees, [`cut`] trees → durable tiles | `integrated`, `root` |
//! | `backup` | [`backup`] cuts → secondaries | `verified`, `secondary` |
//! | `sth` | [`quorum`] which size, [`sth`] persist, sign, seal, `witness` cosignatures | `published` |
//! | `dist` | [`dist`] tiles, then checkpoints → frontends | `dist` |
//!
//! They know of each other only what [`position`] names, so each may run in a process of its own. Beside them:
//!
//! - [`tree`] the tree of one shard: leaves in, tiles and roots out; no I/O;
//! - [`pending`] entries that are ordered but not yet published, readable from the moment they are acknowledged;
//! - [`follow`] what this process learns of what was published, whoever did it;
//! - [`eras`] which configuration holds for which entries, and how secondaries change;
//! - `leaving` storage nodes that were taken out and are still needed;
//! - [`life`] restored logs: of two, only the later one publishes;
//! - `lost` checkpoints and seals of shards that are done, signed again when they are lost;
//! - [`nodes`] large batches on a quorum of storage nodes, and what those that were away missed;
//! - [`places`] where storage nodes and frontends lie;
//! - [`copy`] what a secondary is sent;
//! - [`peers`] how other machines are asked; [`replicas`] what is known of them, and the key that they are spoken to with;
//! - `know` whether witnesses and secondaries know a shard that is to open;
//! - [`view`] how all of it stands;
//! - [`mark`] the high-water mark: what is compared before a shard signs, and the one place where it does;
//! - [`recover`] where a restarted replica takes up the work.

pub mod backup;
pub mod copy;
pub mod cut;
pub mod dist;
pub mod eras;
pub mod fetch;
pub mod follow;
pub(crate) mod know;
mod leaving;
pub mod life;
pub(crate) mod lost;
pub mod mark;
pub mod nodes;
pub mod peers;
pub mod pending;
pub mod places;
pub mod position;
mod program;
pub mod quorum;
pub mod recover;
pub mod replicas;
pub mod sth;
pub mod tree;
pub mod view;
pub(crate) mod witness;

pub(crate) use leaving::{leaving, release};
pub use places::{Folders, Places};
pub use program::{Done, Finished, MergeOptions, Program, Programs, Trouble, TroubleKind};
