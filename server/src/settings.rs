//! `logd.toml`: the settings that need a restart. Settings that change while the server runs are in each log's own configuration;
//! no field is in both.
//!
//! Reading is strict: an unknown key or a wrong type is an error with its line. Paths are relative to the file's folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use logconfig::{BucketUrl, LogName, NodeName, Span};
use serde::Deserialize;

use crate::buckets::{AllPlaces, BucketSettings};
use crate::error::Error;
use crate::telemetry;
use plane_http::{Limits, WhenFull};

mod admin;
mod check;
mod read;
mod secondary;

pub(crate) use admin::Admin;
pub(crate) use check::{check, kek_remedy};
use read::{At, Wrong, in_words, line_at, line_of, read_toml};
pub(crate) use read::{NO_ADDRESS, SettingsError, read_text};
pub(crate) use secondary::SecondarySettings;

/// The longest path a Unix socket can have, bytes.
pub(crate) const LONGEST_SOCKET: usize = 107;

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
    #[serde(default)]
    pub(crate) admin: Admin,
    /// The listener that Prometheus scrapes; none if absent.
    pub(crate) metrics: Option<Metrics>,
    #[serde(default)]
    pub(crate) peers: PeerClient,
    /// The places of the stores.
    pub(crate) stores: Stores,
    pub(crate) kek: KekSource,
    /// The server's part in the merge.
    #[serde(default)]
    pub(crate) merge: Merge,
    /// Storage nodes beside the server's own store, by name.
    #[serde(default)]
    pub(crate) nodes: BTreeMap<NodeName, Node>,
    /// How buckets are reached, by their URLs.
    #[serde(default)]
    pub(crate) buckets: BTreeMap<BucketName, BucketSettings>,
    /// Limits on connections, requests and memory.
    #[serde(default, rename = "limits")]
    pub(crate) bounds: Bounds,
    /// Which log lines are written.
    #[serde(default)]
    pub(crate) log: Logging,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Logging {
    /// `info`, `info,engine=debug`; `LOGD_LOG` overrides it.
    pub(crate) filter: Option<String>,
}

impl Logging {
    fn wrong(&self) -> Option<String> {
        let text = self.filter.as_ref()?;
        let error = telemetry::check_filter(text).err()?;
        Some(format!(
            "log.filter is a level (error, warn, info, debug, trace) or a list such as info,engine=debug: {error}"
        ))
    }
}

/// The settings that can change while a server runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hot {
    pub(crate) filter: Option<String>,
    pub(crate) drain: Option<Duration>,
}

/// A server's part in the merge.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Merge {
    /// The programs that it runs.
    pub(crate) programs: Vec<ProgramName>,
    /// Folders and buckets below which frontends may be.
    pub(crate) frontends: Vec<FolderOrBucket>,
}

impl Default for Merge {
    fn default() -> Self {
        use ProgramName::{Distribute, Integrate, Publish, Replicate};
        Self {
            programs: vec![Integrate, Replicate, Publish, Distribute],
            frontends: Vec::new(),
        }
    }
}

/// A program of the merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProgramName {
    /// Integrates what is ordered.
    #[serde(alias = "fetch")]
    Integrate,
    /// Copies to the secondaries.
    #[serde(alias = "backup")]
    Replicate,
    #[serde(alias = "sth")]
    Publish,
    /// Pushes to the frontends.
    #[serde(alias = "dist")]
    Distribute,
}

impl From<ProgramName> for engine::Program {
    fn from(name: ProgramName) -> Self {
        match name {
            ProgramName::Integrate => Self::Integrate,
            ProgramName::Replicate => Self::Replicate,
            ProgramName::Publish => Self::Publish,
            ProgramName::Distribute => Self::Distribute,
        }
    }
}

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
pub(crate) enum FolderOrBucket {
    /// A folder on this machine.
    Folder(PathBuf),
    Bucket(BucketUrl),
}

