//! `logctl.toml`: how `logctl` reaches this server.

use std::net::SocketAddr;
use std::path::Path;

use super::{LOG, replace};
use crate::error::Error;

/// Writes the contexts. Without a socket, TLS is the current one.
pub(crate) fn write(
    dir: &Path,
    socket: Option<&Path>,
    data: SocketAddr,
    admin: SocketAddr,
) -> Result<(), Error> {
    replace(&dir.join("logctl.toml"), &text(socket, data, admin), 0o600)
}

fn text(socket: Option<&Path>, data: SocketAddr, admin: SocketAddr) -> String {
    let (data, admin) = (reachable(data), reachable(admin));
    let tls = format!(
        "[contexts.{LOG}-tls]\nlog = \"{LOG}\"\nadmin = \"https://{admin}\"\nurl = \"http://{data}\"\n\
         ca = \"admin-cert.pem\"\ntoken_file = \"admin.token\"\n"
    );
    match socket {
        Some(socket) => {
            let socket = toml::Value::String(format!("unix:{}", socket.display()));
            format!(
                "current = \"{LOG}\"\n\n[contexts.{LOG}]\nlog = \"{LOG}\"\nadmin = {socket}\nurl = \"http://{data}\"\n\n{tls}"
            )
        }
        None => format!("current = \"{LOG}-tls\"\n\n{tls}"),
    }
}

/// The address under which a client on this machine reaches a listener: 0.0.0.0 is none.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            SocketAddr::from(([127, 0, 0, 1], v4.port()))
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], v6.port()))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_valid_toml_whatever_the_path() {
        let (data, admin) = (
            "0.0.0.0:7070".parse().unwrap(),
            "[::]:7071".parse().unwrap(),
        );
        let parsed: toml::Table = text(Some(Path::new("/a \"b\"\\c/admin.sock")), data, admin)
            .parse()
            .unwrap();
        assert_eq!(parsed["current"].as_str(), Some("dev"));
        let dev = &parsed["contexts"]["dev"];
        assert_eq!(dev["admin"].as_str(), Some("unix:/a \"b\"\\c/admin.sock"));
        assert_eq!(dev["url"].as_str(), Some("http://127.0.0.1:7070"));
        let parsed: toml::Table = text(None, data, admin).parse().unwrap();
        assert_eq!(parsed["current"].as_str(), Some("dev-tls"));
        assert!(parsed["contexts"].get("dev").is_none());
        assert_eq!(
            parsed["contexts"]["dev-tls"]["admin"].as_str(),
            Some("https://[::1]:7071")
        );
    }
}
