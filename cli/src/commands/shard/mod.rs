//! `logctl shard`.

pub(super) mod create_config;
pub(super) mod export;
pub(super) mod import;
pub(super) mod list;
pub(super) mod show;
pub(super) mod step;
pub(super) mod use_config;
pub(super) mod verify;

use wire::ShardState;

use crate::report::{Cell, Tone};

/// A shard's state as a cell.
pub(super) fn state(state: ShardState) -> Cell {
    match state {
        ShardState::Planned => Cell::toned("planned", Tone::Next),
        ShardState::Active => Cell::toned("active", Tone::Good),
        ShardState::Frozen => Cell::toned("frozen", Tone::Past),
    }
}
