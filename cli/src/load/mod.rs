//! The load generator: writers of every kind, against a real server, and what they saw.
//!
//! `scenario` says what to do, `arrivals` when, `wire` does it, `measure` makes figures of the answers, `run` brings them
//! together, `figures` is the result, `page`, `plot` and `html` show it. All but `wire`, `run` and `verify` are pure.
//!
//! `commits` is another program: it starts servers of its own and looks for wrong answers.
//!
//! What must never happen: a figure that flatters the server. Lateness counts from when a write was due.

pub(crate) mod arrivals;
pub(crate) mod commits;
pub(crate) mod figures;
pub(crate) mod html;
pub(crate) mod measure;
pub(crate) mod page;
pub(crate) mod plot;
pub(crate) mod run;
pub(crate) mod scenario;
pub(crate) mod verify;
pub(crate) mod wire;
