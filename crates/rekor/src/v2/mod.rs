//! Rekor's API, version 2: hashedrekord 0.0.2.
//!
//! A leaf must never differ from what sigstore-go rebuilds from a bundle, so a request is not normalised: only base64 and the names of
//! enums are written again.

mod answer;
mod details;
mod error;
mod request;

#[cfg(test)]
mod tests;

pub use answer::answer;
pub use error::{Error, Reason, refusal};
pub use request::{Entry, MAX_BODY, Request};
