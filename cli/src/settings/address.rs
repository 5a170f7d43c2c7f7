//! The address of an admin endpoint.
//!
//! What must never happen: a token goes over an unencrypted connection.

use std::path::{Path, PathBuf};

/// The address of an admin endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// `https://HOST:PORT`, or `http://` on the loopback interface.
    Url(String),
}

impl Address {
    /// The address with an absolute path, which means the same in every working directory.
    pub(crate) fn absolute(&self) -> String {
        match self {
            Self::Unix(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                Self::Unix(path).to_string()
            }
            url => url.to_string(),
        }
    }

    /// `unix:PATH` (relative to `base`), `https://…`, `http://` on the loopback interface.
    pub(super) fn parse(text: &str, base: &Path) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("`unix:` needs a path".into())
            } else {
                Ok(Self::Unix(base.join(path)))
            };
        }
        let host = |rest: &str| {
            rest.split(['/', '?', '#'])
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        if host(rest).contains('@') {
            // The text is not repeated: it may hold a password.
            return Err("the address holds a user name or a password; name a token's file instead (`token_file` in the context, or --token-file)".into());
        }
        if let Some(rest) = text.strip_prefix("https://") {
            return if host(rest).is_empty() {
                Err(format!("`{text}` has no host"))
            } else {
                Ok(Self::Url(text.trim_end_matches('/').into()))
            };
        }
        if let Some(rest) = text.strip_prefix("http://") {
            // A token on an unencrypted connection can be read on the way.
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
            "https://user:pw@log.example.org",
            "http://user@127.0.0.1:7071",
        ] {
            assert!(Address::parse(bad, Path::new("")).is_err(), "{bad}");
        }
        let secret = Address::parse("https://user:pw@log.example.org", Path::new(""));
        assert!(!secret.unwrap_err().contains("pw@"));
    }
}
