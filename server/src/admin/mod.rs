//! The admin endpoint over the engine: [`EngineHost`] translates, [`audit`] records.

mod audit;
mod convert;
mod host;
#[cfg(test)]
mod tests;

pub(crate) use audit::Audit;
pub(crate) use host::EngineHost;
