//! Why a listener cannot be opened.

use std::io;
use std::path::PathBuf;

/// Why an address, a socket or TLS files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is taken, not of this machine, or needs a privilege.
    #[error("can't listen on {address}")]
    Listen {
        /// The address or path.
        address: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Another process answers on the socket.
    #[error("another server answers on {}", .0.display())]
    SocketInUse(PathBuf),
    /// The path of the socket holds something else.
    #[error("{} exists and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// A file can't be read.
    #[error("{}", path.display())]
    File {
        /// The certificate, the key or the authorities.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Everybody may read the private key.
    #[error("{} has mode {mode:o}: a private key must not be open to everybody", path.display())]
    Exposed {
        /// The file of the private key.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
    },
    /// A file does not hold the PEM that it should.
    #[error("{}", path.display())]
    Pem {
        /// The certificate, the key or the authorities.
        path: PathBuf,
        /// The error of the PEM reader.
        source: rustls_pki_types::pem::Error,
    },
    /// The chain is empty.
    #[error("{}: no certificate in it", .0.display())]
    NoCertificate(PathBuf),
    /// Certificate and key don't belong together.
    #[error("{} with {}", certificate.display(), key.display())]
    Pair {
        /// The file of the certificate chain.
        certificate: PathBuf,
        /// The file of the private key.
        key: PathBuf,
        /// The error of the TLS library.
        source: rustls::Error,
    },
    /// The authorities for client certificates can't be used.
    #[error("{}: {problem}", path.display())]
    ClientCa {
        /// The file with the authorities.
        path: PathBuf,
        /// The fault of the file.
        problem: String,
    },
    /// The provider of cryptography lacks a protocol version.
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
}

/// An error and its causes, as one text.
pub fn causes(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = all.map(ToString::to_string).collect();
    texts.join(": ")
}
