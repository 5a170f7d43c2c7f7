//! Listeners and connections, for every plane of a server: accept, TLS that follows its files, limits, deadlines, draining, and the
//! one shape of refusals.
//!
//! A [`Plane`] answers requests; [`serve`] does the rest: TCP or a Unix socket, plain or TLS, HTTP/1 and optionally HTTP/2. Everything is
//! counted per connection, never per request: no timer is armed and no lock is taken while a request is answered. What must never happen: a
//! connection that can stay forever without progress, memory that grows with the number of connections and streams, and a stop that cuts
//! off an answer whose entry is ordered.

#![cfg_attr(
    not(test),
    warn(
        clippy::iter_over_hash_type,
        reason = "the order differs from run to run"
    )
)]

mod accept;
mod body;
mod budget;
mod error;
mod follow;
mod gzip;
mod limits;
mod listener;
mod pace;
mod reply;
mod socket;
mod stamp;
mod tls;
mod track;
mod watch;
mod watched;

pub use accept::{Origin, Plane, serve};
pub use body::{Body, Unread};
pub use budget::{Bodies, HeldBytes, SHORT, Spent};
pub use error::{Error, causes};
pub use follow::{FileCheck, Follow};
pub use gzip::packed;
pub use limits::{Limits, WhenFull};
pub use listener::Listener;
pub use pace::{PACE, Pace};
pub use reply::{BYTES, IMMUTABLE, JSON, NEVER, TEXT, busy, later, refused, reply, said};
pub use stamp::Stamp;
pub use tls::{Audience, Tls, TlsFiles, provider, read_pair};
pub use watch::{ConnectionPlace, Watch};
pub use watched::{Order, Phase, Watched};
