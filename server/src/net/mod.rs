//! Listeners and connections: accept, TLS, limits, deadlines, draining.
//!
//! Per connection, never per request: no timer is armed and no lock is taken while a request is answered. What must never
//! happen: a connection that can stay for ever without progress, and a stop that cuts off an answer whose entry is ordered.

pub(crate) mod accept;
pub(crate) mod gzip;
pub(crate) mod limits;
pub(crate) mod pace;
pub(crate) mod tls;
pub(crate) mod track;
pub(crate) mod watch;
