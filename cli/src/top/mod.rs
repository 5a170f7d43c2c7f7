//! `logctl top`: what a log is doing, live.
//!
//! `state` has the samples and reacts to keys, `view` draws the state; both are pure. `screen` is the terminal.
//!
//! What must never happen: the terminal is left in a state in which its shell cannot be used.

mod merge;
mod queues;
pub(crate) mod screen;
pub(crate) mod state;
pub(crate) mod view;
