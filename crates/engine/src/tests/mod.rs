//! The rig of the engine's tests, and tests that belong to no single module.

mod growth;
pub(crate) mod rig;
