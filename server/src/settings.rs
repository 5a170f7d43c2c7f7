//! `logd.toml`: what needs a restart. Everything that changes while the server runs is in each log's own configuration; no field
//! is in both.
//!
//! Reading is strict: an unknown key or a wrong type is an error with its line. Paths are relative to the file's folder.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{BucketUrl, NodeName, Span};
use serde::Deserialize;

use crate::buckets::{AllPlaces, BucketSettings};
use crate::error::Error;
use crate::net::limits::Limits;

mod admin;
mod secondary;

pub(crate) use admin::Admin;
pub(crate) use secondary::SecondarySettings;

/// The commented example that `logd config example` prints.
pub(crate) const EXAMPLE: &str = include_str!("settings/example.toml");

/// A settings file, whole and checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Configurations of logs to create when they do not exist.
    #[serde(default)]
    pub(crate) create: Vec<PathBuf>,
    /// For writers and readers.
    pub(crate) data: Data,
    /// For operators.
    #[serde(default)]
    pub(crate) admin: Admin,
    /// For Prometheus.
    pub(crate) metrics: Option<Metrics>,
    /// Secondaries and witnesses.
    #[serde(default)]
    pub(crate) peers: Peers,
    /// Where everything is kept.
    pub(crate) stores: Stores,
    /// The key-encryption key.
    pub(crate) kek: KekSource,
    /// Its part in the merge.
    #[serde(default)]
    pub(crate) merge: Merge,
    /// Storage nodes beside the server's own store, by name.
    #[serde(default)]
    pub(crate) nodes: BTreeMap<NodeName, Node>,
    /// How buckets are reached, by their URLs.
    #[serde(default)]
    pub(crate) buckets: BTreeMap<BucketName, BucketSettings>,
    /// What clients may take.
    #[serde(default, rename = "limits")]
    pub(crate) bounds: Bounds,
}

/// A server's part in the merge.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Merge {
    /// The programs that it runs.
    pub(crate) programs: Vec<ProgramName>,
    /// Folders and buckets below which frontends may be.
    pub(crate) frontends: Vec<Place>,
}

impl Default for Merge {
    fn default() -> Self {
        use ProgramName::{Backup, Dist, Fetch, Sth};
        Self {
            programs: vec![Fetch, Backup, Sth, Dist],
            frontends: Vec::new(),
        }
    }
}

/// A program of the merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProgramName {
    /// Integrates what is ordered.
    Fetch,
    /// Copies to the secondaries.
    Backup,
    /// Publishes.
    Sth,
    /// Pushes to the frontends.
    Dist,
}

impl From<ProgramName> for log::Program {
    fn from(name: ProgramName) -> Self {
        match name {
            ProgramName::Fetch => Self::Fetch,
            ProgramName::Backup => Self::Backup,
            ProgramName::Sth => Self::Sth,
            ProgramName::Dist => Self::Dist,
        }
    }
}

/// A storage node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// A folder, on a disk of its own.
    pub(crate) path: Option<PathBuf>,
    /// Or a bucket: s3://BUCKET/PREFIX.
    pub(crate) url: Option<BucketName>,
}

/// A folder or a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Place {
    /// A path.
    Folder(PathBuf),
    /// A URL.
    Bucket(BucketUrl),
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains("://") {
            return BucketName::try_from(text).map(|name| Self::Bucket(name.0));
        }
        Ok(Self::Folder(text.into()))
    }
}

/// A bucket's URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct BucketName(pub(crate) BucketUrl);

impl TryFrom<String> for BucketName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // The text is not repeated: somebody may have put a credential into it.
        let parsed = text.parse().map(Self);
        parsed.map_err(|e| {
            format!("not the URL of a bucket, such as s3://bucket/logs: {e}; a folder is written as its path")
        })
    }
}

/// The data plane.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// How clients reach it, when that differs (behind a proxy).
    pub(crate) url: Option<String>,
    /// Plain HTTP without it.
    pub(crate) tls: Option<TlsFiles>,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    /// PEM, the server's certificate first.
    pub(crate) cert: PathBuf,
    /// PEM.
    pub(crate) key: PathBuf,
}

/// The metrics listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metrics {
    /// A loopback address.
    pub(crate) listen: SocketAddr,
}

