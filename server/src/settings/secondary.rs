//! The settings file of `logd secondary`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tlog::VerifierKey;

use super::{Bounds, Hot, Logging, Metrics, SettingsError, TlsFiles, line_of, read_toml};

/// A secondary's settings, whole and checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecondarySettings {
    /// The address for logs that send entries and for readers.
    pub(crate) listen: SocketAddr,
    /// Plain HTTP without it.
    pub(crate) tls: Option<TlsFiles>,
    /// Its storage: a folder of its own.
    pub(crate) dir: PathBuf,
    /// The file of its key; `mirror.key` in the folder if absent.
    pub(crate) key: Option<PathBuf>,
    /// The replication keys of the logs that it copies.
    pub(crate) logs: Vec<String>,
    /// The listener that Prometheus scrapes; none if absent.
    pub(crate) metrics: Option<Metrics>,
    /// Limits on connections, requests and memory.
    #[serde(default, rename = "limits")]
    pub(crate) bounds: Bounds,
    /// Which log lines are written.
    #[serde(default)]
    pub(crate) log: Logging,
}

impl SecondarySettings {
    /// Parses the text of the settings file at `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let mut settings: Self = read_toml(text, path)?;
        if let Some((key, problem)) = settings.wrong() {
            return Err(SettingsError {
                path: path.to_owned(),
                line: line_of(text, key),
                problem,
                source: None,
            });
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths = [&mut settings.dir].into_iter().chain(&mut settings.key);
        let tls = settings.tls.iter_mut();
        for path in paths.chain(tls.flat_map(|tls| [&mut tls.cert, &mut tls.key])) {
            *path = folder.join(&*path);
        }
        Ok(settings)
    }

    /// Refuses settings that parse but make no sense.
    pub(crate) fn wrong(&self) -> Option<(&'static str, String)> {
        if let Some(metrics) = &self.metrics
            && !metrics.listen.ip().is_loopback()
        {
            let problem = format!(
                "metrics are served on a loopback address only, not on {}",
                metrics.listen
            );
            return Some(("[metrics]", problem));
        }
        if self.bounds.connections == 0 {
            let problem = "limits.connections must be at least 1".to_owned();
            return Some(("connections", problem));
        }
        if self.bounds.header_bytes.0 < 8 << 10 {
            let problem = "limits.header_bytes must be at least 8KiB".to_owned();
            return Some(("header_bytes", problem));
        }
        if let Some(problem) = self.log.wrong() {
            return Some(("filter", problem));
        }
        // A package of the largest entries is held until its proof has come.
        if self.bounds.max_bodies.0 < 32 << 20 {
            let problem = "limits.max_bodies of a secondary must be at least 32MiB".to_owned();
            return Some(("max_bodies", problem));
        }
        if self.logs.is_empty() {
            let problem =
                "no log is named: `logctl merge status` of the log shows its replication key"
                    .to_owned();
            return Some(("logs", problem));
        }
        self.keys().err().map(|problem| ("logs", problem))
    }

    /// The settings that can change while it runs.
    pub(crate) fn hot(&self) -> Hot {
        Hot {
            filter: self.log.filter.clone(),
            drain: self.bounds.drain.map(|span| span.duration()),
        }
    }

    /// The keys of the logs.
    pub(crate) fn keys(&self) -> Result<Vec<VerifierKey>, String> {
        let mut keys: Vec<VerifierKey> = Vec::new();
        for text in &self.logs {
            let key: VerifierKey = text.parse().map_err(|e| format!("`{text}`: {e}"))?;
            if keys.iter().any(|known| known.name() == key.name()) {
                return Err(format!("the log {} is named twice", key.name()));
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// The file of its key.
    pub(crate) fn key_file(&self) -> PathBuf {
        match &self.key {
            Some(path) => path.clone(),
            None => self.dir.join("mirror.key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SecondarySettings, String> {
        SecondarySettings::parse(text, Path::new("/etc/logd/mirror.toml"))
            .map_err(|e| e.to_string())
    }

    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn few_lines_are_enough_and_paths_follow_the_file() {
        let settings = parse(&format!(
            "listen = '127.0.0.1:1'\ndir = 'mirror'\nlogs = ['{KEY}']\n"
        ))
        .unwrap();
        assert_eq!(settings.dir, Path::new("/etc/logd/mirror"));
        assert_eq!(
            settings.key_file(),
            Path::new("/etc/logd/mirror/mirror.key")
        );
        assert_eq!(settings.keys().unwrap().len(), 1);
    }

    #[test]
    fn errors_name_the_line() {
        let head = "listen = '127.0.0.1:1'\ndir = 'd'\n";
        for (rest, line, needle) in [
            ("logs = []", 3, "no log"),
            ("logs = ['x']", 3, "verifier key"),
            (&format!("logs = ['{KEY}', '{KEY}']"), 3, "twice"),
            (&format!("logs = ['{KEY}']\nlogz = 1"), 4, "unknown field"),
            (
                &format!("logs = ['{KEY}']\n[metrics]\nlisten = '0.0.0.0:1'"),
                4,
                "loopback",
            ),
            (
                &format!("logs = ['{KEY}']\n[limits]\nconnections = 0"),
                5,
                "at least 1",
            ),
        ] {
            let error = parse(&format!("{head}{rest}\n")).unwrap_err();
            assert!(
                error.starts_with(&format!("/etc/logd/mirror.toml:{line}: "))
                    && error.contains(needle),
                "{error}"
            );
        }
    }
}
