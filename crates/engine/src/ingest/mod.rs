//! From a request to a commit: what waits, which of it goes next, and how it becomes durable.

pub(crate) mod arrivals;
pub(crate) mod batcher;
pub(crate) mod commit;
pub(crate) mod in_flight;
pub(crate) mod keyed;
pub(crate) mod prewrite;
pub(crate) mod release;
