//! The admin endpoint as a plug-in.

mod access;
mod body;
mod error;
mod etag;
mod failures;
mod host;
mod limits;
mod permission;
mod problem;
mod resources;
mod router;
mod stamp;
mod tokens;

pub use access::{Access, Peer};
pub use error::Error;
pub use etag::{BadBase, Base};
pub use host::{Answer, Caller, Change, Host, HostError, Mode};
pub use limits::Limits;
pub use permission::{BadPermission, Permission};
pub use router::{router, router_with};
pub use tokens::{Secret, issue};
