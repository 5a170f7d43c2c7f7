//! The admin endpoint over the engine, which decides and records: [`EngineHost`] translates.

mod audit;
mod change;
mod convert;
mod diagnose;
mod host;
mod imports;
mod logs;
mod memory;
mod merge;
mod operations;
mod probation;
mod qos;
mod rotation;
mod search;
#[cfg(test)]
mod tests;

pub(crate) use diagnose::Files;
pub(crate) use host::EngineHost;
