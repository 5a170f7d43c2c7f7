//! `logctl config`.

pub(super) mod apply;
pub(super) mod compare;
pub(super) mod diff;
pub(super) mod edit;
pub(super) mod history;
pub(super) mod plan;
pub(super) mod rollback;
pub(super) mod schema;
pub(super) mod show;
pub(super) mod validate;
