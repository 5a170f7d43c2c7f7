//! `logctl top`: what a log is doing, live.
//!
//! `state` is what is known and how keys change it, `view` draws that; both are pure. `screen` is the terminal.
//!
//! What must never happen: a terminal left in a state in which its shell can't be used.

mod merge;
mod queues;
pub(crate) mod screen;
pub(crate) mod state;
pub(crate) mod view;
