//! `logctl config`.

pub(super) mod diff;
pub(super) mod history;
pub(super) mod schema;
pub(super) mod validate;
