//! The admin endpoint over the engine: [`EngineHost`] translates, [`audit`] records.

mod audit;
mod change;
mod convert;
mod host;
mod memory;
mod operations;
#[cfg(test)]
mod tests;

pub(crate) use audit::Audit;
pub(crate) use host::EngineHost;