/// How other machines are asked: secondaries, witnesses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peers {
    /// PEM: the authorities behind their HTTPS, instead of the platform's.
    pub(crate) ca: Option<PathBuf>,
}

/// The two stores.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stores {
    /// The SQLite file.
    pub(crate) coordination: PathBuf,
    /// The folder of tiles, bundles, checkpoints and large batches.
    pub(crate) objects: PathBuf,
}

/// Where the key-encryption key comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(crate) enum KekSource {
    /// A file of mode 0600: 32 bytes in base64.
    File(PathBuf),
    /// An environment variable with the same.
    Env(String),
}

/// Limits, as an operator writes them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bounds {
    /// Connections of the data plane at a time.
    pub(crate) connections: usize,
    /// Bytes of a request's head.
    pub(crate) header_bytes: Size,
    /// Time for a request's head.
    pub(crate) header_timeout: Span,
    /// Time for a request's body.
    pub(crate) body_timeout: Span,
    /// Time without a request or progress of an answer.
    pub(crate) idle_timeout: Span,
    /// How long `Log-Ack: published` waits.
    pub(crate) publish_timeout: Span,
    /// How long a stop waits for requests in flight.
    pub(crate) shutdown_grace: Span,
    /// Space that stays free on the objects' file system; with less, writes are refused.
    pub(crate) min_free: Size,
    /// Entries that may wait for publication, per log.
    pub(crate) max_pending: Size,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 4096,
            header_bytes: Size(16 << 10),
            header_timeout: Span::from_secs(10),
            body_timeout: Span::from_secs(30),
            idle_timeout: Span::from_secs(75),
            publish_timeout: Span::from_secs(30),
            shutdown_grace: Span::from_secs(10),
            min_free: Size(16 << 20),
            max_pending: Size(64 << 20),
        }
    }
}

impl Bounds {
    /// Those of a listener.
    pub(crate) fn listener(&self) -> Limits {
        Limits {
            connections: self.connections,
            header_bytes: self.header_bytes.bytes(),
            header_timeout: self.header_timeout.duration(),
            body_timeout: self.body_timeout.duration(),
            idle_timeout: self.idle_timeout.duration(),
        }
    }

    /// How long a stop waits.
    pub(crate) fn grace(&self) -> Duration {
        self.shutdown_grace.duration()
    }
}

/// A number of bytes as an operator writes it: `16MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    /// As a length in memory.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl TryFrom<String> for Size {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
        const WRONG: &str =
            "a size is a whole number and a unit (B, KiB, MiB or GiB), for example 16MiB";
        let (digits, shift) = UNITS
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
            .ok_or(WRONG)?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(WRONG);
        }
        let number: u64 = digits.parse().map_err(|_| WRONG)?;
        number.checked_mul(1 << shift).map(Self).ok_or(WRONG)
    }
}

/// What is wrong with a settings file.
#[derive(Debug, thiserror::Error)]
pub(crate) struct SettingsError {
    path: PathBuf,
    line: Option<usize>,
    problem: String,
    #[source]
    source: Option<std::io::Error>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// What makes no sense: where it stands, and what to do.
struct Wrong {
    at: At,
    problem: String,
}

enum At {
    /// The first line that begins with it.
    Key(&'static str),
    /// A byte of the file.
    Offset(usize),
}

impl Wrong {
    fn key(key: &'static str, problem: impl Into<String>) -> Self {
        Self {
            at: At::Key(key),
            problem: problem.into(),
        }
    }

    fn at(offset: usize, problem: String) -> Self {
        Self {
            at: At::Offset(offset),
            problem,
        }
    }
}

/// The line, from 1, of a byte.
fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The line, from 1, that begins with a key.
fn line_of(text: &str, key: &str) -> Option<usize> {
    text.lines()
        .position(|line| line.trim_start().starts_with(key))
        .map(|at| at + 1)
}

fn read_text(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError {
        path: path.to_owned(),
        line: None,
        problem: "cannot read the settings".to_owned(),
        source: Some(source),
    })
}

fn read_toml<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, SettingsError> {
    toml::from_str(text).map_err(|e| SettingsError {
        path: path.to_owned(),
        line: e.span().map(|span| line_at(text, span.start)),
        problem: e.message().replace('\n', "; "),
        source: None,
    })
}

impl Settings {
    /// Reads a settings file.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        Self::parse(&read_text(path)?, path)
    }

