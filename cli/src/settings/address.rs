//! Where an admin endpoint listens.
//!
//! What must never happen: an address that would carry a token over an unencrypted wire.

use std::path::{Path, PathBuf};

/// Where an endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// `https://HOST:PORT`, or `http://` on the loopback interface.
    Url(String),
}

impl Address {
    /// `unix:PATH` (relative to `base`), `https://…`, `http://` on the loopback interface.
    pub(super) fn parse(text: &str, base: &Path) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("`unix:` needs a path".into())
            } else {
                Ok(Self::Unix(base.join(path)))
            };
        }
        let host = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
        if let Some(rest) = text.strip_prefix("https://") {
            return if host(rest).is_empty() {
                Err(format!("`{text}` has no host"))
            } else {
                Ok(Self::Url(text.trim_end_matches('/').into()))
            };
        }
        if let Some(rest) = text.strip_prefix("http://") {
            // A token on an unencrypted wire is everybody's.
            return if is_loopback(&host(rest)) {
                Ok(Self::Url(text.trim_end_matches('/').into()))
            } else {
                Err(format!(
                    "`{text}` is neither encrypted nor on the loopback interface"
                ))
            };
        }
        Err(format!("`{text}` is not an address"))
    }
}

pub(crate) fn is_loopback(authority: &str) -> bool {
    if let Ok(address) = authority.parse::<std::net::SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "unix:/run/logd/admin.sock",
            "https://log.example.org",
            "http://127.0.0.1:7071",
            "http://[::1]:7071",
            "http://localhost",
        ] {
            assert!(Address::parse(good, Path::new("")).is_ok(), "{good}");
        }
        for bad in [
            "",
            "unix:",
            "/run/admin.sock",
            "https://",
            "http://log.example.org",
            "http://127.0.0.1.example.org:80",
            "ftp://127.0.0.1",
        ] {
            assert!(Address::parse(bad, Path::new("")).is_err(), "{bad}");
        }
    }
}
