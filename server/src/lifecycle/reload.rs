//! SIGHUP reads again: certificates, and the few settings that can change while a server runs. Every other changed setting
//! is named, so that nobody takes it to be in force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plane_http::Tls;
use toml::{Table, Value};

use crate::settings::{Hot, SettingsError};
use crate::telemetry;

/// The settings that are read again.
const HOT: [&str; 2] = ["limits.drain", "log.filter"];

/// Checks a settings file as a start would.
type Check = fn(&str, &Path) -> Result<Hot, SettingsError>;

/// The sources of a server's certificates and settings.
#[derive(Default)]
pub(crate) struct Sources {
    file: Option<SettingsFile>,
    tls: Vec<Arc<Tls>>,
    /// Parts that follow their files by themselves, by name.
    follows: Option<&'static str>,
    drain: Option<Duration>,
}

struct SettingsFile {
    path: PathBuf,
    /// The text at the start.
    started: Table,
    check: Check,
}

/// The result of a reload.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Names of the parts that were read and are in use.
    pub(crate) done: Vec<String>,
    /// Names of the parts that could not be used.
    pub(crate) failed: Vec<String>,
    /// Settings that changed and need a restart.
    pub(crate) restart: Vec<String>,
}

impl Settled {
    /// Writes the result to the log.
    pub(crate) fn report(&self) {
        let Self {
            done,
            failed,
            restart,
        } = self;
        match done.is_empty() {
            true => tracing::info!("SIGHUP: nothing to read again"),
            false => tracing::info!("SIGHUP: read again: {}", done.join(", ")),
        }
        for what in failed {
            tracing::error!("SIGHUP: {what}");
        }
        if !restart.is_empty() {
            tracing::warn!(
                "SIGHUP: changed, and needs a restart: {}",
                restart.join(", ")
            );
        }
    }
}

impl Sources {
    /// A server whose settings came from a file, which was `text` then.
    pub(crate) fn file(path: &Path, text: &str, hot: &Hot, check: Check) -> Self {
        Self {
            file: Some(SettingsFile {
                path: path.to_owned(),
                started: text.parse().unwrap_or_default(),
                check,
            }),
            drain: hot.drain,
            ..Self::default()
        }
    }

    /// Adds a certificate that is read again.
    pub(crate) fn tls(&mut self, tls: &Arc<Tls>) {
        self.tls.push(Arc::clone(tls));
    }

    /// Adds a part that follows its files by itself, and is only named.
    pub(crate) fn follows(&mut self, what: &'static str) {
        self.follows = Some(what);
    }

    /// The drain time in the settings.
    pub(crate) fn drain(&self) -> Option<Duration> {
        self.drain
    }

    /// Reads everything again; what cannot be used changes nothing.
    pub(crate) fn reload(&mut self) -> Settled {
        let mut settled = Settled::default();
        for tls in &self.tls {
            match tls.reload() {
                Ok(what) => settled.done.push(what),
                Err(why) => settled.failed.push(why),
            }
        }
        if let Some(file) = &self.file {
            match file.read() {
                Ok((hot, restart)) => {
                    telemetry::set_filter(hot.filter.as_deref());
                    self.drain = hot.drain;
                    settled.restart = restart;
                    let what = format!("{} of {}", HOT.join(" and "), file.path.display());
                    settled.done.push(what);
                }
                Err(why) => settled.failed.push(format!(
                    "{why}; the settings from before stay (`logd config check {}` lists all that is wrong)",
                    file.path.display()
                )),
            }
        }
        settled.done.extend(self.follows.map(str::to_owned));
        settled
    }
}

impl SettingsFile {
    fn read(&self) -> Result<(Hot, Vec<String>), String> {
        let text = std::fs::read_to_string(&self.path)
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        let hot = (self.check)(&text, &self.path).map_err(|error| error.to_string())?;
        let now: Table = text.parse().unwrap_or_default();
        Ok((hot, moved(&self.started, &now)))
    }
}

/// The settings that differ and need a restart, as `table.key`.
fn moved(before: &Table, now: &Table) -> Vec<String> {
    let (before, now) = (leaves(before), leaves(now));
    let keys = before.keys().chain(now.keys());
    let mut moved: Vec<String> = keys
        .filter(|key| before.get(*key) != now.get(*key))
        .filter(|key| !HOT.contains(&key.as_str()))
        .cloned()
        .collect();
    moved.sort();
    moved.dedup();
    moved
}

/// Each value by its path. A list is one value.
fn leaves(table: &Table) -> BTreeMap<String, &Value> {
    let mut all = BTreeMap::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                let inner = leaves(inner).into_iter();
                all.extend(inner.map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            other => drop(all.insert(key.clone(), other)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, path: &Path) -> Result<Hot, SettingsError> {
        crate::settings::Settings::parse(text, path).map(|settings| settings.hot())
    }

    #[test]
    fn what_is_hot_is_taken_and_the_rest_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logd.toml");
        let least = "[data]\nlisten = '127.0.0.1:1'\n[stores]\ncoordination = 'c'\nobjects = 'o'\n[kek]\nfile = 'kek'\n";
        let start = check(least, &path).unwrap();
        let mut sources = Sources::file(&path, least, &start, check);
        std::fs::write(&path, least).unwrap();
        let settled = sources.reload();
        assert!(
            settled.failed.is_empty() && settled.restart.is_empty(),
            "{settled:?}"
        );
        assert_eq!(sources.drain(), None);

        let other = least.replace("127.0.0.1:1", "127.0.0.1:2");
        std::fs::write(
            &path,
            format!("{other}[limits]\ndrain = '3s'\nconnections = 9\n"),
        )
        .unwrap();
        let settled = sources.reload();
        assert_eq!(settled.restart, ["data.listen", "limits.connections"]);
        assert_eq!(sources.drain(), Some(Duration::from_secs(3)));

        std::fs::write(&path, "[data]\nlisten = 7\n").unwrap();
        let settled = sources.reload();
        assert!(
            settled.failed[0].contains("logd config check"),
            "{settled:?}"
        );
        assert_eq!(sources.drain(), Some(Duration::from_secs(3)), "as before");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(sources.reload().failed.len(), 1);
    }
}