impl TryFrom<String> for FolderOrBucket {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains("://") {
            return BucketName::try_from(text).map(|name| Self::Bucket(name.0));
        }
        Ok(Self::Folder(text.into()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct BucketName(pub(crate) BucketUrl);

impl TryFrom<String> for BucketName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // The text is not repeated: it may contain a credential.
        let parsed = text.parse().map(Self);
        parsed.map_err(|e| {
            format!("not the URL of a bucket, such as s3://bucket/logs: {e}; a folder is written as its path")
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    /// The address that writers and readers connect to.
    pub(crate) listen: SocketAddr,
    /// The address for clients, if it differs (behind a proxy).
    pub(crate) url: Option<String>,
    /// Plain HTTP without it.
    pub(crate) tls: Option<TlsFiles>,
    /// Logs with a front that answer at the server's root as well.
    #[serde(default)]
    pub(crate) rekor: RekorRoots,
}

/// The logs that answer at the server's root, as Rekor does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RekorRoots {
    /// The log that answers at `/api/v1`.
    pub(crate) v1: Option<LogName>,
    /// The log that answers at `/api/v2`.
    pub(crate) v2: Option<LogName>,
    /// The folder of the search indexes, when it is not `index` beside the coordination store.
    pub(crate) index: Option<PathBuf>,
}

/// Bytes of long answers that are always allowed: room for a few of the longest, even if the budget for request bodies is smaller.
const ANSWERS: usize = 64 << 20;

/// A certificate chain and its key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    /// PEM, the server's certificate first.
    pub(crate) cert: PathBuf,
    /// The certificate's private key, PEM.
    pub(crate) key: PathBuf,
}

impl TlsFiles {
    pub(crate) fn files(&self) -> plane_http::TlsFiles {
        plane_http::TlsFiles::new(&self.cert, &self.key)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) listen: SocketAddr,
}

/// Settings of requests to other machines: secondaries, witnesses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerClient {
    /// PEM: the authorities behind their HTTPS, instead of the platform's.
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stores {
    pub(crate) coordination: PathBuf,
    /// The folder of tiles, bundles, checkpoints and large batches.
    pub(crate) objects: PathBuf,
}

/// The source of the key-encryption key.
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
    /// Bytes of request bodies in memory at a time, of all connections.
    pub(crate) max_bodies: Size,
    /// How long `Log-Ack: published` waits.
    pub(crate) publish_timeout: Span,
    /// How long a stopping server keeps serving while it is not ready; 5 s for `logd serve`, none for the others.
    pub(crate) drain: Option<Span>,
    /// How long a stop waits for requests in flight, after that.
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
            max_bodies: Size(128 << 20),
            publish_timeout: Span::from_secs(30),
            drain: None,
            shutdown_grace: Span::from_secs(10),
            min_free: Size(16 << 20),
            max_pending: Size(64 << 20),
        }
    }
}

impl Bounds {
    /// The limits of a listener.
    pub(crate) fn listener(&self) -> Limits {
        Limits {
            connections: self.connections,
            when_full: WhenFull::Refuse,
            http2: true,
            header_bytes: self.header_bytes.bytes(),
            header_timeout: self.header_timeout.duration(),
            body_timeout: self.body_timeout.duration(),
            idle_timeout: self.idle_timeout.duration(),
            peer_timeout: self.idle_timeout.duration(),
            bodies: self.max_bodies.bytes(),
            answers: self.max_bodies.bytes().saturating_mul(2).max(ANSWERS),
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

impl Settings {
    /// The settings that can change while the server runs.
    pub(crate) fn hot(&self) -> Hot {
        Hot {
            filter: self.log.filter.clone(),
            drain: self.bounds.drain.map(|span| span.duration()),
        }
    }

    /// The places of storage nodes and frontends.
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
                FolderOrBucket::Folder(path) => below.push(path.clone()),
                FolderOrBucket::Bucket(url) => within.push(url.clone()),
            }
        }
        let reached = self.buckets.iter();
        let reached = reached.map(|(name, bucket)| (name.0.clone(), bucket.clone()));
        let folders = engine::Folders::new(folders, below);
        AllPlaces::new(folders, buckets, within, reached.collect())
    }

    /// The folder of this server's search indexes. Servers that share stores need one each.
    pub(crate) fn index_folder(&self) -> PathBuf {
        let beside = || self.stores.coordination.with_file_name("index");
        self.data.rekor.index.clone().unwrap_or_else(beside)
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
            FolderOrBucket::Folder(path) => Some(path),
            FolderOrBucket::Bucket(_) => None,
        });
        let kek = match kek {
            KekSource::File(path) => Some(path),
            KekSource::Env(_) => None,
        };
        create
            .iter_mut()
            .chain(files(&mut data.tls))
            .chain(&mut data.rekor.index)
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
mod tests;
