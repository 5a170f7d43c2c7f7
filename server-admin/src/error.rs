//! The errors of setting up the endpoint.

use ambient::NoRandomness;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a token could not be issued, or the endpoint not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file can't be read or written.
    #[error("{}", path.display())]
    File {
        /// The file that could not be used.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A file that must be private, or that only its owner may change, is open to others.
    #[error("{} has mode {mode:o}: {problem}", path.display())]
    Exposed {
        /// The file that others can change or read.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
        /// The access that the file mode allows and must not.
        problem: &'static str,
    },
    /// The token file is malformed.
    #[error("{}: {problem}", path.display())]
    TokenFile {
        /// The token file that could not be used.
        path: PathBuf,
        /// The fault, and its place.
        problem: String,
    },
    /// A token's name is not `[a-z0-9][a-z0-9._-]{0,62}`.
    #[error(
        "not a token name: {0:?}; use 1 to 63 of a-z 0-9 . _ -, starting with a letter or digit"
    )]
    TokenName(String),
    /// A token would live forever.
    #[error("a token can't live that long")]
    TokenLifetime,
    /// The system has no randomness.
    #[error("no randomness from the system")]
    Randomness(#[source] NoRandomness),
    /// A certificate or key can't be used.
    #[error("{}", path.display())]
    Pem {
        /// The file that should hold PEM.
        path: PathBuf,
        /// The error of the PEM reader.
        source: rustls_pki_types::pem::Error,
    },
    /// Client certificates have permissions, but no authority says which are genuine.
    #[error(
        "client certificates have roles, but no client CA is configured: nobody could show one"
    )]
    NoClientCa,
    /// A rule for identity tokens makes no sense, or would let everybody in.
    #[error("identity rule {name:?}: {problem}")]
    IdentityRule {
        /// The rule's name in the settings.
        name: String,
        /// The fault of the rule.
        problem: String,
    },
    /// A non-loopback address without TLS.
    #[error("refusing to listen on {0} without TLS: it is not a loopback address")]
    Plaintext(SocketAddr),
    /// A TCP address, but no way to authenticate who connects.
    #[error(
        "refusing to listen on {0} without authentication: no token file, client certificate or identity rule is configured"
    )]
    Unauthenticated(SocketAddr),
    /// The address, the socket or the TLS files can't be used.
    #[error(transparent)]
    Listener(#[from] plane_http::Error),
    /// The endpoint's own runtime can't be started.
    #[error("can't start the endpoint's runtime")]
    Runtime(#[source] io::Error),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
