//! `logctl api`, resolved.

use super::File;

/// One request to the admin endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiRequest {
    /// `GET`.
    pub(crate) method: String,
    /// Below the endpoint's base, or with it.
    pub(crate) path: String,
    /// What to send.
    pub(crate) body: Option<File>,
    /// The entity tag that the change was made from.
    pub(crate) if_match: Option<String>,
}
