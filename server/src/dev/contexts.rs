//! `logctl.toml`: how `logctl` reaches this server.

use std::net::SocketAddr;
use std::path::Path;

use toml_edit::{DocumentMut, Item};

use super::{LOG, replace};
use crate::error::{Error, at};

/// Writes the contexts. Without a socket, TLS is the current one. Other contexts, from `logctl` or a person, stay.
pub(crate) fn write(
    dir: &Path,
    socket: Option<&Path>,
    data: SocketAddr,
    admin: SocketAddr,
) -> Result<(), Error> {
    let path = dir.join("logctl.toml");
    let fresh = text(socket, data, admin);
    let found = match std::fs::read_to_string(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return replace(&path, &fresh, 0o600);
        }
        Err(source) => return Err(at("read", &path)(source)),
    };
    match merged(&found, &fresh) {
        Some(merged) if merged == found => Ok(()),
        Some(merged) => replace(&path, &merged, 0o600),
        None => {
            tracing::warn!(
                "{} cannot be understood and stays as it is: its contexts may name other addresses",
                path.display()
            );
            Ok(())
        }
    }
}

/// The content of a file, with the addresses of `fresh`.
fn merged(found: &str, fresh: &str) -> Option<String> {
    let mut found: DocumentMut = found.parse().ok()?;
    let fresh: DocumentMut = fresh.parse().ok()?;
    for key in ["current", "contexts"] {
        if !found.contains_key(key) {
            found[key] = fresh.get(key)?.clone();
        }
    }
    let contexts = found.get_mut("contexts")?.as_table_like_mut()?;
    for (name, context) in fresh.get("contexts")?.as_table_like()?.iter() {
        let Some(known) = contexts.get_mut(name) else {
            contexts.insert(name, context.clone());
            continue;
        };
        let known = known.as_table_like_mut()?;
        for key in ["admin", "url"] {
            let (was, is) = (known.get(key).map(Item::as_str), context.get(key)?);
            if was.flatten() != is.as_str() {
                known.insert(key, is.clone());
            }
        }
    }
    Some(found.to_string())
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

    #[test]
    fn what_others_wrote_into_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logctl.toml");
        let read = || std::fs::read_to_string(&path).unwrap();
        let (data, admin) = (
            "127.0.0.1:1".parse().unwrap(),
            "127.0.0.1:2".parse().unwrap(),
        );
        let socket = Some(Path::new("/a/admin.sock"));
        write(folder.path(), socket, data, admin).unwrap();
        let first = read();
        write(folder.path(), socket, data, admin).unwrap();
        assert_eq!(read(), first);
        let edited = first.replace("current = \"dev\"", "current = \"prod\"  # mine")
            + "protected = true\n\n[contexts.prod]\nadmin = \"https://log.example.org\"\n";
        std::fs::write(&path, &edited).unwrap();
        write(folder.path(), socket, "127.0.0.1:3".parse().unwrap(), admin).unwrap();
        assert_eq!(read(), edited.replace("127.0.0.1:1", "127.0.0.1:3"));
        std::fs::write(&path, "no toml [").unwrap();
        write(folder.path(), socket, data, admin).unwrap();
        assert_eq!(read(), "no toml [");
    }
}
