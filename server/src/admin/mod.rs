//! The admin endpoint over the engine: [`EngineHost`] translates, [`audit`] records.

mod audit;
mod change;
mod convert;
mod diagnose;
mod host;
mod logs;
mod memory;
mod merge;
mod operations;
mod probation;
mod qos;
mod rotation;
#[cfg(test)]
mod tests;

pub(crate) use audit::{Audit, Event};
pub(crate) use diagnose::Files;
pub(crate) use host::EngineHost;