    /// Parses the text of the settings file at `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let error = |line, problem| SettingsError {
            path: path.to_owned(),
            line,
            problem,
            source: None,
        };
        let mut settings: Self = read_toml(text, path)?;
        if let Some(Wrong { at, problem }) = settings.wrong() {
            let line = match at {
                At::Key(key) => line_of(text, key),
                At::Offset(offset) => Some(line_at(text, offset)),
            };
            return Err(error(line, problem));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        settings
            .paths()
            .for_each(|path| *path = folder.join(&*path));
        Ok(settings)
    }

    /// What is well-formed but makes no sense.
    fn wrong(&self) -> Option<Wrong> {
        if let Some(metrics) = self
            .metrics
            .as_ref()
            .filter(|metrics| !metrics.listen.ip().is_loopback())
        {
            let problem = format!(
                "metrics are served on a loopback address only, not on {}",
                metrics.listen
            );
            return Some(Wrong::key("[metrics]", problem));
        }
        if let Some(wrong) = self.admin.wrong() {
            return Some(wrong);
        }
        if self.bounds.connections == 0 {
            return Some(Wrong::key(
                "connections",
                "limits.connections must be at least 1",
            ));
        }
        // hyper's smallest buffer.
        if self.bounds.header_bytes.0 < 8 << 10 {
            return Some(Wrong::key(
                "header_bytes",
                "limits.header_bytes must be at least 8KiB",
            ));
        }
        if self.nodes.keys().any(|name| name.as_str() == config::LOCAL) {
            return Some(Wrong::key(
                "[nodes.local]",
                "`local` is the folder of [stores] objects; give this node another name",
            ));
        }
        let unclear = |node: &&Node| node.path.is_some() == node.url.is_some();
        if self.nodes.values().find(unclear).is_some() {
            return Some(Wrong::key(
                "[nodes.",
                "a storage node has either a path (a folder) or a url (a bucket)",
            ));
        }
        let mut buckets = self.buckets.iter();
        buckets
            .find_map(|(name, bucket)| bucket.wrong(&name.0))
            .map(|problem| Wrong::key("[buckets.", problem))
    }

    /// Where storage nodes and frontends lie.
    pub(crate) fn places(&self) -> Result<AllPlaces, Error> {
        let (mut folders, mut buckets) = (BTreeMap::new(), BTreeMap::new());
        for (name, node) in &self.nodes {
            let name = name.to_string();
            if let Some(path) = &node.path {
                folders.insert(name, path.clone());
            } else if let Some(url) = &node.url {
                buckets.insert(name, url.0.clone());
            }
        }
        let (mut below, mut within) = (Vec::new(), Vec::new());
        for place in &self.merge.frontends {
            match place {
                Place::Folder(path) => below.push(path.clone()),
                Place::Bucket(url) => within.push(url.clone()),
            }
        }
        let reached = self.buckets.iter();
        let reached = reached.map(|(name, bucket)| (name.0.clone(), bucket.clone()));
        let folders = log::Folders::new(folders, below);
        AllPlaces::new(folders, buckets, within, reached.collect())
    }

    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        fn files(tls: &mut Option<TlsFiles>) -> impl Iterator<Item = &mut PathBuf> {
            tls.iter_mut().flat_map(|tls| [&mut tls.cert, &mut tls.key])
        }
        let Self {
            create,
            data,
            admin,
            stores,
            kek,
            peers,
            merge,
            nodes,
            buckets,
            ..
        } = self;
        let frontends = merge.frontends.iter_mut().filter_map(|place| match place {
            Place::Folder(path) => Some(path),
            Place::Bucket(_) => None,
        });
        let kek = match kek {
            KekSource::File(path) => Some(path),
            KekSource::Env(_) => None,
        };
        create
            .iter_mut()
            .chain(files(&mut data.tls))
            .chain(admin.paths())
            .chain([&mut stores.coordination, &mut stores.objects])
            .chain(&mut peers.ca)
            .chain(kek)
            .chain(frontends)
            .chain(nodes.values_mut().filter_map(|node| node.path.as_mut()))
            .chain(buckets.values_mut().filter_map(|one| one.ca.as_mut()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, Path::new("/etc/logd/logd.toml")).map_err(|e| e.to_string())
    }

    const LEAST: &str = "[data]\nlisten = '127.0.0.1:1'\n[stores]\ncoordination = 'c.db'\nobjects = '/o'\n[kek]\nfile = 'kek'\n";

    #[test]
    fn the_example_is_valid_and_shows_the_defaults() {
        let settings = parse(EXAMPLE).unwrap();
        let (shown, default) = (
            format!("{:?}", settings.bounds),
            format!("{:?}", Bounds::default()),
        );
        assert_eq!(shown, default, "the example names every default");
        assert_eq!(
            settings.admin.socket.as_deref(),
            Some(Path::new("/etc/logd/admin.sock"))
        );
        // What is commented out is valid too.
        let all: String = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let settings = parse(&all).unwrap();
        assert!(
            settings.metrics.is_some()
                && settings.data.tls.is_some()
                && settings.data.url.is_some()
        );
        assert_eq!(settings.create, [Path::new("/etc/logd/argon.yaml")]);
        let url = |text: &str| text.parse::<BucketUrl>().unwrap();
        assert_eq!(
            settings.merge.frontends,
            [
                Place::Folder("/srv".into()),
                Place::Bucket(url("s3://cdn.example.org/logs"))
            ]
        );
        assert_eq!(settings.merge.programs, Merge::default().programs);
        let node = &settings.nodes[&"b".parse().unwrap()];
        assert_eq!(node.path.as_deref(), Some(Path::new("/mnt/b/logd")));
        let node = &settings.nodes[&"c".parse().unwrap()];
        assert_eq!(node.url, Some(BucketName(url("s3://batches"))));
        let bucket = &settings.buckets[&BucketName(url("s3://batches"))];
        assert_eq!(
            bucket.ca.as_deref(),
            Some(Path::new("/etc/logd/store-ca.pem"))
        );
        assert!(bucket.env.is_some() && !bucket.allow_http);
        assert!(settings.places().is_err(), "the authorities are not there");
        let tls = settings.admin.tls.as_ref().unwrap();
        assert_eq!(
            tls.client_ca.as_deref(),
            Some(Path::new("/etc/logd/clients-ca.pem"))
        );
        for client in &settings.admin.certificates {
            assert!(!settings.admin.permissions(&client.permissions).is_empty());
        }
        assert_eq!(settings.admin.certificates.len(), 2);
        let rules: Vec<_> = settings.admin.identity_rules().collect();
        assert_eq!(rules.len(), 1);
        assert!(rules[0].permissions.len() == 2 && rules[0].claims.len() == 3);
        assert_eq!(
            rules[0].issuer_ca.as_deref(),
            Some(Path::new("/etc/logd/issuer-ca.pem"))
        );
    }

    #[test]
    fn few_lines_are_enough_and_paths_follow_the_file() {
        let settings = parse(LEAST).unwrap();
        assert_eq!(settings.stores.coordination, Path::new("/etc/logd/c.db"));
        assert_eq!(settings.stores.objects, Path::new("/o"));
        assert!(
            matches!(settings.kek, KekSource::File(path) if path == Path::new("/etc/logd/kek"))
        );
        assert!(settings.admin.socket.is_none() && settings.metrics.is_none());
    }

    #[test]
    fn errors_name_the_line_and_the_remedy() {
        for (extra, line, needle) in [
            ("[data]\nlisten = 7", 2, "expected"),
            (
                "[data]\nlisten = '127.0.0.1:1'\nlissten = 1",
                3,
                "unknown field `lissten`",
            ),
            (
                "[data]\nlisten = '127.0.0.1:1'\nlisten = '127.0.0.1:1'",
                3,
                "duplicate key",
            ),
        ] {
            let error = parse(extra).unwrap_err();
            assert!(
                error.starts_with(&format!("/etc/logd/logd.toml:{line}: "))
                    && error.contains(needle),
                "{error}"
            );
        }
        for (extra, line, needle) in [
            ("[metrics]\nlisten = '0.0.0.0:1'", 8, "loopback"),
            ("[admin]\nlisten = '127.0.0.1:1'", 8, "admin.tokens"),
            (
                "[admin]\ntokens = 't'\nlisten = '10.0.0.1:1'",
                8,
                "admin.tls",
            ),
            ("[limits]\nheader_bytes = '1KiB'", 9, "8KiB"),
            ("[limits]\nconnections = 0", 9, "at least 1"),
            (
                "[nodes.b]\npath = '/b'\nurl = 's3://batches'",
                8,
                "either a path",
            ),
            ("[nodes.b]", 8, "either a path"),
            (
                "[nodes.b]\nurl = 's3://me:secret@b'",
                9,
                "not the URL of a bucket",
            ),
            (
                "[merge]\nfrontends = ['/srv', 'file:///srv']",
                9,
                "written as its path",
            ),
            ("[buckets.'/srv']", 8, "not the URL of a bucket"),
            ("[buckets.'s3://cdn/logs']", 8, "[buckets.\"s3://cdn\"]"),
            (
                "[buckets.'s3://cdn']\nendpoint = 'http://127.0.0.1:9'",
                8,
                "allow_http",
            ),
            (
                "[buckets.'s3://cdn']\nendpoint = 'https://me:secret@x'",
                8,
                "credentials",
            ),
            ("[buckets.'gs://cdn']\nregion = 'x'", 8, "s3:// only"),
            (
                "[buckets.'s3://cdn']\nenv = 'a-b'",
                8,
                "CDN_AWS_ACCESS_KEY_ID",
            ),
            ("[limits]\nmin_free = '16 MB'", 9, "for example 16MiB"),
            ("[limits]\nidle_timeout = 75", 9, "string"),
            ("[limits]\nidle_timeout = '75'", 9, "for example"),
            (
                "[[admin.users]]\nuid = 0\npermissions = ['root']",
                10,
                "no role named \"root\": there is no [admin.roles]; a permission looks like",
            ),
            (
                "[[admin.users]]\nuid = 0\npermissions = ['a:b']",
                10,
                "not a permission",
            ),
            (
                "[admin.roles]\noperator = ['shard:*:*']\nreader = ['*:read:*']\n[[admin.users]]\nuid = 0\npermissions = [\n'reader',\n'operater']",
                15,
                "did you mean operator?",
            ),
            (
                "[admin.roles]\nOps = ['shard:*:*']",
                8,
                "not a name for a role",
            ),
            ("[admin.roles]\nops = ['reader']", 9, "not a permission"),
            (
                "[[admin.certificates]]\nclient = 'ci'\npermissions = []",
                9,
                "spiffe://",
            ),
            (
                "[[admin.certificates]]\nclient = 'spiffe://x/ci'\npermissions = []",
                8,
                "client_ca",
            ),
            (
                "[[admin.identities]]\nname = 'x'\nissuer = 'https://example.org'\naudience = 'logd'\npermissions = ['*:read:*']",
                8,
                "pins no claim",
            ),
            (
                "[[admin.identities]]\nname = 'x'\nissuer = 'https://example.org'\naudience = 'logd'\nclaims = {sub = 'x'}\npermissions = ['reader']",
                13,
                "no role named",
            ),
            (
                "[[admin.identities]]\nname = 'x'\nissuer = 'http://example.org'\naudience = 'logd'\nclaims = {sub = 'x'}\npermissions = ['*:read:*']",
                8,
                "https://",
            ),
            (
                "[admin]\ntls = {cert = 'c', key = 'k', client_ca = 'a'}",
                8,
                "admin.certificates",
            ),
        ] {
            let error = parse(&format!("{LEAST}{extra}\n")).unwrap_err();
            assert!(
                error.starts_with(&format!("/etc/logd/logd.toml:{line}: "))
                    && error.contains(needle),
                "{error}"
            );
        }
        let error = parse("[data]\nlisten = '127.0.0.1:1'\n").unwrap_err();
        assert!(error.contains("missing field `stores`"), "{error}");
    }

    #[test]
    fn sizes_have_one_spelling_of_each_unit() {
        for (text, expected) in [
            ("0B", Some(0)),
            ("7KiB", Some(7168)),
            ("16MiB", Some(16 << 20)),
            ("2GiB", Some(2 << 30)),
        ] {
            assert_eq!(
                Size::try_from(text.to_owned()).ok().map(|size| size.0),
                expected,
                "{text}"
            );
        }
        for text in [
            "",
            "B",
            "16",
            "16M",
            "16mib",
            "1.5GiB",
            "-1B",
            "16 MiB",
            "18446744073709551615GiB",
        ] {
            assert!(Size::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
