//! Open sockets: connections queue from here on, and are answered once they are served.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::socket::{self, SocketFile};
use crate::tls::Tls;

/// How many connections may wait to be accepted. The standard library's queue is short: a flood would make others wait for their retries.
const BACKLOG: i32 = 4096;

/// A bound address or socket. Needs no runtime.
#[derive(Debug)]
pub struct Listener(Socket);

#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpListener, Option<Arc<Tls>>),
    Unix(SocketFile, std::os::unix::net::UnixListener),
    #[cfg(feature = "testing")]
    Memory(Calls),
}

/// Connections in memory, as they come.
#[cfg(feature = "testing")]
type Calls = tokio::sync::mpsc::UnboundedReceiver<tokio::io::DuplexStream>;

/// A listener of the current runtime.
pub(crate) enum Open {
    Tcp(tokio::net::TcpListener, Option<Arc<Tls>>),
    /// The socket's file goes first: see [`SocketFile`].
    Unix {
        _file: SocketFile,
        listener: tokio::net::UnixListener,
    },
    /// Locked by the one task that accepts.
    #[cfg(feature = "testing")]
    Memory(tokio::sync::Mutex<Calls>),
}

impl Listener {
    /// Binds an address; the answer knows the port that was given for port 0.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn tcp(address: SocketAddr) -> Result<(Self, SocketAddr), Error> {
        let open = || -> io::Result<_> {
            let listener = std::net::TcpListener::bind(address)?;
            rustix::net::listen(&listener, BACKLOG)?;
            listener.set_nonblocking(true)?;
            let bound = listener.local_addr()?;
            Ok((Self(Socket::Tcp(listener, None)), bound))
        };
        open().map_err(|source| Error::Listen {
            address: address.to_string(),
            source,
        })
    }

    /// Listens at a path, in a file with these permission bits. A dead server's is replaced.
    ///
    /// # Errors Another server answers there, something else is there, or the system's error.
    pub fn unix(path: &Path, mode: u32) -> Result<Self, Error> {
        let (listener, file) = socket::listen(path, mode)?;
        Ok(Self(Socket::Unix(file, listener)))
    }

    /// Accepts connections in memory: each one that is sent through the channel is served like a TCP connection without TLS.
    #[cfg(feature = "testing")]
    pub fn memory() -> (
        Self,
        tokio::sync::mpsc::UnboundedSender<tokio::io::DuplexStream>,
    ) {
        let (send, calls) = tokio::sync::mpsc::unbounded_channel();
        (Self(Socket::Memory(calls)), send)
    }

    /// Speaks TLS on an address; a socket stays as it is.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<Tls>>) -> Self {
        match self.0 {
            Socket::Tcp(listener, _) => Self(Socket::Tcp(listener, tls)),
            other => Self(other),
        }
    }

    pub(crate) fn open(self) -> Result<Open, Error> {
        let open = || -> io::Result<_> {
            Ok(match self.0 {
                Socket::Tcp(listener, tls) => {
                    Open::Tcp(tokio::net::TcpListener::from_std(listener)?, tls)
                }
                Socket::Unix(file, listener) => Open::Unix {
                    _file: file,
                    listener: tokio::net::UnixListener::from_std(listener)?,
                },
                #[cfg(feature = "testing")]
                Socket::Memory(calls) => Open::Memory(tokio::sync::Mutex::new(calls)),
            })
        };
        open().map_err(|source| Error::Listen {
            address: "an open socket".to_owned(),
            source,
        })
    }
}
