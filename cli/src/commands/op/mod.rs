//! `logctl op`.

pub(super) mod confirm;
pub(super) mod list;
pub(super) mod wait;
pub(super) mod watch;
