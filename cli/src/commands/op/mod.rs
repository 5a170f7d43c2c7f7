//! `logctl op`.

pub(super) mod list;
pub(super) mod wait;
